# SPDX-License-Identifier: MIT
"""Files that are there whole or not at all, whenever the machine stops.

The database: opened, brought up to date, and the one place where transactions begin and end.

SQLite by default: WAL, so that readers never wait for the writer, and ``synchronous=FULL``, so that a grant that was
acknowledged survives a power cut.
"""

from __future__ import annotations

import errno
import math
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import StaticPool

from ldapgw.errors import DamagedStore, StoreError


@contextmanager
def replace_file(path: Path, like: Path | None = None) -> Iterator[Path]:
    """A new file, mode 0600, which takes the place of `path` at the end of the block; not when an exception leaves it.

    :param like: it is to belong to whom this file or folder belongs to; None: it is ours.
    :raises OSError: when it cannot be written; `path` is as it was then.
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
    """Have a file belong to whom another one belongs to: root writes for a gateway that is another user."""
    if os.geteuid() == 0:
        status = like.stat()
        os.chown(file, status.st_uid, status.st_gid)


def flush_to_disk(path: Path) -> None:
    """Have the disk keep a file, or that there are the files of a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# A command and the gateway may want to write at the same time; each writes for milliseconds.
BUSY_SECONDS = 10
# How long one try to begin waits.  Once all of them have failed there is one for each transaction, until one works:
# what stands behind it is not to wait for its own ten seconds.
TRY_SECONDS = 0.25

