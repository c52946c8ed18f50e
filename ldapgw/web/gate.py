# SPDX-License-Identifier: MIT
"""What the pages need of the rest of the gateway, passed in by the composition root."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime

from ldapgw.google.endpoints import Client, Endpoints
from ldapgw.google.oauth import OAuth
from ldapgw.progress import Progress
from ldapgw.store.vault import Vault
from ldapgw.store.worker import Store
from ldapgw.web.admingate import AdminGate
from ldapgw.web.explaining import Explainer
from ldapgw.web.found import Finder
from ldapgw.web.live import Live
from ldapgw.web.phonegate import PhoneGate
from ldapgw.web.tenant import WebTenant


@dataclass(frozen=True, slots=True)
class WebGate:
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
    vault: Vault
    oauth: OAuth
    endpoints: Endpoints
    clock: IReactorTime
    random: Callable[[int], bytes]
    trusts: Callable[[str], bool]
    ready: Callable[[], bool]
    database_fails_since: Callable[[], float | None]
    certificate_ends: Callable[[], float | None]
    changed: Callable[[], Awaitable[None]]
    admin: AdminGate
    phones: PhoneGate
    live: Live
    progress: Callable[[int], Progress | None]
    finder: Finder
    explainer: Explainer

    def sharers(self, client: Client) -> list[str]:
        """The tenants that a grant to a client counts for."""
        return [one.name for one in self.tenants.values() if one.client and one.client.shares_grants_with(client)]
