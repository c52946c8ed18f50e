# SPDX-License-Identifier: MIT
"""The PROXY protocol, versions 1 and 2: a proxy such as HAProxy first sends the address of the client.

`read_header` reads a header from octets.  `ProxyProtocolFactory` stands between a listener and the factory of its
connections.  If a configured proxy connects, the factory waits for the header and builds the connection with the
client's address.  Limits, delays after wrong passwords, networks and the log then refer to the client.  The header
comes before TLS.  A header from any other address counts as a request of the client.  The gateway refuses this request,
because a header is neither LDAP nor HTTP.

The source is "The PROXY protocol, Versions 1 & 2" (haproxy.org, ``doc/proxy-protocol.txt``), sections 2.1 and 2.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address as Ipv4
from ipaddress import IPv6Address as Ipv6
from ipaddress import ip_address
from typing import Any, Final, cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocol, IProtocolFactory, IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from ldapgw.directory.clients import normalize_address

# The maximum number of octets of a header of version 1, with the end of the line (section 2.1).
MAX_V1_OCTETS: Final = 107
# The maximum number of octets of a header of version 2.  Addresses take 36 octets at most; the gateway does not read
# the data that follows the addresses, such as a client's certificate.
MAX_V2_OCTETS: Final = 4096
# Seconds to wait for the header.  Section 2 demands three seconds at least, because TCP repeats a lost segment after
# three seconds.
HEADER_SECONDS: Final = 5.0

_V1_SIGNATURE: Final = b"PROXY "
_V2_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_START: Final = len(_V2_SIGNATURE) + 4
_PORT = r"(?:0|[1-9]\d{0,4})"
_V1_LINE = re.compile(
    rf"PROXY (?:UNKNOWN(?: [^\r\n]*)?|TCP(?P<version>[46]) (?P<source>[0-9A-Fa-f:.]+) (?P<target>[0-9A-Fa-f:.]+) "
    rf"(?P<port>{_PORT}) {_PORT})",
    re.ASCII,
)
_LOCAL, _PROXY = 0x20, 0x21
# The number of octets of a client's address, by the header's octet for TCP over IPv4 and for TCP over IPv6.
_TCP_ADDRESSES: Final = {0x11: 4, 0x21: 16}
# The other families and transports that the protocol knows: unspecified, UDP, Unix sockets.
_OTHER_TRANSPORTS: Final = frozenset((0x00, 0x12, 0x22, 0x31, 0x32))


class InvalidHeader(ValueError):
    """Raised when octets are no PROXY header.

    :ivar problem: a fixed phrase for the log.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """A header that was read.

    :ivar length: the number of octets of the header.
    :ivar client: the client's address; None if the connection's own address counts, as for a health check of the proxy
        (LOCAL), or for a client without a known IP address (UNKNOWN).
    """

    length: int
    client: IPv4Address | IPv6Address | None = None


def read_header(octets: bytes | bytearray) -> ProxyHeader | None:
    """Read the header at the beginning of the octets of a connection.

    :returns: None while more octets are needed.
    :raises InvalidHeader: when no valid header begins with these octets.
    """
    if octets[: len(_V1_SIGNATURE)] == _V1_SIGNATURE[: len(octets)]:
        return _read_v1(octets)
    if octets[: len(_V2_SIGNATURE)] == _V2_SIGNATURE[: len(octets)]:
        return _read_v2(octets)
    raise InvalidHeader("no PROXY header")


def _read_v1(octets: bytes | bytearray) -> ProxyHeader | None:
    end = octets.find(b"\r\n", 0, MAX_V1_OCTETS)
    if end < 0:
        if len(octets) >= MAX_V1_OCTETS:
            raise InvalidHeader("a PROXY header that is too long")
        return None
    match = _V1_LINE.fullmatch(octets[:end].decode("latin-1"))
    if match is None:
        raise InvalidHeader("a malformed PROXY header")
    if match["version"] is None:
        return ProxyHeader(end + 2)
    try:
        source, target = ip_address(match["source"]), ip_address(match["target"])
    except ValueError:
        raise InvalidHeader("a malformed PROXY header") from None
    port = int(match["port"])
    if {source.version, target.version} != {int(match["version"])} or port > 0xFFFF:
        raise InvalidHeader("a malformed PROXY header")
    return ProxyHeader(end + 2, _client(source, port))


