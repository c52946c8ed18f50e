# SPDX-License-Identifier: MIT
"""The OAuth client that each tenant has now: the configured one, else what an administrator has entered on the page.

What is entered counts at once, here and in a gateway that runs: whoever needs a client asks for it when it is needed.
Mutable: the entered ones, as they were read last, and those that cannot be read.
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

# Stands for a client that nobody has entered; Google knows none of this name.
MISSING_CLIENT = Client("", "")


def configured_clients(config: Config) -> dict[str, Client]:
    """The clients of the configuration file, by tenant."""
    return {one.name: Client(one.client_id, one.client_secret) for one in config.tenant if one.client_id}


class TenantClients(Mapping[str, Client]):
    """Clients by the name of their tenant; those tenants alone that have one.

    :param configured: those of the configuration file, which go before all others.
    """

    def __init__(self, store: Store, vault: SecretBox, configured: Mapping[str, Client]) -> None:
        self._store = store
        self._vault = vault
        self.configured = configured
        self._all = dict(configured)
        self._undecryptable: frozenset[str] = frozenset()

    async def refresh(self) -> None:
        """Read what is entered.

        :raises StoreError: when the database cannot be used.
        """
        found, unfit = await self._store.run(tenants.read_clients, self._vault)
        for tenant in sorted(unfit - self._undecryptable):
            log.error(
                "tenant {tenant}: its OAuth client does not fit the key file; put back the key that belongs to it, or "
                "enter the client again on the page",
                tenant=tenant,
            )
        self._undecryptable = unfit
        self._all = {one.tenant: Client(one.client_id, one.client_secret) for one in found} | dict(self.configured)

    def __getitem__(self, tenant: str) -> Client:
        return self._all[tenant]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


class LazyTenants(Mapping[str, T]):
    """Tenants by name, each as it is when it is asked for.

    :param make: a tenant by its name.
    """

    def __init__(self, names: Iterable[str], make: Callable[[str], T]) -> None:
        self._names = dict.fromkeys(names)
        self._make = make

    def __getitem__(self, name: str) -> T:
        if name not in self._names:
            raise KeyError(name)
        return self._make(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
