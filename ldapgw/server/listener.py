# SPDX-License-Identifier: MIT
"""Listens on the configured endpoints, and keeps file descriptors in reserve.

A port that is not available ends the start with a plain message.

Each connection and each open file takes a file descriptor.  Without a free descriptor, the gateway can neither accept
a connection nor open a file, such as the database's journal.  The gateway therefore raises its limit to the number of
descriptors that the configuration needs.  While few descriptors are left, the gateway closes new connections at once,
because open connections, the database and Google need the rest.  If the system allows fewer descriptors than needed,
browsers may use only a share of the descriptors, so that many connections of browsers cannot shut phones out.
"""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import AdoptedStreamServerEndpoint, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    ILoggingContext,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ldapgw.errors import UserError
from ldapgw.ldap.admission import LogThrottle
from ldapgw.server.endpoints import ListenAddress

log = Logger()

# The descriptors for everything but the connections of phones and browsers: Google, the database, logs.
OTHER_DESCRIPTORS: Final = 300
# The minimum number of free descriptors: with fewer free descriptors, new connections are closed at once.
RESERVED_DESCRIPTORS: Final = 64
# If there are too few descriptors for all configured connections, browsers may still use a quarter of the descriptors.
PAGE_SHARE: Final = 4


def raise_descriptor_limit(phones: int, browsers: int) -> int:
    """Raise the process's limit of open files to fit the connections; log a warning if the limit stays lower.

    :param phones: the maximum number of LDAP connections.
    :param browsers: the maximum number of connections to the page.
    :returns: the maximum number of connections to the page; lower than `browsers` if there are too few descriptors.
    """
    wanted = phones + browsers + OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return browsers
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most == wanted:
        return browsers
    page = min(browsers, max(most - phones - OTHER_DESCRIPTORS, most // PAGE_SHARE))
    log.warn(
        "ldap.max_connections = {phones}, web.max_connections = {browsers}: the system lets this process open {most} "
        "files, so the web server accepts at most {page} connections; raise LimitNOFILE",
        event="descriptor_limit_low",
        phones=phones,
        browsers=browsers,
        most=most,
        page=page,
    )
    return page


def has_free_descriptors() -> bool:
    """Return whether enough descriptors are free for another connection; the check costs three short system calls."""
    try:
        lowest = os.dup(0)  # the new descriptor is the lowest free descriptor, whichever open file is duplicated
    except OSError as error:
        return error.errno == errno.EBADF  # no file is open at descriptor 0, so the descriptor is free
    os.close(lowest)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    # The kernel assigns the lowest free descriptor, so all lower descriptors are taken.
    return limit == resource.RLIM_INFINITY or lowest < limit - min(RESERVED_DESCRIPTORS, limit // 4)


# The maximum number of connections that the kernel queues until they are accepted.  A client that finds the queue full
# tries again after a second.
BACKLOG = 1024
# The maximum number of connections that a port accepts in one turn of the reactor, from all clients together.  The
# number is small, because accepting a connection takes a part of a millisecond, and its TLS handshake takes longer.
ACCEPTED_AT_ONCE: Final = 4
# The maximum number of unsent octets that the kernel buffers for one connection.  With the default of 2 MiB and more,
# 10,000 slow readers could take 20 GiB.
UNSENT_LIMIT: Final = 64 << 10
_NOT_SENT_LOW_WATER: Final[int | None] = getattr(socket, "TCP_NOTSENT_LOWAT", None)


@implementer(IProtocolFactory, ILoggingContext)
class DescriptorLimitedFactory:
    """A protocol factory that closes new connections while few file descriptors are free.

    :param name: the listener's name, for the log.
    :param factory: builds the protocols of accepted connections.
    """

    def __init__(
        self, name: str, factory: IProtocolFactory, clock: IReactorTime, has_free_descriptors: Callable[[], bool]
    ) -> None:
        self._name = name
        self._factory = factory
        self._clock = clock
        self._has_free_descriptors = has_free_descriptors
        self._log_throttle = LogThrottle()

    def buildProtocol(self, addr: IAddress) -> IProtocol | None:
        """Build the protocol of a connection, or return None to close the connection at once."""
        if self._has_free_descriptors():
            return self._factory.buildProtocol(addr)
        entry = self._log_throttle.add("refused", self._name, self._clock.seconds())
        if entry is not None:
            log.warn(
                "{listener}: few file descriptors are left; new connections closed immediately: {count}; "
                "raise LimitNOFILE",
                event="descriptors_short",
                listener=self._name,
                count=entry.count,
            )
        return None

    def doStart(self) -> None:  # noqa: N802 - Twisted's name
        self._factory.doStart()

    def doStop(self) -> None:  # noqa: N802 - Twisted's name
        self._factory.doStop()

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        return self._name


class Listener(Service):
    """A service that listens on one endpoint, from the call of `privilegedStartService` on.

    :param setting: the key of the endpoint in the configuration file, for messages.
    :param endpoint: Twisted's server endpoint string.
    :param ipv6_only: whether an IPv6 endpoint leaves the IPv4 clients of the port to another listener.
    :param reuse_port: whether other gateways of this machine may listen on the same TCP port.
    :param shared: a socket of this process that listens on the endpoint already, which the service takes over.
    :ivar endpoint: Twisted's server endpoint string.
    """

    def __init__(
        self,
        reactor: Any,
        setting: str,
        endpoint: str,
        factory: IProtocolFactory,
        *,
        ipv6_only: bool = False,
        reuse_port: bool = False,
        shared: socket.socket | None = None,
    ) -> None:
        self._make_endpoint = partial(_endpoint, reactor, endpoint, shared, ipv6_only=ipv6_only, reuse_port=reuse_port)
        self.endpoint = endpoint
        self._name = f'{setting} "{endpoint}"'
        self._factory = DescriptorLimitedFactory(self._name, factory, reactor, has_free_descriptors)
        self._port: IListeningPort | None = None
        self._starting = False
        self._problem = ""

    def privilegedStartService(self) -> None:
        """Begin to listen on the endpoint.

        :raises UserError: when the gateway cannot listen on the endpoint.
        """
        super().privilegedStartService()
        # Twisted's own endpoints listen or fail at once.  A later failure, of another kind of endpoint, is only logged.
        self._starting = True
        listening = maybeDeferred(lambda: self._make_endpoint().listen(self._factory))
        listening.addCallbacks(self._listen_succeeded, self._listen_failed)
        self._starting = False
        if self._problem:
            raise UserError(self._problem, is_setting=True)

    def stopService(self) -> Deferred[None] | None:
        """Stop listening; open connections stay open."""
        super().stopService()
        port, self._port = self._port, None
        return port.stopListening() if port is not None else None

    def keep_port(self) -> socket.socket | None:
        """Accept no more connections, and return the listening socket, in which new connections wait.

        :returns: None, without any change, if the socket is no TCP socket, or if Twisted does TLS on the socket.
        """
        port: Any = self._port
        if not hasattr(port, "socket") or not self.endpoint.startswith(("tcp:", "tcp4:", "tcp6:")):
            return None
        # `stopListening` would shut down all copies of the socket.
        port.stopReading()
        self._port = None
        kept: socket.socket = port.socket
        return kept

    def _listen_succeeded(self, port: IListeningPort) -> None:
        self._port = port
        set_socket_options(port)
        limit_accepts(port)

    def _listen_failed(self, failure: Failure) -> None:
        error = failure.value
        reason = error.socketError if isinstance(error, CannotListenError) else error
        text = getattr(reason, "strerror", None) or "is not an address of this machine"
        self._problem = f"{self._name}: cannot listen: {text}"
        if not self._starting:
            log.error("{problem}", event="listen_failed", problem=self._problem)


def set_socket_options(port: Any) -> None:
    """Set options of a listening socket; accepted connections inherit the options without further system calls.

    With these options, no answer waits for the acknowledgement of the previous answer, and the kernel buffers few
    unsent octets.  Connections without the options are served too, such as connections of a Unix socket, and
    connections that waited on a socket of systemd before the gateway started.

    :param port: the listening port that a Twisted endpoint returns.
    """
    handle = getattr(port, "socket", None)
    if handle is None:
        return
    with suppress(OSError):
        handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if _NOT_SENT_LOW_WATER is not None:
            handle.setsockopt(socket.IPPROTO_TCP, _NOT_SENT_LOW_WATER, UNSENT_LIMIT)


def limit_accepts(port: Any) -> None:
    """Let a port accept few connections in a turn of the reactor; Twisted would accept a hundred and more.

    Otherwise a client that opens connections as fast as possible would make each turn long for all clients.

    :param port: the listening port that a Twisted endpoint returns.
    """
    if not hasattr(port, "numberAccepts"):
        return
    accept = port.doRead

    def accept_some() -> None:
        port.numberAccepts = ACCEPTED_AT_ONCE
        accept()

    port.doRead = accept_some


def _backlog(endpoint: str) -> str:
    """Return the backlog argument for an endpoint; Twisted's 50 is too low when all phones connect at once."""
    return f":backlog={BACKLOG}" if endpoint.startswith(("tcp:", "tcp6:")) and "backlog=" not in endpoint else ""


def _endpoint(
    reactor: Any, endpoint: str, shared: socket.socket | None, *, ipv6_only: bool, reuse_port: bool
) -> IStreamServerEndpoint:
    """Return Twisted's endpoint for an endpoint string; for the parameters, see `Listener`.

    Twisted's own endpoints do not have the options `ipv6_only` and `reuse_port`.

    :raises OSError: when the port is not available, and `ipv6_only` or `reuse_port` is set.
    """
    address = ListenAddress.parse(endpoint) if ipv6_only or reuse_port else None
    if shared is None and address is not None:
        shared = listening_socket(address, ipv6_only=ipv6_only, reuse_port=reuse_port)
    found: IStreamServerEndpoint
    if shared is None:
        found = serverFromString(reactor, endpoint + _backlog(endpoint))
    else:
        family = shared.family
        found = AdoptedStreamServerEndpoint(reactor, shared.detach(), family)
    return found


class SessionCloser(Service):
    """A service that ends all LDAP sessions when the gateway stops.

    :param disconnect_all: ends all sessions; its Deferred fires when the last session has ended.
    """

    def __init__(self, disconnect_all: Callable[[], Deferred[None]]) -> None:
        self._disconnect_all = disconnect_all

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return self._disconnect_all()


def listening_socket(
    listening: ListenAddress, *, ipv6_only: bool, reuse_port: bool = False, listens: bool = True
) -> socket.socket:
    """Return a socket that listens with the same options as the gateway's sockets.

    :param ipv6_only: whether the socket accepts no IPv4 clients, because another socket accepts the IPv4 clients.
    :param reuse_port: whether other sockets of the same user may listen on the port, if they have the option too.
    :param listens: False to only bind the socket of a shared port: in a check, a listening socket would take
        connections from the other gateways.
    :raises OSError: when the port is not available.
    """
    listener = socket.socket(socket.AF_INET6 if listening.ipv6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ipv6_only:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((listening.interface, listening.port))
        if reuse_port and not listens:
            return listener
        # With SO_REUSEADDR, two sockets can be bound to one port, but only one of the sockets can listen.
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
