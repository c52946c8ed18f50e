# SPDX-License-Identifier: MIT
"""The HTTP server of the web pages, with limits on connections, time and size of requests, and no access log.

Connections are counted in total and by network (`Admission`), because each connection takes a file descriptor, and
phones need descriptors too.  A trusted proxy connects for many clients, so the requests of each client are counted in
place of the proxy's connections.

An access log would contain Google's authorization codes, which are in the callback's address.  The handlers log the
important events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IOpenSSLContextFactory,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.http import HTTPChannel
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from ldapgw.directory.clients import network_of
from ldapgw.web.http import MAX_BODY_SIZE, max_body_size, request_address

Release = Callable[[], None]

# A browser sends a whole request at once; half a minute is enough even on a slow line.
REQUEST_SECONDS = 30.0
# The maximum number of seconds for which a connection may be idle between two requests.
IDLE_SECONDS = 60.0
# A body that is too large is read and discarded up to this size, so that the browser shows the gateway's error page: a
# browser whose connection is aborted shows an error of its own.
MAX_READ_SIZE = 16 * 1024 * 1024
# The maximum number of requests at a time whose bodies are larger than `MAX_BODY_SIZE`.  The gateway has such a body in
# memory before it checks the login of the request.
MAX_LARGE_BODIES = 32
# The gateway reads the rest of a refused request for this many seconds, so that the browser shows the gateway's error
# page.
REFUSED_SECONDS = 2.0


class Admission:
    """Limits on the number of connections, and on the number of unanswered requests that come through trusted proxies.

    A network is an IPv4 address or an IPv6 /64.

    Mutable: the number of connections, the connections and requests of each network, and the number of large bodies.

    :param max_connections: the limit for all networks together.
    :param max_per_network: the limit for the connections of one network, and for its requests through trusted proxies.
    """

    def __init__(
        self,
        max_connections: int,
        max_per_network: int,
        is_trusted_proxy: Callable[[str], bool],
        count_misuse: Callable[[str, str], None],
    ) -> None:
        self.is_trusted_proxy = is_trusted_proxy
        self.count_misuse = count_misuse
        self._max_connections = max_connections
        self._max_per_network = max_per_network
        self._connections = 0
        self._networks: Counter[str] = Counter()
        self._large_bodies = 0

    def admit_large_body(self, client: str) -> Release | None:
        """Count a request with a body larger than `MAX_BODY_SIZE`; return the function to call when the request ends.

        :param client: the client's address.
        :returns: None if there are too many such requests.
        """
        if self._large_bodies >= MAX_LARGE_BODIES:
            self.count_misuse("too many requests at once", client)
            return None
        self._large_bodies += 1
        return self._release_large_body

    def admit_connection(self, address: str) -> Release | None:
        """Count a connection, and return the function to call when the connection ends.

        :param address: the peer's address; empty for a Unix socket, whose clients are on this machine.
        :returns: None if there are too many connections.
        """
        exempt = not address or self.is_trusted_proxy(address)
        network = "" if exempt else network_of(address)
        if self._connections >= self._max_connections or (network and self._is_full(network)):
            self.count_misuse("too many connections", address)
            return None
        self._connections += 1
        self._networks[network] += 1
        return partial(self._release_connection, network)

    def admit_request(self, peer: str, client: str) -> Release | None:
        """Count a request, and return the function to call when the request ends.

        :param peer: the address that the connection came from.
        :param client: the client's address.
        :returns: None if there are too many requests.
        """
        if not self.is_trusted_proxy(peer) or self.is_trusted_proxy(client):
            return _release_nothing
        network = network_of(client)
        if self._is_full(network):
            self.count_misuse("too many requests at once", client)
            return None
        self._networks[network] += 1
        return partial(self._release, network)

    def _is_full(self, network: str) -> bool:
        return self._networks[network] >= self._max_per_network

    def _release_large_body(self) -> None:
        self._large_bodies -= 1

    def _release_connection(self, network: str) -> None:
        self._connections -= 1
        self._release(network)

    def _release(self, network: str) -> None:
        self._networks[network] -= 1
        if not self._networks[network]:
            del self._networks[network]


def _release_nothing() -> None:
    """Do nothing, because the request was not counted."""


class WebRequest(Request):
    """A request that keeps at most one octet more than `max_body_size`, enough to see that the body is too large.

    :ivar is_refused: whether there are too many requests of the client's network, or too many requests with large
        bodies.
    """

    channel: WebChannel
    is_refused = False
    _received = 0

    def gotLength(self, length: int | None) -> None:
        """Admit or refuse the request, whose headers are complete.

        Twisted is told a limited length, because Twisted would open a temporary file for a long body.
        """
        super().gotLength(0 if length is None else min(length, MAX_BODY_SIZE))
        self._refuse_or_count(self.channel.admit_request(self))

    def handleContentChunk(self, data: bytes) -> None:
        limit = max_body_size(self.channel.method)
        if self._received <= MAX_BODY_SIZE < min(self._received + len(data), limit):
            admission = self.channel.site.admission
            self._refuse_or_count(admission.admit_large_body(request_address(self, admission.is_trusted_proxy)))
        remaining = max((MAX_BODY_SIZE if self.is_refused else limit) + 1 - self._received, 0)
        self._received += len(data)
        super().handleContentChunk(data[:remaining])
        if self._received > MAX_READ_SIZE:
            self.channel.abort("a request that is too large")

    def _refuse_or_count(self, release: Release | None) -> None:
        """Refuse the request, or count the request until its end.

        :param release: ends the counting; None if the request is refused.
        """
        if release is None:
            self.is_refused = True
        else:
            self.notifyFinish().addBoth(lambda _: release())

    def process(self) -> None:
        """Route ``OPTIONS *`` to a path that does not exist."""
        if self.path == b"*":
            self.path = b"/*"
        super().process()


class WebChannel(HTTPChannel):
    """A connection that must deliver each request completely within `REQUEST_SECONDS`.

    :ivar address: the peer's address, which is a proxy's if the gateway is behind a proxy; empty for a Unix socket.
    :ivar client: the peer's address as an object of Twisted, or the address that the PROXY protocol names.
    :ivar release: called when the connection is closed.
    :ivar method: the method of the current request; Twisted sets `Request.method` only after the body.
    """

    site: WebSite
    address: str
    release: Release
    client: IAddress | None
    method = b""
    _deadline: IDelayedCall | None = None
    _forced_end: IDelayedCall | None = None
    _busy = False

    def connectionMade(self) -> None:
        super().connectionMade()
        self._start_deadline(REQUEST_SECONDS)

    def dataReceived(self, data: bytes) -> None:
        if self._deadline is None and not self._busy:
            self._start_deadline(REQUEST_SECONDS)
        super().dataReceived(data)

    def lineReceived(self, line: bytes) -> None:  # noqa: N802 - Twisted's name
        if not self.requests:  # the line is a request line (RFC 9112 3)
            self.method = line.partition(b" ")[0]
        super().lineReceived(line)

    def getPeer(self) -> IAddress:  # noqa: N802 - Twisted's name
        """Return the address that Twisted takes as the address of the client."""
        return self.client or cast("IAddress", super().getPeer())

    def admit_request(self, request: WebRequest) -> Release | None:
        """Count a request whose headers are complete.

        :returns: None if there are too many requests; the body must then arrive within `REFUSED_SECONDS`.
        """
        admission = self.site.admission
        release = admission.admit_request(self.address, request_address(request, admission.is_trusted_proxy))
        if release is None:
            self._cancel_deadline()
            self._start_deadline(REFUSED_SECONDS)
        return release

    def allContentReceived(self) -> None:
        """Stop the deadline, because the request is complete."""
        self._busy = True
        self._cancel_deadline()
        super().allContentReceived()

    def requestDone(self, request: Any) -> None:
        """Let the next request begin, because the response was written."""
        self._busy = False
        super().requestDone(request)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._cancel_deadline()
        if self._forced_end is not None and self._forced_end.active():
            self._forced_end.cancel()
        super().connectionLost(reason)
        self.release()

    def timeoutConnection(self) -> None:  # noqa: N802 - Twisted's name
        """Close an idle connection, and abort the connection if it is still open some seconds later.

        The method replaces Twisted's method, which would log each timeout.
        """
        self._forced_end = self.callLater(self.abortTimeout, partial(self.abort, "a connection that timed out"))
        self.loseConnection()

    def abort(self, kind: str) -> None:
        """Close the connection at once.

        :param kind: the kind of misuse, for the log.
        """
        self.site.admission.count_misuse(kind, self.address)
        cast("ITCPTransport", self.transport).abortConnection()

    def _start_deadline(self, seconds: float) -> None:
        self._deadline = self.callLater(seconds, self._on_deadline)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None

    def _on_deadline(self) -> None:
        self._deadline = None
        self.abort("a connection that timed out")


class WebSite(Site):
    """The factory of `WebChannel` connections.

    :param clock: measures the time limits.
    """

    noisy = False  # Twisted would log the object's address in memory
    protocol = cast("Any", WebChannel)  # Twisted's own protocol may switch to HTTP/2

    def __init__(self, resource: IResource, clock: IReactorTime, admission: Admission) -> None:
        super().__init__(
            resource, requestFactory=WebRequest, timeout=IDLE_SECONDS, reactor=clock, parsePOSTFormSubmission=False
        )
        self.admission = admission
        self._clock = clock

    def over_tls(self, contexts: IOpenSSLContextFactory) -> TLSMemoryBIOFactory:
        """Return the factory for HTTPS; the limits on connections are shared.

        :param contexts: makes the TLS context of each connection.
        """
        return _HttpsFactory(contexts, False, self, self._clock)  # noqa: FBT003 - Twisted's isClient

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Return the protocol of a new connection.

        If there are too many connections, the method returns None, and Twisted closes the new connection.
        """
        address = getattr(addr, "host", "")
        release = self.admission.admit_connection(address)
        if release is None:
            return None
        channel = super().buildProtocol(addr)
        channel.address, channel.release, channel.client = address, release, addr
        return channel

    def log(self, request: http.Request) -> None:
        """Log nothing."""


class _HttpsFactory(TLSMemoryBIOFactory):
    """The factory that adds TLS to the connections of `WebSite`, and refuses the connections that `WebSite` refuses."""

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Make the protocol of a new connection within TLS; return None if the connection is refused."""
        channel = self.wrappedFactory.buildProtocol(addr)
        return None if channel is None else self.protocol(self, channel)
