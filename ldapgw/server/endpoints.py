# SPDX-License-Identifier: MIT
"""The configured endpoints as addresses: the gateway's listening addresses, and the LDAP address for phones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from ldapgw.phones.provisioning.settings import LdapEndpoint, Security, ServerAddress
from ldapgw.server.config import Config
from ldapgw.server.config.forms import is_loopback_url

_TCP_SCHEMES: Final = frozenset(("tcp", "tcp4", "tcp6", "ssl", "tls"))


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """The TCP address on which a server endpoint listens.

    :ivar interface: an IP address; empty for all addresses.
    :ivar port: the port, or 0 for any free port.
    """

    interface: str
    port: int
    ipv6: bool

    @classmethod
    def parse(cls, endpoint: str) -> ListenAddress | None:
        """Parse an endpoint string; return None if the endpoint is no TCP port (a Unix socket, a socket of systemd)."""
        kind, *arguments = re.split(r"(?<!\\):", endpoint)
        if kind not in _TCP_SCHEMES:
            return None
        named = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
        positional = [argument for argument in arguments if "=" not in argument]
        port = named.get("port") or "".join(positional[:1])
        interface = re.sub(r"\\(.)", r"\1", named.get("interface") or "".join(positional[1:2]))
        if not port.isdecimal():
            return None
        return cls(interface, int(port), ipv6=kind == "tcp6" or ":" in interface)

    @property
    def reachable_host(self) -> str:
        """Return the address of this machine at which a client reaches the port."""
        any_address = {"": "::1" if self.ipv6 else "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
        return any_address.get(self.interface, self.interface)

    @property
    def is_any_ipv6(self) -> bool:
        """Return whether the endpoint is for all IPv6 addresses; then Linux uses the port for IPv4 too."""
        return self.ipv6 and self.interface in ("", "::")

    @property
    def is_loopback(self) -> bool:
        """Return whether only clients on this machine reach the port."""
        return is_loopback_url(f"//[{self.interface}]" if ":" in self.interface else f"//{self.interface}")

    def __str__(self) -> str:
        return f"port {self.port}" + (f" of {self.interface}" if self.interface else "")


def configured_endpoints(config: Config) -> tuple[tuple[str, str], ...]:
    """Return all endpoints, as pairs of the setting's key and the endpoint."""
    listeners = (
        ("ldap.listen", config.ldap.listen),
        ("ldap.listen_tls", config.ldap.listen_tls),
        ("web.listen", config.web.listen),
        ("web.listen_tls", config.web.listen_tls),
    )
    return tuple((setting, endpoint) for setting, endpoints in listeners for endpoint in endpoints)


def ipv6_only_endpoints(config: Config) -> frozenset[str]:
    """Return the endpoints that must accept only IPv6, because another endpoint has the same port for IPv4.

    Only an endpoint for all IPv6 addresses would also accept IPv4.
    """
    addresses = {endpoint: ListenAddress.parse(endpoint) for _, endpoint in configured_endpoints(config)}
    ipv4_ports = {address.port for address in addresses.values() if address is not None and not address.ipv6}
    return frozenset(
        endpoint
        for endpoint, address in addresses.items()
        if address is not None
        and address.is_any_ipv6
        and address.port in ipv4_ports - {0}
        and endpoint.startswith(("tcp:", "tcp6:"))
    )


def reuses_port(config: Config, setting: str) -> bool:
    """Return whether gateways share the ports of a setting, such as ``ldap.listen``."""
    return config.ldap.reuse_port and setting.startswith("ldap.")


def phone_server(config: Config) -> ServerAddress:
    """Return the address of the LDAP server for phones: the host name of the page, and the first known ports.

    If no port is known, because systemd or a proxy opens the socket, the address has the standard port.
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


def certificate_url(config: Config, tenant: str) -> str:
    """Return the address at which phones fetch the certificate of the gateway's authority.

    A phone that does not trust the authority yet cannot verify HTTPS, so the address has the gateway's own port without
    TLS.  If phones can reach no port without TLS, the address is below ``public_url``.
    """
    public = urlsplit(config.web.public_url)
    addresses = map(ListenAddress.parse, config.web.listen)
    port = next((at.port for at in addresses if at is not None and at.port and not at.is_loopback), 0)
    if public.scheme == "https" and port:
        host = LdapEndpoint(Security.PLAIN, public.hostname or "", port).authority
        public = public._replace(scheme="http", netloc=host.removesuffix(":80"))
    return f"{public.geturl()}/{tenant}/ca.crt"


def ldap_url(config: Config) -> str:
    """Return the LDAP URL for phones, with TLS where a port for LDAP over TLS is configured."""
    server = phone_server(config)
    if server.tls_port:
        return LdapEndpoint(Security.LDAPS, server.host, server.tls_port).url
    link = LdapEndpoint(Security.PLAIN, server.host, server.port)
    return link.url if server.port else link.address


def ldap_urls(config: Config) -> tuple[str, ...]:
    """Return an LDAP URL for each kind of port that is configured: first without TLS, then with TLS."""
    server = phone_server(config)
    plain = LdapEndpoint(Security.PLAIN, server.host, server.port)
    tls = LdapEndpoint(Security.LDAPS, server.host, server.tls_port)
    return tuple(link.url for link in (plain, tls) if link.port) or (plain.address,)


def gateway_name(config: Config, machine: str) -> str:
    """Return the name of a gateway: the machine's name and the first port, because a machine may have several gateways.

    :param machine: the machine's name.
    """
    phones = (*config.ldap.listen, *config.ldap.listen_tls) if "serve" in config.roles else ()
    port, _ = _advertised_port((*phones, *(config.web.listen if "web" in config.roles else ())), 0)
    return f"{machine}:{port}" if port else machine


def _advertised_port(endpoints: tuple[str, ...], standard: int) -> tuple[int, bool]:
    """Return the first known port, or else the standard port; and whether the port is a guess.

    Port 0 is returned if there is no endpoint, or if all endpoints take any free port.
    """
    addresses = [ListenAddress.parse(endpoint) for endpoint in endpoints]
    known = next((address.port for address in addresses if address is not None and address.port), 0)
    guessed = not known and None in addresses
    return (standard if guessed else known), guessed
