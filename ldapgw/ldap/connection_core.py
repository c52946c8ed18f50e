# SPDX-License-Identifier: MIT
"""A reactor's turn: what came in it is answered together.

First all that can be is found, then all of it is sent, then taken note of; what takes the long way comes last.  Doing
the same thing several times over keeps the processor's caches warm, and to send while the clients are awake already
spares waking each of them: on a virtual machine, that took longer than to find an answer (docs/decisions/0051).

What nearly all requests run through of a connection: received, found, sent, noted, and nothing else.

It is apart from the connection so that it can be compiled, which a protocol of Twisted's cannot (docs/decisions/0042).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from ldapgw.errors import ResultCode
from ldapgw.ldap.admission import Deadlines
from ldapgw.ldap.fast_path import Answered
from ldapgw.ldap.framing import Framer
from ldapgw.ldap.messages import Result
from ldapgw.ldap.search_response import Answer, Outbox
from ldapgw.ldap.session import Observer, Session
from ldapgw.ldap.socket_io import Writer

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


class Server(Protocol):
    """What a line needs of the factory that made its connection."""

    turn: Turn
    observers: tuple[Observer, ...]

    def fail(self, error: Exception) -> None:
        """Count what we did wrong ourselves."""


class Owner(Protocol):
    """What a line needs of its connection."""

    def work(self) -> None:
        """Take the long way."""

    def give_up(self) -> None:
        """End the connection, after an error of our own."""


class Line:
    """A connection as a turn sees it (`ldapgw.ldap.connection_core.Connection`).

    :param framer: keeps what takes the long way.
    :param patience: seconds that the client may be silent.
    :ivar arrived: what came in this turn, while nothing else was under way.
    :ivar at_work: whether later turns go on with the connection.
    :ivar closing: whether the connection ends, and nothing that comes counts.
    """

    __slots__ = (
        *("_address", "_deadlines", "_fail", "_framer", "_observers", "_owner", "_patience", "_session", "_turn"),
        *("arrived", "at_work", "closing", "writer"),
    )

    def __init__(
        self,
        owner: Owner,
        server: Server,
        session: Session,
        framer: Framer,
        writer: Writer,
        deadlines: Deadlines,
        address: str,
        patience: float,
    ) -> None:
        self.arrived = b""
        self.at_work = False
        self.closing = False
        self.writer = writer
        self._owner = owner
        self._turn = server.turn
        self._framer = framer
        self._observers = server.observers
        self._fail = server.fail
        self._session = session
        self._deadlines = deadlines
        self._address = address
        self._patience = patience

    def receive(self, octets: bytes) -> None:
        """Have the turn work on what came, unless we are at it already."""
        if self.closing:
            return
        if self.arrived or self.at_work or self.writer.blocked or self._framer.partial:
            self.hand_over()
            self._framer.feed(octets)
        else:
            self.arrived = octets
        if not self.at_work:
            self._turn.add(self)

    def hand_over(self) -> None:
        """What came takes the long way."""
        self._framer.feed(self.arrived)
        self.arrived = b""

    def find(self) -> Answered | None:
        """The answer to what came, past everything; None: it has to take the long way."""
        if not self.arrived:
            return None
        try:
            answered = self._session.answer_at_once(self.arrived)
        except Exception as error:  # noqa: BLE001 - the long way knows what to say then
            self._fail(error)
            return None
        if answered is not None:
            self.arrived = b""
        return answered

    def send(self, octets: bytes) -> None:
        """Send what was found, or what the long way has posted."""
        try:
            self.writer.write(octets)
        except Exception as error:  # noqa: BLE001 - what is wrong with one connection ends there
            self._fail(error)
            self._owner.give_up()

    def pull(self, answer: Answer, outbox: Outbox, now: float, end: float) -> Result | None:
        """Pull more of a search that runs, and write whenever that is enough, until a time.

        :returns: how the search ended, or None while it goes on.
        """
        seconds = self._turn.seconds
        while True:
            result = answer.pull(outbox, now)
            if outbox.full:
                self._turn.leave()
                self.writer.write_pieces(outbox.take_pieces())
            if result is not None or self.writer.blocked:
                return result
            now = seconds()
            if now >= end:
                return None

    def note(self, answered: Answered, now: float, seconds: float) -> None:
        """Take note of what was answered at once."""
        self._deadlines.idle = now + self._patience
        if answered.search:
            self.observe(answered.search, answered.entries, answered.code, seconds)

    def observe(self, search: bytes, entries: int, code: ResultCode, seconds: float) -> None:
        """Tell of a search that is done (`ldapgw.ldap.session.Observer`)."""
        login = self._session.viewer.login
        for observer in self._observers:
            try:
                observer(login, self._address, search, entries, code, seconds)
            except Exception as error:  # noqa: BLE001 - it is answered, whoever misses it
                self._fail(error)

    def work(self) -> None:
        """Take the long way."""
        self._owner.work()

    def end(self) -> None:
        """The connection is gone, and no cycle is left to the garbage collector."""
        self._owner = _NOBODY


class _Nobody:
    """Owns the line of a connection that is gone."""

    def work(self) -> None:
        """Nothing is left to be done."""

    def give_up(self) -> None:
        """It has ended."""


_NOBODY: Final[Owner] = _Nobody()
