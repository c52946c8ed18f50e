# SPDX-License-Identifier: MIT
"""The SQLite database: opening, upgrading, transactions, and files that are replaced atomically.

Transactions begin and end only in `Database`.  SQLite runs in WAL mode, so that readers never wait for the writer, and
with ``synchronous=FULL``, so that an acknowledged grant survives a power cut.

On a disk that is full or read-only SQLite cannot even read in WAL mode, because it needs files beside the database.
`Database.open_or_read` then opens the database read-only, without these files.
Mutable: `Database` knows why it is read-only, and opens the database for writing as soon as that is possible.  While
one thread does so, or finds that the file was replaced, no other thread connects.
"""

from __future__ import annotations

import errno
import math
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import StaticPool
from twisted.logger import Logger

from ldapgw.errors import DamagedStore, StoreError, UnwritableStore

# A command and the gateway may write at the same time; each writes for milliseconds.
BUSY_SECONDS = 10
# How long one attempt to begin a transaction waits for the lock.  Once all attempts of a transaction have failed, each
# further transaction makes one attempt until one succeeds: queued transactions must not wait ten seconds each.
TRY_SECONDS = 0.25

# SQLite starts its log (the file ``-wal``) anew once all of it is in the database and nobody reads from it.  The file
# keeps its size then, and grows on while there is always somebody who reads; so a larger log is emptied.
LOG_LIMIT = 16 << 20

# The first version that knows the clause RETURNING.
OLDEST_SQLITE = (3, 35)

