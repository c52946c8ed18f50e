# SPDX-License-Identifier: MIT
"""Ratios are made round by round, and errors spoil them."""

from __future__ import annotations

import pytest

from bench.directory.asking import WORKLOADS
from bench.directory.load import Round
from bench.directory.rounds import Comparison

PREFIX = WORKLOADS["prefix"]


def one(searches_s: float, p99: float = 1.0, errors: int = 0, entries_s: float = 0.0) -> Round:
    return Round(searches_s, entries_s, p99 / 2, p99, 10.0, 5.0, 5.0, 100, errors, 0)


def between(ours: list[Round], theirs: list[Round], workload=PREFIX) -> Comparison:
    return Comparison(1000, workload, {"ldapgw": tuple(ours), "slapd": tuple(theirs)})


def test_a_round_is_compared_with_itself():
    """What slows both in one round moves no ratio."""
    comparison = between([one(600), one(60), one(500)], [one(100), one(10), one(250)])
    assert (comparison.times(), comparison.rate("ldapgw"), comparison.rate("slapd")) == (6.0, 500, 100)


def test_whole_books_are_counted_by_entries():
    """One may outlast a round."""
    comparison = between([one(0, entries_s=900)], [one(1, entries_s=30)], WORKLOADS["list"])
    assert (comparison.times(), comparison.is_fast) == (30.0, True)


@pytest.mark.parametrize(
    ("ours", "fast", "even"),
    [
        (one(500, p99=0.5), True, True),
        (one(499, p99=0.5), False, True),
        (one(500, p99=0.51), True, False),
        (one(500, p99=0.5, errors=1), False, True),
    ],
    ids=["good", "slow", "uneven", "wrong"],
)
def test_goals_are_judged(ours, fast, even):
    """Five times slapd's rate with half of its p99, and no error."""
    comparison = between([ours], [one(100)])
    assert (comparison.is_fast, comparison.is_even) == (fast, even)


def test_without_slapd_nothing_is_judged():
    """There is no ratio then."""
    comparison = Comparison(1000, PREFIX, {"ldapgw": (one(1),)})
    assert (comparison.times(), comparison.p99, comparison.is_fast, comparison.is_even) == (None, None, True, True)
