# SPDX-License-Identifier: MIT
"""The LDAP server on Twisted: the factory of all connections, and the state that the connections share.

The connections share the limits, the back-off after wrong passwords, the log throttles, and the sweep over the
deadlines.  The templates of the fast path and the scheduler of the reactor's turns (`ldapgw.ldap.turns`) are shared,
too.  A single connection is `ldapgw.ldap.connection.LdapProtocol`.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from itertools import count
from math import inf
from operator import itemgetter
from typing import Any, cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IDelayedCall, IOpenSSLContextFactory, IReactorTime
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol

from ldapgw.ber import SEQUENCE
from ldapgw.directory.access import LeftOut, Viewer
from ldapgw.directory.clients import LOCAL, network_of, normalize_address
from ldapgw.errors import ResultCode
from ldapgw.ldap.admission import (
    LOG_INTERVAL,
    BindBackoff,
    CallerIdLimits,
    ClientBudget,
    ConnectionLimits,
    LogLine,
    LogThrottle,
)
from ldapgw.ldap.connection import LdapProtocol
from ldapgw.ldap.connection_core import Tap
from ldapgw.ldap.controls import SUPPORTED_CONTROLS, SupportedControl
from ldapgw.ldap.fast_path import FastPath
from ldapgw.ldap.limits import Limits
from ldapgw.ldap.messages import notice_of_disconnection
from ldapgw.ldap.session import DirectoryPort, Session
from ldapgw.ldap.turns import CallAtTickEnd, TurnScheduler

__all__ = ["DirectoryPort", "LdapFactory", "LdapsFactory", "Limits"]

log = Logger()

# The time, in seconds, between two sweeps over the deadlines of the connections.
SWEEP = 1.0


@dataclass(frozen=True, slots=True)
class Guesses:
    """The counts of wrong passwords and unknown numbers at one gateway since the last exchange.

    The gateways on the same database exchange their counts, because the limits apply to all of these gateways together.

    :ivar passwords: counts of wrong passwords, by network and by hash of the login (`BindBackoff`).
    :ivar numbers: counts of unknown numbers, by login or network (`CallerIdLimits`).
    :ivar left_out: the clients that asked for too many unknown numbers.
    """

    passwords: Mapping[str | int, int] = field(default_factory=dict)
    numbers: Mapping[str, int] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()


class LdapFactory(ServerFactory):
    """The factory and the shared state of all connections of the LDAP listeners.

    :param port: the directory and the logins.
    :param tls: makes the context for StartTLS and `over_tls`, or None for a server without TLS.
    :param require_tls: whether a password on a connection without TLS is refused.
    :param call_at_tick_end: calls a function at the end of the reactor's turn; if None, the clock calls the function as
        soon as possible.
    :param logs_connections: whether the opening and closing of each connection is logged, at level debug.
    :ivar turns: shares the reactor's turns among the clients, over LDAP and over HTTP.
    """

    noisy = False

    def __init__(
        self,
        port: DirectoryPort,
        limits: Limits,
        clock: IReactorTime,
        tls: IOpenSSLContextFactory | None,
        *,
        require_tls: bool,
        call_at_tick_end: CallAtTickEnd | None = None,
        logs_connections: bool = False,
    ) -> None:
        self.limits = limits
        self.clock = clock
        self.tls = tls
        self.observers = port.observers
        call_soon = partial(clock.callLater, 0)
        self.turns = TurnScheduler(clock.seconds, call_at_tick_end or call_soon, call_soon)
        self._port = port
        self._require_tls = require_tls
        self._logs_connections = logs_connections
        self._numbers = count(1)
        self._fast_path = FastPath(limits.size_limit)
        self._bind_backoff = BindBackoff(partial(_keyed_hash, port.cookie_key))
        self._caller_id_limits = CallerIdLimits(clock.seconds, self._count_left_out)
        self._misuse_log = LogThrottle()
        self._failure_log = LogThrottle()
        self._connections: ConnectionLimits[LdapProtocol] = ConnectionLimits(
            limits.max_connections, limits.max_connections_per_address
        )
        self._sweep_call: IDelayedCall | None = None
        self._all_closed: list[Deferred[None]] = []
        self._make_tap: Callable[[], Tap] | None = None
        self._controls = dict(SUPPORTED_CONTROLS)

    def buildProtocol(self, addr: IAddress | None) -> LdapProtocol | None:
        """Make the protocol of a new connection, or return None if there are too many connections."""
        address = normalize_address(addr.host) if isinstance(addr, (IPv4Address, IPv6Address)) else LOCAL
        if self._connections.has_room(network_of(address)):
            return LdapProtocol(self, address, next(self._numbers))
        self.count_misuse("one connection too many", address)
        return None

    def over_tls(self) -> LdapsFactory:
        """Return the factory for listeners where TLS begins at once (LDAPS); both factories share the limits.

        :raises ValueError: if the server has no TLS.
        """
        if self.tls is None:
            raise ValueError("the server has no certificate for TLS")
        return LdapsFactory(self.tls, False, self, self.clock)  # noqa: FBT003 - Twisted's isClient

    def disconnect(self, login: str) -> None:
        """End the sessions of a login that was changed or removed."""
        for connection in self._connections:
            if connection.login == login:
                connection.close(notice_of_disconnection(ResultCode.UNAVAILABLE, "this login has changed"))

    def snapshot_changed(self) -> None:
        """Drop the fast path's templates of directories that are not served any more."""
        self._fast_path.forget_old(self._port.dit())

    def add_controls(self, controls: Mapping[str, SupportedControl]) -> None:
        """Support further controls.

        :param controls: controls by OID.
        """
        self._controls |= controls

    def wake(self) -> None:
        """Continue the answers that wait for this call (`ldapgw.ldap.search_response.RunningResponse`)."""
        for connection in self._connections:
            connection.wake()

    def disconnect_all(self) -> Deferred[None]:
        """End all sessions; the Deferred fires when the last connection is closed."""
        for connection in self._connections:
            connection.close(notice_of_disconnection(ResultCode.UNAVAILABLE, "the server is stopping"))
        self._log_due(0.0)
        if not self._connections:
            return succeed(None)
        closed: Deferred[None] = Deferred()
        self._all_closed.append(closed)
        return closed

    def tap(self, make_tap: Callable[[], Tap] | None) -> None:
        """Record what all connections send and receive from now on.

        :param make_tap: makes the function that records a connection, or None to stop recording.
        """
        self._make_tap = make_tap
        for connection in self._connections:
            connection.tap(make_tap() if make_tap is not None else None)

    def connected(self) -> int:
        return len(self._connections)

    def left_out(self, tenant: str) -> tuple[LeftOut, ...]:
        """Return a tenant's clients whose searches were answered without caller-ID books in the last day."""
        return self._caller_id_limits.left_out(tenant)

    def take_guesses(self) -> Guesses:
        """Return the counts of wrong passwords and unknown numbers since the last call, the largest counts last."""
        limits = self._caller_id_limits
        passwords = sorted(self._bind_backoff.take_unsent().items(), key=itemgetter(1))
        numbers = sorted(limits.take_unsent().items(), key=itemgetter(1))
        return Guesses(dict(passwords), dict(numbers), limits.take_left_out())

    def add_guesses(self, guesses: Guesses) -> None:
        """Count the wrong passwords and unknown numbers at other gateways on the same database."""
        self._bind_backoff.add(guesses.passwords, self.clock.seconds())
        self._caller_id_limits.add(guesses.numbers)
        self._caller_id_limits.add_left_out(guesses.left_out)

    def budget(self, viewer: Viewer, address: str) -> ClientBudget:
        """Return the budget of a client for unknown numbers; LDAP and HTTP use the same budget."""
        return self._caller_id_limits.budget(viewer, address)

    # --- called by connections (`ConnectionServer`) ------------------------------------------------------------------

    def session(self, address: str, connection: int, *, secure: bool) -> Session:
        return Session(
            self._port,
            self.limits,
            self._fast_path,
            self._caller_id_limits,
            address,
            connection=connection,
            tls=self.tls is not None,
            secure=secure,
            require_tls=self._require_tls,
            registry=self._controls,
        )

    def bind_delay(self, address: str, login: str, connection: int = 0) -> float | None:
        self.count_misuse("wrong login", address, connection=connection)
        return self._bind_backoff.delay(network_of(address), login, self.clock.seconds())

    def _count_left_out(self, viewer: Viewer, address: str) -> None:
        kind = "too many unknown numbers, caller-ID books left out"
        self.count_misuse(kind, address, viewer.login or "not bound", tenant=viewer.tenant)

    def delay_close(self, address: str, seconds: float) -> None:
        """Count a closed connection as open for some seconds: closing a connection must not allow more guesses."""
        self._connections.delay_close(network_of(address))
        self.clock.callLater(seconds, self._connections.release, network_of(address))

    def count_misuse(self, kind: str, address: str, detail: str = "", connection: int = 0, tenant: str = "") -> None:
        """Count misuse by a client; the log has at most a line a minute for each kind and network.

        :param detail: a fixed phrase, never anything that the client sent.
        """
        line = self._misuse_log.add(
            kind,
            network_of(address),
            self.clock.seconds(),
            detail,
            address=address,
            connection=connection,
            tenant=tenant,
        )
        if line is not None:
            _log_misuse(line)

    def count_unfit(self, kind: str, address: str, connection: int, detail: str = "") -> None:
        self.count_misuse(kind, address, detail, connection)
        self._port.unfit_client(kind, address)

    def count_failure(self, error: Exception, connection: int = 0, tenant: str = "") -> None:
        """Count an error of our own; the log has at most a line a minute for each kind and position in the code."""
        line = self._failure_log.add(
            type(error).__name__, _code_position(error), self.clock.seconds(), connection=connection, tenant=tenant
        )
        if line is not None:
            _log_failure(line)

    def add(self, connection: LdapProtocol) -> None:
        if self._logs_connections:
            log.debug(
                "connection {connection} from {address} is open",
                event="connection_opened",
                connection=connection.number,
                address=connection.address,
            )
        self._connections.add(connection, network_of(connection.address))
        if self._make_tap is not None:
            connection.tap(self._make_tap())
        if self._sweep_call is None:
            self._sweep_call = self.clock.callLater(SWEEP, self._sweep)

    def remove(self, connection: LdapProtocol) -> None:
        if self._logs_connections:
            log.debug(
                "connection {connection} from {address} is closed",
                event="connection_closed",
                tenant=connection.tenant,
                connection=connection.number,
                address=connection.address,
            )
        self._connections.remove(connection)
        if not self._connections and self._sweep_call is not None:
            self._sweep_call.cancel()
            self._sweep_call = None
            deferreds, self._all_closed = self._all_closed, []
            for deferred in deferreds:
                deferred.callback(None)

    def _sweep(self) -> None:
        """Close the connections whose deadlines have passed, write the log lines that are due, and sweep again later.

        The sweep has a timer of its own because this package must not import `ldapgw.store.periodic`.
        """
        self._sweep_call = self.clock.callLater(SWEEP, self._sweep)
        now = self.clock.seconds()
        for connection in [connection for connection in self._connections if connection.deadlines.earliest <= now]:
            try:
                connection.expire(now)
            except Exception as error:  # noqa: BLE001 - an error of one connection never harms another connection
                connection.count_failure(error)
                connection.deadlines.earliest = inf  # the next sweeps would meet the error again
                with suppress(Exception):
                    connection.abort()
        self._log_due()

    def _log_due(self, interval: float = LOG_INTERVAL) -> None:
        now = self.clock.seconds()
        for line in self._misuse_log.due(now, interval):
            _log_misuse(line)
        for line in self._failure_log.due(now, interval):
            _log_failure(line)


