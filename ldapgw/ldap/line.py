# SPDX-License-Identifier: MIT
"""What nearly all requests run through of a connection: received, found, sent, noted, and nothing else.

It is apart from the connection so that it can be compiled, which a protocol of Twisted's cannot (docs/decisions/0042).
"""

from __future__ import annotations

from typing import Final, Protocol

from ldapgw.errors import ResultCode
from ldapgw.ldap.answer import Answer
from ldapgw.ldap.deadlines import Deadlines
from ldapgw.ldap.framing import Framer
from ldapgw.ldap.gate import Observer
from ldapgw.ldap.messages import Result
from ldapgw.ldap.outbox import Outbox
from ldapgw.ldap.session import Session
from ldapgw.ldap.shortcut import Answered
from ldapgw.ldap.turn import Turn
from ldapgw.ldap.writer import Writer


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
    """A connection as a turn sees it (`ldapgw.ldap.turn.Connection`).

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
        """Tell of a search that is done (`ldapgw.ldap.gate.Observer`)."""
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
