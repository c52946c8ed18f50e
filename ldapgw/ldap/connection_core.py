# SPDX-License-Identifier: MIT
"""The core of a connection, and the batch that answers all requests of one reactor tick together.

A `TickBatch` first computes all answers that the fast path has, then sends them all, then notifies the observers; the
connections that need the slow path come last.  Doing the same step for several connections in a row keeps the
processor's caches warm.  Sending while the clients are already awake saves waking each of them, which took longer on a
virtual machine than computing an answer (docs/decisions/0051).

A `ConnectionCore` has the part of a connection that nearly all requests pass: receive, answer, send, record.  It is
separate from `ldapgw.ldap.connection.LdapProtocol` so that it can be compiled, which a Twisted protocol cannot be
(docs/decisions/0042).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from ldapgw.directory.filter import SearchKind
from ldapgw.errors import ResultCode
from ldapgw.ldap.admission import Deadlines
from ldapgw.ldap.fast_path import FastAnswer
from ldapgw.ldap.framing import Framer
from ldapgw.ldap.messages import Result
from ldapgw.ldap.search_response import OutputBuffer
from ldapgw.ldap.session import Observer, Session
from ldapgw.ldap.socket_io import SocketWriter

# Answers that are computed before they are sent: an answer waits for at most 15 others, some 0.2 ms.
_MAX_UNSENT: Final = 16

# Has a function called once, at the end of the current tick.
CallAtTickEnd = Callable[[Callable[[], None]], object]


# Called with everything that a connection receives and sends, while somebody records it: the login (a DN; empty:
# anonymous), whether the server sent the octets, and the octets.
Tap = Callable[[str, bool, bytes], None]


class BatchMember(Protocol):
    """A connection, as a batch uses it."""

    def answer(self) -> FastAnswer | None:
        """The answer to the received octets; None: only the slow path can answer them."""

    def send(self, octets: bytes) -> None:
        """Send octets now."""

    def record(self, answer: FastAnswer, now: float, seconds: float) -> None:
        """Record an answer that was sent by `now`, so many seconds after its batch began."""

    def process(self) -> None:
        """Answer on the slow path."""


class TickBatch:
    """The connections that received octets in this tick, and the output that waits to be sent.

    It buys 21 % of the reverse look-ups (``python -m bench.parts``).

    :param seconds: the reactor's time.
    :param call_at_tick_end: calls a function at the end of the reactor's tick.
    :ivar worked: seconds that answers have taken; the server sets it back.
    """

    __slots__ = ("_call_at_tick_end", "_received", "_scheduled", "_unsent", "seconds", "worked")

    def __init__(self, seconds: Callable[[], float], call_at_tick_end: CallAtTickEnd) -> None:
        self.seconds = seconds
        self._call_at_tick_end = call_at_tick_end
        self._received: list[BatchMember] = []
        self._unsent: list[tuple[BatchMember, bytes]] = []
        self._scheduled = False
        self.worked = 0.0

    def add(self, connection: BatchMember) -> None:
        """Add a connection that received octets."""
        self._received.append(connection)
        if not self._scheduled:
            self._scheduled = True
            self._call_at_tick_end(self._end_tick)

    def end(self) -> None:
        """Answer all requests that were received."""
        received, self._received = self._received, []
        are_several = len(received) > 1  # one alone has no more than its slice
        began = self.seconds() if are_several else 0.0
        slow: list[BatchMember] = []
        for start in range(0, len(received), _MAX_UNSENT):
            slow += self._answer(received[start : start + _MAX_UNSENT])
        for connection in slow:
            connection.process()
        self.flush()
        if are_several:
            self.worked += self.seconds() - began

    def enqueue(self, connection: BatchMember, octets: bytes) -> None:
        """Have the end of a slow path's answer sent together with others."""
        self._unsent.append((connection, octets))
        if len(self._unsent) >= _MAX_UNSENT:
            self.flush()

    def flush(self) -> None:
        """Send the enqueued output: before work that may take long, and before output that has to follow it."""
        if self._unsent:
            unsent, self._unsent = self._unsent, []
            for connection, octets in unsent:
                connection.send(octets)

    def _end_tick(self) -> None:
        self._scheduled = False
        self.end()

    def _answer(self, connections: list[BatchMember]) -> list[BatchMember]:
        """Answer on the fast path where possible; returns the connections that need the slow path."""
        began = self.seconds()
        answers = [(connection, connection.answer()) for connection in connections]
        answered = [(connection, answer) for connection, answer in answers if answer is not None]
        for connection, fast_answer in answered:
            connection.send(fast_answer.octets)
        now = self.seconds()
        for connection, fast_answer in answered:
            connection.record(fast_answer, now, now - began)
        return [connection for connection, answer in answers if answer is None]


class CoreServer(Protocol):
    """The server, as a connection core uses it."""

    batch: TickBatch
    observers: tuple[Observer, ...]

    def count_failure(self, error: Exception, connection: int = 0, tenant: str = "") -> None:
        """Count an error of our own, for the log."""


class RunningResponse(Protocol):
    """The answer to a search while it is written: `SearchResponse` or `SynchronizationResponse`."""

    sent: int
    is_waiting: bool

    def write_next(self, buffer: OutputBuffer, now: float) -> Result | None:
        """Add what comes next to a buffer; how the search ended, or None while it goes on."""


