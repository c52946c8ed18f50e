# SPDX-License-Identifier: MIT
"""Runs it all and prints the table."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.report import Figure, command_line, end_on_sigterm, figure_table, say
from bench.sync import __doc__ as purpose
from bench.sync import many as thousands
from bench.sync.runs import FULL, QUICK, starts, syncs

EXPLANATION = """\
while
  nothing       a phone searches a book of 10,000 contacts, by two letters of a name or by a number, 4 ms after the last
                answer came
  full sync     the phone goes on, until it finds the first and the last of the contacts that Google has
  changes       the same, until it finds both changed
  no news       the same, while a sync finds that there is none
  start         from the start of the process until a phone that binds gets the right answer to a search: the middle
                one of three starts; nobody is at Google's address
  accounts      10,000 accounts of 20 contacts, in 50 tenants with a Google project each, and 20,000 phones
  change        an account is shared, by another process: the processor time of all threads to read and apply this
what
  p50, p99      of the phone's searches: half of them, and 99 in a hundred, took no longer
  turn          for how long nobody was served, at most; the goal is for what is left of it without the time for which
                the machine's other work had the processor
  memory        of the gateway's process; all its processes are this one and those that it starts to read pages and to
                build books, and the figure is the most that they held at once
Google is a process of its own, with answers that were made and packed before, a thousand contacts each; everything is
on loopback.  Machines differ and have other work: the ratio counts more than the figures.
"""


def options() -> argparse.ArgumentParser:
    """What can be asked of it."""
    parser = command_line("scripts/bench sync", purpose, EXPLANATION)
    add = parser.add_argument
    add("--contacts", type=int, default=FULL.contacts, metavar="N", help="that Google has (default: 50000)")
    add("--stored", type=int, default=FULL.stored, metavar="N", help="at the start (default: 100000)")
    add("--only", choices=("syncs", "start", "many"), help="one of the parts")
    add("--postgresql", action="store_true", help="the database of the accounts is on a PostgreSQL server")
    add("--quick", action="store_true", help="tiny numbers: shows that all of it runs, and no more")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 1 when a goal was missed, unless the numbers are too small to tell."""
    given = options().parse_args(arguments)
    end_on_sigterm()
    scale = QUICK if given.quick else replace(FULL, contacts=given.contacts, stored=given.stored)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="bench-sync-") as name:
        size = thousands.QUICK if given.quick else thousands.FULL
        many = partial(thousands.many, size=size, on_postgresql=given.postgresql)
        for part, run in (("syncs", syncs), ("start", starts), ("many", many)):
            if given.only in (None, part):
                for figure in run(Path(name), scale):
                    say(f"  {figure.load}: {figure.what}: {figure.text}")
                    figures.append(figure)
    sys.stdout.write("\n".join(figure_table("While", "What", figures)) + "\n")
    return int(not given.quick and not all(one.met for one in figures))


if __name__ == "__main__":
    sys.exit(main())
