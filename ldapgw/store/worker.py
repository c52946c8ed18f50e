# SPDX-License-Identifier: MIT
"""The store as sync and web use it: each call is a transaction on another thread, and a failure is logged only once.

Transactions that only read have a thread of their own, so that a page does not wait for a sync that writes.

`MonitoredStore` logs when the database cannot be used and when it can be used again, once each, however many calls
fail.  Everything in the gateway that uses the database, or another file on its disk, goes through one `MonitoredStore`.
Mutable: the problems of the present outage, when each began, and when each was logged last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.errors import DamagedStore, StoreError, UnfitKey, UnreachableStore, UnwritableStore
from ldapgw.store.database import Database

# A disk that is nearly full has room one moment and none the next.  The same problem is logged again only when the
# last log line is this old ...
LOG_PAUSE_SECONDS: Final = 600.0
# ... or when the problem has lasted for this long.
LOG_AFTER_SECONDS: Final = 10.0

_UNREACHABLE = "unreachable"

P = ParamSpec("P")
T = TypeVar("T")

log = Logger()


class Store(Protocol):
    """Runs store functions for sync and web.

    The Deferreds fail with `ldapgw.errors.StoreError` when the database cannot be used.
    """

    def run(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs) -> Deferred[T]:
        """Call ``function(connection, …)`` in a transaction, after the earlier ones."""

    def read(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs) -> Deferred[T]:
        """Call ``function(connection, …)``, which only reads, without waiting for a transaction that writes.

        It reads what was committed before the call.
        """


class StoreWorker:
    """A `Store` on an open database.

    :param run_in_thread: calls a function on one thread, the same each time.
    :param read_in_thread: the same, on another thread.
    :param sync_in_thread: the same, for `run_beside`; None: on the thread of `run_in_thread`.
    """

    def __init__(
        self,
        database: Database,
        run_in_thread: Callable[..., Deferred[Any]],
        read_in_thread: Callable[..., Deferred[Any]],
        sync_in_thread: Callable[..., Deferred[Any]] | None = None,
    ) -> None:
        self._database = database
        self._run_in_thread = run_in_thread
        self._sync_in_thread = sync_in_thread or run_in_thread
        self._read_in_thread = read_in_thread

    def run(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs) -> Deferred[T]:
        return self._run_in_thread(self._database.run, function, *args, **kw)

    def run_beside(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs
    ) -> Deferred[T]:
        """As `run`, in a transaction that locks the rows it writes and no others, so that no page waits for it."""
        return self._sync_in_thread(self._database.run_beside, function, *args, **kw)

    def read(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs) -> Deferred[T]:
        def in_transaction() -> T:
            with self._database.begin_read() as connection:
                return function(connection, *args, **kw)

        return self._read_in_thread(in_transaction)

    def probe(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs) -> Deferred[T]:
        """Call ``function(connection, …)``, which only reads, in a transaction that could write.

        The transaction fails if the database cannot be written.  Where transactions run side by side, it waits for
        none of them, whichever gateway has begun them.
        """
        in_thread = self._read_in_thread if self._database.runs_beside else self._run_in_thread
        return in_thread(self._database.run_beside, function, *args, **kw)


class ReadOnlyStore(StoreWorker):
    """The `Store` of a process that leaves writing to another process of the gateway."""

    def run(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs) -> Deferred[T]:
        return self.read(function, *args, **kw)

    def run_beside(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs
    ) -> Deferred[T]:
        return self.read(function, *args, **kw)

    def probe(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs) -> Deferred[T]:
        return self.read(function, *args, **kw)


class SyncStore:
    """A `Store` for syncs, which may write for seconds: its transactions run beside those of pages.

    :param store: what runs them.
    """

    def __init__(self, store: StoreWorker | MonitoredStore) -> None:
        self._store = store

    def run(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs) -> Deferred[T]:
        return self._store.run_beside(function, *args, **kw)

    def read(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs) -> Deferred[T]:
        return self._store.read(function, *args, **kw)


class MonitoredStore:
    """A `Store` that remembers and logs failures of another store.

    :param seconds: a monotonic clock, in seconds.
    :param now: the time of day, in seconds since the epoch.
    :ivar failing_since: when the first failure since `mark_recovered` occurred, by `now`; None: no failure.
    :ivar is_damaged: whether one of these failures was a damaged database file.
    :ivar recoveries: how often `mark_recovered` was called.
    """

    def __init__(self, store: StoreWorker, seconds: Callable[[], float], now: Callable[[], float]) -> None:
        self._store = store
        self._seconds = seconds
        self._now = now
        self._logged_at: dict[str, float] = {}
        self._logged: set[str] = set()
        self._since: dict[str, float] = {}
        self.failing_since: float | None = None
        self.is_damaged = False
        self.recoveries = 0

    @property
    def is_failing(self) -> bool:
        """Whether a call has failed since `mark_recovered`."""
        return self.failing_since is not None

    def run(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs) -> Deferred[T]:
        return self._store.run(function, *args, **kw).addErrback(self._failed)

    def run_beside(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs
    ) -> Deferred[T]:
        return self._store.run_beside(function, *args, **kw).addErrback(self._failed)

    def probe(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs) -> Deferred[T]:
        return self._store.probe(function, *args, **kw).addErrback(self._failed)

    def read(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs) -> Deferred[T]:
        return self._store.read(function, *args, **kw).addErrback(self._failed)

    def monitor(self, call: Callable[..., Deferred[Any]]) -> Callable[..., Deferred[Any]]:
        """Wrap a caller of functions that write files beside the database, so that their failures are logged too.

        :param call: calls a function with its arguments.
        """

        def monitored_call(function: Callable[..., Any], *args: Any, **kw: Any) -> Deferred[Any]:
            return call(function, *args, **kw).addErrback(self._failed)

        return monitored_call

    def begin_outage(self, line: str = "") -> None:
        """Note that the database could not be reached at the start.

        :param line: what to log in place of the failures until `mark_recovered`; empty: nothing.
        """
        self.failing_since = self._now()
        self._logged.add(_UNREACHABLE)
        if line:
            log.error("{problem}", event="started_without_database", problem=line)

    def mark_recovered(self) -> None:
        """Note that the database can be used again, and log the recovery if the failure was logged."""
        self.failing_since, self.is_damaged = None, False
        self.recoveries += 1
        if self._logged:
            log.info("the database can be used again", event="database_restored")
        self._logged.clear()
        self._since.clear()

    def _failed(self, failure: Failure) -> Failure:
        if failure.check(StoreError):
            if self.failing_since is None and not failure.check(UnfitKey):
                self.failing_since = self._now()
            damaged = failure.check(DamagedStore) is not None
            self.is_damaged = self.is_damaged or damaged
            if failure.check(UnwritableStore):
                line = f"{failure.value}; nothing is lost, and syncs wait until it can be written"
                self._log_problem(line, "unwritable")
            elif failure.check(UnreachableStore):
                self._log_problem(str(failure.value), _UNREACHABLE)
            else:
                self._log_problem(str(failure.value), "damage" if damaged else str(failure.value))
        return failure

    def _log_problem(self, line: str, problem: str) -> None:
        """Log a problem that was not logged yet.

        :param problem: key of the problem: damage, for example, is one problem, whatever SQLite says about it.
        """
        now = self._seconds()
        lasted = now - self._since.setdefault(problem, now)
        waited = now - self._logged_at.get(problem, now - LOG_PAUSE_SECONDS)
        if problem in self._logged or (lasted < LOG_AFTER_SECONDS and waited < LOG_PAUSE_SECONDS):
            return
        self._logged.add(problem)
        self._logged_at[problem] = now
        log.error("{problem}; phones are served from memory", event="database_unusable", problem=line)
