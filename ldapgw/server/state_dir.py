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
from ldapgw.store.secrets import Vault

NAME = "ldapgw.pid"
TRIES = 3
WAIT = 0.05


class Lock:
    """The right to serve from a state_dir; held until `release`.

    :raises StoreError: when another gateway holds it.
    """

    def __init__(self, state_dir: Path) -> None:
        path = state_dir / NAME
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"{path}: cannot be opened: {error.strerror}") from None
        if not any(_is_locked(self._file) for _ in range(TRIES)):
            pid = _read(self._file)
            os.close(self._file)
            raise StoreError(f"state_dir = {state_dir}: another gateway runs on it (process {pid})")

    def name_process(self) -> None:
        """Write down which process holds it; to be done once twistd has forked."""
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let another gateway have it."""
        os.close(self._file)


def holder(state_dir: Path) -> int | None:
    """The process id of the gateway that runs on a state_dir, None where none does."""
    try:
        file = os.open(state_dir / NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(file)
    finally:
        os.close(file)
    return None


def _is_locked(file: int) -> bool:
    """Whether the lock was got; if not, it was waited for: a command that looks (`holder`) has it for a moment."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        select.select([], [], [], WAIT)
        return False
    return True


def _read(file: int) -> int:
    text = os.pread(file, 20, 0).strip()
    return int(text) if text.isdigit() else 0


DATABASE = "ldapgw.db"
KEY = "ldapgw.key"


def database_url(state_dir: Path, configured: str) -> str:
    """SQLAlchemy's address of the database."""
    return configured or f"sqlite:///{state_dir / DATABASE}"


def refuse_lost_database(state_dir: Path, file: Path | None) -> None:
    """Make no new database where one has been: its phones, consents and contacts are somewhere.

    :param file: the database's; None where it is none.
    :raises StoreError: when the key is there, and so a gateway was, and the database is not.
    """
    key = state_dir / KEY
    if file is not None and key.exists() and not file.exists():
        raise StoreError(
            f"{file}: the database is gone, and its key {key} is there; put the database back, or remove the key to "
            "begin anew"
        )


class State:
    """An opened state_dir.

    :param configured: the setting ``database``; empty: SQLite in `state_dir`.
    :raises StoreError: when something of it cannot be used, or another gateway uses it.
    """

    def __init__(self, state_dir: Path, configured: str) -> None:
        prepare_state_dir(state_dir)
        self.lock = Lock(state_dir)
        with ExitStack() as undo:
            undo.callback(self.lock.release)
            self.database = Database(database_url(state_dir, configured))
            undo.callback(self.database.close)
            refuse_lost_database(state_dir, self.database.file)
            self.database.open()
            with self.database.begin() as connection:
                sync_state.forget_running(connection)
                self.vault = open_vault(connection, state_dir / KEY)
            undo.pop_all()

    def close(self) -> None:
        """Let go of all of it; what was committed stays."""
        self.database.close()
        self.lock.release()


def open_vault(connection: Connection, key: Path) -> Vault:
    """The vault, tried on a grant that is stored: a wrong key is told now, not at the next sync.

    An OAuth client that does not fit the key is entered again (`ldapgw.server.oauth_clients`).

    :param key: the key file; made where there is none and no grant was sealed yet.
    :raises StoreError: when the key cannot be used, or does not fit.
    """
    connected = next((account for account in accounts.read_all(connection) if account.connected), None)
    vault = Vault.open(key, create=connected is None)
    if connected is not None:
        accounts.tokens(connection, vault, connected.id)
    return vault