def _read_v2(octets: bytes | bytearray) -> ProxyHeader | None:
    if len(octets) < _V2_START:
        return None
    command, transport = octets[12], octets[13]
    length = _V2_START + int.from_bytes(octets[14:16], "big")
    size = _TCP_ADDRESSES.get(transport)
    if command not in (_LOCAL, _PROXY) or (size is None and transport not in _OTHER_TRANSPORTS):
        raise InvalidHeader("a malformed PROXY header")
    if length > MAX_V2_OCTETS:
        raise InvalidHeader("a PROXY header that is too long")
    if command == _PROXY and size is not None and length < _V2_START + 2 * size + 4:
        raise InvalidHeader("a malformed PROXY header")
    if len(octets) < length:
        return None
    # Everything else in the header of a LOCAL connection is skipped (section 2.2).
    if command == _LOCAL or size is None:
        return ProxyHeader(length)
    source = ip_address(bytes(octets[_V2_START : _V2_START + size]))
    ports = _V2_START + 2 * size
    return ProxyHeader(length, _client(source, int.from_bytes(octets[ports : ports + 2], "big")))


def _client(address: Ipv4 | Ipv6, port: int) -> IPv4Address | IPv6Address:
    """Return the address as a Twisted address; an IPv4 client of the proxy's IPv6 socket has an IPv4 address."""
    mapped = address.ipv4_mapped if isinstance(address, Ipv6) else address
    return IPv4Address("TCP", str(mapped), port) if mapped else IPv6Address("TCP", str(address), port)


@implementer(IProtocolFactory)
class ProxyProtocolFactory:
    """A factory that lets another factory build the protocols, with the client's address if a proxy connects.

    :param factory: builds the protocol for the client's address, or returns None to refuse the client.
    :param is_proxy: returns whether an address belongs to a configured proxy, which must send a header.
    :param count_misuse: counts a refused connection, by a fixed phrase and the proxy's address.
    """

    def __init__(
        self,
        factory: IProtocolFactory,
        is_proxy: Callable[[str], bool],
        clock: IReactorTime,
        count_misuse: Callable[[str, str], None],
    ) -> None:
        self._factory = factory
        self._is_proxy = is_proxy
        self._clock = clock
        self._count_misuse = count_misuse

    def buildProtocol(self, addr: IAddress | None) -> IProtocol | None:
        """Return the protocol of a connection, or a protocol that waits for the header; None closes the connection."""
        host = normalize_address(getattr(addr, "host", ""))
        if addr is None or not host or not self._is_proxy(host):
            return self._factory.buildProtocol(cast("IAddress", addr))
        return HeaderReader(self._factory, addr, self._clock, lambda problem: self._count_misuse(problem, host))

    def doStart(self) -> None:  # noqa: N802 - Twisted's name
        self._factory.doStart()

    def doStop(self) -> None:  # noqa: N802 - Twisted's name
        self._factory.doStop()


class HeaderReader(Protocol):
    """The protocol that waits for a proxy's header, and then passes the connection to the protocol for the client.

    :param address: the proxy's address.
    :param refused: called with the problem before the connection is aborted.
    """

    def __init__(
        self, factory: IProtocolFactory, address: IAddress, clock: IReactorTime, refused: Callable[[str], None]
    ) -> None:
        self._factory = factory
        self._address = address
        self._clock = clock
        self._refused = refused
        self._received = bytearray()
        self._deadline: IDelayedCall | None = None

    def connectionMade(self) -> None:
        self._deadline = self._clock.callLater(HEADER_SECONDS, self._expire)

    def dataReceived(self, data: bytes) -> None:
        """Read the header once it is complete, and pass the octets after the header to the client's protocol."""
        if self._deadline is None:
            return  # the connection was refused
        self._received += data
        try:
            header = read_header(self._received)
        except InvalidHeader as error:
            self._refuse(error.problem)
            return
        if header is None:
            return
        self._end()
        protocol = self._factory.buildProtocol(header.client or self._address)
        transport: Any = self.transport
        if protocol is None:
            transport.abortConnection()
            return
        transport.protocol = protocol
        protocol.makeConnection(transport)
        rest = bytes(self._received[header.length :])
        is_open = getattr(transport, "protocol", None) is protocol
        if rest and is_open:
            protocol.dataReceived(rest)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002 - Twisted's
        """Report an incomplete header.

        A connection that has sent no octet is not reported: the proxy only checked whether the port is open.
        """
        if self._deadline is not None and self._received:
            self._refused("no whole PROXY header")
        self._end()

    def _expire(self) -> None:
        self._deadline = None
        self._refuse("no PROXY header in time")

    def _refuse(self, problem: str) -> None:
        self._end()
        self._refused(problem)
        cast("ITCPTransport", self.transport).abortConnection()

    def _end(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None
