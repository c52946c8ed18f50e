# SPDX-License-Identifier: MIT
"""When to sync next: a pure function of how the last sync ended.

Waits double from failure to failure up to a cap, and a random part of each is waited ("full jitter"), so that accounts
that failed together do not come back together.  What Google asks us to wait is waited in any case.
"""

from __future__ import annotations

from ldapgw.errors import (
    ApiDisabled,
    ClientRejected,
    ConsentRevoked,
    GoogleError,
    QuotaExceeded,
    ScopeMissing,
    SuspiciousShrink,
)

LEAST_WAIT = 1.0
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
    least = asked + min(asked, MINUTE) * jitter if asked is not None else LEAST_WAIT
    if isinstance(error, QuotaExceeded):
        return max(_after_quota(error, failures, jitter), least)
    return max(_doubled(FIRST_WAIT, failures, min(max(interval, FIRST_WAIT), HOUR)) * jitter, least)


def of_source(error: GoogleError, lasted: float) -> float:
    """Seconds until a source is asked for again that could not be had, though the account's contacts could.

    :param lasted: seconds since that came first: it is waited for twice as long as before, up to an hour.
    """
    return max(after_failure(error, 1, HOUR, 1.0) or HOUR, min(lasted, HOUR))


def _after_quota(error: QuotaExceeded, failures: int, jitter: float) -> float:
    """Quotas are for a minute; that of full syncs is another, of unknown length."""
    if error.full_sync:
        return FULL_SYNC_WAITS[min(failures, len(FULL_SYNC_WAITS)) - 1] * (1.0 + jitter)
    return MINUTE + _doubled(MINUTE, failures, HOUR) * jitter


def _doubled(first: float, failures: int, cap: float) -> float:
    return min(first * 2.0 ** min(failures - 1, 16), cap)
