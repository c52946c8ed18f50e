# SPDX-License-Identifier: MIT
"""How many times slapd's rate we have, as a picture (SVG) that is read on light and dark pages alike."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10
from xml.etree import ElementTree as Tree

from bench.directory.rounds import Comparison

_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #333 }
.quiet { fill: #777 }
.grid { stroke: #8884 }
.even { stroke: #777; stroke-width: 1.5 }
.goal { stroke: #c2410c; stroke-width: 2.5 }
.size0 { fill: #7dadd9 }
.size1 { fill: #2563a8 }
.size2 { fill: #123a66 }
@media (prefers-color-scheme: dark) {
  text { fill: #ddd }
  .quiet { fill: #999 }
  .goal { stroke: #fb923c }
  .size0 { fill: #2f5f8f }
  .size1 { fill: #5b9bd5 }
  .size2 { fill: #b3d4f2 }
}
"""
_WIDTH, _LEFT, _RIGHT, _TOP, _BAR, _GAP = 760, 190, 60, 54, 16, 14


def plot(compared: Sequence[Comparison]) -> str:
    """Bars on a logarithmic scale: for each load that slapd gets too, one of each size, each with its goal."""
    compared = [one for one in compared if not one.workload.beside]
    sizes = list(dict.fromkeys(one.contacts for one in compared))
    loads = list(dict.fromkeys(one.workload for one in compared))
    times = {(one.workload, one.contacts): one.times() or 0.0 for one in compared}
    goals = {(one.workload, one.contacts): one.goal for one in compared}
    shown = [value for value in times.values() if value > 0] + [*goals.values()]
    low, high = min(-1, floor(log10(min(shown)))), max(2, ceil(log10(max(shown))))
    group = len(sizes) * _BAR + _GAP
    bottom = _TOP + len(loads) * group

    def x(value: float) -> float:
        part = (max(log10(value), low) - low) / (high - low) if value > 0 else 0.0
        return round(_LEFT + part * (_WIDTH - _LEFT - _RIGHT), 1)

    svg = Tree.Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {_WIDTH} {bottom + 30}", role="img")
    _add(svg, "title", "Searches a second of ldapgw, as a multiple of slapd's")
    _add(svg, "style", _STYLE)
    _legend(svg, sizes)
    for decade in range(low, high + 1):
        at = x(10.0**decade)
        _line(svg, "even" if decade == 0 else "grid", at, _TOP - 6, bottom)
        label = "slapd" if decade == 0 else f"{10.0**decade:g} ×"
        _add(svg, "text", label, x=at, y=bottom + 18, text_anchor="middle", class_="quiet")
    for row, load in enumerate(loads):
        top = _TOP + row * group
        _add(svg, "text", load.title, x=_LEFT - 12, y=top + len(sizes) * _BAR / 2 + 4, text_anchor="end")
        for at, size in enumerate(sizes):
            value = times.get((load, size), 0.0)
            place = {"x": x(10.0**low), "y": top + at * _BAR + 1, "height": _BAR - 2}
            _add(svg, "rect", class_=f"size{at % 3}", width=round(x(value) - x(10.0**low), 1), rx=2, **place)
            _add(svg, "text", f"{value:.3g}", x=x(value) + 6, y=top + at * _BAR + 13)
            if (load, size) in goals:
                _line(svg, "goal", x(goals[load, size]), top + at * _BAR - 1, top + (at + 1) * _BAR + 1)
    Tree.indent(svg)
    return Tree.tostring(svg, encoding="unicode") + "\n"


def _legend(svg: Tree.Element, sizes: Sequence[int]) -> None:
    at = _LEFT
    for number, size in enumerate(sizes):
        _add(svg, "rect", class_=f"size{number % 3}", x=at, y=14, width=12, height=12, rx=2)
        _add(svg, "text", f"{size:,} contacts", x=at + 18, y=25)
        at += 150
    _line(svg, "goal", at + 6, 12, 28)
    _add(svg, "text", "goal", x=at + 16, y=25)


def _line(svg: Tree.Element, kind: str, x: float, top: float, bottom: float) -> None:
    _add(svg, "line", class_=kind, x1=x, x2=x, y1=top, y2=bottom)


def _add(svg: Tree.Element, name: str, text: str = "", /, **given: object) -> None:
    """An element; Python's names of attributes become SVG's."""
    attributes = {key.rstrip("_").replace("_", "-"): str(value) for key, value in given.items()}
    Tree.SubElement(svg, name, attributes).text = text or None
