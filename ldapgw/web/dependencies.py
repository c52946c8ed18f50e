# SPDX-License-Identifier: MIT
"""The services and tenants that the composition root passes to the web pages, and the notifier of open pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Container, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from ldapgw.contact import Sharing, Source
from ldapgw.directory.access import LeftOut, Viewer
from ldapgw.files.reading import FilePreview, FileStatus
from ldapgw.google.delegation import ServiceAccount
from ldapgw.google.endpoints import Client, Endpoints
from ldapgw.google.identity import Identity
from ldapgw.google.oauth import OAuth
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.phones.activity import PhoneActivity
from ldapgw.phones.book_reader import BookReader
from ldapgw.phones.contact_browser import ContactBrowser
from ldapgw.phones.explain.explain import PhoneExplainer
from ldapgw.phones.provisioning.settings import ConnectionSettings, ServerAddress, Site, StepResult
from ldapgw.phones.refused_logins import RefusedLogins
from ldapgw.store import sync_state
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tenants import DelegationSettings, DelegationTrial
from ldapgw.store.worker import Store
from ldapgw.web.dialing import DialAddress, DialResult
from ldapgw.web.one_time_passwords import OneTimeSecrets

# The topic of the list of living gateways.
GATEWAYS_TOPIC: Final = "gateways"


class ChangeNotifier:
    """Change notification for open pages: publish and subscribe by topic, inside this process.

    Mutable: the topics and their listeners.

    A topic is a string.  An open page subscribes to the topics of everything that it shows; code that has changed
    something notifies the matching topic.  A notification carries no content: the page then fetches itself again.
    """

    def __init__(self) -> None:
        self._listeners: dict[str, list[Callable[[], None]]] = {}

    def subscribe(self, topics: Iterable[str], on_change: Callable[[], None]) -> Callable[[], None]:
        """Call `on_change` at each notification of any of the topics.

        :returns: a function that ends the subscription, and must be called once.
        """
        unique_topics = tuple(dict.fromkeys(topics))
        for topic in unique_topics:
            self._listeners.setdefault(topic, []).append(on_change)

        def unsubscribe() -> None:
            for topic in unique_topics:
                self._listeners[topic].remove(on_change)
                if not self._listeners[topic]:
                    del self._listeners[topic]

        return unsubscribe

    def notify(self, topic: str) -> None:
        """Call every listener of the topic."""
        for on_change in tuple(self._listeners.get(topic, ())):
            on_change()

    def topics(self) -> Collection[str]:
        """Return the topics that have listeners."""
        return self._listeners.keys()


def person_topic(tenant: str, sub: str) -> str:
    """Return the topic of all accounts that a person's overview shows."""
    return f"person {tenant} {sub}"


class AccountWatcher:
    """The watcher that notifies the topics of persons whose accounts have changed in the database.

    Mutable: the last known states of the watched accounts.

    :param recoveries: returns how often the database has recovered from a failure.  Each recovery changes all pages,
        because pages show the failure.
    """

    def __init__(self, store: Store, notifier: ChangeNotifier, recoveries: Callable[[], int]) -> None:
        self._store = store
        self._notifier = notifier
        self._recoveries = recoveries
        self._last_states: Mapping[str, Hashable] = {}

    async def check(self) -> None:
        """Compare the watched accounts with their last known states, after any change of the database.

        :raises StoreError: when the database cannot be used.
        """
        watched = [topic for topic in self._notifier.topics() if topic.startswith("person ")]
        recoveries = self._recoveries()
        states = await self._store.read(_account_states, watched, recoveries) if watched else {}
        last_states, self._last_states = self._last_states, states
        for topic, state in states.items():
            # A topic that is watched for the first time is notified too, because the person's accounts may have changed
            # since the page was rendered.
            if topic not in last_states or last_states[topic] != state:
                self._notifier.notify(topic)


def _account_states(connection: Connection, topics: Collection[str], recoveries: int) -> dict[str, Hashable]:
    """Return the changeable data of each person's accounts, by topic."""
    persons = [tuple(topic.split(" ", 2)[1:]) for topic in topics]
    status_keys = sync_state.read_status_keys(connection, {sub for _, sub in persons})
    return {person_topic(tenant, sub): (recoveries, status_keys.get((tenant, sub), ())) for tenant, sub in persons}


