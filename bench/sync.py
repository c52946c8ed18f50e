# SPDX-License-Identifier: MIT
"""The cost of syncs, also for a phone: a large first sync, some changes, starts, and thousands of accounts."""

from __future__ import annotations

import argparse
import gzip
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from statistics import median
from urllib.request import Request, urlopen

from sqlalchemy import update

from bench.people import person
from bench.phone import Sign, Watch, Watcher
from bench.programs.google import CHANGED, changed
from bench.programs.metered import longest
from bench.report import Figure, judged, say
from bench.seed import OWNER, Account, alone, seed
from bench.servers import Server, Variant, gateway, google, knows, peak, postgresql, tenant_name
from ldapgw.contact import Sharing
from ldapgw.server.state_dir import DATABASE_FILE
from ldapgw.store import accounts, tables
from ldapgw.store.accounts import SyncRequest
from ldapgw.store.database import Database
from ldapgw.store.engines import database_at
from ldapgw.store.sync_state import request_sync
from ldapgw.sync.account_state import read_changes
from ldapgw.sync.book_cache import FOLDER
from tests.support.site.running import wait_until

# The program that notes the turns of the gateway's reactor in a file.
_METERED = "bench.programs.metered"
_STARTS = 3
# The slowest hundredth of searches may take so many times its time while nothing happens.
_P99_GOAL = "≤ 1.5 × idle"
# Seconds between two syncs of an account: the gateway's default.
_INTERVAL = 600
# So many different groups of people are the contacts of all accounts.
_GROUPS = 50


def measure(given: argparse.Namespace, folder: Path) -> Iterator[Figure]:
    return chain.from_iterable(PARTS[part](folder / part, given) for part in given.only)


def _syncs(home: Path, given: argparse.Namespace) -> Iterator[Figure]:
    """Measure a full sync, one with changes and one without, and what a phone notices."""
    say(f"{given.contacts:,} contacts: preparing")
    books = range(given.contacts, given.contacts + given.beside)
    seed(home / "state", [Account(OWNER, range(0)), Account("bob@acme.example", books, Sharing.SHARED)])
    with (
        google(given.contacts, given.changes) as port,
        gateway(home, knows(books[-1]), Variant(google=port, program=(_METERED, str(home / "turns")))) as ours,
    ):
        yield from _Run(home, port, given, ours, Watcher(ours.target, [person(at) for at in books])).all()


