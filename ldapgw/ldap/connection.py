# SPDX-License-Identifier: MIT
"""An LDAP connection: a Twisted protocol that performs the steps of its session.

At the end of a turn of the reactor, the received requests of all connections are answered together
(`ldapgw.ldap.turns`), on the fast path where possible.  The slow path works in slices.  Each step of a slice begins the
next waiting request, or else reads a received message, or else sends more entries of the running search.  The output of
a slice is joined and written at once.  While the client does not take the output, the connection neither works nor
reads.  Work that does not fit into one slice continues in later turns.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
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
from ldapgw.ldap.admission import Deadlines, ExpiryAction, Timeout
from ldapgw.ldap.connection_core import AHEAD, ConnectionCore, CoreServer, Tap
from ldapgw.ldap.decoder import TLS_ON_PLAIN_PORT, Framer, decode, is_unbind
from ldapgw.ldap.encoder import encode
from ldapgw.ldap.limits import (
    CLOSE_TIMEOUT,
    GONE_TIMEOUT,
    HANDSHAKE_TIMEOUT,
    MESSAGE_TIMEOUT,
    WRITE_TIMEOUT,
    Limits,
)
from ldapgw.ldap.messages import Reply, Result, notice_of_disconnection
from ldapgw.ldap.search_response import OutputBuffer, RunningResponse, SearchResponse
from ldapgw.ldap.session import (
    DelayResult,
    SendReply,
    Session,
    StartControlResponse,
    StartSearch,
    StartTls,
    Step,
    StopSearch,
)
from ldapgw.ldap.socket_io import SocketReader, SocketWriter


class ConnectionServer(CoreServer, typing.Protocol):
    """The part of the server that a connection uses."""

    limits: Limits
    clock: IReactorTime
    tls: IOpenSSLContextFactory | None

    def session(self, address: str, connection: int, *, secure: bool) -> Session:
        """Return the session of a new connection."""

    def bind_delay(self, address: str, login: str, connection: int = 0) -> float | None:
        """Count a wrong password.

        :returns: the seconds to delay the answer, or None if another answer is delayed already.
        """

    def delay_close(self, address: str, seconds: float) -> None:
        """Count a closed connection as open for some seconds, because the client left before a delayed answer."""

    def count_misuse(self, kind: str, address: str, detail: str = "", connection: int = 0, tenant: str = "") -> None:
        """Count misuse by a client, for the log."""

    def count_unfit(self, kind: str, address: str, connection: int, detail: str = "") -> None:
        """Count a client that cannot connect.

        The client uses the wrong port, or does not know the authority of our certificate.
        """

    def add(self, connection: LdapProtocol) -> None:
        """Register an open connection."""

    def remove(self, connection: LdapProtocol) -> None:
        """Unregister a closed connection."""


PLAIN_ON_TLS_PORT = "LDAP without TLS on the port for TLS"
UNKNOWN_AUTHORITY = "certificate refused (the client does not know this authority: load ca.crt)"

# If a client does not know the authority of our certificate, the client sends an alert (RFC 8446 6.2).  OpenSSL's
# reason for the error then ends with one of these phrases; the phrase depends on the version of OpenSSL.
_DISTRUST = ("alert unknown ca", "alert bad certificate", "alert certificate unknown")


@implementer(IHandshakeListener, IHalfCloseableProtocol)
class LdapProtocol(Protocol):
    """The protocol of one connection.

    :param address: the client's address, normalized.
    :param number: a number that no other connection of this process has.
    :ivar has_plain_client: whether the client speaks LDAP without TLS to the port for TLS.
    """

    transport: Any  # a TCP or UNIX connection, or TLS over such a connection

    def __init__(self, server: ConnectionServer, address: str, number: int) -> None:
        self.address = address
        self.number = number
        self.has_plain_client = False
        self._server = server
        self._clock = server.clock
        self._framer = Framer(server.limits.max_message)
        self.deadlines = Deadlines()
        self._session: Session
        self._core: ConnectionCore
        self._reader: SocketReader | None = None
        self._response: RunningResponse | None = None
        self._delayed_result: IDelayedCall | None = None
        self._buffer = OutputBuffer()
        self._operation_began = 0.0
        self._slice_end = 0.0
        self._reading = True
        self._input_ended = False
        self._search_watch: IDelayedCall | None = None

    @property
    def login(self) -> str:
        """Return the DN that the client is bound as; empty if the client is anonymous."""
        return self._session.viewer.login

    @property
    def tenant(self) -> str:
        """Return the viewer's tenant; empty if the viewer has no tenant, or has several tenants."""
        return self._session.viewer.tenant

    # --- called by Twisted -------------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        secure = ISSLTransport.providedBy(self.transport)
        self._session = self._server.session(self.address, self.number, secure=secure)
        idle_timeout = self._server.limits.idle_timeout
        writer = self._new_writer(plain=not secure)
        self._core = ConnectionCore(
            self,
            self._server,
            self._session,
            self._framer,
            writer,
            self.deadlines,
            self.address,
            idle_timeout,
            self.number,
        )
        # `SocketReader` reads only from a `FileDescriptor`.  A transport that wraps another transport is no
        # `FileDescriptor`.
        if not secure and isinstance(self.transport, FileDescriptor):
            self._reader = SocketReader(self.transport, self._core.receive)
        now = self._clock.seconds()
        self.deadlines.set(Timeout.IDLE, now + idle_timeout)
        if secure:
            self.deadlines.set(Timeout.HANDSHAKE, now + HANDSHAKE_TIMEOUT)
        self._server.add(self)

    def handshakeCompleted(self) -> None:
        self.deadlines.handshake = inf

    def dataReceived(self, data: bytes) -> None:
        """Receive octets over TLS, or over another transport that is not a file descriptor."""
        self._core.receive(data)
        if self._session.secure:
            self._server.turns.end()  # TLS may end in this turn, and then nothing more can be sent

    def readConnectionLost(self) -> None:  # noqa: N802 - Twisted's name
        """Answer the requests that were received, because the client may still read.

        If the client is gone, only a failed write shows this.  A search that finds no entries writes nothing, so the
        connection ends when a search has found no entry for `GONE_TIMEOUT` seconds (`_watch_search`).
        """
        self._input_ended = True
        self._core.feed_framer()
        self._resume()
        self._watch_search()

    def writeConnectionLost(self) -> None:  # noqa: N802 - Twisted's name
        """Do nothing, because the server never closes only its own half of a connection."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if isinstance(reason.value, TlsError) and self.deadlines.handshake != inf:
            detail = _openssl_reason(reason.value)
            if self.has_plain_client:
                self._server.count_unfit(PLAIN_ON_TLS_PORT, self.address, self.number)
            elif detail.endswith(_DISTRUST):
                self._server.count_unfit(UNKNOWN_AUTHORITY, self.address, self.number, detail)
            else:
                self._server.count_misuse("failed TLS handshake", self.address, detail, self.number)
        self._core.closing = True
        self._stop_work()
        if self._search_watch is not None and self._search_watch.active():
            self._search_watch.cancel()
        self._end_reader()
        self._core.end()
        self._server.remove(self)

    def _watch_search(self) -> None:
        """Check after `GONE_TIMEOUT` whether the running search has found anything."""
        response = self._response
        sent = response.sent if response is not None else 0
        self._search_watch = self._clock.callLater(GONE_TIMEOUT, self._end_fruitless_search, response, sent)

    def _end_fruitless_search(self, response: SearchResponse | None, sent: int) -> None:
        """End the connection if the running search has found nothing since `_watch_search`.

        :param response: the search that was running when `_watch_search` was called.
        :param sent: the number of entries that `response` had sent when `_watch_search` was called.
        """
        if self._core.closing:
            return
        running = self._response
        is_new = running is not response
        has_just_begun = is_new and self._clock.seconds() - self._operation_began < GONE_TIMEOUT / 2
        if running is not None and not has_just_begun and running.sent == (0 if is_new else sent):
            self.abort()
        else:
            self._watch_search()

    # --- called by the writer ----------------------------------------------------------------------------------------

    def _output_blocked(self) -> None:
        self.deadlines.set(Timeout.WRITE, self._clock.seconds() + WRITE_TIMEOUT)
        self._pause_or_resume_reading()

    def _output_drained(self) -> None:
        self.deadlines.write = inf
        self._resume()

    # --- called by the server's sweep --------------------------------------------------------------------------------

    def expire(self, now: float) -> None:
        """Close or abort the connection if a deadline has passed."""
        if self._session.busy or self._core.is_queued:
            self.deadlines.idle = now + self._server.limits.idle_timeout
        action = self.deadlines.expiry_action(now)
        if action is ExpiryAction.ABORT:
            self.abort()
        elif action is ExpiryAction.CLOSE:
            self.close()

    def wake(self) -> None:
        """Continue the running search if the search is waiting (`RunningResponse.is_waiting`)."""
        if self._response is not None and self._response.is_waiting:
            self._response.is_waiting = False
            self._resume()

    def tap(self, tap: Tap | None) -> None:
        """Pass all octets that are sent or received to a function that records the octets; stop if `tap` is None."""
        self._core.tap = tap

    # --- called by the core ------------------------------------------------------------------------------------------

    def work(self, seconds: float) -> bool:
        """Work on the slow path for at most about `seconds`, and return whether more work can be done now."""
        try:
            if is_unbind(self._core.received):
                self.close()
            if self._core.closing:
                return False
            self._core.feed_framer()
            return self._work(seconds)
        except Exception as error:  # noqa: BLE001 - an error of one connection ends that connection only
            self.count_failure(error)
            self.abort()
            return False

    def stop_reading(self) -> None:
        self._set_reading(reading=False)
        self.deadlines.message = inf

    def count_failure(self, error: Exception) -> None:
        self._server.count_failure(error, self.number, self.tenant)

    def abort(self) -> None:
        """End the connection at once."""
        self._core.closing = True
        try:
            self._stop_work()
        finally:
            self.transport.abortConnection()

    # --- a slice of work --------------------------------------------------------------------------------------------

    def _resume(self) -> None:
        """Continue the connection's work in later turns."""
        if not self._core.is_queued and not self._core.closing:
            self._server.turns.resume(self._core)

    def _work(self, slice_seconds: float) -> bool:
        """Work for one slice, and return whether more work can be done now."""
        seconds = self._clock.seconds
        end = self._slice_end = seconds() + slice_seconds
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
            self._server.turns.enqueue(self._core, self._buffer.take())
        if self._input_ended and not more and not self._session.busy:
            self.close()
        self._pause_or_resume_reading(is_busy=more)
        return more and not self._core.writer.blocked

    def _guarded(self, process: Callable[[], bool]) -> bool:
        """Call a function, and report its errors to the client; return whether there may be more work."""
        try:
            return process()
        except ProtocolViolation as violation:
            if violation.diagnostic == TLS_ON_PLAIN_PORT:
                self._server.count_unfit(TLS_ON_PLAIN_PORT, self.address, self.number)
            else:
                self._server.count_misuse("not LDAP", self.address, violation.diagnostic, self.number, self.tenant)
            self.close(notice_of_disconnection(ResultCode.PROTOCOL_ERROR, violation.diagnostic))
        except Exception as error:  # noqa: BLE001 - a request of one client never harms another client
            self.count_failure(error)
            result = Result(ResultCode.OTHER, "internal error")
            if self._session.busy and self._delayed_result is None:
                self._finish(result)
                return True
            self.close(notice_of_disconnection(ResultCode.OTHER, result.diagnostic))
        return False

    def _process_next(self) -> bool:
        """Begin a request, read a message, or send more entries; return whether there was anything to do."""
        if not self._session.busy:
            self._operation_began = self._clock.seconds()
            step = self._session.advance()
            if step is not None:
                self._perform(step)
                # The search sends entries at once, so that a short search ends before the next message is read.
                self._continue_search(self._operation_began)
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
        """Send more entries of the running search; return False if no search runs, or if the search waits."""
        if self._response is None or self._response.is_waiting:
            return False
        result = self._core.write_response(self._response, self._buffer, now, self._slice_end)
        if result is not None:
            self._finish(result)
        return True

    def _perform(self, step: Step) -> None:
        match step:
            case SendReply(reply):
                self._add_reply(reply)
            case StartSearch(message_id, batches, selection, types_only, time_limit):
                self._server.turns.flush()  # finished answers must not wait for a search that may take long
                self._response = SearchResponse(
                    message_id, batches, selection, types_only=types_only, time_limit=time_limit
                )
            case StartControlResponse(response):
                self._response = response
            case DelayResult(result, login):
                delay = self._server.bind_delay(self.address, login, self.number)
                if delay is None:
                    self._finish(result)
                    self.close()
                else:
                    self._delayed_result = self._clock.callLater(delay, self._send_delayed_result, result)
            case StopSearch():
                self._response = None
            case StartTls(reply):
                self._start_tls(reply)
            case _:  # Close
                self.close()

    def _finish(self, result: Result) -> None:
        """End the running operation with a result, and add the reply to the output."""
        sent = self._response.sent if self._response is not None else 0
        self._response = None
        self._reset_idle_timeout()
        self._add_reply(self._session.finish(result), sent)

    def _add_reply(self, reply: Reply, entries: int = 0) -> None:
        """Add the reply that ends an operation to the output, and report a finished search to the observers."""
        self._buffer.add(encode(reply))
        if reply.search:
            seconds = self._clock.seconds() - self._operation_began
            self._core.notify_observers(reply.search, entries, reply.result.code, seconds, reply.kind)

    def _send_delayed_result(self, result: Result) -> None:
        self._delayed_result = None
        self._finish(result)
        self._flush()
        self._resume()

    def _start_tls(self, reply: Reply) -> None:
        contexts = cast("IOpenSSLContextFactory", self._server.tls)
        contexts.getContext()  # an error must be raised before the reply says that TLS begins
        self._buffer.add(encode(reply))
        self._flush()
        # RFC 4511 4.14.1 and CVE-2011-0411: octets injected before the handshake must not be read after the handshake.
        self._framer.discard()
        self.deadlines.set(Timeout.HANDSHAKE, self._clock.seconds() + HANDSHAKE_TIMEOUT)
        self._core.writer.end()
        self._end_reader()
        self.transport.startTLS(contexts)
        self._core.writer = self._new_writer(plain=False)

    def _new_writer(self, *, plain: bool) -> SocketWriter:
        writer = SocketWriter(
            self.transport, plain=plain, on_blocked=self._output_blocked, on_drained=self._output_drained
        )
        self._buffer.max_octets = writer.max_octets
        return writer

    def _reset_idle_timeout(self) -> None:
        self.deadlines.idle = self._clock.seconds() + self._server.limits.idle_timeout
        self.deadlines.message = inf

    def _flush(self) -> None:
        """Write all output at once, because a second small packet would wait for the client's delayed TCP ACK."""
        if self._buffer.size:
            self._write(self._buffer.take())

    def _write(self, octets: bytes) -> None:
        self._server.turns.flush()
        self._core.write(octets)

    def _pause_or_resume_reading(self, *, is_busy: bool = False) -> None:
        """Read only while the client takes the output, and while the connection has room for further requests.

        :param is_busy: whether the last slice has left work to do.
        """
        if self._core.closing or self._input_ended:
            return
        is_ahead = is_busy and self._framer.size > AHEAD
        reading = not self._core.writer.blocked and not self._session.full and not is_ahead
        self._set_reading(reading=reading)
        if not reading or not self._framer.partial:
            self.deadlines.message = inf
        elif self.deadlines.message == inf:
            self.deadlines.set(Timeout.MESSAGE, self._clock.seconds() + MESSAGE_TIMEOUT)

    def _set_reading(self, *, reading: bool) -> None:
        if reading != self._reading:
            self._reading = reading
            if reading:
                self.transport.resumeProducing()
            else:
                self.transport.pauseProducing()

    # --- the end ----------------------------------------------------------------------------------------------------

    def close(self, notice: Reply | None = None) -> None:
        """End the session: write all output and the notice, then close the connection."""
        if self._core.closing:
            return
        self._core.closing = True
        self._stop_work()
        self._framer.discard()
        if notice is not None:
            self._buffer.add(encode(notice))
        self._flush()
        self.deadlines.set(Timeout.CLOSING, self._clock.seconds() + CLOSE_TIMEOUT)
        self._server.turns.flush()
        self._core.writer.close()

    def _end_reader(self) -> None:
        """Let the transport read, in place of the `SocketReader`."""
        if self._reader is not None:
            self._reader.end()
            self._reader = None

    def _stop_work(self) -> None:
        self._core.received = b""  # received requests are not answered any more
        self._response = None
        if self._delayed_result is not None:
            self._server.delay_close(self.address, max(0.0, self._delayed_result.getTime() - self._clock.seconds()))
            self._delayed_result.cancel()
            self._delayed_result = None


def _openssl_reason(error: TlsError) -> str:
    """Return OpenSSL's reason for an error, which is a fixed phrase; empty if OpenSSL gives no reason."""
    reasons = error.args[0] if error.args else ()
    return str(reasons[-1][-1]) if reasons else ""
