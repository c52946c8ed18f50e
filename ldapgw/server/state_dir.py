# SPDX-License-Identifier: MIT
"""Opens the state directory for one gateway at a time: its lock file, its database and its key file.

The lock file names the process that holds the lock.  The kernel releases the lock when the process ends, even after a
crash.  On a disk that is full or read-only, the database is opened for reading (`ldapgw.store.database`).
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, make_url

from ldapgw.errors import StoreError, UnreachableStore
from ldapgw.server.config import Config
from ldapgw.store import accounts, changes, gateways, sync_state
from ldapgw.store.database import Database, database_of
from ldapgw.store.engines import database_at
from ldapgw.store.files import copy_owner, prepare_state_dir
from ldapgw.store.logins_file import LOGINS_FILE, LoginsFile, LoginsSnapshot
from ldapgw.store.secrets import KeySource, SecretBox

if TYPE_CHECKING:
    from ldapgw.sync.book_cache import BookCache

DATABASE_FILE = "ldapgw.db"
KEY_FILE = "ldapgw.key"
LOCK_FILE = "ldapgw.pid"
# The file whose modification time is the time of the last backup (`ldapgw.store.files.note_backup`).
BACKUP_NOTE = "last-backup"
LOCK_ATTEMPTS = 3
LOCK_RETRY_SECONDS = 0.05


class StateDirLock:
    """The exclusive lock of a state directory, held until `release`.

    :raises StoreError: when another gateway holds the lock, or the file cannot be opened.
    """

    def __init__(self, state_dir: Path) -> None:
        path = state_dir / LOCK_FILE
        try:
            self._file = _open_lock_file(path)
        except OSError as error:
            raise StoreError(f"{path}: cannot be opened: {error.strerror}") from None
        if not any(_try_lock(self._file) for _ in range(LOCK_ATTEMPTS)):
            pid = _read_pid(self._file)
            os.close(self._file)
            raise in_use(state_dir, pid)

    def write_pid(self) -> None:
        """Write this process's id into the lock file; to be called after twistd has forked.

        On a disk that is full or read-only, the file keeps its content.
        """
        pid = f"{os.getpid()}\n".encode()
        with suppress(OSError):
            # The id is written over the former content, and then the rest is cut off.  If the file were emptied first,
            # another program could take the freed space of a full disk, and the id could not be written.
            os.pwrite(self._file, pid, 0)
            os.ftruncate(self._file, len(pid))

    def release(self) -> None:
        os.close(self._file)


def in_use(state_dir: Path, pid: int) -> StoreError:
    """Return the error that refuses a second gateway on a state directory."""
    return StoreError(f"state_dir = {state_dir}: is in use by another gateway (process {pid})", is_setting=True)


def lock_holder_pid(state_dir: Path) -> int | None:
    """Return the process id of the gateway that runs on a state directory, or None if no gateway runs."""
    try:
        file = os.open(state_dir / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_pid(file)
    finally:
        os.close(file)
    return None


def _open_lock_file(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno != errno.EROFS or not path.exists():
            raise
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # a read-only file can be locked too


def _try_lock(file: int) -> bool:
    """Try to take the lock; after a failure, wait for another attempt.

    `lock_holder_pid` in another process may hold the lock for a moment.

    :returns: whether the lock was taken.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(LOCK_RETRY_SECONDS)
        return False
    return True


def _read_pid(file: int) -> int:
    text = os.pread(file, 20, 0).strip()
    return int(text) if text.isdigit() else 0