@dataclass(frozen=True)
class _Run:
    """Syncs of one gateway, one after the other."""

    home: Path
    port: int
    given: argparse.Namespace
    ours: Server
    watcher: Watcher

    def all(self) -> Iterator[Figure]:
        self.watcher.watch(self.given.quiet / 5)
        say("nothing happens")
        idle = self.watcher.watch(self.given.quiet)
        yield Figure("nothing", "search, p50", f"{idle.milliseconds(50):.1f} ms")
        yield _p99("nothing", idle)
        yield _turn_figure("nothing", self.home / "turns", idle)
        yield Figure("nothing", "memory", f"{self.ours.resident:,.0f} MiB")
        contacts, changes, before = self.given.contacts, self.given.changes, self.ours.worked_by_all
        load, sign = f"full sync, {contacts:,}", Sign(person(0), person(contacts - 1))
        with peak(self.ours.pid) as most:
            yield from self._sync(load, SyncRequest.FULL, sign, idle)
        worked, goal = self.ours.worked_by_all - before, 25 * contacts / 100_000
        yield judged(load, "processor time of all its processes", worked, f"≤ {goal:g} s")
        yield Figure(load, "memory, maximum", f"{self.ours.most_resident:,.0f} MiB")
        yield Figure(load, "memory of all its processes, maximum", f"{most[-1]:,.0f} MiB")
        news = changed(contacts, changes)
        sign = Sign(news[0], news[-1], CHANGED)
        yield from self._sync(f"{changes:,} changes", SyncRequest.INCREMENTAL, sign, idle)
        say("no news")
        self._request(SyncRequest.INCREMENTAL)
        watch = self.watcher.watch(min(self.given.quiet, 3.0))
        yield _turn_figure("no news", self.home / "turns", watch, "≤ 5 ms")
        yield Figure("no news", "calls to Google", self._calls())

    def _sync(self, load: str, kind: SyncRequest, sign: Sign, idle: Watch) -> Iterator[Figure]:
        """Request a sync, and measure until it ends."""
        say(load)
        self._request(kind)
        watch = self.watcher.watch(self.given.patience, sign)
        self._wait_for_end()
        yield Figure(load, "until phones find them", f"{watch.seconds:.1f} s")
        yield Figure(load, "search, p50", f"{watch.milliseconds(50):.1f} ms")
        yield _p99(load, watch, idle)
        yield Figure(load, "searches that saw only part of a sync", str(watch.halves), "0", met=not watch.halves)
        yield _turn_figure(load, self.home / "turns", watch, "≤ 5 ms")
        yield Figure(load, "calls to Google", self._calls())

    def _request(self, kind: SyncRequest) -> None:
        """Request a sync as ``ldapgw sync`` does."""
        with database_of(self.home) as database, database.begin() as connection:
            [account] = accounts.find_by_address(connection, OWNER)
            request_sync(connection, account.id, kind)

    def _wait_for_end(self) -> None:
        """Wait until the end of a sync is stored, which is after phones have its contacts."""

        def is_over() -> bool:
            with database.begin() as connection:
                [account] = accounts.find_by_address(connection, OWNER)
            assert account.error is None, account.error
            return not account.syncing and account.requested_sync is None

        with database_of(self.home) as database:
            wait_until(is_over, "the sync ends", self.given.patience)

    def _calls(self) -> str:
        with urlopen(Request(f"http://127.0.0.1:{self.port}/calls"), timeout=30) as answer:
            calls = json.loads(gzip.decompress(answer.read()))
        groups = calls.pop("/v1/contactGroups", 0)
        return f"{sum(calls.values())}" + (f", and {groups} for labels" if groups else "")


def _starts(home: Path, given: argparse.Namespace) -> Iterator[Figure]:
    """Measure starts with all contacts stored, and nobody at Google's address."""
    load = f"start, {given.stored:,}"
    say(f"{load}: preparing")
    seed(home / "state", alone(given.stored))
    found = []
    for _ in range(1 + _STARTS):
        say(load)
        with gateway(home, knows(given.stored - 1)) as ours:
            found.append((ours.started, ours.worked_by_all, ours.most_resident, ours.helpers))
    (begun, *started), (worked, *_), most, helpers = zip(*found, strict=True)
    first, goal = f"first {load}", 10 * given.stored / 100_000
    yield Figure(first, "until the first right answer", f"{begun:.1f} s, with the build of the book")
    yield judged(first, "processor time of all its processes", worked, f"≤ {goal:g} s")
    yield Figure(first, "memory of the process that builds the book", f"{max(helpers):,.0f} MiB")
    yield starts_figure(load, "until the first right answer", started, "≤ 3 s")
    yield Figure(load, "memory, maximum", f"{max(most):,.0f} MiB")


@contextmanager
def database_of(home: Path, url: str = "") -> Iterator[Database]:
    """Open the database of a gateway, as another process does; the URL of SQLite's is empty."""
    with closing(database_at(url or f"sqlite:///{home / 'state' / DATABASE_FILE}")) as database:
        yield database


def _p99(load: str, watch: Watch, idle: Watch | None = None) -> Figure:
    p99 = watch.milliseconds(99)
    if idle is None:
        return Figure(load, "search, p99", f"{p99:.1f} ms")
    times = p99 / idle.milliseconds(99)
    return judged(load, "search, p99", times, _P99_GOAL, text=f"{p99:.1f} ms, {times:.1f} × idle")


