# SPDX-License-Identifier: MIT
"""What every phone has to be told, whoever made it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

# Stands where the password belongs once it is no longer known.
PASSWORD_PLACEHOLDER = "PASSWORD"  # noqa: S105  not a password: the word that is shown in its place

MAX_HITS = 50


class Security(StrEnum):
    """How a connection is protected."""

    LDAPS = "ldaps"
    STARTTLS = "starttls"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where phones find the gateway.

    :ivar host: a name or an address.
    :ivar port: the plain one; 0: there is none.
    :ivar tls_port: the one on which TLS begins at once; 0: there is none.
    :ivar start_tls: whether the plain one offers StartTLS.
    :ivar require_tls: whether a password in clear is refused.
    :ivar loopback: whether the host is the name of whatever machine asks for it, so that no phone finds it.
    :ivar guessed: whether a port is only likely to be the one.
    """

    host: str
    port: int = 389
    tls_port: int = 0
    start_tls: bool = False
    require_tls: bool = False
    is_loopback: bool = False
    is_port_guessed: bool = False

    @property
    def security_options(self) -> tuple[Security, ...]:
        """What a phone can use to log in, the safest first."""
        found = []
        if self.tls_port:
            found.append(Security.LDAPS)
        if self.port and self.start_tls:
            found.append(Security.STARTTLS)
        if self.port and not self.require_tls:
            found.append(Security.PLAIN)
        return tuple(found)


@dataclass(frozen=True, slots=True)
class PhoneSettings:
    """One phone's settings.

    :ivar login: the bare name, which every phone can take.
    :ivar bind_dn: the same login, for fields that are called a DN.
    :ivar password: `PASSWORD` where it is no longer known.
    :ivar title: what the phone's menu shall call the directory.
    :ivar per_number: whether the phone gets an entry for each number.
    """

    server: ServerAddress
    base_dn: str
    login: str
    bind_dn: str
    password: str = field(default=PASSWORD_PLACEHOLDER, repr=False)
    title: str = ""
    per_number: bool = False


@dataclass(frozen=True, slots=True)
class LdapEndpoint:
    """How one model of phone reaches the gateway."""

    security: Security
    host: str
    port: int

    @property
    def authority(self) -> str:
        """Host and port in one (RFC 3986 3.2)."""
        return f"{self._bracketed}:{self.port}"

    @property
    def url(self) -> str:
        """As an LDAP URL (RFC 4516)."""
        return f"{self.address}:{self.port}"

    @property
    def address(self) -> str:
        """The URL without the port, for phones that have a field for that; StartTLS begins as ``ldap``."""
        return ("ldaps://" if self.security is Security.LDAPS else "ldap://") + self._bracketed

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


def choose_endpoint(server: ServerAddress, supported: tuple[Security, ...]) -> LdapEndpoint | None:
    """The safest way that both know; None: there is none.

    :param able: what the phone can do.
    """
    for security in server.security_options:
        if security in supported:
            return LdapEndpoint(security, server.host, server.tls_port if security is Security.LDAPS else server.port)
    return None
