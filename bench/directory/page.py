# SPDX-License-Identifier: MIT
"""The results in the documents: tables in the page about performance, and a picture in a file beside it."""

from __future__ import annotations

from bench import written
from bench.directory.plot import plot
from bench.directory.report import Results, lines, machine

SCRIPT = "scripts/bench-directory"
PICTURE = written.PAGE.parent / "images" / "bench-directory.svg"


def write(results: Results) -> None:
    """Put the results into the documents."""
    written.put(SCRIPT, shown(results))
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(plot(results.compared), encoding="utf-8")


def shown(results: Results) -> str:
    """What stands between the comments."""
    picture = [
        f".. image:: {PICTURE.relative_to(written.PAGE.parent)}",
        "   :alt: How many times as fast as slapd ldapgw is, by load and number of contacts",
    ]
    return "\n".join(("", *picture, "", f"Measured with {machine()}.", "", *lines(results), "", ""))
