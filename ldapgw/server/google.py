# SPDX-License-Identifier: MIT
"""The clients of Google's endpoints, and the present OAuth client and service account of each tenant.

OAuth clients and service accounts are configured in the file, or entered on the page by an administrator.  An entered
client takes effect at once, because each use looks up the client anew.

Mutable: `TenantClients` and `TenantDelegations`, which hold the entered clients and service accounts as last read.
"""

from __future__ import annotations

from collections import UserDict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

from cryptography.x509 import Certificate
from sqlalchemy import Connection
from treq.client import HTTPClient
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ldapgw.errors import UserError
from ldapgw.google.connections import trusting, uninspected
from ldapgw.google.delegation import UnfitKeyFile, read_key_file
from ldapgw.google.endpoints import Client, Endpoints
from ldapgw.google.http import CallObserver, http_client, ignore_call
from ldapgw.google.identity import PublishedKeys
from ldapgw.google.oauth import OAuth
from ldapgw.server.config import Google
from ldapgw.server.config.tables import Delegation as ConfiguredDelegation
from ldapgw.server.config.tables import Tenant
from ldapgw.server.tls import read_certificates
from ldapgw.store import tenants
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tenants import DelegationSettings
from ldapgw.store.worker import Store
from ldapgw.sync.workspace import DelegatedTenant, Delegation

T = TypeVar("T")

log = Logger()

# This value stands in for the OAuth client of a tenant that has no OAuth client.  Google has no client with an empty
# id.
MISSING_CLIENT = Client("", "")


class GoogleClients:
    """The clients of Google's endpoints.

    :param reactor: the reactor on which the HTTP clients run.
    :param clock: the clock for the time of day.
    :param observe: called for each call to Google.
    :ivar http: the client for all endpoints except the endpoint of Google's published keys.
    :ivar keys: Google's published keys; None without ``ca_file``, because the keys are needed only if a proxy inspects
        TLS.
    :raises UserError: when ``ca_file`` cannot be used.
    """

    def __init__(self, google: Google, reactor: Any, clock: IReactorTime, observe: CallObserver = ignore_call) -> None:
        authorities = read_authorities(google.ca_file) if google.ca_file else ()
        proxy = google.configured_proxy
        self.endpoints = Endpoints(**google.endpoints)
        self.http: HTTPClient = http_client(reactor, trusting(authorities), proxy)
        self.keys: PublishedKeys | None = None
        if authorities:
            uninspected_http = http_client(reactor, uninspected(authorities), proxy)
            self.keys = PublishedKeys(uninspected_http, google.jwks_uri, clock, observe)
        self.oauth = OAuth(self.http, self.endpoints, clock, self.keys, observe)


def read_authorities(file: str) -> tuple[Certificate, ...]:
    """Read the certificates of ``ca_file``; blocks on the disk.

    :raises UserError: when the file cannot be used.
    """
    try:
        return read_certificates(Path(file).read_bytes())
    except OSError as error:
        raise UserError(f"google.ca_file = {file}: cannot be read: {error.strerror}", is_setting=True) from None
    except ValueError:
        raise UserError(f"google.ca_file = {file}: expected certificates in PEM", is_setting=True) from None


class TenantClients(UserDict[str, Client]):
    """The OAuth clients by tenant name; tenants without a client are not in the mapping.

    :param configured: the clients of the configuration file, which take precedence over clients that administrators
        have entered.
    """

    def __init__(self, store: Store, secret_box: SecretBox, configured: Mapping[str, Client]) -> None:
        super().__init__(configured)
        self._store = store
        self._secret_box = secret_box
        self.configured = configured
        self._undecryptable: frozenset[str] = frozenset()

    async def refresh(self) -> None:
        """Read from the store the clients that administrators have entered on the page.

        :raises StoreError: when the database cannot be used.
        """
        entered, undecryptable = await self._store.read(tenants.read_clients, self._secret_box)
        for tenant in sorted(undecryptable - self._undecryptable):
            log.error(
                "tenant {tenant}: the gateway cannot decrypt the stored OAuth client with {source}; put back the key "
                "that encrypted the client, or enter the client again on the page",
                event="client_undecryptable",
                tenant=tenant,
                source=self._secret_box.source,
            )
        self._undecryptable = undecryptable
        found = {client.tenant: Client(client.client_id, client.client_secret) for client in entered}
        self.data = found | dict(self.configured)


