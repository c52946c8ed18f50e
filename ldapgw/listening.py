# SPDX-License-Identifier: MIT
"""Endpoint strings, read for the TCP address that they stand for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from ldapgw.config import Config
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
        kind, *arguments = re.split(r"(?<!\\):", endpoint)
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
    """Where phones find the gateway: by the page's host name, on the first ports that are known."""
    return Server(
        host=urlsplit(config.web.public_url).hostname or "",
        port=_port(config.ldap.listen),
        tls_port=_port(config.ldap.listen_tls),
        start_tls=config.tls is not None,
        require_tls=config.ldap.require_tls,
    )


def ldap_url(config: Config) -> str:
    """The address that phones are to be given: on TLS where there is a port for it."""
    server = phone_server(config)
    if server.tls_port:
        return Link(Security.LDAPS, server.host, server.tls_port).url
    link = Link(Security.PLAIN, server.host, server.port)
    return link.url if server.port else link.address


def _port(endpoints: tuple[str, ...]) -> int:
    """The first that is known; 0: none is."""
    found = (Listening.read(endpoint) for endpoint in endpoints)
    return next((one.port for one in found if one is not None and one.port), 0)
