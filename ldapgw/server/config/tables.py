# SPDX-License-Identifier: MIT
"""The tables of the configuration file as frozen structs; each key is a field with a type, a default and a sentence.

The text below a field is one sentence, and an example if the default does not show how a value looks.
`ldapgw.server.config.written` reads the sentences and the examples.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args, get_type_hints

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


def table_in(hint: Any) -> type[Table] | None:
    """Return the table that a field with this type holds, or None if the field is a setting."""
    return next((part for part in (hint, *get_args(hint)) if isinstance(part, type) and issubclass(part, Table)), None)


class Ldap(Table, frozen=True, kw_only=True):
    """The table ``[ldap]``."""

    listen: ServerEndpoints = ServerEndpoints(["tcp:389"])
    """The ports for plain LDAP; if ``[tls]`` is set, they also offer StartTLS."""
    # No endpoint by default, because there is no certificate by default.
    listen_tls: ServerEndpoints = ServerEndpoints()
    """The ports for LDAP over TLS, usually ``["tcp:636"]``; they need ``[tls]``.  Example: ``["tcp:636"]``."""
    # False by default, because Cisco SPA and Sangoma phones have no TLS.
    require_tls: bool = False
    """If ``true``, the gateway refuses passwords on connections without TLS; the result is
    ``confidentialityRequired``."""
    # Active Directory has the same limit.  A phone's list shows 50 entries; a program that reads everything requests
    # pages.
    size_limit: Count = 1000
    """The maximum number of entries in an answer; a client can ask for fewer."""
    # Phones give up a search after 5 to 30 s, and a person gives up earlier.
    time_limit: Duration = Duration(10)
    """The maximum duration of a search; a client can ask for less."""
    # Phones keep a connection open between keystrokes, and firewalls forget an idle connection after 15 minutes at the
    # earliest.
    idle_timeout: Duration = Duration(900)
    """The gateway closes a connection if it gets no request for this time."""
    # The longest search of a phone that we know has 2 KiB; a program that requests all attributes stays below 10 KiB.
    max_message: Size = Size(64 << 10)
    """The maximum length of a request."""
    # One connection for each phone of a large site.  An idle connection costs a file descriptor, and 2 KiB of memory
    # without TLS or 25 KiB with TLS.
    max_connections: Count = 10000
    """The maximum number of connections."""
    # A site behind one translated address has some hundreds of phones; one client must not take all connections.
    max_connections_per_address: Count = 500
    """The maximum number of connections from one IPv4 address or one IPv6 /64 network."""
    # The header of the PROXY protocol says who the client is, so only the listed proxies may send this header.
    proxy_protocol: Networks = Networks()
    """The proxies, such as HAProxy, that begin each connection with a header of the PROXY protocol, version 1 or 2."""
    # Off by default, so that a second gateway that was started by mistake reports that its port is in use.
    reuse_port: bool = False
    """If ``true``, several gateways on one machine can listen on the same ports of ``listen`` and ``listen_tls``, and
    the kernel spreads new connections over the gateways."""


class Tls(Table, frozen=True, kw_only=True):
    """The table ``[tls]``."""

    certificate: File
    """A PEM file: the server's certificate first, then the chain; RSA or ECDSA.  Example: ``"fullchain.pem"``."""
    private_key: File
    """A PEM file without a passphrase.  Example: ``"privkey.pem"``."""
    # None by default, because few phones can have a certificate of their own.
    client_ca: File | None = None
    """A PEM file with the certificates of authorities: each TLS client must then present a certificate that one of them
    signed.  Example: ``"phones-ca.pem"``."""
    # RFC 8996 forbids TLS 1.0 and 1.1; phones from before 2020 do not know TLS 1.3.
    minimum: Literal["1.2", "1.3"] = "1.2"
    """The oldest TLS version that the gateway accepts: ``"1.2"`` or ``"1.3"``."""


