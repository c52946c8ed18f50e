# SPDX-License-Identifier: MIT
"""Wrong passwords get slower and slower, per network that they come from.

Only the answer to a wrong one is held back, so a colleague behind the same address notices nothing.  The table is
bounded: what was quiet longest is forgotten first.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

# Seconds: the first wrong password is a slip of the finger, the tenth is not.
FIRST: Final = 0.25
LONGEST: Final = 8.0
# Seconds without a wrong one, after which the past is forgotten.
FORGET: Final = 600.0
MOST: Final = 10_000


class Penalties:
    """Counts wrong passwords by network; no clock, the time is passed in."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def add(self, network: str, now: float) -> tuple[int, float]:
        """Count one wrong password.

        :returns: how many there were lately, this one included, and for how many seconds to hold the answer back.
        """
        count, last = self._counts.pop(network, (0, now))
        count = count + 1 if now - last < FORGET else 1
        self._counts[network] = (count, now)
        if len(self._counts) > MOST:
            self._counts.popitem(last=False)
        return count, min(FIRST * 2.0 ** min(count - 1, 10), LONGEST)
