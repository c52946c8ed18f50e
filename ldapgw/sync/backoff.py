# SPDX-License-Identifier: MIT
"""When to sync next: a pure function of how the last sync ended.

Waits double from failure to failure up to a cap, and a random part of each is waited ("full jitter"), so that accounts
that failed together do not come back together.  What Google asks us to wait is waited in any case.

When not to ask Google at all: a circuit for each tenant.  Pure.

Where Google as a whole is down, or the tenant's client is wrong, every account would fail alike.  Then the circuit is
open: nobody asks, but one account now and then, and once that goes well everybody does again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ldapgw.errors import (
    ApiDisabled,
    ClientRejected,
    ConsentRevoked,
    GoogleError,
    GoogleUnavailable,
    NetworkFailure,
    QuotaExceeded,
    ScopeMissing,
    SuspiciousShrink,
)

MIN_WAIT = 1.0
FIRST_WAIT = 30.0
MINUTE = 60.0
HOUR = 3600.0
DAY = 86400.0
# The quota of full syncs is small and fixed: minutes, not seconds.
FULL_SYNC_WAITS = (300.0, 900.0, HOUR)


def after_success(interval: float, jitter: float) -> float:
    """Seconds until the next sync: the interval, a tenth more or less, so that accounts do not march in step.

    :param jitter: a random number from 0 to 1.
    """
    return interval * (0.9 + 0.2 * jitter)


def after_failure(error: Exception, failures: int, interval: float, jitter: float) -> float | None:
    """Seconds until the next try; None: not before a person acts.

    :param error: what the sync ended with.
    :param failures: how many failed in a row, this one included.
    :param jitter: a random number from 0 to 1.
    """
    if isinstance(error, ConsentRevoked | ScopeMissing):
        return None
    if isinstance(error, ClientRejected | ApiDisabled):
        return HOUR * (0.9 + 0.2 * jitter)
    if isinstance(error, SuspiciousShrink):
        # Each try is a full listing, of which Google allows few.
        return _doubled(HOUR, failures, DAY) * (0.9 + 0.2 * jitter)
    asked = error.retry_after if isinstance(error, GoogleError) else None
    least = asked + min(asked, MINUTE) * jitter if asked is not None else MIN_WAIT
    if isinstance(error, QuotaExceeded):
        return max(_after_quota(error, failures, jitter), least)
    return max(_doubled(FIRST_WAIT, failures, min(max(interval, FIRST_WAIT), HOUR)) * jitter, least)


def after_source_failure(error: GoogleError, failing_seconds: float) -> float:
    """Seconds until a source is asked for again that could not be had, though the account's contacts could.

    :param lasted: seconds since that came first: it is waited for twice as long as before, up to an hour.
    """
    return max(after_failure(error, 1, HOUR, 1.0) or HOUR, min(failing_seconds, HOUR))


def _after_quota(error: QuotaExceeded, failures: int, jitter: float) -> float:
    """Quotas are for a minute; that of full syncs is another, of unknown length."""
    if error.full_sync:
        return FULL_SYNC_WAITS[min(failures, len(FULL_SYNC_WAITS)) - 1] * (1.0 + jitter)
    return MINUTE + _doubled(MINUTE, failures, HOUR) * jitter


def _doubled(first: float, failures: int, cap: float) -> float:
    return min(first * 2.0 ** min(failures - 1, 16), cap)


# So many accounts in a row that cannot reach Google are no accident.
FAILURES_TO_OPEN = 3
MAX_OPEN_SECONDS = 900.0
# Whoever tries for all needs at most so long for one call; the others wait for what comes of it.
TRIAL_SECONDS = 90.0

_TENANT_ERRORS = (ClientRejected, ApiDisabled)
_OUTAGE_ERRORS = (GoogleUnavailable, NetworkFailure)


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """What is known of Google as a tenant sees it.

    :ivar failed: accounts that could not reach Google, with no other outcome in between.
    :ivar trips: how often it has opened since it was last closed.
    :ivar until: until when nobody asks, in seconds since the epoch; None where it is closed.
    :ivar code: the error code that opened it.
    """

    failed: frozenset[int] = frozenset()
    trips: int = 0
    until: float | None = None
    code: str = ""

    @property
    def is_open(self) -> bool:
        """Whether accounts do not ask as they like."""
        return self.until is not None

    def wait(self, now: float) -> float:
        """Seconds that an account still has to wait; a clock that was wrong does not make it longer."""
        return min(max(self.until - now, 0.0), 2 * HOUR) if self.until is not None else 0.0

    def begin_trial(self, now: float) -> CircuitBreaker:
        """One account asks now; the others wait for what comes of it."""
        return replace(self, until=now + TRIAL_SECONDS) if self.is_open else self

    def after_outcome(self, error: Exception | None, account_id: int, now: float, jitter: float) -> CircuitBreaker:
        """What is known after an account has asked.

        :param error: what came of it; None: it went well.
        :param jitter: a random number from 0 to 1.
        """
        if isinstance(error, _TENANT_ERRORS):
            return replace(self, trips=self.trips + 1, until=now + HOUR * (0.9 + 0.2 * jitter), code=error.code)
        if isinstance(error, _OUTAGE_ERRORS):
            failed = self.failed | {account_id}
            if len(failed) < FAILURES_TO_OPEN and not self.is_open:
                return replace(self, failed=failed)
            until = now + self._open_seconds(error, jitter)
            return replace(self, failed=failed, trips=self.trips + 1, until=until, code=self.code or error.code)
        if isinstance(error, QuotaExceeded) and self.is_open:
            # Google answers again, and wants fewer calls: this is no time for all to come back.
            return replace(self, until=now + self._open_seconds(error, jitter))
        return CircuitBreaker() if self._is_refuted(error) else self

    def _open_seconds(self, error: GoogleError, jitter: float) -> float:
        """Seconds that nobody asks, longer from time to time, and as long as Google says in any case."""
        own = min(MINUTE * 2.0 ** min(self.trips, 16), MAX_OPEN_SECONDS) * (0.5 + 0.5 * jitter)
        return max(own, error.retry_after or 0.0)

    def _is_refuted(self, error: Exception | None) -> bool:
        """Whether an outcome shows that what opened the circuit is over; a fault of ours shows nothing."""
        if error is None:
            return True
        if self.code == ClientRejected.code:
            return isinstance(error, ConsentRevoked)
        return isinstance(error, GoogleError) and self.code != ApiDisabled.code
