# SPDX-License-Identifier: MIT
"""SQLite, the default engine of the database.

SQLite runs in WAL mode, so that readers never wait for the writer, and with ``synchronous=FULL``, so that an
acknowledged grant survives a power cut.

SQLite commits into the log (the file ``-wal``), and writes the log into the database file only when the log is large.
The log of a small database never becomes large, so this module empties the log after an hour without writes and once a
day.  If somebody deletes the log, the open connections still have its content, and this module writes the content into
the database file at once.

On a full or read-only disk, SQLite cannot even read in WAL mode, because SQLite needs files beside the database.
`SqliteDatabase.open_or_read` then opens the database read-only, without these files.

Mutable: in `SqliteDatabase`, the reason why the database is read-only, and the log that the connections have open.  A
read-only database is opened for writing as soon as this is possible.  While one thread opens the database, or handles a
replaced file, no other thread connects.
"""

from __future__ import annotations

import errno
import math
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, StaticPool

from ldapgw.errors import DamagedStore, StoreError, UnreachableStore, UnwritableStore
from ldapgw.store.database import (
    HANG_SECONDS,
    NUMBERED,
    Database,
    Position,
    is_current,
    read_revision,
    take_erased,
    upgrade,
)
from ldapgw.store.files import status_of
from ldapgw.store.tables import change

# The seconds for which a transaction waits for the lock, because a command and the gateway may write at the same time.
# Each of them writes for milliseconds.
BUSY_SECONDS = 10
# The seconds for which one attempt to begin a transaction waits for the lock.  A transaction makes attempts for
# `BUSY_SECONDS`.  If all attempts fail, later transactions make only one attempt each until a transaction succeeds,
# because otherwise each transaction would wait for `BUSY_SECONDS`.
TRY_SECONDS = 0.25

# SQLite writes its log (the file ``-wal``) from the beginning again when the whole content of the log is in the
# database file and nobody reads from the log.  As long as there is always a reader, the file grows, and the file never
# shrinks by itself.  So a log of more than `LOG_LIMIT` octets is emptied.
LOG_LIMIT = 16 << 20
# The log is emptied when nothing was written for `IDLE_SECONDS`, and at the latest after a day.
IDLE_SECONDS = 3600.0
DAY = 86400.0
# If a reader keeps the log from being emptied, the next attempt is made after `RETRY_SECONDS`.
RETRY_SECONDS = 60.0

# This statement is built once, because the gateway executes the statement every second.
_LAST_CHANGE = select(func.coalesce(func.max(change.c.number), 0))

# The first version with the clause RETURNING.
OLDEST_SQLITE = (3, 35)

# Advice to the operator by SQLite's primary result code (sqlite.org/rescode.html).
_ADVICE = {
    sqlite3.SQLITE_FULL: "make room on the disk",
    sqlite3.SQLITE_IOERR: "look at the disk: it is full, or it fails",
    sqlite3.SQLITE_BUSY: "another program keeps it locked; end that program",
    sqlite3.SQLITE_READONLY: "let this user write to the file and to its folder",
    sqlite3.SQLITE_CANTOPEN: "let this user read and write the file and its folder",
    sqlite3.SQLITE_CORRUPT: "put a backup back: ldapgw restore FILE",
    sqlite3.SQLITE_NOTADB: "put a backup back: ldapgw restore FILE",
}
# Advice to the operator by errno.
_ADVICE_ON_FILES = {
    errno.ENOENT: "put it back",
    errno.EACCES: "let this user read and write the file and its folder",
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room on the disk",
    errno.EROFS: "mount the disk for writing",
}
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
# With these errors, the database may still be readable.
_UNWRITABLE = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
_UNWRITABLE_FILES = (errno.EACCES, errno.EDQUOT, errno.ENOSPC, errno.EROFS)


