# SPDX-License-Identifier: MIT
"""The tables of the configuration file as frozen structs; each key is a field with the key's default."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from ldapgw.contact import Sharing, Source
from ldapgw.directory.dn import Dn, folded
from ldapgw.directory.naming_context import NamingContext
from ldapgw.google.endpoints import Client, Proxy
from ldapgw.numbers.numbering_plan import dialling
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.server.config.forms import (
    Affix,
    Allowed,
    AreaCode,
    AttributeAliases,
    BaseDn,
    BookName,
    DatabaseUrl,
    DialUrl,
    Digits,
    Duration,
    EncryptionKey,
    File,
    FileName,
    FileSharing,
    Groups,
    Help,
    LabelName,
    LeaverDelay,
    LogLevels,
    Mail,
    Networks,
    OrgUnit,
    ProxyUrl,
    Region,
    Secret,
    ServerEndpoints,
    ServiceUrl,
    Size,
    Slug,
    StaleStart,
    Url,
    is_loopback_url,
)

if TYPE_CHECKING:
    from ldapgw.sync.book_builder import FileTask

# Google does not publish its limit; Google's console has shown a limit of 180 reads a minute for a project.
DEFAULT_CALLS_PER_MINUTE = 120

Count = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table of the configuration file."""


def default_text(field: msgspec.structs.FieldInfo) -> str:
    """Return the default of a setting in the notation of the file, or ``required`` or ``none``."""
    if field.required:
        return "required"
    return "none" if field.default in (None, "") else toml_text(field.default)


def toml_text(value: object) -> str:
    """Return a default in the notation of the file."""
    if isinstance(value, Size):
        unit = next(unit for unit in reversed(list(Size.units)) if value % Size.units[unit] == 0)
        return f'"{value // Size.units[unit]}{unit}"'
    if isinstance(value, AttributeAliases):
        return "{}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml_text, value))}]"
    if isinstance(value, IPv4Network | IPv6Network):
        return json.dumps(str(value.network_address if value.num_addresses == 1 else value))
    if isinstance(value, Enum):
        return json.dumps(value.value)
    return json.dumps(str(value) if isinstance(value, float) else value)


class Ldap(Table, frozen=True, kw_only=True):
    """The table ``[ldap]``."""

    listen: ServerEndpoints = ServerEndpoints(["tcp:389"])
    # No endpoint by default, because there is no certificate by default.
    listen_tls: ServerEndpoints = ServerEndpoints()
    # False by default, because Cisco SPA and Sangoma phones have no TLS.
    require_tls: bool = False
    # Active Directory has the same limit.  A phone's list shows 50 entries; a program that reads everything requests
    # pages.
    size_limit: Count = 1000
    # Phones give up a search after 5 to 30 s, and a person gives up earlier.
    time_limit: Duration = Duration(10)
    # Phones keep a connection open between keystrokes, and firewalls forget an idle connection after 15 minutes at the
    # earliest.
    idle_timeout: Duration = Duration(900)
    # The longest search of a phone that we know has 2 KiB; a program that requests all attributes stays below 10 KiB.
    max_message: Size = Size(64 << 10)
    # One connection for each phone of a large site.  An idle connection costs a file descriptor, and 2 KiB of memory
    # without TLS or 25 KiB with TLS.
    max_connections: Count = 10000
    # A site behind one translated address has some hundreds of phones; one client must not take all connections.
    max_connections_per_address: Count = 500
    # The header of the PROXY protocol says who the client is, so only the listed proxies may send this header.
    proxy_protocol: Networks = Networks()
    # Off by default, so that a second gateway that was started by mistake reports that its port is in use.
    reuse_port: bool = False


class Tls(Table, frozen=True, kw_only=True):
    """The table ``[tls]``."""

    certificate: File
    private_key: File
    # None by default, because few phones can have a certificate of their own.
    client_ca: File | None = None
    # RFC 8996 forbids TLS 1.0 and 1.1; phones from before 2020 do not know TLS 1.3.
    minimum: Literal["1.2", "1.3"] = "1.2"


class Web(Table, frozen=True, kw_only=True):
    """The table ``[web]``."""

    public_url: Url
    listen: ServerEndpoints = ServerEndpoints(["tcp:8080"])
    # No endpoint by default, because there is no certificate by default.
    listen_tls: ServerEndpoints = ServerEndpoints()
    # True by default, because the header is sent only after a day with a good certificate (`is_proven`).
    hsts: bool = True
    trusted_proxies: Networks = Networks.read(["127.0.0.1"])
    proxy_protocol: Networks = Networks()
    metrics_networks: Networks = Networks.read(["127.0.0.0/8", "::1/128"])
    # An open browser window holds one connection, and some more while a page loads.
    max_connections: Count = 1000
    # A large office behind one address (NAT) has some hundred open browser windows.  The limit keeps one client from
    # taking all connections.
    max_connections_per_network: Count = 256


