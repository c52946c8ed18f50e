# SPDX-License-Identifier: MIT
"""The tests read headers of the PROXY protocol, and connections that begin with a header."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from ldapgw.server.config.forms import Networks
from ldapgw.server.proxy_protocol import (
    HEADER_SECONDS,
    MAX_V1_OCTETS,
    MAX_V2_OCTETS,
    InvalidHeader,
    ProxyHeader,
    ProxyProtocolFactory,
    read_header,
)
from tests.support.phonebook.wire import make_factory

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
LOCAL, PROXY = 0x20, 0x21
TCP4, TCP6 = 0x11, 0x21
CLIENT4 = ipaddress.ip_address("192.0.2.7").packed + ipaddress.ip_address("192.0.2.1").packed + b"\x15\xb3\x01\x85"
CLIENT6 = ipaddress.ip_address("2001:db8::7").packed + ipaddress.ip_address("::1").packed + b"\x15\xb3\x01\x85"
TLV = b"\x04\x00\x03abc"


def v2(command: int, transport: int, rest: bytes, length: int | None = None) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, transport, len(rest) if length is None else length) + rest


HEADERS = {
    "v1 ipv4": (b"PROXY TCP4 192.0.2.7 192.0.2.1 5555 389\r\n", IPv4Address("TCP", "192.0.2.7", 5555)),
    "v1 ipv6": (b"PROXY TCP6 2001:db8::7 ::1 5555 389\r\n", IPv6Address("TCP", "2001:db8::7", 5555)),
    "v1 mapped": (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 5555 389\r\n", IPv4Address("TCP", "192.0.2.7", 5555)),
    "v1 longest": (
        b"PROXY UNKNOWN " + b" ".join([b":".join([b"ffff"] * 8)] * 2 + [b"65535"] * 2) + b"\r\n",
        None,
    ),
    "v1 unknown": (b"PROXY UNKNOWN\r\n", None),
    "v2 ipv4": (v2(PROXY, TCP4, CLIENT4), IPv4Address("TCP", "192.0.2.7", 5555)),
    "v2 ipv6": (v2(PROXY, TCP6, CLIENT6), IPv6Address("TCP", "2001:db8::7", 5555)),
    "v2 with more": (v2(PROXY, TCP4, CLIENT4 + TLV), IPv4Address("TCP", "192.0.2.7", 5555)),
    "v2 longest": (
        v2(PROXY, TCP4, CLIENT4 + bytes(MAX_V2_OCTETS - 28)),
        IPv4Address("TCP", "192.0.2.7", 5555),
    ),
    "v2 health check": (v2(LOCAL, 0, b""), None),
    "v2 health check with addresses": (v2(LOCAL, TCP4, CLIENT4 + TLV), None),
    "v2 unspecified": (v2(PROXY, 0, TLV), None),
    "v2 udp": (v2(PROXY, 0x12, CLIENT4), None),
    "v2 unix": (v2(PROXY, 0x31, bytes(216)), None),
}


@pytest.mark.parametrize(("octets", "client"), HEADERS.values(), ids=HEADERS)
def test_a_header_names_the_client(octets, client):
    """The reader waits for the complete header, and ignores all octets after the header."""
    assert [read_header(octets[:end]) for end in range(len(octets))] == [None] * len(octets)
    assert read_header(octets) == ProxyHeader(len(octets), client)
    assert read_header(octets + b"\r\nPROXY") == ProxyHeader(len(octets), client)


@pytest.mark.parametrize(
    ("octets", "problem"),
    [
        (b"0\x0c\x02\x01\x01", "no PROXY header"),
        (b"GET / HTTP/1.1\r\n", "no PROXY header"),
        (b"\x16\x03\x01", "no PROXY header"),
        (b"\r\n\r\nGET", "no PROXY header"),
        (b"PROXY TCP4 " + bytes(MAX_V1_OCTETS - 11), "a PROXY header that is too long"),
        (b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n", "a PROXY header that is too long"),
        (b"PROXY \r\n", "a malformed PROXY header"),
        (b"PROXY TCP5 192.0.2.7 192.0.2.1 5555 389\r\n", "a malformed PROXY header"),
        (b"PROXY TCP4 192.0.2.7 192.0.2.1 5555\r\n", "a malformed PROXY header"),
        (b"PROXY TCP4  192.0.2.7 192.0.2.1 5555 389\r\n", "a malformed PROXY header"),
        (b"PROXY TCP4 192.0.2.7 192.0.2.1 5555 389 \r\n", "a malformed PROXY header"),
        (b"PROXY TCP4 192.0.2.7 192.0.2.1 65536 389\r\n", "a malformed PROXY header"),
        (b"PROXY TCP4 192.0.2.7 192.0.2.1 05555 389\r\n", "a malformed PROXY header"),
        (b"PROXY TCP4 192.0.2.07 192.0.2.1 5555 389\r\n", "a malformed PROXY header"),
        (b"PROXY TCP4 192.0.2.777 192.0.2.1 5555 389\r\n", "a malformed PROXY header"),
        (b"PROXY TCP4 2001:db8::7 ::1 5555 389\r\n", "a malformed PROXY header"),
        (b"PROXY TCP6 192.0.2.7 ::1 5555 389\r\n", "a malformed PROXY header"),
        (b"PROXY TCP6 fe80::1%eth0 ::1 5555 389\r\n", "a malformed PROXY header"),
        ("PROXY TCP4 ١92.0.2.7 192.0.2.1 5555 389\r\n".encode(), "a malformed PROXY header"),
        (b"PROXY TCP4 192.0.2.7\nx 192.0.2.1 5555 389\r\n", "a malformed PROXY header"),
        (v2(0x22, TCP4, CLIENT4), "a malformed PROXY header"),
        (v2(0x11, TCP4, CLIENT4), "a malformed PROXY header"),
        (v2(PROXY, 0x13, CLIENT4), "a malformed PROXY header"),
        (v2(PROXY, 0x41, CLIENT4), "a malformed PROXY header"),
        (v2(PROXY, TCP4, CLIENT4[:-1]), "a malformed PROXY header"),
        (v2(PROXY, TCP6, CLIENT4), "a malformed PROXY header"),
        (v2(PROXY, TCP4, b"", MAX_V2_OCTETS - 15), "a PROXY header that is too long"),
        (v2(LOCAL, 0, b"", 0xFFFF), "a PROXY header that is too long"),
    ],
)
def test_anything_else_is_refused(octets, problem):
    """The problem is a fixed phrase without the octets."""
    with pytest.raises(InvalidHeader) as caught:
        read_header(octets)
    assert caught.value.problem == problem


BEGINNINGS = st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", b"PROXY TCP6 ", SIGNATURE, SIGNATURE + b"\x21\x11"])


@given(st.builds(bytes.__add__, BEGINNINGS, st.binary(max_size=200)), st.data())
def test_hostile_octets_end_early(octets, data):
    """Within the limits, octets are a header, an error, or need more octets. More octets change no verdict."""

    def verdict(part):
        try:
            return read_header(part)
        except InvalidHeader as error:
            return error.problem

    whole = verdict(octets)
    part = verdict(octets[: data.draw(st.integers(0, len(octets)))])
    assert part in (None, whole)
    if whole is None:
        assert len(octets) < (MAX_V1_OCTETS if octets.startswith(b"P") else MAX_V2_OCTETS)
    elif isinstance(whole, ProxyHeader):
        assert len(octets) >= whole.length
        ipaddress.ip_address(whole.client.host if whole.client else "::")


# --- connections ---

DIRECT, LISTED = IPv4Address("TCP", "198.51.100.1", 40000), IPv4Address("TCP", "10.0.0.9", 40000)


class Echo(Protocol):
    """The protocol returns the received octets, after the address of its client."""

    def __init__(self, address):
        self.address = address
        self.ended = False

    def connectionMade(self):
        self.transport.write(f"{getattr(self.address, 'host', '')}|".encode())

    def dataReceived(self, data):
        self.transport.write(data)

    def connectionLost(self, reason):
        self.ended = True


class EchoFactory(Factory):
    """The factory refuses 203.0.113.1 and accepts all other clients."""

    noisy = False

    def buildProtocol(self, addr):
        return None if getattr(addr, "host", "") == "203.0.113.1" else Echo(addr)


class Transport(StringTransport):
    """The protocol of this transport can be replaced, as with a socket's transport."""

    def send(self, octets):
        if not self.disconnected:
            self.protocol.dataReceived(octets)


