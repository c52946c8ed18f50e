# SPDX-License-Identifier: MIT
"""Reads the telephone numbers of stored contacts anew after a change of the rules, without calls to Google."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, and_, func, select, tuple_, update
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.contact import Contact, Flaw, Source
from ldapgw.errors import ProcessLost
from ldapgw.google.person_numbers import read_anew
from ldapgw.numbers import stored_numbers
from ldapgw.peers.leadership import Leader
from ldapgw.store import accounts, sync_state
from ldapgw.store.contact_record import ContactRecord
from ldapgw.store.contacts import apply_changes, decode_contact
from ldapgw.store.periodic import PeriodicService
from ldapgw.store.tables import account, contact, photo
from ldapgw.sync.fetch import SyncedTenant

log = Logger()

# Seconds between two searches for contacts whose numbers were read by former rules.  There are such contacts after an
# upgrade, and after the restore of an older backup.
INTERVAL = 60.0
# The number of contacts that are read and stored in one step.
_BATCH = 200

# A contact's source and uid: the key of its row within the account.
ContactKey = tuple[str, str]
BEFORE_ALL: ContactKey = ("", "")

ReadAnew = Callable[[Sequence[Contact], str], Sequence[tuple[Contact, int]]]


@dataclass(frozen=True, slots=True)
class OutdatedContact:
    """A stored contact whose telephone numbers were read by former rules.

    :ivar digest: the digest of the row, or None if unknown.
    :ivar photo_url: the address of the contact's photo; empty if the contact has no photo.
    :ivar flaws: the flaws that only Google's person shows, and that cannot be found again in the stored contact.
    """

    source: Source
    uid: str = field(repr=False)
    source_id: str = field(repr=False)
    contact: Contact
    digest: bytes | None = field(repr=False)
    photo_url: str = field(repr=False)
    flaws: frozenset[Flaw]

    @property
    def key(self) -> ContactKey:
        return self.source.value, self.uid

    def renewed(self, read: Contact, unreadable: int) -> ContactRecord:
        """Return the record of a contact that was read anew."""
        return ContactRecord.from_contact(self.uid, self.source_id, read, "", unreadable, self.photo_url, self.flaws)


def read_all_anew(stored: Sequence[Contact], region: str) -> list[tuple[Contact, int]]:
    """Read the numbers of contacts anew (`read_anew`)."""
    return [read_anew(contact, region) for contact in stored]


class ContactRenewal(PeriodicService):
    """The service that reads the numbers of stored contacts anew, one account after another.

    :param tenants: the tenants by name; accounts of other tenants are not changed.
    :param read_in_process: calls `read_all_anew` in another process, because the work would delay phones.
    :param publish: called with an account's id after its contacts have changed; publishes the changes to phones.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        leader: Leader,
        tenants: Mapping[str, SyncedTenant],
        read_in_process: Callable[[ReadAnew, Sequence[Contact], str], Awaitable[Sequence[tuple[Contact, int]]]],
        publish: Callable[[int], Awaitable[None]],
    ) -> None:
        self._leader = leader
        self._tenants = tenants
        self._read = read_in_process
        self._publish = publish
        super().__init__(clock, INTERVAL, self.renew_all, _report)

    async def renew_all(self) -> None:
        """Read the contacts of all outdated accounts anew, if this gateway syncs."""
        for account_id, tenant in await self._leader.store.read(outdated_accounts):
            if tenant in self._tenants and self._leader.is_leader:
                await self._renew(account_id, tenant)

    async def _renew(self, account_id: int, tenant: str) -> None:
        store, region = self._leader.store, self._tenants[tenant].region
        changed, after, is_free = False, BEFORE_ALL, True
        while is_free and (stored := await store.read(read_outdated, account_id, after, _BATCH)):
            read = await self._read(read_all_anew, [outdated.contact for outdated in stored], region)
            renewed = [(outdated, *anew) for outdated, anew in zip(stored, read, strict=True)]
            is_renewed = await store.run(renew, account_id, renewed)
            is_free, changed = is_renewed is not None, is_renewed or changed
            after = stored[-1].key
        if is_free:
            await store.run(set_renewed, account_id)
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