class Sync(Table, frozen=True, kw_only=True):
    """The table ``[sync]``."""

    # The People API shows changes after some minutes, so syncing more often than every five minutes gains nothing.
    interval: Duration = Duration(600)
    # Google's quota is per project, and each sync holds some pages in memory.
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=100)] = 4


class Serve(Table, frozen=True, kw_only=True):
    """The table ``[serve]``."""

    # The age of a snapshot is limited: a phone that was removed after the snapshot can log in until the database is
    # back.
    stale_start: StaleStart = StaleStart(86400)


class Google(Table, frozen=True, kw_only=True):
    """The table ``[google]``: the endpoints, which only a sandbox changes, the limit of calls, and the proxy."""

    authorization_endpoint: Url = Url("https://accounts.google.com/o/oauth2/v2/auth")
    token_endpoint: ServiceUrl = ServiceUrl("https://oauth2.googleapis.com/token")
    revocation_endpoint: ServiceUrl = ServiceUrl("https://oauth2.googleapis.com/revoke")
    people_api: ServiceUrl = ServiceUrl("https://people.googleapis.com")
    admin_api: ServiceUrl = ServiceUrl("https://admin.googleapis.com")
    issuer: Url = Url("https://accounts.google.com")
    # None stands for the default, which depends on the endpoints (`max_calls_per_minute`).
    calls_per_minute: Count | None = None
    proxy: ProxyUrl = ProxyUrl()
    # None if only the system's root certificates are trusted.
    ca_file: File | None = None
    # The address of Google's public keys for ID tokens.  The gateway fetches these keys only if ca_file is set.
    jwks_uri: ServiceUrl = ServiceUrl("https://www.googleapis.com/oauth2/v3/certs")

    @property
    def endpoints(self) -> Mapping[str, str]:
        """Return the endpoints of OAuth, of the People API and of the Directory API by name."""
        others = ("calls_per_minute", "proxy", "ca_file", "jwks_uri")
        return {name: getattr(self, name) for name in self.__struct_fields__ if name not in others}

    @property
    def configured_proxy(self) -> Proxy | None:
        """Return the proxy for all connections to Google, or None if only the environment may name a proxy."""
        return Proxy.parse(self.proxy) if self.proxy else None

    @property
    def is_on_loopback(self) -> bool:
        """Return whether OAuth and the People API are on this machine, like a sandbox."""
        return all(is_loopback_url(url) for name, url in self.endpoints.items() if name != "admin_api")

    @property
    def max_calls_per_minute(self) -> int | None:
        """Return the maximum number of calls per minute to the People API by a Google project; None without a limit."""
        return self.calls_per_minute or (None if self.is_on_loopback else DEFAULT_CALLS_PER_MINUTE)


class Delegation(Table, frozen=True, kw_only=True):
    """The table ``[[tenant.delegation]]``: a service account, and the users whose contacts it may read."""

    key_file: File
    administrator: Mail
    users: tuple[Allowed, ...] = ()
    groups: tuple[Mail, ...] = ()
    org_units: tuple[OrgUnit, ...] = ()
    exclude: tuple[Mail, ...] = ()


class BookFile(Table, frozen=True, kw_only=True):
    """The table ``[[tenant.file]]``: a file of contacts that is a book of the tenant."""

    name: FileName
    path: File
    # Shared by default, because the usual file has the extensions of the company.
    sharing: FileSharing = FileSharing(Sharing.SHARED)


