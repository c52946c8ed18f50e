# SPDX-License-Identifier: MIT
"""The page that shows results: what a script writes stands between two comments of its own."""

from __future__ import annotations

from tests.support.checkout import ROOT

PAGE = ROOT / "docs" / "explanation" / "performance.rst"


def comments(script: str) -> tuple[str, str]:
    """The lines that stand around what a script writes."""
    return f".. What follows is written by {script} --docs\n", f".. What was written by {script} ends here\n"


def between(text: str, script: str, written: str) -> str:
    """The text with something else between a script's comments.

    :raises ValueError: when they are not there.
    """
    first, last = comments(script)
    before, begin, rest = text.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise ValueError(f"{PAGE}: the comments are missing between which the results of {script} go")
    return f"{before}{begin}{written}{end}{after}"


def put(script: str, written: str) -> None:
    """Write a script's results into the page."""
    PAGE.write_text(between(PAGE.read_text(encoding="utf-8"), script, written), encoding="utf-8")
