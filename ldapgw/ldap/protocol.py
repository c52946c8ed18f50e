# SPDX-License-Identifier: MIT
"""The wire on Twisted: all connections of the LDAP listeners, and what they share.

They share the count of connections, the penalties for wrong passwords, the sweep over deadlines, and the rotation in
which unfinished searches go on.  One connection is `ldapgw.ldap.connection`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IDelayedCall, IOpenSSLContextFactory, IReactorTime
from twisted.internet.protocol import ServerFactory
from twisted.internet.task import Cooperator
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory

from ldapgw.errors import ResultCode
from ldapgw.ldap.address import LOCAL, network, normalized
from ldapgw.ldap.connection import LdapProtocol
from ldapgw.ldap.connections import Connections
from ldapgw.ldap.gate import Gate
from ldapgw.ldap.limits import SLICE, Limits
from ldapgw.ldap.messages import notice_of_disconnection
from ldapgw.ldap.penalties import Penalties
from ldapgw.ldap.session import Session

__all__ = ["Gate", "LdapFactory", "LdapsFactory", "Limits"]

log = Logger()

# Seconds between two looks at the connections' deadlines.
SWEEP = 1.0


class LdapFactory(ServerFactory):
    """All connections of the LDAP listeners.

    :param gate: what the wire needs of the rest.
    :param tls: gives the context for StartTLS and `over_tls`; None: no TLS.
    :param require_tls: whether a password on a plain connection is refused.
    """

    noisy = False

    def __init__(
        self, gate: Gate, limits: Limits, clock: IReactorTime, tls: IOpenSSLContextFactory | None, *, require_tls: bool
    ) -> None:
        self.limits = limits
        self.clock = clock
        self.tls = tls
        self._gate = gate
        self._require_tls = require_tls
        self._penalties = Penalties()
        self._connections: Connections[LdapProtocol] = Connections(
            limits.max_connections, limits.max_connections_per_address
        )
        self._sweep_call: IDelayedCall | None = None
        self._all_gone: list[Deferred[None]] = []
        self.cooperator = Cooperator(self._turn, lambda run: clock.callLater(0, run))

    def buildProtocol(self, addr: IAddress | None) -> LdapProtocol | None:
        """A connection's protocol; None closes it at once: there are too many."""
        address = normalized(addr.host) if isinstance(addr, (IPv4Address, IPv6Address)) else LOCAL
        return LdapProtocol(self, address) if self._connections.has_room(network(address)) else None

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

    def disconnect_all(self) -> Deferred[None]:
        """End all sessions; fires when the last connection is gone."""
        for connection in self._connections:
            connection.close(notice_of_disconnection(ResultCode.UNAVAILABLE, "the server is stopping"))
        if not self._connections:
            return succeed(None)
        gone: Deferred[None] = Deferred()
        self._all_gone.append(gone)
        return gone

    # --- what connections ask for -----------------------------------------------------------------------------------

    def session(self, address: str, *, secure: bool) -> Session:
        """The session of a new connection."""
        return Session(
            self._gate, self.limits, address, tls=self.tls is not None, secure=secure, require_tls=self._require_tls
        )

    def penalty(self, address: str) -> float:
        """Count a wrong password; for how many seconds its answer is held back."""
        count, delay = self._penalties.add(network(address), self.clock.seconds())
        if count & (count - 1) == 0:  # the 1st, 2nd, 4th, 8th …: a guesser does not fill the log
            log.info("{count} wrong logins from {address}", count=count, address=address)
        return delay

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
        for connection in self._connections:
            connection.expire(now)

    def _turn(self) -> Callable[[], bool]:
        """Says when the searches that go on have had their share of a reactor turn."""
        end = self.clock.seconds() + SLICE
        return lambda: self.clock.seconds() >= end


class LdapsFactory(TLSMemoryBIOFactory):
    """TLS around `LdapFactory`; refuses as it does."""

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A connection's protocol within TLS, or None."""
        wrapped = self.wrappedFactory.buildProtocol(addr)
        return None if wrapped is None else self.protocol(self, wrapped)
