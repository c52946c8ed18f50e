# SPDX-License-Identifier: MIT
"""The speed and the memory of searches: the gateway beside slapd, other servers and another checkout."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path

from bench.asking import EVERYBODY, WORKLOADS, Workload, search
from bench.comparison import Comparison, Plan, compare, tables
from bench.load import Load
from bench.people import Person, person
from bench.phone import Phone, Target
from bench.report import COMPILED, Figure, Results, figure_table, judged, say
from bench.seed import OWNER, Account, alone, seed, shared
from bench.servers import BASE, Checkout, Server, Variant, gateway, knows, ldaptor, lets_in, limit, load_slapd, slapd
from bench.web import over_http
from tests.support.slapd import PROGRAM

# The loads, and the other parts of the bench.
PARTS = (*WORKLOADS, "memory", "books", "http", "peers")
_MILLION = 1_000_000
# The number of people from whom the words of the searches come.
_SAMPLE = 20_000
# The searches of each load that both servers answer before anything is timed.
_CHECKED = 10
# slapd finds no name by the beginnings of several words.
_OURS_ALONE = {"two-words", "three-words"}


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--contacts", type=int, action="append", metavar="N", help="a size of the book (default: 10000 and 100000)")
    add("--before", type=Path, metavar="DIR", help="also another checkout of this project; not of a million")


def chosen(parts: Sequence[str]) -> tuple[Workload, ...]:
    """Return the loads among the parts, and the loads that they are compared with."""
    beside = {WORKLOADS[name].beside for name in parts if name in WORKLOADS}
    return tuple(one for name, one in WORKLOADS.items() if name in parts or name in beside)


def measure(given: argparse.Namespace, folder: Path) -> Results:
    before = Checkout(given.before.resolve()) if given.before else None
    if before and not (before.root / "bench" / "seed.py").is_file():
        raise argparse.ArgumentTypeError(f"{given.before}: expected a checkout of this project")
    plan = Plan(Load(folder), chosen(given.only), given.rounds, given.seconds)
    run = _Run(folder, plan, PROGRAM is not None and not given.ours, before)
    try:
        found = list(_all_parts(run, given))
    except Differs as difference:
        raise SystemExit(f"ldapgw and slapd find different entries: {difference}") from None
    compared = [one for one in found if isinstance(one, Comparison)]
    figures = [one for one in found if isinstance(one, Figure)]
    lines = [*tables(compared, str(before.root) if before else "")]
    lines += figure_table("With", "Figure", figures) if figures else []
    return Results(lines, all(one.is_good for one in compared) and all(one.met for one in figures))


def _all_parts(run: _Run, given: argparse.Namespace) -> Iterator[Comparison | Figure]:
    sizes = given.contacts or ([300] if given.quick else [10_000, 100_000])
    parts, plan = given.only, run.plan
    if plan.workloads or "memory" in parts:
        above = run.empty() if "memory" in parts else None
        for count in sizes:
            yield from run.sized(count, above)
        if given.million:
            # One gateway only, because the memory of most machines has no room for several ones.
            lenient = tuple(one for one in plan.workloads if not one.strict)
            longer = replace(plan, workloads=lenient, rounds=1, seconds=2 * plan.seconds)
            yield from replace(run, beside=False, before=None, plan=longer).sized(_MILLION, above)
    if "peers" in parts:
        of_all = tuple(one for one in plan.workloads or WORKLOADS.values() if not one.beside)
        shorter = replace(run, plan=replace(plan, rounds=min(3, plan.rounds), workloads=of_all))
        yield from shorter.beside_peers(min(1000, *sizes))
    if "books" in parts:
        yield from run.many_books(min(sizes), given.books)
    if "http" in parts:
        yield from run.over_http(min(sizes))


@dataclass(frozen=True)
class _Run:
    """The parts of the bench; each part has servers of its own.

    :ivar folder: the folder in which servers have their folders.
    :ivar beside: whether slapd takes part.
    :ivar before: another checkout that takes part.
    """

    folder: Path
    plan: Plan
    beside: bool
    before: Checkout | None = None

    def empty(self) -> float:
        """Return the MiB of a gateway without contacts."""
        with gateway(self._home((Account(OWNER, range(0)),)), lets_in) as ours:
            return ours.resident

    def sized(self, count: int, above: float | None) -> Iterator[Comparison | Figure]:
        """Measure a book of so many contacts.

        :param above: MiB of the empty process; None: memory is not asked for.
        """
        load, variants = f"{count:,} contacts", self._variants()
        say(f"{load}: filling the stores")
        homes = self._homes(count, variants)
        with ExitStack() as stack:
            theirs = stack.enter_context(self._slapd(count)) if self.beside else None
            started = [
                (one, stack.enter_context(gateway(at, knows(count - 1), one)))
                for one, at in zip(variants, homes, strict=True)
            ]
            lenient = [server for one, server in started if one.matching == "lenient"]
            strict = [server for one, server in started if one.matching == "strict"]
            ours = lenient[0]
            if theirs:
                check(ours.target, theirs.target, _sample(count), lenient=True)
                if strict:
                    check(strict[0].target, theirs.target, _sample(count), lenient=False)
            for server in (server for one, server in started if one.before and one.matching == "lenient"):
                try:  # rates of searches that differ say little
                    check(ours.target, server.target, _sample(count), lenient=False)
                except Differs as difference:
                    say(f"  {server.name} does not find the same people: {difference}")
            servers = [*lenient, *([theirs] if theirs else [])]
            asked = [one.asked(BASE, _sample(count)) for one in self.plan.workloads if one.limit is not None]
            if asked:
                servers = [*servers, stack.enter_context(limit(self._new_folder(), ours.target, asked))]
            say(f"{load}: measuring")
            yield from compare(self.plan, count, servers, _sample(count), strict)
            yield Figure(load, "first start, which builds the book", f"{ours.started:.1f} s")
            if above is not None:
                yield from _memory(load, count, ours, above)

    def _variants(self) -> list[Variant]:
        """Return the gateways that take part, the usual one first."""
        found, before = [Variant()], self.before
        if not self.plan.workloads:
            return found
        if before and (before.root / COMPILED.name).exists() and COMPILED.exists():
            found.append(Variant(before=before))
        if COMPILED.exists() and (self.beside or before):  # tables show only how the gateway compares
            found.append(Variant(compiled=False))
        if before:
            found.append(Variant(compiled=False, before=before))
        if any(one.strict for one in self.plan.workloads):
            found += [replace(one, matching="strict") for one in found]
        return found

    def _homes(self, count: int, variants: Sequence[Variant]) -> list[Path]:
        """Return a folder for each gateway, with the store of its checkout."""
        filled: dict[Checkout | None, Path] = {None: self._home(alone(count))}
        if self.before:
            filled[self.before] = self._new_folder()
            self.before.seed(filled[self.before] / "state", count)
        homes = [filled[None], *(self._new_folder() for _ in variants[1:])]
        for one, home in zip(variants[1:], homes[1:], strict=True):
            shutil.copytree(filled[one.before] / "state", home / "state")
        return homes

    def beside_peers(self, count: int) -> list[Comparison]:
        """Measure a small book beside ldaptor's, after a check that strict matching finds what slapd finds."""
        say(f"{count:,} contacts: beside other servers")
        home = self._home(alone(count))
        with ExitStack() as stack:
            theirs = [stack.enter_context(self._slapd(count))] if self.beside else []
            if theirs:
                with gateway(home, knows(count - 1), Variant(matching="strict")) as strict:
                    check(strict.target, theirs[0].target, _sample(count), lenient=False)
            ours = stack.enter_context(gateway(home, knows(count - 1)))
            other = stack.enter_context(ldaptor(home / "ldaptor", count))
            return compare(self.plan, count, [*theirs, ours, other], _sample(count))

    def many_books(self, count: int, books: int) -> Iterator[Figure]:
        """Compare one book with many shared books of the same people."""
        load = f"{count:,} contacts in {books:,} books"
        say(load)
        homes = self._home(alone(count)), self._home(shared(count, books))
        plan = replace(self.plan, workloads=(WORKLOADS["prefix"],))
        with gateway(homes[0], knows(count - 1)) as one, gateway(homes[1], knows(count - 1)) as many:
            servers = (replace(one, name="one book"), replace(many, name="many books"))
            [comparison] = compare(plan, count, servers, _sample(count))
            yield Figure(load, "from start to first answer", f"{many.started:.1f} s")
        times = nan if comparison.errors else comparison.times("one book", "many books")
        text = f"{times:.2f} times that of one book"
        yield judged(load, "time of a search for two letters", times, "≤ 2 times", text=text)

    def over_http(self, count: int) -> Iterator[Figure]:
        """Measure what a gateway serves over HTTP while no other client asks it, but one phone."""
        load = f"{count:,} contacts, over HTTP"
        say(load)
        with gateway(self._home(alone(count)), knows(count - 1)) as server:
            yield from over_http(load, server, _sample(count), 4 * self.plan.seconds)

    def _home(self, made: Sequence[Account]) -> Path:
        home = self._new_folder()
        seed(home / "state", made)
        return home

    def _slapd(self, count: int) -> AbstractContextManager[Server]:
        folder = self._new_folder() / "slapd"
        load_slapd(folder, count)
        return slapd(folder, knows(count - 1))

    def _new_folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.folder))


