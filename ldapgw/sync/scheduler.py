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
from twisted.python.failure import Failure

from ldapgw.errors import ApiDisabled, GoogleError, StoreError
from ldapgw.store import accounts
from ldapgw.store.accounts import Account, Wish
from ldapgw.store.worker import Store
from ldapgw.sync import retry
from ldapgw.sync.job import SyncJob

# Google's quota is per project, and each sync holds a page or two in memory.
AT_ONCE = 4
# The most that Google can ask us to wait.
LONGEST_WAIT = 86400.0

log = Logger()


@dataclass(slots=True)
class _Loop:
    """The timer of one account, and its run under way."""

    timer: LoopingCall
    run: Deferred[None] | None = field(default=None)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How a sync ended: seconds to the next one, None for not before a person acts."""

    wait: float | None


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
        self._express = DeferredSemaphore(AT_ONCE)

    async def refresh(self) -> None:
        """Look at the accounts again: begin with new ones, stop with those that are gone, fulfil wishes at once."""
        idle = {account_id for account_id, loop in self._loops.items() if loop.run is None}
        everyone = await self._store.run(accounts.read_all, counted=False)
        found = {one.id: one for one in everyone if one.connected and self._job.serves(one.tenant)}
        if not self.running:
            return
        for account_id in self._loops.keys() - found.keys():
            self._stop(account_id)
        for account in found.values():
            self._attend(account, interrupted=account.syncing and account.id in idle)

    def stopService(self) -> Deferred[list[None]]:
        """Abandon what is under way; nothing of it was written, and the next start begins with it."""
        super().stopService()
        runs = [loop.run for loop in self._loops.values() if loop.run is not None]
        for account_id in list(self._loops):
            self._stop(account_id)
        return gatherResults(runs, consumeErrors=True)

    def _attend(self, account: Account, *, interrupted: bool) -> None:
        """Start the account's timer if it has to be.

        :param interrupted: its last sync could not even be noted to have ended.
        """
        loop = self._loops.get(account.id)
        if loop is None:
            loop = self._loops[account.id] = _Loop(LoopingCall(self._turn, account.id))
            loop.timer.clock = self._clock
        if loop.run is not None:
            return
        if account.wish is not None or interrupted:
            self._start(loop, 0.0)
        elif not loop.timer.running and account.next_sync is not None:
            # A plan that lies further ahead was made by a clock that was wrong.
            longest = retry.after_success(self._interval, 1.0) if account.trouble is None else LONGEST_WAIT
            self._start(loop, min(max(account.next_sync - self._clock.seconds(), 0.0), longest))

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
        return loop.run.addErrback(self._fault, account_id).addBoth(self._ended, loop)

    def _fault(self, failure: Failure, account_id: int) -> None:
        if not failure.check(CancelledError):
            log.failure("sync of account {account} ended in a fault", failure, account=account_id)

    def _ended(self, _result: object, loop: _Loop) -> None:
        loop.run = None

    async def _run(self, account_id: int, loop: _Loop) -> None:
        """One sync, from the place in the queue to what is noted of its end."""
        # Whatever happens below, the next turn is not at once.
        self._wait(loop, self._interval)
        try:
            outcome = await self._in_place(account_id)
        except StoreError as error:
            # The store says so once, for all accounts.
            log.debug("sync of account {account}: {problem}", account=account_id, problem=error.problems[0])
            return
        if outcome.wait is None:
            loop.timer.stop()
        else:
            self._wait(loop, outcome.wait)

    async def _in_place(self, account_id: int) -> _Outcome:
        """Sync when there is a place; whom a person waits for does not stand behind those synced by the clock."""
        waiting = await self._store.run(accounts.read, account_id)
        places = self._express if waiting is not None and waiting.wish is not None else self._places
        await places.acquire()
        try:
            account = await self._store.run(accounts.begin_sync, account_id)
            return _Outcome(None) if account is None else await self._sync(account)
        finally:
            places.release()

    def _wait(self, loop: _Loop, seconds: float) -> None:
        """Have the next turn after so many seconds from now, not on the grid on which the timer began."""
        loop.timer.interval, loop.timer.starttime = seconds, self._clock.seconds()

    async def _sync(self, account: Account) -> _Outcome:
        """Sync, and note how it ended."""
        full = account.due in (Wish.FULL, Wish.ACCEPT)
        try:
            if await self._job.sync(account, full=full, accept_shrink=account.due is Wish.ACCEPT):
                # Before it is said that the sync went well: who hears that looks at a phone.
                await self._publish()
        except CancelledError:
            raise
        except GoogleError as error:
            log.warn(
                "sync of account {account}: {code} {detail}", account=account.id, code=error.code, detail=error.detail
            )
            link = error.activation_url if isinstance(error, ApiDisabled) else ""
            return await self._failed(account, error, error.code, link)
        except StoreError as error:
            log.debug("sync of account {account}: {problem}", account=account.id, problem=error.problems[0])
            return await self._failed(account, error, "internal")
        except Exception as error:  # noqa: BLE001  a fault of ours must not end the account's loop
            log.failure("sync of account {account} failed", account=account.id)
            return await self._failed(account, error, "internal")
        wait = retry.after_success(self._interval, self._random())
        now = self._clock.seconds()
        await self._store.run(accounts.end_sync, account, now, now + wait)
        return _Outcome(wait)

    async def _failed(self, account: Account, error: Exception, code: str, link: str = "") -> _Outcome:
        wait = retry.after_failure(error, account.failures + 1, self._interval, self._random())
        now = self._clock.seconds()
        next_sync = None if wait is None else now + wait
        await self._store.run(accounts.fail_sync, account, code, now, next_sync, link)
        return _Outcome(wait)
