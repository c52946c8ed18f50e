# SPDX-License-Identifier: MIT
"""The service that polls the database, and passes changes to the publisher, the scheduler, the recorder and others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.errors import StoreError
from ldapgw.store import phones
from ldapgw.store.database import ChangeDetector, check_writable
from ldapgw.store.phones import LastBind
from ldapgw.store.worker import MonitoredStore
from ldapgw.sync.publisher import Publisher
from ldapgw.sync.scheduler import SyncScheduler

# A command's change takes effect within 2 seconds.
POLL_SECONDS = 1.0
# The last binds of phones are written this often at most; a write per bind would cost a flush to disk each.
WRITE_BINDS_SECONDS = 5.0

log = Logger()


class ChangeWatcher(Service):
    """Looks for changes of the database once a second, and stores the last binds of phones.

    :param call_from_thread: has the reactor call a function; for a database that says when it has changed.
    :param take_binds: returns the phones that have bound since the last call: IP address, hash of the password and
        time by name of the phone.
    :param read_clients: reads the OAuth clients that administrators have entered.
    :param notify_pages: notifies open pages of changes of their accounts.
    :param read_recordings: reads which phones are to be recorded.
    :param looked: called after each look that found the database as it is served, with the time of its beginning.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        store: MonitoredStore,
        change_detector: ChangeDetector,
        call_from_thread: Callable[..., object],
        publisher: Publisher,
        scheduler: SyncScheduler,
        take_binds: Callable[[], Mapping[str, tuple[str, str, float]]],
        read_clients: Callable[[], Awaitable[None]],
        notify_pages: Callable[[], Awaitable[None]],
        read_recordings: Callable[[], Awaitable[None]],
        looked: Callable[[float], object] = lambda _: None,
    ) -> None:
        self._clock = clock
        self._store = store
        self._change_detector = change_detector
        self._call_from_thread = call_from_thread
        self._publisher = publisher
        self._scheduler = scheduler
        self._take_binds = take_binds
        self._read_clients = read_clients
        self._notify_pages = notify_pages
        self._read_recordings = read_recordings
        self._looked = looked
        self._is_outdated = True
        self._binds: dict[str, LastBind] = {}
        self._faults: dict[Callable[[], object], str] = {}  # how work has failed last, until it succeeds
        self._timers = (
            (LoopingCall(store.watch), POLL_SECONDS),  # a poll may be what hangs
            (LoopingCall(self._run, self._poll), POLL_SECONDS),
            (LoopingCall(self._run, self.write_binds), WRITE_BINDS_SECONDS),
        )
        for timer, _ in self._timers:
            timer.clock = clock

    def refresh_now(self) -> Deferred[None]:
        """Publish and sync by the present content of the database; changed books are built afterwards.

        Errors are logged, and the next poll tries again.
        """
        self._is_outdated = True
        return self._run(self._poll_now)

    def sync_now(self) -> None:
        """Begin or end syncs, because this gateway has become the leader, or is the leader no more.

        An error is logged, and the next poll tries again.
        """
        self._is_outdated = True
        self._run(self._scheduler.refresh)

    async def write_binds(self) -> None:
        """Store the last binds of phones; binds that could not be stored are kept for the next call."""
        self._binds |= {
            name: LastBind(when, address, password) for name, (address, password, when) in self._take_binds().items()
        }
        if self._binds:
            await self._store.run(phones.store_last_binds, dict(self._binds))
            self._binds.clear()

    def startService(self) -> None:
        super().startService()
        self._change_detector.listen(lambda: self._call_from_thread(self._changed))
        for timer, seconds in self._timers:
            timer.start(seconds)

    def stopService(self) -> Deferred[None]:
        """Stop polling, and store the last binds."""
        super().stopService()
        for timer, _ in self._timers:
            if timer.running:
                timer.stop()
        return self._run(self.write_binds).addBoth(lambda _: self._change_detector.close())

    def _changed(self) -> None:
        """Look now: the database says that something was committed."""
        if self.running:
            self._run(self._poll)

    async def _poll_now(self) -> None:
        await self._poll(is_forced=True)

    async def _poll(self, *, is_forced: bool = False) -> None:
        """Publish and sync if the database has changed.

        :param is_forced: publish in any case: the caller waits for it, even when another poll has taken the change.
        """
        begun_at = self._clock.seconds()
        # SQLite is asked off the reactor's thread, because the answer may wait for the disk, and in a transaction that
        # may write, because it fails when another program keeps the database locked.
        self._is_outdated = (
            await self._store.probe(lambda _: self._change_detector.has_changed()) or self._is_outdated or is_forced
        )
        if self._store.is_failing and not await self._is_recovered():
            return
        if not self._is_outdated and not self._scheduler.is_outdated:
            self._looked(begun_at)
            return
        # Reset before the work, so that a change during the work causes another poll.
        self._is_outdated = False
        try:
            # First: nothing must keep a login that was removed from being refused.
            await self._publisher.publish_accounts()
            self._looked(begun_at)
            await self._read_clients()
            await self._notify_pages()
            await self._read_recordings()
            await self._scheduler.refresh()
        except BaseException:
            self._is_outdated = True
            raise
        # The build is not awaited: a large book takes many seconds, and the next poll is due in one second.
        self._run(self._build)

    async def _build(self) -> None:
        try:
            await self._publisher.build()
        except BaseException:
            self._is_outdated = True
            raise

    async def _is_recovered(self) -> bool:
        """Whether the database can be used again, for writing too, and phones are served from it.

        :raises StoreError: when the database cannot be used.
        """
        if self._store.is_damaged and not self._is_outdated:
            return False
        await self._store.run(check_writable, thoroughly=self._store.is_damaged)
        # Tables that somebody is just restoring can be written, and have nothing to serve yet.
        await self._publisher.publish_accounts()
        self._store.mark_recovered()
        self._is_outdated = True
        return True

    def _run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Deferred[None]:
        """Run a coroutine and log its failure, so that a timer goes on."""
        return Deferred.fromCoroutine(self._attempt(work))

    async def _attempt(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001  whatever it is, the timer goes on
            fault = repr(error)
            if self._faults.get(work) != fault:  # else it would be logged each second
                _log_failure(Failure())
            self._faults[work] = fault
        else:
            self._faults.pop(work, None)


def _log_failure(failure: Failure) -> None:
    if not failure.check(StoreError, CancelledError):
        log.failure("checking the database for changes failed", failure, event="change_check_failed")
