# SPDX-License-Identifier: MIT
"""When a connection has to be done with what it is at.

No timer for each: one sweep a second compares `Deadlines.due` of all with the clock, so 10,000 idle connections cost a
loop over floats.
"""

from __future__ import annotations

from enum import Enum, auto
from math import inf


class Overdue(Enum):
    """What to do with a connection that is late."""

    CLOSE = auto()
    ABORT = auto()


class Wait(Enum):
    """What is waited for, by the name of its moment in `Deadlines`."""

    IDLE = "idle"
    MESSAGE = "message"
    WRITE = "write"
    HANDSHAKE = "handshake"
    CLOSING = "closing"


class Deadlines:
    """The moments, in the clock's seconds, at which patience ends; infinite: nothing is waited for.

    :ivar idle: for the next request.
    :ivar message: for the rest of a message that has begun.
    :ivar write: for the client to take what we wrote.
    :ivar handshake: for TLS to be ready.
    :ivar closing: for the connection to be gone.
    :ivar due: none of them is earlier.  It may be too early, never too late: moments are put off without touching it.
    """

    __slots__ = ("closing", "due", "handshake", "idle", "message", "write")

    def __init__(self) -> None:
        self.idle = self.message = self.write = self.handshake = self.closing = self.due = inf

    def set(self, wait: Wait, moment: float) -> None:
        """Wait for something until that moment."""
        setattr(self, wait.value, moment)
        self.due = min(self.due, moment)

    def overdue(self, now: float) -> Overdue | None:
        """Whether patience has ended, and how: a client that takes nothing cannot be told goodbye."""
        cut = min(self.write, self.handshake, self.closing)
        close = min(self.idle, self.message)
        self.due = min(cut, close)
        if now >= cut:
            return Overdue.ABORT
        return Overdue.CLOSE if now >= close else None