@dataclass(frozen=True, slots=True)
class StateDir:
    """The state directory, the database and the key that a configuration names.

    :ivar path: the folder of the key file and, by default, of the database.
    :ivar configured: the setting ``database``; empty for SQLite in the folder.
    :ivar new_store: whether a missing database may be created; false if a missing database may mean that the disk is
        not mounted.
    :ivar encryption_key: the setting ``encryption_key``; empty if the key file in the folder has the key.
    """

    path: Path
    configured: str = field(default="", repr=False)
    new_store: bool = True
    encryption_key: str = field(default="", repr=False)

    @classmethod
    def of(cls, config: Config) -> StateDir:
        return cls(Path(config.state_dir), config.database, config.new_store, config.encryption_key)

    @property
    def database_url(self) -> str:
        """Return SQLAlchemy's URL of the database."""
        return self.configured or f"sqlite:///{self.path / DATABASE_FILE}"

    @property
    def database_file(self) -> Path | None:
        """Return the file of an SQLite database, or None if another kind of database is configured."""
        url = make_url(self.database_url)
        return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None

    @property
    def key_source(self) -> KeySource:
        return KeySource(self.path / KEY_FILE, self.encryption_key)

    @property
    def may_be_created(self) -> bool:
        """Return whether to create a missing state directory.

        Return False if the directory has to hold the database or the key.  The directory may then be lost, or not
        mounted.
        """
        is_on_server = bool(self.configured) and make_url(self.configured).get_backend_name() != "sqlite"
        return self.new_store or (is_on_server and bool(self.encryption_key))

    def database(self) -> Database:
        """Return the database, which is not opened yet.

        :raises StoreError: when the setting names no database that can be used.
        """
        return database_at(self.database_url)

    def check_database_not_lost(self, file: Path | None) -> None:
        """Refuse to create an empty database where an earlier database with phones and consents is missing or empty.

        :param file: the database file, or None if the database is not a file.
        :raises StoreError: when the database is missing or empty, although `new_store` is false or the folder has a key
            file.  Also raised when this user may not look into the folder.
        """
        key = self.path / KEY_FILE
        if os.path.lexists(self.path) and not os.access(self.path, os.X_OK):
            raise StoreError(f"state_dir = {self.path}: this user may not look into the folder", is_setting=True)
        if file is None:
            return
        if not key.exists():
            if not self.new_store and not _has_content(file):
                raise StoreError(
                    f"{file}: there is no database, and new_store is false; mount the disk with the database, "
                    "restore a backup, or set new_store = true to start with a new database"
                )
        elif not file.exists():
            raise StoreError(
                f"{file}: the database is gone, but its key {key} exists; put the database back, or remove the key "
                "to start with a new database"
            )
        elif not _has_content(file):
            raise StoreError(
                f"{file}: the database is empty, but its key {key} exists; restore a backup, or remove the database "
                "and the key to start with a new database"
            )

    def check_server_not_empty(self, database: Database) -> None:
        """Refuse to begin with an empty database on a server if the gateway may have had a database with content.

        :raises StoreError: when the database is empty, and `new_store` is false or the folder has a database.
        """
        if not database.is_empty():
            return
        former = self.path / DATABASE_FILE
        if former.exists() and _has_content(former):
            raise StoreError(
                f"{database.name}: is empty, and there is {former}; copy the file with ldapgw database copy, or "
                "move the file away to start with the empty database"
            )
        if not self.new_store:
            raise StoreError(
                f"{database.name}: is empty, and new_store is false; restore a backup, or set new_store = true to "
                "start with the empty database"
            )

    def cached_accounts(self) -> Sequence[int]:
        """Return the ids of the accounts whose contacts are in a cached book."""
        return tuple(_book_cache(self.path).account_ids())

    def check_accounts_not_lost(self, cached: Sequence[int], database: Database, connection: Connection) -> None:
        """Refuse a database that is older than the cached books, because newer accounts are missing from the database.

        The reason may be that somebody has put back an old database file, or deleted the write-ahead log.

        :param cached: the ids of the accounts that have cached books.
        :raises StoreError: when there are cached books of accounts that the database has never had.
        """
        last_id = database.last_ids(connection).get("account", 0)
        lost = sum(account_id > last_id for account_id in cached)
        if lost:
            missing = (
                "1 account is missing from the database, although the account has a cached book"
                if lost == 1
                else f"{lost} accounts are missing from the database, although the accounts have cached books"
            )
            raise StoreError(
                f"{database.name}: {missing} in {self.path}; restore a backup, or start the gateway once with --accept "
                "to accept this loss"
            )


def _has_content(database: Path) -> bool:
    # After the database file was created, all content may still be in the write-ahead log.
    log = database.with_name(f"{database.name}-wal")
    return any(file.exists() and file.stat().st_size for file in (database, log))


