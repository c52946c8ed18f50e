# SPDX-License-Identifier: MIT
"""The wire on Twisted: all connections of the LDAP listeners, and what they share.

They share the count of connections, the penalties for wrong passwords, the lines in the log, the sweep over deadlines,
and the rotation in which unfinished searches go on.  One connection is `ldapgw.ldap.connection`.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IDelayedCall, IOpenSSLContextFactory, IReactorTime
from twisted.internet.protocol import ServerFactory
from twisted.internet.task import Cooperator
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol

from ldapgw.errors import ResultCode
from ldapgw.ldap.admission import (
    LOCAL,
    LOG_INTERVAL,
    BindBackoff,
    ConnectionLimits,
    LogLine,
    LogThrottle,
    network,
    normalized,
)
from ldapgw.ldap.connection import LdapProtocol
from ldapgw.ldap.connection_core import CallAtTickEnd, TickBatch
from ldapgw.ldap.fast_path import FastPath
from ldapgw.ldap.limits import SHORT_SLICE, SLICE, Limits
from ldapgw.ldap.messages import notice_of_disconnection
from ldapgw.ldap.session import DirectoryPort, Session

__all__ = ["DirectoryPort", "LdapFactory", "LdapsFactory", "Limits"]

log = Logger()

# Seconds between two looks at the connections' deadlines.
SWEEP = 1.0


class LdapFactory(ServerFactory):
    """All connections of the LDAP listeners.

    :param gate: what the wire needs of the rest.
    :param tls: gives the context for StartTLS and `over_tls`; None: no TLS.
    :param require_tls: whether a password on a plain connection is refused.
    :param at_end: see `Turn`; None: the clock calls what is due at once.
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
    ) -> None:
        self.limits = limits
        self.clock = clock
        self.tls = tls
        self.observers = port.observers
        self.batch = TickBatch(clock.seconds, call_at_tick_end or partial(clock.callLater, 0))
        self._port = port
        self._require_tls = require_tls
        self._fast_path = FastPath(limits.size_limit)
        self._bind_backoff = BindBackoff()
        self._misuse_log = LogThrottle()
        self._failure_log = LogThrottle()
        self._connections: ConnectionLimits[LdapProtocol] = ConnectionLimits(
            limits.max_connections, limits.max_connections_per_address
        )
        self._sweep_call: IDelayedCall | None = None
        self._all_gone: list[Deferred[None]] = []
        self._scheduled = 0
        self._cooperator = Cooperator(self._end_tick, lambda run: clock.callLater(0, run))

    def buildProtocol(self, addr: IAddress | None) -> LdapProtocol | None:
        """A connection's protocol; None closes it at once: there are too many."""
        address = normalized(addr.host) if isinstance(addr, (IPv4Address, IPv6Address)) else LOCAL
        if self._connections.has_room(network(address)):
            return LdapProtocol(self, address)
        self.count_misuse("one connection too many", address)
        return None

    def over_tls(self) -> LdapsFactory:
        """What listens where TLS begins at once (LDAPS); counts and limits are shared.

        :raises ValueError: when there is no TLS.
        """
        if self.tls is None:
            raise ValueError("TLS without a certificate")
        return LdapsFactory(self.tls, False, self, self.clock)  # noqa: FBT003 - Twisted's isClient

    def disconnect(self, login: str) -> None:
        """End the sessions of a login that no longer holds."""
        for connection in self._connections:
            if connection.login == login:
                connection.close(notice_of_disconnection(ResultCode.UNAVAILABLE, "this login has changed"))

    def snapshot_changed(self) -> None:
        """Something else is served now."""
        self._fast_path.forget_old(self._port.dit())

    def disconnect_all(self) -> Deferred[None]:
        """End all sessions; fires when the last connection is gone."""
        for connection in self._connections:
            connection.close(notice_of_disconnection(ResultCode.UNAVAILABLE, "the server is stopping"))
        self._log_due(0.0)
        if not self._connections:
            return succeed(None)
        gone: Deferred[None] = Deferred()
        self._all_gone.append(gone)
        return gone

    def connected(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    # --- what connections ask for -----------------------------------------------------------------------------------

    def session(self, address: str, *, secure: bool) -> Session:
        """The session of a new connection."""
        return Session(
            self._port,
            self.limits,
            self._fast_path,
            address,
            tls=self.tls is not None,
            secure=secure,
            require_tls=self._require_tls,
        )

    def bind_delay(self, address: str, login: str) -> float:
        """Count a wrong password; for how many seconds its answer is held back."""
        self.count_misuse("wrong login", address)
        return self._bind_backoff.delay(network(address), login, self.clock.seconds())

    def delay_close(self, address: str, seconds: float) -> None:
        """Keep the place of a client that has not waited for its answer: guessing is no faster that way."""
        self._connections.delay_close(network(address))
        self.clock.callLater(seconds, self._connections.release, network(address))

    def count_misuse(self, kind: str, address: str, detail: str = "") -> None:
        """Count what a client did wrong; the log has a line a minute of it.

        :param detail: a fixed phrase, never what was sent.
        """
        complaint = self._misuse_log.add(kind, network(address), self.clock.seconds(), detail)
        if complaint is not None:
            _log_misuse(complaint)

    def count_failure(self, error: Exception) -> None:
        """Count what we did wrong ourselves, likewise."""
        complaint = self._failure_log.add(type(error).__name__, _place(error), self.clock.seconds())
        if complaint is not None:
            _log_failure(complaint)

    def slice_seconds(self) -> float:
        """For how many seconds to work on what has just come in."""
        return SHORT_SLICE if self._scheduled else SLICE

    def schedule(self, slices: Iterator[None]) -> None:
        """Work on something in later reactor turns, in rotation with the rest."""
        self._scheduled += 1
        self._cooperator.cooperate(slices)

    def unschedule(self) -> None:
        """What went on is done."""
        self._scheduled -= 1

    def add(self, connection: LdapProtocol) -> None:
        """A connection is there."""
        self._connections.add(connection, network(connection.address))
        if self._sweep_call is None:
            self._sweep_call = self.clock.callLater(SWEEP, self._sweep)

    def remove(self, connection: LdapProtocol) -> None:
        """A connection is gone."""
        self._connections.remove(connection)
        if not self._connections and self._sweep_call is not None:
            self._sweep_call.cancel()
            self._sweep_call = None
            gone, self._all_gone = self._all_gone, []
            for deferred in gone:
                deferred.callback(None)

    def _sweep(self) -> None:
        self._sweep_call = self.clock.callLater(SWEEP, self._sweep)
        now = self.clock.seconds()
        for connection in [one for one in self._connections if one.deadlines.due <= now]:
            connection.expire(now)
        self._log_due()

    def _log_due(self, pause: float = LOG_INTERVAL) -> None:
        now = self.clock.seconds()
        for complaint in self._misuse_log.due(now, pause):
            _log_misuse(complaint)
        for complaint in self._failure_log.due(now, pause):
            _log_failure(complaint)

    def _end_tick(self) -> Callable[[], bool]:
        """What came is answered; then: says when the searches that go on have had their share of a reactor turn."""
        self.batch.end()
        end = self.clock.seconds() + SLICE
        return lambda: self.clock.seconds() >= end


def _log_misuse(complaint: LogLine) -> None:
    log.info(
        "{kind} from {address}" + _count_text(complaint) + (": {detail}" if complaint.detail else ""),
        kind=complaint.kind,
        address=complaint.origin,
        count=complaint.count,
        detail=complaint.detail,
    )


def _log_failure(complaint: LogLine) -> None:
    log.error(
        "internal error: {kind} at {place}" + _count_text(complaint),
        kind=complaint.kind,
        place=complaint.origin,
        count=complaint.count,
    )


def _place(error: BaseException) -> str:
    """Where in our code an exception came from; its text is left out, for it may hold what was sent."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames))


def _count_text(complaint: LogLine) -> str:
    return ", {count} times" if complaint.count > 1 else ""


class LdapsFactory(TLSMemoryBIOFactory):
    """TLS around `LdapFactory`; refuses as it does."""

    # Twisted's default collects small writes for a reactor turn.  Ours are joined already.
    protocol = TLSMemoryBIOProtocol

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A connection's protocol within TLS, or None."""
        wrapped = self.wrappedFactory.buildProtocol(addr)
        return None if wrapped is None else self.protocol(self, wrapped)
