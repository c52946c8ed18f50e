# SPDX-License-Identifier: MIT
"""Counters and histograms of what the gateway does, for ``/metrics``.

All counters are mutable.  Counters start at zero for all label values that are known beforehand, so that Prometheus
sees the first event as an increase.  The counters of a page start with the first request for the page.  A thread
renders copies of the counters, because the counters go on counting.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from typing import Final, TypeVar

from ldapgw.directory.filter import SearchKind
from ldapgw.errors import GoogleError, ResultCode
from ldapgw.google.endpoints import CallSource
from ldapgw.ldap.messages import FinishedSearch

K = TypeVar("K")

# Upper bounds of buckets, in seconds.
Bounds = tuple[float, ...]  # mypyc unboxes tuples of fixed length, and may then mistake a value for an unset variable
SEARCH_BOUNDS: Final[Bounds] = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
REACTOR_BOUNDS: Final[Bounds] = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
WAIT_BOUNDS: Final[Bounds] = (0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 30.0)
LAG_BOUNDS: Final[Bounds] = (0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
CALL_BOUNDS: Final[Bounds] = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SYNC_BOUNDS: Final[Bounds] = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
PAGE_BOUNDS: Final[Bounds] = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

# The result codes that the metrics have from the start.  Other result codes are added when they first occur.
_SEARCH_RESULTS: Final = (
    ResultCode.SUCCESS,
    ResultCode.OPERATIONS_ERROR,
    ResultCode.PROTOCOL_ERROR,
    ResultCode.TIME_LIMIT_EXCEEDED,
    ResultCode.SIZE_LIMIT_EXCEEDED,
    ResultCode.ADMIN_LIMIT_EXCEEDED,
    ResultCode.UNAVAILABLE_CRITICAL_EXTENSION,
    ResultCode.INAPPROPRIATE_MATCHING,
    ResultCode.NO_SUCH_OBJECT,
    ResultCode.INVALID_DN_SYNTAX,
    ResultCode.INSUFFICIENT_ACCESS_RIGHTS,
    ResultCode.BUSY,
    ResultCode.UNWILLING_TO_PERFORM,
    ResultCode.SORT_CONTROL_MISSING,
    ResultCode.OFFSET_RANGE_ERROR,
    ResultCode.VIRTUAL_LIST_VIEW_ERROR,
    ResultCode.OTHER,
)
_BIND_RESULTS: Final = (
    ResultCode.SUCCESS,
    ResultCode.PROTOCOL_ERROR,
    ResultCode.AUTH_METHOD_NOT_SUPPORTED,
    ResultCode.CONFIDENTIALITY_REQUIRED,
    ResultCode.SASL_BIND_IN_PROGRESS,
    ResultCode.INVALID_CREDENTIALS,
    ResultCode.UNWILLING_TO_PERFORM,
)
# The statuses of Google that an administrator has to tell apart; other statuses are counted by class, such as 5xx.
_STATUSES: Final = frozenset((400, 401, 403, 404, 410, 429))
LOG_LEVELS: Final = ("debug", "info", "warning", "error", "critical")
GOOGLE_ANSWERS: Final = ("ok", *map(str, sorted(_STATUSES)), "5xx", "other", "error")
PAGE_STATUSES: Final = ("2xx", "3xx", "4xx", "5xx")


class Histogram:
    """The counts of values by bucket.

    :param bounds: the upper bound of each bucket, in rising order; one more bucket counts the values above the last
        bound.
    :ivar counts: the number of values in each bucket, without the values in lower buckets.
    :ivar total: the sum of all values.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count a value; a negative value, from a clock that was set back, counts as zero."""
        if value > 0:
            self.total += value
        self.counts[bisect_left(self.bounds, value)] += 1

    def copied(self) -> Histogram:
        copied = Histogram(self.bounds)
        copied.counts, copied.total = self.counts.copy(), self.total
        return copied


def copied_histograms(histograms: Mapping[K, Histogram]) -> dict[K, Histogram]:
    return {key: histogram.copied() for key, histogram in histograms.items()}


class SearchCounters:
    """The counters of searches; the LDAP server calls `observe` for each search, so `observe` has to be fast."""

    __slots__ = ("durations", "entries", "searches")

    def __init__(self) -> None:
        # A dict in place of a Counter, and no call for each histogram, halve the time of `observe`.
        self.searches: dict[ResultCode, int] = dict.fromkeys(_SEARCH_RESULTS, 0)
        self.durations: dict[SearchKind, Histogram] = {kind: Histogram(SEARCH_BOUNDS) for kind in SearchKind}
        self.entries = 0

    def observe(self, search: FinishedSearch) -> None:
        """Count a finished search."""
        try:
            self.searches[search.code] += 1
        except KeyError:
            self.searches[search.code] = 1
        histogram = self.durations[search.kind]
        histogram.counts[bisect_left(SEARCH_BOUNDS, search.seconds)] += 1
        histogram.total += search.seconds
        self.entries += search.entries

    def copied(self) -> SearchCounters:
        copied = SearchCounters()
        copied.searches, copied.entries = self.searches.copy(), self.entries
        copied.durations = copied_histograms(self.durations)
        return copied


class GoogleCounters:
    """The counters of calls to Google.

    :ivar calls: the number of calls by source and answer.
    :ivar durations: the durations by source.
    """

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str]] = Counter(
            {(source.value, answer): 0 for source in CallSource for answer in GOOGLE_ANSWERS}
        )
        self.durations = {source.value: Histogram(CALL_BOUNDS) for source in CallSource}

    def observe(self, source: str, status: int | None, seconds: float) -> None:
        """Count a call (see `ldapgw.google.http.CallObserver`)."""
        self.calls[source, _answer(status)] += 1
        self.durations[source].observe(seconds)

    def copied(self) -> GoogleCounters:
        copied = GoogleCounters()
        copied.calls, copied.durations = self.calls.copy(), copied_histograms(self.durations)
        return copied


def _answer(status: int | None) -> str:
    if status is None:
        return "error"
    if status in _STATUSES:
        return str(status)
    return {2: "ok", 5: "5xx"}.get(status // 100, "other")


class SyncCounters:
    """The counters of the syncs of accounts.

    :ivar syncs: the number of syncs by result, which is ``ok`` or the code of an error.
    :ivar durations: the durations of successful syncs (``ok``) and of failed syncs.
    :ivar last_good: the time at which the last successful sync ended, in seconds since the epoch, or None if no sync
        has succeeded.
    """

    def __init__(self) -> None:
        self.last_good: float | None = None
        self.syncs: Counter[str] = Counter(dict.fromkeys(("ok", *error_codes()), 0))
        self.durations = {outcome: Histogram(SYNC_BOUNDS) for outcome in ("ok", "failed")}

    def observe(self, result: str, seconds: float, now: float) -> None:
        self.syncs[result] += 1
        self.durations["ok" if result == "ok" else "failed"].observe(seconds)
        if result == "ok":
            self.last_good = now

    def copied(self) -> SyncCounters:
        copied = SyncCounters()
        copied.syncs, copied.durations = self.syncs.copy(), copied_histograms(self.durations)
        copied.last_good = self.last_good
        return copied


class PageCounters:
    """The counters of requests for pages.

    :ivar requests: the number of requests by method, route and class of the status.
    :ivar durations: the durations by the role that the route requires.
    """

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, str]] = Counter()
        self.durations: dict[str, Histogram] = {}

    def observe(self, method: str, route: str, role: str, status: int, seconds: float) -> None:
        """Count a request; the first request for a route starts the counters of all classes of status at zero."""
        key = method, route, f"{status // 100}xx"
        if key not in self.requests:
            self.requests.update({(method, route, status_class): 0 for status_class in PAGE_STATUSES})
        self.requests[key] += 1
        self.durations.setdefault(role, Histogram(PAGE_BOUNDS)).observe(seconds)

    def copied(self) -> PageCounters:
        copied = PageCounters()
        copied.requests, copied.durations = self.requests.copy(), copied_histograms(self.durations)
        return copied


def error_codes(kind: type[GoogleError] = GoogleError) -> list[str]:
    """Return the codes of all errors that a sync can end with."""
    codes = {code for subclass in kind.__subclasses__() for code in error_codes(subclass)}
    return sorted(codes | {kind.code})


class Counters:
    """All counters of the gateway.

    :ivar generation_lag: the times in seconds that changes of accounts waited until phones found the changes.
    :ivar reactor_lag: the delays in seconds with which the reactor made scheduled calls.
    :ivar log_events: the number of events of the log, by level.
    """

    def __init__(self) -> None:
        self.searches = SearchCounters()
        self.binds: Counter[ResultCode] = Counter(dict.fromkeys(_BIND_RESULTS, 0))
        self.log_events: Counter[str] = Counter(dict.fromkeys(LOG_LEVELS, 0))
        self.generation_lag = Histogram(LAG_BOUNDS)
        self.reactor_lag = Histogram(REACTOR_BOUNDS)
        self.google = GoogleCounters()
        self.syncs = SyncCounters()
        self.pages = PageCounters()

    def count_bind(self, code: ResultCode) -> None:
        self.binds[code] += 1

    def count_log_event(self, level: str) -> None:
        self.log_events[level] += 1

    def copied(self) -> Counters:
        copied = Counters()
        copied.searches = self.searches.copied()
        copied.binds, copied.log_events = self.binds.copy(), self.log_events.copy()
        copied.generation_lag, copied.reactor_lag = self.generation_lag.copied(), self.reactor_lag.copied()
        copied.google, copied.syncs, copied.pages = self.google.copied(), self.syncs.copied(), self.pages.copied()
        return copied


class ReloadStatus:
    """The outcome of the last reload.

    :ivar succeeded_at: the time at which the configuration in use was read, in seconds since the epoch.
    :ivar is_good: whether the last reload succeeded; true before the first reload.
    """

    __slots__ = ("is_good", "succeeded_at")

    def __init__(self, succeeded_at: float) -> None:
        self.succeeded_at = succeeded_at
        self.is_good = True

    def note(self, *, is_good: bool) -> None:
        self.is_good = is_good