def delegated_tenant(tenant: Tenant) -> DelegatedTenant:
    """Return the settings of a tenant for a service account."""
    return DelegatedTenant(
        tenant.sources,
        tenant.sharing,
        tenant.shared_label,
        tuple(group.google_group for group in tenant.group if group.google_group),
        (*tenant.allowed_users, *tenant.admins),
    )


class TenantDelegations(UserDict[str, Delegation]):
    """The service accounts by tenant name; tenants without a service account are not in the mapping.

    :param tenants: the tenants of the configuration file, whose service accounts take precedence over service accounts
        that administrators have entered.
    :raises UserError: when a key file cannot be used.
    """

    def __init__(self, store: Store, secret_box: SecretBox, tenants: Iterable[Tenant]) -> None:
        self.configured = configured_delegations(tenants)
        super().__init__(self.configured)
        self._store = store
        self._secret_box = secret_box
        self._undecryptable: frozenset[str] = frozenset()
        self._is_read = False

    async def refresh(self) -> None:
        """Read from the store the service accounts that administrators have entered on the page.

        :raises StoreError: when the database cannot be used.
        """
        entered, undecryptable = await self._store.read(entered_delegations, self._secret_box)
        for tenant in sorted(undecryptable - self._undecryptable):
            log.error(
                "tenant {tenant}: the gateway cannot decrypt the stored service account with {source}; put back the "
                "key that encrypted the service account, or enter the service account again on the page",
                event="delegation_undecryptable",
                tenant=tenant,
                source=self._secret_box.source,
            )
        self._undecryptable = undecryptable
        self._is_read = True
        self.data = {**entered, **self.configured}

    def is_unknown(self, tenant: str) -> bool:
        """Return whether a tenant may have a service account that was not read yet, or cannot be decrypted."""
        return not self._is_read or tenant in self._undecryptable


def configured_delegations(tenants: Iterable[Tenant]) -> Mapping[str, Delegation]:
    """Read the key files of the configured service accounts, by tenant; blocks on the disk.

    :raises UserError: when a key file cannot be used.
    """
    return {tenant.name: _configured_delegation(tenant, found) for tenant in tenants for found in tenant.delegation}


def _configured_delegation(tenant: Tenant, configured: ConfiguredDelegation) -> Delegation:
    """Read the key file of a configured service account; blocks on the disk.

    :raises UserError: when the key file cannot be used.
    """
    where = f'tenant "{tenant.name}": delegation: key_file = {configured.key_file}'
    try:
        service_account = read_key_file(Path(configured.key_file).read_bytes())
    except OSError as error:
        raise UserError(f"{where}: cannot be read: {error.strerror}", is_setting=True) from None
    except UnfitKeyFile as error:
        raise UserError(f"{where}: {error.problems[0]}", is_setting=True) from None
    settings = DelegationSettings(
        configured.administrator, configured.users, configured.groups, configured.org_units, configured.exclude
    )
    return Delegation(service_account, settings)


def entered_delegations(
    connection: Connection, secret_box: SecretBox
) -> tuple[Mapping[str, Delegation], frozenset[str]]:
    """Read the stored service accounts by tenant, and the tenants whose service accounts cannot be decrypted."""
    entered, undecryptable = tenants.read_delegations(connection, secret_box)
    found = {
        delegation.tenant: Delegation(read_key_file(delegation.key_file.encode()), delegation.settings)
        for delegation in entered
    }
    return found, undecryptable


class TenantsWithClients(UserDict[str, T]):
    """Tenants by name; each access returns the tenant with its present OAuth client.

    :param tenants: dataclasses with a field ``client``.  The value of this field is used as long as `clients` has no
        client for the tenant.
    """

    def __init__(self, tenants: Mapping[str, T], clients: Mapping[str, Client]) -> None:
        super().__init__(tenants)
        self._clients = clients
        self._without_client: Mapping[str, Any] = dict(tenants)

    def __getitem__(self, name: str) -> T:
        client = self._clients.get(name, self._without_client[name].client)
        tenant: Any = self.data[name]
        # The tenant is copied only if the client has changed, because a sync looks a tenant up a dozen times.
        if tenant.client is not client:
            tenant = self.data[name] = replace(tenant, client=client)
        return cast("T", tenant)