class SqliteDatabase(Database):
    """An SQLite database.

    :param url: an SQLAlchemy URL: ``sqlite:///PATH`` or, for tests, ``sqlite://`` (in memory).
    :param keeps_copies: whether to keep a copy of the database before an upgrade.
    :param seconds: a monotonic clock, in seconds.
    :ivar reopened: the number of times that all connections were closed because the log was deleted.
    """

    def __init__(self, url: URL, *, keeps_copies: bool = True, seconds: Callable[[], float] = time.monotonic) -> None:
        self._keeps_copies = keeps_copies
        self._seconds = seconds
        self.url = url
        self.engine = self.register(_engine(url))
        self.file = Path(self.engine.url.database) if self.engine.url.database else None
        # A database in memory has only one connection.
        self.reading_engine = (
            self.register(_engine(url, query_only=True))
            if self.file
            else self.engine.execution_options(isolation_level="AUTOCOMMIT")
        )
        self._file: tuple[int, int] | None = None
        self.name = str(self.file or "the database")
        self._is_locked = False
        self._has_erased = False
        self._log_bound = LOG_LIMIT
        self.reopened = 0
        # Device and inode of the log that the connections have open, or None if no connection has used the log yet.
        self._log: tuple[int, int] | None = None
        self._written = 0, 0  # the time and the size of the log, which show whether something was written
        self._written_at = seconds()
        self._emptied_at = seconds()
        self._next_try = 0.0
        self._first_write: Callable[[Connection], None] | None = None
        self._why_read_only: UnwritableStore | None = None
        self._opening = Lock()
        event.listen(self.engine, "begin", self._begin)
        for engine in (self.engine, self.reading_engine):
            event.listen(engine, "do_connect", self._connect_read_only)

    def open(self) -> None:
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            has = f"this Python has {sqlite3.sqlite_version}"
            raise StoreError(f"{self.name}: SQLite 3.35 or newer is needed, {has}; install a newer one")
        try:
            if self.file:
                self.file.touch(mode=0o600)
            if not self._is_current():
                self._keep_copy(self._revision())
                self._upgrade()
                self._empty_log()
            self._file = self.identity()
        except (DBAPIError, sqlite3.Error, OSError) as error:
            raise self.store_error(error) from None

    def _upgrade(self) -> None:
        """Upgrade in one transaction, without enforcing foreign keys.

        When a migration replaces a table, SQLite would otherwise delete the rows that refer to the table.
        """
        # imported here, because commands import this module, and few commands upgrade a database
        from ldapgw.store.changes import sqlite_triggers

        with self.engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            driver.execute("PRAGMA foreign_keys = OFF")
            try:
                with connection.begin():
                    upgrade(connection)
                    for statement in sqlite_triggers():
                        connection.exec_driver_sql(statement)
            finally:
                driver.execute("PRAGMA foreign_keys = ON")

    def open_or_read(self, first_write: Callable[[Connection], None]) -> None:
        self._first_write = first_write
        self._open_for_writing()
        if self._why_read_only is None:
            return
        try:
            found, is_current = self._revision(), self._is_current()
            self._file = self.identity()
        except (DBAPIError, OSError):
            raise self._why_read_only from None
        if found is None:
            raise self._why_read_only
        if not is_current:
            why = self._why_read_only.problems[0]
            raise StoreError(f"{why}; the database is from an older version and must be upgraded first")

    @property
    def is_read_only(self) -> bool:
        return self._why_read_only is not None

    def _open_for_writing(self) -> None:
        """Open the database for writing; if the disk is full or read-only, store the reason.

        :raises StoreError: if the database cannot be opened for another reason.
        """
        assert self._first_write is not None
        before, self._why_read_only = self._why_read_only, None
        self.close()
        try:
            self.open()
            with self.engine.begin() as connection:
                self.check_writable(connection, thoroughly=False)
                self._first_write(connection)
        except (StoreError, DBAPIError) as error:
            found = error if isinstance(error, StoreError) else self.store_error(error)
            self._why_read_only = found if isinstance(found, UnwritableStore) else before
            if self._why_read_only is None:
                raise found from None
            self.close()

    @contextmanager
    def begin(self, *, exclusively: bool = True) -> Iterator[Connection]:  # noqa: ARG002  always exclusive
        try:
            with self._opening:
                self._check_file()
                if self._why_read_only is not None:
                    self._open_for_writing()
                self._check_log()
            with self.engine.begin() as connection:
                yield connection
                self._has_erased = bool(take_erased(connection)) or self._has_erased
        except (DBAPIError, OSError) as error:
            raise self.store_error(error) from None
        if self.file and self._why_read_only is None:
            self._bound_log(_log_of(self.file))

    def _check_log(self) -> None:
        """Write the content of a deleted log into the database file, and then connect anew.

        The content can be saved only while a connection has the deleted log open, because new connections use a new
        log.
        """
        if self.file is None or self._log is None or _identity(file := _log_of(self.file)) == self._log:
            return
        if self._checkpoint():
            self.close()
            self.reopened += 1
            from twisted.logger import Logger  # imported here, because commands import this module too, but log nothing

            log = Logger()
            log.error(
                "{file}: has been deleted while the gateway runs; the content is in the database now, and nothing is "
                "lost; do not delete this file while the gateway runs",
                event="write_ahead_log_gone",
                file=str(file),
            )

    def _bound_log(self, file: Path) -> None:
        """Empty a log that is too large, idle or old, or that contains erased data.

        If a reader keeps a large log from being emptied, a warning is logged each time the size has doubled.
        """
        status = status_of(file)
        if status is None:
            return  # `_check_log` handles a missing log
        # The connections keep the first log open.  A later file with this name belongs to another program.
        self._log = self._log or (status.st_dev, status.st_ino)
        now, size, written = self._seconds(), status.st_size, (status.st_mtime_ns, status.st_size)
        if written != self._written:
            self._written, self._written_at = written, now
        if size < LOG_LIMIT:
            self._log_bound = LOG_LIMIT
        is_due = now - self._written_at >= IDLE_SECONDS or now - self._emptied_at >= DAY
        is_due = is_due and size > 0 and now >= self._next_try
        if not (is_due or self._has_erased or size >= self._log_bound):
            return
        if not self._empty_log():
            self._next_try = now + RETRY_SECONDS
        after = status_of(file)
        if (left := after.st_size if after else 0) >= self._log_bound:
            self._log_bound = 2 * left
            from twisted.logger import Logger  # imported here, because commands import this module too, but log nothing

            log = Logger()
            log.warn(
                "{file}: has grown to {size} MiB, because another program has been reading from the database; "
                "end that program",
                event="write_ahead_log_large",
                file=str(file),
                size=left >> 20,
            )

    def _empty_log(self) -> bool:
        """Write the log into the database file and empty the log, so that neither contains erased data.

        :returns: False if this failed, for example because of a reader; a later transaction tries again.
        """
        with suppress(DBAPIError):
            return self._checkpoint()
        return False

    def _checkpoint(self) -> bool:
        """Empty the log as `_empty_log` does, but raise an exception if the log or the database file cannot be used."""
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            is_busy, *_ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
        if not is_busy:
            self._has_erased = False
            self._emptied_at = self._seconds()
        return not is_busy

    @contextmanager
    def begin_read(self) -> Iterator[Connection]:
        try:
            with self._opening:
                self._check_file()
                if self._why_read_only is None:
                    self._check_log()
                connection = self.reading_engine.connect()
            with connection:
                connection.exec_driver_sql("BEGIN")
                yield connection
                connection.exec_driver_sql("ROLLBACK")
        except (DBAPIError, OSError) as error:
            raise self.store_error(error) from None

    @contextmanager
    def look(self) -> Iterator[Connection]:
        """Open a read transaction without a call of `open` before, and create no files beside the database.

        In WAL mode, SQLite creates the files ``-wal`` and ``-shm`` even for reading, unless the URI declares the
        database immutable.  A database without a log may be declared immutable, because nobody has such a
        database open.
        """
        file = self.file
        if file is None:
            with self.begin_read() as connection:
                yield connection
            return
        uri = f"{file.absolute().as_uri()}?mode=ro" + ("" if _log_of(file).exists() else "&immutable=1")
        creator = partial(sqlite3.connect, uri, uri=True)
        engine = self.register(create_engine("sqlite://", creator=creator, poolclass=NullPool))
        try:
            with engine.connect() as connection:
                yield connection
        except (DBAPIError, sqlite3.Error) as error:
            raise self.store_error(error) from None

    def close(self) -> None:
        self.engine.dispose()
        self.reading_engine.dispose()
        self._log = None

    def identity(self) -> tuple[int, int] | None:
        """Return the device and inode of the file, which show whether the file was replaced.

        :returns: the device and inode, or None for a database in memory.
        :raises OSError: when the file is missing.
        """
        if not self.file:
            return None
        status = self.file.stat()
        return status.st_dev, status.st_ino

    def change_detector(self) -> _ChangeDetector:
        return _ChangeDetector(self)

    def position(self, connection: Connection) -> Position:
        """Return the position of a transaction's snapshot.

        Later transactions mark changes with higher numbers, because SQLite has only one writer at a time.  Only the
        inode identifies the file, because the number of its device may change when the machine starts.
        """
        last = connection.execute(_LAST_CHANGE).scalar_one()
        identity = self.identity()
        return Position(str(identity[1]) if identity else "", last + 1)

    def last_ids(self, connection: Connection) -> Mapping[str, int]:
        return {row.name: row.seq for row in connection.exec_driver_sql("SELECT name, seq FROM sqlite_sequence")}

    def raise_ids(self, connection: Connection, last: Mapping[str, int]) -> None:
        """Let new rows get higher ids than `last`.

        SQLite itself gives new rows higher ids than the rows that this database has, or has had.
        """
        present = self.last_ids(connection)
        for table in NUMBERED:
            if last.get(table, 0) > present.get(table, 0):
                connection.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
                connection.exec_driver_sql("INSERT INTO sqlite_sequence VALUES (?, ?)", (table, last[table]))

    def check_writable(self, connection: Connection, *, thoroughly: bool) -> None:
        if thoroughly:
            result = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
            if result != "ok":
                raise DamagedStore(f"{self.name}: is damaged; {_ADVICE[sqlite3.SQLITE_CORRUPT]}")
        # This statement shows whether SQLite can write: SQLite writes a page even when the value stays the same.
        connection.exec_driver_sql("PRAGMA user_version = 0")

    def end_hanging(self) -> UnreachableStore:
        """Only return the error, because a thread that waits for the disk cannot be woken until the disk answers."""
        return UnreachableStore(f"{self.name}: has not answered for {HANG_SECONDS:.0f} seconds; look at the disk")

    def _check_file(self) -> None:
        """Reconnect if the file was replaced, because SQLite would write into the deleted file and lose the data."""
        identity = self.identity()
        if self._file and identity != self._file:
            self.close()
            try:
                is_current = self._is_current()
            except StoreError:
                is_current = False
            if not is_current:
                raise StoreError(f"{self.name}: was replaced by a file that is no database of this ldapgw")
            self._file = identity

    def _revision(self) -> str | None:
        with self.engine.connect() as connection:
            return read_revision(connection, self.name)

    def _is_current(self) -> bool:
        with self.engine.connect() as connection:
            return is_current(connection, self)

    def _keep_copy(self, revision: str | None) -> None:
        if revision is None or not self.file or not self._keeps_copies:
            return
        copy_path = self.file.with_name(f"{self.file.name}.before-upgrade-from-{revision}")
        # After an upgrade of ldapgw, two processes may open the database at the same time; SQLite's locks then let one
        # process wait for the other process.  If the wait fails, the copy stays, because the other process writes it.
        copy_path.touch(mode=0o600)
        try:
            copy_database(closing(sqlite3.connect(self.file)), copy_path, self.file)
        except sqlite3.Error:
            copy_path.unlink(missing_ok=True)
            raise

    def _begin(self, connection: Connection) -> None:
        """Take the write lock at the beginning, because a transaction that has read first cannot wait for the lock."""
        if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            return
        if self._why_read_only is not None:
            connection.exec_driver_sql("BEGIN")
            return
        tries = 1 if self._is_locked else math.ceil(BUSY_SECONDS / TRY_SECONDS)
        for tries_left in reversed(range(tries)):
            try:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            except DBAPIError as error:
                self._is_locked = _code(error) == sqlite3.SQLITE_BUSY
                if not tries_left or not self._is_locked:
                    raise
            else:
                self._is_locked = False
                return

    def _connect_read_only(self, _dialect: object, _record: object, _args: object, options: dict[str, Any]) -> Any:
        """If the database is read-only, connect without creating files beside the database.

        Otherwise return None; SQLAlchemy then makes a normal connection.

        SQLite has to read the log (the file ``-wal``) too if the log has content.  After a crash the index of the log
        exists, and with ``readonly_shm`` SQLite copies the index into memory.  Without a log, the file is opened as
        immutable, because nobody can write to the file.
        """
        if self._why_read_only is None or self.file is None:
            return None
        log = _log_of(self.file)
        how = "readonly_shm=1" if log.exists() and log.stat().st_size else "immutable=1"
        return sqlite3.connect(f"{self.file.absolute().as_uri()}?mode=ro&{how}", uri=True, **options)

    def store_error(self, error: DBAPIError | sqlite3.Error | OSError) -> StoreError:
        """Convert a failure of SQLite or of the file to an error of the store, with advice."""
        if isinstance(error, OSError):
            kind = UnwritableStore if error.errno in _UNWRITABLE_FILES else StoreError
            reason, advice = error.strerror, _ADVICE_ON_FILES.get(error.errno or 0)
        else:
            code = _code(error)
            if code == sqlite3.SQLITE_READONLY and self._why_read_only is not None:
                return UnwritableStore(self._why_read_only.problems)
            kind = DamagedStore if code in _DAMAGE else UnwritableStore if code in _UNWRITABLE else StoreError
            reason, advice = str(getattr(error, "orig", error)).partition("\n")[0], _ADVICE.get(code)
        return kind(f"{self.name}: cannot be used: {reason}" + (f"; {advice}" if advice else ""))


