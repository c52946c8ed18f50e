# SPDX-License-Identifier: MIT
"""Connections to Google: TCP and TLS with a check of the certificate, directly or through a proxy.

A proxy gets a CONNECT request (RFC 9110 9.3.6) and then only carries octets: TLS is between the gateway and Google.

The size of the head of each response is limited.  Twisted limits the length of a header line but not the number of
lines, so a server that sends header lines endlessly would fill the memory.

The gateway trusts the system's root certificates.  A proxy that inspects TLS shows certificates of its own authority.
`trusting` adds such an authority, and `uninspected` rejects its certificates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import partial
from operator import attrgetter
from typing import Any, NoReturn, cast
from urllib.request import getproxies, proxy_bypass

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol, wrapClientTLS
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import Certificate
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import URI, BrowserLikePolicyForHTTPS
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

from ldapgw.errors import BadResponse, NetworkFailure, NetworkStep
from ldapgw.google.endpoints import Proxy

CONNECT_TIMEOUT = 15.0

# The maximum number of octets of all header lines of a response together.
LARGEST_HEAD = 64 * 1024

_END_OF_HEAD = b"\r\n\r\n"


def environment_proxy(host: str) -> Proxy | None:
    """Return the proxy for https that ``HTTPS_PROXY`` names; None if no proxy is set, or ``NO_PROXY`` names the host.

    :raises ValueError: if ``HTTPS_PROXY`` does not have the form that `Proxy.parse` reads.
    """
    url = getproxies().get("https", "")
    if not url or proxy_bypass(host):
        return None
    return Proxy.parse(url if "://" in url else f"http://{url}")


class InspectedConnection(Exception):
    """Raised when the certificate of a connection comes from an authority of a proxy that inspects connections."""


def trusting(authorities: Collection[x509.Certificate]) -> IPolicyForHTTPS:
    """Return a policy that trusts the system's root certificates and further authorities."""
    added = [Certificate.loadPEM(authority.public_bytes(Encoding.PEM)).original for authority in authorities]

    def prepare(connection: SSL.Connection, _: Any) -> None:
        store: Any = connection.get_context().get_cert_store()
        for authority in added:
            store.add_cert(authority)

    return _Policy(prepare)


def uninspected(authorities: Collection[x509.Certificate]) -> IPolicyForHTTPS:
    """Return a policy that trusts the system's root certificates except the given authorities."""
    fingerprints = {authority.fingerprint(SHA256()) for authority in authorities}

    def prepare(connection: SSL.Connection, protocol: Any) -> None:
        def look(connection: SSL.Connection, where: int, _: int) -> None:
            if where & SSL.SSL_CB_HANDSHAKE_DONE:
                chain = connection.get_verified_chain(as_cryptography=True) or ()
                if any(certificate.fingerprint(SHA256()) in fingerprints for certificate in chain):
                    protocol.failVerification(Failure(InspectedConnection()))

        connection.set_info_callback(look)

    return _Policy(prepare)


class _Policy(BrowserLikePolicyForHTTPS):
    """A policy that trusts the system's root certificates, and lets a function change each connection.

    :param prepare: called with each connection and with the connection's TLS protocol.  Each connection has a context
        of its own, so the function may change the context.
    """

    def __init__(self, prepare: Callable[[SSL.Connection, Any], None]) -> None:
        super().__init__()
        self._prepare = prepare

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:  # noqa: N802  the interface's name
        return _Creator(super().creatorForNetloc(hostname, port), self._prepare)


@implementer(IOpenSSLClientConnectionCreator)
class _Creator:
    def __init__(
        self, creator: IOpenSSLClientConnectionCreator, prepare: Callable[[SSL.Connection, Any], None]
    ) -> None:
        self._creator = creator
        self._prepare = prepare

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:  # noqa: N802, N803  the interface's names
        connection: SSL.Connection = self._creator.clientConnectionForTLS(tlsProtocol)
        self._prepare(connection, tlsProtocol)
        return connection


@implementer(IAgentEndpointFactory)
class GoogleEndpointFactory:
    """A factory of the endpoints to which an `Agent` connects.

    :param proxy: the proxy for all connections.  If None, TLS connections use the proxy that the environment names, if
        any, and other connections use no proxy.
    """

    def __init__(self, reactor: Any, policy: IPolicyForHTTPS | None = None, proxy: Proxy | None = None) -> None:
        self._reactor = reactor
        self._policy = policy or BrowserLikePolicyForHTTPS()
        self._proxy = proxy

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:  # noqa: N802  the interface's name
        return _LimitedEndpoint(partial(self._endpoint, uri))

    def _endpoint(self, uri: URI) -> IStreamClientEndpoint:
        proxy = self._proxy
        if proxy is None and uri.scheme == b"https":
            try:
                proxy = environment_proxy(uri.host.decode())
            except ValueError as error:
                raise NetworkFailure(f"HTTPS_PROXY: {error}", step=NetworkStep.PROXY) from None
        host, port = (proxy.host.encode(), proxy.port) if proxy else (uri.host, uri.port)
        endpoint: IStreamClientEndpoint = HostnameEndpoint(self._reactor, host, port, timeout=CONNECT_TIMEOUT)
        if proxy is not None:
            endpoint = _TunnelEndpoint(endpoint, uri, proxy)
        if uri.scheme == b"https":
            endpoint = wrapClientTLS(self._policy.creatorForNetloc(uri.host, uri.port), endpoint)
        return endpoint


