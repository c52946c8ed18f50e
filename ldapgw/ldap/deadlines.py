# SPDX-License-Identifier: MIT
"""When a connection has to be done with what it is at.

No timer for each: one sweep a second looks at all, so 10,000 idle connections cost a loop over floats.
"""

from __future__ import annotations

from enum import Enum, auto
from math import inf


class Overdue(Enum):
    """What to do with a connection that is late."""

    CLOSE = auto()
    ABORT = auto()


class Deadlines:
    """The moments, in the clock's seconds, at which patience ends; infinite: nothing is waited for.

    :ivar idle: for the next request.
    :ivar message: for the rest of a message that has begun.
    :ivar write: for the client to take what we wrote.
    :ivar handshake: for TLS to be ready.
    :ivar closing: for the connection to be gone.
    """

    __slots__ = ("closing", "handshake", "idle", "message", "write")

    def __init__(self) -> None:
        self.idle = self.message = self.write = self.handshake = self.closing = inf

    def overdue(self, now: float) -> Overdue | None:
        """Whether patience has ended, and how: a client that takes nothing cannot be told goodbye."""
        if now >= min(self.write, self.handshake, self.closing):
            return Overdue.ABORT
        return Overdue.CLOSE if now >= min(self.idle, self.message) else None
