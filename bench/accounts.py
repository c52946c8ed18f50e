# SPDX-License-Identifier: MIT
"""Thousands of accounts: the cost of starts, changes and usual syncs, and what a phone notices.

The module also makes figures of starts and of reactor turns for other benches.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from sqlalchemy import update

from bench.people import person
from bench.phone import Watch, Watcher
from bench.process import Server
from bench.programs.metered import longest
from bench.report import Figure, judged, say
from bench.seed import OWNER, Account, seed
from bench.servers import Variant, gateway, google, knows, postgresql, tenant_name
from ldapgw.contact import Sharing
from ldapgw.server.state_dir import DATABASE_FILE
from ldapgw.store import accounts, tables
from ldapgw.store.database import Database
from ldapgw.store.engines import database_at
from ldapgw.sync.account_state import read_changes
from ldapgw.sync.book_cache import FOLDER

# The program that notes the turns of the gateway's reactor in a file.
METERED = "bench.programs.metered"
# The multiple of its idle figure that the slowest hundredth of searches may take.
P99_GOAL = 1.5
# Milliseconds for a change, and for the longest reactor turn; seconds for a start; MiB.
_CHANGE_GOAL, _TURN_GOAL = 20.0, 20.0
_START_GOAL = 15.0
_MEMORY_GOAL = 450.0
# Milliseconds of processor time for a sync with nothing new.
_SYNC_GOAL, _SYNC_GOAL_POSTGRESQL = 4.0, 12.0
# Seconds between two syncs of an account: the gateway's default.
_INTERVAL = 600
# So many different groups of people are the contacts of all accounts.
_GROUPS = 50
_STARTS = 3


@dataclass(frozen=True)
class Many:
    """The number of everything.

    :ivar contacts: of each account.
    :ivar phones: of each account.
    :ivar seconds: of each part that is measured for a time.
    """

    accounts: int = 10_000
    contacts: int = 20
    tenants: int = 50
    phones: int = 2
    changes: int = 100
    seconds: float = 60.0


_QUICK = Many(accounts=60, contacts=3, tenants=3, changes=5, seconds=2.0)


def many(home: Path, *, quick: bool, on_postgresql: bool) -> Iterator[Figure]:
    """Measure starts, changes, and the syncs of an interval."""
    with postgresql() if on_postgresql else nullcontext((None, "")) as (_, url):
        yield from _Run(home, url, _QUICK if quick else Many()).all()


@dataclass(frozen=True)
class _Run:
    """Gateways with one store after the other.

    :ivar url: the URL of the database; empty: SQLite.
    """

    home: Path
    url: str
    size: Many

    def all(self) -> Iterator[Figure]:
        load = f"{self.size.accounts:,} accounts"
        say(f"{load}: preparing")
        self._seed()
        yield from self._starts(load)
        with self._gateway(is_metered=True) as ours:
            yield from self._changes(ours)
        # No account has any change, so Google needs no contacts.
        with google(1, 1) as port:
            self._spread()
            with self._gateway(port_of_google=port, is_metered=True) as ours:
                yield from self._steady(load, ours)

    def _seed(self) -> None:
        made = []
        for at in range(self.size.accounts):
            tenant = tenant_name(at % self.size.tenants)
            first = at % _GROUPS * self.size.contacts
            address = f"user{at}@{tenant}.example" if at else OWNER
            made.append(Account(address, range(first, first + self.size.contacts), tenant=tenant))
        seed(self.home / "state", made, database=self.url, phones_each=self.size.phones)

    @contextmanager
    def _gateway(self, *, port_of_google: int = 1, is_metered: bool = False) -> Iterator[Server]:
        program = (METERED, str(self._turns)) if is_metered else ("ldapgw",)
        variant = Variant(google=port_of_google, program=program, database=self.url, tenants=self.size.tenants, ldap="")
        with gateway(self.home, knows(self.size.contacts - 1), variant) as ours:
            yield ours

    @contextmanager
    def _database(self) -> Iterator[Database]:
        with closing(database_at(self.url or f"sqlite:///{self.home / 'state' / DATABASE_FILE}")) as database:
            yield database

    @property
    def _turns(self) -> Path:
        return self.home / "turns"

    def _starts(self, load: str) -> Iterator[Figure]:
        started, most = [], 0.0
        for number in range(1 + _STARTS):
            say(f"{load}: start")
            with self._gateway() as ours:
                started.append(ours.started)
                if number:
                    most = max(most, ours.most_resident)
                else:
                    self._wait_for_cache()
        yield judged(load, "first start, which builds the books", started.pop(0), "≤", _START_GOAL, "s")
        yield starts_figure(load, "start", started, _START_GOAL)
        yield judged(load, "memory, maximum", most, "≤", _MEMORY_GOAL, "MiB", digits=0)

    def _wait_for_cache(self) -> None:
        """Wait until all books are in the cache, which takes some minutes after a first start."""
        self._change(0, 1)
        until, cache = time.monotonic() + 600, self.home / "state" / FOLDER
        # The first book that is saved makes the folder.
        while not cache.exists() or len(list(cache.iterdir())) < self.size.accounts:
            assert time.monotonic() < until, "the books are not saved"
            time.sleep(0.5)

    def _changes(self, ours: Server) -> Iterator[Figure]:
        load, part = "one change", self.size.seconds / 6
        watcher = Watcher(ours.target, [person(at) for at in range(1000)])
        time.sleep(part)  # until the work that a start leaves is done
        say(load)
        before = sum(ours.worked)
        time.sleep(2 * part)
        idle = (sum(ours.worked) - before) / (2 * part)
        count = max(3, int(self.size.seconds / 3))
        before, begun = sum(ours.worked), time.monotonic()
        for number in range(count):
            self._change(number, 1)
            time.sleep(1.5)
        each = (sum(ours.worked) - before - idle * (time.monotonic() - begun)) / count * 1000
        yield judged(load, "processor time for the change", each, "≤", _CHANGE_GOAL, "ms")
        reads = self._reads(count)
        text = f"{median(reads):.1f} ms, {max(reads):.1f} at most"
        yield judged(load, "reading it from the database", median(reads), "≤", _CHANGE_GOAL, "ms", text=text)
        yield turn_figure(load, self._turns, Watch(begun, time.monotonic()), _TURN_GOAL)
        say("nothing happens")
        idle_p99 = watcher.quiet(part).milliseconds(99)
        yield Figure("no change", "search, p99", f"{idle_p99:.1f} ms")
        load = f"{self.size.changes} changes"
        say(load)
        watch = watcher.until_done(lambda: self._change(1000, self.size.changes), part)
        p99 = watch.milliseconds(99)
        text = f"{p99:.1f} ms, {p99 / idle_p99:.1f} × idle"
        yield judged(load, "search, p99", p99 / idle_p99, "≤", P99_GOAL, "× idle", text=text)
        yield turn_figure(load, self._turns, watch, _TURN_GOAL)

    def _steady(self, load: str, ours: Server) -> Iterator[Figure]:
        load = f"{load} every {_INTERVAL // 60} minutes"
        say(load)
        time.sleep(self.size.seconds / 6)
        before, begun = sum(ours.worked), time.monotonic()
        time.sleep(self.size.seconds)
        watch = Watch(begun, time.monotonic())
        part = (sum(ours.worked) - before) / watch.seconds
        yield Figure(load, "processor time, part of a core", f"{part * 100:.1f} %")
        goal = _SYNC_GOAL_POSTGRESQL if self.url else _SYNC_GOAL
        each = part * _INTERVAL / self.size.accounts * 1000
        yield judged(load, "processor time for each sync", each, "≤", goal, "ms")
        yield turn_figure(load, self._turns, watch, _TURN_GOAL)

    def _change(self, start: int, count: int) -> None:
        """Share some books or make them private again, as commands do: each in a transaction of its own."""
        with self._database() as database:
            for number in range(start, start + count):
                with database.begin() as connection:
                    account = accounts.read(connection, 2 + number % (self.size.accounts - 1))
                    assert account is not None
                    is_shared = account.sharing is Sharing.SHARED
                    accounts.set_sharing(connection, account.id, Sharing.PRIVATE if is_shared else Sharing.SHARED, "")

    def _reads(self, count: int) -> list[float]:
        """Return the milliseconds in which a change is read from the database, as a gateway reads it."""
        taken = []
        with self._database() as database:
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
        with self._database() as database, database.begin() as connection:
            for account_id in range(1, self.size.accounts + 1):
                due = update(tables.account).where(tables.account.c.id == account_id)
                connection.execute(due.values(next_sync=now + draw.uniform(0, _INTERVAL)))


def starts_figure(load: str, what: str, seconds: Sequence[float], goal: float, more: str = "") -> Figure:
    """Return the median of some starts, with each of them.

    :param more: what the figure says besides.
    """
    middle = median(seconds)
    text = f"{middle:.1f} s ({', '.join(f'{one:.1f}' for one in seconds)}){more}"
    return judged(load, what, middle, "≤", goal, "s", text=text)


def turn_figure(load: str, turns: Path, watch: Watch, goal: float | None) -> Figure:
    """Return for how long nobody was served, at most, while a phone watched.

    :param turns: the file of `bench.programs.metered`.
    :param goal: milliseconds; the time in which the thread had no processor does not count.
    """
    turn = longest(turns, watch.begun, watch.ended)
    what, taken, queued = "longest reactor turn", turn.taken * 1000, turn.queued * 1000
    text = f"{taken:.1f} ms" + (f", {queued:.1f} of it waiting for a processor" if queued >= 1 else "")
    if goal is None:
        return Figure(load, what, text)
    return judged(load, what, taken - queued, "≤", goal, "ms", text=text)
