# SPDX-License-Identifier: MIT
"""Ratios are made round by round, and errors spoil them."""

from __future__ import annotations

import pytest

from bench.directory.asking import WORKLOADS
from bench.directory.load import Round
from bench.directory.people import person
from bench.directory.rounds import Change, Comparison, Plan, compare
from bench.phone import Target
from bench.process import Server

PREFIX, STRICT, YEALINK = (WORKLOADS[name] for name in ("prefix", "strict-prefix", "and-yealink"))


def one(searches_s: float, p99: float = 1.0, errors: int = 0, entries_s: float = 0.0) -> Round:
    return Round(searches_s, entries_s, p99 / 2, p99, 2 * p99, 10.0, 5.0, 5.0, 100, errors, 0)


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


@pytest.mark.parametrize(
    ("contacts", "ours", "pure", "fast", "pure_fast"),
    [
        (10_000, 800, 500, True, True),
        (10_000, 799, 499, False, False),
        (10_001, 500, 1, True, True),
        (10_001, 499, 1, False, True),
    ],
)
def test_ten_thousand_contacts_have_goals_of_their_own(contacts, ours, pure, fast, pure_fast):
    """Higher ones, and others where the gateway is not compiled."""
    servers = {"ldapgw": (one(ours),), "not compiled": (one(pure),), "slapd": (one(100),)}
    comparison = Comparison(contacts, PREFIX, servers)
    assert (comparison.is_fast, comparison.is_pure_fast) == (fast, pure_fast)


def test_without_slapd_nothing_is_judged():
    """There is no ratio then."""
    comparison = Comparison(1000, PREFIX, {"ldapgw": (one(1),)})
    assert (comparison.times(), comparison.p99, comparison.is_fast, comparison.is_even) == (None, None, True, True)


@pytest.mark.parametrize(("rate", "met"), [(85, True), (84, False)])
def test_a_row_beside_another_is_judged_by_it(rate, met):
    """By its own part of that row's rate; slapd has no say."""
    comparison = Comparison(1000, YEALINK, {"ldapgw": (one(rate),)}, {"ldapgw": (one(100),)})
    assert (comparison.part(), comparison.times(), comparison.is_fast) == (rate / 100, None, met)
    assert comparison.is_even


def test_parts_are_made_round_by_round():
    """As ratios to slapd are; of each server with itself."""
    rows = {"ldapgw": (one(90), one(9), one(50)), "not compiled": (one(40), one(40), one(40))}
    beside = {"ldapgw": (one(100), one(10), one(100)), "not compiled": (one(80), one(80), one(80))}
    comparison = Comparison(1000, YEALINK, rows, beside)
    assert (comparison.part(), comparison.part("not compiled"), comparison.part("before")) == (0.9, 0.5, None)


@pytest.mark.parametrize(
    ("before", "now", "lower"),
    [
        ([100, 100, 100], 95, False),
        ([100, 100, 100], 94, True),
        ([100, 94, 120], 94, False),
        ([100, 94, 120], 93, True),
    ],
    ids=["within 5 %", "lower", "as low as its lowest round", "lower than that"],
)
def test_lower_is_below_the_median_and_every_round(before, now, lower):
    """What the other checkout had in one of its rounds is not lower than it."""
    rounds = {"ldapgw": (one(now),) * 3, "before, not compiled": tuple(one(rate) for rate in before)}
    [change] = Comparison(1000, PREFIX, rounds).changes()
    assert change == Change("not compiled", 100, min(before), max(before), now)
    assert (change.times, change.is_lower) == (now / 100, lower)


def test_like_is_compared_with_like():
    """Compiled with compiled; nothing where no other checkout was measured."""
    rates = {"ldapgw": 4, "before": 3, "not compiled": 2, "before, not compiled": 1}
    comparison = Comparison(1000, PREFIX, {name: (one(rate),) for name, rate in rates.items()})
    assert [(change.how, change.before, change.now) for change in comparison.changes()] == [
        ("compiled", 3, 4),
        ("not compiled", 1, 2),
    ]
    assert list(between([one(1)], [one(1)]).changes()) == []


class Rates:
    """An engine that finds what is set."""

    def __init__(self, rates: dict[int, float]) -> None:
        self._rates = rates
        self.asked: list[tuple[int, int]] = []

    def round(self, server, asked, seconds):
        self.asked.append((server.pid, len(asked.requests[0])))
        return one(self._rates[server.pid])


def test_rows_go_to_their_servers():
    """Those beside others to gateways alone, strict ones to strict gateways, which have the names of the usual ones."""
    target = Target(0, 0, "dc=acme,dc=example", "", "")
    ours, theirs, strict = (Server(name, target, pid, 0.0) for pid, name in enumerate(("ldapgw", "slapd", "ldapgw")))
    engine = Rates({0: 100.0, 1: 20.0, 2: 70.0})
    plan = Plan(engine, (PREFIX, YEALINK, STRICT), 2, 0.1)
    compared = compare(plan, 20, (ours, theirs), [person(at) for at in range(20)], (strict,))
    assert [pid for pid, _ in engine.asked] == [0, 1, 0, 2, 1, 0, 0, 2]
    assert [(row.times(), row.part(), row.is_fast) for row in compared] == [
        (5.0, None, True),
        (None, 1.0, True),
        (None, 0.7, True),
    ]