def _memory(load: str, count: int, ours: Server, above: float) -> Iterator[Figure]:
    own = ours.resident - above
    text = f"{own:,.0f} MiB ({ours.resident:,.0f} in total)"
    # A process grows a little under load whatever it holds, so a small book has no goal.
    goal = f"≤ {150 * count // 100_000:,} MiB" if count >= 100_000 else ""
    yield judged(load, "memory above the empty process", own, goal, text=text)
    goal = "≤ 2,560 MiB" if count >= _MILLION else ""
    if ours.helpers:
        yield judged(load, "memory of the process that builds the book", ours.helpers, goal, unit="MiB", digits=0)
    yield judged(load, "memory of the gateway, maximum", ours.most_resident, goal, unit="MiB", digits=0)


def _sample(count: int) -> list[Person]:
    return [person(at) for at in range(0, count, max(1, count // _SAMPLE))]


# --- whether two servers find the same, before they are timed: a wrong answer is easily fast ---

_Found = dict[str, frozenset[tuple[str, bytes]]]


class Differs(Exception):
    """Raised if two servers do not both find what they should find."""


def check(ours: Target, theirs: Target, people: Sequence[Person], *, lenient: bool) -> None:
    """Ask two servers searches of the loads, without a size limit, and compare the entries with all asked values.

    With ``matching = "strict"``, the gateway has to find exactly what slapd finds.  Lenient matching finds more for
    parts of names (``mu`` finds Müller), so that slapd's answer has to be a part of ours; for numbers and for everybody
    both answers are the same.

    :raises Differs: if the answers are not as they should be.
    """
    found_by: Counter[str] = Counter()
    with Phone(ours) as one, Phone(theirs) as other:
        for load, text in _questions(people):
            is_literal = load in {"reverse", "presence", "everybody"}
            request = search(BASE, text, size=0)
            found, expected = _entries(one, request), _entries(other, request)
            if not (found == expected if is_literal or not lenient else expected.items() <= found.items()):
                raise Differs(f"{text}: {_difference(found, expected)}")
            found_by[load] += bool(found and expected)
    for load, count in found_by.items():
        if not count and load not in _OURS_ALONE:
            raise Differs(f"{load}: no search has found anybody")
    matching = "lenient" if lenient else "strict"
    say(f"  both servers find the same people in {found_by.total()} searches ({matching} matching)")


def _questions(people: Sequence[Person]) -> Iterator[tuple[str, str]]:
    """Yield the names of loads, each with some filters of the load."""
    for name, workload in WORKLOADS.items():
        for text in list(dict.fromkeys(workload.filters(people)))[:_CHECKED]:
            if text != EVERYBODY:  # the base has other entries besides people
                yield name, text
    yield "everybody", "(objectClass=inetOrgPerson)"


def _entries(phone: Phone, request: bytes) -> _Found:
    *found, done = phone.ask(request)
    if done.code:
        raise Differs(f"result code {done.code}")
    return {
        one.dn.lower(): _without_copy({(name, value) for name, values in one.attributes for value in values})
        for one in found
    }


def _without_copy(attributes: set[tuple[str, bytes]]) -> frozenset[tuple[str, bytes]]:
    """Return the attributes without a copy in telephoneNumber, which slapd returns and the gateway does not."""
    others = {value for name, value in attributes if name in ("mobile", "homePhone")}
    numbers = [attribute for attribute in attributes if attribute[0] == "telephoneNumber"]
    is_copy = len(numbers) == 1 and numbers[0][1] in others
    return frozenset(attributes.difference(numbers) if is_copy else attributes)


def _difference(ours: _Found, theirs: _Found) -> str:
    dn = next(name for name in sorted(ours.keys() | theirs.keys()) if ours.get(name) != theirs.get(name))
    told = [sorted(one[dn]) if dn in one else "not found" for one in (ours, theirs)]
    return f"{len(ours)} and {len(theirs)} entries; {dn}: {told[0]} and {told[1]}"