class Web(Table, frozen=True, kw_only=True):
    """The table ``[web]``."""

    public_url: Url
    """The address at which browsers open the page; the redirect URI is this address followed by ``/oauth/callback``.
    Example: ``"https://phonebook.example.com"``."""
    listen: ServerEndpoints = ServerEndpoints(["tcp:8080"])
    """The web server's ports, for plain HTTP."""
    # No endpoint by default, because there is no certificate by default.
    listen_tls: ServerEndpoints = ServerEndpoints()
    """The web server's ports for HTTPS, with the certificate of ``[tls]``; no proxy is then needed.  Example:
    ``["tcp:443"]``."""
    # True by default, because the gateway sends the header Strict-Transport-Security only if the files of a good
    # certificate are at least a day old (`is_proven`).
    hsts: bool = True
    """Whether the page tells browsers to use nothing but HTTPS for half a year (``Strict-Transport-Security``)."""
    trusted_proxies: Networks = Networks.read(["127.0.0.1"])
    """The proxies whose ``X-Forwarded-For`` header the gateway believes."""
    proxy_protocol: Networks = Networks()
    """The proxies that begin each connection with a header of the PROXY protocol, as in ``[ldap]``."""
    metrics_networks: Networks = Networks.read(["127.0.0.0/8", "::1/128"])
    """The networks that may read ``/metrics``, the metrics for Prometheus."""
    # An open browser window holds one connection, and some more while a page loads.
    max_connections: Count = 1000
    """The maximum number of connections to the web server; each open browser window has one."""
    # A large office behind one address (NAT) has some hundred open browser windows.  The limit keeps one client from
    # taking all connections.
    max_connections_per_network: Count = 256
    """The maximum number of connections from one IPv4 address or one IPv6 /64 network."""


class Sync(Table, frozen=True, kw_only=True):
    """The table ``[sync]``."""

    # The People API shows changes after some minutes, so syncing more often than every five minutes gains nothing.
    interval: Duration = Duration(600)
    """The time between two syncs of an account, at least ``"1m"``; the gateway varies this time by up to a tenth."""
    # Google's quota is per project, and each sync holds some pages in memory.
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=100)] = 4
    """How many accounts sync at the same time; the other accounts wait."""


class Serve(Table, frozen=True, kw_only=True):
    """The table ``[serve]``."""

    # The age of a snapshot is limited: a phone that was removed after the snapshot can log in until the database is
    # back.
    stale_start: StaleStart = StaleStart(86400)
    """The maximum age of the snapshot of logins with which the gateway serves phones, from its cached books, if it
    starts while it can't reach its PostgreSQL database; at most ``"1d"``."""


