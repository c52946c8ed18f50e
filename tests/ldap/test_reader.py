# SPDX-License-Identifier: MIT
"""What comes over a plain socket is received at once, and its end told as the transport would."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import closing

import pytest
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST

from ldapgw.ldap.socket_io import Reader


class Transport:
    """Enough of one."""

    bufferSize = 8  # noqa: N815 - Twisted's name

    def __init__(self, handle: socket.socket) -> None:
        self.socket = handle

    def doRead(self) -> str:  # noqa: N802 - Twisted's name
        return "its own"


@pytest.fixture(name="pair")
def _pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    ours.setblocking(False)
    with closing(ours), closing(theirs):
        yield ours, theirs


def test_octets_are_received(pair):
    """As many as the transport would read at once; where there are none, nothing happens."""
    ours, theirs = pair
    received: list[bytes] = []
    transport = Transport(ours)
    Reader(transport, received.append)
    assert (transport.doRead(), received) == (None, [])
    theirs.sendall(b"a request and")
    assert (transport.doRead(), received) == (None, [b"a reques"])
    assert (transport.doRead(), transport.doRead(), received) == (None, None, [b"a reques", b"t and"])


@pytest.mark.parametrize(("linger", "why"), [(None, CONNECTION_DONE), (0, CONNECTION_LOST)])
def test_the_end_is_told(pair, linger, why):
    """The client's half ends in order, or all of it is cut."""
    ours, theirs = pair
    if linger is not None:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, linger))
    theirs.close()
    received: list[bytes] = []
    transport = Transport(ours)
    Reader(transport, received.append)
    assert (transport.doRead(), received) == (why, [])


def test_then_the_transport_reads_for_itself(pair):
    """TLS that begins on it takes what the transport reads."""
    transport = Transport(pair[0])
    reader = Reader(transport, lambda _: None)
    assert transport.doRead() is None
    reader.end()
    assert (transport.doRead(), vars(transport)) == ("its own", {"socket": pair[0]})
