# SPDX-License-Identifier: MIT
"""The results in the documents: tables in the page about performance, and a picture in a file beside it."""

from __future__ import annotations

from bench import written
from bench.directory.plot import plot
from bench.directory.report import Results, lines, machine
from tests.support.checkout import ROOT

SCRIPT = "scripts/bench-directory"
PICTURE = ROOT / "docs" / "images" / "bench-directory.svg"


def write(results: Results) -> None:
    """Put the results into the documents."""
    written.put(SCRIPT, shown(results))
    PICTURE.write_text(plot(results.compared), encoding="utf-8")


def shown(results: Results) -> str:
    """What stands between the comments."""
    picture = [
        f".. image:: ../images/{PICTURE.name}",
        "   :alt: How many times as fast as slapd ldapgw is, by load and number of contacts",
    ]
    return "\n".join(("", *picture, "", f"Measured with {machine()}.", "", *lines(results), "", ""))
