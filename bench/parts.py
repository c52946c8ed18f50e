# SPDX-License-Identifier: MIT
"""The gateway beside a gateway without one of the parts that exist for speed, not compiled.

The docstring or the comment of each part has its figure.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from statistics import median

from bench.asking import WORKLOADS
from bench.load import Load, Round
from bench.people import person
from bench.programs.without import PARTS
from bench.report import Results, say, simple_table
from bench.seed import alone, seed
from bench.servers import BASE, Variant, gateway, knows


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", metavar="LIST", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--contacts", type=int, default=10_000, metavar="N", help="in the book (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="for each part (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.5, metavar="S", help="of each round (default: %(default)s)")


def measure(given: argparse.Namespace, folder: Path) -> Results:
    seed(folder / "home" / "state", alone(given.contacts))
    load = Load(folder)
    rows = [("Part", "Load", "A second, with and without the part", "Gain")]
    for name in given.only.split(",") if given.only else PARTS:
        rows.append(_compared(name, folder, load, given))
        say(f"{name}: {rows[-1][-1]}")
    return Results(simple_table(rows))


def _compared(name: str, folder: Path, load: Load, given: argparse.Namespace) -> tuple[str, str, str, str]:
    """Return the row of a part: medians of rates, and the median gain of the rounds."""
    workload = WORKLOADS[PARTS[name].load]
    asked = workload.asked(BASE, [person(at) for at in range(given.contacts)])
    home, other = folder / "home", folder / name
    shutil.copytree(home, other)
    known, variant = knows(given.contacts - 1), Variant(compiled=False)
    lacking = Variant(compiled=False, program=("bench.programs.without", name))
    pairs: list[tuple[Round, Round]] = []
    with gateway(home, known, variant) as usual, gateway(other, known, lacking) as without:
        for at in range(given.rounds):
            order = (usual, without) if at % 2 else (without, usual)
            rounds = {server.pid: load.round(server, asked, given.seconds) for server in order}
            pairs.append((rounds[usual.pid], rounds[without.pid]))
    assert not any(one.errors for pair in pairs for one in pair)
    gain = median(one.searches_s / other.searches_s for one, other in pairs) - 1
    rates = [f"{median(one.searches_s for one in rounds):,.0f}" for rounds in zip(*pairs, strict=True)]
    return name, workload.title, ", ".join(rates), f"{gain:+.0%}"
