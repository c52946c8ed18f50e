# SPDX-License-Identifier: MIT
"""What clients do wrong, counted, so that none of them fills the log.

Of one kind and one origin there is one line a minute, with how many there were.  The table is bounded: when it is full,
whoever comes new is counted together with all others.  No clock here; the time is passed in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

# Seconds between two lines about the same.
PAUSE: Final = 60.0
# Origins that are told apart.  An attacker with an IPv6 network has 65,536 of them.
MOST: Final = 200
OTHERS: Final = "others"


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is worth a line now.

    :ivar kind: what was done.
    :ivar origin: from where: a network, or a place in our code.
    :ivar count: how often since the last line.
    :ivar detail: a fixed phrase about the last time, never what was sent; may be empty.
    """

    kind: str
    origin: str
    count: int
    detail: str


class Complaints:
    """Counts by kind and origin."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        # When it was told last, how many came since, and the last one's detail.
        self._counts: dict[tuple[str, str], tuple[float, int, str]] = {}

    def add(self, kind: str, origin: str, now: float, detail: str = "") -> Complaint | None:
        """Count one more; what to tell of it now: the first at once, the others later."""
        if (kind, origin) not in self._counts and len(self._counts) >= MOST:
            origin = OTHERS
        told, count, _ = self._counts.get((kind, origin), (now - PAUSE, 0, ""))
        if now - told < PAUSE:
            self._counts[kind, origin] = (told, count + 1, detail)
            return None
        self._counts[kind, origin] = (now, 0, detail)
        return Complaint(kind, origin, count + 1, detail)

    def due(self, now: float, pause: float = PAUSE) -> Iterator[Complaint]:
        """What has come since its last line, where that was long ago; what was quiet since is forgotten.

        :param pause: how long ago that is, in seconds; 0: all that is left to tell.
        """
        for (kind, origin), (told, count, detail) in list(self._counts.items()):
            if now - told < pause:
                continue
            if count:
                self._counts[kind, origin] = (now, 0, detail)
                yield Complaint(kind, origin, count, detail)
            else:
                del self._counts[kind, origin]
