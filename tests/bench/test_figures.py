# SPDX-License-Identifier: MIT
"""Ratios are made round by round, goals are judged, and tables say so in the documents."""

from __future__ import annotations

import re
from math import isnan, nan
from pathlib import Path

import pytest

from bench import comparison
from bench.asking import WORKLOADS
from bench.comparison import Comparison, tables
from bench.load import Round
from bench.report import Figure, figure_table, judged, percentile

PREFIX, LIST, YEALINK = (WORKLOADS[name] for name in ("prefix", "list", "and-yealink"))
NONE = Round(0.0, 0.0, nan, nan, nan, nan, nan, 0, 0, 0)


def one(searches_s: float, p99: float = 1.0, errors: int = 0, entries_s: float = 0.0) -> Round:
    return Round(searches_s, entries_s, p99 / 2, p99, 2 * p99, 10.0, 10.0, 100, errors, 0)


def verdicts(compared: Comparison) -> list[bool]:
    return [ratio.met for ratio in compared.ratios()]


def test_a_round_is_compared_with_itself() -> None:
    """A slow round moves no ratio, because it slows both servers; whole books are counted by entries."""
    ours, theirs = (one(600), one(60), one(500)), (one(100), one(10), one(250))
    compared = Comparison(1000, PREFIX, {"ldapgw": ours, "slapd": theirs})
    assert (compared.times(), compared.rate("ldapgw")) == (6.0, 500)
    beside = Comparison(1000, YEALINK, {"ldapgw": ours}, {"ldapgw": (one(1200), one(120), one(9))})
    assert beside.ratios()[0].text == "0.500"
    books = Comparison(1000, LIST, {"ldapgw": (one(0, entries_s=900),), "slapd": (one(1, entries_s=30),)})
    assert (books.times(), verdicts(books)[0]) == (30.0, True)


@pytest.mark.parametrize(
    ("ours", "met", "good"),
    [
        (one(500, p99=0.5), [True, True], True),
        (one(499, p99=0.5), [False, True], False),
        (one(500, p99=0.51), [True, False], False),
        (one(500, p99=0.5, errors=1), [True, True], False),
    ],
    ids=["good", "slow", "uneven", "wrong"],
)
def test_goals_are_judged(ours: Round, met: list[bool], good: bool) -> None:
    """Five times slapd's rate with half of its p99, and no error; without slapd nothing is judged."""
    compared = Comparison(1000, PREFIX, {"ldapgw": (ours,), "slapd": (one(100),)})
    assert (verdicts(compared), compared.is_good) == (met, good)
    alone = Comparison(1000, PREFIX, {"ldapgw": (one(1),)})
    assert ([(ratio.text, ratio.goal) for ratio in alone.ratios()], alone.is_good) == ([("-", ""), ("-", "")], True)


