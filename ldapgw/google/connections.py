# SPDX-License-Identifier: MIT
"""Connections to Google: TCP with TLS whose certificate is checked, and a limit on the head of each response.

Twisted limits the length of a header line but not the number of lines; a server that sends header lines without end
would fill the memory.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import URI, BrowserLikePolicyForHTTPS
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

from ldapgw.errors import BadResponse

CONNECT_TIMEOUT = 15.0

# Octets of all header lines of a response together.
LARGEST_HEAD = 64 * 1024

_END_OF_HEAD = b"\r\n\r\n"


@implementer(IAgentEndpointFactory)
class GoogleEndpointFactory:
    """Makes the endpoints that an `Agent` connects to.

    :param policy: decides which certificates are trusted.
    """

    def __init__(self, reactor: Any, policy: IPolicyForHTTPS | None = None) -> None:
        self._reactor = reactor
        self._policy = policy or BrowserLikePolicyForHTTPS()

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:  # noqa: N802  the interface's name
        endpoint: IStreamClientEndpoint = HostnameEndpoint(self._reactor, uri.host, uri.port, timeout=CONNECT_TIMEOUT)
        if uri.scheme == b"https":
            endpoint = wrapClientTLS(self._policy.creatorForNetloc(uri.host, uri.port), endpoint)
        return _LimitedEndpoint(endpoint)


@implementer(IStreamClientEndpoint)
class _LimitedEndpoint:
    """An endpoint whose connections limit the head of each response."""

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803  the interface's name
        factory = WrappingFactory(protocolFactory)
        factory.protocol = _HeadLimiter
        connected: Any = self._endpoint.connect(factory)
        return cast("Deferred[IProtocol]", connected.addCallback(attrgetter("wrappedProtocol")))


class _HeadLimiter(ProtocolWrapper):
    """Counts the octets of a response's head, which begins after a request and ends with an empty line.

    A connection has one request at a time, so whatever arrives after the head belongs to the body.
    """

    _is_in_head = False
    _head_size = 0
    _tail = b""
    _is_refused = False

    def write(self, data: bytes) -> None:
        self._begin_head()
        super().write(data)

    def writeSequence(self, data: list[bytes]) -> None:  # noqa: N802  the interface's name
        self._begin_head()
        super().writeSequence(data)

    def dataReceived(self, data: bytes) -> None:
        if self._is_in_head and not self._is_refused:
            self._count(data)
        if not self._is_refused:
            super().dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(Failure(BadResponse("headers too large")) if self._is_refused else reason)

    def _begin_head(self) -> None:
        self._is_in_head, self._head_size, self._tail = True, 0, b""

    def _count(self, data: bytes) -> None:
        seen = self._tail + data
        end = seen.find(_END_OF_HEAD)
        self._is_in_head = end < 0
        self._head_size += (end - len(self._tail)) if end >= 0 else len(data)
        self._tail = seen[-len(_END_OF_HEAD) + 1 :]
        if self._head_size > LARGEST_HEAD:
            self._is_refused = True
            cast("ITCPTransport", self.transport).abortConnection()
