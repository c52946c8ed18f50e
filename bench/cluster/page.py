# SPDX-License-Identifier: MIT
"""The results in the documents: tables in the page about performance, and a picture in a file beside it."""

from __future__ import annotations

from collections.abc import Sequence

from bench import written
from bench.cluster.plot import Rates, plot
from bench.directory.report import machine
from tests.support.checkout import ROOT

SCRIPT = "scripts/bench-cluster"
PICTURE = ROOT / "docs" / "images" / "bench-cluster.svg"


def write(contacts: int, tables: Sequence[str], measured: Sequence[Rates]) -> None:
    """Put the results into the documents; a picture that they have no rates for goes."""
    written.put(SCRIPT, shown(contacts, tables, measured))
    if measured:
        PICTURE.write_text(plot(measured), encoding="utf-8")
    else:
        PICTURE.unlink(missing_ok=True)


def shown(contacts: int, tables: Sequence[str], measured: Sequence[Rates]) -> str:
    """What stands between the comments."""
    picture = [
        f"\n.. image:: ../images/{PICTURE.name}\n",
        "   :alt: How many times the rate of one process or gateway two and three of them have, by load\n",
    ]
    head = f"\nMeasured with {machine()}; {contacts:,} contacts.\n"
    return "".join([*(picture if measured else ()), head, *tables, "\n"])
