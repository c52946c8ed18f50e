# SPDX-License-Identifier: MIT
"""The table of the pages' weight, and what is weighed."""

from __future__ import annotations

from bench.pages.__main__ import table
from bench.pages.visitor import Weight, _needed

HTML = """
<link rel="stylesheet" href="/static/style.css"><link rel="icon" href="/static/icon.svg"><link rel="next" href="/two">
<script src="/static/page.js" type="module"></script><script>inline</script><img src="/static/icon.svg" alt="">
"""


def test_the_table_has_a_row_for_each_page() -> None:
    """Thousands are set apart; what is not packed is said."""
    weights = {
        "front page": Weight(3569, 3569, {"/static/style.css": 9000, "/static/page.js": 1000}, 0.84),
        "my page": Weight(12_345, 4000, {}, 3.0),
    }
    assert table(weights)[1:-1] == [
        "Page        HTML    gzip        Other files    First octet",
        "==========  ======  ==========  =============  ===========",
        "front page  3,569   not packed  2 with 10,000  0.8 ms",
        "my page     12,345  4,000       0 with 0       3.0 ms",
    ]


def test_what_a_page_needs_is_what_a_browser_fetches() -> None:
    """Style sheets, icons, scripts and pictures; not where a link leads."""
    assert _needed(HTML) == ["/static/style.css", "/static/icon.svg", "/static/page.js", "/static/icon.svg"]
