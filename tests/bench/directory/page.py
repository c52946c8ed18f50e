# SPDX-License-Identifier: MIT
"""The page that shows the results: its tables stand between two comments, and its picture in a file beside it."""

from __future__ import annotations

from tests.bench.directory.plot import plot
from tests.bench.directory.report import Results, lines, machine
from tests.checkout import ROOT

PAGE = ROOT / "docs" / "performance.rst"
PICTURE = ROOT / "docs" / "images" / "bench-directory.svg"
BEGIN = ".. What follows is written by scripts/bench-directory --docs"
END = ".. What was written by scripts/bench-directory ends here"


def write(results: Results) -> None:
    """Put the results into the documents."""
    PAGE.write_text(between(PAGE.read_text(encoding="utf-8"), written(results)), encoding="utf-8")
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(plot(results.compared), encoding="utf-8")


def written(results: Results) -> str:
    """What stands between the comments."""
    picture = PICTURE.relative_to(PAGE.parent)
    shown = [
        f".. image:: {picture}",
        "   :alt: How many times as fast as slapd ldapgw is, by load and number of contacts",
    ]
    return "\n".join(("", *shown, "", f"Measured with {machine()}.", "", *lines(results), "", ""))


def between(text: str, written: str) -> str:
    """The text with something else between the comments.

    :raises ValueError: when they are not there.
    """
    before, begin, rest = text.partition(f"{BEGIN}\n")
    _, end, after = rest.partition(f"{END}\n")
    if not begin or not end:
        raise ValueError(f"{PAGE}: the comments are missing between which the results go")
    return f"{before}{begin}{written}{end}{after}"
