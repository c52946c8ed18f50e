# SPDX-License-Identifier: MIT
"""Reads the telephone numbers of stored contacts anew after the rules have changed, without asking Google."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.contact import Contact
from ldapgw.errors import ProcessLost
from ldapgw.google.person_numbers import read_anew
from ldapgw.peers.leadership import Leader
from ldapgw.store import contact_renewal
from ldapgw.store.contact_renewal import BEFORE_ALL
from ldapgw.store.periodic import PeriodicService
from ldapgw.store.worker import Store
from ldapgw.sync.job import SyncedTenant

log = Logger()

# Seconds between two looks for accounts: after an upgrade, and after the restore of an older backup.
INTERVAL = 60.0
# Contacts that are read and stored at once.
_BATCH = 200

ReadAnew = Callable[[Sequence[Contact], str], Sequence[tuple[Contact, int]]]


def read_all_anew(stored: Sequence[Contact], region: str) -> list[tuple[Contact, int]]:
    """Read the numbers of contacts anew (`read_anew`)."""
    return [read_anew(contact, region) for contact in stored]


class ContactRenewal(PeriodicService):
    """Renews the contacts of one account after another.

    :param tenants: by name; accounts of other tenants are left alone.
    :param read_in_process: calls `read_all_anew` in another process, because the work would delay phones.
    :param publish: called with an account's id after its contacts have changed; publishes them to phones.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        store: Store,
        leader: Leader,
        tenants: Mapping[str, SyncedTenant],
        read_in_process: Callable[[ReadAnew, Sequence[Contact], str], Awaitable[Sequence[tuple[Contact, int]]]],
        publish: Callable[[int], Awaitable[None]],
    ) -> None:
        self._store = store
        self._leader = leader
        self._tenants = tenants
        self._read = read_in_process
        self._publish = publish
        super().__init__(clock, INTERVAL, self.renew_all, _report)

    async def renew_all(self) -> None:
        """Renew the contacts of all accounts that this gateway syncs.

        :raises StoreError: when the database cannot be used.
        """
        for account_id, tenant in await self._store.read(contact_renewal.outdated_accounts):
            if tenant in self._tenants and self._leader.is_leader:
                await self._renew(account_id, tenant)

    async def _renew(self, account_id: int, tenant: str) -> None:
        store, region = self._leader.store, self._tenants[tenant].region
        changed, after = False, BEFORE_ALL
        while stored := await self._store.read(contact_renewal.read_outdated, account_id, after, _BATCH):
            read = await self._read(read_all_anew, [outdated.contact for outdated in stored], region)
            renewed = [(outdated, *anew) for outdated, anew in zip(stored, read, strict=True)]
            changed = await store.run(contact_renewal.renew, account_id, renewed) or changed
            after = stored[-1].key
        await store.run(contact_renewal.set_renewed, account_id)
        if changed:
            log.info(
                "the telephone numbers of account {account} were read anew",
                event="numbers_renewed",
                tenant=tenant,
                account=account_id,
            )
            await self._publish(account_id)


def _report(failure: Failure) -> None:
    if not failure.check(ProcessLost):  # the next run tries again
        log.failure("reading stored numbers anew failed", failure, event="renewal_failed")
