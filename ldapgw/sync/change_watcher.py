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
from ldapgw.store.database import prove
from ldapgw.store.phones import Sighting
from ldapgw.store.worker import Watch, WatchedStore
from ldapgw.sync.publisher import Publisher
from ldapgw.sync.scheduler import SyncScheduler

# A command's change takes effect within 2 seconds.
LOOK_SECONDS = 1.0
# When a phone was last seen is written this often at most; each bind would cost a disk's flush.
SEEN_SECONDS = 5.0

log = Logger()


class Refresher(Service):
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
        store: WatchedStore,
        watch: Watch,
        publisher: Publisher,
        scheduler: SyncScheduler,
        take_seen: Callable[[], Mapping[str, tuple[str, str]]],
        read_clients: Callable[[], Awaitable[None]],
        tell_pages: Callable[[], Awaitable[None]],
    ) -> None:
        self._clock = clock
        self._store = store
        self._watch = watch
        self._publisher = publisher
        self._scheduler = scheduler
        self._take_seen = take_seen
        self._read_clients = read_clients
        self._tell_pages = tell_pages
        self._is_outdated = True
        self._seen: dict[str, Sighting] = {}
        self._timers = (
            (LoopingCall(self._quietly, self._look), LOOK_SECONDS),
            (LoopingCall(self._quietly, self.write_seen), SEEN_SECONDS),
        )
        for timer, _ in self._timers:
            timer.clock = clock

    def look_now(self) -> Deferred[None]:
        """Serve and sync by what the database holds now; books that have to be built follow.

        Trouble is logged, and it is tried again at the next look.
        """
        self._is_outdated = True
        return self._quietly(self._look_as_asked)

    async def write_seen(self) -> None:
        """Store which phones were seen; those that could not be stored are kept for the next time."""
        now = self._clock.seconds()
        self._seen |= {name: Sighting(now, *seen) for name, seen in self._take_seen().items()}
        if self._seen:
            await self._store.run(phones.seen, dict(self._seen))
            self._seen.clear()

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
        return self._quietly(self.write_seen).addBoth(lambda _: self._watch.close())

    async def _look_as_asked(self) -> None:
        await self._look(asked=True)

    async def _look(self, *, asked: bool = False) -> None:
        """Look; who has asked waits until it is served, although another look may have begun with the same."""
        # The store's thread asks: SQLite's answer may wait for the disk.
        self._is_outdated = await self._store.run(lambda _: self._watch.changed()) or self._is_outdated or asked
        if self._store.in_trouble and not await self._is_mended():
            return
        if not self._is_outdated:
            return
        # Before the work: what changes meanwhile has to be looked at again.
        self._is_outdated = False
        try:
            await self._read_clients()
            await self._tell_pages()
            await self._publisher.look()
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

    async def _is_mended(self) -> bool:
        """Whether the database can be used again; that it can be read is not enough.

        :raises StoreError: when it cannot.
        """
        if self._store.is_damaged and not self._is_outdated:
            return False
        await self._store.run(prove, thoroughly=self._store.is_damaged)
        self._store.is_well()
        self._is_outdated = True
        return True

    def _quietly(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Deferred[None]:
        """What a timer calls: the next turn comes whatever became of this one."""
        return Deferred.fromCoroutine(work()).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        if not failure.check(StoreError):
            log.failure("looking at the database failed", failure)
