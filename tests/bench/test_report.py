# SPDX-License-Identifier: MIT
"""Results as tables, as JSON, as a picture, and in the page."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from math import nan
from xml.etree import ElementTree as Tree

from bench.directory.asking import WORKLOADS
from bench.directory.load import Round
from bench.directory.plot import plot
from bench.directory.report import Results, as_object, lines
from bench.directory.rounds import Comparison
from bench.output import Figure

FAST = Round(50_000.0, 1_000_000.0, 0.12, 0.3, 0.6, 20.0, 10.0, 6.0, 50_000, 0, 0)
SLOW = Round(10_000.0, 200_000.0, 0.8, 4.0, 8.0, 20.0, 90.0, 190.0, 10_000, 0, 0)
NONE = Round(0.0, 0.0, nan, nan, nan, nan, nan, nan, 0, 0, 0)
RESULTS = Results(
    [
        Comparison(20_000, WORKLOADS["prefix"], {"ldapgw": (FAST,), "slapd": (SLOW,)}),
        Comparison(20_000, WORKLOADS["reverse"], {"ldapgw": (SLOW,), "slapd": (FAST,)}),
    ],
    [Comparison(1000, WORKLOADS["prefix"], {"slapd": (SLOW,), "ldapgw": (FAST,), "ldaptor": (NONE,)})],
    [Figure("20,000 contacts", "memory", "40 MiB"), Figure("100 change", "turn", "21 ms", "≤ 20 ms", met=False)],
)


TABLES = """
20,000 contacts:

=================  =======  =====  ======  ===========  =====  ======  ========  ======  =======  =====  ====  =====
Load               ÷ slapd  Goal           p99 ÷ slapd  Goal           a second  slapd   p50, ms  slapd  p99   slapd
=================  =======  =====  ======  ===========  =====  ======  ========  ======  =======  =====  ====  =====
name, two letters  5.00     ≥ 5    ok      0.0750       ≤ 0.5  ok      50,000    10,000  0.12     0.80   0.30  4.00
reverse look-up    0.200    ≥ 1.2  MISSED  13.3         ≤ 0.5  MISSED  10,000    50,000  0.80     0.12   4.00  0.30
=================  =======  =====  ======  ===========  =====  ======  ========  ======  =======  =====  ====  =====

1,000 contacts, beside other servers; searches a second (times slapd):

=================  =============  =============  =======
Load               slapd          ldapgw         ldaptor
=================  =============  =============  =======
name, two letters  10,000 (1.00)  50,000 (5.00)  0 (-)
=================  =============  =============  =======

===============  ======  =======  ======  ======
With             Figure  Goal     ldapgw
===============  ======  =======  ======  ======
20,000 contacts  memory           40 MiB
100 change       turn    ≤ 20 ms  21 ms   MISSED
===============  ======  =======  ======  ======
"""


def test_the_tables():
    """Ratios with their goals, then the figures that they are made of."""
    assert "\n".join(lines(RESULTS)) == TABLES.strip()


BESIDE = """
20,000 contacts, loads compared with other loads of the gateway in the same rounds:

=================  =================  ======  ======  ======  ========  ======  =======  ====
Load               Compared with      ÷ that  Goal            a second  that    p50, ms  p99
=================  =================  ======  ======  ======  ========  ======  =======  ====
person and a name  name, two letters  0.200   ≥ 0.85  MISSED  10,000    50,000  0.80     4.00
=================  =================  ======  ======  ======  ========  ======  =======  ====
"""

BEFORE = """
20,000 contacts, beside /elsewhere (abc1234); a second:

=================  ============  ======  ======  ======  ======  ========  =====
Load               Run           before  least   most    now     ÷ before
=================  ============  ======  ======  ======  ======  ========  =====
name, two letters  compiled      50,000  50,000  50,000  50,000  1.00      ok
name, two letters  not compiled  30,000  10,000  50,000  9,000   0.300     lower
=================  ============  ======  ======  ======  ======  ========  =====
"""


def test_a_table_of_rows_beside_others():
    """They have no ratio to slapd, and a verdict all the same."""
    row = Comparison(20_000, WORKLOADS["and-yealink"], {"ldapgw": (SLOW,)}, {"ldapgw": (FAST,)})
    results = Results([RESULTS.compared[0], row])
    told = "\n".join(lines(results))
    assert told.endswith(BESIDE)
    assert "person and a name" not in told.removesuffix(BESIDE)
    assert not results.are_good
    found = as_object(results)["compared"][1]
    assert (found["beside"], found["part"], found["times"], found["good"]) == ("prefix", 0.2, None, False)
    assert plot(results.compared) == plot(results.compared[:1])


def test_a_table_of_what_was_before():
    """With the spread of the other's rounds; what is lower is missed."""
    slower = replace(SLOW, searches_s=9_000.0)
    servers = {
        "ldapgw": (FAST, FAST),
        "before": (FAST, FAST),
        "not compiled": (slower, slower),
        "before, not compiled": (SLOW, FAST),
    }
    row = Comparison(20_000, WORKLOADS["prefix"], servers)
    results = Results([row], before="/elsewhere (abc1234)")
    assert "\n".join(lines(results)).endswith(BEFORE)
    assert not results.are_good
    found = as_object(results)
    assert (found["before"], found["compared"][0]["changes"][1]) == (
        "/elsewhere (abc1234)",
        {
            "how": "not compiled",
            "lower": True,
            "before": 30_000.0,
            "least": 10_000.0,
            "most": 50_000.0,
            "now": 9_000.0,
            "times": 0.3,
        },
    )
    without = {name: servers[name] for name in ("ldapgw", "before")}
    assert Results([replace(row, servers=without)]).are_good


def test_goals_where_it_is_not_compiled():
    """With 10,000 contacts."""
    servers = {"ldapgw": (FAST,), "not compiled": (SLOW,), "slapd": (SLOW,)}
    row = list(lines(Results([Comparison(10_000, WORKLOADS["prefix"], servers)])))[5]
    assert re.sub(" +", " ", row).startswith("name, two letters 5.00 ≥ 8 MISSED 1.00 ≥ 5 MISSED ")


def test_the_goal_where_it_is_not_compiled_counts_too():
    """Also alone."""
    servers = {"ldapgw": (replace(FAST, searches_s=90_000.0),), "not compiled": (FAST,), "slapd": (SLOW,)}
    good = Results([Comparison(10_000, WORKLOADS["prefix"], servers)])
    told = as_object(good)["compared"][0]
    assert (told["times_pure"], told["pure_goal"], told["good"], good.are_good) == (5.0, 5.0, True, True)
    slower = {**servers, "not compiled": (replace(FAST, searches_s=49_000.0),)}
    assert not Results([Comparison(10_000, WORKLOADS["prefix"], slower)]).are_good


def test_one_missed_goal_is_enough():
    """The exit status tells."""
    good = Results(RESULTS.compared[:1], RESULTS.peers, RESULTS.figures[:1])
    assert (good.are_good, RESULTS.are_good) == (True, False)


def test_json_has_all_of_it():
    """Also what is not a number there."""
    told = json.loads(json.dumps(as_object(RESULTS), allow_nan=False))
    assert [(one["load"], one["times"], one["good"]) for one in told["compared"]] == [
        ("prefix", 5.0, True),
        ("reverse", 0.2, False),
    ]
    assert told["peers"][0]["servers"]["ldaptor"][0]["p99"] is None
    assert (told["figures"][1]["text"], told["good"]) == ("21 ms", False)


def test_the_picture():
    """A bar for each ratio, as long as its logarithm, for light and dark pages."""
    svg = Tree.fromstring(plot(RESULTS.compared))
    name = "{http://www.w3.org/2000/svg}"
    bars = {bar.get("y"): float(bar.get("width", "")) for bar in svg.iter(f"{name}rect") if bar.get("y") != "14"}
    # From a tenth of slapd to a hundred times: three decades, of which 5.0 is 1.699 and 0.2 is 0.301.
    assert [round(width / 510 * 3, 2) for width in bars.values()] == [1.7, 0.3]
    texts = [text.text for text in svg.iter(f"{name}text")]
    assert [text for text in texts if text in ("slapd", "name, two letters", "5", "0.2", "20,000 contacts")] == [
        "20,000 contacts",
        "slapd",
        "name, two letters",
        "5",
        "0.2",
    ]
    assert "prefers-color-scheme: dark" in plot(RESULTS.compared)


def test_a_picture_of_nothing_is_one():
    """Without slapd there are no ratios to show."""
    picture = Tree.fromstring(plot([Comparison(10, WORKLOADS["list"], {"ldapgw": (FAST,)})]))
    assert picture.tag.endswith("svg")