class Tenant(Table, frozen=True, kw_only=True):
    """A table ``[[tenant]]``."""

    name: Slug
    base_dn: BaseDn
    title: str = ""
    client_secret_file: File | None = None
    client_id: str = ""
    client_secret: Secret = Secret()
    allowed_users: tuple[Allowed, ...] = ()
    admins: tuple[Mail, ...] = ()
    region: Region = Region("DE")
    area_code: AreaCode = AreaCode()
    switchboard: bool = True
    outside_line: Digits = Digits()
    # The gateway compares each text with each number that a phone asks for, so the list is limited.
    strip: Annotated[tuple[Affix, ...], msgspec.Meta(max_length=16)] = ()
    sources: tuple[Source, ...] = (Source.CONTACTS,)
    labels: tuple[LabelName, ...] = ()
    exclude_labels: tuple[LabelName, ...] = ()
    book_order: tuple[BookName, ...] = ()
    favourites: bool = False
    favourites_first: bool = False
    block_label: str = ""
    photos: bool = False
    activity_keep: Duration = Duration(365 * 86400)
    help: Help = Help()
    dial_url: DialUrl = DialUrl()
    # "browser" by default, because a telephone system may recognize people by the sessions of their browsers.
    dial: Literal["browser", "server"] = "browser"
    attribute_aliases: AttributeAliases = AttributeAliases()
    sharing: Sharing = Sharing.PRIVATE
    shared_label: str = ""
    group: Groups = Groups()
    delegation: tuple[Delegation, ...] = ()
    file: tuple[BookFile, ...] = ()
    # 0 by default, which means never: the gateway may remove accounts only after an administrator has decided so.
    remove_leavers: LeaverDelay = LeaverDelay(0)
    anonymous_networks: Networks = Networks()
    provisioning_networks: Networks = Networks()
    number_format: NumberFormat = NumberFormat.E164
    matching: Literal["lenient", "strict"] = "lenient"

    def naming_context(self) -> NamingContext:
        """Return the naming context, which is the tenant's configuration for the directory."""
        return NamingContext(
            name=self.name,
            title=self.title or self.name,
            base=Dn.parse(self.base_dn),
            region=self.region,
            outside_line=self.outside_line,
            area_code=dialling(self.region).area_code(self.area_code),
            switchboard=self.switchboard and self.matching == "lenient",
            number_format=self.number_format,
            lenient=self.matching == "lenient",
            strip=tuple(affix.lower() for affix in self.strip),
            book_order=tuple(map(folded, self.book_order)),
            # `favourites_first` needs the branch of favourites.
            favourites=self.favourites or self.favourites_first,
            favourites_first=self.favourites_first,
            block_label=folded(self.block_label),
            photos=self.photos,
            groups={group.name: frozenset(map(folded, group.accounts)) for group in self.group},
            google_groups={group.name: group.google_group for group in self.group if group.google_group},
        )

    def file_tasks(self, *, per_number: bool = False) -> tuple[FileTask, ...]:
        """Return the tasks to build the books of the tenant's files.

        :param per_number: whether to build also one entry for each number.
        """
        # Most commands read the configuration, and need none of the modules that build books.
        from ldapgw.sync.book_builder import FileTask

        context = self.naming_context()
        return tuple(
            FileTask(context, str(file.name), Path(file.path), Sharing(file.sharing), per_number) for file in self.file
        )


# The roles of a gateway are to serve phones, to sync tenants, and to serve the page.
ROLES: Final = ("serve", "sync", "web")


class Config(Table, frozen=True, kw_only=True):
    """The whole configuration file; paths are absolute."""

    state_dir: File
    # True by default, because the first start of a container, and the demo, have to create the database.
    new_store: bool = True
    web: Web
    tenant: tuple[Tenant, ...]
    database: DatabaseUrl = DatabaseUrl()
    # None if the password is in the URL, if libpq finds the password (PGPASSWORD, .pgpass), or if the server needs no
    # password.
    database_password_file: File | None = None
    # Empty to use the key file in state_dir.  With a key from another place, nobody can decrypt the secrets with a copy
    # of the disk alone.
    encryption_key: EncryptionKey = EncryptionKey()
    # A gateway that shares its database with others may do only a part of the work.
    roles: tuple[Literal["serve", "sync", "web"], ...] = ROLES
    log_format: Literal["text", "json"] = "text"
    # At level info, a healthy gateway logs the actions of people, but not every sync or search.
    log_level: LogLevels = LogLevels(["info"])
    ldap: Ldap = Ldap()
    tls: Tls | None = None
    sync: Sync = Sync()
    serve: Serve = Serve()
    google: Google = Google()

    @property
    def clients(self) -> dict[str, Client]:
        """Return the OAuth clients in the file by tenant."""
        tenants = (tenant for tenant in self.tenant if tenant.client_id)
        return {tenant.name: Client(tenant.client_id, tenant.client_secret) for tenant in tenants}

    @property
    def attribute_aliases(self) -> dict[str, str]:
        """Return the attribute for each alias that a tenant configures."""
        return {alias: name for tenant in self.tenant for alias, name in tenant.attribute_aliases}

    @property
    def redirect_uri(self) -> str:
        """Return the redirect URI that is registered with Google."""
        return self.web.public_url + "/oauth/callback"
