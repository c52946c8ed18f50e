# SPDX-License-Identifier: MIT
"""What the lock costs that transactions of pages and commands take on PostgreSQL (docs/decisions/0086)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median

from sqlalchemy import Connection

from bench.directory.load import percentile
from bench.directory.people import person
from bench.directory.seed import TENANT, Account, records, seed
from bench.output import say
from bench.process import postgresql
from ldapgw.contact import Sharing, Source
from ldapgw.store import accounts, activity, contacts, sync_state
from ldapgw.store.activity import COMMAND_LINE, Act
from ldapgw.store.database import Database, Mode
from ldapgw.store.engines import database_at

WRITERS = (1, 2, 4, 8)
# While other transactions run, a page writes this often (seconds).
_PAUSE = 0.02
# Of a transaction that holds a row, before the one that waits for it.
_HEAD_START = 0.2
_CHUNK = 2000
_NOW = 1_800_000_000.0
# How long the transaction of a sync is, for which a page waits; below the limit on waiting for a lock.
_SYNC_SECONDS = 5.0

Rows = list[tuple[str, ...]]


def tables(folder: Path, count: int, rounds: int, seconds: float) -> Iterator[Rows]:
    """Rates of writers with and without the lock, and what a page waits for others; each with its head.

    :param count: contacts of the account that is synced and disconnected.
    """
    with postgresql() as (_, url):
        made = [Account(f"user{number}@acme.example", range(0)) for number in range(max(WRITERS) + 1)]
        seed(folder / "state", made, time.time(), url)  # noqa: TID251  the bench is an entry point
        database = database_at(url)
        try:
            with database.begin_read() as connection:
                ids = [one.id for one in accounts.read_all(connection)]
        finally:
            database.close()
        # Processes that were forked before a connection was made: each is a gateway.
        with ProcessPoolExecutor(max(WRITERS), mp_context=get_context("fork")) as pool:
            yield _rates(pool, url, ids, rounds, seconds)
            yield _waits(pool, url, ids, count)


def _rates(pool: ProcessPoolExecutor, url: str, ids: Sequence[int], rounds: int, seconds: float) -> Rows:
    rows: Rows = [("Each writes", "lock", "writers", "transactions/s", "p50, ms", "p99, ms")]
    for what, write in (("its own account", change_account), ("the activity log", change_log)):
        found: dict[tuple[bool, int], list[list[float]]] = {}
        for number in range(rounds):
            say(f"locks, {what}, round {number + 1} of {rounds}")
            for count in WRITERS:
                for exclusively in (True, False):
                    jobs = [
                        pool.submit(_write, url, write, account_id, seconds, exclusively=exclusively)
                        for account_id in ids[:count]
                    ]
                    took = [one for job in jobs for one in job.result()]
                    found.setdefault((exclusively, count), []).append(sorted(took))
        for (exclusively, count), times in sorted(found.items(), key=lambda item: (not item[0][0], item[0][1])):
            rate = median(len(one) for one in times) / seconds
            figures = (1000 * median(percentile(one, part) for one in times) for part in (50, 99))
            lock = "yes" if exclusively else "no"
            rows.append((what, lock, str(count), f"{rate:,.0f}", *(f"{figure:.1f}" for figure in figures)))
    return rows


def _write(
    url: str, write: Callable[[Connection, int], None], account_id: int, seconds: float, *, exclusively: bool
) -> list[float]:
    """Write again and again; how long each transaction took, in seconds."""
    database, took = database_at(url), []
    try:
        mode = Mode.WRITE if exclusively else Mode.BESIDE
        database.call(mode, write, account_id)
        until = time.monotonic() + seconds
        while (begun := time.monotonic()) < until:
            database.call(mode, write, account_id)
            took.append(time.monotonic() - begun)
    finally:
        database.close()
    return took


def _waits(pool: ProcessPoolExecutor, url: str, ids: Sequence[int], count: int) -> Rows:
    """How long a page's transactions take while others run, and how long those took."""
    other, mine = ids[-1], ids[0]
    rows: Rows = [("A page writes while", "that takes, s", "p50, ms", "p99, ms", "longest, ms")]
    kinds: tuple[tuple[str, Sequence[Callable[[Database], None]]], ...] = (
        ("nothing else writes", [_Pause(2.0)]),
        (f"a sync stores {count:,} contacts", [_Store(other, count)]),
        ("a page waits for a sync of its account", [_Hold(other, _SYNC_SECONDS), _Share(other)]),
        (f"an account of {count:,} contacts is disconnected", [_Disconnect(other)]),
    )
    database = database_at(url)
    try:
        for what, others in kinds:
            say(f"locks, while {what}")
            jobs: list[Future[float]] = []
            for one in others:
                if jobs:
                    time.sleep(_HEAD_START)
                jobs.append(pool.submit(_timed, url, one))
            took: list[float] = []
            while not took or not all(job.done() for job in jobs):
                time.sleep(_PAUSE)
                begun = time.monotonic()
                database.run(change_log, mine)
                took.append(time.monotonic() - begun)
            took.sort()
            figures = (percentile(took, 50), percentile(took, 99), took[-1])
            longest = max(job.result() for job in jobs)
            rows.append((what, f"{longest:.1f}", *(f"{1000 * figure:,.1f}" for figure in figures)))
    finally:
        database.close()
    return rows


def change_account(connection: Connection, account_id: int) -> None:
    """What a page writes that all gateways are told of."""
    accounts.lock(connection, account_id)
    sync_state.increment_generation(connection, account_id)


def change_log(connection: Connection, account_id: int) -> None:
    """What a page writes that nobody is told of."""
    activity.record(connection, activity.entry(_NOW, TENANT, COMMAND_LINE, Act.SYNC_REQUESTED, str(account_id)))


def _timed(url: str, work: Callable[[Database], None]) -> float:
    database = database_at(url)
    try:
        begun = time.monotonic()
        work(database)
        return time.monotonic() - begun
    finally:
        database.close()


class _Pause:
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __call__(self, _: Database) -> None:
        time.sleep(self._seconds)


class _Store:
    """The transaction of a first sync."""

    def __init__(self, account_id: int, count: int) -> None:
        self._account_id = account_id
        self._count = count

    def __call__(self, database: Database) -> None:
        with database.begin(exclusively=False) as connection:
            accounts.lock(connection, self._account_id)
            for start in range(0, self._count, _CHUNK):
                some = records(map(person, range(start, min(start + _CHUNK, self._count))))
                contacts.apply_changes(connection, self._account_id, Source.CONTACTS, some, ())
            sync_state.increment_generation(connection, self._account_id)


class _Hold:
    """A transaction of a sync that takes long."""

    def __init__(self, account_id: int, seconds: float) -> None:
        self._account_id = account_id
        self._seconds = seconds

    def __call__(self, database: Database) -> None:
        with database.begin(exclusively=False) as connection:
            accounts.lock(connection, self._account_id)
            time.sleep(self._seconds)
            sync_state.increment_generation(connection, self._account_id)


class _Share:
    def __init__(self, account_id: int) -> None:
        self._account_id = account_id

    def __call__(self, database: Database) -> None:
        database.run(accounts.set_sharing, self._account_id, Sharing.SHARED, "")


class _Disconnect:
    def __init__(self, account_id: int) -> None:
        self._account_id = account_id

    def __call__(self, database: Database) -> None:
        database.run(accounts.disconnect, self._account_id)
