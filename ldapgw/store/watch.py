# SPDX-License-Identifier: MIT
"""Noticing that somebody (a command, another part of the gateway) has changed the database.

SQLite tells by ``PRAGMA data_version``, asked on a connection that nothing else uses.  PostgreSQL will do it by
``LISTEN``; the rest knows `Watch.changed` alone.
"""

from __future__ import annotations

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from ldapgw.store.database import Database


class Watch:
    """Tells changes; to be asked from the store's thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Connection | None = None
        self._seen: tuple[object, object] | None = None

    def changed(self) -> bool:
        """Whether anything was committed since the last call; true at the first one, and once the file was replaced.

        A database that is gone has not changed: what is served stays.
        """
        try:
            identity = self._database.identity()
            if self._connection is None or self._seen is None or self._seen[0] != identity:
                self.close()
                self._connection = self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            seen = (identity, self._connection.exec_driver_sql("PRAGMA data_version").scalar())
        except (OSError, DBAPIError):
            return False
        before, self._seen = self._seen, seen
        return seen != before

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.invalidate()  # the pool that it is from may be gone by now
            self._connection.close()
            self._connection = None
