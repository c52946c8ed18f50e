# SPDX-License-Identifier: MIT
"""How many times slapd's rate we have, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10

from bench import bars
from bench.bars import Bar
from bench.directory.rounds import Comparison


def plot(compared: Sequence[Comparison]) -> str:
    """Bars on a logarithmic scale: for each load that slapd gets too, one of each size, each with its goal."""
    compared = [one for one in compared if not one.workload.beside]
    sizes = list(dict.fromkeys(one.contacts for one in compared))
    loads = list(dict.fromkeys(one.workload for one in compared))
    times = {(one.workload, one.contacts): one.times() or 0.0 for one in compared}
    goals = {(one.workload, one.contacts): one.goal for one in compared}
    shown = [value for value in times.values() if value > 0] + [*goals.values()]
    low, high = min(-1, floor(log10(min(shown)))), max(2, ceil(log10(max(shown))))

    def x(value: float) -> float:
        part = (max(log10(value), low) - low) / (high - low) if value > 0 else 0.0
        return round(bars.LEFT + part * (bars.WIDTH - bars.LEFT - bars.RIGHT), 1)

    def bar(value: float, goal: float | None) -> Bar:
        return Bar(value, f"{value:.3g}", goal)

    cells = [(load, [(load, size) for size in sizes]) for load in loads]
    groups = [(load.title, [bar(times.get(cell, 0.0), goals.get(cell)) for cell in row]) for load, row in cells]
    bottom = bars.TOP + bars.height_of([group for _, group in groups])
    legend = [f"{size:,} contacts" for size in sizes]
    svg = bars.begin("Searches a second of ldapgw, as a multiple of slapd's", legend, bottom + 30)
    for decade in range(low, high + 1):
        label = "slapd" if decade == 0 else f"{10.0**decade:g} ×"
        bars.mark(svg, x(10.0**decade), label, bars.TOP, bottom, is_even=decade == 0)
    bars.draw(svg, bars.TOP, groups, x)
    return bars.written(svg)