class CoreOwner(Protocol):
    """The connection that owns a core."""

    def process(self) -> None:
        """Answer on the slow path."""

    def abort(self) -> None:
        """End the connection, after an error of our own."""


class ConnectionCore:
    """A connection as a `BatchMember`.

    :param framer: collects the octets for the slow path.
    :param idle_timeout: seconds.
    :param number: tells the connection from the others of this process.
    :ivar received: the octets that the fast path may answer: received in this tick, while nothing else was under way.
    :ivar is_scheduled: whether later ticks work on the connection.
    :ivar closing: whether the connection ends; received octets are ignored then.
    :ivar tap: None: nobody records the connection.
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
            "_number",
            "_session",
            "_batch",
        ),
        *("received", "is_scheduled", "closing", "tap", "writer"),
    )

    def __init__(
        self,
        owner: CoreOwner,
        server: CoreServer,
        session: Session,
        framer: Framer,
        writer: SocketWriter,
        deadlines: Deadlines,
        address: str,
        idle_timeout: float,
        number: int,
    ) -> None:
        self.received = b""
        self.is_scheduled = False
        self.closing = False
        self.tap: Tap | None = None
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
        self._number = number

    def receive(self, octets: bytes) -> None:
        """Keep received octets, and have the batch answer them unless later ticks work on the connection."""
        if self.closing:
            return
        tap = self.tap
        if tap is not None:
            self._report(tap, octets, is_sent=False)
        if self.received or self.is_scheduled or self.writer.blocked or self._framer.partial:
            self.feed_framer()
            self._framer.feed(octets)
        else:
            self.received = octets
        if not self.is_scheduled:
            self._batch.add(self)

    def feed_framer(self) -> None:
        """Leave the received octets to the slow path."""
        self._framer.feed(self.received)
        self.received = b""

    def answer(self) -> FastAnswer | None:
        """The fast path's answer to the received octets; None: only the slow path can answer them."""
        if not self.received:
            return None
        try:
            answer = self._session.fast_answer(self.received)
        except Exception as error:  # noqa: BLE001 - the slow path meets the error again and reports it to the client
            self._count_failure(error, self._number, self._session.viewer.tenant)
            return None
        if answer is not None:
            self.received = b""
        return answer

    def send(self, octets: bytes) -> None:
        """Send a fast answer, or output that the slow path has enqueued."""
        try:
            self.write(octets)
        except Exception as error:  # noqa: BLE001 - an error of one connection ends that connection only
            self._count_failure(error, self._number, self._session.viewer.tenant)
            self._owner.abort()

    def write(self, octets: bytes) -> None:
        """Write octets."""
        tap = self.tap
        if tap is not None:
            self._report(tap, octets, is_sent=True)
        self.writer.write(octets)

    def write_response(self, response: RunningResponse, buffer: OutputBuffer, now: float, end: float) -> Result | None:
        """Encode more of a running search until a time, and write whenever the buffer is full.

        :returns: how the search ended, or None while it goes on.
        """
        seconds = self._batch.seconds
        while True:
            result = response.write_next(buffer, now)
            if buffer.full:
                self._batch.flush()
                pieces = buffer.take_pieces()
                tap = self.tap
                if tap is not None:
                    self._report(tap, b"".join(pieces), is_sent=True)
                self.writer.write_pieces(pieces)
            if result is not None or self.writer.blocked or response.is_waiting:
                return result
            now = seconds()
            if now >= end:
                return None

    def record(self, answer: FastAnswer, now: float, seconds: float) -> None:
        """Put off the idle timeout after a fast answer, and notify the observers of a search."""
        self._deadlines.idle = now + self._idle_timeout
        if answer.search:
            self.notify_observers(answer.search, answer.entries, answer.code, seconds, answer.kind)

    def notify_observers(self, search: bytes, entries: int, code: ResultCode, seconds: float, kind: SearchKind) -> None:
        """Report a finished search to the observers (`ldapgw.ldap.session.Observer`)."""
        login = self._session.viewer.login
        for observer in self._observers:
            try:
                observer(login, self._address, search, entries, code, seconds, kind)
            except Exception as error:  # noqa: BLE001 - the client has its answer, and other observers get the report
                self._count_failure(error, self._number, self._session.viewer.tenant)

    def _report(self, tap: Tap, octets: bytes, *, is_sent: bool) -> None:
        """Report octets to the tap."""
        try:
            tap(self._session.viewer.login, is_sent, octets)
        except Exception as error:  # noqa: BLE001 - a recording never harms the client
            self.tap = None
            self._count_failure(error, self._number, self._session.viewer.tenant)

    def process(self) -> None:
        self._owner.process()

    def end(self) -> None:
        """Release the owner of a closed connection, so that the garbage collector finds no cycle."""
        self._owner = _CLOSED_OWNER


class _ClosedOwner:
    """The owner of the core of a closed connection."""

    def process(self) -> None:
        """Do nothing."""

    def abort(self) -> None:
        """Do nothing."""


_CLOSED_OWNER: Final[CoreOwner] = _ClosedOwner()
