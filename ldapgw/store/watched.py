# SPDX-License-Identifier: MIT
"""A store that says when its database cannot be used, and when it can again: once each, however many asked.

Everything in the gateway that uses the database does so through it, so one line in the log speaks for all.
Mutable: the problems of this outage and since when they are there, and when each was told last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Connection
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.errors import DamagedStore, StoreError, UnfitKey
from ldapgw.store.worker import Store

P = ParamSpec("P")
T = TypeVar("T")

# A disk that is nearly full has room one moment and none the next: after so many seconds the same problem is told
# again, or before, once it has lasted for so long.
PAUSE: Final = 600.0
LASTS: Final = 10.0

log = Logger()


class WatchedStore:
    """See `Store`.

    :param seconds: the time that passes.
    :ivar in_trouble: whether something has failed since `is_well` was said last.
    :ivar is_damaged: whether that was because the database's file is damaged.
    """

    def __init__(self, store: Store, seconds: Callable[[], float]) -> None:
        self._store = store
        self._seconds = seconds
        self._told_at: dict[str, float] = {}
        self._told: set[str] = set()
        self._since: dict[str, float] = {}
        self.in_trouble = False
        self.is_damaged = False

    def run(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs) -> Deferred[T]:
        """See `Store`."""
        return self._store.run(function, *args, **kw).addErrback(self._failed)

    def is_well(self) -> None:
        """Take note that the database can be used."""
        self.in_trouble = self.is_damaged = False
        if self._told:
            log.info("the database can be used again")
        self._told.clear()
        self._since.clear()

    def _failed(self, failure: Failure) -> Failure:
        if failure.check(StoreError):
            self.in_trouble = self.in_trouble or not failure.check(UnfitKey)
            damaged = failure.check(DamagedStore) is not None
            self.is_damaged = self.is_damaged or damaged
            self._tell(str(failure.value), "damage" if damaged else str(failure.value))
        return failure

    def _tell(self, line: str, problem: str) -> None:
        """Say it, where that was not done.

        :param problem: what is one; damage is found in many ways.
        """
        now = self._seconds()
        lasted = now - self._since.setdefault(problem, now)
        waited = now - self._told_at.get(problem, now - PAUSE)
        if problem in self._told or (lasted < LASTS and waited < PAUSE):
            return
        self._told.add(problem)
        self._told_at[problem] = now
        log.error("{problem}; phones are served from memory", problem=line)
