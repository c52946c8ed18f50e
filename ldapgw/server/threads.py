# SPDX-License-Identifier: MIT
"""Worker threads for work that would block the reactor's thread for too long, such as building books."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, execute, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from ldapgw.server.counters import WAIT_BOUNDS, Histogram

P = ParamSpec("P")
T = TypeVar("T")


class WorkerThread(Service):
    """A service that calls functions on a thread of its own, one after the other.

    While the service is not running, functions are called at once on the caller's thread, because no client is served
    then.

    :ivar label: the name of the thread.
    :ivar calls: the number of calls that have not finished.
    :ivar waits: a histogram of the seconds that finished calls had waited.
    """

    def __init__(self, reactor: Any, name: str) -> None:
        self._reactor = reactor
        self.label = name
        self.waits = Histogram(WAIT_BOUNDS)
        self.calls = 0
        self._pool: ThreadPool | None = None

    @property
    def waiting(self) -> int:
        return max(0, self.calls - 1)

    def __call__(self, function: Callable[P, T], *args: P.args, **kw: P.kwargs) -> Deferred[T]:
        """Call ``function(*args, **kw)`` on the thread.

        :returns: a Deferred with the function's result.
        """
        if self._pool is None:
            return execute(function, *args, **kw)
        seconds = self._reactor.seconds
        asked_at = seconds()
        began_at: list[float] = []

        def call() -> T:
            began_at.append(seconds())
            return function(*args, **kw)

        self.calls += 1
        return deferToThreadPool(self._reactor, self._pool, call).addBoth(self._ended, asked_at, began_at)

    def _ended(self, result: T, asked_at: float, began_at: list[float]) -> T:
        self.calls -= 1
        if began_at:  # else the call was cancelled while it waited
            self.waits.observe(began_at[0] - asked_at)
        return result

    def startService(self) -> None:
        super().startService()
        self._pool = ThreadPool(1, 1, self.label)
        self._pool.start()

    def stopService(self) -> Deferred[None]:
        """Stop once the calls in progress have finished; the reactor keeps running meanwhile."""
        super().stopService()
        pool, self._pool = self._pool, None
        if pool is None:
            return succeed(None)
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), pool.stop)
