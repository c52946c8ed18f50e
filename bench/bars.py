# SPDX-License-Identifier: MIT
"""Bars in a picture (SVG) that is read on light and dark pages alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as Tree

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
WIDTH, LEFT, RIGHT, TOP = 760, 190, 60, 54
_BAR, _GAP = 16, 14

# Where a value is drawn, in pixels.
Axis = Callable[[float], float]


@dataclass(frozen=True)
class Bar:
    """A value, what is written at its end, and the goal that is marked."""

    value: float
    label: str
    goal: float | None = None


def begin(title: str, legend: Sequence[str], height: int, description: str = "") -> Tree.Element:
    """A picture with its legend.

    :param legend: what the first bar of each group is, the second, and so on.
    """
    svg = Tree.Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {height}", role="img")
    add(svg, "title", title)
    if description:
        add(svg, "desc", description)
    add(svg, "style", _STYLE)
    at = LEFT
    for number, text in enumerate(legend):
        add(svg, "rect", class_=f"size{number % 3}", x=at, y=14, width=12, height=12, rx=2)
        add(svg, "text", text, x=at + 18, y=25)
        at += 150
    _line(svg, "goal", at + 6, 12, 28)
    add(svg, "text", "goal", x=at + 16, y=25)
    return svg


def height_of(groups: Sequence[Sequence[Bar]]) -> int:
    """Pixels that groups of bars take."""
    return sum(len(bars) * _BAR + _GAP for bars in groups)


def mark(svg: Tree.Element, at: float, label: str, top: int, bottom: int, *, is_even: bool) -> None:
    """A line across all bars, and what is written below.

    :param is_even: whether it is what everything is compared with.
    """
    _line(svg, "even" if is_even else "grid", at, top - 6, bottom)
    add(svg, "text", label, x=at, y=bottom + 18, text_anchor="middle", class_="quiet")


def draw(svg: Tree.Element, top: int, groups: Sequence[tuple[str, Sequence[Bar]]], x: Axis) -> None:
    """Groups of bars from `LEFT`, each with a title."""
    for title, bars in groups:
        add(svg, "text", title, x=LEFT - 12, y=top + len(bars) * _BAR / 2 + 4, text_anchor="end")
        for number, bar in enumerate(bars):
            y, end = top + number * _BAR, x(bar.value)
            place = {"x": LEFT, "y": y + 1, "height": _BAR - 2, "rx": 2}
            add(svg, "rect", class_=f"size{number % 3}", width=round(end - LEFT, 1), **place)
            add(svg, "text", bar.label, x=end + 6, y=y + 13)
            if bar.goal is not None:
                _line(svg, "goal", x(bar.goal), y - 1, y + _BAR + 1)
        top += len(bars) * _BAR + _GAP


def written(svg: Tree.Element) -> str:
    """The file's text."""
    Tree.indent(svg)
    return Tree.tostring(svg, encoding="unicode") + "\n"


def add(svg: Tree.Element, name: str, text: str = "", /, **given: object) -> None:
    """An element; Python's names of attributes become SVG's."""
    attributes = {key.rstrip("_").replace("_", "-"): str(value) for key, value in given.items()}
    Tree.SubElement(svg, name, attributes).text = text or None


def _line(svg: Tree.Element, kind: str, x: float, top: float, bottom: float) -> None:
    add(svg, "line", class_=kind, x1=x, x2=x, y1=top, y2=bottom)
