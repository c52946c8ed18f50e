# SPDX-License-Identifier: MIT
"""Wrong passwords get slower and slower: per network that they come from, and per login that they are tried on.

Only the answer to a wrong one is held back, so neither a colleague behind the same address nor the phone whose login is
being tried notices anything.  The table is bounded: what was quiet longest is forgotten first.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

# Seconds: the first wrong password is a slip of the finger, the tenth is not.
FIRST: Final = 0.25
LONGEST: Final = 8.0
# Seconds without a wrong one, after which the past is forgotten.
FORGET: Final = 600.0
MOST: Final = 20_000


class Penalties:
    """Counts wrong passwords by network and by login; no clock, the time is passed in."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        # Logins by their hash: what somebody types where a name belongs may be a password.
        self._counts: OrderedDict[str | int, tuple[int, float]] = OrderedDict()

    def add(self, network: str, login: str, now: float) -> float:
        """Count one wrong password.

        :param login: the name that was tried, in whichever spelling.
        :returns: for how many seconds to hold the answer back.
        """
        count = max(self._count(network, now), self._count(hash(_bare(login)), now))
        return min(FIRST * 2.0 ** min(count - 1, 10), LONGEST)

    def _count(self, key: str | int, now: float) -> int:
        count, last = self._counts.pop(key, (0, now))
        count = count + 1 if now - last < FORGET else 1
        self._counts[key] = (count, now)
        if len(self._counts) > MOST:
            self._counts.popitem(last=False)
        return count


def _bare(login: str) -> str:
    """The value of the first RDN, or the bare name: both spellings of a login are one."""
    attribute, equals, rest = login.lower().partition("=")
    return (rest.partition(",")[0] if equals else attribute).strip()
