# SPDX-License-Identifier: MIT
"""Worker threads for work that would block the reactor's thread for too long, such as building books."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, execute, succeed
from twisted.internet.interfaces import IReactorThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

P = ParamSpec("P")
T = TypeVar("T")


class WorkerThread(Service):
    """A service that calls functions on its own thread pool.

    While the service is not running, functions are called at once on the caller's thread: no client is served then.

    :param threads: the most calls that run at a time; further calls wait.
    """

    def __init__(self, reactor: IReactorThreads, name: str, threads: int) -> None:
        self._reactor = reactor
        self._label = name
        self._threads = threads
        self._pool: ThreadPool | None = None

    def __call__(self, function: Callable[P, T], *args: P.args, **kw: P.kwargs) -> Deferred[T]:
        """Call ``function(*args, **kw)`` on a thread.

        :returns: a Deferred with the function's result.
        """
        if self._pool is None:
            return execute(function, *args, **kw)
        return deferToThreadPool(self._reactor, self._pool, function, *args, **kw)

    def startService(self) -> None:
        super().startService()
        self._pool = ThreadPool(1, self._threads, self._label)
        self._pool.start()

    def stopService(self) -> Deferred[None]:
        """Stop once the calls in progress have finished; the reactor keeps running meanwhile."""
        super().stopService()
        pool, self._pool = self._pool, None
        if pool is None:
            return succeed(None)
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), pool.stop)
