# SPDX-License-Identifier: MIT
"""The settings that a phone of any vendor needs: the endpoint, the login and the search filters; and their test.

`ldapgw.phones.reachability` tests a connection with these settings, step by step.

Every filter is shorter than 99 characters, because a longer filter does not fit into the field of some Yealink
firmware.  The filters name the number attributes that `ldapgw.directory.entry` fills.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum

from ldapgw.phrase import Translatable, gettext_noop

# The text that is shown in place of the password when the gateway no longer knows the password.
PASSWORD_PLACEHOLDER = "PASSWORD"  # noqa: S105  this is not a password, but shown in place of a password

MAX_HITS = 50

# The placeholders in a search filter, which phones replace by the text that the user has typed.  The first placeholder
# suits most phones.  NO_PLACEHOLDER stands for phones that build their filters themselves.
NO_PLACEHOLDER = "none"
PLACEHOLDERS = ("%*", "%", "$VALUE", "#", "%s", NO_PLACEHOLDER)

NAME_ATTRIBUTES = ("cn", "sn", "o")
NUMBER_ATTRIBUTES = ("telephoneNumber", "mobile", "homePhone")
# The filter for a phone that builds filters itself, and combines its own filters with the configured filter.
_ANYBODY = "(objectClass=person)"


class Security(StrEnum):
    """The kinds of protection of a connection."""

    LDAPS = "ldaps"
    STARTTLS = "starttls"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """The gateway's address for phones.

    :ivar port: the port for LDAP; 0 if there is no such port.
    :ivar tls_port: the port for LDAPS, on which TLS begins at once; 0 if there is no such port.
    :ivar start_tls: whether the LDAP port offers StartTLS.
    :ivar require_tls: whether the gateway refuses a password without TLS.
    :ivar is_loopback: whether the host is a loopback name or address, at which no phone reaches the gateway.
    :ivar is_port_guessed: whether a port is a guess, and only probably right.
    """

    host: str
    port: int = 389
    tls_port: int = 0
    start_tls: bool = False
    require_tls: bool = False
    is_loopback: bool = False
    is_port_guessed: bool = False

    def port_for(self, security: Security) -> int:
        """Return the port on which a phone can log in with a kind of protection; 0 if there is no port."""
        if security is Security.LDAPS:
            return self.tls_port
        if security is Security.STARTTLS:
            return self.port if self.start_tls else 0
        return 0 if self.require_tls else self.port


@dataclass(frozen=True, slots=True)
class Site:
    """The values that are the same in the settings of all phones of a tenant.

    :ivar title: the tenant's name for people, which is also the directory's name on phones.
    :ivar ca_url: the address of the private authority's certificate, which phones have to trust; empty if phones trust
        the gateway's certificate already.
    """

    server: ServerAddress
    base_dn: str
    title: str
    ca_url: str = ""


@dataclass(frozen=True, slots=True)
class PhoneSettings:
    """The settings of a phone.

    :ivar login: the bare login name, which every phone accepts.
    :ivar bind_dn: the DN of the same login, for phones whose field asks for a DN.
    :ivar password: `PASSWORD_PLACEHOLDER` if the gateway no longer knows the password.
    :ivar title: the directory's name in the phone's menu.
    :ivar per_number: whether the phone gets one entry per number.
    :ivar placeholder: one of `PLACEHOLDERS`, for a phone whose model is unknown; empty if not known.
    :ivar mac: the MAC address, 12 hexadecimal digits in lower case; empty if not known.
    :ivar ca_url: as for `Site`.
    """

    server: ServerAddress
    base_dn: str
    login: str
    bind_dn: str
    password: str = field(default=PASSWORD_PLACEHOLDER, repr=False)
    title: str = ""
    per_number: bool = False
    placeholder: str = ""
    mac: str = ""
    ca_url: str = ""

    @property
    def revision(self) -> str:
        """Return the version of the settings.

        The version is a number of ten digits.  The number changes with the password, because some phones ignore a file
        whose version they already have.
        """
        return f"{int(hashlib.sha256(self.password.encode()).hexdigest(), 16) % 10**10:010}"


@dataclass(frozen=True, slots=True)
class LdapEndpoint:
    """The address and the protection with which phones of a model connect to the gateway."""

    security: Security
    host: str
    port: int

    @property
    def authority(self) -> str:
        """Return host and port as a URL authority (RFC 3986 section 3.2)."""
        return f"{self._bracketed}:{self.port}"

    @property
    def url(self) -> str:
        """Return the LDAP URL (RFC 4516)."""
        return f"{self.address}:{self.port}"

    @property
    def address(self) -> str:
        """Return the URL without the port, for phones with a field for the port; with StartTLS, the scheme is ldap."""
        return ("ldaps://" if self.security is Security.LDAPS else "ldap://") + self._bracketed

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


def choose_endpoint(server: ServerAddress, supported: tuple[Security, ...]) -> LdapEndpoint | None:
    """Return the best endpoint that the gateway and the phone both support; None if there is no such endpoint.

    :param supported: the kinds of protection that the phone supports, the best protection first.
    """
    endpoints = (LdapEndpoint(security, server.host, server.port_for(security)) for security in supported)
    return next((endpoint for endpoint in endpoints if endpoint.port), None)


def name_filter(placeholder: str) -> str:
    """Return a filter for people and companies whose name begins with the typed text.

    The tenant's own entry does not match.

    :param placeholder: the placeholder that the phone replaces by the typed text, with a star wherever the phone does
        not add a star itself.
    """
    return f"(&(objectClass=person){_any_of(NAME_ATTRIBUTES, placeholder)})"


def number_filter(placeholder: str) -> str:
    """Return a filter for contacts with the number that was typed or signalled.

    :param placeholder: as for `name_filter`.
    """
    return _any_of(NUMBER_ATTRIBUTES, placeholder)


def filters_for(placeholder: str) -> tuple[str, str]:
    """Return the name filter and the number filter for a phone whose model is unknown.

    :param placeholder: one of `PLACEHOLDERS`; empty if not known.
    """
    if placeholder == NO_PLACEHOLDER:
        return _ANYBODY, _ANYBODY
    text = placeholder or PLACEHOLDERS[0]
    # The name filter has a star, because some phones add no star, and two stars do no harm.  The number filter has no
    # star, because for a caller without a number, the star would match everybody.
    name = text if text.startswith("%") and text != "%s" else f"{text}*"
    return name_filter(name), number_filter(text.removesuffix("*"))


def number_attributes(*, per_number: bool) -> tuple[str, ...]:
    """Return the number attributes that a phone should request; with one entry per number, only the first attribute."""
    return NUMBER_ATTRIBUTES[:1] if per_number else NUMBER_ATTRIBUTES


def _any_of(attributes: tuple[str, ...], placeholder: str) -> str:
    """Return an OR with a term for each attribute (RFC 4515)."""
    terms = (f"({attribute}={placeholder})" for attribute in attributes)
    return f"(|{''.join(terms)})"


class Step(StrEnum):
    """The steps of a connection test, in the order in which a phone needs them."""

    NAME = gettext_noop("name")
    PORT = gettext_noop("port")
    TLS = gettext_noop("TLS")
    LOGIN = gettext_noop("login")
    NAME_SEARCH = gettext_noop("search by name")
    NUMBER_SEARCH = gettext_noop("search by number")


class StepStatus(StrEnum):
    """The outcomes of a step."""

    OK = gettext_noop("ok")
    WARNING = gettext_noop("warning")
    FAILED = gettext_noop("failed")
    SKIPPED = gettext_noop("skipped")


@dataclass(frozen=True, slots=True)
class StepResult:
    """The result of a step.

    :ivar message: the finding, and the remedy for a problem, without any name, number or password.
    """

    step: Step
    status: StepStatus
    message: Translatable


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """The settings with which a phone connects.

    :ivar endpoint: the address and the protection of the connection.
    :ivar password: the password; empty if unknown.  Without a password, the test skips the login and the searches.
    :ivar ca: certificates of private authorities in PEM; if empty, the test trusts the authorities of the system.
    :ivar ca_url: the address at which phones fetch `ca`; empty if there is no such address.
    """

    endpoint: LdapEndpoint
    bind_dn: str
    base_dn: str
    password: str = field(default="", repr=False)
    ca: str = ""
    ca_url: str = ""