class _ChangeDetector:
    """The change detector of SQLite: ``PRAGMA data_version`` on a connection that nothing else uses.

    A gateway that stops calls `close` while `has_changed` may be running on the store's thread.  The reactor's thread
    neither waits for the disk nor closes a connection that has a statement: `has_changed` then closes the connection.
    """

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database
        self._connection: Connection | None = None
        # The identity of the database when the connection was made, and SQLite's data_version.
        self._version: tuple[object, object] | None = None
        self._using = Lock()
        self._is_closed = False

    def has_changed(self) -> bool:
        """Return True at the first call, after a commit since the last call, and after the file was replaced.

        A missing database counts as unchanged, so that the served books stay.  A read-only database counts as unchanged
        too, and the connection is closed, because an open reader would keep the database from being opened for writing.
        """
        with self._using:
            has_changed = not self._is_closed and self._has_changed()
        self._disconnect_if_closed()
        return has_changed

    def _has_changed(self) -> bool:
        if self._database.is_read_only:
            self._disconnect()
            return False
        try:
            identity = self._database.identity(), self._database.reopened
            if self._connection is None or self._version is None or self._version[0] != identity:
                self._disconnect()
                self._connection = self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            version = (identity, self._connection.exec_driver_sql("PRAGMA data_version").scalar())
        except (OSError, DBAPIError):
            return False
        before, self._version = self._version, version
        return version != before

    def listen(self, on_change: Callable[[], object], on_bulletin: Callable[[str], object]) -> None:
        """Do nothing, because SQLite has no notifications; the caller polls `has_changed` every second."""

    def close(self) -> None:
        self._is_closed = True
        self._disconnect_if_closed()

    def _disconnect_if_closed(self) -> None:
        """Close the connection after `close` was called, unless another thread uses the connection at this moment."""
        if self._is_closed and self._using.acquire(blocking=False):
            try:
                self._disconnect()
            finally:
                self._using.release()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()  # the connection's pool may be gone by now
            self._connection.close()
            self._connection = None


