# SPDX-License-Identifier: MIT
"""Retries: the wait until an account's next sync, and the circuit breakers of accounts that fail together.

*Back-off* functions are pure.  An interval is the seconds between successful syncs, and a jitter is a random number
from 0 to 1.  The first wait is the interval, so that an account that fails never calls Google more often than a healthy
account.  Waits double from failure to failure up to a cap; half of a wait is random ("equal jitter"), so that accounts
which failed together do not retry together.  A wait that Google asks for is a minimum.

When Google is down, or a tenant's OAuth client is rejected, all accounts of the tenant would fail for the same reason.
Then the tenant's *circuit breaker* is open: only one account at a time tries to sync.  This sync is a trial, and the
success of a trial lets all accounts sync.  After an outage, a success also ends the waits of all accounts of the same
Google project.  Times are seconds since the epoch.  `CircuitBreakers` is mutable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.errors import (
    ApiDisabled,
    BadResponse,
    ClientRejected,
    ConsentRevoked,
    DelegationRefused,
    GoogleError,
    GoogleRefused,
    GoogleUnavailable,
    NetworkFailure,
    QuotaExceeded,
    ScopeMissing,
    StoreError,
    SuspiciousShrink,
    UnknownRefusal,
)
from ldapgw.google.delegation import REFUSED_TENANT
from ldapgw.peers.leadership import Leader
from ldapgw.store import tenants
from ldapgw.store.accounts import Account

MINUTE = 60.0
HOUR = 3600.0
DAY = 86400.0
# Google's quota of full syncs is small and fixed, so these waits are minutes, not seconds.
FULL_SYNC_WAITS = (300.0, 900.0, HOUR)
# The times of the first trials, in seconds since Google first answered that the People API is not enabled; later trials
# are hourly.  New administrators often forget to enable the API; enabling the API takes minutes to have an effect.
API_DISABLED_TRIALS = (120.0, 420.0, 1020.0)
# The circuit opens when this many accounts in a row could not reach Google, which is no coincidence.
FAILURES_TO_OPEN = 3
# The longest wait between two trials in an outage; this wait is short because only a trial shows the end of the outage.
# An account that fails waits for at least an interval, so another account makes the next trial.
MAX_OPEN_SECONDS = 300.0
# The seconds for which the other accounts wait for the outcome of a trial.  The call of a trial takes no longer.
TRIAL_SECONDS = 90.0

# Errors of a tenant's OAuth client, not of an account.
TENANT_ERRORS = (ClientRejected, ApiDisabled)
# Errors which show that no account can use Google now.
OUTAGE_ERRORS = (GoogleUnavailable, NetworkFailure)
TENANT_CODES = frozenset(error.code for error in TENANT_ERRORS)
_OUTAGE_CODES = frozenset(error.code for error in OUTAGE_ERRORS)

log = Logger()


# --- back-off ---


def after_success(interval: float, jitter: float) -> float:
    """Return the seconds until the next sync: the interval, varied by a tenth so that syncs do not coincide."""
    return interval * (0.9 + 0.2 * jitter)


def after_failure(error: Exception, failures: int, interval: float, jitter: float) -> float | None:
    """Return the seconds until the next attempt, or None if a person has to act first.

    :param failures: the number of failed syncs in a row, this failure included.
    """
    if isinstance(error, ConsentRevoked | ScopeMissing):
        return None
    minimum = after_success(interval, jitter)
    if isinstance(error, ClientRejected | ApiDisabled | GoogleRefused | DelegationRefused):
        return max(HOUR * (0.9 + 0.2 * jitter), minimum)
    if isinstance(error, SuspiciousShrink):
        # Each attempt is a full listing, of which Google allows few.
        return max(_doubled(HOUR, failures, DAY) * (1.0 + 0.2 * jitter), minimum)
    retry_after = error.retry_after if isinstance(error, GoogleError) else None
    if retry_after is not None:
        minimum = max(retry_after + min(retry_after, MINUTE) * jitter, minimum)
    if isinstance(error, QuotaExceeded):
        return max(_after_quota(error, failures, jitter), minimum)
    # An answer that makes no sense will hardly make sense an hour later, and each attempt may be a full listing.
    longest = DAY if isinstance(error, BadResponse) and not isinstance(error, UnknownRefusal) else HOUR
    return max(_doubled(interval, failures, longest) * (0.5 + 0.5 * jitter), minimum)


def after_source_failure(error: GoogleError, failing_seconds: float) -> float:
    """Return the seconds until the next attempt to fetch a failed source of an account whose contacts were fetched.

    :param failing_seconds: seconds since the first failure.  The wait grows with this time, at most to an hour, or to
        half a day if Google's answer makes no sense (`BadResponse`).
    """
    longest = DAY / 2 if isinstance(error, BadResponse) else HOUR
    return max(after_failure(error, 1, 0.0, 1.0) or 0.0, min(failing_seconds, longest))


def _after_quota(error: QuotaExceeded, failures: int, jitter: float) -> float:
    """Return the wait after an exceeded quota.

    Quotas are per minute, except the quota of full syncs, whose period is unknown.
    """
    if error.full_sync:
        return FULL_SYNC_WAITS[min(failures, len(FULL_SYNC_WAITS)) - 1] * (1.0 + jitter)
    return MINUTE + _doubled(MINUTE, failures, HOUR) * jitter


def _doubled(first: float, failures: int, cap: float) -> float:
    return min(first * 2.0 ** min(failures - 1, 16), cap)


# --- circuit breakers ---


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """The circuit breaker of all accounts that use a tenant's OAuth client, or that use the tenant's service account.

    The circuit is open while none of these accounts can sync.

    :ivar failed: ids of the accounts that could not reach Google since Google last answered one of the accounts.
    :ivar trips: the number of failures that have opened the circuit, or kept the circuit open, since the circuit was
        last closed.
    :ivar until: the time until which no account syncs, or None if the circuit is closed.
    :ivar code: the error code that opened the circuit.
    :ivar since: the time of the first error of `code` if `code` belongs to `TENANT_ERRORS`, otherwise None.
    """

    failed: frozenset[int] = frozenset()
    trips: int = 0
    until: float | None = None
    code: str = ""
    since: float | None = None

    @property
    def is_open(self) -> bool:
        """Return whether accounts have to wait for a trial."""
        return self.until is not None

    def wait(self, now: float) -> float:
        """Return the seconds to wait: two hours at most, because a clock that was ahead may have set `until`."""
        return min(max(self.until - now, 0.0), 2 * HOUR) if self.until is not None else 0.0

    def begin_trial(self, now: float) -> CircuitBreaker:
        """Return the state of the circuit breaker while one account tries a sync and the other accounts wait."""
        return replace(self, until=now + TRIAL_SECONDS) if self.is_open else self

    def after_outcome(
        self, error: Exception | None, account_id: int, now: float, interval: float, jitter: float
    ) -> CircuitBreaker:
        """Return the circuit breaker after an account's sync.

        :param error: the error of the sync, or None if the sync succeeded.
        """
        if isinstance(error, TENANT_ERRORS):
            since = self.since if self.since is not None and self.code == error.code else now
            trials = [since + trial for trial in API_DISABLED_TRIALS if isinstance(error, ApiDisabled)]
            until = next((trial for trial in trials if now < trial), now + HOUR * (0.9 + 0.2 * jitter))
            return replace(self, trips=self.trips + 1, until=until, code=error.code, since=since)
        if isinstance(error, OUTAGE_ERRORS):
            failed = self.failed | {account_id}
            if len(failed) < FAILURES_TO_OPEN and not self.is_open:
                return replace(self, failed=failed)
            until = now + self._open_seconds(error, interval, jitter)
            return replace(self, failed=failed, trips=self.trips + 1, until=until, code=self.code or error.code)
        if isinstance(error, QuotaExceeded) and self.is_open:
            # Google answers again and wants fewer calls, so the circuit stays open.
            return replace(self, until=now + self._open_seconds(error, interval, jitter))
        return CircuitBreaker() if self._is_refuted(error) else self

    def after_outage(self) -> CircuitBreaker:
        """Return the circuit breaker after Google has answered another account.

        The circuit is closed, unless one of the `TENANT_ERRORS` has opened the circuit.
        """
        return self if self.code in TENANT_CODES else CircuitBreaker()

    def _open_seconds(self, error: GoogleError, interval: float, jitter: float) -> float:
        """Return the seconds until the next trial.

        The wait doubles with each failure that opens the circuit or keeps the circuit open (`trips`), up to the
        interval or `MAX_OPEN_SECONDS`, whichever is shorter.  Up to half of the wait is taken off at random.  Google
        may ask for a longer wait.
        """
        longest = min(MAX_OPEN_SECONDS, interval)
        seconds = min(MINUTE * 2.0 ** min(self.trips, 16), longest) * (0.5 + 0.5 * jitter)
        return max(seconds, error.retry_after or 0.0)

    def _is_refuted(self, error: Exception | None) -> bool:
        """Return whether an outcome shows that the cause of the open circuit is over.

        An internal error of ldapgw says nothing about Google.
        """
        if error is None:
            return True
        if self.code == ClientRejected.code:
            return isinstance(error, ConsentRevoked)
        return isinstance(error, GoogleError) and self.code != ApiDisabled.code


class Grantor(NamedTuple):
    """The tenant's OAuth client or service account; the accounts with the same grantor would fail together."""

    tenant: str
    uses_delegation: bool

    @classmethod
    def of(cls, account: Account) -> Grantor:
        return cls(account.tenant, account.uses_delegation)