@pytest.fixture(name="connect")
def _connect():
    """Return a function that connects to a port behind the proxies in 10.0.0.0/8."""
    clock = Clock()
    refused = []
    factory = ProxyProtocolFactory(
        EchoFactory(),
        Networks.read(["10.0.0.0/8"]).contains,
        clock,
        lambda problem, address: refused.append((problem, address)),
    )

    def connect(address):
        transport = Transport()
        transport.protocol = factory.buildProtocol(address)
        transport.protocol.makeConnection(transport)
        return transport, clock, refused

    return connect


@pytest.mark.parametrize(("octets", "client"), HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("size", [1, 11, 100_000])
def test_a_listed_proxy_speaks_for_its_client(connect, octets, client, size):
    """The header may come in pieces. A health check has the proxy's own address."""
    transport, clock, refused = connect(LISTED)
    sent = octets + b"hello"
    for at in range(0, len(sent), size):
        transport.send(sent[at : at + size])
    clock.advance(HEADER_SECONDS)
    assert transport.value() == f"{client.host if client else '10.0.0.9'}|hello".encode()
    assert (transport.disconnected, refused, clock.getDelayedCalls()) == (False, [], [])
    built = transport.protocol
    built.connectionLost(Failure(ConnectionDone()))
    assert built.ended


@pytest.mark.parametrize("address", [DIRECT, UNIXAddress(b""), None], ids=["address", "socket", "nobody"])
def test_a_header_of_anybody_else_is_not_read(connect, address):
    """The protocol gets the octets unchanged."""
    transport, clock, refused = connect(address)
    header = HEADERS["v1 ipv4"][0]
    transport.send(header)
    host = getattr(address, "host", "")
    assert (transport.value(), refused, clock.getDelayedCalls()) == (f"{host}|".encode() + header, [], [])


def test_a_proxy_in_a_listed_network_is_found_on_an_ipv6_socket(connect):
    """A refusal names the proxy by its IPv4 address."""
    mapped = IPv6Address("TCP", "::ffff:10.0.0.9", 40000)
    transport, *_ = connect(mapped)
    transport.send(HEADERS["v1 ipv4"][0])
    assert transport.value() == b"192.0.2.7|"
    transport, _, refused = connect(mapped)
    transport.send(b"0")
    assert refused == [("no PROXY header", "10.0.0.9")]


def test_connections_are_counted_by_client():
    """A client with too many connections does not block other clients of the proxy."""
    factory = make_factory(max_connections_per_address=1)
    proxied = ProxyProtocolFactory(factory, lambda _: True, factory.clock, factory.count_misuse)

    def connect(client):
        transport = Transport()
        transport.protocol = proxied.buildProtocol(LISTED)
        transport.protocol.makeConnection(transport)
        transport.send(f"PROXY TCP4 {client} 192.0.2.1 5555 389\r\n".encode())
        return transport

    clients = ["192.0.2.7", "192.0.2.7", "192.0.2.8"]
    assert [connect(client).disconnected for client in clients] == [False, True, False]


@pytest.mark.parametrize(
    ("octets", "told"),
    [
        (b"0", [("no PROXY header", "10.0.0.9")]),
        # The factory refuses this client, for example for too many connections.
        (b"PROXY TCP4 203.0.113.1 192.0.2.1 5555 389\r\nhello", []),
    ],
    ids=["no header", "a refused client"],
)
def test_a_connection_that_is_refused(connect, octets, told):
    """A connection ends at the first wrong octet, or once the client is known. Later octets are ignored."""
    transport, clock, refused = connect(LISTED)
    transport.send(octets)
    transport.protocol.dataReceived(HEADERS["v1 ipv4"][0])
    assert (transport.value(), transport.disconnected) == (b"", True)
    assert (refused, clock.getDelayedCalls()) == (told, [])


def test_a_header_has_to_come_in_time(connect):
    """The limit covers the whole header, even if single octets arrive."""
    transport, clock, refused = connect(LISTED)
    for octet in HEADERS["v1 ipv4"][0][:4]:
        transport.send(bytes([octet]))
        clock.advance(HEADER_SECONDS / 4)
    assert (transport.value(), transport.disconnected) == (b"", True)
    assert refused == [("no PROXY header in time", "10.0.0.9")]
    transport.protocol.connectionLost(Failure(ConnectionDone()))
    assert len(refused) == 1


@pytest.mark.parametrize(
    ("octets", "expected"), [(b"", []), (b"PROX", [("no whole PROXY header", "10.0.0.9")])], ids=["nothing", "a part"]
)
def test_a_connection_that_ends_first(connect, octets, expected):
    """A check of the port without octets is no event, and a partial header is an event."""
    transport, clock, refused = connect(LISTED)
    transport.send(octets)
    transport.protocol.connectionLost(Failure(ConnectionDone()))
    assert (refused, clock.getDelayedCalls()) == (expected, [])
