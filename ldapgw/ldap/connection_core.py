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
from ldapgw.ldap.fast_path import FastAnswer
from ldapgw.ldap.framing import Framer
from ldapgw.ldap.messages import Result
from ldapgw.ldap.search_response import OutputBuffer, SearchResponse
from ldapgw.ldap.session import Observer, Session
from ldapgw.ldap.socket_io import SocketWriter

# Once all that came has been received, no answer waits for more than so many others that are found: some 0.2 ms.
_MOST: Final = 16

# Has something called once, at the end of this turn.
CallAtTickEnd = Callable[[Callable[[], None]], object]


class BatchMember(Protocol):
    """What a turn asks of a connection."""

    def answer(self) -> FastAnswer | None:
        """The answer to what came; None: it has to take the long way."""

    def send(self, octets: bytes) -> None:
        """Send this now."""

    def record(self, answered: FastAnswer, now: float, seconds: float) -> None:
        """Take note of what was answered by now, so many seconds after it was looked at."""

    def process(self) -> None:
        """Take the long way."""


class TickBatch:
    """What came, and what is ready to be sent.

    :param at_end: calls something at the end of the reactor's turn.
    :ivar seconds: the reactor's time.
    """

    __slots__ = ("_call_at_tick_end", "_ready", "_received", "_scheduled", "seconds")

    def __init__(self, seconds: Callable[[], float], call_at_tick_end: CallAtTickEnd) -> None:
        self.seconds = seconds
        self._call_at_tick_end = call_at_tick_end
        self._received: list[BatchMember] = []
        self._ready: list[tuple[BatchMember, bytes]] = []
        self._scheduled = False

    def add(self, connection: BatchMember) -> None:
        """Something came."""
        self._received.append(connection)
        if not self._scheduled:
            self._scheduled = True
            self._call_at_tick_end(self._end)

    def end(self) -> None:
        """Answer all that came."""
        came, self._received = self._received, []
        slow: list[BatchMember] = []
        for start in range(0, len(came), _MOST):
            slow += self._answer(came[start : start + _MOST])
        for connection in slow:
            connection.process()
        self.flush()

    def enqueue(self, connection: BatchMember, octets: bytes) -> None:
        """Have the end of an answer sent with others."""
        self._ready.append((connection, octets))
        if len(self._ready) >= _MOST:
            self.flush()

    def flush(self) -> None:
        """Send what was posted: before what may last, and before what has to come behind it."""
        if self._ready:
            ready, self._ready = self._ready, []
            for connection, octets in ready:
                connection.send(octets)

    def _end(self) -> None:
        self._scheduled = False
        self.end()

    def _answer(self, came: list[BatchMember]) -> list[BatchMember]:
        """Answer what can be at once; who has to take the long way."""
        began = self.seconds()
        found = [(connection, connection.answer()) for connection in came]
        answered = [(connection, one) for connection, one in found if one is not None]
        for connection, answer in answered:
            connection.send(answer.octets)
        now = self.seconds()
        for connection, answer in answered:
            connection.record(answer, now, now - began)
        return [connection for connection, one in found if one is None]


class BatchServer(Protocol):
    """What a line needs of the factory that made its connection."""

    batch: TickBatch
    observers: tuple[Observer, ...]

    def count_failure(self, error: Exception) -> None:
        """Count what we did wrong ourselves."""


class ConnectionOwner(Protocol):
    """What a line needs of its connection."""

    def process(self) -> None:
        """Take the long way."""

    def abort(self) -> None:
        """End the connection, after an error of our own."""


class ConnectionCore:
    """A connection as a turn sees it (`ldapgw.ldap.connection_core.Connection`).

    :param framer: keeps what takes the long way.
    :param patience: seconds that the client may be silent.
    :ivar arrived: what came in this turn, while nothing else was under way.
    :ivar at_work: whether later turns go on with the connection.
    :ivar closing: whether the connection ends, and nothing that comes counts.
    """

    __slots__ = (
        *(
            "_address",
            "_deadlines",
            "_count_failure",
            "_framer",
            "_observers",
            "_owner",
            "_idle_timeout",
            "_session",
            "_batch",
        ),
        *("received", "is_processing", "closing", "writer"),
    )

    def __init__(
        self,
        owner: ConnectionOwner,
        server: BatchServer,
        session: Session,
        framer: Framer,
        writer: SocketWriter,
        deadlines: Deadlines,
        address: str,
        idle_timeout: float,
    ) -> None:
        self.received = b""
        self.is_processing = False
        self.closing = False
        self.writer = writer
        self._owner = owner
        self._batch = server.batch
        self._framer = framer
        self._observers = server.observers
        self._count_failure = server.count_failure
        self._session = session
        self._deadlines = deadlines
        self._address = address
        self._idle_timeout = idle_timeout

    def receive(self, octets: bytes) -> None:
        """Have the turn work on what came, unless we are at it already."""
        if self.closing:
            return
        if self.received or self.is_processing or self.writer.blocked or self._framer.partial:
            self.feed_framer()
            self._framer.feed(octets)
        else:
            self.received = octets
        if not self.is_processing:
            self._batch.add(self)

    def feed_framer(self) -> None:
        """What came takes the long way."""
        self._framer.feed(self.received)
        self.received = b""

    def answer(self) -> FastAnswer | None:
        """The answer to what came, past everything; None: it has to take the long way."""
        if not self.received:
            return None
        try:
            answered = self._session.fast_answer(self.received)
        except Exception as error:  # noqa: BLE001 - the long way knows what to say then
            self._count_failure(error)
            return None
        if answered is not None:
            self.received = b""
        return answered

    def send(self, octets: bytes) -> None:
        """Send what was found, or what the long way has posted."""
        try:
            self.writer.write(octets)
        except Exception as error:  # noqa: BLE001 - what is wrong with one connection ends there
            self._count_failure(error)
            self._owner.abort()

    def write_response(self, answer: SearchResponse, outbox: OutputBuffer, now: float, end: float) -> Result | None:
        """Pull more of a search that runs, and write whenever that is enough, until a time.

        :returns: how the search ended, or None while it goes on.
        """
        seconds = self._batch.seconds
        while True:
            result = answer.write_next(outbox, now)
            if outbox.full:
                self._batch.flush()
                self.writer.write_pieces(outbox.take_pieces())
            if result is not None or self.writer.blocked:
                return result
            now = seconds()
            if now >= end:
                return None

    def record(self, answered: FastAnswer, now: float, seconds: float) -> None:
        """Take note of what was answered at once."""
        self._deadlines.idle = now + self._idle_timeout
        if answered.search:
            self.notify_observers(answered.search, answered.entries, answered.code, seconds)

    def notify_observers(self, search: bytes, entries: int, code: ResultCode, seconds: float) -> None:
        """Tell of a search that is done (`ldapgw.ldap.session.Observer`)."""
        login = self._session.viewer.login
        for observer in self._observers:
            try:
                observer(login, self._address, search, entries, code, seconds)
            except Exception as error:  # noqa: BLE001 - it is answered, whoever misses it
                self._count_failure(error)

    def process(self) -> None:
        """Take the long way."""
        self._owner.process()

    def end(self) -> None:
        """The connection is gone, and no cycle is left to the garbage collector."""
        self._owner = _CLOSED


class _ClosedOwner:
    """Owns the line of a connection that is gone."""

    def process(self) -> None:
        """Nothing is left to be done."""

    def abort(self) -> None:
        """It has ended."""


_CLOSED: Final[ConnectionOwner] = _ClosedOwner()
