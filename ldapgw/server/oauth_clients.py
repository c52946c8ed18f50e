# SPDX-License-Identifier: MIT
"""The current OAuth client of each tenant: configured in the file, or entered on the page by an administrator.

An entered client takes effect at once, also in a running gateway: each use looks up the client anew.
Mutable: `TenantClients`, which holds the entered clients as last read.
"""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from twisted.logger import Logger

from ldapgw.google.endpoints import Client
from ldapgw.store import tenants
from ldapgw.store.secrets import SecretBox
from ldapgw.store.worker import Store

T = TypeVar("T")

log = Logger()

# Stands for a client that was not entered; Google has no client with an empty id.
MISSING_CLIENT = Client("", "")


class TenantClients(UserDict[str, Client]):
    """The OAuth clients by tenant name; tenants without a client are not in the mapping.

    :param configured: the clients of the configuration file, which take precedence over entered ones.
    """

    def __init__(self, store: Store, secret_box: SecretBox, configured: Mapping[str, Client]) -> None:
        super().__init__(configured)
        self._store = store
        self._secret_box = secret_box
        self.configured = configured
        self._undecryptable: frozenset[str] = frozenset()

    async def refresh(self) -> None:
        """Read the entered clients from the store.

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


class TenantsWithClients(UserDict[str, T]):
    """Tenants by name, each with its present OAuth client, which is looked up at each access.

    :param tenants: dataclasses with a field ``client``, whose value is used for a tenant without a client.
    """

    def __init__(self, tenants: Mapping[str, T], clients: Mapping[str, Client]) -> None:
        super().__init__(tenants)
        self._clients = clients

    def __getitem__(self, name: str) -> T:
        tenant: Any = self.data[name]
        found: T = replace(tenant, client=self._clients.get(name, tenant.client))
        return found
