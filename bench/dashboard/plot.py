# SPDX-License-Identifier: MIT
"""A row of the dashboard as a picture (SVG) that is read on light and dark pages alike, laid out as Grafana does."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from xml.etree import ElementTree as Tree

from bench.dashboard.board import Panel, Row, Series, Span

_COLORS = ("#3f8f37", "#c79a00", "#3274d9", "#e0752d", "#d62839", "#8f3bb8", "#0a9396", "#8a6d3b")
_COLORS_ON_DARK = ("#73bf69", "#f2cc0c", "#6ea6f5", "#ff9830", "#f2677c", "#ca95e5", "#4fd1c5", "#c9a66b")
_NAMED = {"green": 0, "orange": 3, "red": 4, "blue": 2}
_STYLE = "\n".join(
    (
        "text { font: 12px system-ui, sans-serif; fill: #333 }",
        ".title { font-weight: 600 }",
        ".quiet { fill: #666 }",
        ".big { font-size: 23px; font-weight: 600 }",
        ".panel { fill: #fff; stroke: #d5d5d5 }",
        ".grid { stroke: #8883 }",
        ".line { fill: none; stroke-width: 1.5; stroke-linejoin: round }",
        ".cell { fill: #e0752d }",
        *(f".s{at} {{ stroke: {color} }} .f{at} {{ fill: {color} }}" for at, color in enumerate(_COLORS)),
        "@media (prefers-color-scheme: dark) {",
        "  text { fill: #ddd }",
        "  .quiet { fill: #a5a5a5 }",
        "  .panel { fill: #1b1c20; stroke: #3a3b40 }",
        "  .cell { fill: #ff9830 }",
        *(f"  .s{at} {{ stroke: {color} }} .f{at} {{ fill: {color} }}" for at, color in enumerate(_COLORS_ON_DARK)),
        "}",
    )
)
# Pixels: of a column and a line of Grafana's grid, between panels, and around what a panel shows.
_COLUMN, _LINE, _GAP, _INSET = 40, 27, 8, 10
_TITLE, _AXIS, _TIMES, _LEGEND_LINE, _LEGEND_LINES = 36, 64, 18, 16, 3
# An estimate of a letter's width is enough to break lines of the legend.
_LETTER = 6.9
# Of the axis: each has round quarters.
_STEPS = (1, 2, 4, 6, 8, 10)
_UNITS = {"bytes": (1 << 20, "MiB"), "percentunit": (0.01, "%"), "ops": (1, "/s"), "reqps": (1, "req/s")}
_DURATIONS = ((86400 * 7, "weeks"), (86400, "days"), (3600, "hours"), (60, "min"), (1, "s"), (1e-3, "ms"), (1e-6, "µs"))


def plot(row: Row, answers: Mapping[str, Sequence[Series]], span: Span) -> str:
    """The panels of a row.

    :param answers: the series of each panel, by its title; none: the panel says that there is no data.
    """
    height = max(panel.y + panel.height for panel in row.panels) * _LINE
    svg = Tree.Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {24 * _COLUMN} {height}", role="img")
    add(svg, "title", f"The row {row.title} of the dashboard")
    add(svg, "style", f"\n{_STYLE}\n")
    for panel in row.panels:
        width, inner = panel.width * _COLUMN - _GAP, panel.height * _LINE - _GAP
        place = f"translate({panel.x * _COLUMN + _GAP // 2} {panel.y * _LINE + _GAP // 2})"
        group = Tree.SubElement(svg, "g", transform=place)
        add(group, "rect", class_="panel", width=width, height=inner, rx=3)
        add(group, "text", panel.title, class_="title", x=_INSET, y=20)
        series = answers[panel.title]
        if not series:
            add(group, "text", "No data", class_="quiet", x=width / 2, y=inner / 2 + 8, text_anchor="middle")
        else:
            {"stat": _stat, "timeseries": _timeseries, "heatmap": _heatmap, "table": _table}[panel.kind](
                group, panel, series, span, width, inner
            )
    Tree.indent(svg)
    return Tree.tostring(svg, encoding="unicode") + "\n"


def _stat(group: Tree.Element, panel: Panel, series: Sequence[Series], span: Span, width: int, height: int) -> None:
    value = series[0].values[-1]
    color = [name for least, name in panel.thresholds if value >= least][-1]
    text = panel.texts.get(value) or number(value, panel.unit)
    add(group, "text", text, class_=f"big f{_NAMED[color]}", x=width / 2, y=height / 2 + 18, text_anchor="middle")


def _table(group: Tree.Element, panel: Panel, series: Sequence[Series], span: Span, width: int, height: int) -> None:
    names = [name for name in series[0].labels if name != "__name__"]
    for column, name in enumerate(names):
        x = _INSET + column * (width - 2 * _INSET) / len(names)
        add(group, "text", name, class_="quiet", x=round(x, 1), y=_TITLE + 14)
        for line, one in enumerate(series):
            add(group, "text", one.labels.get(name, ""), x=round(x, 1), y=_TITLE + 34 + line * 18)


def _timeseries(
    group: Tree.Element, panel: Panel, series: Sequence[Series], span: Span, width: int, height: int
) -> None:
    # Lines that are not zero come first in the legend, because it has no room for all.
    order = sorted(range(len(series)), key=lambda at: not any(value > 0 for value in series[at].values))
    lines = _legend(group, [(series[at].name, at) for at in order], width, height)
    bottom = height - _INSET - lines * _LEGEND_LINE - _TIMES
    sums = _stacked(series) if panel.is_stacked else [[*one.values] for one in series]
    top = _ceiling(max((value for line in sums for value in line if math.isfinite(value)), default=0.0), panel.unit)

    def y(value: float) -> float:
        return round(bottom - value / top * (bottom - _TITLE), 1)

    for quarter in range(5):
        _mark(group, number(top * quarter / 4, panel.unit), y(top * quarter / 4), width)
    _times(group, span, bottom, width)
    x = _across(span, width)
    for at in reversed(order):
        color = at % len(_COLORS)
        for points in _pieces(span.moments, sums[at]):
            drawn = [f"{x(moment)} {y(value)}" for moment, value in points]
            if panel.is_stacked:
                below = {moment: sums[at - 1][place] if at else 0.0 for place, moment in enumerate(span.moments)}
                base = [f"{x(moment)} {y(below[moment])}" for moment, _ in reversed(points)]
                add(group, "path", class_=f"f{color}", opacity=0.2, d="M" + "L".join(drawn + base) + "z")
            add(group, "path", class_=f"line s{color}", d="M" + "L".join(drawn))


def _heatmap(group: Tree.Element, panel: Panel, series: Sequence[Series], span: Span, width: int, height: int) -> None:
    """How many searches a second fell into each bucket: Prometheus' buckets hold those of the smaller ones too."""
    buckets = sorted(series, key=lambda one: float(one.labels["le"]))
    counts = [[*buckets[0].values]]
    for lower, upper in pairwise(buckets):
        counts.append([max(0.0, more - less) for less, more in zip(lower.values, upper.values, strict=True)])
    used = [at for at, line in enumerate(counts) if any(value > 0 for value in line)]
    shown = range(max(0, used[0] - 1), min(len(counts), used[-1] + 2)) if used else range(len(counts))
    most = max((value for at in shown for value in counts[at] if math.isfinite(value)), default=0.0) or 1.0
    bottom = height - _INSET - _TIMES
    tall = (bottom - _TITLE) / len(shown)
    x = _across(span, width)
    every = max(1, math.ceil(14 / tall))
    for line, at in enumerate(shown):
        top = bottom - (line + 1) * tall
        edge = float(buckets[at].labels["le"])
        if line % every == 0:
            text = "more" if math.isinf(edge) else f"≤ {number(edge, panel.unit)}"
            add(group, "text", text, class_="quiet", x=_AXIS + 4, y=round(top + tall / 2 + 4, 1), text_anchor="end")
        # One path for each shade keeps the picture small.
        shades: dict[int, list[str]] = {}
        wide = x(span.moments[1]) - x(span.moments[0])
        for moment, value in zip(span.moments[:-1], counts[at][1:], strict=True):
            shade = math.ceil(value / most * 8) if value > 0 else 0
            if shade:
                cell = f"M{x(moment)} {top + 0.5:.1f}h{wide - 0.5:.1f}v{tall - 1:.1f}H{x(moment)}z"
                shades.setdefault(shade, []).append(cell)
        for shade, cells in sorted(shades.items()):
            add(group, "path", class_="cell", opacity=shade / 8, d="".join(cells))
    _times(group, span, bottom, width)


