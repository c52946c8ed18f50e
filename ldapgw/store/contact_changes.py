# SPDX-License-Identifier: MIT
"""Which contacts of an account have changed since a generation, so that a book can be updated by these changes only."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, func, or_, select, update

from ldapgw.contact import Contact, Source
from ldapgw.store.contacts import WRITTEN_AT_ONCE, decode_contact, read_labels_of, select_with_photos
from ldapgw.store.database import chunks
from ldapgw.store.generations import KEPT_GENERATIONS, MAX_REMOVED, record_removed
from ldapgw.store.tables import account, contact, removed_contact


@dataclass(frozen=True, slots=True, repr=False)
class Delta:
    """The changes of an account's contacts since a generation, and all labels of the account.

    :ivar changed: new and changed contacts.
    :ivar removed: source and uid of persons who are not served any more, and maybe never were.
    :ivar labels: the names of the labels by resource name.
    """

    changed: list[Contact] = field(default_factory=list)
    removed: dict[tuple[Source, str], None] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


def read(connection: Connection, since: Mapping[int, tuple[int, int]]) -> dict[int, Delta]:
    """Read the changes of accounts' contacts.

    :param since: by account id, a generation of the account and how many new and changed contacts are wanted at most.
    :returns: without the accounts of which the changes are unknown, or more than wanted: the caller has to read all of
        their contacts.
    """
    of_accounts = account.c.id.in_(since)
    known = {
        row.id: since[row.id][0]
        for row in connection.execute(
            select(account.c.id, account.c.generation, account.c.known_since).where(of_accounts)
        )
        if row.known_since <= since[row.id][0] <= row.generation
        # A restore has skipped generations, and knows the changes since one of the former generations alone.
        and (since[row.id][0] == row.known_since or row.generation - since[row.id][0] <= KEPT_GENERATIONS)
    }
    if known:
        count = select(contact.c.account_id, func.count()).where(_written_since(contact, known))
        for account_id, written in connection.execute(count.group_by(contact.c.account_id)):
            if written > since[account_id][1]:
                del known[account_id]
    if not known:
        return {}
    labels = read_labels_of(connection, known)
    deltas = {account_id: Delta(labels=labels[account_id]) for account_id in known}
    for row in connection.execute(select(removed_contact).where(_written_since(removed_contact, known))):
        deltas[row.account_id].removed[Source(row.source), row.uid] = None
    columns = contact.c.account_id, contact.c.source, contact.c.uid, contact.c.content
    query = select_with_photos(connection, list(known), *columns).where(_written_since(contact, known))
    damaged = set()
    for row in connection.execute(query):
        delta, key = deltas[row.account_id], (Source(row.source), row.uid)
        decoded = decode_contact(row.content, row.jpeg)
        if decoded is not None:
            delta.changed.append(decoded)
            delta.removed.pop(key, None)
        elif row.content is None:
            delta.removed[key] = None
        else:
            damaged.add(row.account_id)
    return {account_id: delta for account_id, delta in deltas.items() if account_id not in damaged}


def _written_since(table: Table, since: Mapping[int, int]) -> ColumnElement[bool]:
    """The rows of accounts that were written after a generation of the account."""
    return or_(*(and_(table.c.account_id == one, table.c.generation > after) for one, after in since.items()))


def note_restored(
    connection: Connection,
    known_since: Mapping[int, int],
    changed: Mapping[int, Collection[tuple[Source, str]]],
    removed: Mapping[int, Collection[tuple[Source, str]]],
) -> None:
    """Have books of the generations before a restore revised by what it has changed.

    :param known_since: those generations by account id.
    :param changed: by account id, source and uid of new and changed persons.
    :param removed: the same of persons who are gone.
    """
    present = connection.execute(select(account.c.id, account.c.generation)).all()
    for account_id, generation in present:
        if account_id not in known_since:
            continue
        for of in Source:
            where = contact.c.account_id == account_id, contact.c.source == of
            for uids in chunks([uid for one, uid in changed[account_id] if one is of], WRITTEN_AT_ONCE):
                connection.execute(update(contact).where(*where, contact.c.uid.in_(uids)).values(generation=generation))
            gone = [uid for one, uid in removed[account_id] if one is of]
            if gone:
                record_removed(connection, account_id, of, gone, generation)
    many = [account_id for account_id in known_since if len(removed[account_id]) > MAX_REMOVED]
    known = update(account).where(account.c.id == bindparam("of_account")).values(known_since=bindparam("since"))
    rows = [{"of_account": one, "since": since} for one, since in known_since.items() if one not in many]
    if rows:
        connection.execute(known, rows)
