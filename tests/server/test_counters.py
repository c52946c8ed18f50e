# SPDX-License-Identifier: MIT
"""The tests cover counters and histograms."""

from __future__ import annotations

import pytest

from ldapgw.directory.filter import SearchKind
from ldapgw.errors import ResultCode
from ldapgw.google.endpoints import CallSource
from ldapgw.ldap.messages import FinishedSearch
from ldapgw.server.counters import (
    GOOGLE_ANSWERS,
    Counters,
    GoogleCounters,
    Histogram,
    PageCounters,
    SearchCounters,
    SyncCounters,
    error_codes,
)


def nonzero(counts: dict[object, int]) -> dict[object, int]:
    return {key: count for key, count in counts.items() if count}


def test_a_value_is_in_one_bucket() -> None:
    """A bound belongs to the bucket below. Values above all bounds have a bucket too."""
    histogram = Histogram((0.5, 1.0))
    for value in (0.25, 0.5, 0.75, 1.0, 8.0):
        histogram.observe(value)
    assert (histogram.bounds, histogram.counts, histogram.total) == ((0.5, 1.0), [2, 2, 1], 10.5)


def test_a_clock_that_was_set_back_takes_nothing_away() -> None:
    """Prometheus would take a falling sum for a restart."""
    histogram = Histogram((0.5,))
    histogram.observe(-3600.0)
    assert (histogram.counts, histogram.total) == ([1, 0], 0.0)


def test_searches_are_counted_by_result_and_kind() -> None:
    """The usual results are there from the start, and an unexpected result is added."""
    counters = SearchCounters()
    assert ResultCode.SUCCESS in counters.searches
    assert not any(counters.searches.values())
    for entries, code, seconds, kind in (
        (5, ResultCode.SUCCESS, 0.25, SearchKind.NAME),
        (0, ResultCode.SUCCESS, 0.5, SearchKind.NUMBER),
        (1, ResultCode.CANCELED, 0.125, SearchKind.NAME),
    ):
        counters.observe(FinishedSearch("cn=desk1", "192.0.2.7", b"", entries, code, seconds, kind))
    assert nonzero({**counters.searches}) == {ResultCode.SUCCESS: 2, ResultCode.CANCELED: 1}
    assert counters.entries == 6
    assert {kind: (sum(one.counts), one.total) for kind, one in counters.durations.items()} == {
        SearchKind.NAME: (2, 0.375),
        SearchKind.NUMBER: (1, 0.5),
        SearchKind.LIST: (0, 0.0),
        SearchKind.ENTRY: (0, 0.0),
        SearchKind.OTHER: (0, 0.0),
    }


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, "ok"),
        (204, "ok"),
        (302, "other"),
        (400, "400"),
        (401, "401"),
        (403, "403"),
        (404, "404"),
        (408, "other"),
        (410, "410"),
        (429, "429"),
        (500, "5xx"),
        (503, "5xx"),
        (None, "error"),
    ],
)
def test_google_s_answers(status: int | None, answer: str) -> None:
    """Each status that matters to an administrator has its own label. The others share labels."""
    counters = GoogleCounters()
    assert counters.calls == {(source, one): 0 for source in CallSource for one in GOOGLE_ANSWERS}
    counters.observe("tokens", status, 0.5)
    assert nonzero(dict(counters.calls)) == {("tokens", answer): 1}
    totals = {source: one.total for source, one in counters.durations.items()}
    assert totals == dict.fromkeys(CallSource, 0.0) | {"tokens": 0.5}


def test_syncs_are_counted_by_result_and_outcome() -> None:
    """Failures have codes, and their durations are counted apart from good syncs."""
    counters = SyncCounters()
    counters.observe("ok", 2.0, 100.0)
    counters.observe("network", 60.0, 200.0)
    assert counters.syncs == dict.fromkeys(("ok", *error_codes()), 0) | {"ok": 1, "network": 1}
    assert {outcome: one.total for outcome, one in counters.durations.items()} == {"ok": 2.0, "failed": 60.0}
    assert counters.last_good == 100.0


def test_requests_are_counted_by_route() -> None:
    """Only requested routes have counters, and each class of status begins at zero."""
    counters = PageCounters()
    counters.observe("GET", "/{tenant}/", "tenant", 200, 0.25)
    counters.observe("GET", "/{tenant}/", "tenant", 404, 0.5)
    assert counters.requests == {
        ("GET", "/{tenant}/", "2xx"): 1,
        ("GET", "/{tenant}/", "3xx"): 0,
        ("GET", "/{tenant}/", "4xx"): 1,
        ("GET", "/{tenant}/", "5xx"): 0,
    }
    assert {role: one.total for role, one in counters.durations.items()} == {"tenant": 0.75}


def test_a_copy_does_not_count_on() -> None:
    """Another thread renders the copy, so searches and pages must not change the copy."""
    counters = Counters()

    def count() -> None:
        counters.searches.observe(FinishedSearch("", "", b"", 5, ResultCode.SUCCESS, 0.25, SearchKind.NAME))
        counters.count_bind(ResultCode.SUCCESS)
        counters.count_log_event("info")
        counters.generation_lag.observe(0.5)
        counters.reactor_lag.observe(0.5)
        counters.google.observe("contacts", 200, 0.5)
        counters.syncs.observe("ok", 2.0, 100.0)
        counters.pages.observe("GET", "/", "public", 200, 0.5)

    count()
    copied = counters.copied()
    before = figures(copied)
    assert before == figures(counters)
    count()
    assert figures(copied) == before
    assert figures(counters) != before


def figures(counters: Counters) -> list[object]:
    """Return all counts other than zero."""
    groups = counters.searches, counters.google, counters.syncs, counters.pages
    histograms = [one for group in groups for one in group.durations.values()]
    counts = counters.binds, counters.log_events, counters.google.calls, counters.syncs.syncs, counters.pages.requests
    return [
        {key: count for key, count in counters.searches.searches.items() if count},
        counters.searches.entries,
        counters.syncs.last_good,
        *({key: count for key, count in one.items() if count} for one in counts),
        *(
            (sum(one.counts), one.total)
            for one in (*histograms, counters.generation_lag, counters.reactor_lag)
            if one.total
        ),
    ]