def _stacked(series: Sequence[Series]) -> list[list[float]]:
    sums: list[list[float]] = []
    for one in series:
        below = sums[-1] if sums else [0.0] * len(one.values)
        sums.append(
            [less + (0.0 if math.isnan(value) else value) for less, value in zip(below, one.values, strict=True)]
        )
    return sums


def _pieces(moments: Sequence[float], values: Sequence[float]) -> list[list[tuple[float, float]]]:
    """The parts of a line between its gaps."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for moment, value in zip(moments, values, strict=True):
        if math.isfinite(value):
            pieces[-1].append((moment, value))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if len(piece) > 1]


def _legend(group: Tree.Element, names: Sequence[tuple[str, int]], width: int, height: int) -> int:
    """As many names as fit into the lines of the legend; the number of lines."""
    lines: list[list[tuple[str, int, float]]] = [[]]
    x = float(_INSET)
    left = len(names)
    for name, at in names:
        wide = 16 + len(name) * _LETTER + 10
        if x + wide > width - _INSET and lines[-1]:
            if len(lines) == _LEGEND_LINES:
                break
            lines.append([])
            x = float(_INSET)
        lines[-1].append((name, at, x))
        x += wide
        left -= 1
    if left and x + 10 * _LETTER > width - _INSET:
        _, _, x = lines[-1].pop()
        left += 1
    for line, entries in enumerate(lines):
        y = height - _INSET - (len(lines) - 1 - line) * _LEGEND_LINE
        for name, at, start in entries:
            add(group, "rect", class_=f"f{at % len(_COLORS)}", x=round(start, 1), y=y - 5, width=11, height=3, rx=1)
            add(group, "text", name, class_="quiet", x=round(start + 16, 1), y=y)
    if left:
        add(group, "text", f"and {left} more", class_="quiet", x=round(x, 1), y=height - _INSET)
    return len(lines)


def _across(span: Span, width: int) -> _Scale:
    return _Scale(span.begin, span.end, _AXIS + 8, width - _INSET)


class _Scale:
    """Where a moment is drawn."""

    def __init__(self, begin: float, end: float, left: float, right: float) -> None:
        self._begin, self._end, self._left, self._right = begin, end, left, right

    def __call__(self, moment: float) -> float:
        part = (moment - self._begin) / (self._end - self._begin)
        return round(self._left + part * (self._right - self._left), 1)


def _mark(group: Tree.Element, text: str, y: float, width: int) -> None:
    add(group, "line", class_="grid", x1=_AXIS + 8, x2=width - _INSET, y1=y, y2=y)
    add(group, "text", text, class_="quiet", x=_AXIS + 4, y=y + 4, text_anchor="end")


def _times(group: Tree.Element, span: Span, bottom: float, width: int) -> None:
    x = _across(span, width)
    for part in (1, 3, 5):
        moment = span.begin + (span.end - span.begin) * part / 6
        moment -= moment % 60
        text = time.strftime("%H:%M", time.gmtime(moment))
        add(group, "text", text, class_="quiet", x=x(moment), y=bottom + 15, text_anchor="middle")


def _ceiling(value: float, unit: str) -> float:
    """The least round number, in the unit that it is written in, that a value fits under."""
    if value <= 0:
        return 1.0
    size, _ = _size(value, unit)
    power: float = 10.0 ** math.floor(math.log10(value / size))
    return next(step * power * size for step in _STEPS if step * power * size >= value * 0.9999)


def _size(value: float, unit: str) -> tuple[float, str]:
    """The unit that a value is written in: its size in the panel's unit, and its name."""
    if unit == "s":
        return next((one for one in _DURATIONS if abs(value) >= one[0]), _DURATIONS[-1])
    return _UNITS.get(unit, (1, ""))


def number(value: float, unit: str) -> str:
    """A value in one of Grafana's units."""
    if value == 0:
        return "0"
    size, name = _size(value, unit)
    value /= size
    return f"{value:,.0f} {name}".rstrip() if abs(value) >= 100 else f"{value:.3g} {name}".rstrip()


def add(parent: Tree.Element, name: str, text: str = "", /, **given: object) -> None:
    """Add an element; Python's names of attributes become SVG's."""
    attributes = {key.rstrip("_").replace("_", "-"): str(value) for key, value in given.items()}
    Tree.SubElement(parent, name, attributes).text = text or None
