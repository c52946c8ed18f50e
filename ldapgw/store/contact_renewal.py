# SPDX-License-Identifier: MIT
"""Stored contacts whose telephone numbers were read by former rules, to be read anew without asking Google."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, and_, func, select, tuple_, update

from ldapgw.contact import Contact, Flaw, Source
from ldapgw.numbers import stored_numbers
from ldapgw.store import accounts, sync_state
from ldapgw.store.contacts import ContactRecord, apply_changes, decode_contact
from ldapgw.store.tables import account, contact, photo

# A contact's source and uid: the key of its row within the account.
ContactKey = tuple[str, str]
BEFORE_ALL: ContactKey = ("", "")


@dataclass(frozen=True, slots=True)
class OutdatedContact:
    """A stored contact to be read anew.

    :ivar digest: of the row; None if unknown.
    :ivar photo_url: the address of the contact's photo; empty: there is none.
    :ivar flaws: those that the stored contact does not show.
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
        """The key of the contact's row."""
        return self.source.value, self.uid


def outdated_accounts(connection: Connection) -> list[tuple[int, str]]:
    """Return the ids and the tenants of the accounts with contacts that were read by former rules.

    An account that is syncing is left for later.
    """
    is_outdated = account.c.numbers_version < stored_numbers.VERSION, account.c.syncing.is_(False)
    query = select(account.c.id, account.c.tenant).where(*is_outdated).order_by(account.c.id)
    return [(row.id, row.tenant) for row in connection.execute(query)]


def read_outdated(connection: Connection, account_id: int, after: ContactKey, limit: int) -> list[OutdatedContact]:
    """Return the next served contacts of an account.  Contacts that cannot be decoded are left to the next full sync.

    :param after: the key of the last contact that was read before; `BEFORE_ALL` at the beginning.
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
        .where(contact.c.account_id == account_id, contact.c.content.is_not(None), tuple_(*key) > tuple_(*after))
        .order_by(*key)
        .limit(limit)
    )
    return [
        OutdatedContact(
            Source(row.source), row.uid, row.source_id, decoded, row.digest, row.url, _flaws_at_google(row.flaws)
        )
        for row in connection.execute(query)
        if (decoded := decode_contact(row.content, None)) is not None
    ]


def renew(connection: Connection, account_id: int, renewed: Sequence[tuple[OutdatedContact, Contact, int]]) -> bool:
    """Store contacts that were read anew, unless a sync has written them meanwhile.

    :param renewed: the stored contacts, with what was read, and the number of texts without anything to dial.
    :returns: whether a contact has changed.
    """
    accounts.lock(connection, account_id)
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
            if (record := _record(stored, read, unreadable)).digest != stored.digest
        ]
        if records:
            apply_changes(connection, account_id, source, records, ())
            changed = True
    if changed:
        sync_state.increment_generation(connection, account_id)
    return changed


def _record(stored: OutdatedContact, read: Contact, unreadable: int) -> ContactRecord:
    photo_url, flaws = stored.photo_url, stored.flaws
    return ContactRecord.from_contact(stored.uid, stored.source_id, read, "", unreadable, photo_url, flaws)


def _flaws_at_google(flaws: str | None) -> frozenset[Flaw]:
    return frozenset(map(Flaw, (flaws or "").split())) - {Flaw.CHARACTERS, Flaw.NUMBERS}


def set_renewed(connection: Connection, account_id: int) -> None:
    """Record that all contacts of an account are read by today's rules."""
    where = account.c.id == account_id
    connection.execute(update(account).where(where).values(numbers_version=stored_numbers.VERSION))
