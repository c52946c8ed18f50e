# SPDX-License-Identifier: MIT
"""Endpoint strings, read for the TCP address that they stand for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from ldapgw.config import Config

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


def ldap_url(config: Config) -> str:
    """The address that phones are to be given: on TLS where there is a port for it, by the page's host name."""
    host = urlsplit(config.web.public_url).hostname or ""
    host = f"[{host}]" if ":" in host else host
    for scheme, endpoints in (("ldaps", config.ldap.listen_tls), ("ldap", config.ldap.listen)):
        for endpoint in endpoints:
            found = Listening.read(endpoint)
            if found is not None and found.port:
                return f"{scheme}://{host}:{found.port}"
    return f"ldap://{host}"
