# SPDX-License-Identifier: MIT
"""The leader's connection to PostgreSQL, which holds the lock of the gateway that syncs, and on which all syncs write.

The lock is an advisory lock of the session.  PostgreSQL frees the lock when the session ends, and ends the session:

* at once when the gateway's process ends;
* after `_NETWORK_SECONDS` when the gateway's machine no longer answers;
* after `IDLE_SECONDS` when the gateway is stopped (SIGSTOP) between two transactions;
* after `IN_TRANSACTION_SECONDS` when the gateway is stopped in a transaction, which PostgreSQL then rolls back.

Mutable: `LeaderSession`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from ldapgw.errors import LeadLost, StoreError

P = ParamSpec("P")
T = TypeVar("T")

# A running leader is never idle for this time, because the leader executes a statement every second even without writes
# (`ldapgw.peers.leadership.TURN_SECONDS`).
IDLE_SECONDS: Final = 10
# A transaction may be idle for this time.  Code that computes for longer uses `ldapgw.store.database.keeping_alive`.
IN_TRANSACTION_SECONDS: Final = 30
_NETWORK_SECONDS: Final = 10

# `is_pooled` compares the sessions of two connections this many times.  Only a pool can give both connections the same
# session, but a pool may also give the connections different sessions.
_LOOKS: Final = 3

# The largest number of attempts of a transaction that conflicts with other transactions.
_TRIES: Final = 5

# The settings are set by a statement, because PgBouncer drops the settings of a new connection.
_SETTINGS: Final = {
    "idle_session_timeout": f"{IDLE_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{IN_TRANSACTION_SECONDS}s",
    "tcp_keepalives_idle": "4",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": f"{1000 * _NETWORK_SECONDS}",
}
_SET = "SELECT " + ", ".join(f"set_config('{name}', '{value}', false)" for name, value in _SETTINGS.items())


class LeaderSession:
    """The session of one gateway; all methods are called on one thread.

    The methods raise `StoreError` if the database cannot be used.

    :param engine: an engine whose pool keeps no connections.
    :param lock: the advisory lock, as arguments of ``pg_try_advisory_lock``.
    :param is_conflict: returns whether an error of the driver is a conflict with another transaction.
    :param errors: returns a context manager that turns errors of the driver into `StoreError`.
    :ivar is_held: whether the session held the lock when it was last used.
    """

    def __init__(
        self, engine: Engine, lock: str, is_conflict: Callable[[DBAPIError], bool], errors: Callable[[], Any]
    ) -> None:
        self._engine = engine
        self._lock = lock
        self._is_conflict = is_conflict
        self._errors = errors
        self._connection: Connection | None = None
        self.is_held = False

    @property
    def is_connected(self) -> bool:
        """Return whether the session has not ended, as far as this gateway knows."""
        return self._connection is not None

    def try_lock(self) -> bool:
        """Try to get the lock.

        :returns: whether this session holds the lock.
        """
        if self.is_held:
            return True
        with self._ending():
            if self._connection is None:
                self._connection = self._engine.connect()
                self._execute(_SET)
            self.is_held = self._execute(f"SELECT pg_try_advisory_lock({self._lock})")
        return self.is_held

    def is_pooled(self) -> bool:
        """Return whether two connections share a session of the server, as they do with a pool in transaction mode."""
        with self._errors(), self._engine.connect() as one, self._engine.connect() as other:
            return any(_process(one) == _process(other) for _ in range(_LOOKS))

    def keep(self) -> bool:
        """Execute a statement, so that PostgreSQL does not end the session.

        :returns: always True.
        :raises StoreError: if the session has ended.
        """
        with self._ending():
            self._execute("SELECT 1")
        return True

    def run(self, function: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kw: P.kwargs) -> T:
        """Call ``function(connection, …)`` in a transaction, and try again after a conflict with another transaction.

        :raises LeadLost: if the session does not hold the lock, or ends during the transaction.
        """
        tries_left = _TRIES
        with self._errors():
            while True:
                if self._connection is None or not self.is_held:
                    raise LeadLost
                try:
                    with self._connection.begin():
                        return function(self._connection, *args, **kw)
                except DBAPIError as error:
                    tries_left -= 1
                    if error.connection_invalidated:
                        self.close()
                        raise LeadLost from None
                    if not tries_left or not self._is_conflict(error):
                        raise

    def _execute(self, statement: str) -> Any:
        if self._connection is None:
            raise LeadLost
        with self._connection.begin():
            return self._connection.exec_driver_sql(statement).scalar()

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """End the session if the database cannot be used in the block."""
        try:
            with self._errors():
                yield
        except StoreError:
            self.close()
            raise

    def close(self) -> None:
        """End the session, which frees the lock."""
        connection, self._connection = self._connection, None
        self.is_held = False
        if connection is not None:
            with suppress(DBAPIError):
                connection.invalidate()
                connection.close()


def _process(connection: Connection) -> int:
    """Return the id of the server's process that executes a transaction of a connection."""
    with connection.begin():
        process: int = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    return process
