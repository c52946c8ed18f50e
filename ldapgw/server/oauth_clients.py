# SPDX-License-Identifier: MIT
"""The current OAuth client of each tenant: the configured one, or the one that an administrator entered on the page.

An entered client takes effect at once, also in a running gateway: every use looks the client up anew.
Mutable: `TenantClients`, which keeps the entered clients as they were last read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from twisted.logger import Logger

from ldapgw.google.endpoints import Client
from ldapgw.server.config import Config
from ldapgw.store import tenants
from ldapgw.store.secrets import SecretBox
from ldapgw.store.worker import Store

T = TypeVar("T")

log = Logger()

# Stands for a client that nobody has entered; Google has no client with an empty id.
MISSING_CLIENT = Client("", "")


def configured_clients(config: Config) -> dict[str, Client]:
    """The OAuth clients of the configuration file by tenant name."""
    return {tenant.name: Client(tenant.client_id, tenant.client_secret) for tenant in config.tenant if tenant.client_id}


class TenantClients(Mapping[str, Client]):
    """The OAuth clients by tenant name; tenants without a client are not in the mapping.

    :param configured: the clients of the configuration file, which take precedence over entered ones.
    """

    def __init__(self, store: Store, secret_box: SecretBox, configured: Mapping[str, Client]) -> None:
        self._store = store
        self._secret_box = secret_box
        self.configured = configured
        self._all = dict(configured)
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
        self._all = found | dict(self.configured)

    def __getitem__(self, tenant: str) -> Client:
        return self._all[tenant]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


class LazyTenants(Mapping[str, T]):
    """A mapping of tenant names whose values are made anew at each lookup.

    :param make: makes the value for a tenant's name.
    """

    def __init__(self, names: Iterable[str], make: Callable[[str], T]) -> None:
        self._names = dict.fromkeys(names)
        self._make = make

    def __getitem__(self, name: str) -> T:
        if name not in self._names:
            raise KeyError(name)
        return self._make(name)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
