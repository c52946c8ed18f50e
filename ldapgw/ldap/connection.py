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
from ldapgw.ldap.connection_core import ConnectionCore, TickBatch
from ldapgw.ldap.decoder import decode, is_unbind
from ldapgw.ldap.encoder import encode
from ldapgw.ldap.framing import Framer
from ldapgw.ldap.limits import HANDSHAKE_TIMEOUT, LINGER, MESSAGE_TIMEOUT, SHORT_SLICE, WRITE_TIMEOUT, Limits
from ldapgw.ldap.messages import Reply, Result, notice_of_disconnection
from ldapgw.ldap.search_response import OutputBuffer, SearchResponse
from ldapgw.ldap.session import DelayResult, Observer, SendReply, Session, StartSearch, StartTls, Step, StopSearch
from ldapgw.ldap.socket_io import SocketReader, SocketWriter


class ConnectionServer(typing.Protocol):
    """What a connection needs of the factory that made it."""

    limits: Limits
    clock: IReactorTime
    tls: IOpenSSLContextFactory | None
    batch: TickBatch
    observers: tuple[Observer, ...]

    def session(self, address: str, *, secure: bool) -> Session:
        """The session of a new connection."""

    def bind_delay(self, address: str, login: str) -> float:
        """Count a wrong password; for how many seconds its answer is held back."""

    def delay_close(self, address: str, seconds: float) -> None:
        """Keep the place of a client that has not waited for its answer."""

    def count_misuse(self, kind: str, address: str, detail: str = "") -> None:
        """Count what a client did wrong."""

    def count_failure(self, error: Exception) -> None:
        """Count what we did wrong ourselves."""

    def slice_seconds(self) -> float:
        """For how many seconds to work on what has just come in."""

    def schedule(self, slices: Iterator[None]) -> None:
        """Work on something in later reactor turns, in rotation with the rest."""

    def unschedule(self) -> None:
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

    def __init__(self, server: ConnectionServer, address: str) -> None:
        self.address = address
        self._server = server
        self._clock = server.clock
        self._framer = Framer(server.limits.max_message)
        self.deadlines = Deadlines()
        self._session: Session
        self._core: ConnectionCore
        self._reader: SocketReader | None = None
        self._response: SearchResponse | None = None
        self._delayed_result: IDelayedCall | None = None
        self._buffer = OutputBuffer()
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
        self._core = ConnectionCore(
            self, self._server, self._session, self._framer, writer, self.deadlines, self.address, patience
        )
        if not secure and isinstance(self.transport, FileDescriptor):  # a wrapper is none
            self._reader = SocketReader(self.transport, self._core.receive)
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
        self._core.receive(data)
        if self._session.secure and not self._core.is_processing:
            self._server.batch.end()  # behind it may come the end of TLS, and then nothing more can be sent

    def readConnectionLost(self) -> None:  # noqa: N802 - Twisted's name
        """The client has said all that it wants to say, and may still be listening."""
        self._input_ended = True
        self._core.feed_framer()
        self._schedule()

    def writeConnectionLost(self) -> None:  # noqa: N802 - Twisted's name
        """We never close only our half."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let go of everything."""
        if isinstance(reason.value, TlsError) and self.deadlines.handshake != inf:
            self._server.count_misuse("failed TLS handshake", self.address, _phrase(reason.value))
        self._core.closing = True
        self._stop_work()
        self._end_reader()
        self._core.end()
        self._server.remove(self)

    # --- what the writer tells us -----------------------------------------------------------------------------------

    def _output_blocked(self) -> None:
        """The client takes less than we have for it."""
        self.deadlines.set(Wait.WRITE, self._clock.seconds() + WRITE_TIMEOUT)
        self._pause_or_resume_reading()

    def _output_drained(self) -> None:
        """The client has taken it."""
        self.deadlines.write = inf
        self._schedule()

    # --- what the sweep tells us ------------------------------------------------------------------------------------

    def expire(self, now: float) -> None:
        """Close or cut the connection if it is late."""
        if self._session.busy or self._core.received:
            self.deadlines.idle = now + self._server.limits.idle_timeout
        overdue = self.deadlines.overdue(now)
        if overdue is Overdue.ABORT:
            self._core.closing = True
            self._stop_work()
            self.transport.abortConnection()
        elif overdue is Overdue.CLOSE:
            self.close()

    # --- what the line asks -----------------------------------------------------------------------------------------

    def process(self) -> None:
        """Take the long way, unless later turns do."""
        try:
            if is_unbind(self._core.received):
                self.close()
            if self._core.closing:
                return
            self._core.feed_framer()
            if not self._core.is_processing and self._work(self._server.slice_seconds(), self._enqueue):
                self._schedule()
        except Exception as error:  # noqa: BLE001 - what is wrong with one connection ends there
            self._server.count_failure(error)
            self.abort()

    def abort(self) -> None:
        """End here, after an error of our own that nothing else has caught."""
        self._core.closing = True
        self._stop_work()
        self.transport.abortConnection()

    # --- a slice of work --------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        """Work in later reactor turns."""
        if not self._core.is_processing and not self._core.closing:
            self._core.is_processing = True
            self._server.schedule(self._slices())

    def _slices(self) -> Iterator[None]:
        try:
            while self._work(SHORT_SLICE, self._write):
                yield
        finally:
            self._core.is_processing = False
            self._server.unschedule()

    def _work(self, share: float, write: Callable[[bytes], None]) -> bool:
        """One slice of so many seconds; whether there is more to do at once.

        :param write: writes the end of what there is to say.
        """
        seconds = self._clock.seconds
        end = self._end = seconds() + share
        more = True
        while more and not self._core.writer.blocked and not self._core.closing:
            more = self._guarded(self._process_next)
            if self._buffer.full:
                self._flush()
            if seconds() >= end:
                break
        if self._core.closing:
            return False
        if self._buffer.size:
            write(self._buffer.take())
        if self._input_ended and not more and not self._session.busy:
            self.close()
        self._pause_or_resume_reading()
        return more and not self._core.writer.blocked

    def _guarded(self, turn: Callable[[], bool]) -> bool:
        """One turn, with the answers that its errors deserve."""
        try:
            return turn()
        except ProtocolViolation as violation:
            self._server.count_misuse("not LDAP", self.address, violation.diagnostic)
            self.close(notice_of_disconnection(ResultCode.PROTOCOL_ERROR, violation.diagnostic))
        except Exception as error:  # noqa: BLE001 - the last guard: one client's request never harms another's
            self._server.count_failure(error)
            failed = Result(ResultCode.OTHER, "internal error")
            if self._session.busy and self._delayed_result is None:
                self._finish(failed)
                return True
            self.close(notice_of_disconnection(ResultCode.OTHER, failed.diagnostic))
        return False

    def _process_next(self) -> bool:
        """The next thing to do; whether there was one."""
        if not self._session.busy:
            self._began = self._clock.seconds()
            step = self._session.advance()
            if step is not None:
                self._perform(step)
                self._continue_search(self._began)  # a short search is done before anything behind it is looked at
                return True
        if not self._session.full:
            message = self._framer.take()
            if message is not None:
                self._reset_idle_timeout()
                for step in self._session.receive(decode(message)):
                    self._perform(step)
                return True
        return self._continue_search(self._clock.seconds())

    def _continue_search(self, now: float) -> bool:
        """Pull more of the search that runs; whether one does."""
        if self._response is None:
            return False
        result = self._core.write_response(self._response, self._buffer, now, self._end)
        if result is not None:
            self._finish(result)
        return True

    def _perform(self, step: Step) -> None:
        match step:
            case SendReply(reply):
                self._add_reply(reply)
            case StartSearch(message_id, batches, selection, types_only, time_limit):
                self._server.batch.flush()  # this may last
                self._response = SearchResponse(
                    message_id, batches, selection, types_only=types_only, time_limit=time_limit
                )
            case DelayResult(result, login):
                delay = self._server.bind_delay(self.address, login)
                self._delayed_result = self._clock.callLater(delay, self._send_delayed_result, result)
            case StopSearch():
                self._response = None
            case StartTls(reply):
                self._start_tls(reply)
            case _:  # Close
                self.close()

    def _finish(self, result: Result) -> None:
        """End what runs, and say so."""
        sent = self._response.sent if self._response is not None else 0
        self._response = None
        self._reset_idle_timeout()
        self._add_reply(self._session.finish(result), sent)

    def _add_reply(self, reply: Reply, entries: int = 0) -> None:
        """Add what ends an operation."""
        self._buffer.add(encode(reply))
        if reply.search:
            self._core.notify_observers(reply.search, entries, reply.result.code, self._clock.seconds() - self._began)

    def _send_delayed_result(self, result: Result) -> None:
        """A wrong password has waited long enough."""
        self._delayed_result = None
        self._finish(result)
        self._flush()
        self._schedule()

    def _start_tls(self, reply: Reply) -> None:
        contexts = cast("IOpenSSLContextFactory", self._server.tls)
        contexts.getContext()  # if that fails, it does before we have promised anything
        self._buffer.add(encode(reply))
        self._flush()
        # RFC 4511 4.14.1 and CVE-2011-0411: what somebody put in front of the handshake must not count after it.
        self._framer.discard()
        self.deadlines.set(Wait.HANDSHAKE, self._clock.seconds() + HANDSHAKE_TIMEOUT)
        self._core.writer.end()
        self._end_reader()
        self.transport.startTLS(contexts)
        self._core.writer = self._new_writer(plain=False)

    def _new_writer(self, *, plain: bool) -> SocketWriter:
        writer = SocketWriter(self.transport, plain=plain, stalled=self._output_blocked, taken=self._output_drained)
        self._buffer.max_octets = writer.max_octets
        return writer

    def _reset_idle_timeout(self) -> None:
        self.deadlines.idle = self._clock.seconds() + self._server.limits.idle_timeout
        self.deadlines.message = inf

    def _flush(self) -> None:
        """Write all at once: a small answer in two packets waits for the client's delayed acknowledgement."""
        if self._buffer.size:
            self._write(self._buffer.take())

    def _write(self, octets: bytes) -> None:
        self._server.batch.flush()
        self._core.writer.write(octets)

    def _enqueue(self, octets: bytes) -> None:
        self._server.batch.enqueue(self._core, octets)

    def _pause_or_resume_reading(self) -> None:
        """Read on only while there is room for what would come."""
        if self._core.closing or self._input_ended:
            return
        reading = not self._core.writer.blocked and not self._session.full
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
        if self._core.closing:
            return
        self._core.closing = True
        self._stop_work()
        self._framer.discard()
        if notice is not None:
            self._buffer.add(encode(notice))
        self._flush()
        self.deadlines.set(Wait.CLOSING, self._clock.seconds() + LINGER)
        self._server.batch.flush()
        self._core.writer.close()

    def _end_reader(self) -> None:
        """From here on, the transport reads."""
        if self._reader is not None:
            self._reader.end()
            self._reader = None

    def _stop_work(self) -> None:
        self._core.received = b""  # what came is not answered any more
        self._response = None
        if self._delayed_result is not None:
            self._server.delay_close(self.address, max(0.0, self._delayed_result.getTime() - self._clock.seconds()))
            self._delayed_result.cancel()
            self._delayed_result = None


def _phrase(error: TlsError) -> str:
    """OpenSSL's reason, which is one of its fixed phrases."""
    reasons = error.args[0] if error.args else ()
    return str(reasons[-1][-1]) if reasons else ""