def outdated_accounts(connection: Connection) -> list[tuple[int, str]]:
    """Return the ids and the tenants of the accounts with contacts that were read by former rules.

    An account that is syncing is left for later.
    """
    is_outdated = account.c.numbers_version < stored_numbers.VERSION, account.c.syncing.is_(False)
    query = select(account.c.id, account.c.tenant).where(*is_outdated).order_by(account.c.id)
    return [(row.id, row.tenant) for row in connection.execute(query)]


def read_outdated(connection: Connection, account_id: int, after: ContactKey, limit: int) -> list[OutdatedContact]:
    """Return the next served contacts of an account.  Contacts that cannot be decoded are left to the next full sync.

    :param after: the key of the last contact that was read before, or `BEFORE_ALL` at the beginning.
    """
    key = contact.c.source, contact.c.uid
    of_photo = and_(photo.c.account_id == contact.c.account_id, photo.c.source == key[0], photo.c.uid == key[1])
    query = (
        select(
            *key,
            *(contact.c[name] for name in ("source_id", "content", "digest", "flaws")),
            func.coalesce(photo.c.url, "").label("url"),
        )
        .select_from(contact.outerjoin(photo, of_photo))
        .where(contact.c.account_id == account_id, contact.c.content.is_not(None))
        .order_by(*key)
        .limit(limit)
    )
    found: list[OutdatedContact] = []
    # For the caller, an empty list means that no contact follows.  So the loop passes over rows that cannot be decoded.
    while not found and (rows := connection.execute(query.where(tuple_(*key) > tuple_(*after))).all()):
        for row in rows:
            decoded = decode_contact(row.content, None)
            if decoded is not None:
                flaws = frozenset(map(Flaw, (row.flaws or "").split())) - {Flaw.CHARACTERS, Flaw.NUMBERS}
                found.append(
                    OutdatedContact(Source(row.source), row.uid, row.source_id, decoded, row.digest, row.url, flaws)
                )
        after = rows[-1].source, rows[-1].uid
    return found


def renew(
    connection: Connection, account_id: int, renewed: Sequence[tuple[OutdatedContact, Contact, int]]
) -> bool | None:
    """Store contacts that were read anew, unless a sync has written them meanwhile.

    During a sync nothing is stored, because a changed contact gives the account another generation, and then the sync
    would fail.

    :param renewed: for each contact, the stored contact; the same contact read anew; and the count of texts in the
        contact that contain nothing to dial.
    :returns: whether a contact has changed, or None if a sync of the account is running.
    """
    accounts.lock(connection, account_id)
    if connection.execute(select(account.c.syncing).where(account.c.id == account_id)).scalar():
        return None
    changed = False
    for source in {stored.source for stored, _, _ in renewed}:
        uids = [stored.uid for stored, _, _ in renewed if stored.source is source]
        where = contact.c.account_id == account_id, contact.c.source == source, contact.c.uid.in_(uids)
        rows = connection.execute(select(contact.c.uid, contact.c.digest).where(*where))
        digests = {row.uid: row.digest for row in rows}
        records = [
            record
            for stored, read, unreadable in renewed
            if stored.source is source and digests.get(stored.uid, b"") == stored.digest
            if (record := stored.renewed(read, unreadable)).digest != stored.digest
        ]
        if records:
            apply_changes(connection, account_id, source, records, ())
            changed = True
    if changed:
        sync_state.increment_generation(connection, account_id)
    return changed


def set_renewed(connection: Connection, account_id: int) -> None:
    """Record that all contacts of an account are read by the current rules."""
    where = account.c.id == account_id
    connection.execute(update(account).where(where).values(numbers_version=stored_numbers.VERSION))