def _keyed_hash(key: bytes, name: str) -> int:
    """Return a hash that is the same in all gateways with the same key."""
    digest = blake2b(name.encode("utf-8", "surrogatepass"), key=key[:64], person=b"login", digest_size=8).digest()
    return int.from_bytes(digest)


def _log_misuse(line: LogLine) -> None:
    log.info(
        "{kind} from {address}" + _count_text(line) + (": {detail}" if line.detail else ""),
        event="ldap_misuse",
        tenant=line.tenant,
        kind=line.kind,
        address=line.client,
        count=line.count,
        detail=line.detail,
        connection=line.connection,
    )


def _log_failure(line: LogLine) -> None:
    log.error(
        "internal error: {kind} at {place}" + _count_text(line),
        event="request_failed",
        tenant=line.tenant,
        kind=line.kind,
        place=line.origin,
        count=line.count,
        connection=line.connection,
    )


def _code_position(error: BaseException) -> str:
    """Return the innermost code positions of an exception, but not its text, which may quote the client."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames))


def _count_text(line: LogLine) -> str:
    return ", {count} times" if line.count > 1 else ""


class _LdapsProtocol(TLSMemoryBIOProtocol):
    """TLS over a connection whose first octet tells whether the client speaks LDAP without TLS."""

    _is_first = True

    def dataReceived(self, data: bytes) -> None:
        if self._is_first:
            self._is_first = False
            cast("LdapProtocol", self.wrappedProtocol).has_plain_client = data[:1] == bytes((SEQUENCE,))
        super().dataReceived(data)


class LdapsFactory(TLSMemoryBIOFactory):
    """The factory that adds TLS to the connections of `LdapFactory`, and obeys the limits of `LdapFactory`."""

    # Twisted's default protocol would collect small writes for a turn of the reactor, but our output is joined already.
    protocol = _LdapsProtocol

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Make the protocol of a new connection within TLS; return None if the connection is refused."""
        wrapped = self.wrappedFactory.buildProtocol(addr)
        return None if wrapped is None else self.protocol(self, wrapped)
