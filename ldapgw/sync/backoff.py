# SPDX-License-Identifier: MIT
"""Back-off after failed syncs: the wait until an account's next sync, and a circuit breaker for each tenant.

The functions and classes are pure.  An interval is the seconds between successful syncs, a jitter is a random number
from 0 to 1, and times are seconds since the epoch.  The first wait is the interval, so that an account that fails never
calls Google more often than a healthy account.  Waits double from failure to failure up to a cap; half of a wait is
random ("equal jitter"), so that accounts which failed together do not retry together.  A wait that Google asks for is a
minimum.

When Google is down, or a tenant's OAuth client is rejected, all accounts of the tenant would fail for the same reason.
Then the tenant's circuit breaker is open: only one account at a time tries to sync.  This sync is a trial, and the
success of a trial lets all accounts sync.  After an outage, a success also ends the waits of all accounts of the same
Google project (`ldapgw.sync.scheduler`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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
    SuspiciousShrink,
    UnknownRefusal,
)

MINUTE = 60.0
HOUR = 3600.0
DAY = 86400.0
# The times of the first trials, in seconds since Google first answered that the People API is not enabled; later trials
# are hourly.  New administrators often forget to enable the API; enabling the API takes minutes to have an effect.
API_DISABLED_TRIALS = (120.0, 420.0, 1020.0)
# Google's quota of full syncs is small and fixed, so these waits are minutes, not seconds.
FULL_SYNC_WAITS = (300.0, 900.0, HOUR)
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
        return self if self.code in {error.code for error in TENANT_ERRORS} else CircuitBreaker()

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