# What to do about it, by SQLite's primary result code (sqlite.org/rescode.html).
_ADVICE = {
    sqlite3.SQLITE_FULL: "make room on the disk",
    sqlite3.SQLITE_IOERR: "look at the disk: it is full, or it fails",
    sqlite3.SQLITE_BUSY: "another program keeps it locked; end that one",
    sqlite3.SQLITE_READONLY: "let this user write to the file and to its folder",
    sqlite3.SQLITE_CANTOPEN: "let this user read and write the file and its folder",
    sqlite3.SQLITE_CORRUPT: "put a backup back: ldapgw restore FILE",
    sqlite3.SQLITE_NOTADB: "put a backup back: ldapgw restore FILE",
}
# The same by errno, which are other numbers.
_ADVICE_ON_FILES = {
    errno.ENOENT: "put it back",
    errno.EACCES: "let this user read and write the file and its folder",
}
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Database:
    """An open database.

    :param url: SQLAlchemy's; ``sqlite:///PATH`` or, for tests, ``sqlite://`` (in memory).
    :param keeps_copies: of a database that is upgraded, as it was before.
    """

    def __init__(self, url: str, *, keeps_copies: bool = True) -> None:
        self._keeps_copies = keeps_copies
        try:
            self._engine = _engine(url)
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError):
            raise StoreError('database: expected "sqlite:///PATH"; other databases are not supported yet') from None
        self._path = Path(self._engine.url.database) if self._engine.url.database else None
        self._file: tuple[int, int] | None = None
        self._name = str(self._path or "the database")
        self._is_locked = False
        event.listen(self._engine, "begin", self._begin)

    def open(self) -> None:
        """Create the database or bring it up to date; a copy is kept of one that is upgraded.

        :raises StoreError: when it cannot be opened, is damaged, or was made by another version of ldapgw.
        """
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
        except (DBAPIError, OSError) as error:
            raise self._store_error(error) from None

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction: committed at the end of the block, rolled back when an exception leaves it.

        :raises StoreError: when the database cannot be used.
        """
        try:
            self._check_file()
            with self._engine.begin() as connection:
                yield connection
        except (DBAPIError, OSError) as error:
            raise self._store_error(error) from None

    @contextmanager
    def begin_read(self) -> Iterator[Connection]:
        """What the database holds at one moment, to be read alone: it waits for nobody, and nobody waits for it.

        :raises StoreError: when the database cannot be used.
        """
        try:
            with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("BEGIN")
                yield connection
                connection.exec_driver_sql("ROLLBACK")
        except (DBAPIError, OSError) as error:
            raise self._store_error(error) from None

    def close(self) -> None:
        """Let go of the database; it can be opened again."""
        self._engine.dispose()

    @property
    def engine(self) -> Engine:
        """For `ldapgw.store.worker` alone: transactions go through `begin`."""
        return self._engine

    @property
    def file(self) -> Path | None:
        """The file of an SQLite database; None in memory."""
        return self._path

    def identity(self) -> tuple[int, int] | None:
        """Which file it is; another one once it was replaced.  None in memory.

        :raises OSError: when the file is gone.
        """
        if not self._path:
            return None
        status = self._path.stat()
        return status.st_dev, status.st_ino

    def _check_file(self) -> None:
        """SQLite would go on writing into a file that was deleted, and all of it would be lost."""
        identity = self.identity()
        if self._file and identity != self._file:
            self._engine.dispose()
            if self._revision() != revisions()[0]:
                raise StoreError(f"{self._name}: was replaced by a file that is no database of this ldapgw")
            self._file = identity

    def _revision(self) -> str | None:
        """The version of the database; None for one that is empty.

        :raises StoreError: when it is another program's.
        """
        with self._engine.connect() as connection:
            revision = MigrationContext.configure(connection).get_current_revision()
            if revision is None and inspect(connection).get_table_names():
                raise StoreError(f"{self._name}: is a database of another program")
        return revision

    def _keep_copy(self, revision: str | None) -> None:
        if revision is None or not self._path or not self._keeps_copies:
            return
        kept = self._path.with_name(f"{self._path.name}.before-upgrade-from-{revision}")
        kept.touch(mode=0o600)
        with closing(sqlite3.connect(self._path)) as old, closing(sqlite3.connect(kept)) as copy:
            old.backup(copy)

    def _begin(self, connection: Connection) -> None:
        """Take the write lock at once: a transaction that reads first and then writes could not wait for it."""
        if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            return
        tries = 1 if self._is_locked else math.ceil(BUSY_SECONDS / TRY_SECONDS)
        for left in reversed(range(tries)):
            try:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            except DBAPIError as error:
                self._is_locked = _code(error) == sqlite3.SQLITE_BUSY
                if not left or not self._is_locked:
                    raise
            else:
                self._is_locked = False
                return

    def _store_error(self, error: DBAPIError | OSError) -> StoreError:
        if isinstance(error, OSError):
            kind, reason, advice = StoreError, error.strerror, _ADVICE_ON_FILES.get(error.errno or 0)
        else:
            kind = DamagedStore if _code(error) in _DAMAGE else StoreError
            reason, advice = str(error.orig).partition("\n")[0], _ADVICE.get(_code(error))
        return kind(f"{self._name}: cannot be used: {reason}" + (f"; {advice}" if advice else ""))


def check_writable(connection: Connection, *, thoroughly: bool) -> None:
    """Write something, as a try; fails where that cannot be done.

    :param thoroughly: look at all that is stored too, which takes a while.
    :raises DamagedStore: when what is stored is damaged.
    """
    if thoroughly:
        found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        if found != "ok":
            name = connection.engine.url.database or "the database"
            raise DamagedStore(f"{name}: is damaged; {_ADVICE[sqlite3.SQLITE_CORRUPT]}")
    # Writes a page, though it changes nothing.
    connection.exec_driver_sql("PRAGMA user_version = 0")


def _code(error: DBAPIError) -> int:
    """SQLite's primary result code (its lowest octet)."""
    return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF


def revisions() -> tuple[str, ...]:
    """The versions of a database that this ldapgw knows, the newest first."""
    return tuple(script.revision for script in ScriptDirectory.from_config(_alembic()).walk_revisions())


def prepare_state_dir(path: Path) -> None:
    """Create the folder for the database and the key, for our eyes only.

    :raises StoreError: when that is not possible, or others may look into it.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = path.stat().st_mode
    except OSError as error:
        raise StoreError(f"state_dir = {path}: cannot be created: {error.strerror}") from None
    if mode & 0o007:
        raise StoreError(f"state_dir = {path}: everybody may look into it; run: chmod 700 {path}")
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise StoreError(f"state_dir = {path}: cannot be written to by this user")


def _alembic() -> AlembicConfig:
    config = AlembicConfig()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    return config


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        raise StoreError('database: expected "sqlite:///PATH"; other databases are not supported yet')
    memory: dict[str, Any] = {} if parsed.database else {"poolclass": StaticPool}
    engine = create_engine(
        parsed,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        hide_parameters=True,  # an error's text must not hold what was to be stored
        **memory,
    )
    event.listen(engine, "connect", _prepare)
    return engine


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by `_begin`, not guessed by the driver
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA busy_timeout = {TRY_SECONDS * 1000:.0f}")
