# SPDX-License-Identifier: MIT
"""A reactor's turn: what came in it is answered together.

First all that can be is found, then all of it is sent, then taken note of; what takes the long way comes last.  Doing
the same thing several times over keeps the processor's caches warm, and to send while the clients are awake already
spares waking each of them: on a virtual machine, that took longer than to find an answer (docs/decisions/0051).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from ldapgw.ldap.shortcut import Answered

# Once all that came has been received, no answer waits for more than so many others that are found: some 0.2 ms.
_MOST: Final = 16

# Has something called once, at the end of this turn.
AtEnd = Callable[[Callable[[], None]], object]


class Connection(Protocol):
    """What a turn asks of a connection."""

    def find(self) -> Answered | None:
        """The answer to what came; None: it has to take the long way."""

    def send(self, octets: bytes) -> None:
        """Send this now."""

    def note(self, answered: Answered, now: float, seconds: float) -> None:
        """Take note of what was answered by now, so many seconds after it was looked at."""

    def work(self) -> None:
        """Take the long way."""


class Turn:
    """What came, and what is ready to be sent.

    :param at_end: calls something at the end of the reactor's turn.
    :ivar seconds: the reactor's time.
    """

    __slots__ = ("_at_end", "_came", "_due", "_ready", "seconds")

    def __init__(self, seconds: Callable[[], float], at_end: AtEnd) -> None:
        self.seconds = seconds
        self._at_end = at_end
        self._came: list[Connection] = []
        self._ready: list[tuple[Connection, bytes]] = []
        self._due = False

    def add(self, connection: Connection) -> None:
        """Something came."""
        self._came.append(connection)
        if not self._due:
            self._due = True
            self._at_end(self._end)

    def end(self) -> None:
        """Answer all that came."""
        came, self._came = self._came, []
        slow: list[Connection] = []
        for start in range(0, len(came), _MOST):
            slow += self._answer(came[start : start + _MOST])
        for connection in slow:
            connection.work()
        self.leave()

    def post(self, connection: Connection, octets: bytes) -> None:
        """Have the end of an answer sent with others."""
        self._ready.append((connection, octets))
        if len(self._ready) >= _MOST:
            self.leave()

    def leave(self) -> None:
        """Send what was posted: before what may last, and before what has to come behind it."""
        if self._ready:
            ready, self._ready = self._ready, []
            for connection, octets in ready:
                connection.send(octets)

    def _end(self) -> None:
        self._due = False
        self.end()

    def _answer(self, came: list[Connection]) -> list[Connection]:
        """Answer what can be at once; who has to take the long way."""
        began = self.seconds()
        found = [(connection, connection.find()) for connection in came]
        answered = [(connection, one) for connection, one in found if one is not None]
        for connection, answer in answered:
            connection.send(answer.octets)
        now = self.seconds()
        for connection, answer in answered:
            connection.note(answer, now, now - began)
        return [connection for connection, one in found if one is None]
