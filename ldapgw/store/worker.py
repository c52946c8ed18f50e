# SPDX-License-Identifier: MIT
"""The database as sync and web use it: a transaction a call, on a thread of its own.

Noticing that somebody (a command, another part of the gateway) has changed the database.

SQLite tells by ``PRAGMA data_version``, asked on a connection that nothing else uses.  PostgreSQL will do it by
``LISTEN``; the rest knows `Watch.changed` alone.

A store that says when its database cannot be used, and when it can again: once each, however many asked.

Everything in the gateway that uses the database, or another file on its disk, does so through it, so one line in the
log speaks for all.
Mutable: the problems of this outage and since when they are there, and when each was told last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.errors import DamagedStore, StoreError, UnfitKey
from ldapgw.store.database import Database

P = ParamSpec("P")
T = TypeVar("T")


class Store(Protocol):
    """What sync and web need of the store."""

    def run(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs) -> Deferred[T]:
        """Call ``function(connection, …)`` in a transaction of its own.

        The Deferred fails with `ldapgw.errors.StoreError` when the database cannot be used.
        """


class StoreWorker:
    """A `Store` on an open database.

    :param off_thread: calls a function on one thread, the same each time.
    """

    def __init__(self, database: Database, run_in_thread: Callable[..., Deferred[Any]]) -> None:
        self._database = database
        self._run_in_thread = run_in_thread

    def run(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs) -> Deferred[T]:
        """See `Store`."""

        def in_transaction() -> T:
            with self._database.begin() as connection:
                return function(connection, *args, **kw)

        return self._run_in_thread(in_transaction)


class ChangeDetector:
    """Tells changes; to be asked from the store's thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Connection | None = None
        self._seen: tuple[object, object] | None = None

    def has_changed(self) -> bool:
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


# A disk that is nearly full has room one moment and none the next: after so many seconds the same problem is told
# again, or before, once it has lasted for so long.
LOG_PAUSE_SECONDS: Final = 600.0
LOG_AFTER_SECONDS: Final = 10.0

log = Logger()


class MonitoredStore:
    """See `Store`.

    :param seconds: the time that passes.
    :param now: the time of day, in seconds since the epoch.
    :ivar fails_since: the time of day when something has failed first since `is_well` was said last; None: all is well.
    :ivar is_damaged: whether that was because the database's file is damaged.
    """

    def __init__(self, store: Store, seconds: Callable[[], float], now: Callable[[], float]) -> None:
        self._store = store
        self._seconds = seconds
        self._now = now
        self._logged_at: dict[str, float] = {}
        self._logged: set[str] = set()
        self._since: dict[str, float] = {}
        self.failing_since: float | None = None
        self.is_damaged = False

    @property
    def is_failing(self) -> bool:
        """Whether something has failed since `is_well` was said last."""
        return self.failing_since is not None

    def run(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs) -> Deferred[T]:
        """See `Store`."""
        return self._store.run(function, *args, **kw).addErrback(self._failed)

    def monitor(self, call: Callable[..., Deferred[Any]]) -> Callable[..., Deferred[Any]]:
        """A way to call functions that write beside the database: what its disk does not take is told likewise.

        :param call: calls a function with its arguments.
        """

        def watched(function: Callable[..., Any], *args: Any, **kw: Any) -> Deferred[Any]:
            return call(function, *args, **kw).addErrback(self._failed)

        return watched

    def mark_recovered(self) -> None:
        """Take note that the database can be used."""
        self.failing_since, self.is_damaged = None, False
        if self._logged:
            log.info("the database can be used again")
        self._logged.clear()
        self._since.clear()

    def _failed(self, failure: Failure) -> Failure:
        if failure.check(StoreError):
            if self.failing_since is None and not failure.check(UnfitKey):
                self.failing_since = self._now()
            damaged = failure.check(DamagedStore) is not None
            self.is_damaged = self.is_damaged or damaged
            self._log_problem(str(failure.value), "damage" if damaged else str(failure.value))
        return failure

    def _log_problem(self, line: str, problem: str) -> None:
        """Say it, where that was not done.

        :param problem: what is one; damage is found in many ways.
        """
        now = self._seconds()
        lasted = now - self._since.setdefault(problem, now)
        waited = now - self._logged_at.get(problem, now - LOG_PAUSE_SECONDS)
        if problem in self._logged or (lasted < LOG_AFTER_SECONDS and waited < LOG_PAUSE_SECONDS):
            return
        self._logged.add(problem)
        self._logged_at[problem] = now
        log.error("{problem}; phones are served from memory", problem=line)
