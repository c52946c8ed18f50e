# SPDX-License-Identifier: MIT
"""Work that takes longer than the reactor's thread can spare: reading JSON, building books."""

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
    """Calls functions on threads of its own.

    Before it is started and after it has stopped it calls them at once: nothing is being served then.

    :param threads: how many calls run at a time; the rest wait.
    """

    def __init__(self, reactor: IReactorThreads, name: str, threads: int) -> None:
        self._reactor = reactor
        self._label = name
        self._threads = threads
        self._pool: ThreadPool | None = None

    def __call__(self, function: Callable[P, T], *args: P.args, **kw: P.kwargs) -> Deferred[T]:
        """Call ``function(*args, **kw)``; the Deferred has its result."""
        if self._pool is None:
            return execute(function, *args, **kw)
        return deferToThreadPool(self._reactor, self._pool, function, *args, **kw)

    def startService(self) -> None:
        """Start the threads."""
        super().startService()
        self._pool = ThreadPool(1, self._threads, self._label)
        self._pool.start()

    def stopService(self) -> Deferred[None]:
        """Finish what was begun; the reactor goes on meanwhile."""
        super().stopService()
        pool, self._pool = self._pool, None
        if pool is None:
            return succeed(None)
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), pool.stop)
