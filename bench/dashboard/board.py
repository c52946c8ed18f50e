# SPDX-License-Identifier: MIT
"""The dashboard as Grafana reads it: rows, panels and queries; and what Prometheus answers to the queries."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.support.checkout import ROOT

DASHBOARD = ROOT / "etc" / "grafana" / "ldapgw.json"
_LABEL_VALUES = re.compile(r"label_values\((?P<series>.+), (?P<label>\w+)\)")

# What Prometheus' HTTP API returns as `data` for a path and its parameters.
Ask = Callable[[str, Mapping[str, str]], Any]


@dataclass(frozen=True, slots=True)
class Query:
    """An expression of a panel.

    :ivar legend: with labels in two pairs of braces, as Grafana writes them; empty: all labels.
    """

    expression: str
    legend: str
    is_instant: bool


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel; x, y, width and height are in Grafana's grid of 24 columns.

    :ivar kind: Grafana's name for it: ``stat``, ``timeseries``, ``heatmap`` or ``table``.
    :ivar thresholds: the value from which on a color holds, the lowest first.
    """

    kind: str
    title: str
    x: int
    y: int
    width: int
    height: int
    unit: str
    is_stacked: bool
    texts: Mapping[float, str]
    thresholds: Sequence[tuple[float, str]]
    queries: Sequence[Query]


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading; their `y` begins at 0."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Series:
    """A line of a panel: a value for each moment, with NaN where there is none; of an instant query, one value."""

    name: str
    labels: Mapping[str, str]
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Span:
    """The time that the dashboard shows, in seconds since 1970, and how far apart its moments are."""

    begin: float
    end: float
    step: int

    @property
    def moments(self) -> Sequence[float]:
        return [self.begin + at * self.step for at in range(int((self.end - self.begin) // self.step) + 1)]


def read_board(board: Mapping[str, Any]) -> list[Row]:
    """The rows of a dashboard, from its JSON."""
    rows: list[Row] = []
    panels: list[Panel] = []
    top = 0
    for panel in sorted(board["panels"], key=lambda one: (one["gridPos"]["y"], one["gridPos"]["x"])):
        if panel["type"] == "row":
            panels, top = [], panel["gridPos"]["y"] + 1
            rows.append(Row(panel["title"], panels))
        else:
            panels.append(_panel(panel, top))
    return rows


def _panel(panel: Mapping[str, Any], top: int) -> Panel:
    place, defaults = panel["gridPos"], panel["fieldConfig"]["defaults"]
    mappings = [one["options"] for one in defaults.get("mappings", ()) if one["type"] == "value"]
    steps = defaults.get("thresholds", {}).get("steps", ())
    unit = panel["options"].get("yAxis", {}).get("unit") or defaults.get("unit", "none")
    return Panel(
        kind=panel["type"],
        title=panel["title"],
        x=place["x"],
        y=place["y"] - top,
        width=place["w"],
        height=place["h"],
        unit=unit,
        is_stacked=defaults.get("custom", {}).get("stacking", {}).get("mode") == "normal",
        texts={float(value): told["text"] for one in mappings for value, told in one.items()},
        thresholds=[(-math.inf if one["value"] is None else float(one["value"]), one["color"]) for one in steps],
        queries=[Query(one["expr"], one["legendFormat"], one.get("instant", False)) for one in panel["targets"]],
    )


def variables(board: Mapping[str, Any], ask: Ask) -> dict[str, str]:
    """What Grafana puts in place of the variables: the job, and a pattern of all values where all are chosen."""
    found: dict[str, str] = {}
    for one in board["templating"]["list"]:
        asked = _LABEL_VALUES.fullmatch(fill(one.get("definition", ""), found))
        if asked is None:
            continue
        values = ask(f"label/{asked['label']}/values", {"match[]": asked["series"]})
        found[one["name"]] = f"({'|'.join(map(re.escape, values))})" if one["includeAll"] else values[0]
    return found


def fill(expression: str, values: Mapping[str, str]) -> str:
    """An expression with values in place of its variables."""
    return re.sub(r"\$(\w+)", lambda found: values.get(found[1], found[0]).replace("\\", "\\\\"), expression)


def answers(panel: Panel, values: Mapping[str, str], span: Span, ask: Ask) -> list[Series]:
    """What Prometheus answers to the queries of a panel, in Grafana's order; empty: there is no data."""
    return [series for query in panel.queries for series in _answer(query, values, span, ask)]


def _answer(query: Query, values: Mapping[str, str], span: Span, ask: Ask) -> list[Series]:
    expression = fill(query.expression, values)
    if query.is_instant:
        data = ask("query", {"query": expression, "time": str(span.end)})["result"]
        return [Series(_name(query, one["metric"]), one["metric"], [float(one["value"][1])]) for one in data]
    given = {"query": expression, "start": str(span.begin), "end": str(span.end), "step": str(span.step)}
    data = ask("query_range", given)["result"]
    found = []
    for one in data:
        at = {round(float(moment)): float(value) for moment, value in one["values"]}
        line = [at.get(round(moment), math.nan) for moment in span.moments]
        if not all(map(math.isnan, line)):
            found.append(Series(_name(query, one["metric"]), one["metric"], line))
    return found


def _name(query: Query, labels: Mapping[str, str]) -> str:
    if not query.legend:
        return ", ".join(f"{name}={value}" for name, value in labels.items() if name != "__name__")
    return re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), query.legend)


def prometheus(port: int) -> Ask:
    """Asks a Prometheus on this machine."""

    def ask(path: str, given: Mapping[str, str]) -> Any:
        with urlopen(f"http://127.0.0.1:{port}/api/v1/{path}?{urlencode(given)}", timeout=30) as answer:
            return json.load(answer)["data"]

    return ask


def load(path: Path = DASHBOARD) -> Mapping[str, Any]:
    """The dashboard's JSON."""
    board: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return board
