# SPDX-License-Identifier: MIT
"""The store as sync and web use it: each call is a transaction on another thread, and a failure is logged only once.

Transactions that only read have a thread of their own, so that a page does not wait for a sync that writes.

`MonitoredStore` logs when the database cannot be used and when it can be used again, once each, however many calls
fail.  Everything in the gateway that uses the database, or another file on its disk, goes through one `MonitoredStore`.

A database can hang without closing a connection: a server that is stopped, a pooler that is paused, a disk that stalls.
Whoever hangs enforces no limit, so `MonitoredStore` does it.  While the database hangs, calls fail at once.

Mutable: the problems of the present outage, when each began, and when each was logged last; the calls that run.
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

# A disk that is nearly full has room one moment and none the next.  The same problem is logged again only when the
# last log line is this old ...
LOG_PAUSE_SECONDS: Final = 600.0
# ... or when the problem has lasted for this long.
LOG_AFTER_SECONDS: Final = 10.0

_UNREACHABLE = "unreachable"

P = ParamSpec("P")
T = TypeVar("T")
# Calls a function with its arguments on a thread.
InThread = Callable[..., Deferred[Any]]
# Calls a function with a connection and its arguments in a transaction; the first argument is the mode.
Transact = Callable[..., Deferred[Any]]

log = Logger()


class Store:
    """The functions of the store, each called in a transaction.

    The Deferreds fail with `ldapgw.errors.StoreError` when the database cannot be used.

    :param transact: calls a function with a connection and arguments in a transaction of a mode, such as `on_threads`.
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
        """Call ``function(connection, …)`` in a transaction that writes, after the earlier ones."""
        return self.call(self._writing, function, *args, **kw)

    def read(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs) -> Deferred[T]:
        """Call ``function(connection, …)``, which only reads, without waiting for a transaction that writes.

        It reads what was committed before the call.
        """
        return self.call(Mode.READ, function, *args, **kw)


def on_threads(database: Database, run: InThread, read: InThread, sync: InThread | None = None) -> Transact:
    """Have the transactions of an open database run on threads.

    :param run: calls a function on one thread, the same each time.
    :param read: the same, on another thread, for transactions that wait for no other.
    :param sync: the same, for `Mode.BESIDE`; None: on the thread of `run`.
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

    :ivar answered_at: when the database has last answered, or the call has begun; None: it waits for the thread.
    :ivar error: the error that the call was given up with; None: it goes on.
    """

    done: Deferred[Any] | None = None
    answered_at: float | None = None
    error: StoreError | None = None


class MonitoredStore(Store):
    """A `Store` that remembers and logs failures, and gives up all calls when one of them hangs.

    A call that is given up fails at once.  What it has begun may be committed all the same, as after a connection that
    was lost; what has not begun is not called any more.

    :param seconds: a monotonic clock, in seconds.
    :param now: the time of day, in seconds since the epoch.
    :param run, read, sync: see `on_threads`.
    :ivar failing_since: when the first failure since `mark_recovered` occurred, by `now`; None: no failure.
    :ivar is_damaged: whether one of these failures was a damaged database file.
    :ivar recoveries: how often `mark_recovered` was called.
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
        """See `Store.call`; the answer of a `Mode.PROBE` ends a time in which the database hangs."""
        if mode is Mode.PROBE:
            return super().call(mode, function, *args, **kw).addCallbacks(self._answered, self._failed)
        done = fail(self._hanging) if self._hanging is not None else super().call(mode, function, *args, **kw)
        return done.addErrback(self._failed)

    def watched(self, in_thread: InThread) -> InThread:
        """Wrap a caller of functions on a thread, so that a database that hangs is noticed (`watch`)."""

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
        """Notice a database that hangs: all calls fail, and later calls fail at once until a probe gets an answer."""
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
        """Wrap a caller of functions that write files beside the database, so that their failures are logged too."""

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


def _given_up(failure: Failure, call: _Call) -> Failure:
    """The failure of a call, which is the store's error if `MonitoredStore.watch` has cancelled the call."""
    return Failure(call.error) if call.error is not None and failure.check(CancelledError) else failure
