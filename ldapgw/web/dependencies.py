# SPDX-License-Identifier: MIT
"""A tenant as its pages know it: who may connect, and with which OAuth client.

What the pages need of the rest of the gateway, passed in by the composition root.

What the pages about phones need of the rest of the gateway, passed in by the composition root.

What the administration needs of the rest of the gateway, passed in by the composition root.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Mapping
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime

from ldapgw.contact import Sharing, Source
from ldapgw.google.endpoints import Client, Endpoints
from ldapgw.google.identity import Identity
from ldapgw.google.oauth import OAuth
from ldapgw.phones.explainer import Explainer
from ldapgw.phones.hints import DecodedSearch
from ldapgw.phones.lookup import Finder
from ldapgw.phones.provisioning.settings import ServerAddress
from ldapgw.store.account_status import SyncProgress
from ldapgw.store.phones import PhoneLogin
from ldapgw.store.secrets import SecretBox
from ldapgw.store.worker import Store
from ldapgw.web.live import ChangeNotifier


@dataclass(frozen=True, slots=True)
class WebTenant:
    """A company on this gateway.

    :ivar client: None until an administrator has entered one.
    :ivar allowed_users: addresses, ``@domain`` (the claim ``hd``), or ``*``.
    :ivar admins: addresses; they may connect as well.
    :ivar sources: what a consent is asked for.
    :ivar sharing: of a new book.
    :ivar labels: only contacts with one of these are taken; none: all.
    """

    name: str
    title: str
    client: Client | None
    allowed_users: tuple[str, ...]
    admins: tuple[str, ...]
    sources: tuple[Source, ...]
    sharing: Sharing
    labels: tuple[str, ...] = ()

    @property
    def heading(self) -> str:
        """What the pages call it."""
        return self.title or self.name

    def admits(self, identity: Identity) -> bool:
        """Whether a Google user may connect and sign in; one whose address Google has not verified never may."""
        if not identity.email_verified or not identity.email:
            return False
        return self.is_admin(identity.email) or any(_matches_rule(rule, identity) for rule in self.allowed_users)

    def is_admin(self, address: str) -> bool:
        """Whether a verified address is an administrator's."""
        return address.lower() in {admin.lower() for admin in self.admins}


def _matches_rule(rule: str, identity: Identity) -> bool:
    if rule.startswith("@"):
        # The end of an address proves nothing: a consumer account can have one of any domain, and no ``hd``.
        return bool(identity.hd) and identity.hd.lower() == rule[1:].lower()
    return rule == "*" or rule.lower() == identity.email.lower()


@dataclass(frozen=True, slots=True)
class WebDependencies:
    """The rest of the gateway, as the pages see it.

    :ivar public_url: where browsers find us; https, or http on a loopback address.
    :ivar tenants: by name, in the order of the configuration.
    :ivar clock: its `seconds` are since the epoch.
    :ivar random: returns as many random bytes as asked for, as `os.urandom` does.
    :ivar trusts: whether an address is a trusted proxy's.
    :ivar ready: whether the directory is loaded and LDAP listens.
    :ivar database_fails_since: since when the database cannot be used, in seconds since the epoch; None: it can.
    :ivar certificate_ends: when the certificate that phones are shown ends, where that is near.
    :ivar changed: called after an account was changed; sync and directory look again at once.
    :ivar admin: what the administration needs besides.
    :ivar phones: what the pages about phones need besides.
    :ivar live: who is told of changes on open pages.
    :ivar progress: how far the sync of an account is, by its id; None when none is running.
    :ivar finder: looks up what phones find.
    :ivar explainer: explains what they find, and what not.
    """

    public_url: str
    tenants: Mapping[str, WebTenant]
    store: Store
    vault: SecretBox
    oauth: OAuth
    endpoints: Endpoints
    clock: IReactorTime
    random: Callable[[int], bytes]
    is_trusted_proxy: Callable[[str], bool]
    is_ready: Callable[[], bool]
    database_fails_since: Callable[[], float | None]
    certificate_expiry: Callable[[], float | None]
    changed: Callable[[], Awaitable[None]]
    admin: AdminDependencies
    phones: PhoneDependencies
    notifier: ChangeNotifier
    progress: Callable[[int], SyncProgress | None]
    finder: Finder
    explainer: Explainer

    def sharers(self, client: Client) -> list[str]:
        """The tenants that a grant to a client counts for."""
        return [one.name for one in self.tenants.values() if one.client and one.client.shares_grants_with(client)]


@dataclass(frozen=True, slots=True)
class PhoneDependencies:
    """The rest of the gateway, as these pages see it.

    :ivar server: where phones find us.
    :ivar base_dn: a tenant's search base, by its name.
    :ivar bind_dn: the DN of a login; also the topic of its searches (`ldapgw.web.live`).
    :ivar searches: its last searches, the newest first.
    :ivar stranger: when somebody at an address was refused last for want of a login; None: not that we know.
    :ivar certificate: in PEM, what phones have to be given because they do not know who signed ours; empty: nothing.
    """

    server: ServerAddress
    base_dn: Callable[[str], str]
    bind_dn: Callable[[PhoneLogin], str]
    searches: Callable[[PhoneLogin], tuple[DecodedSearch, ...]]
    anonymous_refused_at: Callable[[str], float | None]
    certificate: Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class AdminDependencies:
    """The rest of the gateway, as these pages see it.

    :ivar configured: the names of the tenants whose OAuth client is in the configuration file.
    :ivar certificate_ends: when the certificate that phones are shown ends, however far that is; None: there is none.
    :ivar metrics: what ``/metrics`` tells, and of which type that is.
    :ivar may_read_metrics: whether somebody at an address may read it.
    """

    tenants_with_configured_client: Container[str]
    certificate_expiry: Callable[[], float | None]
    metrics: Callable[[], Awaitable[tuple[bytes, str]]]
    may_read_metrics: Callable[[str], bool]
