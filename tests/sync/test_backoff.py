# SPDX-License-Identifier: MIT
"""When to sync next, after each way that a sync can end."""

from __future__ import annotations

import pytest

from ldapgw.errors import (
    ApiDisabled,
    BadResponse,
    ClientRejected,
    ConsentRevoked,
    GoogleError,
    GoogleRefused,
    GoogleUnavailable,
    NetworkFailure,
    QuotaExceeded,
    ScopeMissing,
    SuspiciousShrink,
)
from ldapgw.sync.retry import after_failure, after_source_failure, after_success

TEN_MINUTES, MINUTE = 600.0, 60.0


@pytest.mark.parametrize(("jitter", "wait"), [(0.0, 540.0), (0.5, 600.0), (1.0, 660.0)])
def test_after_a_good_sync(jitter: float, wait: float) -> None:
    """The interval, a tenth more or less."""
    assert after_success(TEN_MINUTES, jitter) == pytest.approx(wait)


# error, failures in a row, interval, seconds with the least and with the most jitter
CASES = {
    "consent gone: not before a person acts": (ConsentRevoked(), 1, TEN_MINUTES, None, None),
    "box not ticked: not before a person acts": (ScopeMissing(), 1, TEN_MINUTES, None, None),
    "the client is wrong: hourly": (ClientRejected(), 9, TEN_MINUTES, 3240.0, 3960.0),
    "the API is off: hourly": (ApiDisabled(), 1, TEN_MINUTES, 3240.0, 3960.0),
    "a shrunk book: hourly, each try is a full listing": (SuspiciousShrink(20, 11), 1, TEN_MINUTES, 3600.0, 4320.0),
    "a shrunk book still: daily": (SuspiciousShrink(20, 11), 9, TEN_MINUTES, 86400.0, 103680.0),
    "first network trouble: as after a good sync": (NetworkFailure(), 1, TEN_MINUTES, 540.0, 660.0),
    "second: half of it is random": (NetworkFailure(), 2, TEN_MINUTES, 600.0, 1200.0),
    "third": (GoogleUnavailable(), 3, TEN_MINUTES, 1200.0, 2400.0),
    "at most an hour": (GoogleUnavailable(), 60, TEN_MINUTES, 1800.0, 3600.0),
    "an answer that makes no sense: at most a day": (BadResponse(), 60, TEN_MINUTES, 43200.0, 86400.0),
    "never sooner than a healthy account": (NetworkFailure(), 60, 21600.0, 19440.0, 23760.0),
    "nor when it is refused": (GoogleRefused(), 1, 21600.0, 19440.0, 23760.0),
    "nor by a quota": (QuotaExceeded(), 1, 21600.0, 19440.0, 23760.0),
    "an interval of a second does not hammer": (GoogleUnavailable(), 5, 1.0, 8.0, 16.0),
    "quota: another interval": (QuotaExceeded(), 1, TEN_MINUTES, 540.0, 660.0),
    "quota: the next minute": (QuotaExceeded(), 1, MINUTE, 60.0, 120.0),
    "quota again": (QuotaExceeded(), 2, MINUTE, 60.0, 180.0),
    "quota still": (QuotaExceeded(), 60, MINUTE, 60.0, 3660.0),
    "quota of full syncs: five minutes": (QuotaExceeded(full_sync=True), 1, MINUTE, 300.0, 600.0),
    "of full syncs again: a quarter": (QuotaExceeded(full_sync=True), 2, TEN_MINUTES, 900.0, 1800.0),
    "of full syncs still: an hour": (QuotaExceeded(full_sync=True), 7, TEN_MINUTES, 3600.0, 7200.0),
    "Google's own wish counts": (QuotaExceeded(retry_after=1000.0), 1, TEN_MINUTES, 1000.0, 1060.0),
    "and those who were told together part": (GoogleUnavailable(retry_after=100.0), 1, MINUTE, 100.0, 160.0),
    "a shorter wish does not": (QuotaExceeded(retry_after=1.0), 1, TEN_MINUTES, 540.0, 660.0),
    "nor does at once": (GoogleUnavailable(retry_after=0.0), 1, TEN_MINUTES, 540.0, 660.0),
    "a day": (GoogleUnavailable(retry_after=86400.0), 1, TEN_MINUTES, 86400.0, 86460.0),
    "a fault of ours": (ZeroDivisionError(), 1, TEN_MINUTES, 540.0, 660.0),
}


@pytest.mark.parametrize(("error", "failures", "interval", "least", "most"), CASES.values(), ids=CASES)
def test_after_a_sync_that_failed(
    error: Exception, failures: int, interval: float, least: float | None, most: float | None
) -> None:
    """Seconds until the next try."""
    assert after_failure(error, failures, interval, 0.0) == (None if least is None else pytest.approx(least))
    assert after_failure(error, failures, interval, 1.0) == (None if most is None else pytest.approx(most))


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (BadResponse(), [0.0, 600.0, 43200.0]),
        (GoogleUnavailable(), [0.0, 600.0, 3600.0]),
        (QuotaExceeded(full_sync=True), [600.0, 600.0, 3600.0]),
        (QuotaExceeded(retry_after=7200.0), [7260.0, 7260.0, 7260.0]),
    ],
    ids=["an answer that makes no sense", "an outage", "too many full syncs", "as long as Google says"],
)
def test_a_source_that_cannot_be_had(error: GoogleError, waits: list[float]) -> None:
    """At first, after ten minutes, after a day: twice as long, up to a cap, and not before Google wants it."""
    assert [after_source_failure(error, lasted) for lasted in (0.0, 600.0, 86400.0)] == waits
