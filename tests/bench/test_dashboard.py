# SPDX-License-Identifier: MIT
"""The pictures of the dashboard: its queries are asked as Grafana asks them, and each panel shows the answers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as Tree

import pytest

from bench.dashboard import board
from bench.dashboard.board import Panel, Query, Row, Series, Span
from bench.dashboard.plot import number, plot

SPAN = Span(begin=1_800_000_000, end=1_800_000_060, step=20)


class Answering:
    """Prometheus, with the same answer to each query.

    Mutable: what it was asked.
    """

    def __init__(self, result: list[dict[str, Any]]) -> None:
        self.result = result
        self.asked: list[tuple[str, Mapping[str, str]]] = []

    def __call__(self, path: str, given: Mapping[str, str]) -> Any:
        self.asked.append((path, given))
        return ["a.b:8080", "c:8080"] if path == "label/instance/values" else {"result": self.result}


def panel(kind: str, *queries: Query, **given: Any) -> Panel:
    defaults: dict[str, Any] = {"unit": "none", "is_stacked": False, "texts": {}, "thresholds": [(-math.inf, "blue")]}
    return Panel(kind, "Searches", 0, 0, 8, 8, queries=queries, **(defaults | given))


def texts(svg: str) -> list[str]:
    return [one.text or "" for one in Tree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def drawn(shown: Panel, *series: Series) -> str:
    return plot(Row("Phones", [shown]), {"Searches": series}, SPAN)


def test_each_panel_of_the_dashboard_is_read() -> None:
    """In its row, with its place below the row's heading and all its queries."""
    dashboard = board.load()
    rows = board.read_board(dashboard)
    assert [row.title for row in rows] == ["Phones", "Syncs", "Google", "Pages", "Process"]
    panels = [one for one in dashboard["panels"] if one["type"] != "row"]
    assert sum(len(row.panels) for row in rows) == len(panels)
    assert [min(one.y for one in row.panels) for row in rows] == [0] * len(rows)
    asked = {query.expression for row in rows for one in row.panels for query in one.queries}
    assert asked == {target["expr"] for one in panels for target in one["targets"]}
    # An answer is known by its panel's title.
    assert all(len({one.title for one in row.panels}) == len(row.panels) for row in rows)


def test_variables_have_the_values_that_grafana_gives_them() -> None:
    """One job; all gateways as a pattern, in which a point stands for itself; a choice can name an earlier one."""
    templating = {
        "list": [
            {"name": "DS_PROMETHEUS", "includeAll": False},
            {"name": "instance", "definition": 'label_values(ldapgw_ready{job="$job"}, instance)', "includeAll": True},
        ]
    }
    ask = Answering([])
    found = board.variables({"templating": templating}, ask)
    assert found == {"instance": r"(a\.b:8080|c:8080)"}
    assert ask.asked == [("label/instance/values", {"match[]": 'ldapgw_ready{job="$job"}'})]
    filled = board.fill('up{instance=~"$instance"}[$__rate_interval]', {**found, "__rate_interval": "20s"})
    assert filled == r'up{instance=~"(a\\.b:8080|c:8080)"}[20s]'


def test_an_answer_has_a_value_for_each_moment() -> None:
    """A moment without one, and one that is not a number, is a gap; a series of gaps is no data."""
    name, other = {"kind": "name"}, {"kind": "other"}
    ask = Answering(
        [
            {"metric": name, "values": [[SPAN.begin, "1"], [SPAN.begin + 40, "NaN"], [SPAN.end, "2.5"]]},
            {"metric": other, "values": [[SPAN.begin, "NaN"]]},
        ]
    )
    [series] = board.answers(
        panel("timeseries", Query("rate($x)", "{{kind}}s", is_instant=False)), {"x": "y"}, SPAN, ask
    )
    assert (series.name, series.labels) == ("names", name)
    assert [*map(str, series.values)] == ["1.0", "nan", "nan", "2.5"]
    given = {"query": "rate(y)", "start": "1800000000", "end": "1800000060", "step": "20"}
    assert ask.asked == [("query_range", given)]


