# SPDX-License-Identifier: MIT
"""Results in the page that shows them."""

from __future__ import annotations

import pytest

from bench.directory import report
from bench.output import PAGE, between, comments
from bench.pages.__main__ import SCRIPT


@pytest.mark.parametrize("script", [SCRIPT, report.SCRIPT])
def test_results_go_between_the_comments(script: str) -> None:
    """What stood there goes; the rest of the page stays."""
    begin, end = comments(script)
    assert between(f"before\n\n{begin}\nold\n\n{end}\nafter\n", script, "\nnew\n\n") == (
        f"before\n\n{begin}\nnew\n\n{end}\nafter\n"
    )
    assert between(PAGE.read_text(), script, "") != ""


def test_a_page_without_the_comments_is_left_alone() -> None:
    """Nobody guesses where results belong."""
    with pytest.raises(ValueError, match="comments are missing"):
        between("a page\n", SCRIPT, "new")
