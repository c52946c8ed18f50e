# SPDX-License-Identifier: MIT
"""The parts of the bench, each with servers of its own: what they find is comparisons and single figures."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from math import inf, nan
from pathlib import Path

from bench.asking import WORKLOADS
from bench.directory import checking, http
from bench.directory.before import Checkout
from bench.directory.dav import DavClient
from bench.directory.rounds import Comparison, Plan, compare
from bench.directory.servers import BASE, COMPILED, LOGIN, Variant, gateway, knows, lets_in, limit, load_slapd, slapd
from bench.directory.stock import Stock
from bench.people import Person, ldif, person
from bench.phone import Target, measure
from bench.process import Server, running
from bench.report import Figure, say
from bench.seed import OWNER, PHONE, SECRET, Account, alone, seed, shared
from tests.support.site.running import free_ports

# MiB for each 100,000 contacts, above the empty process.
MEMORY_GOAL = 150
MILLION = 1_000_000
# MiB of the whole process.
MILLION_GOAL = 2560
# Answers a second.
CALLERS_GOAL = 1500
UNCHANGED_GOAL = 3000
# Milliseconds.
PHONES_GOAL = 50
# So many contacts that a client of CardDAV reads first, in seconds; and then a look for changes, in milliseconds.
DAV_CONTACTS = 5_000
FIRST_SYNC_GOAL = 2.0
LOOK_GOAL = 5.0
_LOOKS = 500
# How many times the time of one book.
BOOKS_GOAL = 2.0
# The part of a book from which the words come that are asked for.
_SAMPLE = 20_000


@dataclass(frozen=True)
class Setting:
    """What all parts need.

    :ivar folder: where servers have their folders.
    :ivar beside: whether slapd takes part.
    :ivar before: another checkout that takes part.
    """

    folder: Path
    stock: Stock
    plan: Plan
    beside: bool
    before: Checkout | None = None


def empty(setting: Setting) -> float:
    """MiB of a gateway that knows nobody."""
    home = _home(setting, "empty", (Account("alice@acme.example", range(0)),))
    with gateway(home, lets_in) as ours:
        return ours.resident


def sized(setting: Setting, count: int, above: float | None) -> Iterator[Comparison | Figure]:
    """A book of so many contacts.

    :param above: MiB of the empty process; None: memory is not asked for.
    """
    load = f"{count:,} contacts"
    say(f"{load}: filling the stores")
    home = _home(setting, f"alone-{count}", alone(count))
    variants = _variants(setting)
    homes = _homes(setting, home, count, variants)
    with ExitStack() as stack:
        theirs = stack.enter_context(_slapd(setting, count)) if setting.beside else None
        started = [
            (one, stack.enter_context(gateway(at, knows(count - 1), one)))
            for one, at in zip(variants, homes, strict=True)
        ]
        lenient = [server for one, server in started if one.matching == "lenient"]
        strict = [server for one, server in started if one.matching == "strict"]
        ours = lenient[0]
        say(f"{load}: measuring")
        if theirs:
            _check(ours, theirs, count, lenient=True)
        if theirs and strict:
            _check(strict[0], theirs, count, lenient=False)
        for one, server in started:
            if one.before and one.matching == "lenient":
                _tell_difference(ours, server, count)
        servers = [*lenient, theirs] if theirs else lenient
        asked = [one.asked(BASE, _sample(count)) for one in setting.plan.workloads if one.limit is not None]
        if asked:
            folder = Path(tempfile.mkdtemp(dir=setting.folder))
            servers = [*servers, stack.enter_context(limit(folder, ours.target, asked))]
        yield from compare(setting.plan, count, servers, _sample(count), strict)
        yield Figure(load, "first start, which builds the book", f"{ours.started:.1f} s")
        if above is not None:
            yield from _memory(load, count, ours, above)


def _variants(setting: Setting) -> list[Variant]:
    """The gateways that take part, the usual one first; those of another checkout right behind their like."""
    usual, before = Variant(), setting.before
    if not setting.plan.workloads:
        return [usual]
    found = [usual]
    if before and before.is_compiled and COMPILED.exists():
        found.append(Variant(before=before))
    if COMPILED.exists() and (setting.beside or before):  # all that is shown of it is how it compares
        found.append(Variant(compiled=False))
    if before:
        found.append(Variant(compiled=False, before=before))
    if any(one.strict for one in setting.plan.workloads):
        found += [replace(one, matching="strict") for one in found]
    return found


def _homes(setting: Setting, home: Path, count: int, variants: Sequence[Variant]) -> list[Path]:
    """A folder for each, with the store of its checkout; the first has that which is given."""
    filled: dict[Checkout | None, Path] = {None: home}
    if setting.before:
        filled[setting.before] = Path(tempfile.mkdtemp(dir=setting.folder))
        now = time.time()  # noqa: TID251  the bench is an entry point
        setting.before.seed(filled[setting.before] / "state", count, now)
    return [home, *(_copy(setting, filled[one.before]) for one in variants[1:])]


def _copy(setting: Setting, home: Path) -> Path:
    """The same store in another folder; no gateway may run in the one that is copied."""
    made = Path(tempfile.mkdtemp(dir=setting.folder))
    shutil.copytree(home / "state", made / "state")
    return made


def _memory(load: str, count: int, ours: Server, above: float) -> Iterator[Figure]:
    own = ours.resident - above
    # A process grows a little under load whatever it holds; a small book cannot be judged by that.
    goal = MEMORY_GOAL * count / 100_000 if count >= 100_000 else inf
    asked = f"≤ {goal:,.0f} MiB" if goal < inf else ""
    text = f"{own:,.0f} MiB ({ours.resident:,.0f} in total)"
    yield Figure(load, "memory above the empty process", text, asked, met=own <= goal)
    limit = MILLION_GOAL if count >= MILLION else inf
    asked = f"≤ {limit:,} MiB" if limit < inf else ""
    for name, most in (
        ("the process that builds the book", ours.helpers),
        ("the gateway, maximum", ours.most_resident),
    ):
        if most:
            yield Figure(load, f"memory of {name}", f"{most:,.0f} MiB", asked, met=most <= limit)


def small(setting: Setting, count: int) -> Iterator[Comparison]:
    """A small book beside ldaptor, which holds it in memory too; and whether strict matching finds what slapd finds."""
    say(f"{count:,} contacts: beside other servers")
    home = _home(setting, f"alone-{count}", alone(count))
    with ExitStack() as stack:
        theirs = stack.enter_context(_slapd(setting, count)) if setting.beside else None
        if theirs:
            with gateway(home, knows(count - 1), Variant(matching="strict")) as strict:
                _check(strict, theirs, count, lenient=False)
        servers = [*([theirs] if theirs else []), stack.enter_context(gateway(home, knows(count - 1)))]
        servers.append(stack.enter_context(_ldaptor(home, count)))
        yield from compare(setting.plan, count, servers, _sample(count))


@contextmanager
def _ldaptor(home: Path, count: int) -> Iterator[Server]:
    """Run ldaptor's own server with the same people."""
    folder = home / "ldaptor"
    folder.mkdir()
    people = folder / "people.ldif"
    with people.open("w", encoding="utf-8") as file:
        file.writelines(ldif(map(person, range(count)), BASE, OWNER, PHONE, SECRET))
    [port] = free_ports(1)
    command = [sys.executable, "-m", "bench.programs.ldaptor", str(port), people]
    with running("ldaptor", command, folder, Target(port, 0, BASE, LOGIN, SECRET), knows(count - 1)) as server:
        yield server


