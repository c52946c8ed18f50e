# SPDX-License-Identifier: MIT
"""Ratios are made round by round, goals are judged, and tables say so in the documents."""

from __future__ import annotations

import re
from math import isnan
from pathlib import Path

import pytest

from bench import comparison
from bench.asking import WORKLOADS
from bench.comparison import Comparison, tables
from bench.load import Round
from bench.report import Figure, figure_table, judged, percentile

PREFIX, LIST, YEALINK = (WORKLOADS[name] for name in ("prefix", "list", "and-yealink"))


def one(searches_s: float, p99: float = 1.0, errors: int = 0, entries_s: float = 0.0) -> Round:
    return Round(searches_s, entries_s, p99 / 2, p99, 2 * p99, 10.0, 10.0, 100, errors, 0)


def against_slapd(ours: Round, contacts: int = 1000, pure: Round | None = None) -> Comparison:
    servers = {"ldapgw": (ours,), "slapd": (one(100),)} | ({"not compiled": (pure,)} if pure else {})
    return Comparison(contacts, PREFIX, servers)


def test_a_round_is_compared_with_itself() -> None:
    """A slow round moves no ratio, because it slows both servers; whole books are counted by entries."""
    ours = (one(600), one(60), one(500))
    compared = Comparison(1000, PREFIX, {"ldapgw": ours, "slapd": (one(100), one(10), one(250))})
    assert (compared.times(), compared.rate("ldapgw")) == (6.0, 500)
    books = Comparison(1000, LIST, {"ldapgw": (one(0, entries_s=900),), "slapd": (one(1, entries_s=30),)})
    assert (books.times(), books.ratios()[0].met) == (30.0, True)


@pytest.mark.parametrize(
    ("compared", "met", "good"),
    [
        (against_slapd(one(500, p99=0.5)), [True, True], True),
        (against_slapd(one(499, p99=0.5)), [False, True], False),
        (against_slapd(one(500, p99=0.51)), [True, False], False),
        (against_slapd(one(500, p99=0.5, errors=1)), [True, True], False),
        (Comparison(1000, PREFIX, {"ldapgw": (one(1),)}), [True, True], True),
        (against_slapd(one(800, p99=0.5), 10_000, one(500)), [True, True, True], True),
        (against_slapd(one(799, p99=0.5), 10_000, one(499)), [False, False, True], False),
        (against_slapd(one(500, p99=0.5), 10_001, one(1)), [True, True, True], True),
        (Comparison(1000, YEALINK, {"ldapgw": (one(85),)}, {"ldapgw": (one(100),)}), [True], True),
        (Comparison(1000, YEALINK, {"ldapgw": (one(84),)}, {"ldapgw": (one(100),)}), [False], False),
    ],
    ids=[
        "good",
        "slow",
        "uneven",
        "wrong",
        "without slapd",
        "10,000 contacts, good",
        "10,000 contacts, slow",
        "10,001 contacts",
        "beside another load, good",
        "beside another load, slow",
    ],
)
def test_goals_are_judged(compared: Comparison, met: list[bool], good: bool) -> None:
    """The goals are a multiple of slapd's rate, half of its p99, a part of another load's rate, and no error."""
    assert ([ratio.met for ratio in compared.ratios()], compared.is_good) == (met, good)


@pytest.mark.parametrize(("is_compiled", "rate", "met"), [(True, 60, True), (True, 59, False), (False, 59, True)])
def test_a_compiled_gateway_is_judged_by_the_limit(
    is_compiled: bool, rate: float, met: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The goal is six tenths of its rate for names; nothing is judged where an answer does not fit one write."""
    monkeypatch.setattr(comparison, "COMPILED", tmp_path / ("" if is_compiled else "none"))
    servers = {"ldapgw": (one(rate),), "limit": (one(100),)}
    assert Comparison(1000, PREFIX, servers).is_good == met
    assert Comparison(1000, LIST, servers).is_good


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
def test_lower_is_below_the_median_and_every_round(before: list[float], now: float, lower: bool) -> None:
    """A rate that the other checkout had in one of its rounds is not lower; like is compared with like."""
    rounds = {"ldapgw": (one(now),) * 3, "before, not compiled": tuple(one(rate) for rate in before)}
    compared = Comparison(1000, PREFIX, rounds)
    text = f"{now} a second, {now / 100:.3f} × 100 ({min(before)} to {max(before)})"
    figure = Figure("name, two letters", "not compiled", text, "≥ 0.95 × before", met=not lower)
    assert ([*compared.changes()], compared.is_good) == ([figure], not lower)


FAST = Round(50_000.0, 1_000_000.0, 0.12, 0.3, 0.6, 20.0, 16.0, 50_000, 0, 0)
SLOW = Round(10_000.0, 200_000.0, 0.8, 4.0, 8.0, 20.0, 280.0, 10_000, 0, 0)
COMPARED = [
    Comparison(20_000, PREFIX, {"ldapgw": (FAST,), "slapd": (SLOW,), "before": (SLOW,)}),
    Comparison(20_000, YEALINK, {"ldapgw": (SLOW,)}, {"ldapgw": (FAST,)}),
    Comparison(1000, PREFIX, {"slapd": (SLOW,), "ldapgw": (FAST,), "ldaptor": (one(0),)}),
]
FIGURES = [Figure("20,000 contacts", "memory", "40 MiB"), judged("100 change", "turn", 20, "< 20 ms", digits=0)]
TABLES = """
20,000 contacts:

Load ÷ slapd Goal p99 ÷ slapd Goal a second slapd p50, ms slapd p99 slapd
name, two letters 5.00 ≥ 5 ok 0.0750 ≤ 0.5 ok 50,000 10,000 0.12 0.80 0.30 4.00

20,000 contacts; each load is compared with another load in the same rounds:

Load Compared with ÷ that Goal a second that p50, ms p99
person and a name name, two letters 0.200 ≥ 0.85 MISSED 10,000 50,000 0.80 4.00

20,000 contacts, beside /elsewhere (abc1234):

Load Run Goal ldapgw
name, two letters compiled ≥ 0.95 × before 50,000 a second, 5.00 × 10,000 (10,000 to 10,000) ok

1,000 contacts, beside other servers:

Load ÷ slapd ldaptor ÷ slapd a second slapd ldaptor
name, two letters 5.00 - 50,000 10,000 0

With Figure Goal ldapgw slapd
20,000 contacts memory 40 MiB 9 MiB
100 change turn < 20 ms 20 ms MISSED not run
"""


def test_the_tables() -> None:
    """Ratios with their goals, then the figures that they are made of; slapd's figures are not judged."""
    figures = figure_table("With", "Figure", FIGURES, [Figure("20,000 contacts", "memory", "9 MiB")])
    lines = [*tables(COMPARED, "/elsewhere (abc1234)"), *figures]
    assert "\n".join(re.sub(" +", " ", line) for line in lines if not line.startswith("=")) == TABLES.strip()
    assert figures[:2] == [
        "===============  ======  =======  ======  ======  =======",
        "With             Figure  Goal     ldapgw          slapd",
    ]


@pytest.mark.parametrize(
    ("values", "part", "expected"),
    [((7,), 50, 7), ((1, 2), 50, 1), (range(1, 101), 99, 99), (range(1, 102), 99, 100), (range(1, 101), 100, 100)],
)
def test_percentiles_are_values(values: tuple[float, ...], part: float, expected: float) -> None:
    """The nearest rank: never a value that was not measured; and of no values none, where zero would be the best."""
    assert percentile(values, part) == expected
    assert isnan(percentile((), part))
