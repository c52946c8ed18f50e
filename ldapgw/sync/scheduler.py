# SPDX-License-Identifier: MIT
"""The scheduler: syncs each account on its own timer, a few accounts at once, but no account twice at the same time.

Mutable: the loops by account, and their running syncs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredLock, DeferredSemaphore, gatherResults
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from ldapgw.errors import (
    BadResponse,
    ClientRejected,
    ConsentRevoked,
    GoogleError,
    LeadLost,
    StoreError,
    SuspiciousShrink,
    SyncOutdated,
)
from ldapgw.peers.leadership import Leader
from ldapgw.store import accounts, changes, sync_state
from ldapgw.store.accounts import Account, SyncRequest
from ldapgw.store.changes import Cursor
from ldapgw.store.worker import Store
from ldapgw.sync import retry
from ldapgw.sync.apply import BegunSync, SyncEnd
from ldapgw.sync.job import Applied, SyncJob
from ldapgw.sync.retry import TENANT_CODES, TENANT_ERRORS, CircuitBreakers, Grantor, log_error

# The longest wait, in seconds, that Google can ask for.
MAX_WAIT = 86400.0
# If an event ends the waits of several accounts, their syncs begin at random times within this many seconds.
SPREAD_SECONDS = 60.0
# The number of accounts that get their timers in one turn of the reactor, which takes a few milliseconds.
_ACCOUNTS_AT_ONCE = 200

log = Logger()


@dataclass(slots=True)
class _Loop:
    """The next sync of one account, and its running sync.

    :ivar next: the call that begins the next sync, or None while a sync runs or if a person has to act first.
    :ivar queued: fires when a sync that the timer has started may leave a queue; None if no such sync is queued.
    :ivar is_requested_again: whether a sync was requested during `run`; the account is read again after `run` has
        ended.
    :ivar begins_anew: whether the result of the last sync was outdated, so that the next sync begins as soon as the
        account was read again.
    :ivar is_requested: whether a person has requested the sync that begins next.
    :ivar called_at: the time at which a sync last began to call Google, in seconds since the epoch.
    """

    identity: tuple[str, str]
    grantor: Grantor
    next: IDelayedCall | None = None
    run: Deferred[Any] | None = None
    queued: Deferred[Any] | None = None
    is_requested: bool = False
    is_requested_again: bool = False
    begins_anew: bool = False
    called_at: float = 0.0


@dataclass(frozen=True, slots=True)
class _Synced:
    """A sync whose contacts are stored, and whose outcome is still to be published and recorded."""

    account: Account
    error: Exception | None
    applied: Applied
    end: SyncEnd  # recorded only if the sync has succeeded


class SyncScheduler(Service):
    """The service that keeps every connected account in sync.

    :param publish: called with an account's id after its contacts have changed; publishes the changes to phones.
    :param interval: seconds between syncs of an account.
    :param concurrency: the largest number of timed syncs that run at the same time; the same number of requested syncs
        may run beside the timed syncs.
    :param random: returns a number from 0 to 1, for jitter.
    :param observe: called for each sync that has published its contacts or has failed.  The arguments are ``ok`` or the
        error's code, and the seconds since the sync began to call Google.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        store: Store,
        leader: Leader,
        job: SyncJob,
        publish: Callable[[int], Awaitable[None]],
        interval: float,
        concurrency: int = 4,
        random: Callable[[], float],
        observe: Callable[[str, float], None] = lambda _result, _seconds: None,
    ) -> None:
        self._clock = clock
        self._store = store
        self._leader = leader
        self._job = job
        self._publish = publish
        self._interval = interval
        self._random = random
        self._observe = observe
        # The scheduler needs a cursor of its own.  Each sync publishes its account, which advances the cursor of the
        # published books (`AccountState.cursor`).  With this cursor, the scheduler could miss a requested sync or the
        # end of a sync.
        self._cursor: Cursor | None = None
        self._refreshing = DeferredLock()
        self._loops: dict[int, _Loop] = {}
        self._busy: set[int] = set()  # the accounts whose syncs run or wait in a queue
        # The accounts that the next refresh reads even if the database reports no change of these accounts.  An account
        # is added if a sync is requested during another sync of the account.  An account is also added when its sync
        # ends, because the database reports no change if the sync has recorded nothing.
        self._unserved: set[int] = set()
        self.is_outdated = False
        self._circuits = CircuitBreakers(leader, interval, self._project)
        self._slots = DeferredSemaphore(concurrency)
        self._priority_slots = DeferredSemaphore(concurrency)
        # The slots of each Google project.  A sync first takes a slot of its project, and then one of the slots that
        # all projects share.
        self._project_slots: dict[str, DeferredSemaphore] = {}

    async def refresh(self) -> None:
        """Read the changed accounts: start new accounts, stop removed accounts, and begin requested syncs at once."""
        async with self._refreshing:
            await self._refresh()

    async def _refresh(self) -> None:
        busy = set(self._busy)
        again, self._unserved = self._unserved, set()
        self.is_outdated = False
        cursor = self._cursor
        try:
            found = await self._store.read(changes.read_since, cursor)
            present = dict(found.accounts)
            for account_id in again - present.keys():
                present[account_id] = await self._store.read(accounts.read, account_id)
        except BaseException:
            self._unserved |= again
            raise
        if not self.running:
            return
        # If the cursor has changed meanwhile, `begin_anew` has stopped all syncs, because the lead has changed.  Then
        # keep the cursor that `begin_anew` has set, so that the next refresh reads everything.
        if self._cursor is cursor:
            self._cursor = found.cursor
        for account_id in list(self._loops) if found.is_whole else ():
            if account_id not in found.accounts:
                self._stop(account_id)
        try:
            for number, (account_id, account) in enumerate(present.items(), 1):
                if not number % _ACCOUNTS_AT_ONCE:
                    await deferLater(self._clock, 0.0)
                    if not self.running:
                        return
                self._update_account(account_id, account, was_busy=account_id in busy)
        except BaseException:
            self._cursor = None  # some accounts were not updated, so the next refresh reads everything
            raise

    def _update_account(self, account_id: int, account: Account | None, *, was_busy: bool) -> None:
        """Create, start or stop the timer of an account that was read.

        :param was_busy: whether the account's sync was running, or waiting in a queue, before the account was read.
        """
        loop = self._loops.get(account_id)
        if loop is not None and (account is None or loop.identity != account.identity or not self._may_sync(account)):
            self._stop(account_id)  # the id may belong to another account now
            loop = None
        if account is None or not self._may_sync(account):
            return
        if account_id in self._unserved:
            self.is_outdated = True  # a sync has ended since this refresh began, maybe after the account was read
            return
        is_interrupted = account.syncing and loop is not None and not was_busy  # the end of the last sync is missing
        grantor = Grantor.of(account)
        if loop is None or loop.grantor != grantor:
            self._circuits.add(account, self._clock.seconds())
            loop = self._loops.setdefault(account.id, _Loop(account.identity, grantor))
            loop.grantor = grantor
        if account.requested_sync is not None and loop.queued is not None:
            loop.queued.cancel()  # a requested sync waits for a priority slot
        if loop.run is not None:
            if account.requested_sync is not None:
                self._unserved.add(account.id)
                loop.is_requested_again = True
            return
        loop.is_requested = account.requested_sync is not None
        begins_anew, loop.begins_anew = loop.begins_anew, False
        if loop.is_requested or is_interrupted or begins_anew or (account.revoked and not self._is_revoked(account)):
            self._start(account.id, loop, 0.0)
        elif loop.next is None and account.next_sync is not None:
            # A time later than `longest` must have been computed while the clock was wrong.
            longest = retry.after_success(self._interval, 1.0) if account.error is None else MAX_WAIT
            self._start(account.id, loop, min(max(account.next_sync - self._clock.seconds(), 0.0), longest))

    def begin_anew(self) -> None:
        """Stop all syncs; the next refresh begins as after a start, if this gateway is the leader."""
        for account_id in list(self._loops):
            self._stop(account_id)
        self._circuits.clear()
        self._cursor = None

    def _may_sync(self, account: Account) -> bool:
        return account.is_connected and account.tenant in self._job.tenants and self._leader.is_leader

    def stopService(self) -> Deferred[list[None]]:
        """Cancel all running syncs; the next start begins with these syncs."""
        super().stopService()
        runs = [loop.run for loop in self._loops.values() if loop.run is not None]
        self.begin_anew()
        return gatherResults(runs, consumeErrors=True)

    def _start(self, account_id: int, loop: _Loop, wait: float) -> None:
        """Begin the next sync of an account after `wait` seconds, or at once if `wait` is 0."""
        if loop.next is not None:
            loop.next.cancel()
        if wait:
            loop.next = self._clock.callLater(wait, self._turn, account_id, loop)
        else:
            self._turn(account_id, loop)

    def _stop(self, account_id: int) -> None:
        loop = self._loops.pop(account_id)
        self._circuits.remove(account_id)
        if loop.next is not None:
            loop.next.cancel()
        if loop.run is not None:
            loop.run.cancel()

    def _turn(self, account_id: int, loop: _Loop) -> None:
        """Run a sync; when the sync ends, start the wait for the next sync."""
        loop.next = None
        self._busy.add(account_id)
        loop.run = Deferred()  # marks the sync as running while the coroutine starts
        loop.run = Deferred.fromCoroutine(self._run(account_id, loop))
        loop.run.addCallback(self._ended, account_id, loop)

    def _ended(self, wait: float | None, account_id: int, loop: _Loop) -> None:
        loop.run = None
        self._unserved.add(account_id)
        if loop.is_requested_again or loop.begins_anew:
            # A sync whose grant was replaced records nothing, so no change in the database reports the end of the sync.
            loop.is_requested_again = False
            self.is_outdated = True
        if self._loops.get(account_id) in (loop, None):
            self._busy.discard(account_id)
        if self._loops.get(account_id) is loop and wait is not None:
            self._start(account_id, loop, wait)

    async def _run(self, account_id: int, loop: _Loop) -> float | None:
        """Run one sync, from the queue for a slot to the record of its end.

        :returns: the seconds to the next sync, or None if a person has to act first.
        """
        self._circuits.await_end(account_id, loop.grantor, "")  # the wait has ended
        tenant = loop.grantor.tenant
        try:
            result = await self._sync_in_slot(account_id, loop)
            # Building a large book takes many seconds, so `_sync_in_slot` has given back the slot.
            return await self._conclude(result) if isinstance(result, _Synced) else result
        except StoreError as error:
            # `MonitoredStore` logs the problem once, for all accounts.
            log.debug(
                "sync of account {account} cannot use the database: {problem}",
                event="sync_not_stored",
                tenant=tenant,
                account=account_id,
                problem=error.problems[0],
            )
        except SyncOutdated as error:
            log.info(
                "sync of account {account} begins anew: {reason}",
                event="sync_outdated",
                tenant=tenant,
                account=account_id,
                reason=str(error),
            )
            loop.begins_anew = True
        except (CancelledError, LeadLost):
            pass
        except Exception:  # noqa: BLE001  an unexpected error must not end the account's loop
            log.failure(
                "sync of account {account} ended with an internal error",
                event="sync_crashed",
                tenant=tenant,
                account=account_id,
            )
        return self._interval

    async def _sync_in_slot(self, account_id: int, loop: _Loop) -> _Synced | float | None:
        """Sync when a slot is free; a requested sync gets a priority slot and does not wait for timed syncs."""
        is_requested, loop.is_requested = loop.is_requested, False
        if is_requested:
            return await self._sync_with(self._priority_slots, account_id, loop)
        # While the circuit is open, a timed sync is only postponed.  The sync then makes no call to Google, so the sync
        # needs no slot of the Google project.
        if self._circuits.of(loop.grantor).wait(self._clock.seconds()):
            return await self._sync_with(self._slots, account_id, loop)
        # A project whose calls have to wait must not occupy all slots, nor thousands of places in the queue for slots.
        project = self._project(loop.grantor)
        project_slots = self._project_slots.setdefault(project, DeferredSemaphore(self._slots.limit))
        await _queue(loop, project_slots.acquire())
        try:
            await _queue(loop, self._job.pacer.of(project).wait_for_quota())
            if self._project(loop.grantor) == project:
                return await self._sync_with(self._slots, account_id, loop)
        finally:
            project_slots.release()
        return await self._sync_in_slot(account_id, loop)  # the tenant has an OAuth client of another project now

    def _project(self, grantor: Grantor) -> str:
        return self._job.project(grantor.tenant, uses_delegation=grantor.uses_delegation)

    async def _sync_with(self, slots: DeferredSemaphore, account_id: int, loop: _Loop) -> _Synced | float | None:
        is_requested = slots is self._priority_slots
        await _queue(loop, slots.acquire(), is_requested=is_requested)
        try:
            begun = await self._job.begin(account_id)
            if begun is None:
                return None
            account = begun.account
            if self._is_revoked(account):
                # The sync makes no call, even when a person has requested the sync.
                now, postpone = self._clock.seconds(), partial(sync_state.postpone, reason=ConsentRevoked.code)
                await self._leader.store.run(postpone, account, now, None, begun_at=now)
                return None
            # A person may have requested the sync since the sync was queued.
            is_requested = is_requested or account.requested_sync is not None
            wait = self._circuits.of(Grantor.of(account)).wait(self._clock.seconds())
            return await (self._sync(begun, loop) if is_requested or not wait else self._postpone(account, wait))
        finally:
            slots.release()

    def _is_revoked(self, account: Account) -> bool:
        """Return whether the consent has ended for a cause that still exists, or the user has left."""
        by_client = account.error is not None and account.error.facts.get("by") == "client"
        is_client_back = by_client and account.client_id == self._job.client(account).client_id
        return account.has_left or (account.revoked and not is_client_back)

    async def _postpone(self, account: Account, wait: float) -> float:
        """Postpone the sync while the circuit is open; a successful trial of another account closes the circuit."""
        now, grantor = self._clock.seconds(), Grantor.of(account)
        reason = self._circuits.of(grantor).code
        # The tenant's alarm shows the error of an OAuth client, so such an error is not stored for each account.
        code = "" if reason in TENANT_CODES and not grantor.uses_delegation else reason
        wait += min(self._interval, SPREAD_SECONDS) * self._random()
        postpone = partial(sync_state.postpone, reason=reason, begun_at=now, is_outage=True)
        await self._leader.store.run(postpone, account, now, now + wait, code)
        self._circuits.await_end(account.id, grantor, reason)
        return wait

    async def _sync(self, begun: BegunSync, loop: _Loop) -> _Synced:
        """Sync an account, and the directory if the account is the directory account; update the circuit breaker."""
        account, now, grantor = begun.account, self._clock.seconds(), Grantor.of(begun.account)
        self._require_loop(account, loop)
        end = SyncEnd(now, retry.after_success(self._interval, self._random()))
        untried = self._circuits.begin_trial(grantor, now)
        loop.called_at = now
        full = account.pending_sync in (SyncRequest.FULL, SyncRequest.ACCEPT)
        error, applied = await self._sync_account(begun, end, full=full)
        self._require_loop(account, loop)
        active = (key for key, its in self._loops.items() if its.grantor == grantor and (its.next or its.run))
        error = self._circuits.common_error(account, error, active)
        changed, has_called = applied.changed, applied.has_called
        is_closed = has_called and self._circuits.end_trial(account, error, self._clock.seconds(), self._random())
        if not applied.is_ended and (error is None or isinstance(error, SuspiciousShrink | BadResponse)):
            own_error = error.code if error is not None else ""
            directory_error, directory_changed = await self._sync_directory(account, full=full, own_error=own_error)
            self._require_loop(account, loop)
            changed, error = bool(directory_changed) or changed, directory_error or error
            if directory_error is not None or (directory_changed is not None and not has_called):
                has_called = True
                is_closed |= self._circuits.end_trial(account, error, self._clock.seconds(), self._random())
                # The sync of the account may have closed the circuit, and the sync of the Workspace directory may have
                # opened the circuit again.
                is_closed &= not self._circuits.of(grantor).is_open
        if not has_called:
            self._circuits.withdraw_trial(grantor, now, untried)
        if is_closed:
            await self._circuits.clear_alarm(grantor)
            self._start_released(grantor)
        if is_closed or (has_called and error is None):
            self._start_released(self._project(grantor))
        return _Synced(account, error, replace(applied, changed=changed, has_called=has_called), end)

    def _require_loop(self, account: Account, loop: _Loop) -> None:
        """End a sync whose loop was stopped, for example because this gateway is no longer the leader."""
        if self._loops.get(account.id) is not loop:
            raise CancelledError

    async def _conclude(self, synced: _Synced) -> float | None:
        """Publish the changes of a sync, record its end, and return the seconds until the next sync."""
        account = synced.account
        if synced.applied.changed:
            # The contacts are published before the success is recorded, because a person who sees the success may
            # search for a contact on a phone at once.
            await self._publish(account.id)
        is_unproven = synced.error is None and not synced.applied.has_called and not synced.applied.is_ended
        if is_unproven and self._circuits.of(Grantor.of(account)).is_open:
            return await self._postpone(account, synced.end.wait)
        begun_at, now = synced.end.begun_at, self._clock.seconds()
        if synced.error is not None:
            self._observe(_result(synced.error), now - begun_at)
            return await self._record_failure(account, synced.error, begun_at)
        if not synced.applied.is_ended and not await self._leader.store.run(
            sync_state.end, account, now, now + synced.end.wait, begun_at=begun_at
        ):
            log.info(
                "sync of account {account} has no result: the account was removed, disconnected or connected anew",
                event="sync_account_gone",
                tenant=account.tenant,
                account=account.id,
            )
            return synced.end.wait
        self._observe(_result(None), now - begun_at)
        log.debug(
            "sync of account {account} has succeeded", event="sync_done", tenant=account.tenant, account=account.id
        )
        return synced.end.wait

    async def _sync_account(self, begun: BegunSync, end: SyncEnd, *, full: bool) -> tuple[Exception | None, Applied]:
        """Sync the account's own sources; return the error, and what the sync has written."""
        account = begun.account
        try:
            circuit = self._circuits.of(Grantor.of(account))
            # While the circuit is open, the transaction of the result does not record the end of the sync.  `_conclude`
            # records the end later, but only if the sync has called Google.
            end_now = None if circuit.is_open else end
            sync = partial(self._job.sync, max_loss=account.max_loss("book"), account_count=len(self._loops))
            return None, await sync(begun, full=full, end=end_now, tries_client=circuit.code == ClientRejected.code)
        except (CancelledError, LeadLost, SyncOutdated):
            raise
        except Exception as error:  # noqa: BLE001  an unexpected error must not end the account's loop
            log_error("sync of account {account}", account, error)
            return error, Applied(changed=False)

    async def _sync_directory(
        self, account: Account, *, full: bool, own_error: str
    ) -> tuple[GoogleError | None, bool | None]:
        """Sync the tenant's directory if the account is the directory account.

        :returns: an error that concerns all sources of the account, and the result of `SyncJob.sync_directory`.
        """
        try:
            max_loss = account.max_loss("directory")
            return None, await self._job.sync_directory(account, full=full, max_loss=max_loss, own_error=own_error)
        except (CancelledError, LeadLost, SyncOutdated):
            raise
        except Exception as error:  # noqa: BLE001  an unexpected error must not end the account's loop
            log_error("sync of the directory through account {account}", account, error)
            if isinstance(error, (ConsentRevoked, *TENANT_ERRORS)):
                # If the account has no sources of its own, this sync of the directory is the first to call Google and
                # to notice the error.
                return error, None
            google_error = error if isinstance(error, GoogleError) else GoogleError()
            wait = retry.after_failure(google_error, 1, self._interval, self._random()) or MAX_WAIT
            await self._job.record_directory_failure(account, google_error, self._clock.seconds() + wait)
            await self._start_successor(account)
            return None, None

    async def _start_successor(self, account: Account) -> None:
        """Start the sync of the next directory account soon, unless that account's own syncs fail."""
        next_id = await self._job.next_directory_account(account.tenant)
        successor = await self._store.read(accounts.read, next_id) if next_id not in (None, account.id) else None
        loop = self._loops.get(successor.id) if successor is not None and not successor.failures else None
        if successor is not None and loop is not None and loop.next is not None:
            self._start(successor.id, loop, 1.0 + self._random())

    def _start_released(self, event: Grantor | str) -> None:
        """Sync the accounts that have awaited an event (`CircuitBreakers.release`), spread over a minute.

        After an outage, an account first waits until an interval has passed since its last call to Google.  Without
        this wait, an account that fails again and again would call Google after each successful sync of another
        account.
        """
        now, spread = self._clock.seconds(), min(self._interval, SPREAD_SECONDS)
        for account_id in self._circuits.release(event):
            loop = self._loops.get(account_id)
            if loop is not None and loop.next is not None:
                rest = min(max(loop.called_at + self._interval - now, 0.0), self._interval)
                least, most = (1.0, spread) if isinstance(event, Grantor) else (rest + 0.1 * spread, 0.9 * spread)
                self._start(account_id, loop, least + most * self._random())

    async def _record_failure(self, account: Account, error: Exception, begun_at: float) -> float | None:
        """Record a failure; return the seconds until the next attempt, or None if a person has to act first."""
        wait = retry.after_failure(error, account.failures + 1, self._interval, self._random())
        now = self._clock.seconds()
        if isinstance(error, TENANT_ERRORS):
            wait = self._circuits.of(Grantor.of(account)).wait(now)  # only one account of the tenant keeps trying
        next_sync = None if wait is None else now + wait
        code, facts = _result(error), error.facts if isinstance(error, GoogleError) else {}
        if isinstance(error, TENANT_ERRORS) and await self._circuits.raise_alarm(account, error, now):
            await self._leader.store.run(sync_state.postpone, account, now, next_sync, reason=code, begun_at=begun_at)
        else:
            await self._leader.store.run(sync_state.fail, account, code, now, next_sync, facts=facts, begun_at=begun_at)
        if isinstance(error, GoogleError) and error.retry_after is None:
            self._circuits.await_end(account.id, Grantor.of(account), code)
        if wait is None:
            await self._start_successor(account)
        return wait


def _result(error: Exception | None) -> str:
    """Return ``ok``, or the code of an error."""
    return "ok" if error is None else error.code if isinstance(error, GoogleError) else "internal"


async def _queue(loop: _Loop, place: Deferred[Any], *, is_requested: bool = False) -> None:
    """Wait in a queue; a person's request ends the wait of a sync that a timer has started."""
    loop.queued = None if is_requested else place
    try:
        await place
    finally:
        loop.queued = None
