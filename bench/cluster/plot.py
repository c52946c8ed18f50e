# SPDX-License-Identifier: MIT
"""How many times the rate of one gateway several gateways have, as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from bench import bars
from bench.bars import Bar
from bench.directory.asking import WORKLOADS

# Searches a second by number of gateways, by the load's name; for a whole book, entries.
ByLoad = Mapping[str, Mapping[int, float]]

_TITLE = "Searches per second of several gateways, compared with one"
_DESCRIPTION = (
    "Bars for gateways on PostgreSQL: the length of each bar shows how many times as fast as one gateway they are.  "
    "The numbers are searches a second; for the whole book, entries a second."
)


def plot(by_load: ByLoad) -> str:
    """Draw bars from zero, with the rates at their ends: for each load, a bar for each number of gateways."""
    groups = [(WORKLOADS[name].title, _bars(rates)) for name, rates in by_load.items()]
    most = max(2, *(ceil(bar.value) for _, group in groups for bar in group))
    bottom = bars.TOP + bars.height_of([group for _, group in groups])

    def x(value: float) -> float:
        # The longest number has as many digits as an axis has room for at its right end.
        return round(bars.LEFT + value / most * (bars.WIDTH - bars.LEFT - 2 * bars.RIGHT), 1)

    legend = [f"{count} of them" for count in sorted({count for rates in by_load.values() for count in rates})]
    svg = bars.begin(_TITLE, legend, bottom + 30, _DESCRIPTION)
    for times in range(most + 1):
        bars.mark(svg, x(times), f"{times} ×", bars.TOP, bottom, is_even=times == 1)
    bars.draw(svg, bars.TOP, groups, x)
    return bars.written(svg)


def _bars(rates: Mapping[int, float]) -> list[Bar]:
    fewest = rates[min(rates)]
    return [Bar(rate / fewest if fewest else 0.0, f"{rate:,.0f}", None) for rate in rates.values()]
