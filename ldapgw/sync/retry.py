# SPDX-License-Identifier: MIT
"""When to sync next: a pure function of how the last sync ended."""

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

FIRST_WAIT = 30.0
HOUR = 3600.0
DAY = 86400.0
# The quota of full syncs is small and fixed: minutes, not seconds.
QUOTA_WAITS = (300.0, 900.0, HOUR)


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
        return min(HOUR * 2.0 ** min(failures - 1, 16), DAY) * (0.9 + 0.2 * jitter)
    wait = min(FIRST_WAIT * 2.0 ** min(failures - 1, 16), max(interval, FIRST_WAIT), HOUR)
    if isinstance(error, QuotaExceeded):
        wait = QUOTA_WAITS[min(failures, len(QUOTA_WAITS)) - 1]
    wait *= 0.5 + 0.5 * jitter
    asked = error.retry_after if isinstance(error, GoogleError) else None
    return max(wait, asked or 0.0)