class OpenStateDir:
    """An opened and locked state directory.

    :param now: seconds since the epoch.
    :param stale_start: the greatest age, in seconds, of a snapshot of logins from which the gateway may start without
        the database's server; 0 if the gateway may not start without the server.
    :ivar is_unused: whether no account has ever connected.
    :ivar logins_file: the file for the snapshot of logins, or None if the gateway writes no snapshot.
    :ivar outage: the error of the database's server, because of which the gateway starts from `snapshot`; None if the
        server was reached.
    :ivar snapshot: the snapshot of logins to start from, or None if the database could be opened.
    :raises StoreError: when the lock, the database or the key cannot be used, or another gateway runs.
    """

    def __init__(self, state_dir: StateDir, now: float = 0.0, stale_start: float = 0.0) -> None:
        prepare_state_dir(state_dir.path, create=state_dir.may_be_created)
        self._state_dir = state_dir
        self._stale_start = stale_start
        self.database = state_dir.database()
        self.outage: UnreachableStore | None = None
        self.snapshot: LoginsSnapshot | None = None
        state_dir.check_database_not_lost(self.database.file)
        with ExitStack() as undo:
            undo.callback(self.database.close)
            with self._noting_outage():
                state_dir.check_server_not_empty(self.database)
            self.lock = StateDirLock(state_dir.path)
            undo.callback(self.close)
            if self.outage is None:
                with self._noting_outage():
                    self._open()
            if self.outage is not None:
                self._start_without_server(self.outage, now)
            self.logins_file = self._logins_file()
            undo.pop_all()

    @contextmanager
    def _noting_outage(self) -> Iterator[None]:
        """Note the error if the database server does not answer and the gateway may start from a snapshot instead."""
        try:
            yield
        except UnreachableStore as error:
            if not self._stale_start or self.database.answers():
                raise
            self.outage = error

    def _open(self) -> None:
        state_dir, key_source = self._state_dir, self._state_dir.key_source
        self.database.open_or_read(_tidy_up)
        with self.database.begin() as connection:
            self.is_unused = not accounts.has_any(connection)
            self.secret_box = open_secret_box(connection, key_source)
            if self.database.runs_beside:
                check_same_key(connection, self.secret_box, key_source)
            elif self.database.file is not None:
                state_dir.check_accounts_not_lost(state_dir.cached_accounts(), self.database, connection)

    def _start_without_server(self, outage: UnreachableStore, now: float) -> None:
        """Read the snapshot of logins.

        :raises StoreError: when there is no snapshot, or the snapshot cannot be used.
        """
        key_source = self._state_dir.key_source
        if not key_source.is_there:
            raise outage
        self.is_unused = False
        self.secret_box = SecretBox.open(key_source, create=False)
        try:
            self.snapshot = self._saved_logins().read(now, self._stale_start)
        except StoreError as error:
            raise UnreachableStore((*outage.problems, *error.problems)) from None
        if self.snapshot is None:
            raise outage

        def first_write(connection: Connection) -> None:
            _tidy_up(connection)
            check_key_fits(connection, self.secret_box)
            check_same_key(connection, self.secret_box, key_source)

        self.database.open_later(first_write)

    def _saved_logins(self) -> LoginsFile:
        return LoginsFile(self._state_dir.path / LOGINS_FILE, self.secret_box, self.database.name)

    def _logins_file(self) -> LoginsFile | None:
        file = self._saved_logins()
        if self._stale_start and self.database.runs_beside:
            return file
        file.delete()
        return None

    def close(self) -> None:
        self.database.close()
        self.lock.release()


def accept_lost_accounts(state_dir: Path) -> None:
    """Let the next start accept that accounts are missing, by deleting all cached books."""
    _book_cache(state_dir).prune()


def _book_cache(state_dir: Path) -> BookCache:
    from ldapgw.sync.book_cache import FOLDER, BookCache

    return BookCache(state_dir / FOLDER)


def create_state_dir(path: Path, encryption_key: str = "") -> None:
    """Create a state directory with an empty database and a key; an existing database stays as it is.

    The files belong to the owner of the folder, so that root can create the files for a gateway of another user.

    :param encryption_key: the setting ``encryption_key``; empty to create a key file.
    :raises StoreError: when the files cannot be created.
    """
    prepare_state_dir(path)
    state_dir, file = StateDir(path, encryption_key=encryption_key), path / DATABASE_FILE
    state_dir.check_database_not_lost(file)
    if _has_content(file):
        return
    with closing(state_dir.database()) as database:
        database.open()
        with database.begin() as connection:
            open_secret_box(connection, state_dir.key_source)
    copy_owner(file, like=path)


def _tidy_up(connection: Connection) -> None:
    """Remove traces of an earlier run.

    If several gateways share the database, the next leader, and not this function, clears the marks of running syncs.
    """
    if not database_of(connection).runs_beside:
        sync_state.clear_running(connection)
    changes.forget_removed(connection)
    changes.begin_epoch(connection, "")


def check_same_key(connection: Connection, secret_box: SecretBox, source: KeySource) -> None:
    """Refuse a key that the other gateways on the database lack, because gateways decrypt each other's secrets.

    :param source: the source of the key.
    :raises StoreError: when another running gateway has other keys.
    """
    own = set(secret_box.fingerprints())
    for other in gateways.read_all(connection):
        if other.is_alive and other.info.keys and own.isdisjoint(other.info.keys):
            own_key = "encryption_key" if source.configured else source.file.name
            raise StoreError(
                f"{source.name}: differs from the key of the gateway on {other.info.name}; copy the {own_key} of that "
                "gateway to this gateway",
                is_setting=bool(source.configured),
            )


def open_secret_box(connection: Connection, source: KeySource) -> SecretBox:
    """Read the keys and try them on the stored tokens, so that a wrong key is reported now and not at the next sync.

    An OAuth client that the key cannot decrypt has to be entered again (`ldapgw.server.google`).

    :param source: the source of the keys; a missing key file is created if no token is stored yet.
    :raises StoreError: when the key cannot be used, or does not fit a stored token.
    """
    secret_box = SecretBox.open(source, create=not accounts.count_connected(connection))
    if database_of(connection).runs_beside:
        secret_box.limit_sealing(gateways.read_common_keys(connection))
    check_key_fits(connection, secret_box)
    return secret_box


def check_key_fits(connection: Connection, secret_box: SecretBox) -> None:
    """Try the keys on all stored tokens: if two keys have been in use, each key fits only some tokens.

    :raises UnfitKey: when no key fits a token; the error names the token's account.
    """
    if (unfit := secret_box.find_unfit(accounts.read_sealed_tokens(connection))) is not None:
        raise unfit