@dataclass(frozen=True, slots=True)
class WebTenant:
    """A company on this gateway, with the people who may connect and the OAuth client.

    :ivar client: the tenant's OAuth client, or None until an administrator has entered a client.
    :ivar allowed_users: the users who may connect: addresses, ``@domain`` (the claim ``hd``), or ``*`` for everybody.
    :ivar admins: the addresses of the administrators, who may connect as well.
    :ivar sources: the sources of contacts: `first_source`, and the sources that people can switch on.
    :ivar sharing: the sharing of a new book.
    :ivar shared_label: a book shares only the contacts with this label, unless a person decides otherwise; empty if a
        book shares all contacts.
    :ivar groups: the number of addresses in each group of accounts, by the group's name.
    :ivar labels: only contacts with one of these labels are synced; if empty, all contacts are synced.
    :ivar excluded_labels: contacts with one of these labels are not synced.
    :ivar number_format: the format of numbers for phones without a format of their own.
    :ivar activity_keep: the seconds for which entries of the activity log are kept.
    :ivar region: the country of numbers without a country code (ISO 3166-1); empty if unknown.
    :ivar help: the e-mail address or the URL of the administrator; empty if not configured.
    :ivar dial: the address at which the telephone system begins a call, or None if people's devices dial.
    :ivar remove_leavers: the seconds after which the account of a person who has left is removed; 0 for never.
    """

    name: str
    title: str
    client: Client | None
    allowed_users: tuple[str, ...]
    admins: tuple[str, ...]
    sources: tuple[Source, ...]
    sharing: Sharing
    shared_label: str
    labels: tuple[str, ...] = ()
    excluded_labels: tuple[str, ...] = ()
    groups: Mapping[str, int] = field(default_factory=dict, hash=False)
    number_format: NumberFormat = NumberFormat.E164
    photos: bool = False
    activity_keep: float = 365 * 86400.0
    region: str = ""
    help: str = ""
    dial: DialAddress | None = None
    has_files: bool = False
    remove_leavers: float = 0.0
    has_provisioning_networks: bool = False
    may_provision: Callable[[str], bool] = field(default=lambda _address: False, hash=False, compare=False)

    @property
    def help_url(self) -> str:
        """Return the address of a link to the administrator, or an empty text if no address is configured."""
        return self.help if self.help.startswith(("https://", "http://")) or not self.help else f"mailto:{self.help}"

    @property
    def first_source(self) -> Source:
        """Return the source whose scope the first consent requests; people can switch the other sources on later."""
        return Source.CONTACTS if Source.CONTACTS in self.sources else self.sources[0]

    @property
    def heading(self) -> str:
        """Return the tenant's name on the pages."""
        return self.title or self.name

    def admits(self, identity: Identity) -> bool:
        """Return whether a Google user may connect and sign in; a user with an unverified address never may."""
        if not identity.email_verified or not identity.email:
            return False
        return self.is_admin(identity) or any(_matches_rule(rule, identity) for rule in self.allowed_users)

    def still_admits(self, address: str, hd: str | None) -> bool:
        """Return whether the user of a connected account may still connect.

        :param hd: the Workspace domain, or None if unknown; the domain of the address then takes its place.
        """
        domain = address.rpartition("@")[2] if hd is None else hd
        return self.admits(Identity("", address, email_verified=True, hd=domain))

    def is_admin(self, identity: Identity) -> bool:
        """Return whether a user with a verified address is an administrator.

        If the tenant admits the domain of the address, the account must belong to the Workspace of this domain: a
        consumer account can keep the company's address of somebody who has left.
        """
        address = _folded(identity.email)
        if address not in map(_folded, self.admins):
            return False
        domain = address.rpartition(b"@")[2]
        return b"@" + domain not in map(_folded, self.allowed_users) or _folded(identity.hd) == domain


def _matches_rule(rule: str, identity: Identity) -> bool:
    if rule.startswith("@"):
        # The address's domain proves nothing: a consumer account can have an address of any domain, but no ``hd``.
        return bool(identity.hd) and _folded(identity.hd) == _folded(rule[1:])
    return rule == "*" or _folded(rule) == _folded(identity.email)


