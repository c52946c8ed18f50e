# SPDX-License-Identifier: MIT
"""The runs, and what is expected of them."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.request import Request, urlopen

from bench.directory.servers import Variant, gateway, knows
from bench.people import person
from bench.process import Peak, Server
from bench.programs.google import CHANGED, changed
from bench.programs.metered import longest
from bench.report import Figure, say
from bench.seed import OWNER, Account, alone, seed
from bench.sync.watching import Sign, Watch, Watcher
from ldapgw.contact import Sharing
from ldapgw.server.state_dir import DATABASE_FILE
from ldapgw.store import accounts
from ldapgw.store.accounts import SyncRequest
from ldapgw.store.database import Database
from ldapgw.store.engines import database_at
from ldapgw.store.sync_state import request_sync
from tests.support.checkout import ROOT

# How many times its idle figure the slowest hundredth of searches may take.
P99_GOAL = 1.5
TURN_GOAL = 5.0
# While some contacts of a book change.
CHANGES_TURN_GOAL = 5.0
START_GOAL = 3.0
# Seconds of processor time for a first sync of 100,000 contacts, and for a start whose book has to be built.
WORK_GOAL = 25.0
BUILD_GOAL = 10.0
_STARTS = 3


@dataclass(frozen=True)
class Scale:
    """How much of everything.

    :ivar contacts: that Google has.
    :ivar beside: contacts of another book, which the phone searches meanwhile.
    :ivar quiet: seconds in which nothing happens.
    :ivar patience: seconds that a sync may take.
    """

    contacts: int
    changes: int
    beside: int
    stored: int
    quiet: float
    patience: float


FULL = Scale(contacts=50_000, changes=100, beside=10_000, stored=100_000, quiet=10.0, patience=900.0)
QUICK = Scale(contacts=2_500, changes=100, beside=300, stored=500, quiet=0.5, patience=60.0)


@contextmanager
def google(scale: Scale) -> Iterator[int]:
    """Its port, until the block ends."""
    command = [sys.executable, "-m", "bench.programs.google", str(scale.contacts), str(scale.changes)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()


def syncs(folder: Path, scale: Scale) -> Iterator[Figure]:
    """A full sync, one with changes and one without, and what a phone notices."""
    home = Path(tempfile.mkdtemp(dir=folder))
    say(f"{scale.contacts:,} contacts: preparing")
    books = range(scale.contacts, scale.contacts + scale.beside)
    made = [Account(OWNER, range(0)), Account("bob@acme.example", books, Sharing.SHARED)]
    seed(home / "state", made, time.time())  # noqa: TID251  the bench is an entry point
    turns = home / "turns"
    program = ("bench.programs.metered", str(turns))
    with (
        google(scale) as port,
        gateway(home, knows(books[-1]), Variant(google=port, program=program)) as ours,
    ):
        people = [person(at) for at in books]
        watcher = Watcher(ours.target, people)
        watcher.quiet(scale.quiet / 5)
        say("nothing happens")
        idle = watcher.quiet(scale.quiet)
        yield from _searches("nothing", idle, None)
        yield turn_figure("nothing", turns, idle, None)
        yield Figure("nothing", "memory", f"{ours.resident:,.0f} MiB")
        run = _Runs(home, port, scale, ours, watcher, idle, turns)
        yield from run.full()
        yield from run.incremental()
        yield from run.without_news()


@dataclass(frozen=True)
class _Runs:
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
            watch = self.watcher.until(sign, lambda: self._ask(SyncRequest.FULL), self.scale.patience)
            self._is_noted()
        rate = self.scale.contacts / watch.seconds
        worked = self.ours.worked_by_all - before
        yield Figure(load, "until phones find them", f"{watch.seconds:.1f} s, {rate:,.0f} a second")
        goal = WORK_GOAL * self.scale.contacts / 100_000
        yield Figure(
            load, "processor time of all its processes", f"{worked:.1f} s", f"≤ {goal:g} s", met=worked <= goal
        )
        yield from self._noticed(load, watch, TURN_GOAL)
        yield Figure(load, "memory, maximum", f"{self.ours.most_resident:,.0f} MiB")
        yield Figure(load, "memory of all its processes, maximum", f"{peak.most:,.0f} MiB")

    def incremental(self) -> Iterator[Figure]:
        self._is_noted()
        load = f"{self.scale.changes:,} changes"
        say(load)
        news = changed(self.scale.contacts, self.scale.changes)
        sign = Sign(news[0], news[-1], CHANGED)
        watch = self.watcher.until(sign, lambda: self._ask(SyncRequest.INCREMENTAL), self.scale.patience)
        yield Figure(load, "until phones find them", f"{watch.seconds:.1f} s")
        yield from self._noticed(load, watch, CHANGES_TURN_GOAL)

    def without_news(self) -> Iterator[Figure]:
        self._is_noted()
        load = "no news"
        say(load)
        self._ask(SyncRequest.INCREMENTAL)
        watch = self.watcher.quiet(min(self.scale.quiet, 3.0))
        yield turn_figure(load, self.turns, watch, TURN_GOAL)
        yield Figure(load, "calls to Google", self._calls())

    def _noticed(self, load: str, watch: Watch, turn_goal: float) -> Iterator[Figure]:
        yield from _searches(load, watch, self.idle)
        yield Figure(load, "searches that saw only part of a sync", str(watch.halves), "0", met=not watch.halves)
        yield turn_figure(load, self.turns, watch, turn_goal)
        yield Figure(load, "calls to Google", self._calls())

    def _ask(self, wish: SyncRequest) -> None:
        """What ``ldapgw sync`` does."""
        with self._database() as database, database.begin() as connection:
            [account] = accounts.find_by_address(connection, OWNER)
            request_sync(connection, account.id, wish)

    def _is_noted(self) -> None:
        """Wait until the end of a sync is noted, which is after phones have what it brought."""
        until = time.monotonic() + self.scale.patience
        with self._database() as database:
            while time.monotonic() < until:
                with database.begin() as connection:
                    [account] = accounts.find_by_address(connection, OWNER)
                if not account.syncing and account.requested_sync is None:
                    assert account.error is None, account.error
                    return
                time.sleep(0.2)
        raise TimeoutError("the sync does not end")

    @contextmanager
    def _database(self) -> Iterator[Database]:
        database = database_at(f"sqlite:///{self.home / 'state' / DATABASE_FILE}")
        yield database
        database.close()

    def _calls(self) -> str:
        with urlopen(Request(f"http://127.0.0.1:{self.port}/calls"), timeout=30) as answer:
            calls = json.loads(gzip.decompress(answer.read()))
        groups = calls.pop("/v1/contactGroups", 0)
        return f"{sum(calls.values())}" + (f", and {groups} for labels" if groups else "")


def starts(folder: Path, scale: Scale) -> Iterator[Figure]:
    """Starts with all contacts stored, and nobody at Google's address."""
    home = Path(tempfile.mkdtemp(dir=folder))
    load = f"start, {scale.stored:,}"
    say(f"{load}: preparing")
    seed(home / "state", alone(scale.stored), time.time())  # noqa: TID251  the bench is an entry point
    found, worked, most, helpers = [], [], 0.0, 0.0
    for _ in range(1 + _STARTS):
        say(load)
        with gateway(home, knows(scale.stored - 1)) as ours:
            found.append(ours.started)
            worked.append(ours.worked_by_all)
            most, helpers = max(most, ours.most_resident), max(helpers, ours.helpers)
    yield Figure(f"first {load}", "until the first right answer", f"{found.pop(0):.1f} s, with the build of the book")
    goal = BUILD_GOAL * scale.stored / 100_000
    text = f"{worked[0]:.1f} s"
    yield Figure(f"first {load}", "processor time of all its processes", text, f"≤ {goal:g} s", met=worked[0] <= goal)
    yield Figure(f"first {load}", "memory of the process that builds the book", f"{helpers:,.0f} MiB")
    middle = median(found)
    text = f"{middle:.1f} s ({', '.join(f'{one:.1f}' for one in found)})"
    yield Figure(load, "until the first right answer", text, f"≤ {START_GOAL:g} s", met=middle <= START_GOAL)
    yield Figure(load, "memory, maximum", f"{most:,.0f} MiB")


def _searches(load: str, watch: Watch, idle: Watch | None) -> Iterator[Figure]:
    yield Figure(load, "search, p50", f"{watch.milliseconds(50):.1f} ms")
    p99 = watch.milliseconds(99)
    if idle is None:
        yield Figure(load, "search, p99", f"{p99:.1f} ms")
        return
    times = p99 / idle.milliseconds(99)
    text = f"{p99:.1f} ms, {times:.1f} × idle"
    yield Figure(load, "search, p99", text, f"≤ {P99_GOAL:g} × idle", met=times <= P99_GOAL)


def turn_figure(load: str, turns: Path, watch: Watch, goal: float | None) -> Figure:
    """Return how long nobody was served, at most, while a phone watched.

    :param goal: milliseconds; time in which the thread had no processor does not count.
    """
    turn = longest(turns, watch.begun, watch.ended)
    taken, queued = turn.taken * 1000, turn.queued * 1000
    text = f"{taken:.1f} ms" + (f", {queued:.1f} of it waiting for a processor" if queued >= 1 else "")
    if goal is None:
        return Figure(load, "longest reactor turn", text)
    return Figure(load, "longest reactor turn", text, f"≤ {goal:g} ms", met=taken - queued <= goal)
