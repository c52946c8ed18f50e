# SPDX-License-Identifier: MIT
"""The thread that the database is used on, so that the reactor's never waits for a disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from ldapgw.store.database import Database

P = ParamSpec("P")
T = TypeVar("T")


class Store(Protocol):
    """What sync and web need of the store."""

    def run(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs) -> Deferred[T]:
        """Call ``function(connection, …)`` in a transaction of its own.

        The Deferred fails with `ldapgw.errors.StoreError` when the database cannot be used.
        """


class StoreWorker(Service):
    """A `Store` with one thread; what it was given before it started waits."""

    def __init__(self, database: Database, reactor: IReactorThreads) -> None:
        self._database = database
        self._reactor = reactor
        self._pool = ThreadPool(1, 1, "store")

    def run(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs) -> Deferred[T]:
        """See `Store`."""

        def in_transaction() -> T:
            with self._database.begin() as connection:
                return function(connection, *args, **kw)

        return deferToThreadPool(self._reactor, self._pool, in_transaction)

    def startService(self) -> None:
        """Start the thread."""
        super().startService()
        self._pool.start()

    def stopService(self) -> None:
        """Finish what was begun, then let go of the database."""
        super().stopService()
        self._pool.stop()
        self._database.close()
