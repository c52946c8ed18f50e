# SPDX-License-Identifier: MIT
"""Reads the contacts of an account that have changed since a generation, so that a book is updated by these only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Connection, Table, and_, func, or_, select

from ldapgw.contact import Contact, Source
from ldapgw.store.contacts import KEPT_GENERATIONS, decode_contact, read_labels_of, select_with_photos
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
        if max(row.known_since, row.generation - KEPT_GENERATIONS) <= since[row.id][0] <= row.generation
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
