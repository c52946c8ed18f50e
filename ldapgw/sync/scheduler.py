# SPDX-License-Identifier: MIT
"""When accounts sync: each on a LoopingCall of its own, a few at once, never the same one twice at a time.

Mutable, and nowhere else in this package: the loops by account, the runs that are under way, the tenants' circuits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.errors import (
    ApiDisabled,
    BadResponse,
    ClientRejected,
    GoogleError,
    GoogleUnavailable,
    NetworkFailure,
    StoreError,
    SuspiciousShrink,
)
from ldapgw.store import accounts, sync_state, tenants
from ldapgw.store.accounts import Account, SyncRequest
from ldapgw.store.worker import Store
from ldapgw.sync import backoff
from ldapgw.sync.backoff import CircuitBreaker
from ldapgw.sync.job import SyncJob

# The most that Google can ask us to wait.
MAX_WAIT = 86400.0
# Accounts that waited for one thing come one after the other, within this time.
SPREAD_SECONDS = 60.0

# What is wrong with the tenant and not with the account.
_TENANT_ERRORS = (ClientRejected, ApiDisabled)
_ALARMS = frozenset(error.code for error in _TENANT_ERRORS)

log = Logger()


@dataclass(slots=True)
class _Loop:
    """The timer of one account, and its run under way.

    :ivar queued: what the run waits for while it stands in the queue of those that the clock has called.
    :ivar for_all: it waits until some account of its tenant has found Google well.
    """

    tenant: str
    timer: LoopingCall
    run: Deferred[None] | None = None
    queued: Deferred[DeferredSemaphore] | None = None
    is_tenant_wide: bool = False


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How a sync ended.

    :ivar wait: seconds to the next one, None for not before a person acts.
    :ivar for_all: it need not be waited for once an account of the tenant has found Google well.
    """

    wait: float | None
    is_tenant_wide: bool = False


@dataclass(frozen=True, slots=True)
class _Synced:
    """What is still to be published and noted of a sync: Google was asked all of it, and the contacts are stored."""

    account: Account
    error: Exception | None
    changed: bool