@implementer(IStreamClientEndpoint)
class _TunnelEndpoint:
    """An endpoint behind a proxy.

    :param endpoint: the endpoint of the proxy.
    """

    def __init__(self, endpoint: IStreamClientEndpoint, uri: URI, proxy: Proxy) -> None:
        self._endpoint = endpoint
        authority = b"%s:%d" % (uri.host, uri.port)
        lines = [b"CONNECT %s HTTP/1.1" % authority, b"Host: %s" % authority]
        if proxy.authorization:
            lines.append(b"Proxy-Authorization: %s" % proxy.authorization.encode())
        self._request = b"\r\n".join(lines) + _END_OF_HEAD

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803  the interface's name
        tunnel = _Tunnel(self._request, protocolFactory)
        connecting: Any = connectProtocol(self._endpoint, tunnel)
        connecting.addErrback(_proxy_unreachable)
        return cast("Deferred[IProtocol]", connecting.addCallback(lambda _: tunnel.established))


def _proxy_unreachable(failure: Failure) -> NoReturn:
    failure.trap(ConnectError, DNSLookupError)
    detail = f"the proxy cannot be reached: {type(failure.value).__name__}"
    raise NetworkFailure(detail, step=NetworkStep.PROXY) from None


class _Tunnel(Protocol):
    """A connection to a proxy, which carries the octets of another protocol after the proxy has accepted the request.

    Mutable: the head of the proxy's answer, and the other protocol.
    """

    def __init__(self, request: bytes, factory: IProtocolFactory) -> None:
        self._request = request
        self._factory = factory
        self._head = b""
        self._inner: Any = None
        self.established: Deferred[IProtocol] = Deferred(lambda _: self._abort())

    def connectionMade(self) -> None:
        cast("ITCPTransport", self.transport).write(self._request)

    def dataReceived(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.dataReceived(data)
            return
        self._head += data
        head, end, rest = self._head.partition(_END_OF_HEAD)
        if not end:
            if len(head) > LARGEST_HEAD:
                self._fail("the proxy's answer is too large")
            return
        status = re.match(rb"HTTP/1\.[01] ([0-9]{3})(?:[ \r]|$)", head)
        if status is None:
            self._fail("the proxy does not speak HTTP")
        elif not status[1].startswith(b"2"):
            self._fail(f"the proxy refuses: HTTP {status[1].decode()}")
        else:
            self._begin(rest)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._inner is not None:
            self._inner.connectionLost(reason)
        elif not self.established.called:
            self.established.errback(NetworkFailure("the proxy has closed the connection", step=NetworkStep.PROXY))

    def _begin(self, rest: bytes) -> None:
        transport: Any = self.transport
        self._inner = self._factory.buildProtocol(transport.getPeer())
        self._inner.makeConnection(transport)
        self.established.callback(self._inner)
        if rest:
            self._inner.dataReceived(rest)

    def _fail(self, detail: str) -> None:
        if not self.established.called:
            self.established.errback(NetworkFailure(detail, step=NetworkStep.PROXY))
        self._abort()

    def _abort(self) -> None:
        cast("ITCPTransport", self.transport).abortConnection()


@implementer(IStreamClientEndpoint)
class _LimitedEndpoint:
    """An endpoint whose connections limit the head of each response.

    :param endpoint: makes the real endpoint, only when a connection is opened.  `Agent` asks for an endpoint at each
        call, but most calls use an open connection, and making the real endpoint takes about as long as sending a
        request.
    """

    def __init__(self, endpoint: Callable[[], IStreamClientEndpoint]) -> None:
        self._endpoint = endpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803  the interface's name
        factory = WrappingFactory(protocolFactory)
        factory.protocol = _HeadLimiter
        connected: Any = self._endpoint().connect(factory)
        return cast("Deferred[IProtocol]", connected.addCallback(attrgetter("wrappedProtocol")))


class _HeadLimiter(ProtocolWrapper):
    """A wrapper that limits the head of a response, which begins after a request and ends with an empty line.

    A connection has one request at a time, so all octets after the head belong to the body.
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
