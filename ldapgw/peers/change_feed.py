# SPDX-License-Identifier: MIT
"""Follows the changes of the database, whoever made them: a command, a page, a sync, or another gateway.

The service polls the database when the database notifies a change, and once a second.  After a change, a poll publishes
the changes, reads other cached data again, and begins and ends syncs.  One poll runs at a time.

Mutable: `ChangeFeed`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ldapgw.store import phones
from ldapgw.store.database import ChangeDetector, Mode, check_writable
from ldapgw.store.periodic import PeriodicService
from ldapgw.store.phones import LastBind
from ldapgw.store.worker import MonitoredStore

# Seconds between two polls, so that a change that a command makes takes effect within two seconds.
POLL_SECONDS: Final = 1.0
# Seconds between two writes of the last binds of phones, because a write for each bind would flush the disk each time.
WRITE_BINDS_SECONDS: Final = 5.0

log = Logger()


class Publishes(Protocol):
    """The publisher, which serves phones the content of the database (`ldapgw.sync.publisher.Publisher`)."""

    async def publish_accounts(self) -> None:
        """Publish the accounts and logins that have changed."""

    async def build(self) -> None:
        """Build the books that have changed, and publish them."""


class Syncs(Protocol):
    """The scheduler, which begins and ends syncs (`ldapgw.sync.scheduler.SyncScheduler`).

    :ivar is_outdated: whether `refresh` has to be called although the database has not changed.
    """

    is_outdated: bool

    async def refresh(self) -> None:
        """Begin the syncs of new accounts, and end the syncs of removed accounts."""


class ChangeFeed(MultiService):
    """The service that polls the database for changes, and stores the last binds of phones.

    :param take_binds: returns the last bind of each phone that has logged in since the previous call, by the phone's
        name; the fields of a bind are the fields of `ldapgw.directory.catalog.PhoneBind`.
    :param read: functions that read other cached data again; called after each change, before syncs begin.
    :param on_bulletin: called on any thread with each message of a gateway on this database (`ldapgw.peers.bulletin`).
    :param looked: called with the time at which a poll began, after the poll has made the published accounts and logins
        agree with the database.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        store: MonitoredStore,
        change_detector: ChangeDetector,
        call_from_thread: Callable[..., object],
        publisher: Publishes,
        scheduler: Syncs,
        take_binds: Callable[[], Mapping[str, tuple[str, str, float, bool]]],
        read: Sequence[Callable[[], Awaitable[None]]],
        on_bulletin: Callable[[str], object] = lambda _bulletin: None,
        looked: Callable[[float], object] = lambda _: None,
    ) -> None:
        self._clock = clock
        self._store = store
        self._change_detector = change_detector
        self._call_from_thread = call_from_thread
        self._publisher = publisher
        self._scheduler = scheduler
        self._take_binds = take_binds
        self._read = read
        self._on_bulletin = on_bulletin
        self._looked = looked
        # The callers of `refresh_now`, who wait for a poll that begins after their call.
        self._waiting: list[Deferred[None]] = []
        self._is_due = False
        self._is_outdated = True
        self._binds: dict[str, LastBind] = {}
        super().__init__()
        failed = partial(log.failure, "checking the database for changes failed", event="change_check_failed")
        self._polls = PeriodicService(clock, POLL_SECONDS, self._poll_while_due, failed)
        write = self.write_binds
        for service in (
            PeriodicService(clock, POLL_SECONDS, store.watch, failed),  # `store.watch` must run even if a poll hangs
            self._polls,
            PeriodicService(clock, WRITE_BINDS_SECONDS, write, failed, waits=True, last=write),
        ):
            service.setServiceParent(self)

    def refresh_now(self) -> Deferred[None]:
        """Publish the present content of the database, and begin and end syncs.

        The Deferred does not wait for the build of changed books.  If a step fails, the error is logged, and the next
        poll tries again.
        """
        self._is_outdated = True
        done: Deferred[None] = Deferred()
        self._waiting.append(done)
        self._look()
        return done

    async def write_binds(self) -> None:
        """Store the last binds of phones; binds that could not be stored wait for the next call."""
        self._binds |= {
            name: LastBind(when, address, password, over_tls)
            for name, (address, password, when, over_tls) in self._take_binds().items()
        }
        if self._binds:
            await self._store.run(phones.store_last_binds, dict(self._binds))
            self._binds.clear()

    def startService(self) -> None:
        self._change_detector.listen(lambda: self._call_from_thread(self._changed), self._on_bulletin)
        super().startService()

    def stopService(self) -> Deferred[Any]:
        """Stop polling, and store the last binds."""
        stopped: Deferred[Any] = super().stopService()
        return stopped.addBoth(lambda _: self._change_detector.close())

    def _changed(self) -> None:
        """Poll now, because the database has notified a change."""
        if self.running:
            self._look()

    def _look(self) -> None:
        """Poll now, or again after the running poll."""
        self._is_due = True
        self._polls.run_now()

    async def _poll_while_due(self) -> None:
        self._is_due = True
        while self._is_due:
            self._is_due = False
            waiting, self._waiting = self._waiting, []
            try:
                await self._poll()
            finally:
                for done in waiting:
                    done.callback(None)

    async def _poll(self) -> None:
        """Publish the content of the database, and begin and end syncs, if the database has changed."""
        begun_at = self._clock.seconds()
        # SQLite is asked on another thread, because the answer may wait for the disk.  `Mode.PROBE` opens a transaction
        # that may write, so that the poll notices if another program locks the database for too long.
        has_changed = await self._store.call(Mode.PROBE, lambda _: self._change_detector.has_changed())
        self._is_outdated = has_changed or self._is_outdated
        if self._store.is_failing and not await self._is_recovered():
            return
        if not self._is_outdated and not self._scheduler.is_outdated:
            self._looked(begun_at)
            return
        # Reset the flag before the work, so that a change during the work causes another poll.
        self._is_outdated = False
        try:
            # Publish logins first: an error in a later step must not keep a removed login in use.
            await self._publisher.publish_accounts()
            self._looked(begun_at)
            for read in self._read:
                await read()
            await self._scheduler.refresh()
        except BaseException:
            self._is_outdated = True
            raise
        # The build is not awaited: a large book takes many seconds, and the next poll begins within a second.
        self._polls.attempt(self._build)

    async def _build(self) -> None:
        try:
            await self._publisher.build()
        except BaseException:
            self._is_outdated = True
            raise

    async def _is_recovered(self) -> bool:
        """Return whether the database can be read and written again, and the publisher has read the database."""
        if self._store.is_damaged and not self._is_outdated:
            return False
        await self._store.run(check_writable, thoroughly=self._store.is_damaged)
        # A successful write is not enough: ``ldapgw restore`` creates the tables of a new database on a server before
        # the command fills the tables.  Meanwhile, the gateway can write to the tables, but cannot publish their
        # content.
        await self._publisher.publish_accounts()
        self._store.mark_recovered()
        self._is_outdated = True
        return True
