# SPDX-License-Identifier: MIT
"""What a sync costs, and what a phone notices of it: a large first sync, some changes, and starts with all contacts."""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.request import Request, urlopen

from bench import accounts as thousands
from bench.accounts import METERED, P99_GOAL, starts_figure, turn_figure
from bench.people import person
from bench.phone import Sign, Watch, Watcher
from bench.process import Peak, Server
from bench.programs.google import CHANGED, changed
from bench.report import Figure, Results, judged, results_of, say
from bench.seed import OWNER, Account, alone, seed
from bench.servers import Variant, gateway, google, knows
from ldapgw.contact import Sharing
from ldapgw.server.state_dir import DATABASE_FILE
from ldapgw.store import accounts
from ldapgw.store.accounts import SyncRequest
from ldapgw.store.engines import database_at
from ldapgw.store.sync_state import request_sync

# Milliseconds of the longest reactor turn.
_TURN_GOAL = 5.0
# Seconds until a phone gets the right answer.
_START_GOAL = 3.0
# Seconds of processor time for a first sync of 100,000 contacts, and for a start that has to build their book.
_WORK_GOAL, _BUILD_GOAL = 25.0, 10.0
_STARTS = 3


@dataclass(frozen=True)
class Scale:
    """The size of each part.

    :ivar contacts: the contacts at Google.
    :ivar beside: the contacts of another book, which the phone searches meanwhile.
    :ivar stored: the contacts of a start.
    :ivar quiet: seconds in which nothing happens.
    :ivar patience: seconds that a sync may take.
    """

    contacts: int = 50_000
    changes: int = 100
    beside: int = 10_000
    stored: int = 100_000
    quiet: float = 10.0
    patience: float = 900.0


_FULL = Scale()
_QUICK = Scale(contacts=2_500, beside=300, stored=500, quiet=0.5, patience=60.0)


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--contacts", type=int, default=_FULL.contacts, metavar="N", help="that Google has (default: %(default)s)")
    add("--stored", type=int, default=_FULL.stored, metavar="N", help="at the start (default: %(default)s)")
    add("--only", choices=("syncs", "start", "many"), help="one of the parts")
    add("--postgresql", action="store_true", help="the database of the accounts is on a PostgreSQL server")


def measure(given: argparse.Namespace, folder: Path) -> Results:
    scale = _QUICK if given.quick else replace(_FULL, contacts=given.contacts, stored=given.stored)
    figures: list[Figure] = []
    for part in (given.only,) if given.only else ("syncs", "start", "many"):
        home = Path(tempfile.mkdtemp(dir=folder))
        if part == "many":
            measured = thousands.many(home, quick=given.quick, on_postgresql=given.postgresql)
        else:
            measured = (_syncs if part == "syncs" else _starts)(home, scale)
        for figure in measured:
            say(f"  {figure.load}: {figure.what}: {figure.text}")
            figures.append(figure)
    return results_of("While", "What", figures)


def _syncs(home: Path, scale: Scale) -> Iterator[Figure]:
    """Measure a full sync, one with changes and one without, and what a phone notices."""
    say(f"{scale.contacts:,} contacts: preparing")
    books = range(scale.contacts, scale.contacts + scale.beside)
    seed(home / "state", [Account(OWNER, range(0)), Account("bob@acme.example", books, Sharing.SHARED)])
    turns = home / "turns"
    with (
        google(scale.contacts, scale.changes) as port,
        gateway(home, knows(books[-1]), Variant(google=port, program=(METERED, str(turns)))) as ours,
    ):
        watcher = Watcher(ours.target, [person(at) for at in books])
        watcher.quiet(scale.quiet / 5)
        say("nothing happens")
        idle = watcher.quiet(scale.quiet)
        yield from _searches("nothing", idle, None)
        yield turn_figure("nothing", turns, idle, None)
        yield Figure("nothing", "memory", f"{ours.resident:,.0f} MiB")
        run = _Run(home, port, scale, ours, watcher, idle, turns)
        yield from run.full()
        yield from run.incremental()
        yield from run.without_news()