# Advice to the operator by SQLite's primary result code (sqlite.org/rescode.html).
_ADVICE = {
    sqlite3.SQLITE_FULL: "make room on the disk",
    sqlite3.SQLITE_IOERR: "look at the disk: it is full, or it fails",
    sqlite3.SQLITE_BUSY: "another program keeps it locked; end that one",
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
# With these a database may be readable that cannot be written.
_UNWRITABLE = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
_UNWRITABLE_FILES = (errno.EACCES, errno.EDQUOT, errno.ENOSPC, errno.EROFS)

log = Logger()

_ERASED = "erased"


def mark_erased(connection: Connection) -> None:
    """Have no trace left in the files of what this transaction deletes, once it is committed."""
    connection.info[_ERASED] = True


class Database:
    """The database and its transactions.

    :param url: an SQLAlchemy URL: ``sqlite:///PATH`` or, for tests, ``sqlite://`` (in memory).
    :param keeps_copies: whether to keep a copy of the database before an upgrade.
    :ivar reading_engine: for `begin_read`; its connections refuse to write.
    """

    def __init__(self, url: str, *, keeps_copies: bool = True) -> None:
        self._keeps_copies = keeps_copies
        try:
            self._engine = _engine(url)
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError):
            raise StoreError(
                'database: expected "sqlite:///PATH"; other databases are not supported yet', is_setting=True
            ) from None
        self._path = Path(self._engine.url.database) if self._engine.url.database else None
        # In memory there is one connection.
        self.reading_engine = (
            _engine(url, query_only=True)
            if self._path
            else self._engine.execution_options(isolation_level="AUTOCOMMIT")
        )
        self._file: tuple[int, int] | None = None
        self._name = str(self._path or "the database")
        self._is_locked = False
        self._has_erased = False
        self._log_bound = LOG_LIMIT
        self._first_write: Callable[[Connection], None] | None = None
        self._why_read_only: UnwritableStore | None = None
        self._opening = Lock()
        event.listen(self._engine, "begin", self._begin)
        for engine in (self._engine, self.reading_engine):
            event.listen(engine, "do_connect", self._connect_read_only)

    def open(self) -> None:
        """Create the database or upgrade it to the newest version; a copy is kept before an upgrade.

        :raises StoreError: when SQLite is too old, or the database cannot be opened, is damaged, or was made by another
            version of ldapgw.
        """
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            has = f"this Python has {sqlite3.sqlite_version}"
            raise StoreError(f"{self._name}: SQLite 3.35 or newer is needed, {has}; install a newer one")
        try:
            if self._path:
                self._path.touch(mode=0o600)
            found = self._revision()
            newest, *older = revisions()
            if found not in {None, newest, *older}:
                raise StoreError(
                    f"{self._name}: was made by another version of ldapgw; install that version, nothing was changed"
                )
            if found != newest:
                self._keep_copy(found)
                with self._engine.begin() as connection:
                    config = _alembic()
                    config.attributes["connection"] = connection
                    command.upgrade(config, "head")
            self._file = self.identity()
        except (DBAPIError, sqlite3.Error, OSError) as error:
            raise self._store_error(error) from None

    def open_or_read(self, first_write: Callable[[Connection], None]) -> None:
        """Open the database as `open` does; on a disk that is full or read-only, open it to read what is stored.

        As long as it is read-only, each transaction first tries to open it for writing.

        :param first_write: called in the first transaction that can write.
        :raises StoreError: when the database cannot be opened, or has to be upgraded and cannot be written.
        """
        self._first_write = first_write
        self._open_for_writing()
        if self._why_read_only is None:
            return
        try:
            found = self._revision()
            self._file = self.identity()
        except (DBAPIError, OSError):
            raise self._why_read_only from None
        if found is None:
            raise self._why_read_only
        if found != revisions()[0]:
            why = self._why_read_only.problems[0]
            raise StoreError(f"{why}; it is of an older version, which cannot be served before it is upgraded")

    @property
    def is_read_only(self) -> bool:
        """Whether the database could not be opened for writing."""
        return self._why_read_only is not None

    def _open_for_writing(self) -> None:
        """Open the database for writing; when its disk is full or read-only, note why not.

        :raises StoreError: when it cannot be opened for another reason.
        """
        assert self._first_write is not None
        before, self._why_read_only = self._why_read_only, None
        self.close()
        try:
            self.open()
            with self._engine.begin() as connection:
                check_writable(connection, thoroughly=False)
                self._first_write(connection)
        except (StoreError, DBAPIError) as error:
            found = error if isinstance(error, StoreError) else self._store_error(error)
            self._why_read_only = found if isinstance(found, UnwritableStore) else before
            if self._why_read_only is None:
                raise found from None
            self.close()

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Open a transaction, which is committed at the end of the block and rolled back on an exception.

        :raises StoreError: when the database cannot be used.
        """
        try:
            with self._opening:
                self._check_file()
                if self._why_read_only is not None:
                    self._open_for_writing()
            with self._engine.begin() as connection:
                yield connection
                self._has_erased = connection.info.pop(_ERASED, False) or self._has_erased
        except (DBAPIError, OSError) as error:
            raise self._store_error(error) from None
        if self._path and self._why_read_only is None:
            self._bound_log(self._path.with_name(f"{self._path.name}-wal"))

    def _bound_log(self, file: Path) -> None:
        """Empty a log that is too large, or that has what was erased; told once for each doubling where that fails."""
        if _size(file) < LOG_LIMIT:
            self._log_bound = LOG_LIMIT
        if not self._has_erased and _size(file) < self._log_bound:
            return
        self._empty_log()
        if (left := _size(file)) >= self._log_bound:
            self._log_bound = 2 * left
            log.warn(
                "{file}: has {size} MiB, because another program has been reading from the database; end that program",
                file=str(file),
                size=left >> 20,
            )

    def _empty_log(self) -> None:
        """Write the log back into the file and empty it, so that nothing of what was erased is left in either.

        While another process reads, that has to wait for the next transaction.
        """
        with suppress(DBAPIError), self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            is_busy, *_ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
            self._has_erased = bool(is_busy)

    @contextmanager
    def begin_read(self) -> Iterator[Connection]:
        """Open a read transaction on a snapshot of the database; a reader and a writer never wait for each other.

        It may be on another thread than `begin`.  What it would write is refused.

        :raises StoreError: when the database cannot be used.
        """
        try:
            with self._opening:
                self._check_file()
                connection = self.reading_engine.connect()
            with connection:
                connection.exec_driver_sql("BEGIN")
                yield connection
                connection.exec_driver_sql("ROLLBACK")
        except (DBAPIError, OSError) as error:
            raise self._store_error(error) from None

    def close(self) -> None:
        """Close all connections; the database can be opened again."""
        self._engine.dispose()
        self.reading_engine.dispose()

    @property
    def engine(self) -> Engine:
        """For `ldapgw.store.worker` alone: transactions go through `begin`."""
        return self._engine

    @property
    def file(self) -> Path | None:
        """The file of the database; None for a database in memory."""
        return self._path

    def identity(self) -> tuple[int, int] | None:
        """Device and inode of the file, which change when the file is replaced; None for a database in memory.

        :raises OSError: when the file is missing.
        """
        if not self._path:
            return None
        status = self._path.stat()
        return status.st_dev, status.st_ino

    def _check_file(self) -> None:
        """Reconnect when the file was replaced: SQLite would go on writing into the deleted file and lose the data."""
        identity = self.identity()
        if self._file and identity != self._file:
            self.close()
            if self._revision() != revisions()[0]:
                raise StoreError(f"{self._name}: was replaced by a file that is no database of this ldapgw")
            self._file = identity

    def _revision(self) -> str | None:
        """The Alembic revision of the database; None for an empty database.

        :raises StoreError: when the database belongs to another program.
        """
        with self._engine.connect() as connection:
            revision = MigrationContext.configure(connection).get_current_revision()
            if revision is None and inspect(connection).get_table_names():
                raise StoreError(f"{self._name}: is a database of another program")
        return revision

    def _keep_copy(self, revision: str | None) -> None:
        if revision is None or not self._path or not self._keeps_copies:
            return
        copy_path = self._path.with_name(f"{self._path.name}.before-upgrade-from-{revision}")
        copy_path.touch(mode=0o600)
        try:
            with closing(sqlite3.connect(self._path)) as current, closing(sqlite3.connect(copy_path)) as copy:
                current.backup(copy)
        except sqlite3.Error:
            copy_path.unlink(missing_ok=True)
            raise

    def _begin(self, connection: Connection) -> None:
        """Take the write lock at once: a transaction that reads first and writes later could not wait for the lock."""
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
        """Connect without files beside the database, while it is read-only; None: SQLAlchemy connects as always.

        A log with content has to be read too: after a crash the log's index exists, of which SQLite makes a copy in
        memory then.  Without a log nothing can change the file, because it cannot be written.
        """
        if self._why_read_only is None or self._path is None:
            return None
        log = self._path.with_name(f"{self._path.name}-wal")
        how = "readonly_shm=1" if log.exists() and log.stat().st_size else "immutable=1"
        return sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro&{how}", uri=True, **options)

    def _store_error(self, error: DBAPIError | sqlite3.Error | OSError) -> StoreError:
        if isinstance(error, OSError):
            kind = UnwritableStore if error.errno in _UNWRITABLE_FILES else StoreError
            reason, advice = error.strerror, _ADVICE_ON_FILES.get(error.errno or 0)
        else:
            code = _code(error)
            if code == sqlite3.SQLITE_READONLY and self._why_read_only is not None:
                return UnwritableStore(self._why_read_only.problems)
            kind = DamagedStore if code in _DAMAGE else UnwritableStore if code in _UNWRITABLE else StoreError
            reason, advice = str(getattr(error, "orig", error)).partition("\n")[0], _ADVICE.get(code)
        return kind(f"{self._name}: cannot be used: {reason}" + (f"; {advice}" if advice else ""))


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def check_writable(connection: Connection, *, thoroughly: bool) -> None:
    """Check that the database can be written to, by a write that changes nothing.

    :param thoroughly: whether to check the integrity of all pages too, which takes a while.
    :raises DamagedStore: when the database is damaged.
    """
    if thoroughly:
        result = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        if result != "ok":
            name = connection.engine.url.database or "the database"
            raise DamagedStore(f"{name}: is damaged; {_ADVICE[sqlite3.SQLITE_CORRUPT]}")
    # SQLite writes a page even when the value stays the same.
    connection.exec_driver_sql("PRAGMA user_version = 0")


def _code(error: DBAPIError | sqlite3.Error) -> int:
    """SQLite's primary result code (its lowest octet)."""
    return getattr(getattr(error, "orig", error), "sqlite_errorcode", 0) & 0xFF


