# SPDX-License-Identifier: MIT
"""The database as the rest of the gateway sees it, with any engine: opening, upgrading, transactions, changes.

Transactions begin and end only in a `Database`.  `ldapgw.store.sqlite` and `ldapgw.store.postgresql` are the engines,
and `ldapgw.store.engines` chooses an engine by the URL.  The rest of ldapgw does not depend on the engine: each
difference between the engines is a method here.
"""

from __future__ import annotations

import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    MetaData,
    String,
    Table,
    event,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.schema import CreateIndex, CreateTable

from ldapgw.errors import StoreError, UnreachableStore
from ldapgw.store.tables import metadata, schema_version

if TYPE_CHECKING:
    from ldapgw.store.leader_session import LeaderSession

P = ParamSpec("P")
T = TypeVar("T")

_ERASED = "erased"
# The tables from which the data of a disconnected account is deleted.
ERASED = ("contact", "photo", "removed_contact", "label", "source", "account", "recording", "recording_part")
_DATABASE = "ldapgw_database"

# The name of each file in the folder "versions" begins with the revision that the migration leads to.
_MIGRATIONS = Path(__file__).with_name("migrations")
_READABLE_FROM = re.compile(r"""^readable_from = ["'](\d+)["']$""", re.MULTILINE)
# The table in which Alembic stores the revision of a database.  The table is not part of `metadata`, because the tables
# of `metadata` are copied to other databases, and Alembic compares the tables of `metadata` with the database.
_alembic_version = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))

# The tables whose rows get ids from the database.
NUMBERED = ("account", "activity", "revocation")

# The number of items in one statement.  SQLite allows 32,766 parameters in a statement, and PostgreSQL allows 65,535.
CHUNK = 500

# A call hangs if the database has not answered for this time.  The time limits of locks and connections are shorter, so
# a call that waits for a lock or a connection does not count as hanging.
HANG_SECONDS = 15.0

# After this number of rows or persons, a transaction executes a statement that changes nothing (`keep_alive`), so that
# the server does not end the transaction as idle.  Processing these rows takes a second or less.
_ALIVE_EVERY = 2000


class _Thread(threading.local):
    """Data of each thread: the function that is called after each statement that a database has answered."""

    answered: Callable[[], object] = staticmethod(lambda: None)


_thread = _Thread()


class Mode(Enum):
    """The kind of a transaction.

    WRITE: no other WRITE transaction of any gateway runs at the same time.
    BESIDE: the transaction locks only rows, so that pages need not wait for the transaction; without
        `Database.runs_beside`, the same as WRITE.
    READ: the transaction only reads, and waits for no transaction that writes.
    PROBE: the same as BESIDE, but for functions that only read.  On SQLite, the transaction fails if another program
        keeps the database locked.
    """

    WRITE = "write"
    BESIDE = "beside"
    READ = "read"
    PROBE = "probe"


class ChangeDetector(Protocol):
    """A detector of commits by other connections; `has_changed` must be called on the store's thread."""

    def has_changed(self) -> bool:
        """Return whether anything may have been committed since the last call.  The first call returns True."""

    def listen(self, on_change: Callable[[], object], on_bulletin: Callable[[str], object]) -> None:
        """Set the functions that are called, on any thread, after notifications of PostgreSQL.

        SQLite has no notifications.

        :param on_change: called soon after something was committed.
        :param on_bulletin: called with each bulletin of any gateway on the database, including this gateway.
        """

    def close(self) -> None:
        """Close the connection; soon afterwards the functions of `listen` are no longer called."""


@dataclass(frozen=True, slots=True)
class Position:
    """The place of a snapshot of the database in the sequence of changes.

    :ivar identity: the identity of the database and its tables.  The identity changes when the database or its tables
        are replaced, or when a standby server takes over.
    :ivar next: every change that the snapshot does not have is marked with this number or a higher number.
    :ivar at: the time of the snapshot in seconds since the epoch, or 0 if the engine keeps marks for an unlimited time.
    :ivar started: when the server started, in seconds since the epoch, or 0 if the engine has no server.
    """

    identity: str
    next: int
    at: float = 0.0
    started: float = 0.0


