# SPDX-License-Identifier: MIT
"""What a gateway keeps on disk, opened for it alone: the lock, the database, the key."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import Connection

from ldapgw.errors import StoreError
from ldapgw.lock import Lock
from ldapgw.store import accounts, syncs
from ldapgw.store.database import Database, prepare_state_dir
from ldapgw.store.vault import Vault

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
                syncs.forget_running(connection)
                self.vault = open_vault(connection, state_dir / KEY)
            undo.pop_all()

    def close(self) -> None:
        """Let go of all of it; what was committed stays."""
        self.database.close()
        self.lock.release()


def open_vault(connection: Connection, key: Path) -> Vault:
    """The vault, tried on a grant that is stored: a wrong key is told now, not at the next sync.

    An OAuth client that does not fit the key is entered again (`ldapgw.clients`).

    :param key: the key file; made where there is none and no grant was sealed yet.
    :raises StoreError: when the key cannot be used, or does not fit.
    """
    connected = next((account for account in accounts.read_all(connection) if account.connected), None)
    vault = Vault.open(key, create=connected is None)
    if connected is not None:
        accounts.tokens(connection, vault, connected.id)
    return vault
