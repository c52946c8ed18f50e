# SPDX-License-Identifier: MIT
"""PostgreSQL beside SQLite: the transaction of a sync."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from bench.people import person
from bench.process import postgresql
from bench.report import say
from bench.seed import OWNER, Account, records, seed
from ldapgw.contact import Source
from ldapgw.server.state_dir import DATABASE_FILE
from ldapgw.store import accounts, contacts, sync_state
from ldapgw.store.contacts import ContactRecord
from ldapgw.store.database import Database
from ldapgw.store.engines import database_at

# How many times SQLite's time a sync's transaction may take.
COMMIT_GOAL = 1.5
_CHUNK = 2000

# A title, seconds with SQLite and with PostgreSQL, and how many times the first the second may be.
Row = tuple[str, float, float, float | None]


def transactions(folder: Path, count: int, rounds: int) -> list[Row]:
    """Measure with both engines in turn."""
    stored = [
        record
        for start in range(0, count, _CHUNK)
        for record in records(map(person, range(start, min(start + _CHUNK, count))))
    ]
    with postgresql() as (_, url):
        return _transactions(folder, url, stored, rounds)


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
        (f"transaction of {len(stored):,}, {kind}", median(times[kind, ""]), median(times[kind, url]), goal)
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


def lines(found: Sequence[Row]) -> Iterator[tuple[str, ...]]:
    """The rows of a table."""
    yield "PostgreSQL beside SQLite", "SQLite", "PostgreSQL", "ratio", "goal"
    for what, sqlite, server, goal in found:
        verdict = "" if goal is None else f"≤ {goal:g}" + (" ok" if server / sqlite <= goal else " missed")
        figures = (f"{one:,.2f} s" for one in (sqlite, server))
        yield what, *figures, f"{server / sqlite:.2f}", verdict