def revisions() -> tuple[str, ...]:
    """The database revisions that this version of ldapgw knows, newest first."""
    return tuple(script.revision for script in ScriptDirectory.from_config(_alembic()).walk_revisions())


def prepare_state_dir(path: Path, *, create: bool = True) -> None:
    """Create the folder for the database and the key file, readable for the gateway's user alone.

    A folder on a read-only disk is taken as it is: what is stored there can be served.

    :param create: whether to create the folder if it is missing.
    :raises StoreError: when the folder cannot be created, or everybody may read it, or this user may not use it.
    """
    if not create and not os.path.lexists(path):
        raise StoreError(
            f"state_dir = {path}: is not there, and new_store is false; mount the disk with it, or set new_store = "
            "true to begin anew",
            is_setting=True,
        )
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = path.stat().st_mode
    except OSError as error:
        raise StoreError(f"state_dir = {path}: cannot be created: {error.strerror}", is_setting=True) from None
    if mode & 0o007:
        raise StoreError(f"state_dir = {path}: everybody may look into it; run: chmod 700 {path}", is_setting=True)
    is_read_only = os.statvfs(path).f_flag & os.ST_RDONLY
    if not os.access(path, os.R_OK | os.X_OK | (0 if is_read_only else os.W_OK)):
        raise StoreError(f"state_dir = {path}: cannot be written to by this user", is_setting=True)


@contextmanager
def replace_file(path: Path, like: Path | None = None) -> Iterator[Path]:
    """Open a new file of mode 0600, which replaces `path` atomically at the end of the block.

    After an exception or a power cut `path` has either its old content or the complete new content.

    :param like: a file or folder whose owner the new file gets; None: the owner is the current user.
    :raises OSError: when the file cannot be written; `path` is unchanged then.
    """
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield new
        if like is not None:
            copy_owner(new, like)
        flush_to_disk(new)
        new.rename(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    flush_to_disk(path.parent)


def copy_owner(file: Path, like: Path) -> None:
    """Give a file the owner of another file or folder: root may run commands for a gateway of another user."""
    if os.geteuid() == 0:
        status = like.stat()
        os.chown(file, status.st_uid, status.st_gid)


def flush_to_disk(path: Path) -> None:
    """Flush a file, or the entries of a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _alembic() -> AlembicConfig:
    config = AlembicConfig()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    return config


def _engine(url: str, *, query_only: bool = False) -> Engine:
    """:param query_only: whether to refuse what would write; only for transactions that are begun by hand."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        raise StoreError('database: expected "sqlite:///PATH"; other databases are not supported yet', is_setting=True)
    memory: dict[str, Any] = {} if parsed.database else {"poolclass": StaticPool}
    engine = create_engine(
        parsed,
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
    connection.isolation_level = None  # `Database._begin` begins transactions, not the driver
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA journal_size_limit = {LOG_LIMIT}")
    # Overwrite what is deleted; some builds of SQLite leave it in the file.
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute(f"PRAGMA busy_timeout = {TRY_SECONDS * 1000:.0f}")
