# SPDX-License-Identifier: MIT
"""One gateway a state_dir: a locked file that names the process which holds it.

The kernel lets go of the lock when the process ends, however it ends.

What a gateway keeps on disk, opened for it alone: the lock, the database, the key.
"""

from __future__ import annotations

import fcntl
import os
import select
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import Connection

from ldapgw.errors import StoreError
from ldapgw.store import accounts, sync_state
from ldapgw.store.database import Database, prepare_state_dir
from ldapgw.store.secrets import SecretBox

LOCK_FILE = "ldapgw.pid"
LOCK_ATTEMPTS = 3
LOCK_RETRY_SECONDS = 0.05


class StateDirLock:
    """The right to serve from a state_dir; held until `release`.

    :raises StoreError: when another gateway holds it.
    """

    def __init__(self, state_dir: Path) -> None:
        path = state_dir / LOCK_FILE
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"{path}: cannot be opened: {error.strerror}") from None
        if not any(_try_lock(self._file) for _ in range(LOCK_ATTEMPTS)):
            pid = _read_pid(self._file)
            os.close(self._file)
            raise StoreError(f"state_dir = {state_dir}: another gateway runs on it (process {pid})")

    def write_pid(self) -> None:
        """Write down which process holds it; to be done once twistd has forked."""
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let another gateway have it."""
        os.close(self._file)


def lock_holder_pid(state_dir: Path) -> int | None:
    """The process id of the gateway that runs on a state_dir, None where none does."""
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


def _try_lock(file: int) -> bool:
    """Whether the lock was got; if not, it was waited for: a command that looks (`holder`) has it for a moment."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        select.select([], [], [], LOCK_RETRY_SECONDS)
        return False
    return True


def _read_pid(file: int) -> int:
    text = os.pread(file, 20, 0).strip()
    return int(text) if text.isdigit() else 0


DATABASE_FILE = "ldapgw.db"
KEY_FILE = "ldapgw.key"


def database_url(state_dir: Path, configured: str) -> str:
    """SQLAlchemy's address of the database."""
    return configured or f"sqlite:///{state_dir / DATABASE_FILE}"


def check_database_not_lost(state_dir: Path, file: Path | None) -> None:
    """Make no new database where one has been: its phones, consents and contacts are somewhere.

    :param file: the database's; None where it is none.
    :raises StoreError: when the key is there, and so a gateway was, and the database is not.
    """
    key = state_dir / KEY_FILE
    if file is not None and key.exists() and not file.exists():
        raise StoreError(
            f"{file}: the database is gone, and its key {key} is there; put the database back, or remove the key to "
            "begin anew"
        )


class OpenStateDir:
    """An opened state_dir.

    :param configured: the setting ``database``; empty: SQLite in `state_dir`.
    :raises StoreError: when something of it cannot be used, or another gateway uses it.
    """

    def __init__(self, state_dir: Path, configured: str) -> None:
        prepare_state_dir(state_dir)
        self.lock = StateDirLock(state_dir)
        with ExitStack() as undo:
            undo.callback(self.lock.release)
            self.database = Database(database_url(state_dir, configured))
            undo.callback(self.database.close)
            check_database_not_lost(state_dir, self.database.file)
            self.database.open()
            with self.database.begin() as connection:
                sync_state.clear_running(connection)
                self.vault = open_vault(connection, state_dir / KEY_FILE)
            undo.pop_all()

    def close(self) -> None:
        """Let go of all of it; what was committed stays."""
        self.database.close()
        self.lock.release()


def open_vault(connection: Connection, key: Path) -> SecretBox:
    """The vault, tried on a grant that is stored: a wrong key is told now, not at the next sync.

    An OAuth client that does not fit the key is entered again (`ldapgw.server.oauth_clients`).

    :param key: the key file; made where there is none and no grant was sealed yet.
    :raises StoreError: when the key cannot be used, or does not fit.
    """
    connected = next((account for account in accounts.read_all(connection) if account.is_connected), None)
    vault = SecretBox.open(key, create=connected is None)
    if connected is not None:
        accounts.read_tokens(connection, vault, connected.id)
    return vault