def test_an_instant_query_asks_for_the_last_moment() -> None:
    ask = Answering([{"metric": {"__name__": "ldapgw_build_info", "version": "1"}, "value": [SPAN.end, "1"]}])
    [series] = board.answers(panel("table", Query("ldapgw_build_info", "", is_instant=True)), {}, SPAN, ask)
    assert (series.name, series.values) == ("version=1", [1.0])
    assert ask.asked == [("query", {"query": "ldapgw_build_info", "time": "1800000060"})]


def test_a_panel_without_data_says_so() -> None:
    """Whatever its kind is."""
    assert {tuple(texts(drawn(panel(kind)))) for kind in ("stat", "timeseries", "heatmap", "table")} == {
        ("Searches", "No data")
    }


def test_a_stat_has_the_text_and_the_color_of_its_value() -> None:
    """Of the highest threshold that the value reaches."""
    shown = panel("stat", texts={1.0: "yes"}, thresholds=[(-math.inf, "red"), (1.0, "green")])
    up, down = drawn(shown, Series("", {}, [1.0])), drawn(shown, Series("", {}, [0.0]))
    assert (texts(up), texts(down)) == (["Searches", "yes"], ["Searches", "0"])
    assert ('class="big f0"' in up, 'class="big f4"' in down) == (True, True)


def test_lines_break_at_gaps_and_stacked_lines_add_up() -> None:
    """A line for each part between gaps; one that stands on another ends above it."""
    gap = Series("list", {}, [1.0, 1.0, math.nan, 1.0])
    assert drawn(panel("timeseries"), gap).count('class="line') == 1
    half = [Series(name, {}, [1.0] * 4) for name in ("name", "number")]
    separate, stacked = (drawn(panel("timeseries", is_stacked=one), *half) for one in (False, True))
    heights = [re.findall(r'class="line \w+" d="M[\d.]+ ([\d.]+)L', one) for one in (separate, stacked)]
    assert (len(set(heights[0])), len(set(heights[1]))) == (1, 2)
    assert {"name", "number"} <= {*texts(stacked)}


def test_a_legend_names_what_is_not_zero_first_and_counts_the_rest() -> None:
    """It has room for three lines."""
    series = [Series(f"consent_revoked {at}", {}, [float(at == 19)] * 4) for at in range(20)]
    legend = [one for one in texts(drawn(panel("timeseries"), *series)) if "consent" in one or "more" in one]
    assert legend[0] == "consent_revoked 19"
    assert legend[-1] == f"and {20 - (len(legend) - 1)} more"


def test_a_heatmap_shows_what_fell_into_each_bucket() -> None:
    """Prometheus' buckets hold what fell into the smaller ones; buckets far from any value are left out."""
    edges, counts = ("0.001", "0.01", "0.1", "1.0", "+Inf"), (4.0, 8.0, 8.0, 8.0, 8.0)
    svg = drawn(
        panel("heatmap", unit="s"), *(Series("", {"le": at}, [n] * 4) for at, n in zip(edges, counts, strict=True))
    )
    assert [one for one in texts(svg) if "≤" in one] == ["≤ 1 ms", "≤ 10 ms", "≤ 100 ms"]
    assert svg.count('class="cell" opacity="1.0"') == 2


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "percentunit", "0"),
        (0.0042, "s", "4.2 ms"),
        (90, "s", "1.5 min"),
        (3 * 1 << 20, "bytes", "3 MiB"),
        (0.25, "percentunit", "25 %"),
        (12.34, "ops", "12.3 /s"),
        (2199, "none", "2,199"),
    ],
)
def test_values_are_written_in_their_units(value: float, unit: str, text: str) -> None:
    assert number(value, unit) == text