class Google(Table, frozen=True, kw_only=True):
    """The table ``[google]``: the endpoints, which only a sandbox changes, the limit of calls, and the proxy."""

    authorization_endpoint: Url = Url("https://accounts.google.com/o/oauth2/v2/auth")
    """The address that the page sends browsers to for the consent."""
    token_endpoint: ServiceUrl = ServiceUrl("https://oauth2.googleapis.com/token")
    """The address that exchanges codes and refresh tokens."""
    revocation_endpoint: ServiceUrl = ServiceUrl("https://oauth2.googleapis.com/revoke")
    """The address that revokes a grant."""
    people_api: ServiceUrl = ServiceUrl("https://people.googleapis.com")
    """The People API."""
    admin_api: ServiceUrl = ServiceUrl("https://admin.googleapis.com")
    """The Directory API of the Admin SDK, which the gateway calls only with a service account."""
    issuer: Url = Url("https://accounts.google.com")
    """The issuer of ID tokens: the claim ``iss``."""
    # None stands for the default, which depends on the endpoints (`max_calls_per_minute`).
    calls_per_minute: Count | None = None
    """The maximum number of calls to the People API per minute, for each Google project; tenants with the same project
    share it; without this key, the maximum is 120, or there is none if all addresses above are loopback addresses.
    Example: ``600``."""
    proxy: ProxyUrl = ProxyUrl()
    """An HTTP proxy that all connections to Google go through: ``"http://user:password@proxy:3128"``.  Example:
    ``"http://user:password@proxy:3128"``."""
    # None if only the system's root certificates are trusted.
    ca_file: File | None = None
    """A PEM file with the CA certificate of a proxy that inspects TLS.  Example: ``"inspection-ca.pem"``."""
    # The address of Google's public keys for ID tokens.  The gateway fetches these keys only if ca_file is set.
    jwks_uri: ServiceUrl = ServiceUrl("https://www.googleapis.com/oauth2/v3/certs")
    """The address at which Google publishes its keys."""

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
    """The JSON file of the service account's key, as downloaded from the Google Cloud console.  Example:
    ``"service-account.json"``."""
    administrator: Mail
    """The e-mail address of a Workspace user who may read users and groups, and for whom the gateway lists them.
    Example: ``"admin@acme.example"``."""
    users: tuple[Allowed, ...] = ()
    """Whose contacts the gateway reads: addresses, ``"@domain"`` for everybody with such an address, or ``"*"`` for
    everybody.  Example: ``["@acme.example"]``."""
    groups: tuple[Mail, ...] = ()
    """Addresses of Google Groups whose members' contacts the gateway reads, including the members of groups within
    them."""
    org_units: tuple[OrgUnit, ...] = ()
    """Organizational units, such as ``"/Sales"``, whose users' contacts the gateway reads, including the units below
    them."""
    exclude: tuple[Mail, ...] = ()
    """Addresses of people whose contacts the gateway never reads with the service account."""


class BookFile(Table, frozen=True, kw_only=True):
    """The table ``[[tenant.file]]``: a file of contacts that is a book of the tenant."""

    name: FileName
    """The name of the book, of a-z, 0-9 and ``-``: entries are under ``ou=extensions``.  Example: ``"extensions"``."""
    path: File
    """The file.  Example: ``"extensions.csv"``."""
    # Shared by default, because the usual file has the extensions of the company.
    sharing: FileSharing = FileSharing(Sharing.SHARED)
    """Who finds the contacts: ``"shared"`` (all phones of the tenant), ``"callers"`` (all phones of the tenant, for the
    name behind a whole telephone number) or ``"group:NAME"`` (the phones of the accounts in a group)."""


