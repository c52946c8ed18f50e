# SPDX-License-Identifier: MIT
"""The core of a connection, which receives requests, answers nearly all requests, and sends and records the answers.

The core is separate from `ldapgw.ldap.connection.LdapProtocol` so that mypyc can compile the core: mypyc cannot compile
a Twisted protocol (docs/decisions/0042).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from ldapgw.directory.filter import SearchKind
from ldapgw.errors import ResultCode
from ldapgw.ldap.admission import Deadlines
from ldapgw.ldap.decoder import Framer
from ldapgw.ldap.fast_path import FastAnswer
from ldapgw.ldap.messages import FinishedSearch, Result
from ldapgw.ldap.search_response import OutputBuffer, RunningResponse
from ldapgw.ldap.session import Observer, Session
from ldapgw.ldap.socket_io import SocketWriter
from ldapgw.ldap.turns import TurnScheduler

# The server stops reading from a connection while more octets than this wait for the connection's turn.
AHEAD: Final = 64 << 10


# A function that records a connection.  The arguments are the login (a DN; empty if anonymous), whether the server sent
# the octets, and the octets that were sent or received.
Tap = Callable[[str, bool, bytes], None]


class CoreServer(Protocol):
    """The part of the server that a connection core uses."""

    turns: TurnScheduler
    observers: tuple[Observer, ...]

    def count_failure(self, error: Exception, connection: int = 0, tenant: str = "") -> None:
        """Count an error of our own, for the log."""


class CoreOwner(Protocol):
    """The connection that owns a core."""

    def work(self, seconds: float) -> bool:
        """Answer on the slow path for some seconds, and return whether more work can be done now."""

    def stop_reading(self) -> None:
        """Stop reading until the connection has had its turn."""

    def abort(self) -> None:
        """End the connection, after an error of our own."""


class ConnectionCore:
    """The core of a connection, which is a `TurnMember`.

    :param framer: collects the octets for the slow path.
    :param idle_timeout: seconds.
    :ivar received: the octets of one read, for the fast path; empty if the connection has other work.
    :ivar is_queued: whether the connection waits for its turn.
    :ivar closing: whether the connection ends; received octets are ignored then.
    :ivar tap: records the connection; None if nobody records the connection.
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
        """Store received octets, to be answered in the connection's turn."""
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
    def requester(self) -> str:
        """Return the login or network (the *requester*) whose slices the connection uses (`ldapgw.ldap.turns`)."""
        return self._session.requester

    def feed_framer(self) -> None:
        """Pass the received octets to the slow path."""
        self._framer.feed(self.received)
        self.received = b""

    def answer(self) -> FastAnswer | None:
        """Return the fast path's answer to the received octets, or None if only the slow path can answer."""
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
        """Encode more entries of a running search, and write whenever the buffer is full.

        :param end: the time at which the slice of work ends.
        :returns: the result of the search, or None while the search goes on.
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
        """Put off the idle timeout after a fast answer, and report a finished search to the observers."""
        self._deadlines.idle = now + self._idle_timeout
        if answer.search:
            self.notify_observers(answer.search, answer.entries, answer.code, seconds, answer.kind)

    def notify_observers(
        self, message: bytes, entries: int, code: ResultCode, seconds: float, kind: SearchKind
    ) -> None:
        """Report a finished search (`FinishedSearch`) to the observers."""
        search = FinishedSearch(self._session.viewer.login, self._address, message, entries, code, seconds, kind)
        for observer in self._observers:
            try:
                observer(search)
            except Exception as error:  # noqa: BLE001 - the client has its answer, and other observers get the report
                self._count_failure(error, self._number, self._session.viewer.tenant)

    def _report(self, tap: Tap, octets: bytes, *, is_sent: bool) -> None:
        try:
            tap(self._session.viewer.login, is_sent, octets)
        except Exception as error:  # noqa: BLE001 - a recording never harms the client
            self.tap = None
            self._count_failure(error, self._number, self._session.viewer.tenant)

    def work(self, seconds: float) -> bool:
        """Answer on the slow path for some seconds, and return whether more work can be done now."""
        owner = self._owner
        return owner is not None and owner.work(seconds)

    def end(self) -> None:
        """Release the owner of a closed connection, so that no reference cycle is left to the garbage collector."""
        self._owner = None
