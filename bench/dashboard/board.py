# SPDX-License-Identifier: MIT
"""The dashboard as Grafana shows it: Prometheus' answers to the panels' queries, drawn as a picture (SVG) of each row.

The picture adapts to light and dark pages.
"""

from __future__ import annotations

import io
import json
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from tests.support.checkout import ROOT

DASHBOARD = ROOT / "etc" / "grafana" / "ldapgw.json"
_LABEL_VALUES = re.compile(r"label_values\((?P<series>.+), (?P<label>\w+)\)")

# Prometheus' HTTP API returns this value as `data` for a path and its parameters.
Ask = Callable[[str, Mapping[str, str]], Any]
# A panel, as the dashboard's JSON has it.
Panel = Mapping[str, Any]


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


def load() -> Any:
    return json.loads(DASHBOARD.read_text(encoding="utf-8"))


def rows(board: Mapping[str, Any]) -> dict[str, list[Panel]]:
    """Return the panels of each row, by the row's title."""
    found: dict[str, list[Panel]] = {}
    for panel in sorted(board["panels"], key=lambda one: (one["gridPos"]["y"], one["gridPos"]["x"])):
        if panel["type"] == "row":
            row = found[panel["title"]] = []
        else:
            row.append(panel)
    return found


# --- queries ---


def prometheus(port: int) -> Ask:

    def ask(path: str, given: Mapping[str, str]) -> Any:
        with urlopen(f"http://127.0.0.1:{port}/api/v1/{path}?{urlencode(given)}", timeout=30) as answer:
            return json.load(answer)["data"]

    return ask


def variables(board: Mapping[str, Any], ask: Ask) -> dict[str, str]:
    """Return the values of the dashboard's variables: the first job, and a pattern of all other values."""
    found: dict[str, str] = {}
    for one in board["templating"]["list"]:
        if asked := _LABEL_VALUES.fullmatch(_filled(one.get("definition", ""), found)):
            values = ask(f"label/{asked['label']}/values", {"match[]": asked["series"]})
            found[one["name"]] = f"({'|'.join(map(re.escape, values))})" if one["includeAll"] else values[0]
    return found


def _filled(expression: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\$(\w+)", lambda found: values.get(found[1], found[0]).replace("\\", "\\\\"), expression)


def answers(panel: Panel, values: Mapping[str, str], span: Span, ask: Ask) -> list[Series]:
    """Return Prometheus' answers to the queries of a panel; empty: there is no data.

    :param values: the values of the variables.
    """
    return [series for query in panel["targets"] for series in _answer(query, values, span, ask)]


def _answer(query: Mapping[str, Any], values: Mapping[str, str], span: Span, ask: Ask) -> list[Series]:
    expression, legend = _filled(query["expr"], values), query["legendFormat"]
    if query.get("instant"):
        data = ask("query", {"query": expression, "time": str(span.end)})["result"]
        return [Series(_name(legend, one["metric"]), one["metric"], [float(one["value"][1])]) for one in data]
    given = {"query": expression, "start": str(span.begin), "end": str(span.end), "step": str(span.step)}
    found = []
    for one in ask("query_range", given)["result"]:
        at = {round(float(moment)): float(value) for moment, value in one["values"]}
        line = [at.get(round(moment), math.nan) for moment in span.moments]
        if not all(map(math.isnan, line)):
            found.append(Series(_name(legend, one["metric"]), one["metric"], line))
    return found


def _name(legend: str, labels: Mapping[str, str]) -> str:
    if not legend:
        return ", ".join(f"{name}={value}" for name, value in labels.items() if name != "__name__")
    return re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), legend)


# --- pictures ---

_COLORS = ("#3f8f37", "#c79a00", "#3274d9", "#e0752d", "#d62839", "#8f3bb8", "#0a9396", "#8a6d3b")
_NAMED = {"green": _COLORS[0], "orange": _COLORS[3], "red": _COLORS[4], "blue": _COLORS[2]}
# The texts stay texts, and the ids of elements are always the same.
_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "ldapgw",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.prop_cycle": mpl.cycler(color=_COLORS),
}
# On dark pages, light and dark are exchanged, and colors stay.
_DARK = "<style>@media (prefers-color-scheme: dark) { svg { filter: invert(1) hue-rotate(180deg) } }</style>"
# Grafana's grid, and the points of a column and of a line.
_COLUMNS, _COLUMN, _LINE = 24, 40, 27
# The legend has at most so many names, which need most of its room.
_MOST_NAMES = 9
_UNITS = {"bytes": (1 << 20, "MiB"), "percentunit": (0.01, "%"), "ops": (1, "/s"), "reqps": (1, "req/s")}
_DURATIONS = ((86400 * 7, "weeks"), (86400, "days"), (3600, "hours"), (60, "min"), (1, "s"), (1e-3, "ms"), (1e-6, "µs"))