@dataclass(frozen=True)
class _Run:
    """Syncs of one gateway, one after the other."""

    home: Path
    port: int
    scale: Scale
    ours: Server
    watcher: Watcher
    idle: Watch
    turns: Path

    def full(self) -> Iterator[Figure]:
        load = f"full sync, {self.scale.contacts:,}"
        say(load)
        sign = Sign(person(0), person(self.scale.contacts - 1))
        before = self.ours.worked_by_all
        with Peak(self.ours.pid) as peak:
            watch = self.watcher.until(sign, lambda: self._request(SyncRequest.FULL), self.scale.patience)
            self._wait_for_end()
        rate = self.scale.contacts / watch.seconds
        worked, goal = self.ours.worked_by_all - before, _WORK_GOAL * self.scale.contacts / 100_000
        yield Figure(load, "until phones find them", f"{watch.seconds:.1f} s, {rate:,.0f} a second")
        yield judged(load, "processor time of all its processes", worked, "≤", goal, "s")
        yield from self._noticed(load, watch)
        yield Figure(load, "memory, maximum", f"{self.ours.most_resident:,.0f} MiB")
        yield Figure(load, "memory of all its processes, maximum", f"{peak.most:,.0f} MiB")

    def incremental(self) -> Iterator[Figure]:
        load = f"{self.scale.changes:,} changes"
        say(load)
        news = changed(self.scale.contacts, self.scale.changes)
        sign = Sign(news[0], news[-1], CHANGED)
        watch = self.watcher.until(sign, lambda: self._request(SyncRequest.INCREMENTAL), self.scale.patience)
        yield Figure(load, "until phones find them", f"{watch.seconds:.1f} s")
        yield from self._noticed(load, watch)
        self._wait_for_end()

    def without_news(self) -> Iterator[Figure]:
        load = "no news"
        say(load)
        self._request(SyncRequest.INCREMENTAL)
        watch = self.watcher.quiet(min(self.scale.quiet, 3.0))
        yield turn_figure(load, self.turns, watch, _TURN_GOAL)
        yield Figure(load, "calls to Google", self._calls())

    def _noticed(self, load: str, watch: Watch) -> Iterator[Figure]:
        yield from _searches(load, watch, self.idle)
        yield Figure(load, "searches that saw only part of a sync", str(watch.halves), "0", met=not watch.halves)
        yield turn_figure(load, self.turns, watch, _TURN_GOAL)
        yield Figure(load, "calls to Google", self._calls())

    def _request(self, kind: SyncRequest) -> None:
        """Request a sync as ``ldapgw sync`` does."""
        with closing(database_at(self._database)) as database, database.begin() as connection:
            [account] = accounts.find_by_address(connection, OWNER)
            request_sync(connection, account.id, kind)

    def _wait_for_end(self) -> None:
        """Wait until the end of a sync is stored, which is after phones have its contacts."""
        until = time.monotonic() + self.scale.patience
        with closing(database_at(self._database)) as database:
            while time.monotonic() < until:
                with database.begin() as connection:
                    [account] = accounts.find_by_address(connection, OWNER)
                if not account.syncing and account.requested_sync is None:
                    assert account.error is None, account.error
                    return
                time.sleep(0.2)
        raise TimeoutError("the sync does not end")

    @property
    def _database(self) -> str:
        return f"sqlite:///{self.home / 'state' / DATABASE_FILE}"

    def _calls(self) -> str:
        with urlopen(Request(f"http://127.0.0.1:{self.port}/calls"), timeout=30) as answer:
            calls = json.loads(gzip.decompress(answer.read()))
        groups = calls.pop("/v1/contactGroups", 0)
        return f"{sum(calls.values())}" + (f", and {groups} for labels" if groups else "")


def _starts(home: Path, scale: Scale) -> Iterator[Figure]:
    """Measure starts with all contacts stored, and nobody at Google's address."""
    load = f"start, {scale.stored:,}"
    say(f"{load}: preparing")
    seed(home / "state", alone(scale.stored))
    found, worked, most, helpers = [], [], 0.0, 0.0
    for _ in range(1 + _STARTS):
        say(load)
        with gateway(home, knows(scale.stored - 1)) as ours:
            found.append(ours.started)
            worked.append(ours.worked_by_all)
            most, helpers = max(most, ours.most_resident), max(helpers, ours.helpers)
    first = f"first {load}"
    yield Figure(first, "until the first right answer", f"{found.pop(0):.1f} s, with the build of the book")
    goal = _BUILD_GOAL * scale.stored / 100_000
    yield judged(first, "processor time of all its processes", worked[0], "≤", goal, "s")
    yield Figure(first, "memory of the process that builds the book", f"{helpers:,.0f} MiB")
    yield starts_figure(load, "until the first right answer", found, _START_GOAL)
    yield Figure(load, "memory, maximum", f"{most:,.0f} MiB")


def _searches(load: str, watch: Watch, idle: Watch | None) -> Iterator[Figure]:
    yield Figure(load, "search, p50", f"{watch.milliseconds(50):.1f} ms")
    p99 = watch.milliseconds(99)
    if idle is None:
        yield Figure(load, "search, p99", f"{p99:.1f} ms")
        return
    times = p99 / idle.milliseconds(99)
    yield judged(load, "search, p99", times, "≤", P99_GOAL, "× idle", text=f"{p99:.1f} ms, {times:.1f} × idle")