class SyncScheduler(Service):
    """Keeps every connected account in sync.

    :param publish: called after an account's contacts have changed, with its id; serves them to phones.
    :param interval: seconds between syncs of an account.
    :param concurrency: how many accounts sync at once, and as many more that a person waits for.
    :param random: a number from 0 to 1, for jitter.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        store: Store,
        job: SyncJob,
        publish: Callable[[int], Awaitable[None]],
        interval: float,
        concurrency: int = 4,
        random: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._store = store
        self._job = job
        self._publish = publish
        self._interval = interval
        self._random = random
        self._loops: dict[int, _Loop] = {}
        self._circuits: dict[str, CircuitBreaker] = {}
        self._slots = DeferredSemaphore(concurrency)
        self._priority_slots = DeferredSemaphore(concurrency)

    async def refresh(self) -> None:
        """Look at the accounts again: begin with new ones, stop with those that are gone, fulfil wishes at once."""
        idle = {account_id for account_id, loop in self._loops.items() if loop.run is None}
        everyone = await self._store.run(accounts.read_all, counted=False)
        found = {one.id: one for one in everyone if one.is_connected and self._job.has_tenant(one.tenant)}
        if not self.running:
            return
        for account_id in self._loops.keys() - found.keys():
            self._stop(account_id)
        for account in found.values():
            self._update_loop(account, interrupted=account.syncing and account.id in idle)

    def stopService(self) -> Deferred[list[None]]:
        """Abandon what is under way; nothing of it was written, and the next start begins with it."""
        super().stopService()
        runs = [loop.run for loop in self._loops.values() if loop.run is not None]
        for account_id in list(self._loops):
            self._stop(account_id)
        return gatherResults(runs, consumeErrors=True)

    def _update_loop(self, account: Account, *, interrupted: bool) -> None:
        """Start the account's timer if it has to be.

        :param interrupted: its last sync could not even be noted to have ended.
        """
        loop = self._loops.get(account.id)
        if loop is None:
            loop = self._loops[account.id] = _Loop(account.tenant, LoopingCall(self._turn, account.id))
            loop.timer.clock = self._clock
            loop.is_tenant_wide = account.error is not None and account.error.code in _ALARMS
        if account.tenant not in self._circuits:
            alarm = account.error.code if account.error and account.error.code in _ALARMS else ""
            self._circuits[account.tenant] = (
                CircuitBreaker(until=self._clock.seconds(), code=alarm) if alarm else CircuitBreaker()
            )
        if account.requested_sync is not None and loop.queued is not None:
            loop.queued.cancel()  # it gets a place among those that somebody waits for
        if loop.run is not None:
            return
        if account.requested_sync is not None or interrupted:
            self._start(loop, 0.0)
        elif not loop.timer.running and account.next_sync is not None:
            # A plan that lies further ahead was made by a clock that was wrong.
            longest = backoff.after_success(self._interval, 1.0) if account.error is None else MAX_WAIT
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
        loop.run = Deferred()  # it runs from here on, before there is anything to wait for
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
            found = await self._sync_in_slot(account_id, loop)
            # Its place is another account's by now: a large book takes many seconds to build.
            outcome = await self._conclude(found) if isinstance(found, _Synced) else found
        except StoreError as error:
            # The store says so once, for all accounts.
            log.debug("sync of account {account}: {problem}", account=account_id, problem=error.problems[0])
            return
        loop.is_tenant_wide = outcome.is_tenant_wide
        if outcome.wait is None:
            loop.timer.stop()
        else:
            self._wait(loop, outcome.wait)

    async def _sync_in_slot(self, account_id: int, loop: _Loop) -> _Synced | _Outcome:
        """Sync when there is a place; whom a person waits for does not stand behind those synced by the clock."""
        waiting = await self._store.run(accounts.read, account_id, counted=False)
        is_wished = waiting is not None and waiting.requested_sync is not None
        places = self._priority_slots if is_wished else self._slots
        place = places.acquire()
        loop.queued = None if is_wished else place
        try:
            await place
        finally:
            loop.queued = None
        try:
            account = await self._store.run(sync_state.begin, account_id)
            if account is None:
                return _Outcome(None)
            if account.revoked:
                return await self._stay_revoked(account)
            wait = self._circuits[account.tenant].wait(self._clock.seconds())
            return await (self._sync(account) if is_wished or not wait else self._postpone(account, wait))
        finally:
            places.release()

    def _wait(self, loop: _Loop, seconds: float) -> None:
        """Have the next turn after so many seconds from now, not on the grid on which the timer began."""
        loop.timer.interval, loop.timer.starttime = seconds, self._clock.seconds()

    async def _stay_revoked(self, account: Account) -> _Outcome:
        """Make no call for an account whose consent is gone, though somebody wishes for it."""
        await self._store.run(sync_state.postpone, account, self._clock.seconds(), None)
        return _Outcome(None)

    async def _postpone(self, account: Account, wait: float) -> _Outcome:
        """Leave Google alone; somebody else finds out when it is well again."""
        now, circuit = self._clock.seconds(), self._circuits[account.tenant]
        wait += min(self._interval, SPREAD_SECONDS) * self._random()
        code = "" if circuit.code in _ALARMS else circuit.code
        await self._store.run(sync_state.postpone, account, now, now + wait, code)
        return _Outcome(wait, is_tenant_wide=True)

    async def _sync(self, account: Account) -> _Synced:
        """Sync, as far as it takes a place."""
        self._circuits[account.tenant] = self._circuits[account.tenant].begin_trial(self._clock.seconds())
        full = account.pending_sync in (SyncRequest.FULL, SyncRequest.ACCEPT)
        error, changed = await self._sync_account(account, full=full)
        before = self._circuits[account.tenant]
        after = before.after_outcome(error, account.id, self._clock.seconds(), self._random())
        self._circuits[account.tenant] = after
        if error is None or isinstance(error, SuspiciousShrink | BadResponse):
            changed = await self._sync_directory(account, full=full) or changed
        if before.is_open and not after.is_open:
            await self._restart_tenant(account.tenant)
        return _Synced(account, error, changed)

    async def _conclude(self, synced: _Synced) -> _Outcome:
        """Publish what a sync has brought, and note how it ended."""
        account = synced.account
        if synced.changed:
            # Before it is said that the sync went well: who hears that looks at a phone.
            await self._publish(account.id)
        if synced.error is not None:
            return _Outcome(
                await self._record_failure(account, synced.error), is_tenant_wide=_is_tenant_wide(synced.error)
            )
        wait = backoff.after_success(self._interval, self._random())
        now = self._clock.seconds()
        await self._store.run(sync_state.end, account, now, now + wait)
        return _Outcome(wait)

    async def _sync_account(self, account: Account, *, full: bool) -> tuple[Exception | None, bool]:
        """Sync the account's own sources: what went wrong, and whether contacts have changed."""
        try:
            if account.error is not None and account.error.code == ClientRejected.code:
                # A token from before would hide that the client is still wrong.
                await self._job.refresh_access_token(account)
            return None, await self._job.sync(account, full=full, max_loss=account.max_loss("book"))
        except CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  a fault of ours must not end the account's loop
            _log_error("sync of account {account}", account, error)
            return error, False

    async def _sync_directory(self, account: Account, *, full: bool) -> bool:
        """Sync the tenant's directory, if it comes through the account; whether it has changed."""
        try:
            return await self._job.sync_directory(account, full=full, max_loss=account.max_loss("directory"))
        except CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  likewise
            _log_error("directory through account {account}", account, error)
            told = error if isinstance(error, GoogleError) else GoogleError()
            wait = backoff.after_failure(told, 1, self._interval, self._random()) or MAX_WAIT
            await self._job.record_directory_failure(account, told, self._clock.seconds() + wait)
            await self._start_successor(account)
            return False

    async def _start_successor(self, account: Account) -> None:
        """Have the account that the directory is to come through next take its turn soon; one that fails waits."""
        heir = await self._job.next_directory_account(account.tenant)
        found = await self._store.run(accounts.read, heir, counted=False) if heir not in (None, account.id) else None
        loop = self._loops.get(found.id) if found is not None and not found.failures else None
        if loop is not None and loop.run is None and loop.timer.running:
            self._start(loop, 1.0 + self._random())

    async def _restart_tenant(self, tenant: str) -> None:
        """Whoever has waited for Google, or for the client, need not wait any longer; what Google asked for stays."""
        if await self._store.run(tenants.clear_alarm, tenant):
            log.info("tenant {tenant}: Google accepts its client again", tenant=tenant)
        for loop in self._loops.values():
            if loop.tenant == tenant and loop.is_tenant_wide and loop.run is None and loop.timer.running:
                loop.is_tenant_wide = False
                self._start(loop, 1.0 + min(self._interval, SPREAD_SECONDS) * self._random())

    async def _record_failure(self, account: Account, error: Exception) -> float | None:
        """Note a failure; seconds to the next try."""
        wait = backoff.after_failure(error, account.failures + 1, self._interval, self._random())
        now = self._clock.seconds()
        next_sync = None if wait is None else now + wait
        if isinstance(error, _TENANT_ERRORS):
            link = error.activation_url if isinstance(error, ApiDisabled) else ""
            if await self._store.run(tenants.raise_alarm, account.tenant, error.code, now, link):
                log.error(
                    "tenant {tenant}: {code} {detail}", tenant=account.tenant, code=error.code, detail=error.detail
                )
            await self._store.run(sync_state.postpone, account, now, next_sync)
            return wait
        code, facts = (error.code, error.facts) if isinstance(error, GoogleError) else ("internal", {})
        await self._store.run(sync_state.fail, account, code, now, next_sync, facts=facts)
        if wait is None:
            await self._start_successor(account)
        return wait


def _is_tenant_wide(error: Exception) -> bool:
    """Whether another account's good sync shows that a failure is over; not before the time that Google asked for."""
    of_all = ClientRejected | ApiDisabled | GoogleUnavailable | NetworkFailure
    return isinstance(error, of_all) and error.retry_after is None


def _log_error(what: str, account: Account, error: Exception) -> None:
    """Log what went wrong; of a tenant's alarm there is one line for all accounts, elsewhere."""
    if isinstance(error, _TENANT_ERRORS):
        return
    if isinstance(error, GoogleError):
        log.warn(what + ": {code} {detail}", account=account.id, code=error.code, detail=error.detail)
    elif isinstance(error, StoreError):
        # The store says so once, for all accounts.
        log.debug(what + ": {problem}", account=account.id, problem=error.problems[0])
    else:
        log.failure(what + " failed", Failure(error), account=account.id)