def _folded(text: str) -> bytes:
    """Return an address or domain with its ASCII letters in lower case, for comparisons."""
    return text.encode().lower()


@dataclass(frozen=True, slots=True)
class ConsentDependencies:
    """The parts that a consent uses; `ldapgw connect` makes these parts without a running gateway.

    :ivar public_url: the gateway's address for browsers; https, or http on a loopback address.
    :ivar tenants: the tenants by name, in the order of the configuration.
    :ivar clock: a clock whose method `seconds` counts from the epoch.
    :ivar random: returns the given number of random bytes, as `os.urandom` does.
    :ivar changed: called after an account was changed, so that sync and directory read the accounts again at once.
    :ivar count_misuse: counts misuse for the log, by its kind and the client's address (`ldapgw.server.logging`).
    """

    public_url: str
    tenants: Mapping[str, WebTenant]
    store: Store
    secret_box: SecretBox
    oauth: OAuth
    endpoints: Endpoints
    clock: IReactorTime
    random: Callable[[int], bytes]
    changed: Callable[[], Awaitable[None]]
    count_misuse: Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class WebDependencies(ConsentDependencies):
    """The parts of the gateway that all pages use.

    :ivar seconds: a monotonic clock, in seconds, for limits and durations.
    :ivar is_trusted_proxy: whether an address belongs to a trusted proxy.
    :ivar is_ready: whether the directory is loaded and LDAP listens.
    :ivar is_stale: whether the gateway answers phones from an earlier run's snapshot, because the database was not read
        yet.
    :ivar database_fails_since: start of the database failure, in seconds since the epoch, or None if the database does
        not fail.
    :ivar certificate_expiry: expiry of the LDAP certificate, in seconds since the epoch, or None if the expiry is not
        near or there is no certificate.
    :ivar serves_https: whether the gateway itself serves HTTPS, so that requests by plain HTTP are redirected.
    :ivar sends_hsts: whether browsers may be told to use only HTTPS.
    :ivar disconnected: called after an account was disconnected, to delete the account's data from copies of the
        database.
    :ivar removed: called with the tenant and the sub of accounts that were removed from the database, to delete the
        data of these accounts from copies of the database.
    :ivar is_shared: whether several gateways can use the database, so that a proxy may lead a browser to any of these
        gateways.
    :ivar contacts: browses and searches the contacts that phones find.
    :ivar dial: calls the address at which a tenant's telephone system begins a call (`ldapgw.web.dialing.Dialer`).
    :ivar observe_request: counts a request for metrics, by its method, the route's path with variables in braces, the
        role that the route requires, the status, and the seconds that the answer took.
    :ivar render_off_thread: calls a function that renders a page off the reactor's thread.
    """

    seconds: Callable[[], float]
    is_trusted_proxy: Callable[[str], bool]
    is_ready: Callable[[], bool]
    is_stale: Callable[[], bool]
    database_fails_since: Callable[[], float | None]
    certificate_expiry: Callable[[], float | None]
    serves_https: bool
    sends_hsts: Callable[[], bool]
    disconnected: Callable[[], object]
    removed: Callable[[Collection[tuple[str, str]]], object]
    admin: AdminDependencies
    phones: PhoneDependencies
    delegations: DelegationDependencies
    files: FileDependencies
    book_clients: BookClientDependencies
    is_shared: bool
    notifier: ChangeNotifier
    contacts: ContactBrowser
    dial: Callable[[str, str], Awaitable[DialResult]]
    explainer: PhoneExplainer
    observe_request: Callable[[str, str, str, int, float], None]
    render_off_thread: Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class DelegationDependencies:
    """The parts of the gateway that only the page about the service account uses.

    :ivar configured: the tenants whose service account is in the configuration file.
    :ivar present: returns a tenant's service account with its settings, or None if the tenant has no service account.
    :ivar read_key_file: decodes a key file off the reactor's thread; raises `ldapgw.google.delegation.UnfitKeyFile`.
    :ivar try_delegation: tries a tenant's service account, given by its key file, at Google; raises a `GoogleError`.
    """

    configured: Collection[str]
    present: Callable[[str], tuple[ServiceAccount, DelegationSettings] | None]
    read_key_file: Callable[[str], Awaitable[ServiceAccount]]
    try_delegation: Callable[[str, str, DelegationSettings], Awaitable[DelegationTrial]]