def plot(title: str, panels: Sequence[Panel], found: Mapping[str, Sequence[Series]], span: Span) -> str:
    """Return the picture of a row.

    :param found: the series of each panel, by its title; if there is none, the panel says that there is no data.
    """
    top = min(panel["gridPos"]["y"] for panel in panels)
    lines = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) - top
    written = io.StringIO()
    with mpl.rc_context(_SETTINGS):
        figure = Figure(
            figsize=(_COLUMNS * _COLUMN / 72, lines * _LINE / 72), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.12)
        )
        grid = figure.add_gridspec(lines, _COLUMNS)
        for panel in panels:
            x, y = panel["gridPos"]["x"], panel["gridPos"]["y"] - top
            axes = figure.add_subplot(grid[y : y + panel["gridPos"]["h"], x : x + panel["gridPos"]["w"]])
            axes.set_title(panel["title"], loc="left", fontsize=9, fontweight="bold")
            axes.spines[:].set_visible(False)
            if series := found[panel["title"]]:
                _DRAW[panel["type"]](axes, panel, series, span)
            else:
                _write(axes, "No data", color="#666")
        figure.savefig(written, format="svg", metadata={"Date": None, "Title": f"The row {title} of the dashboard"})
    return written.getvalue().replace("<defs>", f"{_DARK}\n <defs>", 1)


def _write(axes: Axes, text: str, **style: Any) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, **style)


def _stat(axes: Axes, panel: Panel, series: Sequence[Series], span: Span) -> None:
    value, defaults = series[0].values[-1], panel["fieldConfig"]["defaults"]
    texts = {float(key): told["text"] for one in defaults.get("mappings", ()) for key, told in one["options"].items()}
    steps = defaults["thresholds"]["steps"]
    color = [one["color"] for one in steps if one["value"] is None or value >= one["value"]][-1]
    _write(axes, texts.get(value) or number(value, _unit(panel)), fontsize=18, fontweight="bold", color=_NAMED[color])


def _table(axes: Axes, panel: Panel, series: Sequence[Series], span: Span) -> None:
    names = [name for name in series[0].labels if name != "__name__"]
    cells = [[one.labels.get(name, "") for name in names] for one in series]
    axes.set_axis_off()
    axes.table(cells, colLabels=names, loc="upper left", cellLoc="left", colLoc="left", edges="open")


def _timeseries(axes: Axes, panel: Panel, series: Sequence[Series], span: Span) -> None:
    if panel["fieldConfig"]["defaults"].get("custom", {}).get("stacking", {}).get("mode") == "normal":
        values = [[0.0 if math.isnan(value) else value for value in one.values] for one in series]
        drawn: Sequence[Any] = axes.stackplot(span.moments, values, alpha=0.7)
    else:
        drawn = [line for one in series for line in axes.plot(span.moments, one.values)]
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _at: number(value, _unit(panel)))
    axes.grid(axis="y", alpha=0.3)
    _show_times(axes, span)
    # Lines that are not zero come first in the legend, because the legend has no room for all lines.
    order = sorted(range(len(series)), key=lambda at: not any(value > 0 for value in series[at].values))
    shown = order[:_MOST_NAMES]
    texts = [series[at].name for at in shown]
    if len(order) > len(shown):
        texts[-1] = f"{texts[-1]} and {len(order) - len(shown)} more"
    style: dict[str, Any] = {"ncols": 3, "frameon": False, "fontsize": 8, "columnspacing": 1}
    place = {"loc": "upper left", "bbox_to_anchor": (-0.1, -0.15), "borderaxespad": 0.0}
    axes.legend([drawn[at] for at in shown], texts, **style, **place)


def _heatmap(axes: Axes, panel: Panel, series: Sequence[Series], span: Span) -> None:
    """Draw how many searches a second fell into each bucket: Prometheus' buckets hold those of smaller ones too."""
    buckets = sorted(series, key=lambda one: float(one.labels["le"]))
    counts = [list(buckets[0].values)]
    for lower, upper in pairwise(buckets):
        counts.append([max(0.0, more - less) for less, more in zip(lower.values, upper.values, strict=True)])
    used = [at for at, line in enumerate(counts) if any(value > 0 for value in line)] or [0, len(counts) - 1]
    shown = range(max(0, used[0] - 1), min(len(counts), used[-1] + 2))
    axes.pcolormesh(span.moments, range(len(shown)), [counts[at] for at in shown], cmap="Oranges", shading="nearest")
    edges = [float(buckets[at].labels["le"]) for at in shown]
    texts = ["more" if math.isinf(edge) else f"≤ {number(edge, _unit(panel))}" for edge in edges]
    axes.set_yticks(range(len(shown)), texts)
    _show_times(axes, span)


def _show_times(axes: Axes, span: Span) -> None:
    ticks = [span.begin + (span.end - span.begin) * part / 6 for part in (1, 3, 5)]
    ticks = [moment - moment % 60 for moment in ticks]
    axes.set_xticks(ticks, [time.strftime("%H:%M", time.gmtime(moment)) for moment in ticks])
    axes.set_xlim(span.begin, span.end)


_DRAW: Mapping[str, Callable[[Axes, Panel, Sequence[Series], Span], None]] = {
    "stat": _stat,
    "table": _table,
    "timeseries": _timeseries,
    "heatmap": _heatmap,
}


def _unit(panel: Panel) -> str:
    unit: str = panel["options"].get("yAxis", {}).get("unit") or panel["fieldConfig"]["defaults"].get("unit", "none")
    return unit


def number(value: float, unit: str) -> str:
    """Return a value in one of Grafana's units."""
    if value == 0:
        return "0"
    if unit == "s":
        size, name = next((one for one in _DURATIONS if abs(value) >= one[0]), _DURATIONS[-1])
    else:
        size, name = _UNITS.get(unit, (1, ""))
    value /= size
    return f"{value:,.0f} {name}".rstrip() if abs(value) >= 100 else f"{value:.3g} {name}".rstrip()