@pytest.mark.parametrize(("is_compiled", "rate", "met"), [(True, 60, True), (True, 59, False), (False, 59, True)])
def test_a_compiled_gateway_is_judged_by_the_limit(
    is_compiled: bool, rate: float, met: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six tenths of its rate for names; nothing where an answer does not fit one write."""
    monkeypatch.setattr(comparison, "COMPILED", tmp_path / ("" if is_compiled else "none"))
    servers = {"ldapgw": (one(rate),), "limit": (one(100),)}
    assert Comparison(1000, PREFIX, servers).is_good == met
    assert Comparison(1000, LIST, servers).is_good


@pytest.mark.parametrize(
    ("contacts", "ours", "pure", "met"),
    [
        (10_000, 800, 500, [True, True, True]),
        (10_000, 799, 499, [False, False, True]),
        (10_001, 500, 1, [True, True, True]),
        (10_001, 499, 1, [False, True, True]),
    ],
)
def test_ten_thousand_contacts_have_goals_of_their_own(
    contacts: int, ours: float, pure: float, met: list[bool]
) -> None:
    """Higher ones, and others where the gateway is not compiled, which count too."""
    servers = {"ldapgw": (one(ours, p99=0.5),), "not compiled": (one(pure),), "slapd": (one(100),)}
    compared = Comparison(contacts, PREFIX, servers)
    assert (verdicts(compared), compared.is_good) == (met, all(met))


@pytest.mark.parametrize(("rate", "met"), [(85, True), (84, False)])
def test_a_row_beside_another_is_judged_by_it(rate: float, met: bool) -> None:
    """By its own part of that row's rate; slapd has no say."""
    compared = Comparison(1000, YEALINK, {"ldapgw": (one(rate),)}, {"ldapgw": (one(100),)})
    [ratio] = compared.ratios()
    assert (ratio.text, isnan(compared.times()), ratio.met) == (f"{rate / 100:.3f}", True, met)


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
    [change] = compared.changes()
    text = f"{now} a second, {now / 100:.3f} × 100 ({min(before)} to {max(before)})"
    assert change == Figure("name, two letters", "not compiled", text, "≥ 0.95 × before", met=not lower)
    assert compared.is_good == (not lower)


FAST = Round(50_000.0, 1_000_000.0, 0.12, 0.3, 0.6, 20.0, 16.0, 50_000, 0, 0)
SLOW = Round(10_000.0, 200_000.0, 0.8, 4.0, 8.0, 20.0, 280.0, 10_000, 0, 0)
COMPARED = [
    Comparison(20_000, PREFIX, {"ldapgw": (FAST,), "slapd": (SLOW,), "before": (SLOW,)}),
    Comparison(20_000, WORKLOADS["reverse"], {"ldapgw": (SLOW,), "slapd": (FAST,)}),
    Comparison(20_000, YEALINK, {"ldapgw": (SLOW,)}, {"ldapgw": (FAST,)}),
]
PEERS = [Comparison(1000, PREFIX, {"slapd": (SLOW,), "ldapgw": (FAST,), "ldaptor": (NONE,)})]
FIGURES = [Figure("20,000 contacts", "memory", "40 MiB"), judged("100 change", "turn", 21, "≤ 20 ms", digits=0)]
TABLES = """
20,000 contacts:

Load ÷ slapd Goal p99 ÷ slapd Goal a second slapd p50, ms slapd p99 slapd
name, two letters 5.00 ≥ 5 ok 0.0750 ≤ 0.5 ok 50,000 10,000 0.12 0.80 0.30 4.00
reverse look-up 0.200 ≥ 1.2 MISSED 13.3 ≤ 0.5 MISSED 10,000 50,000 0.80 0.12 4.00 0.30

20,000 contacts; each load is compared with another load in the same rounds:

Load Compared with ÷ that Goal a second that p50, ms p99
person and a name name, two letters 0.200 ≥ 0.85 MISSED 10,000 50,000 0.80 4.00

20,000 contacts, beside /elsewhere (abc1234):

Load Run Goal ldapgw
name, two letters compiled ≥ 0.95 × before 50,000 a second, 5.00 × 10,000 (10,000 to 10,000) ok

1,000 contacts, beside other servers:

Load ÷ slapd ldaptor ÷ slapd a second slapd ldaptor
name, two letters 5.00 - 50,000 10,000 0

With Figure Goal ldapgw
20,000 contacts memory 40 MiB
100 change turn ≤ 20 ms 21 ms MISSED
"""


def test_the_tables() -> None:
    """Ratios with their goals, then the figures that they are made of."""
    lines = [*tables([*COMPARED, *PEERS], "/elsewhere (abc1234)"), *figure_table("With", "Figure", FIGURES)]
    told = [re.sub(" +", " ", line) for line in lines if not line.startswith("=")]
    assert "\n".join(told) == TABLES.strip()
    assert [one.is_good for one in (*COMPARED, *PEERS)] == [True, False, False, True]


def test_a_table_is_one_of_restructured_text() -> None:
    """The goal stands beside the figure; the other server is shown and not judged."""
    ours = [Figure("none", "p99", "3 ms", "< 50 ms"), Figure("none", "memory", "400 MiB", "< 300 MiB", met=False)]
    assert figure_table("Load", "Figure", ours, [Figure("none", "memory", "9 MiB")]) == [
        "====  ======  =========  =======  ======  =======",
        "Load  Figure  Goal       ldapgw           slapd",
        "====  ======  =========  =======  ======  =======",
        "none  p99     < 50 ms    3 ms     ok      not run",
        "none  memory  < 300 MiB  400 MiB  MISSED  9 MiB",
        "====  ======  =========  =======  ======  =======",
    ]
    assert figure_table("Load", "Figure", ours)[1] == "Load  Figure  Goal       ldapgw"


@pytest.mark.parametrize(
    ("values", "part", "expected"),
    [((7,), 50, 7), ((1, 2), 50, 1), (range(1, 101), 99, 99), (range(1, 102), 99, 100), (range(1, 101), 100, 100)],
)
def test_percentiles_are_values(values: tuple[float, ...], part: float, expected: float) -> None:
    """The nearest rank: never a value that was not measured; and of no values none, where zero would be the best."""
    assert percentile(values, part) == expected
    assert isnan(percentile((), part))