# --- thousands of accounts ---


def _many(home: Path, given: argparse.Namespace) -> Iterator[Figure]:
    """Measure starts, changes, and the syncs of an interval."""
    with postgresql() if given.postgresql else nullcontext((None, "")) as (_, url):
        yield from _Thousands(home, url, given).all()


@dataclass(frozen=True)
class _Thousands:
    """Gateways with one store after the other; the URL of SQLite's database is empty."""

    home: Path
    url: str
    given: argparse.Namespace

    def all(self) -> Iterator[Figure]:
        load = f"{self.given.accounts:,} accounts"
        say(f"{load}: preparing")
        self._seed()
        yield from self._starts(load)
        with self._gateway(_METERED, str(self.home / "turns")) as ours:
            yield from self._changes(ours)
        # No account has any change, so Google needs no contacts.
        with google(1, 1) as port:
            self._spread()
            with self._gateway(_METERED, str(self.home / "turns"), port_of_google=port) as ours:
                yield from self._steady(load, ours)

    def _seed(self) -> None:
        made = []
        for at in range(self.given.accounts):
            # Some work for a change depends on the number of accounts in its tenant: half of them are in one company.
            tenant = tenant_name(at % self.given.tenants if at % 2 else 0)
            first = at % _GROUPS * self.given.each
            address = f"user{at}@{tenant}.example" if at else OWNER
            made.append(Account(address, range(first, first + self.given.each), tenant=tenant))
        seed(self.home / "state", made, database=self.url, phones_each=self.given.phones)

    def _gateway(self, *program: str, port_of_google: int = 1) -> AbstractContextManager[Server]:
        usual = Variant(database=self.url, tenants=self.given.tenants, ldap="", google=port_of_google)
        variant = replace(usual, program=program) if program else usual
        return gateway(self.home, knows(self.given.each - 1), variant)

    def _starts(self, load: str) -> Iterator[Figure]:
        started, most, cache = [], 0.0, self.home / "state" / FOLDER
        for number in range(1 + _STARTS):
            say(f"{load}: start")
            with self._gateway() as ours:
                started.append(ours.started)
                if number:
                    most = max(most, ours.most_resident)
                else:
                    self._change(0, 1)
                    # After a first start, some minutes pass until all books are in the cache.
                    wait_until(lambda: len([*cache.glob("*")]) >= self.given.accounts, "the books are saved", 600)
        yield judged(load, "first start, which builds the books", started.pop(0), "≤ 15 s")
        yield starts_figure(load, "start", started, "≤ 15 s")
        yield judged(load, "memory, maximum", most, "≤ 450 MiB", digits=0)

    def _changes(self, ours: Server) -> Iterator[Figure]:
        load, part = "one change", self.given.seconds / 6
        watcher = Watcher(ours.target, [person(at) for at in range(1000)])
        time.sleep(part)  # until the work that a start leaves is done
        say(load)
        before = ours.worked
        time.sleep(2 * part)
        idle = (ours.worked - before) / (2 * part)
        count = max(3, int(self.given.seconds / 3))
        before, begun = ours.worked, time.monotonic()
        for number in range(count):
            self._change(number, 1)
            time.sleep(1.5)
        each = (ours.worked - before - idle * (time.monotonic() - begun)) / count * 1000
        yield judged(load, "processor time for the change", each, "≤ 20 ms")
        reads = self._reads(count)
        text = f"{median(reads):.1f} ms, {max(reads):.1f} at most"
        yield judged(load, "reading it from the database", median(reads), "≤ 20 ms", text=text)
        yield _turn_figure(load, self.home / "turns", Watch(begun, time.monotonic()), "≤ 20 ms")
        say("nothing happens")
        quiet = watcher.watch(part)
        yield _p99("no change", quiet)
        load = f"{self.given.shared} changes"
        say(load)
        with ThreadPoolExecutor(1) as pool:
            changes = pool.submit(self._change, 1000, self.given.shared)
            watch = watcher.watch(part)
            changes.result()
        # The changes share books, and a search among more people takes longer, also when nothing happens any more.
        time.sleep(part)
        quiet = max(quiet, watcher.watch(part), key=lambda each: each.milliseconds(99))
        yield _p99(load, watch, quiet)
        yield _turn_figure(load, self.home / "turns", watch, "≤ 20 ms")

    def _steady(self, load: str, ours: Server) -> Iterator[Figure]:
        load = f"{load} every {_INTERVAL // 60} minutes"
        say(load)
        time.sleep(self.given.seconds / 6)
        before, begun = ours.worked, time.monotonic()
        time.sleep(self.given.seconds)
        watch = Watch(begun, time.monotonic())
        part = (ours.worked - before) / watch.seconds
        yield Figure(load, "processor time, part of a core", f"{part * 100:.1f} %")
        goal = "≤ 12 ms" if self.url else "≤ 4 ms"
        each = part * _INTERVAL / self.given.accounts * 1000
        yield judged(load, "processor time for each sync", each, goal)
        yield _turn_figure(load, self.home / "turns", watch, "≤ 20 ms")

    def _change(self, start: int, count: int) -> None:
        """Share some books or make them private again, as commands do: each in a transaction of its own."""
        with database_of(self.home, self.url) as database:
            for number in range(start, start + count):
                with database.begin() as connection:
                    account = accounts.read(connection, 2 + number % (self.given.accounts - 1))
                    assert account is not None
                    is_shared = account.sharing is Sharing.SHARED
                    accounts.set_sharing(connection, account.id, Sharing.PRIVATE if is_shared else Sharing.SHARED, "")

    def _reads(self, count: int) -> list[float]:
        """Return the milliseconds in which a change is read from the database, as a gateway reads it."""
        taken = []
        with database_of(self.home, self.url) as database:
            with database.begin_read() as connection:
                cursor = read_changes(connection, None)[0].cursor
            for number in range(count):
                self._change(number, 1)
                begun = time.perf_counter()
                with database.begin_read() as connection:
                    news, _ = read_changes(connection, cursor)
                taken.append((time.perf_counter() - begun) * 1000)
                assert not news.is_whole
                cursor = news.cursor
        return taken

    def _spread(self) -> None:
        """Spread the next syncs of all accounts over an interval."""
        draw, now = random.Random(1), time.time()  # noqa: TID251  the bench is an entry point
        with database_of(self.home, self.url) as database, database.begin() as connection:
            for account_id in range(1, self.given.accounts + 1):
                due = update(tables.account).where(tables.account.c.id == account_id)
                connection.execute(due.values(next_sync=now + draw.uniform(0, _INTERVAL)))


def starts_figure(load: str, what: str, seconds: Sequence[float], goal: str, more: str = "") -> Figure:
    """Return the median of some starts, with each of them.

    :param more: what the figure says besides.
    """
    middle = median(seconds)
    text = f"{middle:.1f} s ({', '.join(f'{one:.1f}' for one in seconds)}){more}"
    return judged(load, what, middle, goal, text=text)


def _turn_figure(load: str, turns: Path, watch: Watch, goal: str = "") -> Figure:
    """Return for how long nobody was served, at most, while a phone watched.

    :param turns: the file of `bench.programs.metered`.
    :param goal: the goal as `judged` takes it; the time in which the thread had no processor does not count.
    """
    turn = longest(turns, watch.begun, watch.ended)
    what, taken, queued = "longest reactor turn", turn.taken * 1000, turn.queued * 1000
    text = f"{taken:.1f} ms" + (f", {queued:.1f} of it waiting for a processor" if queued >= 1 else "")
    return judged(load, what, taken - queued, goal, text=text)


PARTS: Mapping[str, Callable[[Path, argparse.Namespace], Iterator[Figure]]] = {
    "syncs": _syncs,
    "start": _starts,
    "many": _many,
}