class Database(ABC):
    """The database and its transactions.  All methods raise `StoreError` if the database cannot be used.

    :ivar runs_beside: whether transactions can write at the same time, because each transaction locks only rows.  An
        exclusive transaction always locks more.
    :ivar unfinished_copy_of: the name of the source if this database is opened as the target of a copy, otherwise None.
        Without this name, a database with an unfinished copy is not opened.
    :ivar name: the name of the database in messages, without a password.
    :ivar url: the URL of the database, with the password if there is one.
    :ivar file: the file of the database, or None if the database is in memory or on a server.
    """

    runs_beside = False
    unfinished_copy_of: str | None = None
    name: str
    url: URL
    file: Path | None
    engine: Engine
    reading_engine: Engine

    def is_empty(self) -> bool:
        """Return whether a database on a server has no tables yet; always False for a file.

        :raises StoreError: when the database cannot be used, or belongs to another program.
        """
        return False

    @abstractmethod
    def open(self) -> None:
        """Create the database, or upgrade the database to the newest version.

        An SQLite file is copied before an upgrade.

        :raises StoreError: when the engine is too old, or the database cannot be opened, is damaged, or was made by
            another version of ldapgw.
        """

    @abstractmethod
    def open_or_read(self, first_write: Callable[[Connection], None]) -> None:
        """Open the database as `open` does or, on a full or read-only disk, only for reading.

        While the database is open for reading only, each transaction first tries to open the database for writing.

        :param first_write: called in the first transaction that can write.
        :raises StoreError: when the database cannot be opened, or has to be upgraded and cannot be written.
        """

    def open_later(self, first_write: Callable[[Connection], None]) -> None:
        """Let the first transaction that reaches the server open the database, which must have its tables already.

        :param first_write: called in a transaction of its own before the first transaction.
        """
        raise NotImplementedError

    def answers(self) -> bool:
        """Return whether the database server answers; always False for a file.

        If a connection failed although the server answers, the server has refused the connection.
        """
        return False

    @property
    @abstractmethod
    def is_read_only(self) -> bool:
        """Return whether the database could not be opened for writing."""

    @abstractmethod
    def begin(self, *, exclusively: bool = True) -> AbstractContextManager[Connection]:
        """Open a transaction, which is committed at the end of the block and rolled back on an exception.

        :param exclusively: whether exclusive transactions of other connections wait until this transaction ends.  In a
            transaction that is not exclusive, functions have to lock the rows that they read and then write
            (`ldapgw.store.accounts.lock`).
        """

    @abstractmethod
    def begin_read(self) -> AbstractContextManager[Connection]:
        """Open a read transaction on a snapshot of the database; a reader and a writer never wait for each other.

        The read transaction may be on another thread than `begin`.  Statements that write are refused.
        """

    def look(self) -> AbstractContextManager[Connection]:
        """Open a read transaction without a call of `open` before, and create no files beside the database."""
        return self.begin_read()

    def call(
        self, mode: Mode, function: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kw: P.kwargs
    ) -> T:
        """Call ``function(connection, …)`` in a transaction.

        After a conflict with another transaction the function may be called again, so the function must change nothing
        but the database.
        """
        with self.begin_read() if mode is Mode.READ else self.begin(exclusively=mode is Mode.WRITE) as connection:
            return function(connection, *args, **kw)

    def run(self, function: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kw: P.kwargs) -> T:
        """Call ``function(connection, …)`` in a transaction of `Mode.WRITE`."""
        return self.call(Mode.WRITE, function, *args, **kw)

    @abstractmethod
    def close(self) -> None:
        """Close all connections; the database can be opened again."""

    def server_time(self, connection: Connection) -> float | None:  # noqa: ARG002  a file has no clock of its own
        """Return the time of the database's server, in seconds since the epoch, or None if there is no server."""
        return None

    def insert_rows(
        self, connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> None:
        """Insert rows whose keys the table does not have.

        :param columns: the names of the columns, in the order of the values in each row.
        """
        connection.execute(insert(table), [dict(zip(columns, row, strict=True)) for row in rows])

    def leader_session(self) -> LeaderSession | None:
        """Return a new session for the gateway that syncs, or None if the database can have only one gateway."""
        return None

    @abstractmethod
    def change_detector(self) -> ChangeDetector:
        """Return a new change detector with its own connection."""

    @abstractmethod
    def position(self, connection: Connection) -> Position:
        """Return the position of a transaction's snapshot; to be called before the transaction reads anything."""

    def lift_time_limit(self, connection: Connection) -> None:  # noqa: B027  most engines have no time limit
        """Let the statements of a transaction take as long as they need."""

    def keep_alive(self, connection: Connection) -> None:  # noqa: B027  most engines have no time limit
        """Execute a statement in a long transaction, because the server may end idle transactions."""

    @abstractmethod
    def last_ids(self, connection: Connection) -> Mapping[str, int]:
        """Return the highest id that each table of `NUMBERED` has ever given to a row, if there was a row."""

    @abstractmethod
    def raise_ids(self, connection: Connection, last: Mapping[str, int]) -> None:
        """Let new rows get higher ids than all former rows of this database and of the database in `last`.

        :param last: the highest ids (`last_ids`) of another database: the source of a copy, or the database that is
            being replaced.
        """

    @abstractmethod
    def check_writable(self, connection: Connection, *, thoroughly: bool) -> None:
        """Check that the database can be written to.

        Other modules call not this method but the function `check_writable` below.  The docstring of the function
        explains the parameter and the errors.
        """

    @abstractmethod
    def end_hanging(self) -> UnreachableStore:
        """Close the connections without waiting for the server, after a call that got no answer.

        The method may be called on any thread.

        :returns: the error with which the calls fail.
        """

    def register(self, engine: Engine) -> Engine:
        """Let `database_of` find this database by an engine's connections, and return the engine."""
        engine.update_execution_options(**{_DATABASE: self})
        event.listen(engine, "after_cursor_execute", lambda *_: _thread.answered())
        return engine


@contextmanager
def noting_answers(answered: Callable[[], object]) -> Iterator[None]:
    """Call a function on this thread after each statement that a database has answered, until the block ends."""
    _thread.answered = answered
    try:
        yield
    finally:
        del _thread.answered


def database_of(connection: Connection) -> Database:
    """Return the database that a connection belongs to."""
    database: Database = connection.get_execution_options()[_DATABASE]
    return database


def check_writable(connection: Connection, *, thoroughly: bool) -> None:
    """Check that the database can be written to, by a write that changes nothing.

    :param thoroughly: whether to check the integrity of the whole database too, which takes a while.
    :raises DamagedStore: when the database is damaged.
    """
    database_of(connection).check_writable(connection, thoroughly=thoroughly)


def keeping_alive(connection: Connection, items: Iterable[T]) -> Iterator[T]:
    """Iterate over items between two statements of a transaction, and keep the transaction alive.

    Without this function, the server ends a transaction that is idle for a while, because the gateway may have stopped.
    """
    database = database_of(connection)
    for number, item in enumerate(items, 1):
        yield item
        if not number % _ALIVE_EVERY:
            database.keep_alive(connection)


def chunks(items: Iterable[T], size: int = CHUNK) -> Iterator[list[T]]:
    """Split items into lists; the default size suits the parameters of one statement."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def ascii_lower(text: str) -> str:
    """Convert ASCII letters to lower case, as SQL's ``lower`` does in SQLite and in PostgreSQL's collation "C"."""
    return text.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


def mark_erased(connection: Connection, erased: Collection[str] = ERASED) -> None:
    """Let the engine overwrite, after the commit, the rows that this transaction deletes.

    :param erased: the tables from which the transaction deletes; a subset of `ERASED`.
    """
    connection.info.setdefault(_ERASED, set()).update(erased)


def take_erased(connection: Connection) -> frozenset[str]:
    """Return, and forget, the tables with which `mark_erased` was called in this transaction."""
    return frozenset(connection.info.pop(_ERASED, ()))


def revisions() -> tuple[str, ...]:
    """Return the database revisions that this version of ldapgw knows, newest first."""
    return tuple(file.name.partition("_")[0] for file in _migration_files())


def _migration_files() -> list[Path]:
    """Return the files of the migrations, the newest first."""
    return sorted((_MIGRATIONS / "versions").glob("[0-9]*_*.py"), reverse=True)


def read_revision(connection: Connection, name: str) -> str | None:
    """Read the Alembic revision of a database; return None for an empty database.

    :param name: the name of the database in messages.
    :raises StoreError: when the database belongs to another program.
    """
    tables = inspect(connection).get_table_names()
    revision: str | None = None
    if _alembic_version.name in tables:
        revision = connection.execute(select(_alembic_version.c.version_num)).scalar()
    if revision is None and tables:
        raise StoreError(f"{name}: is a database of another program")
    return revision


def unusable_revision(found: str) -> str:
    """Return the part of a message that says why a database of an unknown revision cannot be used, and what to do."""
    if found.isdecimal() and found < revisions()[-1]:
        return "was made before the first release; move the database and its key away, and connect everybody again"
    return "was made by a newer version of ldapgw; install that version, or restore a backup from before its upgrade"


def is_current(connection: Connection, database: Database) -> bool:
    """Return whether the tables need no upgrade.

    The tables need no upgrade if this version made them, or if a newer version made tables that this version can use.

    :raises StoreError: if this version cannot use the tables, or if a copy into the database has not ended.
    """
    found, known = read_revision(connection, database.name), revisions()
    stored = None
    if found is not None and inspect(connection).has_table(schema_version.name):
        # Select only these columns, because tables of an older version may lack the others.
        known_columns = schema_version.c.readable_from, schema_version.c.copied_from
        stored = connection.execute(select(*known_columns)).first()
    if found not in {None, *known} and (stored is None or stored.readable_from not in known):
        raise StoreError(f"{database.name}: {unusable_revision(str(found))}; nothing was changed")
    if stored is not None and stored.copied_from is not None and database.unfinished_copy_of is None:
        raise StoreError(
            f"{database.name}: a copy into this database was not finished; run the same ldapgw database copy again"
        )
    return found is not None and found not in known[1:]


def upgrade(connection: Connection) -> None:
    """Create the tables, or upgrade them to the newest version; the tables of a new copy are marked as unfinished."""
    newest = revisions()[0]
    if inspect(connection).get_table_names():
        _migrate(connection)
    else:
        # `MetaData.create_all` would also store the comments of the columns in PostgreSQL.
        for table in metadata.sorted_tables:
            connection.execute(CreateTable(table))
            for index in sorted(table.indexes, key=lambda index: str(index.name)):
                connection.execute(CreateIndex(index))
        connection.execute(CreateTable(_alembic_version))
        connection.execute(insert(_alembic_version).values(version_num=newest))
    version = {"revision": newest, "readable_from": readable_from()}
    if not connection.execute(update(schema_version).values(version)).rowcount:
        copied_from = database_of(connection).unfinished_copy_of
        connection.execute(insert(schema_version).values(**version, copied_from=copied_from))


def _migrate(connection: Connection) -> None:
    # Alembic is imported only for an upgrade, because its modules take 12 MiB for as long as the process lives.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def readable_from() -> str:
    """Return the revision of the oldest gateways that can use the tables of this version."""
    found = (_READABLE_FROM.search(file.read_text(encoding="utf-8")) for file in _migration_files())
    return next(match[1] for match in found if match)