@dataclass(frozen=True, slots=True)
class FileDependencies:
    """The parts of the gateway that only the pages about files of contacts use.

    :ivar statuses: returns the state of each file of a tenant.
    :ivar preview: compares new octets with a file of a tenant, off the reactor's thread.
    :ivar replace: replaces a file of a tenant by new octets, unless the file has another version now; raises OSError.
    """

    statuses: Callable[[str], Sequence[FileStatus]]
    preview: Callable[[str, str, bytes], Awaitable[FilePreview]]
    replace: Callable[[str, str, bytes, int], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class PhoneDependencies:
    """The parts of the gateway that only the phone pages use.

    :ivar server: the LDAP server's address for phones.
    :ivar activity: the searches of all phones; the DN of a login is the topic of the phone's searches
        (`ChangeNotifier`).
    :ivar refused_logins: the logins that were refused.
    :ivar try_connection: tests the connection that a phone will make.
    :ivar certificate: the certificate that phones must be told to trust, in PEM; empty if phones trust the gateway's
        certificate already.
    :ivar certificate_url: returns the address of `certificate` for the phones of a tenant, by the tenant's name.
    :ivar one_time: the passwords and secrets that pages show for ten minutes.
    """

    server: ServerAddress
    activity: PhoneActivity
    refused_logins: RefusedLogins
    certificate: Callable[[], str]
    certificate_url: Callable[[str], str]
    try_connection: Callable[[ConnectionSettings], Awaitable[Sequence[StepResult]]]
    one_time: OneTimeSecrets

    def site(self, tenant: WebTenant) -> Site:
        """Return the values that the settings of a tenant's phones share."""
        ca_url = self.certificate_url(tenant.name) if self.certificate() else ""
        return Site(self.server, self.activity.base_dn(tenant.name), tenant.heading, ca_url)


@dataclass(frozen=True, slots=True)
class BookClientDependencies:
    """The parts of the gateway that serve phones and PBXs over HTTP.

    :ivar authenticate: takes a name, a password and the client's address; returns the viewer, or None if the name or
        the password is wrong.
    :ivar authenticate_secret: takes the secret of an XML phone book's address, and the client's address; returns the
        viewer, or None if there is no such secret.
    :ivar login_delay: counts a wrong login, by the client's address and the login's name; returns the seconds to delay
        the answer, or None if another answer is being delayed.
    :ivar login_refused: records a wrong name or password, by the login's name and the client's address.
    :ivar run_off_thread: calls a function with its arguments off the reactor's thread.
    """

    authenticate: Callable[[str, bytes, str], Viewer | None]
    authenticate_secret: Callable[[str, str], Viewer | None]
    login_delay: Callable[[str, str], float | None]
    login_refused: Callable[[str, str], None]
    reader: BookReader
    run_off_thread: Callable[..., Deferred[Any]]


@dataclass(frozen=True, slots=True)
class AdminDependencies:
    """The parts of the gateway that only the administration and ``/metrics`` use.

    :ivar tenants_with_configured_client: names of the tenants whose OAuth client is in the configuration file.
    :ivar certificate_expiry: expiry of the LDAP certificate, in seconds since the epoch, or None if there is no
        certificate.
    :ivar sync_interval: seconds between syncs of an account.
    :ivar calls_per_minute: the limit on the calls to the People API for each Google project, or None if there is no
        limit.
    :ivar metrics: returns the body and the content type of ``/metrics``.
    :ivar left_out: returns the clients of a tenant that searched for too many unknown numbers in caller-ID books.
    :ivar may_be_new_store: whether the gateway may have begun with a new database by accident.
    :ivar config_file: the path of the configuration file.
    """

    tenants_with_configured_client: Container[str]
    certificate_expiry: Callable[[], float | None]
    sync_interval: float
    calls_per_minute: int | None
    metrics: Callable[[], Awaitable[tuple[bytes, str]]]
    may_read_metrics: Callable[[str], bool]
    left_out: Callable[[str], Sequence[LeftOut]]
    may_be_new_store: bool
    config_file: str
