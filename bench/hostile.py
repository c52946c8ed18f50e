# SPDX-License-Identifier: MIT
"""Runs the loads on both servers and prints the table."""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from dataclasses import replace
from itertools import chain
from pathlib import Path

from bench.report import Figure, simple_table
from bench.runs import FULL, QUICK, Scale, crowds, infix, run
from bench.servers import gateway, slapd
from tests.support.slapd import PROGRAM

# Files that a process needs besides connections.
_OTHERS = 500


def fitting(scale: Scale) -> Scale:
    """The scale, with no more connections than this process may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    most = hard - _OTHERS
    if hard == resource.RLIM_INFINITY or scale.idle <= most:
        return scale
    say(f"RLIMIT_NOFILE is {hard}: {most:,} connections at most.")
    return replace(scale, idle=most, dribbling=min(scale.dribbling, most), handshakes=min(scale.handshakes, most))


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def table(ours: list[Figure], theirs: list[Figure]) -> list[str]:
    """The lines of a table in reStructuredText."""
    rows = [("Load", "Figure", "Goal", "ldapgw", "", "slapd")]
    others = {(figure.load, figure.what): figure.text for figure in theirs}
    for figure in ours:
        theirs_is = others.get((figure.load, figure.what), "not run")
        rows.append((figure.load, figure.what, figure.goal, figure.text, figure.verdict, theirs_is))
    return simple_table(rows)


def main() -> int:
    """The exit status: 1 when a goal was missed, unless the numbers are too small to tell."""
    parser = argparse.ArgumentParser(prog="scripts/bench hostile", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny numbers: shows that all of it runs, and no more")
    parser.add_argument("--ours", action="store_true", help="without slapd")
    given = parser.parse_args()
    scale = fitting(QUICK if given.quick else FULL)
    results: list[list[Figure]] = []
    for start in (gateway, slapd):
        if start is slapd and (given.ours or PROGRAM is None):
            results.append([])
            continue
        with tempfile.TemporaryDirectory() as folder, start(Path(folder)) as server:
            results.append([])
            ours = crowds(Path(folder), server, scale) if start is gateway else ()
            for figure in chain(run(server, scale), ours):
                sys.stderr.write(f"{server.name}: {figure.load}: {figure.what}: {figure.text}\n")
                results[-1].append(figure)
    with tempfile.TemporaryDirectory() as folder:
        for figure in infix(Path(folder), scale):
            sys.stderr.write(f"ldapgw: {figure.load}: {figure.what}: {figure.text}\n")
            results[0].append(figure)
    for line in table(*results):
        say(line)
    return int(not given.quick and not all(figure.met for figure in results[0]))


if __name__ == "__main__":
    sys.exit(main())
