# SPDX-License-Identifier: MIT
"""The whole gateway on a state directory, with a reactor in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from ldapgw.peers.change_feed import ChangeFeed
from ldapgw.server.config import load
from ldapgw.server.gateway import makeService


@contextmanager
def started(state: Path, now: float) -> Iterator[Callable[..., bytes]]:
    """A gateway that has looked at its database once after its start; called with a port and octets, it answers.

    :param state: the state directory; the configuration file is beside it.
    """
    reactor = MemoryReactorClock()
    reactor.advance(now)
    gateway = makeService(load(str(state.with_name("ldapgw.toml"))), reactor, reactor)
    gateway.privilegedStartService()
    [watcher] = [part for part in gateway.services if isinstance(part, ChangeFeed)]
    watcher.startService()
    reactor.advance(1)
    factories = {port: factory for port, factory, *_ in reactor.tcpServers}

    def ask(port: int, *requests: bytes) -> bytes:
        protocol, transport = factories[port].buildProtocol(IPv4Address("TCP", "127.0.0.1", 5)), StringTransport()
        protocol.makeConnection(transport)
        for octets in requests:
            protocol.dataReceived(octets)
            reactor.advance(0)
        protocol.connectionLost(Failure(ConnectionDone()))
        return transport.value()

    yield ask
    gateway.stopService()
