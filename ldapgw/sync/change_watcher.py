# SPDX-License-Identifier: MIT
"""Carries what has changed in the database, by whomever, into what is served and synced."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.errors import StoreError
from ldapgw.store import phones
from ldapgw.store.database import check_writable
from ldapgw.store.phones import LastBind
from ldapgw.store.worker import ChangeDetector, MonitoredStore
from ldapgw.sync.publisher import Publisher
from ldapgw.sync.scheduler import SyncScheduler

# A command's change takes effect within 2 seconds.
POLL_SECONDS = 1.0
# When a phone was last seen is written this often at most; each bind would cost a disk's flush.
WRITE_BINDS_SECONDS = 5.0

log = Logger()


class ChangeWatcher(Service):
    """Looks for changes once a second, and writes down which phones were seen.

    :param take_seen: the phones that have bound since it was called last: name to address and
        password's hash.
    :param read_clients: reads the OAuth clients that were entered.
    :param tell_pages: tells pages that are open what has changed of their accounts.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        store: MonitoredStore,
        change_detector: ChangeDetector,
        publisher: Publisher,
        scheduler: SyncScheduler,
        take_binds: Callable[[], Mapping[str, tuple[str, str]]],
        read_clients: Callable[[], Awaitable[None]],
        notify_pages: Callable[[], Awaitable[None]],
    ) -> None:
        self._clock = clock
        self._store = store
        self._change_detector = change_detector
        self._publisher = publisher
        self._scheduler = scheduler
        self._take_binds = take_binds
        self._read_clients = read_clients
        self._notify_pages = notify_pages
        self._is_outdated = True
        self._binds: dict[str, LastBind] = {}
        self._timers = (
            (LoopingCall(self._quietly, self._poll), POLL_SECONDS),
            (LoopingCall(self._quietly, self.write_binds), WRITE_BINDS_SECONDS),
        )
        for timer, _ in self._timers:
            timer.clock = clock

    def refresh_now(self) -> Deferred[None]:
        """Serve and sync by what the database holds now; books that have to be built follow.

        Trouble is logged, and it is tried again at the next look.
        """
        self._is_outdated = True
        return self._quietly(self._poll_now)

    async def write_binds(self) -> None:
        """Store which phones were seen; those that could not be stored are kept for the next time."""
        now = self._clock.seconds()
        self._binds |= {name: LastBind(now, *seen) for name, seen in self._take_binds().items()}
        if self._binds:
            await self._store.run(phones.store_last_binds, dict(self._binds))
            self._binds.clear()

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        for timer, seconds in self._timers:
            timer.start(seconds)

    def stopService(self) -> Deferred[None]:
        """Write down what was seen, and look no more."""
        super().stopService()
        for timer, _ in self._timers:
            if timer.running:
                timer.stop()
        return self._quietly(self.write_binds).addBoth(lambda _: self._change_detector.close())

    async def _poll_now(self) -> None:
        await self._poll(is_forced=True)

    async def _poll(self, *, is_forced: bool = False) -> None:
        """Look; who has asked waits until it is served, although another look may have begun with the same."""
        # The store's thread asks: SQLite's answer may wait for the disk.
        self._is_outdated = (
            await self._store.run(lambda _: self._change_detector.has_changed()) or self._is_outdated or is_forced
        )
        if self._store.is_failing and not await self._is_recovered():
            return
        if not self._is_outdated:
            return
        # Before the work: what changes meanwhile has to be looked at again.
        self._is_outdated = False
        try:
            await self._read_clients()
            await self._notify_pages()
            await self._publisher.publish_accounts()
            await self._scheduler.refresh()
        except BaseException:
            self._is_outdated = True
            raise
        # Nobody waits for it: a large book takes many seconds, and the next look comes in one.
        self._quietly(self._build)

    async def _build(self) -> None:
        try:
            await self._publisher.build()
        except BaseException:
            self._is_outdated = True
            raise

    async def _is_recovered(self) -> bool:
        """Whether the database can be used again; that it can be read is not enough.

        :raises StoreError: when it cannot.
        """
        if self._store.is_damaged and not self._is_outdated:
            return False
        await self._store.run(check_writable, thoroughly=self._store.is_damaged)
        self._store.mark_recovered()
        self._is_outdated = True
        return True

    def _quietly(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Deferred[None]:
        """What a timer calls: the next turn comes whatever became of this one."""
        return Deferred.fromCoroutine(work()).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        if not failure.check(StoreError):
            log.failure("looking at the database failed", failure)
