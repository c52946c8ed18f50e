# SPDX-License-Identifier: MIT
"""Endpoint strings, read for the TCP address that they stand for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from ldapgw.config import Config
from ldapgw.config.forms import is_loopback
from ldapgw.provisioning.settings import Link, Security, Server

_TCP = frozenset(("tcp", "tcp4", "tcp6", "ssl", "tls"))


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a server endpoint listens.

    :ivar interface: an address; empty: all of them.
    :ivar port: 0: any that is free.
    """

    interface: str
    port: int
    ipv6: bool

    @classmethod
    def read(cls, endpoint: str) -> Listening | None:
        """What an endpoint string listens on; None where that is no TCP port (a Unix socket, one of systemd's)."""
        # Twisted's wrapper for the PROXY protocol; the port is that of the endpoint within.
        kind, *arguments = re.split(r"(?<!\\):", endpoint.removeprefix("haproxy:"))
        if kind not in _TCP:
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


def phone_server(config: Config) -> Server:
    """Where phones find the gateway: by the page's host name, on the first ports that are known.

    Where none is known because others hold the sockets, it is likely the usual one.
    """
    (port, guessed), (tls_port, tls_guessed) = _port(config.ldap.listen, 389), _port(config.ldap.listen_tls, 636)
    return Server(
        host=urlsplit(config.web.public_url).hostname or "",
        port=port,
        tls_port=tls_port,
        start_tls=config.tls is not None,
        require_tls=config.ldap.require_tls,
        loopback=is_loopback(config.web.public_url),
        guessed=guessed or tls_guessed,
    )


def ldap_url(config: Config) -> str:
    """The address that phones are to be given: on TLS where there is a port for it."""
    server = phone_server(config)
    if server.tls_port:
        return Link(Security.LDAPS, server.host, server.tls_port).url
    link = Link(Security.PLAIN, server.host, server.port)
    return link.url if server.port else link.address


def _port(endpoints: tuple[str, ...], usual: int) -> tuple[int, bool]:
    """The first that is known, else the usual one, and whether it is a guess; 0: there is none, or any that is free."""
    found = [Listening.read(endpoint) for endpoint in endpoints]
    known = next((one.port for one in found if one is not None and one.port), 0)
    guessed = not known and None in found
    return (usual if guessed else known), guessed
