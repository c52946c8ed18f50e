# SPDX-License-Identifier: MIT
"""The store as sync and web use it: each call is a transaction on another thread, and a failure is logged only once.

Transactions that only read have a thread of their own, so that a page does not wait for a sync that writes.

`MonitoredStore` logs once when the database becomes unusable and once when it can be used again, however many calls
fail.  All code of the gateway that uses the database, or another file on its disk, uses one `MonitoredStore`.

A database can hang without closing a connection, for example because its server is stopped, its pooler is paused, or
its disk stalls.  A server that hangs does not enforce time limits, so `MonitoredStore` enforces a time limit.  While
the database hangs, calls fail at once.

Mutable: the running calls, and the problems of the present outage, each with the times when it began and was logged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Connection
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.errors import DamagedStore, StoreError, UnfitKey, UnreachableStore, UnwritableStore
from ldapgw.store.database import HANG_SECONDS, Database, Mode, noting_answers

# A problem may come and go quickly, as on a disk that is nearly full.  So after a recovery, the same problem is logged
# again only if its last log line is at least `LOG_PAUSE_SECONDS` old, or if the problem has lasted for
# `LOG_AFTER_SECONDS`.
LOG_PAUSE_SECONDS: Final = 600.0
LOG_AFTER_SECONDS: Final = 10.0

_UNREACHABLE = "unreachable"

P = ParamSpec("P")
T = TypeVar("T")
# A function that calls another function with its arguments on a thread.
InThread = Callable[..., Deferred[Any]]
# A function that calls another function with a connection and arguments in a transaction.  The first argument of
# `Transact` is the mode of the transaction.
Transact = Callable[..., Deferred[Any]]

log = Logger()


class Store:
    """A store whose methods call functions with a connection, each call in a transaction of its own.

    The Deferreds fail with `ldapgw.errors.StoreError` if the database cannot be used.

    :param transact: takes a mode, a function and the function's arguments, and calls the function in a transaction of
        this mode (`on_threads`).
    :param writing: the mode of `run`.
    """

    def __init__(self, transact: Transact, writing: Mode = Mode.WRITE) -> None:
        self._transact = transact
        self._writing = writing

    def call(
        self, mode: Mode, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs
    ) -> Deferred[T]:
        """Call ``function(connection, …)`` in a transaction."""
        return self._transact(mode, function, *args, **kw)

    def run(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs) -> Deferred[T]:
        """Call ``function(connection, …)`` in a transaction that writes, after the earlier calls of this method."""
        return self.call(self._writing, function, *args, **kw)

    def read(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs) -> Deferred[T]:
        """Call ``function(connection, …)``, which only reads, without waiting for a transaction that writes.

        The function sees only committed data.
        """
        return self.call(Mode.READ, function, *args, **kw)


def on_threads(database: Database, run: InThread, read: InThread, sync: InThread | None = None) -> Transact:
    """Return a function that runs the transactions of an open database on threads.

    :param run: calls a function on the thread of transactions that write, always the same thread.
    :param read: calls a function on the thread of transactions that only read, always the same thread.
    :param sync: calls a function on the thread of `Mode.BESIDE`, or None if these transactions use the thread of `run`.
    """
    threads = {
        Mode.WRITE: run,
        Mode.BESIDE: sync or run,
        Mode.READ: read,
        Mode.PROBE: read if database.runs_beside else run,
    }

    def transact(mode: Mode, function: Callable[..., Any], *args: Any, **kw: Any) -> Deferred[Any]:
        return threads[mode](database.call, mode, function, *args, **kw)

    return transact


@dataclass(slots=True, eq=False)
class _Call:
    """A call on a thread.

    :ivar answered_at: the time of the database's last answer, or of the call's beginning before the first answer; None
        while the call waits for the thread.
    :ivar error: the error with which the call was given up, or None if the call was not given up.
    """

    done: Deferred[Any] | None = None
    answered_at: float | None = None
    error: StoreError | None = None


class MonitoredStore(Store):
    """A `Store` that remembers and logs failures, and gives up all calls when one of them hangs.

    A call that is given up fails at once.  A transaction that has begun may still be committed, as after a lost
    connection; a transaction that has not begun does not begin.

    :param seconds: a monotonic clock, in seconds.
    :param now: a clock of the time of day, in seconds since the epoch.
    :param run, read, sync: see `on_threads`.
    :ivar failing_since: the time, by `now`, of the first failure since `mark_recovered`, or None if there was no
        failure.
    :ivar is_damaged: whether one of these failures was a damaged database file.
    :ivar recoveries: the number of calls of `mark_recovered`.
    """

    def __init__(
        self,
        database: Database,
        seconds: Callable[[], float],
        now: Callable[[], float],
        *,
        run: InThread,
        read: InThread,
        sync: InThread | None = None,
    ) -> None:
        super().__init__(on_threads(database, *map(self.watched, (run, read, sync or run))))
        self._database = database
        self._seconds = seconds
        self._now = now
        self._calls: set[_Call] = set()
        self._hanging: StoreError | None = None
        self._logged_at: dict[str, float] = {}
        self._logged: set[str] = set()
        self._since: dict[str, float] = {}
        self.failing_since: float | None = None
        self.is_damaged = False
        self.recoveries = 0

    @property
    def is_failing(self) -> bool:
        """Return whether a call has failed since `mark_recovered`."""
        return self.failing_since is not None

    def call(
        self, mode: Mode, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs
    ) -> Deferred[T]:
        """Call a function as `Store.call` does.

        After a successful `Mode.PROBE`, the database no longer counts as hanging.
        """
        if mode is Mode.PROBE:
            return super().call(mode, function, *args, **kw).addCallbacks(self._answered, self._failed)
        done = fail(self._hanging) if self._hanging is not None else super().call(mode, function, *args, **kw)
        return done.addErrback(self._failed)

    def watched(self, in_thread: InThread) -> InThread:
        """Wrap a function that calls other functions on a thread, so that `watch` knows the running calls."""

        def watched_call(function: Callable[..., Any], *args: Any, **kw: Any) -> Deferred[Any]:
            call = _Call()
            self._calls.add(call)
            call.done = in_thread(self._run, call, partial(function, *args, **kw))
            return call.done.addErrback(_given_up, call)

        return watched_call

    def _run(self, call: _Call, function: Callable[[], Any]) -> Any:

        def answered() -> None:
            call.answered_at = self._seconds()

        try:
            if call.error is not None:
                raise call.error
            answered()
            with noting_answers(answered):
                return function()
        finally:
            self._calls.discard(call)

    def watch(self) -> None:
        """Check whether the database hangs.

        If the database hangs, all calls fail, and later calls fail until the database answers a `Mode.PROBE`.
        """
        calls = [call for call in tuple(self._calls) if call.error is None]
        began = self._seconds() - HANG_SECONDS
        if not any(call.answered_at is not None and call.answered_at <= began for call in calls):
            return
        self._hanging = self._database.end_hanging()
        for call in calls:
            call.error = self._hanging
            if call.done is not None:
                call.done.cancel()
        self._failed(Failure(self._hanging))

    def _answered(self, result: T) -> T:
        self._hanging = None
        return result

    def monitor(self, call: InThread) -> InThread:
        """Wrap a function that calls other functions on a thread, so that failures of those functions are logged too.

        The wrapped function is for writes outside the transactions of this store, such as writes of files beside the
        database.
        """

        def monitored_call(function: Callable[..., Any], *args: Any, **kw: Any) -> Deferred[Any]:
            return call(function, *args, **kw).addErrback(self._failed)

        return monitored_call

    def begin_outage(self, line: str = "") -> None:
        """Record that the database could not be reached at the start.

        :param line: the message to log in place of the failures until `mark_recovered`, or empty to log nothing.
        """
        self.failing_since = self._now()
        self._logged.add(_UNREACHABLE)
        if line:
            log.error("{problem}", event="started_without_database", problem=line)

    def mark_recovered(self) -> None:
        """Record that the database can be used again, and log the recovery if the failure was logged."""
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
                line = f"{failure.value}; nothing is lost, and syncs wait until the database can be written"
                self._log_problem(line, "unwritable")
            elif failure.check(UnreachableStore):
                self._log_problem(str(failure.value), _UNREACHABLE)
            else:
                self._log_problem(str(failure.value), "damage" if damaged else str(failure.value))
        return failure

    def _log_problem(self, line: str, problem: str) -> None:
        """Log a problem that was not logged yet.

        :param problem: key of the problem; for example, all of SQLite's messages about damage have the same key.
        """
        now = self._seconds()
        lasted = now - self._since.setdefault(problem, now)
        waited = now - self._logged_at.get(problem, now - LOG_PAUSE_SECONDS)
        if problem in self._logged or (lasted < LOG_AFTER_SECONDS and waited < LOG_PAUSE_SECONDS):
            return
        self._logged.add(problem)
        self._logged_at[problem] = now
        log.error("{problem}; phones are served from memory", event="database_unusable", problem=line)


def _given_up(failure: Failure, call: _Call) -> Failure:
    """Return the failure of a call, or the error of the store if `MonitoredStore.watch` has cancelled the call."""
    return Failure(call.error) if call.error is not None and failure.check(CancelledError) else failure
