# SPDX-License-Identifier: MIT
"""Starts gateways on one PostgreSQL, and both engines; prints the tables."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from bench import report
from bench.asking import WORKLOADS
from bench.cluster import __doc__ as purpose
from bench.cluster import engines, gateways
from bench.cluster.starts import starts
from bench.directory.report import machine
from bench.load import Round
from bench.people import person
from bench.report import Figure, say, simple_table

SCRIPT = "scripts/bench cluster"

PARTS = ("gateways", "transactions", "starts")
# Searches a second by number of gateways, by the load's name; for a whole book, entries.
ByLoad = Mapping[str, Mapping[int, float]]
# Connections that have one search outstanding each.
CONNECTIONS = 16
NAMES = ("prefix", "reverse", "substring", "list", "bind")
# The part of the book from which the words come that are asked for.
_SAMPLE = 20_000

EXPLANATION = """\
gateways      on one PostgreSQL, with a state directory each; the load is spread over them, and p99 is that of the
              slowest; then changes, from the end of the transaction until all gateways find them; then the gateway that
              syncs is killed, until another one syncs
transactions  what a sync does to the database, on both engines in turn, each round; no gateway runs
starts        of a gateway on PostgreSQL, until the first right answer: the median of three
A rate is the median of the rounds, and a ratio is that of the medians; each round visits all gateways.  The load runs
on the same processors, and takes one of them for itself where searches are cheap: ratios for these say little on a
machine with two processors.  PostgreSQL has its default settings, and waits for the disk as SQLite does.
"""


def main() -> int:
    report.end_on_sigterm()
    parser = report.command_line(SCRIPT, purpose, EXPLANATION)
    parser.add_argument("--contacts", type=int, default=100_000, metavar="N", help="in the book (default: 100000)")
    parser.add_argument("--only", choices=PARTS, action="append", help="one of the parts; may be given again")
    parser.add_argument("--changes", type=int, default=100, metavar="N", help="seen at all gateways (default: 100)")
    parser.add_argument("--kills", type=int, default=5, metavar="N", help="of the gateway that syncs (default: 5)")
    parser.add_argument("--docs", action="store_true", help=f"also write the tables into {report.PAGE.name}")
    parser.add_argument("--gateways", default="1,2,3", metavar="LIST", help="how many together (default: 1,2,3)")
    parser.add_argument("--rounds", type=int, default=4, metavar="N", help="(default: 4)")
    parser.add_argument("--seconds", type=float, default=2.0, metavar="S", help="of a round (default: 2)")
    options = parser.parse_args()
    counts = [int(count) for count in options.gateways.split(",")]
    tables, are_met = [], True
    with tempfile.TemporaryDirectory(prefix="ldapgw-bench-") as made:
        for part in options.only or PARTS:
            folder = Path(made) / part
            folder.mkdir()
            if part == "gateways":
                table, is_met = _gateways(folder, counts, options)
            elif part == "starts":
                figures = list(starts(folder, options.contacts))
                lines = _told(("Gateway on PostgreSQL", "", "Until the first right answer", "Goal", ""), figures)
                table, is_met = "\n".join(["", *lines, ""]), all(one.met for one in figures)
            else:
                table, is_met = _transactions(folder, options)
            sys.stdout.write(table)
            tables.append(table)
            are_met = are_met and is_met
    sys.stdout.write(f"\n{options.contacts:,} contacts. {machine()}\n")
    if options.docs:
        report.put(SCRIPT, page_text(options.contacts, tables))
    return 0 if are_met else 1


def page_text(contacts: int, tables: Sequence[str]) -> str:
    """What stands between the comments."""
    return "".join([f"\nMeasured with {machine()}; {contacts:,} contacts.\n", *tables, "\n"])


def _gateways(folder: Path, counts: list[int], options: argparse.Namespace) -> tuple[str, bool]:
    """Rates of one, two and three gateways together, then what all of them do with a change and without one of them."""
    found: dict[str, dict[int, list[Round]]] = {name: {count: [] for count in counts} for name in NAMES}
    people = [person(number) for number in range(min(options.contacts, _SAMPLE))]
    with gateways.running(folder, max(counts), options.contacts) as ours:
        loads = gateways.Loads(folder, max(counts))
        servers = [ours.servers[home] for home in ours.homes]
        for number in range(options.rounds):
            say(f"gateways, round {number + 1} of {options.rounds}")
            for name in NAMES:
                asked = WORKLOADS[name].asked(servers[0].target.base, people)
                for count in [*counts[number % len(counts) :], *counts[: number % len(counts)]]:
                    found[name][count].append(loads.round(servers[:count], asked, options.seconds, CONNECTIONS))
        figures = [*gateways.changes(ours, options.changes), *gateways.failovers(ours, options.kills)]
    rows, errors = _rates(found, _medians(found))
    head = ("Gateways on one PostgreSQL", "What", "", "Goal", "")
    lines = [*simple_table(rows), "", *_told(head, figures)]
    return "\n".join(["", *lines, *errors, ""]), not errors and all(one.met for one in figures)


def _told(head: tuple[str, ...], figures: Sequence[Figure]) -> Sequence[str]:
    return simple_table([head, *((one.load, one.what, one.text, one.goal, one.verdict) for one in figures)])


def _transactions(folder: Path, options: argparse.Namespace) -> tuple[str, bool]:
    found = engines.transactions(folder, options.contacts, options.rounds)
    is_met = all(goal is None or server <= goal * sqlite for _, sqlite, server, goal in found)
    return "\n".join(["", *simple_table([*engines.lines(found)]), ""]), is_met


def _medians(found: dict[str, dict[int, list[Round]]]) -> ByLoad:
    return {
        name: {
            count: median(one.entries_s if WORKLOADS[name].whole else one.searches_s for one in rounds)
            for count, rounds in by_count.items()
        }
        for name, by_count in found.items()
    }


def _rates(found: dict[str, dict[int, list[Round]]], by_load: ByLoad) -> tuple[list[list[str]], list[str]]:
    """The rows of a table, and lines that tell of failed searches."""
    counts = list(next(iter(found.values())))
    rows = [["load", "unit", *(f"{count} gateway{'s' if count > 1 else ''}" for count in counts), "2 : 1"]]
    for name, by_count in found.items():
        workload, rates = WORKLOADS[name], by_load[name]
        p99 = {count: median(one.p99 for one in by_count[count]) for count in counts}
        ratio = f"{rates[2] / rates[1]:.2f}" if {1, 2} <= rates.keys() else ""
        unit = "entries/s" if workload.whole else "/s"
        rows.append([workload.title, unit, *(f"{rates[count]:,.0f}" for count in counts), ratio])
        rows.append([workload.title, "p99, ms", *(f"{p99[count]:.1f}" for count in counts), ""])
    errors = sum(one.errors for by_count in found.values() for each in by_count.values() for one in each)
    return rows, ["", f"{errors} searches failed."] if errors else []


if __name__ == "__main__":
    sys.exit(main())
