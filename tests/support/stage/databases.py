# SPDX-License-Identifier: MIT
"""Databases as the migrations make them, without running those for every test: one is made and copied.

The gateway's own way to a new database is tested where that is the subject (``store/test_database.py``), and by every
test that starts a gateway.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from ldapgw.store.database import Database
from ldapgw.store.engines import database_at
from tests.support import postgresql


@cache
def _template() -> sqlite3.Connection:
    """A new database, one for all tests of this process."""
    database = database_at("sqlite://")
    database.open()
    template = sqlite3.connect(":memory:", check_same_thread=False)
    borrowed = database.engine.raw_connection()
    assert isinstance(borrowed.driver_connection, sqlite3.Connection)
    borrowed.driver_connection.backup(template)
    borrowed.close()
    database.close()
    return template


# The databases that a test on PostgreSQL has opened; None: the test is on SQLite.
_opened: list[Database] | None = None


@contextmanager
def on_postgresql() -> Iterator[None]:
    """Have `open_in_memory` open databases of PostgreSQL."""
    global _opened
    _opened = []
    try:
        yield
    finally:
        opened, _opened = _opened, None
        for number, database in enumerate(opened, 1):
            database.close()
            postgresql.empty(number)


def open_in_memory() -> Database:
    """A new database in memory, or of the engine that the test is on; open."""
    if _opened is not None:
        _opened.append(postgresql.open_reused(len(_opened) + 1))
        return _opened[-1]
    database = database_at("sqlite://")
    borrowed = database.engine.raw_connection()
    assert isinstance(borrowed.driver_connection, sqlite3.Connection)
    _template().backup(borrowed.driver_connection)
    borrowed.close()
    database.open()
    return database


def open_file(path: Path) -> Database:
    """The database in a file, open; a new one where there is none."""
    if not path.exists():
        file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(file, _template().serialize())
        os.close(file)
    database = database_at(f"sqlite:///{path}")
    database.open()
    return database