def copy_database(source: closing[sqlite3.Connection], target: Path, file: Path) -> None:
    """Copy a database in one transaction.

    SQLite waits for at most `BUSY_SECONDS` until another program has unlocked the database or the copy, or has
    recovered the database's log.

    :param file: the file of the database.
    :raises StoreError: if the database or the copy is locked for longer.
    """

    def check(status: int, _remaining: int, _total: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            advice = "another program, such as an upgrade of ldapgw, keeps one of the files locked"
            raise StoreError(f"{file}: cannot be copied to {target}: database is locked; {advice}")

    with source as source_connection, closing(sqlite3.connect(target)) as target_connection:
        for connection in (source_connection, target_connection):
            connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}")
        source_connection.backup(target_connection, progress=check)


def _log_of(file: Path) -> Path:
    return file.with_name(f"{file.name}-wal")


def _identity(file: Path) -> tuple[int, int] | None:
    """Return the device and inode of a file, or None if there is no file."""
    status = status_of(file)
    return (status.st_dev, status.st_ino) if status else None


def _code(error: DBAPIError | sqlite3.Error) -> int:
    """Return SQLite's primary result code, which is the lowest octet of the extended code."""
    return getattr(getattr(error, "orig", error), "sqlite_errorcode", 0) & 0xFF


def _engine(url: URL, *, query_only: bool = False) -> Engine:
    """Return an engine for a URL.

    :param query_only: whether to refuse statements that write; the caller then begins transactions by hand.
    """
    memory: dict[str, Any] = {} if url.database else {"poolclass": StaticPool}
    engine = create_engine(
        url,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        hide_parameters=True,  # the text of an error must not contain stored values
        **({"isolation_level": "AUTOCOMMIT"} if query_only else {}),
        **memory,
    )
    event.listen(engine, "connect", _prepare)
    if query_only:
        event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA query_only = ON"))
    return engine


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # `SqliteDatabase._begin` begins transactions, not the driver
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA journal_size_limit = {LOG_LIMIT}")
    # Overwrite deleted content with zeros; by default, some builds of SQLite leave deleted content in the file.
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute(f"PRAGMA busy_timeout = {TRY_SECONDS * 1000:.0f}")
