# SPDX-License-Identifier: MIT
"""The services for the snapshot of logins: `LoginsKeeper` writes snapshots, `StaleLimit` ends the use of old snapshots.

Mutable: both services.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.errors import StoreError
from ldapgw.store.logins_file import LoginsFile, Parts
from ldapgw.store.periodic import PeriodicService
from ldapgw.sync.publisher import Publisher

# The seconds after which the time in an unchanged snapshot is renewed, if the database can be reached.
RENEW_SECONDS: Final = 60.0
CHECK_SECONDS: Final = 1.0

log = Logger()


class LoginsKeeper(PeriodicService):
    """The service that updates the snapshot of logins while the database can be read.

    The service deletes a snapshot that is too old.

    :param clock: a clock with seconds since the epoch.
    :param max_age: the age in seconds from which a snapshot is too old.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        file: LoginsFile,
        max_age: float,
        publisher: Publisher,
        run_off_thread: Callable[..., Deferred[Any]],
    ) -> None:
        self._clock = clock
        self._file = file
        self._max_age = max_age
        self._publisher = publisher
        self._run_off_thread = run_off_thread
        self._parts: Parts = {}  # the parts in the file
        self._version = -1  # the publisher's version at the last comparison
        self._taken_at: float | None = None
        self._work: Deferred[None] | None = None
        self._has_failed = False
        super().__init__(clock, CHECK_SECONDS, self._check_age, self._failed, last=lambda: self._work)

    def looked(self, at: float) -> None:
        """Save the served accounts and logins if an account or a login has changed, or if the snapshot is getting old.

        :param at: the time at which the database had these accounts and logins, in seconds since the epoch.
        """
        is_same = self._version == self._publisher.version
        is_new = self._taken_at is not None and 0.0 <= at - self._taken_at < RENEW_SECONDS
        if not self.running or self._work is not None or (is_same and is_new):
            return
        self._version = self._publisher.version
        self._work = Deferred.fromCoroutine(self._save(at, is_new=is_new))
        self._work.addErrback(self._failed).addCallback(self._ended)

    async def _save(self, at: float, *, is_new: bool) -> None:
        parts: Parts = await self._run_off_thread(self._file.seal, *self._publisher.saved_logins(), self._parts)
        if not is_new or parts != self._parts:  # otherwise, only contacts have changed
            await self._run_off_thread(self._file.write, parts, at)
            self._taken_at, self._has_failed = at, False
        self._parts = parts

    def _failed(self, failure: Failure) -> None:
        self._version = -1
        if failure.check(CancelledError) or (failure.check(StoreError) and self._has_failed):
            return
        self._has_failed = True
        if failure.check(StoreError):
            log.warn(
                "{problem}; a start without the database would use the previous snapshot of logins",
                event="logins_snapshot_kept",
                problem=str(failure.value),
            )
        else:
            log.failure("writing the snapshot of logins failed", failure, event="logins_snapshot_failed")

    def _ended(self, _result: None) -> None:
        self._work = None

    def _check_age(self) -> None:
        if self._taken_at is not None and self._clock.seconds() - self._taken_at >= self._max_age:
            self._taken_at = None
            self._version = -1
            self._file.delete()


class StaleLimit(Service):
    """The service that ends the use of a snapshot of logins when the snapshot becomes too old.

    If the gateway has read the database before that time, the service does nothing.

    :param clock: a clock that goes on while the machine sleeps.
    :param seconds: seconds until the snapshot is too old.
    """

    def __init__(self, *, clock: IReactorTime, seconds: float, file: LoginsFile, publisher: Publisher) -> None:
        self._clock = clock
        self._seconds = seconds
        self._file = file
        self._publisher = publisher
        self._call: IDelayedCall | None = None

    def startService(self) -> None:
        super().startService()
        if self._seconds <= 0.0:
            self._expire()
        else:
            self._call = self._clock.callLater(self._seconds, self._expire)

    def stopService(self) -> None:
        super().stopService()
        if self._call is not None and self._call.active():
            self._call.cancel()

    def _expire(self) -> None:
        if self._publisher.expire():
            self._file.delete()
            log.error(
                "the snapshot of logins is too old: phones cannot sign in until the database can be reached",
                event="logins_snapshot_expired",
            )
