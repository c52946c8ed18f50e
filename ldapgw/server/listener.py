# SPDX-License-Identifier: MIT
"""File descriptors: each connection is one, and so is each file.

When the last is taken, accepting fails over and over and nothing can be opened, the database's journal least of all.
So we ask for as many as the configuration needs, and accept no connection while few are left.

Endpoints that are listened on, and the sessions behind them.

A port that cannot be had ends the start with a plain line.  While few file descriptors are left, connections that come
are closed at once: those that are there, the database and Google need what is left.

Endpoint strings, read for the TCP address that they stand for.
"""

from __future__ import annotations

import errno
import os
import re
import resource
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    ILoggingContext,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ldapgw.errors import UserError
from ldapgw.ldap.admission import LogThrottle
from ldapgw.phones.provisioning.settings import LdapEndpoint, Security, ServerAddress
from ldapgw.server.config import Config
from ldapgw.server.config.forms import is_loopback_url

log = Logger()

# Besides LDAP connections: browsers and their proxy, Google, the database, logs.
OTHER_DESCRIPTORS: Final = 300
# What connections leave to the rest.
RESERVED_DESCRIPTORS: Final = 64


def raise_descriptor_limit(connections: int) -> None:
    """Raise our own limit, as far as we may, so that this many connections fit; says so where they do not."""
    wanted = connections + OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        log.warn(
            "ldap.max_connections = {connections}: the system lets this process open {most} files; raise LimitNOFILE",
            connections=connections,
            most=most,
        )


