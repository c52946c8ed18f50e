# SPDX-License-Identifier: MIT
"""Runs it all and prints the tables."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.asking import WORKLOADS, Workload
from bench.directory import __doc__ as purpose
from bench.directory import runs
from bench.directory.before import Checkout
from bench.directory.checking import Differs
from bench.directory.report import SCRIPT, Results, lines, shown
from bench.directory.rounds import Plan
from bench.directory.runs import MILLION, Setting
from bench.directory.stock import Stock
from bench.load import Load
from bench.report import command_line, end_on_sigterm, put, say
from tests.support.slapd import PROGRAM

# What is measured besides the loads.
PARTS = ("memory", "books", "http", "peers")

EXPLANATION = """\
loads, each by 8 connections that have one search outstanding, answers of up to 50 entries:
  prefix     (|(cn=mü*)(sn=mü*)(givenName=mü*))
  reverse    (|(telephoneNumber=N)(mobile=N)(homePhone=N)), one number in ten unknown
  substring  (cn=*üll*)
  list       the whole book in one answer; entries are counted
  bind       connect, bind, prefix, close: what phones do
loads that are not asked of slapd, whose goal is a part of our own rate for prefix or reverse in the same round:
  two-words       (|(cn=jö mü*)(sn=jö mü*)(givenName=jö mü*)), the first letters of two words of a name
  three-words     the same of three words
  and-yealink     (&(objectClass=person)(|(cn=mü*)(sn=mü*)(o=mü*))), as our sheet for these phones has it
  and-snom        (&(telephoneNumber=*)(sn=mü*))
  and-poly        (&(cn=mü*)(|(telephoneNumber=*)(mobile=*)))
  presence        (telephoneNumber=*)
  strict-prefix   prefix, with strict matching
  strict-reverse  reverse, with strict matching
and besides
  memory     of the process with the contacts, above that of one without; and the time of its start
  books      prefix in one book, and in many shared ones with the same contacts
  http       callers' names and XML phone books, by 8 connections that stay open; each request has its login; and an
             address book by CardDAV
  peers      the loads on ldaptor's own server with 1,000 contacts: with more, ldaptor takes minutes to load, for that
             takes time by their square
The gateway is what "ldapgw run" starts: plain LDAP, a phone's login with its account's book beside another that it
must not see, and limits that let a whole book through.  slapd has the same people, an index (eq,sub) for all six
attributes asked, and no log.  Each round visits all servers; a ratio is made in each, and medians count.  Machines
differ and have other work: compare ratios, not figures.
Loads whose answers fit one write are also asked of the limit: a server that reads, frames and writes as the gateway
does, on the same reactor, and answers the same octets from a table.  Its goals are for a gateway that is compiled.
Before anything is timed, ldapsearch has to find the same in both.
--before measures another checkout of this project in the same rounds, with its own program and stores; its .venv and
.compiled are used if they are there.  A row is "lower" when its median is below 0.95 of the median of the other
checkout, and below each of the other's rounds; that counts as a missed goal.
"""


def options() -> argparse.ArgumentParser:
    """What can be asked of it."""
    parser = command_line("scripts/bench directory", purpose, EXPLANATION)
    add = parser.add_argument
    add("--contacts", type=int, action="append", metavar="N", help="a size of the book (default: 10000 and 100000)")
    add("--only", type=_parts, metavar="LIST", help=f"of {','.join((*WORKLOADS, *PARTS))} (default: all)")
    add("--rounds", type=int, default=3, metavar="N", help="default: 3; of other servers 3 at most, of a million 1")
    add("--seconds", type=float, default=0.5, metavar="S", help="of each round (default: 0.5); of a million twice that")
    add("--books", type=int, default=1000, metavar="N", help='shared books in "books" (default: 1000)')
    add("--million", action="store_true", help="also a million contacts, without slapd; takes long")
    add("--ours", action="store_true", help="without slapd: no ratios")
    add("--before", type=_checkout, metavar="DIR", help="also another checkout of this project; not of a million")
    add("--keep", type=Path, metavar="DIR", help="keep filled stores there, for the next time")
    add("--docs", action="store_true", help="write the tables into docs/explanation/performance.rst")
    add("--quick", action="store_true", help="tiny numbers: shows that all of it runs, and no more")
    return parser


def _parts(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    unknown = [name for name in names if name not in (*WORKLOADS, *PARTS)]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]}: expected of {', '.join((*WORKLOADS, *PARTS))}")
    return names


def _checkout(text: str) -> Checkout:
    found = Checkout(Path(text).resolve())
    if found.seeding is None:
        raise argparse.ArgumentTypeError(f"{text}: expected a checkout of this project")
    return found


def chosen(parts: Sequence[str]) -> tuple[Workload, ...]:
    """The loads among the parts, and those that they are compared with."""
    beside = {WORKLOADS[name].beside for name in parts if name in WORKLOADS}
    return tuple(one for name, one in WORKLOADS.items() if name in parts or name in beside)


def measure(given: argparse.Namespace, folder: Path) -> Results:
    """All that was asked for."""
    parts = given.only or (*WORKLOADS, *PARTS)
    sizes = given.contacts or ([300] if given.quick else [10_000, 100_000])
    rounds, seconds = (1, 0.1) if given.quick else (given.rounds, given.seconds)
    workloads = chosen(parts)
    plan = Plan(Load(folder), workloads, rounds, seconds)
    setting = Setting(folder, Stock(given.keep), plan, PROGRAM is not None and not given.ours, given.before)
    results = Results(before=given.before.title if given.before else "")
    if "peers" in parts:
        of_all = tuple(one for one in workloads or WORKLOADS.values() if not one.beside)
        shorter = replace(setting, plan=replace(plan, rounds=min(3, rounds), workloads=of_all))
        results.peers.extend(runs.small(shorter, min(1000, *sizes)))
    if workloads or "memory" in parts:
        above = runs.empty(setting) if "memory" in parts else None
        for count in sizes:
            for found in runs.sized(setting, count, above):
                results.add(found)
        if given.million:
            # One gateway: several would not go into the memory of most machines.
            lenient = tuple(one for one in workloads if not one.strict)
            longer = replace(plan, workloads=lenient, rounds=1, seconds=2 * seconds)
            alone = replace(setting, beside=False, before=None, plan=longer)
            for found in runs.sized(alone, MILLION, above):
                results.add(found)
    if "books" in parts:
        for found in runs.many_books(setting, min(sizes), 20 if given.quick else given.books):
            results.add(found)
    if "http" in parts:
        for found in runs.over_http(setting, min(sizes)):
            results.add(found)
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 1 when a goal was missed, unless the numbers are too small to tell."""
    parser = options()
    given = parser.parse_args(arguments)
    if given.docs and (given.ours or PROGRAM is None):
        parser.error("--docs needs slapd (Debian's package of that name): ratios are what the page shows")
    if given.docs and given.before:
        parser.error("--docs and --before: the page shows this checkout alone")
    end_on_sigterm()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-directory-") as name:
            results = measure(given, Path(name))
    except Differs as difference:
        say(f"ldapgw and slapd find different things: {difference}")
        return 1
    except KeyboardInterrupt:
        say("ended; the servers too")
        return 130
    if given.docs:
        put(SCRIPT, shown(results))
    sys.stdout.write("\n".join(lines(results)) + "\n")
    return int(not given.quick and not results.are_good)


if __name__ == "__main__":
    sys.exit(main())
