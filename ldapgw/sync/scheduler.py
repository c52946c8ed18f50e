# SPDX-License-Identifier: MIT
"""When accounts sync: each on a LoopingCall of its own, a few at once, never the same one twice at a time.

Mutable, and nowhere else in this package: the loops by account, and the runs that are under way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from ldapgw.errors import ApiDisabled, GoogleError, StoreError
from ldapgw.store import accounts
from ldapgw.store.accounts import Account, Wish
from ldapgw.store.worker import Store
from ldapgw.sync import retry
from ldapgw.sync.job import SyncJob

# Google's quota is per project, and each sync holds a page or two in memory.
AT_ONCE = 4

log = Logger()


@dataclass(slots=True)
class _Loop:
    """The timer of one account, and its run under way."""

    timer: LoopingCall
    run: Deferred[None] | None = field(default=None)


class SyncScheduler(Service):
    """Keeps every connected account in sync.

    :param publish: called after contacts have changed; serves them to phones.
    :param interval: seconds between syncs of an account.
    :param random: a number from 0 to 1, for jitter.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        store: Store,
        job: SyncJob,
        publish: Callable[[], Awaitable[None]],
        interval: float,
        random: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._store = store
        self._job = job
        self._publish = publish
        self._interval = interval
        self._random = random
        self._loops: dict[int, _Loop] = {}
        self._places = DeferredSemaphore(AT_ONCE)

    async def refresh(self) -> None:
        """Look at the accounts again: begin with new ones, stop with those that are gone, fulfil wishes at once."""
        everyone = await self._store.run(accounts.read_all)
        found = {one.id: one for one in everyone if one.connected and self._job.serves(one.tenant)}
        if not self.running:
            return
        for account_id in self._loops.keys() - found.keys():
            self._stop(account_id)
        for account in found.values():
            self._attend(account)

    def stopService(self) -> Deferred[list[None]]:
        """Abandon what is under way; nothing of it was written, and the next start takes it up again."""
        super().stopService()
        runs = [loop.run for loop in self._loops.values() if loop.run is not None]
        for account_id in list(self._loops):
            self._stop(account_id)
        return gatherResults(runs, consumeErrors=True)

    def _attend(self, account: Account) -> None:
        loop = self._loops.get(account.id)
        if loop is None:
            loop = self._loops[account.id] = _Loop(LoopingCall(self._turn, account.id))
            loop.timer.clock = self._clock
        if account.wish is not None:
            if loop.run is None:
                self._start(loop, 0.0)
        elif not loop.timer.running and loop.run is None and account.next_sync is not None:
            self._start(loop, min(max(account.next_sync - self._clock.seconds(), 0.0), self._interval))

    def _start(self, loop: _Loop, wait: float) -> None:
        if loop.timer.running:
            loop.timer.stop()
        loop.timer.start(wait or self._interval, now=not wait)

    def _stop(self, account_id: int) -> None:
        loop = self._loops.pop(account_id)
        if loop.timer.running:
            loop.timer.stop()
        if loop.run is not None:
            loop.run.cancel()

    def _turn(self, account_id: int) -> Deferred[None]:
        """What the timer calls; it waits for the run before it counts the time to the next."""
        loop = self._loops[account_id]
        loop.run = Deferred.fromCoroutine(self._run(account_id, loop))
        return loop.run.addBoth(self._ended, loop)

    def _ended(self, _result: object, loop: _Loop) -> None:
        loop.run = None

    async def _run(self, account_id: int, loop: _Loop) -> None:
        """One sync, from the place in the queue to what is noted of its end; raises nothing."""
        await self._places.acquire()
        try:
            account = await self._store.run(accounts.begin_sync, account_id)
            if account is None:
                return
            wait = await self._sync(account)
            if wait is None:
                loop.timer.stop()
            else:
                # The timer counts from here, not from the grid on which it began.
                loop.timer.interval, loop.timer.starttime = wait, self._clock.seconds()
        except CancelledError:
            raise
        except StoreError as error:
            log.error("sync of account {account}: {problem}", account=account_id, problem=error.problems[0])
        finally:
            self._places.release()

    async def _sync(self, account: Account) -> float | None:
        """Sync, and note how it ended; seconds to wait, None for ever."""
        try:
            changed = await self._job.sync(account, full=account.wish is Wish.FULL, accept_shrink=account.accept_shrink)
        except GoogleError as error:
            log.warn(
                "sync of account {account}: {code} {detail}", account=account.id, code=error.code, detail=error.detail
            )
            link = error.activation_url if isinstance(error, ApiDisabled) else ""
            return await self._failed(account, error, error.code, link)
        except (StoreError, CancelledError):
            raise
        except Exception as error:  # noqa: BLE001  a fault of ours must not end the account's loop
            log.failure("sync of account {account} failed", account=account.id)
            return await self._failed(account, error, "internal")
        wait = retry.after_success(self._interval, self._random())
        now = self._clock.seconds()
        await self._store.run(accounts.end_sync, account.id, now, now + wait)
        if changed:
            await self._publish()
        return wait

    async def _failed(self, account: Account, error: Exception, code: str, link: str = "") -> float | None:
        wait = retry.after_failure(error, account.failures + 1, self._interval, self._random())
        now = self._clock.seconds()
        next_sync = None if wait is None else now + wait
        await self._store.run(accounts.fail_sync, account.id, code, now, next_sync, link)
        return wait
