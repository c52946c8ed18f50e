# SPDX-License-Identifier: MIT
"""The database as sync and web use it: a transaction a call, on a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection
from twisted.internet.defer import Deferred

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

    def __init__(self, database: Database, off_thread: Callable[..., Deferred[Any]]) -> None:
        self._database = database
        self._off_thread = off_thread

    def run(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs) -> Deferred[T]:
        """See `Store`."""

        def in_transaction() -> T:
            with self._database.begin() as connection:
                return function(connection, *args, **kw)

        return self._off_thread(in_transaction)
