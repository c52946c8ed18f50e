# SPDX-License-Identifier: MIT
"""Runs the gateway beside one without each part in turn, not compiled, and prints what the parts buy."""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median

from bench.asking import WORKLOADS
from bench.directory import servers
from bench.directory.servers import Variant, gateway, knows
from bench.load import Load, Round
from bench.people import person
from bench.programs.without import PARTS
from bench.report import say, simple_table
from bench.seed import alone, seed


def bought(name: str, home: Path, load: Load, given: argparse.Namespace) -> tuple[str, str, str, str]:
    """The row of a part: the medians of the rounds, and that of what each round says."""
    part = PARTS[name]
    workload = WORKLOADS[part.load]
    asked = workload.asked(servers.BASE, [person(at) for at in range(given.contacts)])
    apart = home.with_name(f"{name}-home")
    shutil.copytree(home, apart)
    known = knows(given.contacts - 1)
    variant = Variant(program=("bench.programs.without", name), compiled=False)
    pairs: list[tuple[Round, Round]] = []
    with gateway(home, known, Variant(compiled=False)) as usual, gateway(apart, known, variant) as without:
        for at in range(given.rounds):
            order = (usual, without) if at % 2 else (without, usual)
            rounds = {id(server): load.round(server, asked, given.seconds) for server in order}
            pairs.append((rounds[id(usual)], rounds[id(without)]))
    assert not any(one.errors for pair in pairs for one in pair)
    gain = median(one.searches_s / other.searches_s for one, other in pairs) - 1
    with_it, without_it = (median(one.searches_s for one in rounds) for rounds in zip(*pairs, strict=True))
    say(f"{name}: {gain:+.0%}")
    return name, workload.title, f"{with_it:,.0f}, {without_it:,.0f}", f"{gain:+.0%}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench parts", description=__doc__)
    parser.add_argument("--only", metavar="LIST", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--contacts", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each round")
    given = parser.parse_args()
    names = given.only.split(",") if given.only else list(PARTS)
    rows = [("Part", "Load", "A second, with and without it", "It buys")]
    with tempfile.TemporaryDirectory(prefix="bench-parts-") as folder:
        home = Path(folder) / "home"
        now = time.time()  # noqa: TID251  the bench is an entry point
        seed(home / "state", alone(given.contacts), now)
        load = Load(Path(folder))
        rows += [bought(name, home, load, given) for name in names]
    print("\n".join(simple_table(rows)))  # noqa: T201  what it is for


if __name__ == "__main__":
    main()
