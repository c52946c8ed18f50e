# SPDX-License-Identifier: MIT
"""One connection: octets, a transport, and time.

What comes is answered at the end of the reactor's turn, together with what came for others (`connection_core`), and
past everything where that can be.  Else a connection works in slices.  In each it takes what is next of: a request that
waits, a message that came, more entries of the search that runs; joins what there is to say and writes it at once.
When the client takes no more it stops, and reads no more either.  Work that does not fit into one slice goes on in
later reactor turns, in rotation with the other connections'.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator
from math import inf
from typing import Any, cast

from OpenSSL.SSL import Error as TlsError
from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableProtocol,
    IHandshakeListener,
    IOpenSSLContextFactory,
    IReactorTime,
    ISSLTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from ldapgw.errors import ProtocolViolation, ResultCode
from ldapgw.ldap.admission import Deadlines, Overdue, Wait
from ldapgw.ldap.connection_core import Line, Turn
from ldapgw.ldap.decoder import decode, is_unbind
from ldapgw.ldap.encoder import encode
from ldapgw.ldap.framing import Framer
from ldapgw.ldap.limits import HANDSHAKE_TIMEOUT, LINGER, MESSAGE_TIMEOUT, SHORT_SLICE, WRITE_TIMEOUT, Limits
from ldapgw.ldap.messages import Reply, Result, notice_of_disconnection
from ldapgw.ldap.search_response import Answer, Outbox
from ldapgw.ldap.session import HoldBack, Observer, Run, Send, Session, StartTls, Step, Stop
from ldapgw.ldap.socket_io import Reader, Writer


class Server(typing.Protocol):
    """What a connection needs of the factory that made it."""

    limits: Limits
    clock: IReactorTime
    tls: IOpenSSLContextFactory | None
    turn: Turn
    observers: tuple[Observer, ...]

    def session(self, address: str, *, secure: bool) -> Session:
        """The session of a new connection."""

    def penalty(self, address: str, login: str) -> float:
        """Count a wrong password; for how many seconds its answer is held back."""

    def linger(self, address: str, seconds: float) -> None:
        """Keep the place of a client that has not waited for its answer."""

    def complain(self, kind: str, address: str, detail: str = "") -> None:
        """Count what a client did wrong."""

    def fail(self, error: Exception) -> None:
        """Count what we did wrong ourselves."""

    def slice(self) -> float:
        """For how many seconds to work on what has just come in."""

    def go_on(self, slices: Iterator[None]) -> None:
        """Work on something in later reactor turns, in rotation with the rest."""

    def done(self) -> None:
        """What went on is done."""

    def add(self, connection: LdapProtocol) -> None:
        """A connection is there."""

    def remove(self, connection: LdapProtocol) -> None:
        """A connection is gone."""


@implementer(IHandshakeListener, IHalfCloseableProtocol)
class LdapProtocol(Protocol):
    """One connection.

    :param address: the client's, normalized.
    """

    transport: Any  # a TCP or UNIX connection, or TLS on one

    def __init__(self, server: Server, address: str) -> None:
        self.address = address
        self._server = server
        self._clock = server.clock
        self._framer = Framer(server.limits.max_message)
        self.deadlines = Deadlines()
        self._session: Session
        self._line: Line
        self._reader: Reader | None = None
        self._answer: Answer | None = None
        self._held_back: IDelayedCall | None = None
        self._outbox = Outbox()
        self._began = 0.0  # the operation that runs
        self._end = 0.0  # of the slice that is worked on
        self._reading = True
        self._input_ended = False

    @property
    def login(self) -> str:
        """Whom the client is bound as; empty: nobody."""
        return self._session.viewer.login

    # --- what Twisted tells us --------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """Start with the rights that anybody has from there."""
        secure = ISSLTransport.providedBy(self.transport)
        self._session = self._server.session(self.address, secure=secure)
        patience = self._server.limits.idle_timeout
        writer = self._new_writer(plain=not secure)
        self._line = Line(
            self, self._server, self._session, self._framer, writer, self.deadlines, self.address, patience
        )
        if not secure and isinstance(self.transport, FileDescriptor):  # a wrapper is none
            self._reader = Reader(self.transport, self._line.receive)
        now = self._clock.seconds()
        self.deadlines.set(Wait.IDLE, now + patience)
        if secure:
            self.deadlines.set(Wait.HANDSHAKE, now + HANDSHAKE_TIMEOUT)
        self._server.add(self)

    def handshakeCompleted(self) -> None:
        """TLS is ready."""
        self.deadlines.handshake = inf

    def dataReceived(self, data: bytes) -> None:
        """What came over TLS, or over whatever else is no descriptor."""
        self._line.receive(data)
        if self._session.secure and not self._line.at_work:
            self._server.turn.end()  # behind it may come the end of TLS, and then nothing more can be sent

    def readConnectionLost(self) -> None:  # noqa: N802 - Twisted's name
        """The client has said all that it wants to say, and may still be listening."""
        self._input_ended = True
        self._line.hand_over()
        self._go_on()

    def writeConnectionLost(self) -> None:  # noqa: N802 - Twisted's name
        """We never close only our half."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let go of everything."""
        if isinstance(reason.value, TlsError) and self.deadlines.handshake != inf:
            self._server.complain("failed TLS handshake", self.address, _phrase(reason.value))
        self._line.closing = True
        self._stop_work()
        self._end_reader()
        self._line.end()
        self._server.remove(self)

    # --- what the writer tells us -----------------------------------------------------------------------------------

    def _stalled(self) -> None:
        """The client takes less than we have for it."""
        self.deadlines.set(Wait.WRITE, self._clock.seconds() + WRITE_TIMEOUT)
        self._regulate()

    def _taken(self) -> None:
        """The client has taken it."""
        self.deadlines.write = inf
        self._go_on()

    # --- what the sweep tells us ------------------------------------------------------------------------------------

    def expire(self, now: float) -> None:
        """Close or cut the connection if it is late."""
        if self._session.busy or self._line.arrived:
            self.deadlines.idle = now + self._server.limits.idle_timeout
        overdue = self.deadlines.overdue(now)
        if overdue is Overdue.ABORT:
            self._line.closing = True
            self._stop_work()
            self.transport.abortConnection()
        elif overdue is Overdue.CLOSE:
            self.close()

    # --- what the line asks -----------------------------------------------------------------------------------------

    def work(self) -> None:
        """Take the long way, unless later turns do."""
        try:
            if is_unbind(self._line.arrived):
                self.close()
            if self._line.closing:
                return
            self._line.hand_over()
            if not self._line.at_work and self._work(self._server.slice(), self._post):
                self._go_on()
        except Exception as error:  # noqa: BLE001 - what is wrong with one connection ends there
            self._server.fail(error)
            self.give_up()

    def give_up(self) -> None:
        """End here, after an error of our own that nothing else has caught."""
        self._line.closing = True
        self._stop_work()
        self.transport.abortConnection()

    # --- a slice of work --------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Work in later reactor turns."""
        if not self._line.at_work and not self._line.closing:
            self._line.at_work = True
            self._server.go_on(self._slices())

    def _slices(self) -> Iterator[None]:
        try:
            while self._work(SHORT_SLICE, self._write):
                yield
        finally:
            self._line.at_work = False
            self._server.done()

    def _work(self, share: float, write: Callable[[bytes], None]) -> bool:
        """One slice of so many seconds; whether there is more to do at once.

        :param write: writes the end of what there is to say.
        """
        seconds = self._clock.seconds
        end = self._end = seconds() + share
        more = True
        while more and not self._line.writer.blocked and not self._line.closing:
            more = self._guarded(self._turn)
            if self._outbox.full:
                self._flush()
            if seconds() >= end:
                break
        if self._line.closing:
            return False
        if self._outbox.size:
            write(self._outbox.take())
        if self._input_ended and not more and not self._session.busy:
            self.close()
        self._regulate()
        return more and not self._line.writer.blocked

    def _guarded(self, turn: Callable[[], bool]) -> bool:
        """One turn, with the answers that its errors deserve."""
        try:
            return turn()
        except ProtocolViolation as violation:
            self._server.complain("not LDAP", self.address, violation.diagnostic)
            self.close(notice_of_disconnection(ResultCode.PROTOCOL_ERROR, violation.diagnostic))
        except Exception as error:  # noqa: BLE001 - the last guard: one client's request never harms another's
            self._server.fail(error)
            failed = Result(ResultCode.OTHER, "internal error")
            if self._session.busy and self._held_back is None:
                self._finish(failed)
                return True
            self.close(notice_of_disconnection(ResultCode.OTHER, failed.diagnostic))
        return False

    def _turn(self) -> bool:
        """The next thing to do; whether there was one."""
        if not self._session.busy:
            self._began = self._clock.seconds()
            step = self._session.advance()
            if step is not None:
                self._take(step)
                self._pull(self._began)  # a short search is done before anything behind it is looked at
                return True
        if not self._session.full:
            message = self._framer.take()
            if message is not None:
                self._touch()
                for step in self._session.receive(decode(message)):
                    self._take(step)
                return True
        return self._pull(self._clock.seconds())

    def _pull(self, now: float) -> bool:
        """Pull more of the search that runs; whether one does."""
        if self._answer is None:
            return False
        result = self._line.pull(self._answer, self._outbox, now, self._end)
        if result is not None:
            self._finish(result)
        return True

    def _take(self, step: Step) -> None:
        match step:
            case Send(reply):
                self._say(reply)
            case Run(message_id, portions, selection, types_only, time_limit):
                self._server.turn.leave()  # this may last
                self._answer = Answer(message_id, portions, selection, types_only=types_only, time_limit=time_limit)
            case HoldBack(result, login):
                delay = self._server.penalty(self.address, login)
                self._held_back = self._clock.callLater(delay, self._release, result)
            case Stop():
                self._answer = None
            case StartTls(reply):
                self._start_tls(reply)
            case _:  # Close
                self.close()

    def _finish(self, result: Result) -> None:
        """End what runs, and say so."""
        sent = self._answer.sent if self._answer is not None else 0
        self._answer = None
        self._touch()
        self._say(self._session.finish(result), sent)

    def _say(self, reply: Reply, entries: int = 0) -> None:
        """Add what ends an operation."""
        self._outbox.add(encode(reply))
        if reply.search:
            self._line.observe(reply.search, entries, reply.result.code, self._clock.seconds() - self._began)

    def _release(self, result: Result) -> None:
        """A wrong password has waited long enough."""
        self._held_back = None
        self._finish(result)
        self._flush()
        self._go_on()

    def _start_tls(self, reply: Reply) -> None:
        contexts = cast("IOpenSSLContextFactory", self._server.tls)
        contexts.getContext()  # if that fails, it does before we have promised anything
        self._outbox.add(encode(reply))
        self._flush()
        # RFC 4511 4.14.1 and CVE-2011-0411: what somebody put in front of the handshake must not count after it.
        self._framer.discard()
        self.deadlines.set(Wait.HANDSHAKE, self._clock.seconds() + HANDSHAKE_TIMEOUT)
        self._line.writer.end()
        self._end_reader()
        self.transport.startTLS(contexts)
        self._line.writer = self._new_writer(plain=False)

    def _new_writer(self, *, plain: bool) -> Writer:
        writer = Writer(self.transport, plain=plain, stalled=self._stalled, taken=self._taken)
        self._outbox.most = writer.most
        return writer

    def _touch(self) -> None:
        self.deadlines.idle = self._clock.seconds() + self._server.limits.idle_timeout
        self.deadlines.message = inf

    def _flush(self) -> None:
        """Write all at once: a small answer in two packets waits for the client's delayed acknowledgement."""
        if self._outbox.size:
            self._write(self._outbox.take())

    def _write(self, octets: bytes) -> None:
        self._server.turn.leave()
        self._line.writer.write(octets)

    def _post(self, octets: bytes) -> None:
        self._server.turn.post(self._line, octets)

    def _regulate(self) -> None:
        """Read on only while there is room for what would come."""
        if self._line.closing or self._input_ended:
            return
        reading = not self._line.writer.blocked and not self._session.full
        if reading != self._reading:
            self._reading = reading
            if reading:
                self.transport.resumeProducing()
            else:
                self.transport.pauseProducing()
        if not reading or not self._framer.partial:
            self.deadlines.message = inf
        elif self.deadlines.message == inf:
            self.deadlines.set(Wait.MESSAGE, self._clock.seconds() + MESSAGE_TIMEOUT)

    # --- the end ----------------------------------------------------------------------------------------------------

    def close(self, notice: Reply | None = None) -> None:
        """End the session: say what there is to say, then close."""
        if self._line.closing:
            return
        self._line.closing = True
        self._stop_work()
        self._framer.discard()
        if notice is not None:
            self._outbox.add(encode(notice))
        self._flush()
        self.deadlines.set(Wait.CLOSING, self._clock.seconds() + LINGER)
        self._server.turn.leave()
        self._line.writer.close()

    def _end_reader(self) -> None:
        """From here on, the transport reads."""
        if self._reader is not None:
            self._reader.end()
            self._reader = None

    def _stop_work(self) -> None:
        self._line.arrived = b""  # what came is not answered any more
        self._answer = None
        if self._held_back is not None:
            self._server.linger(self.address, max(0.0, self._held_back.getTime() - self._clock.seconds()))
            self._held_back.cancel()
            self._held_back = None


def _phrase(error: TlsError) -> str:
    """OpenSSL's reason, which is one of its fixed phrases."""
    reasons = error.args[0] if error.args else ()
    return str(reasons[-1][-1]) if reasons else ""
