# SPDX-License-Identifier: MIT
"""The core of a connection: the part that nearly all requests pass, which is receive, answer, send, and record.

It is separate from `ldapgw.ldap.connection.LdapProtocol` so that it can be compiled, which a Twisted protocol cannot be
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
from ldapgw.ldap.search_response import OutputBuffer, RunningResponse
from ldapgw.ldap.session import Observer, Session
from ldapgw.ldap.socket_io import SocketWriter
from ldapgw.ldap.turns import TurnScheduler

# Octets that a connection may have sent while it waits for its turn; it is not read beyond that.
AHEAD: Final = 64 << 10


# Called with everything that a connection receives and sends, while somebody records it: the login (a DN; empty:
# anonymous), whether the server sent the octets, and the octets.
Tap = Callable[[str, bool, bytes], None]


class CoreServer(Protocol):
    """The server, as a connection core uses it."""

    turns: TurnScheduler
    observers: tuple[Observer, ...]

    def count_failure(self, error: Exception, connection: int = 0, tenant: str = "") -> None:
        """Count an error of our own, for the log."""


class CoreOwner(Protocol):
    """The connection that owns a core."""

    def work(self, seconds: float) -> bool:
        """Answer on the slow path for so long; whether there is more that can be done now."""

    def stop_reading(self) -> None:
        """Read no more until the connection has had its turn."""

    def abort(self) -> None:
        """End the connection, after an error of our own."""


class ConnectionCore:
    """A connection as a `TurnMember`.

    :param framer: collects the octets for the slow path.
    :param idle_timeout: seconds.
    :ivar received: the octets that the fast path may answer: received in this tick, while nothing else was under way.
    :ivar is_queued: whether the connection waits for its turn.
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
            "_turns",
        ),
        *("received", "is_queued", "closing", "tap", "writer"),
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
        self.is_queued = False
        self.closing = False
        self.tap: Tap | None = None
        self.writer = writer
        self._owner: CoreOwner | None = owner
        self._turns = server.turns
        self._framer = framer
        self._observers = server.observers
        self._count_failure = server.count_failure
        self._session = session
        self._deadlines = deadlines
        self._address = address
        self._idle_timeout = idle_timeout
        self._number = number

    def receive(self, octets: bytes) -> None:
        """Keep received octets, and have them answered in the connection's turn."""
        if self.closing:
            return
        tap = self.tap
        if tap is not None:
            self._report(tap, octets, is_sent=False)
        if self.received or self.is_queued or self.writer.blocked or self._framer.partial:
            self.feed_framer()
            self._framer.feed(octets)
        else:
            self.received = octets
        if not self.is_queued:
            self._turns.add(self)
        elif self._framer.size > AHEAD and self._owner is not None:
            self._owner.stop_reading()

    @property
    def asker(self) -> str:
        """Whose slices the connection uses (`ldapgw.ldap.turns`)."""
        return self._session.asker

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
            if self._owner is not None:
                self._owner.abort()

    def write(self, octets: bytes) -> None:
        tap = self.tap
        if tap is not None:
            self._report(tap, octets, is_sent=True)
        self.writer.write(octets)

    def write_response(self, response: RunningResponse, buffer: OutputBuffer, now: float, end: float) -> Result | None:
        """Encode more of a running search until a time, and write whenever the buffer is full.

        :returns: how the search ended, or None while it goes on.
        """
        seconds = self._turns.seconds
        while True:
            result = response.write_next(buffer, now)
            if buffer.full:
                self._turns.flush()
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
        try:
            tap(self._session.viewer.login, is_sent, octets)
        except Exception as error:  # noqa: BLE001 - a recording never harms the client
            self.tap = None
            self._count_failure(error, self._number, self._session.viewer.tenant)

    def work(self, seconds: float) -> bool:
        """Answer on the slow path for so long; whether there is more that can be done now."""
        owner = self._owner
        return owner is not None and owner.work(seconds)

    def end(self) -> None:
        """Release the owner of a closed connection, so that the garbage collector finds no cycle."""
        self._owner = None
