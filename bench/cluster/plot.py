# SPDX-License-Identifier: MIT
"""How many times the rate of one process or gateway several have, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

from bench import bars
from bench.bars import Bar
from bench.directory.asking import WORKLOADS

_TITLE = "Searches per second of several processes or gateways, compared with one"
_HEAD = 24


@dataclass(frozen=True)
class Rates:
    """What was measured of several processes, or of several gateways.

    :ivar title: what they are.
    :ivar by_load: searches a second by number of processes or gateways, by the load's name; for a whole book, entries.
    :ivar goals: of two, by the load's name, as a multiple of one.
    """

    title: str
    by_load: Mapping[str, Mapping[int, float]]
    goals: Mapping[str, float] = field(default_factory=dict)

    def groups(self) -> list[tuple[str, list[Bar]]]:
        """The bars of each load."""
        return [(WORKLOADS[name].title, self._bars(name, rates)) for name, rates in self.by_load.items()]

    def _bars(self, name: str, rates: Mapping[int, float]) -> list[Bar]:
        fewest, goal = rates[min(rates)], self.goals.get(name)
        return [
            Bar(rate / fewest if fewest else 0.0, f"{rate:,.0f}", goal if count == 2 else None)
            for count, rate in rates.items()
        ]


def plot(measured: Sequence[Rates]) -> str:
    """Bars from zero, with the rates at their ends: for each load, one for each number of processes or gateways."""
    drawn = [(rates.title, rates.groups()) for rates in measured]
    shown = [bar for _, groups in drawn for _, group in groups for bar in group]
    most = max(2, *(ceil(max(bar.value, bar.goal or 0.0)) for bar in shown))
    tops = [bars.TOP]
    for _, groups in drawn:
        tops.append(tops[-1] + _HEAD + bars.height_of([group for _, group in groups]))

    def x(value: float) -> float:
        # The longest number has as many digits as an axis has room for at its right end.
        return round(bars.LEFT + value / most * (bars.WIDTH - bars.LEFT - 2 * bars.RIGHT), 1)

    counts = sorted({count for rates in measured for by_count in rates.by_load.values() for count in by_count})
    titles = " and ".join(title for title, _ in drawn)
    description = (
        f"Bars for {titles}: the length of each shows how many times as fast as one they are.  "
        "The numbers are searches a second; for the whole book, entries a second."
    )
    legend = [f"{count} of them" for count in counts]
    svg = bars.begin(_TITLE, legend, tops[-1] + 30, description)
    for times in range(most + 1):
        bars.mark(svg, x(times), f"{times} ×", bars.TOP, tops[-1], is_even=times == 1)
    for top, (title, groups) in zip(tops, drawn, strict=False):
        bars.add(svg, "text", title, x=6, y=top + 12, class_="quiet")
        bars.draw(svg, top + _HEAD, groups, x)
    return bars.written(svg)