def many_books(setting: Setting, count: int, books: int) -> Iterator[Figure]:
    """The same people in one book and in many shared ones."""
    load = f"{count:,} contacts in {books:,} books"
    say(load)
    one_home = _home(setting, f"alone-{count}", alone(count))
    many_home = _home(setting, f"shared-{count}-{books}", shared(count, books))
    plan = replace(setting.plan, workloads=(WORKLOADS["prefix"],))
    with gateway(one_home, knows(count - 1)) as one, gateway(many_home, knows(count - 1)) as many:
        servers = (replace(one, name="one book"), replace(many, name=f"{books:,} books"))
        [comparison] = compare(plan, count, servers, _sample(count))
        yield Figure(load, "from start to first answer", f"{many.started:.1f} s")
    times = comparison.times(servers[0].name, servers[1].name) or nan
    text = f"{times:.2f} times that of one book"
    met = times <= BOOKS_GOAL and not comparison.errors
    yield Figure(load, "time of a search for two letters", text, f"≤ {BOOKS_GOAL:g} times", met=met)


def over_http(setting: Setting, count: int) -> Iterator[Figure]:
    """Callers' names, phone books and the contact feed over HTTP, of a gateway that nobody else asks, but one phone."""
    load = f"{count:,} contacts, over HTTP"
    say(load)
    home = _home(setting, f"alone-{count}", alone(count))
    seconds = 4 * setting.plan.seconds
    with gateway(home, knows(count - 1)) as server:
        port = http.web_port(home / "ldapgw.toml")
        people = _sample(count)
        callers = http.caller_requests(server.target, people)
        for what, accept in (("a caller's name", ""), ("the same as JSON", "application/json")):
            rate = http.answers_a_second(port, [http.accepting(one, accept) for one in callers], (200, 404), seconds)
            met = rate >= CALLERS_GOAL
            yield Figure(load, what, f"{rate:,.0f} answers a second", f"≥ {CALLERS_GOAL:,}", met=met)
        books = http.book_requests(server.target, people)
        for (what, goal), request in books.items():
            rate = http.answers_a_second(port, [request], (200,), seconds)
            yield Figure(load, what, f"{rate:,.0f} answers a second", f"≥ {goal:,}", met=rate >= goal)
        unchanged = http.conditional(port, books[http.WHOLE_BOOK])
        rate = http.answers_a_second(port, [unchanged], (304,), seconds)
        text, goal_text = f"{rate:,.0f} answers a second", f"≥ {UNCHANGED_GOAL:,}"
        yield Figure(load, "the same, as a phone has it", text, goal_text, met=rate >= UNCHANGED_GOAL)
        changed = http.new_books(server.target)
        rate = http.answers_a_second(port, changed, (200,), seconds)
        yield Figure(load, "the same, written anew", f"{rate:,.1f} answers a second")
        feed, (what, goal) = http.feed_request(server.target), http.WHOLE_FEED
        rate = http.answers_a_second(port, [feed], (200,), seconds)
        yield Figure(load, what, f"{rate:,.0f} answers a second", f"≥ {goal:,}", met=rate >= goal)
        rate = http.answers_a_second(port, [http.conditional(port, feed)], (304,), seconds)
        text = f"{rate:,.0f} answers a second"
        yield Figure(load, "the feed, as a softphone has it", text, goal_text, met=rate >= UNCHANGED_GOAL)
        rate = http.answers_a_second(port, http.new_books(server.target, "contacts.json"), (200,), seconds)
        yield Figure(load, "the feed, written anew", f"{rate:,.1f} answers a second")
        yield from _address_book(load, server, port)
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(http.answers_a_second, port, changed, (200,), 2 * seconds)
            latency = measure(server.target, seconds)
            reading.result()
        text = f"{latency.p99:.1f} ms"
        yield Figure(
            load, "search over LDAP meanwhile, p99", text, f"< {PHONES_GOAL} ms", met=latency.p99 < PHONES_GOAL
        )