class CircuitBreakers:
    """The circuit breakers of all grantors, the tenants' alarms, and the events that accounts await.

    :param interval: seconds between syncs of an account.
    :param project: returns the Google project whose quota the accounts of a grantor use.
    """

    def __init__(self, leader: Leader, interval: float, project: Callable[[Grantor], str]) -> None:
        self._leader = leader
        self._interval = interval
        self._project = project
        self._breakers: dict[Grantor, CircuitBreaker] = {}
        # The event that each waiting account awaits, by the account's id.  There are two kinds of events:
        # * Google accepts a tenant's OAuth client or service account again.  The event is the `Grantor`.
        # * Google answers the requests of a Google project again.  The event is the name of the project.
        # `_waiting` has the ids and grantors of the waiting accounts, by event, so that `release` need not search all
        # accounts.
        self._awaited: dict[int, Grantor | str] = {}
        self._waiting: dict[Grantor | str, dict[int, Grantor]] = {}
        # The ids of the accounts that cannot sync because Google has refused the tenant's OAuth client.
        self._refused: set[int] = set()

    def of(self, grantor: Grantor) -> CircuitBreaker:
        return self._breakers.get(grantor, CircuitBreaker())

    def add(self, account: Account, now: float) -> None:
        """Add an account; restore the circuit breaker and the wait that follow from its stored alarm and error."""
        grantor, alarm, error = Grantor.of(account), account.alarm, account.error
        code = error.code if error is not None and (account.failures or error.code in TENANT_CODES) else ""
        if alarm is not None:
            code = alarm.code
            self._breakers.setdefault(grantor, CircuitBreaker(until=now, code=code, since=alarm.since))
        self.await_end(account.id, grantor, code)

    def clear(self) -> None:
        """Close all circuits."""
        self._breakers.clear()

    def remove(self, account_id: int) -> None:
        self._end_wait(account_id)
        self._refused.discard(account_id)

    def await_end(self, account_id: int, grantor: Grantor, code: str) -> None:
        """Let an account wait for the end of an error (`release`).

        The account waits only if an error with this code concerns all accounts of the grantor or of the Google project.
        """
        self._end_wait(account_id)
        if code in TENANT_CODES or code in _OUTAGE_CODES:
            event = self._awaited[account_id] = grantor if code in TENANT_CODES else self._project(grantor)
            self._waiting.setdefault(event, {})[account_id] = grantor

    def _end_wait(self, account_id: int) -> None:
        event = self._awaited.pop(account_id, None)
        if event is not None:
            del self._waiting[event][account_id]

    def release(self, event: Grantor | str) -> list[int]:
        """Return the accounts that have awaited an event; the end of an outage also closes their circuits.

        :param event: the grantor that Google accepts again, or the Google project that has had an answer.
        """
        released = self._waiting.pop(event, {})
        for account_id, grantor in released.items():
            del self._awaited[account_id]
            if event != grantor:
                self._breakers[grantor] = self.of(grantor).after_outage()
        return list(released)

    def begin_trial(self, grantor: Grantor, now: float) -> CircuitBreaker:
        """Let other accounts wait for a sync's outcome if the circuit is open; return the state before the trial."""
        untried = self.of(grantor)
        self._breakers[grantor] = untried.begin_trial(now)
        return untried

    def withdraw_trial(self, grantor: Grantor, now: float, untried: CircuitBreaker) -> None:
        """Undo `begin_trial` if the sync made no call to Google and no other sync has changed the circuit breaker."""
        if self.of(grantor) == untried.begin_trial(now):
            self._breakers[grantor] = untried

    def end_trial(self, account: Account, error: Exception | None, now: float, jitter: float) -> bool:
        """Update the circuit breaker after an account's calls; return True if the circuit is no longer open."""
        before = self.of(Grantor.of(account))
        after = self._breakers[Grantor.of(account)] = before.after_outcome(
            error, account.id, now, self._interval, jitter
        )
        return before.is_open and not after.is_open

    def common_error(self, account: Account, error: Exception | None, active: Iterable[int]) -> Exception | None:
        """Return the error of an account's sync, or `ClientRejected` if Google refuses the client to all accounts.

        :param active: ids of the accounts with the same grantor, except the accounts that wait until a person acts.
        """
        if not isinstance(error, GoogleRefused) or error.by != "client" or account.client_id is None:
            self._refused.discard(account.id)
            return error
        self._refused.add(account.id)
        return ClientRejected("unauthorized_client for all accounts") if self._refused.issuperset(active) else error

    async def raise_alarm(self, account: Account, error: GoogleError, now: float) -> bool:
        """Report one of the `TENANT_ERRORS`; return True if the tenant's alarm shows the error.

        The alarm shows errors of OAuth clients, and no errors of service accounts.
        """
        if account.uses_delegation:
            if account.error is None or account.error.code != error.code:
                log.error(
                    "tenant {tenant}: Google refuses the service account: {code} {detail}",
                    event="service_account_refused",
                    tenant=account.tenant,
                    code=error.code,
                    detail=error.detail,
                )
            return False
        link = error.activation_url if isinstance(error, ApiDisabled) else ""
        if await self._leader.store.run(tenants.raise_alarm, account.tenant, error.code, now, link):
            log.error(
                "tenant {tenant}: no account can sync: {code} {detail}",
                event="client_refused",
                tenant=account.tenant,
                code=error.code,
                detail=error.detail,
            )
        return True

    async def clear_alarm(self, grantor: Grantor) -> None:
        """End the alarm of a tenant whose OAuth client Google accepts again."""
        tenant = grantor.tenant
        if not grantor.uses_delegation and await self._leader.store.run(tenants.clear_alarm, tenant):
            log.info("tenant {tenant}: Google accepts the OAuth client again", event="client_accepted", tenant=tenant)


def log_error(what: str, account: Account, error: Exception) -> None:
    """Log an error of a sync, except errors of a whole tenant, which are logged once for all accounts."""
    if isinstance(error, TENANT_ERRORS) or (isinstance(error, DelegationRefused) and error.refusal in REFUSED_TENANT):
        return
    if isinstance(error, GoogleError):
        log.warn(
            what + " failed: {code} {detail}",
            event="sync_failed",
            tenant=account.tenant,
            account=account.id,
            code=error.code,
            detail=error.detail,
        )
    elif isinstance(error, StoreError):
        # `MonitoredStore` logs the problem once, for all accounts.
        log.debug(
            what + " cannot use the database: {problem}",
            event="sync_interrupted",
            tenant=account.tenant,
            account=account.id,
            problem=error.problems[0],
        )
    else:
        log.failure(what + " failed", Failure(error), event="sync_fault", tenant=account.tenant, account=account.id)