class Tenant(Table, frozen=True, kw_only=True):
    """A table ``[[tenant]]``."""

    name: Slug
    """A short name of a-z, 0-9 and ``-``: part of the page's addresses, and the tenant's key in the database; if you
    change it, the gateway no longer finds the tenant's accounts and phones.  Example: ``"acme"``."""
    base_dn: BaseDn
    """Where the company's entries are in the LDAP tree; one tenant's base can't be inside another's.  Example:
    ``"dc=acme,dc=example"``."""
    title: str = ""
    """The company's name on the page; without this key, the page shows ``name``.  Example: ``"Acme GmbH"``."""
    client_secret_file: File | None = None
    """The JSON file of the OAuth client, as downloaded from the Google Cloud console; if you set neither this key nor
    ``client_id``, an administrator enters the client on the page (``ldapgw admin-link``).  Example:
    ``"client_secret.json"``."""
    client_id: str = ""
    """The client ID, instead of the file.  Example: ``"123456789012-abc.apps.googleusercontent.com"``."""
    client_secret: Secret = Secret()
    """The client secret, instead of the file.  Example: ``"GOCSPX-abc"``."""
    allowed_users: tuple[Allowed, ...] = ()
    """Who may connect: verified addresses, ``"@domain"`` for the users of a Google Workspace domain (by the claim
    ``hd`` from Google, not by the domain in the address), or ``"*"`` for anyone.  Example: ``["@acme.example"]``."""
    admins: tuple[Mail, ...] = ()
    """The e-mail addresses of the tenant's administrators.  Example: ``["admin@acme.example"]``."""
    region: Region = Region("DE")
    """The country (ISO 3166-1, two letters) of numbers without a country code."""
    area_code: AreaCode = AreaCode()
    """The area code of the site, such as ``"741"``."""
    switchboard: bool = True
    """If nobody has a caller's number, but the number begins like a company's switchboard (``+49 7736 5559-0``), phones
    show the company's name with a question mark."""
    outside_line: Digits = Digits()
    """The digits that phones dial for an outside line, up to five."""
    # The gateway compares each text with each number that a phone asks for, so the list is limited.
    strip: Annotated[tuple[Affix, ...], msgspec.Meta(max_length=16)] = ()
    """Text that the telephone system adds before or after a caller's number: ``["L0#", "_trunk1"]``."""
    sources: tuple[Source, ...] = (Source.CONTACTS,)
    """What the gateway syncs: ``"contacts"``, ``"other_contacts"`` (contacts that Google saves automatically),
    ``"directory"`` (the Workspace directory)."""
    labels: tuple[LabelName, ...] = ()
    """Sync only contacts with one of these Google labels, if you list any; upper and lower case don't matter."""
    exclude_labels: tuple[LabelName, ...] = ()
    """Leave out contacts with one of these Google labels, even if they have other labels: ``["Private"]``; upper and
    lower case don't matter."""
    book_order: tuple[BookName, ...] = ()
    """The order of books: addresses of accounts, names of files (``[[tenant.file]]``), ``"directory"``, and ``"own"``
    for each phone's own book."""
    favourites: bool = False
    """If ``true``, each account's book has a branch ``ou=Favourites`` with the contacts that are starred in Google
    Contacts."""
    favourites_first: bool = False
    """If ``true``, the account's own phones get up to 500 starred contacts first, in their usual order, and then all
    others."""
    block_label: str = ""
    """The Google label of blocked contacts; upper and lower case don't matter."""
    photos: bool = False
    """If ``true``, the gateway fetches contacts' photos from Google."""
    activity_keep: Duration = Duration(365 * 86400)
    """How long the activity log keeps its entries, which say who did what, when and from where."""
    help: Help = Help()
    """An e-mail address or an https URL where people can get help."""
    dial_url: DialUrl = DialUrl()
    """The address at which the telephone system begins a call, such as
    ``"https://pbx.example/call?from={phone}&to={number}"``."""
    # "browser" by default, because a telephone system may recognize people by the sessions of their browsers.
    dial: Literal["browser", "server"] = "browser"
    """Who opens ``dial_url``: ``"browser"`` (the person's browser, in a new tab) or ``"server"`` (the gateway, through
    its proxy, with a time limit of 10 seconds)."""
    attribute_aliases: AttributeAliases = AttributeAliases()
    """Additional names for attributes, for phones and telephone systems that use names other than the usual ones: ``{
    "DirName" = "cn", "ext" = "telephoneNumber" }``."""
    sharing: Sharing = Sharing.PRIVATE
    """Who sees a new book in addition to its own phones: ``"private"`` (nobody), ``"callers"`` (all phones of the
    tenant, for the name behind a whole telephone number), ``"group:NAME"`` (the phones of the accounts in a group) or
    ``"shared"`` (all phones of the tenant)."""
    shared_label: str = ""
    """If a book is shared, share only the contacts with this Google label; upper and lower case don't matter."""
    group: Groups = Groups()
    """Groups of accounts that books can be shared with, each a table ``[[tenant.group]]`` after the tenant's other
    keys, with ``name = "sales"`` (a-z, 0-9 and ``-``) and ``accounts = ["anna@acme.example", "bert@acme.example"]``."""
    # 0 by default, which means never: the gateway may remove accounts only after an administrator has decided so.
    remove_leavers: LeaverDelay = LeaverDelay(0)
    """The time after which the gateway removes the account and the phones of a person who has left the company; empty:
    never."""
    anonymous_networks: Networks = Networks()
    """Networks from which phones may search the shared books and the Workspace directory without a login."""
    provisioning_networks: Networks = Networks()
    """Networks whose phones may fetch their settings while a provisioning window is open."""
    number_format: NumberFormat = NumberFormat.E164
    """How the gateway writes numbers in answers: ``"e164"`` (+49301234567), ``"international"`` (+49 30 1234567),
    ``"national"`` (030 1234567), ``"typed"`` (as in Google), ``"dial"`` (all digits that a phone at the company has to
    dial)."""
    matching: Literal["lenient", "strict"] = "lenient"
    """How the gateway compares names and numbers: ``"lenient"`` (as people at a phone expect) or ``"strict"`` (exactly
    as RFC 4517)."""
    delegation: tuple[Delegation, ...] = ()
    """A service account with domain-wide delegation, which reads the contacts of a company's people without their
    consents."""
    file: tuple[BookFile, ...] = ()
    """A file of contacts that is a book of the tenant, such as the extensions of the telephone system: CSV, vCard, or
    the phone book of a FRITZ!Box."""

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
    """The folder of the database and the key file.  Example: ``"/var/lib/ldapgw"``."""
    # True by default, because the first start of a container, and the demo, have to create the database.
    new_store: bool = True
    """Whether the gateway creates a database if there is none; if it doesn't, it refuses to start."""
    database: DatabaseUrl = DatabaseUrl()
    """SQLAlchemy's URL of the database; without this key, the gateway uses SQLite with the file ``ldapgw.db`` in
    ``state_dir``.  Example: ``"sqlite:////var/lib/ldapgw/ldapgw.db"``."""
    # None if the password is in the URL, if libpq finds the password (PGPASSWORD, .pgpass), or if the server needs no
    # password.
    database_password_file: File | None = None
    """A file that contains the password of the database user, on one line.  Example: ``"/etc/ldapgw/db.password"``."""
    # Empty to use the key file in state_dir.  With a key from another place, nobody can decrypt the secrets with a copy
    # of the disk alone.
    encryption_key: EncryptionKey = EncryptionKey()
    """The key that encrypts tokens and the secrets of OAuth clients in the database; without this setting, the gateway
    creates the file ``ldapgw.key`` in ``state_dir``.  Example: ``"replace-this-example-replace-this-example-r="``."""
    # A gateway that shares its database with others may do only a part of the work.
    roles: tuple[Literal["serve", "sync", "web"], ...] = ROLES
    """What this gateway does, if several gateways share a PostgreSQL database: answer phones (``serve``), sync the
    accounts when no other gateway does (``sync``), or serve the web pages (``web``)."""
    log_format: Literal["text", "json"] = "text"
    """The format of the log: ``"text"``, or ``"json"``."""
    # At level info, a healthy gateway logs the actions of people, but not every sync or search.
    log_level: LogLevels = LogLevels(["info"])
    """The lowest level of the events in the log, ``debug``, ``info``, ``warning``, ``error`` or ``critical``; a part of
    the gateway can have its own level: ``["warning", "sync=debug"]``."""
    ldap: Ldap = Ldap()
    """The LDAP server, which phones search."""
    tls: Tls | None = None
    """The certificate for StartTLS, and for ``listen_tls`` of ``[ldap]`` and ``[web]``."""
    web: Web
    """The web server, which serves the pages, and what phones fetch over HTTP."""
    sync: Sync = Sync()
    """The schedule of the syncs."""
    serve: Serve = Serve()
    """The start of a gateway that can't reach its database."""
    google: Google = Google()
    """The rate of calls to Google, and Google's addresses, which you change only to use a sandbox."""
    tenant: tuple[Tenant, ...]
    """A company on this gateway; repeat the table for each company."""

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


@cache
def all_tables(path: tuple[str, ...] = (), table: type[Table] = Config) -> Mapping[tuple[str, ...], type[Table]]:
    """Return the tables of the file by path, such as ``("tenant", "file")``, in the order of the file."""
    found = {path: table}
    for name, hint in get_type_hints(table).items():
        if inner := table_in(hint):
            found |= all_tables((*path, name), inner)
    return found
