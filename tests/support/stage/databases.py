# SPDX-License-Identifier: MIT
"""Databases without the time that their making takes: one is made and copied.

The gateway's own way to a new database is tested where that is the subject (``store/test_database.py``), and by every
test that starts a gateway.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path

from ldapgw.store import migrations
from ldapgw.store.database import ChangeDetector, Database, revisions
from ldapgw.store.engines import database_at
from tests.support import postgresql

# A migration that a later version has.
_NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{newest}"


def upgrade() -> None:
    op.add_column("phone", sa.Column("colour", sa.String(), nullable=False, server_default="black"))
"""


def one_more_migration(folder: Path) -> Path:
    """Copy the migrations into a folder, and add a migration that adds the column ``phone.colour``."""
    shutil.copytree(Path(migrations.__file__).parent, folder)
    (folder / "versions" / "9999_next.py").write_text(_NEXT.format(newest=revisions()[0]))
    return folder


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


class _OnPostgresql:
    """The databases of a test on PostgreSQL: those that tests use one after the other, by number.

    :ivar files: the numbers of those that stand for a file.
    """

    def __init__(self) -> None:
        self.opened: list[Database] = []
        self.files: dict[Path, int] = {}
        self.numbers = count(1)

    def open(self, file: Path | None = None) -> Database:
        if file is None:
            number = next(self.numbers)
        elif (known := self.files.get(file)) is None:
            number = self.files[file] = next(self.numbers)
        else:
            number = known
        self.opened.append(postgresql.open_reused(number))
        return self.opened[-1]

    def close(self) -> None:
        for database in self.opened:
            database.close()
        for number in range(1, next(self.numbers)):
            postgresql.empty(number)


# None: the test is on SQLite.
_on_postgresql: _OnPostgresql | None = None


@contextmanager
def on_postgresql() -> Iterator[None]:
    """Have `open_in_memory` and `open_file` open databases of PostgreSQL."""
    global _on_postgresql
    _on_postgresql = databases = _OnPostgresql()
    try:
        yield
    finally:
        _on_postgresql = None
        databases.close()


def open_in_memory() -> Database:
    """A new database in memory, or of the engine that the test is on; open."""
    if _on_postgresql is not None:
        return _on_postgresql.open()
    database = database_at("sqlite://")
    borrowed = database.engine.raw_connection()
    assert isinstance(borrowed.driver_connection, sqlite3.Connection)
    _template().backup(borrowed.driver_connection)
    borrowed.close()
    database.open()
    return database


def change_detector(database: Database) -> ChangeDetector:
    """Return the detector of a database's changes for a test with a clock of its own."""
    return database.change_detector() if _on_postgresql is None else postgresql.Notices(database.url)


def open_file(path: Path) -> Database:
    """The database in a file, open; a new one where there is none.

    On PostgreSQL a database of the server stands for the file.
    """
    if _on_postgresql is not None:
        return _on_postgresql.open(path)
    if not path.exists():
        file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(file, _template().serialize())
        os.close(file)
    database = database_at(f"sqlite:///{path}")
    database.open()
    return database
