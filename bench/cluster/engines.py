# SPDX-License-Identifier: MIT
"""PostgreSQL beside SQLite: a sync's transaction, a whole sync, and a start."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from bench.directory.people import person
from bench.directory.seed import OWNER, Account, alone, records, seed
from bench.directory.servers import Variant, gateway, knows, lets_in
from bench.output import say
from bench.process import postgresql
from bench.sync.runs import FULL, google
from bench.sync.watching import Sign, Watcher
from ldapgw.contact import Sharing, Source
from ldapgw.server.state_dir import DATABASE_FILE
from ldapgw.store import accounts, contacts, sync_state
from ldapgw.store.accounts import SyncRequest
from ldapgw.store.contacts import ContactRecord
from ldapgw.store.database import Database
from ldapgw.store.engines import database_at

# How many times SQLite's time a sync's transaction may take.
COMMIT_GOAL = 1.5
PATIENCE = 900.0
_STARTS = 3
_CHUNK = 2000

Row = tuple[str, str, float, float, float | None]


def transactions(folder: Path, count: int, rounds: int) -> list[Row]:
    """What, its unit, SQLite's figure, that of PostgreSQL, and how many times the first the second may be."""
    stored = [
        record
        for start in range(0, count, _CHUNK)
        for record in records(map(person, range(start, min(start + _CHUNK, count))))
    ]
    with postgresql() as (_, url):
        return _transactions(folder, url, stored, rounds)


def gateways(folder: Path, count: int) -> list[Row]:
    """As `transactions`, of gateways that sync and start."""
    with postgresql() as (_, syncs), postgresql() as (_, starts):
        synced = _sync(folder / "sync1", "", count), _sync(folder / "sync2", syncs, count)
        started = _starts(folder / "start1", "", count), _starts(folder / "start2", starts, count)
    return [
        (f"full sync of {count:,}, until phones find them", "s", synced[0][0], synced[1][0], None),
        ("memory then, most ever", "MiB", synced[0][1], synced[1][1], None),
        (f"first start with {count:,}, builds the book", "s", started[0][0], started[1][0], None),
        ("start with the cached book", "s", started[0][1], started[1][1], None),
        ("memory then, most ever", "MiB", started[0][2], started[1][2], None),
    ]


def _transactions(folder: Path, url: str, stored: Sequence[ContactRecord], rounds: int) -> list[Row]:
    """A sync's transaction, in turn on both engines: all contacts are new, then all are rewritten, then deleted."""
    kinds = ("new", "rewritten", "deleted")
    times: dict[tuple[str, str], list[float]] = {(kind, engine): [] for kind in kinds for engine in ("", url)}
    accounts_of: dict[str, tuple[Database, int]] = {}
    for engine in ("", url):
        state = folder / ("server" if engine else "file") / "state"
        seed(state, [Account(OWNER, range(0))], time.time(), engine)  # noqa: TID251  the bench is an entry point
        database = database_at(engine or f"sqlite:///{state / DATABASE_FILE}")
        database.open()
        with database.begin() as connection:
            [account] = accounts.find_by_address(connection, OWNER)
        accounts_of[engine] = database, account.id
    again = [_changed(record) for record in stored]
    for number in range(rounds):
        for kind in kinds:
            say(f"transaction of {len(stored):,} contacts, {kind}, round {number + 1} of {rounds}")
            for engine, (database, account_id) in accounts_of.items():
                written = {"new": stored, "rewritten": again, "deleted": ()}[kind]
                gone = [record.uid for record in stored] if kind == "deleted" else []
                begun = time.monotonic()
                with database.begin(exclusively=False) as connection:
                    accounts.lock(connection, account_id)
                    contacts.apply_changes(connection, account_id, Source.CONTACTS, iter(written), gone)
                    contacts.delete_duplicates(connection, account_id)
                    sync_state.increment_generation(connection, account_id)
                times[kind, engine].append(time.monotonic() - begun)
    for database, _ in accounts_of.values():
        database.close()
    return [
        (f"transaction of {len(stored):,}, {kind}", "s", median(times[kind, ""]), median(times[kind, url]), goal)
        for kind, goal in zip(kinds, (COMMIT_GOAL, COMMIT_GOAL, None), strict=True)
    ]


def _changed(record: ContactRecord) -> ContactRecord:
    """The same person with another digest, as after a change."""
    return ContactRecord(
        record.uid,
        record.source_id,
        record.content,
        record.skipped,
        record.numbers,
        record.unreadable,
        record.digest[::-1],
    )


def _sync(folder: Path, url: str, count: int) -> tuple[float, float]:
    """Seconds of a first full sync, and MiB of the gateway."""
    say(f"full sync of {count:,} contacts, {'PostgreSQL' if url else 'SQLite'}")
    beside = range(count, count + 300)
    made = [Account(OWNER, range(0)), Account("bob@acme.example", beside, Sharing.SHARED)]
    seed(folder / "state", made, time.time(), url)  # noqa: TID251  the bench is an entry point
    scale = replace(FULL, contacts=count)
    with google(scale) as port, gateway(folder, lets_in, Variant(google=port, database=url)) as ours:
        watcher = Watcher(ours.target, [person(at) for at in beside])
        sign = Sign(person(0), person(count - 1))
        database = database_at(url or f"sqlite:///{folder / 'state' / DATABASE_FILE}")

        def ask() -> None:
            with database.begin() as connection:
                [account] = accounts.find_by_address(connection, OWNER)
                sync_state.request_sync(connection, account.id, SyncRequest.FULL)

        try:
            watch = watcher.until(sign, ask, PATIENCE)
        finally:
            database.close()
        return watch.seconds, ours.most_resident


def _starts(folder: Path, url: str, count: int) -> tuple[float, float, float]:
    """Seconds until the first right answer, of the first start and of later ones; MiB of the later ones."""
    say(f"start with {count:,} contacts, {'PostgreSQL' if url else 'SQLite'}")
    seed(folder / "state", alone(count), time.time(), url)  # noqa: TID251  the bench is an entry point
    found, most = [], 0.0
    for _ in range(1 + _STARTS):
        with gateway(folder, knows(count - 1), Variant(database=url)) as ours:
            found.append(ours.started)
            most = ours.most_resident
    return found[0], median(found[1:]), most


def lines(found: Sequence[Row]) -> Iterator[tuple[str, ...]]:
    """The rows of a table."""
    yield "PostgreSQL beside SQLite", "SQLite", "PostgreSQL", "ratio", "goal"
    for what, unit, sqlite, server, goal in found:
        verdict = "" if goal is None else f"≤ {goal:g}" + (" ok" if server / sqlite <= goal else " missed")
        digits = 0 if unit == "MiB" else 2
        figures = (f"{one:,.{digits}f} {unit}" for one in (sqlite, server))
        yield what, *figures, f"{server / sqlite:.2f}", verdict
