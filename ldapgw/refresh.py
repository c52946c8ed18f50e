# SPDX-License-Identifier: MIT
"""Carries what has changed in the database, by whomever, into what is served and synced."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from ldapgw.errors import StoreError
from ldapgw.publisher import Publisher
from ldapgw.store import phones
from ldapgw.store.watch import Watch
from ldapgw.store.worker import Store
from ldapgw.sync.scheduler import SyncScheduler

# A command's change takes effect within 2 seconds (contract, section 3).
LOOK_SECONDS = 1.0
# When a phone was last seen is written this often; each bind would cost a disk's flush.
SEEN_SECONDS = 30.0

log = Logger()


class Refresher(Service):
    """Looks for changes once a second, and writes down which phones were seen.

    :param take_seen: the phones that have bound since it was called last: name to address.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        store: Store,
        watch: Watch,
        publisher: Publisher,
        scheduler: SyncScheduler,
        take_seen: Callable[[], Mapping[str, str]],
    ) -> None:
        self._clock = clock
        self._store = store
        self._watch = watch
        self._publisher = publisher
        self._scheduler = scheduler
        self._take_seen = take_seen
        self._problem = ""
        self._timers = (
            (LoopingCall(self._guarded, self._look), LOOK_SECONDS),
            (LoopingCall(self._guarded, self.write_seen), SEEN_SECONDS),
        )
        for timer, _ in self._timers:
            timer.clock = clock

    async def refresh(self) -> None:
        """Serve and sync by what the database holds now.

        :raises StoreError: when it cannot be used; what is served stays.
        """
        await self._publisher.refresh()
        await self._scheduler.refresh()

    async def write_seen(self) -> None:
        """Store which phones were seen."""
        now = self._clock.seconds()
        seen = {name: (now, address) for name, address in self._take_seen().items()}
        if seen:
            await self._store.run(phones.seen, seen)

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        for timer, seconds in self._timers:
            timer.start(seconds)

    async def _look(self) -> None:
        # The store's thread asks: SQLite's answer may wait for the disk.
        if await self._store.run(lambda _: self._watch.changed()):
            await self.refresh()

    def _guarded(self, work: Callable[[], Awaitable[None]]) -> Deferred[None]:
        return Deferred.fromCoroutine(self._quietly(work))

    async def _quietly(self, work: Callable[[], Awaitable[None]]) -> None:
        """A database in trouble is one line in the log, not one a second; phones are served from memory meanwhile."""
        try:
            await work()
        except StoreError as error:
            if self._problem != str(error):
                self._problem = str(error)
                log.error("{problem}; phones are served from memory", problem=self._problem)
        else:
            if self._problem:
                self._problem = ""
                log.info("the database can be used again")

    def stopService(self) -> Deferred[None]:
        """Write down what was seen, and look no more."""
        super().stopService()
        for timer, _ in self._timers:
            if timer.running:
                timer.stop()
        return self._guarded(self.write_seen)
