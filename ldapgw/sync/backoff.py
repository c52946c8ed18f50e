# SPDX-License-Identifier: MIT
"""Back-off: the wait until an account's next sync, after each way in which a sync can end.

The functions are pure.  An interval is the seconds between successful syncs, and a jitter is a random number from 0 to
1.  The first wait is the interval, so that an account that fails never calls Google more often than a healthy account.
Waits double from failure to failure up to a cap; half of a wait is random ("equal jitter"), so that accounts which
failed together do not retry together.  A wait that Google asks for is a minimum.
"""

from __future__ import annotations

from ldapgw.errors import (
    ApiDisabled,
    BadResponse,
    ClientRejected,
    ConsentRevoked,
    DelegationRefused,
    GoogleError,
    GoogleRefused,
    QuotaExceeded,
    ScopeMissing,
    SuspiciousShrink,
    UnknownRefusal,
)

MINUTE = 60.0
HOUR = 3600.0
DAY = 86400.0
# Google's quota of full syncs is small and fixed, so these waits are minutes, not seconds.
FULL_SYNC_WAITS = (300.0, 900.0, HOUR)


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