def has_free_descriptors() -> bool:
    """Whether one more connection leaves enough to the rest; costs three short system calls."""
    try:
        lowest = os.dup(0)  # which file that is does not matter
    except OSError as error:
        return error.errno == errno.EBADF  # 0 is free: no connection has just taken it
    os.close(lowest)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    # The kernel gives out the lowest that is free, so all below it are taken.
    return limit == resource.RLIM_INFINITY or lowest < limit - min(RESERVED_DESCRIPTORS, limit // 4)


# Connections that the kernel holds for us until we take them; one more waits a second before it tries again.
BACKLOG = 1024
# Octets that the kernel may hold unsent for one connection.  It would take 2 MiB and more, of 10,000 slow readers too.
UNSENT_LIMIT: Final = 64 << 10
_NOT_SENT_LOW_WATER: Final[int | None] = getattr(socket, "TCP_NOTSENT_LOWAT", None)


@implementer(IProtocolFactory, ILoggingContext)
class DescriptorLimitedFactory:
    """In front of a factory: whether one more connection can be had.

    :param name: what the log calls it.
    :param has_room: whether there are file descriptors left for it.
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
        """The connection's protocol; None closes it at once."""
        if self._has_free_descriptors():
            return self._factory.buildProtocol(addr)
        complaint = self._log_throttle.add("refused", self._name, self._clock.seconds())
        if complaint is not None:
            log.warn(
                "{listener}: few file descriptors are left, connections closed at once: {count}; raise LimitNOFILE",
                listener=self._name,
                count=complaint.count,
            )
        return None

    def doStart(self) -> None:  # noqa: N802 - Twisted's name
        """See `IProtocolFactory`."""
        self._factory.doStart()

    def doStop(self) -> None:  # noqa: N802 - Twisted's name
        """See `IProtocolFactory`."""
        self._factory.doStop()

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        """See `ILoggingContext`."""
        return self._name


class Listener(Service):
    """Listens from the privileged start on.

    :param setting: where the endpoint stands in the file, for messages.
    :param endpoint: Twisted's server endpoint string.
    """

    def __init__(self, reactor: Any, setting: str, endpoint: str, factory: IProtocolFactory) -> None:
        self._endpoint = serverFromString(reactor, endpoint + _backlog(endpoint))
        self._name = f'{setting} "{endpoint}"'
        self._factory = DescriptorLimitedFactory(self._name, factory, reactor, has_free_descriptors)
        self._port: IListeningPort | None = None
        self._starting = False
        self._problem = ""

    def privilegedStartService(self) -> None:
        """Listen.

        :raises UserError: when that is not possible.
        """
        super().privilegedStartService()
        # Twisted's own endpoints listen at once; one that does not is heard of in the log.
        self._starting = True
        self._endpoint.listen(self._factory).addCallbacks(self._listen_succeeded, self._listen_failed)
        self._starting = False
        if self._problem:
            raise UserError(self._problem)

    def stopService(self) -> Deferred[None] | None:
        """Listen no more; connections that are there stay."""
        super().stopService()
        port, self._port = self._port, None
        return port.stopListening() if port is not None else None

    def _listen_succeeded(self, port: IListeningPort) -> None:
        self._port = port
        set_socket_options(port)

    def _listen_failed(self, failure: Failure) -> None:
        error = failure.value
        reason = error.socketError if isinstance(error, CannotListenError) else error
        text = getattr(reason, "strerror", None) or "is no address of this machine"
        self._problem = f"{self._name}: cannot be listened on: {text}"
        if not self._starting:
            log.error("{problem}", problem=self._problem)


def set_socket_options(port: Any) -> None:
    """Set what every connection that is accepted there inherits: on each for itself it would be two system calls more.

    No answer waits for the acknowledgement of the one before, and few octets that are not sent wait in the kernel.
    Clients are served without that, too: those that were there before us on a socket of systemd's, and those of a
    socket that does not know these options, as one that is not on TCP.

    :param port: as Twisted's endpoints give it.
    """
    handle = getattr(port, "socket", None)
    if handle is None:
        return
    with suppress(OSError):
        handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if _NOT_SENT_LOW_WATER is not None:
            handle.setsockopt(socket.IPPROTO_TCP, _NOT_SENT_LOW_WATER, UNSENT_LIMIT)


def _backlog(endpoint: str) -> str:
    """The argument that Twisted's 50 needs in front of phones: they all come back at once when the power does."""
    return f":backlog={BACKLOG}" if endpoint.startswith(("tcp:", "tcp6:")) and "backlog=" not in endpoint else ""


class SessionCloser(Service):
    """Ends what goes on behind listeners when the gateway stops.

    :param end_all: ends all sessions; its Deferred fires when the last is gone.
    """

    def __init__(self, disconnect_all: Callable[[], Deferred[None]]) -> None:
        self._disconnect_all = disconnect_all

    def stopService(self) -> Deferred[None]:
        """End them."""
        super().stopService()
        return self._disconnect_all()


_TCP_SCHEMES = frozenset(("tcp", "tcp4", "tcp6", "ssl", "tls"))


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where a server endpoint listens.

    :ivar interface: an address; empty: all of them.
    :ivar port: 0: any that is free.
    """

    interface: str
    port: int
    ipv6: bool

    @classmethod
    def parse(cls, endpoint: str) -> ListenAddress | None:
        """What an endpoint string listens on; None where that is no TCP port (a Unix socket, one of systemd's)."""
        # Twisted's wrapper for the PROXY protocol; the port is that of the endpoint within.
        kind, *arguments = re.split(r"(?<!\\):", endpoint.removeprefix("haproxy:"))
        if kind not in _TCP_SCHEMES:
            return None
        named = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
        positional = [argument for argument in arguments if "=" not in argument]
        port = named.get("port") or "".join(positional[:1])
        interface = re.sub(r"\\(.)", r"\1", named.get("interface") or "".join(positional[1:2]))
        if not port.isdecimal():
            return None
        return cls(interface, int(port), ipv6=kind == "tcp6" or ":" in interface)

    def __str__(self) -> str:
        """As an administrator knows it."""
        return f"port {self.port}" + (f" of {self.interface}" if self.interface else "")


def phone_server(config: Config) -> ServerAddress:
    """Where phones find the gateway: by the page's host name, on the first ports that are known.

    Where none is known because others hold the sockets, it is likely the usual one.
    """
    (port, guessed), (tls_port, tls_guessed) = (
        _advertised_port(config.ldap.listen, 389),
        _advertised_port(config.ldap.listen_tls, 636),
    )
    return ServerAddress(
        host=urlsplit(config.web.public_url).hostname or "",
        port=port,
        tls_port=tls_port,
        start_tls=config.tls is not None,
        require_tls=config.ldap.require_tls,
        is_loopback=is_loopback_url(config.web.public_url),
        is_port_guessed=guessed or tls_guessed,
    )


def ldap_url(config: Config) -> str:
    """The address that phones are to be given: on TLS where there is a port for it."""
    server = phone_server(config)
    if server.tls_port:
        return LdapEndpoint(Security.LDAPS, server.host, server.tls_port).url
    link = LdapEndpoint(Security.PLAIN, server.host, server.port)
    return link.url if server.port else link.address


def _advertised_port(endpoints: tuple[str, ...], usual: int) -> tuple[int, bool]:
    """The first that is known, else the usual one, and whether it is a guess; 0: there is none, or any that is free."""
    found = [ListenAddress.parse(endpoint) for endpoint in endpoints]
    known = next((one.port for one in found if one is not None and one.port), 0)
    guessed = not known and None in found
    return (usual if guessed else known), guessed