def _address_book(load: str, server: Server, port: int) -> Iterator[Figure]:
    """What CardDAV costs: the gateway's processor time, of a first sync and of looks that find nothing changed."""
    with closing(DavClient(server.target, port)) as client:
        book = client.book()
        before = sum(server.worked)
        read, token = client.first_sync(book)
        spent = (sum(server.worked) - before) * DAV_CONTACTS / read
        text, goal = f"{spent:.2f} s", f"≤ {FIRST_SYNC_GOAL:g} s"
        what = f"CardDAV, the first sync of {DAV_CONTACTS:,}, the gateway's time"
        yield Figure(load, what, text, goal, met=spent <= FIRST_SYNC_GOAL)
        before = sum(server.worked)
        for _ in range(_LOOKS):
            changed, token = client.changes(book, token)
            assert not changed
        spent = (sum(server.worked) - before) / _LOOKS * 1000
        text, goal = f"{spent:.1f} ms", f"≤ {LOOK_GOAL:g} ms"
        yield Figure(load, "the same, nothing has changed", text, goal, met=spent <= LOOK_GOAL)


def _check(ours: Server, theirs: Server, count: int, *, lenient: bool) -> None:
    if checking.PROGRAM is None:
        say("  without ldapsearch (Debian's ldap-utils) nobody checks that both find the same")
        return
    asked = checking.agree(ours.target, theirs.target, _sample(count), lenient=lenient)
    say(f"  ldapsearch finds the same in both, asked {asked} times ({'lenient' if lenient else 'strict'} matching)")


def _tell_difference(ours: Server, before: Server, count: int) -> None:
    """Rates of searches that find different things say little; but what is found may change."""
    if checking.PROGRAM is None:
        return
    try:
        checking.agree(ours.target, before.target, _sample(count), lenient=False)
    except checking.Differs as difference:
        say(f"  {before.name}: ldapsearch does not find the same: {difference}")
    else:
        say(f"  {before.name}: ldapsearch finds the same")


def _home(setting: Setting, name: str, made: Sequence[Account]) -> Path:
    """A folder for a gateway, with its store filled.

    :param name: of what is made, the same for the same accounts.
    """
    home = Path(tempfile.mkdtemp(dir=setting.folder))
    now = time.time()  # noqa: TID251  the bench is an entry point
    setting.stock.bring(home / "state", name, lambda state: seed(state, made, now))
    return home


def _slapd(setting: Setting, count: int) -> AbstractContextManager[Server]:
    home = Path(tempfile.mkdtemp(dir=setting.folder))
    folder = setting.stock.bring(home / "slapd", f"slapd-{count}", lambda made: load_slapd(made, count))
    return slapd(folder, knows(count - 1))


def _sample(count: int) -> list[Person]:
    return [person(at) for at in range(0, count, max(1, count // _SAMPLE))]
