# SPDX-License-Identifier: MIT
"""The tables of the configuration file as frozen values: a key is a field, its default the field's default."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from ldapgw.contact import Sharing, Source
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.server.config.forms import (
    Allowed,
    BaseDn,
    Digits,
    Duration,
    File,
    Mail,
    Networks,
    Region,
    Secret,
    ServerEndpoints,
    Size,
    Slug,
    Url,
)

Count = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table of the file."""


class Ldap(Table, frozen=True, kw_only=True):
    """``[ldap]``"""

    listen: ServerEndpoints = ServerEndpoints(["tcp:389"])
    # There is no certificate by default.
    listen_tls: ServerEndpoints = ServerEndpoints()
    # Cisco SPA and Sangoma phones have no TLS at all.
    require_tls: bool = False
    # A phone's list shows 50; an address book that reads everything pages.  1000 is what Active Directory gives.
    size_limit: Count = 1000
    # Phones give up after 5 to 30 s; a person does so earlier.
    time_limit: Duration = Duration(10)
    # Phones keep a connection open between keystrokes; a quarter of an hour is what firewalls forget first.
    idle_timeout: Duration = Duration(900)
    # The longest search seen from a phone has 2 KiB; a program that asks for everything stays below 10.
    max_message: Size = Size(64 << 10)
    # One for each phone of a large site.  An idle one costs 2 KiB, with TLS 25, and a descriptor.
    max_connections: Count = 10000
    # A site behind one translated address has some hundreds of phones; one client must not take all that there are.
    max_connections_per_address: Count = 500


class Tls(Table, frozen=True, kw_only=True):
    """``[tls]``"""

    certificate: File
    private_key: File
    # Without it, phones need no certificate of their own: few can be given one.
    client_ca: File | None = None
    # RFC 8996 forbids older ones; phones from before 2020 know no newer one.
    minimum: Literal["1.2", "1.3"] = "1.2"


class Web(Table, frozen=True, kw_only=True):
    """``[web]``"""

    public_url: Url
    listen: ServerEndpoints = ServerEndpoints(["tcp:8080"])
    trusted_proxies: Networks = Networks.read(["127.0.0.1"])
    metrics_networks: Networks = Networks.read(["127.0.0.0/8", "::1/128"])


class Sync(Table, frozen=True, kw_only=True):
    """``[sync]``"""

    # Google shows changes after some minutes; asking more often than every five is in vain.
    interval: Duration = Duration(600)
    # Google's quota is per project, and each sync holds some pages in memory.
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=100)] = 4


class Google(Table, frozen=True, kw_only=True):
    """``[google]``: other endpoints, for a sandbox."""

    authorization_endpoint: Url = Url("https://accounts.google.com/o/oauth2/v2/auth")
    token_endpoint: Url = Url("https://oauth2.googleapis.com/token")
    revocation_endpoint: Url = Url("https://oauth2.googleapis.com/revoke")
    people_api: Url = Url("https://people.googleapis.com")
    issuer: Url = Url("https://accounts.google.com")


class Tenant(Table, frozen=True, kw_only=True):
    """``[[tenant]]``"""

    name: Slug
    base_dn: BaseDn
    title: str = ""
    client_secret_file: File | None = None
    client_id: str = ""
    client_secret: Secret = Secret()
    allowed_users: tuple[Allowed, ...] = ()
    admins: tuple[Mail, ...] = ()
    region: Region = Region("DE")
    outside_line: Digits = Digits()
    sources: tuple[Source, ...] = (Source.CONTACTS,)
    labels: tuple[str, ...] = ()
    sharing: Sharing = Sharing.PRIVATE
    anonymous_networks: Networks = Networks()
    number_format: NumberFormat = NumberFormat.E164
    matching: Literal["lenient", "strict"] = "lenient"


class Config(Table, frozen=True, kw_only=True):
    """The whole file.  Paths in it are absolute."""

    state_dir: File
    web: Web
    tenant: tuple[Tenant, ...]
    database: Secret = Secret()
    log_format: Literal["text", "json"] = "text"
    ldap: Ldap = Ldap()
    tls: Tls | None = None
    sync: Sync = Sync()
    google: Google = Google()

    @property
    def redirect_uri(self) -> str:
        """What is registered with Google as the redirect URI."""
        return self.web.public_url + "/oauth/callback"
