# SPDX-License-Identifier: MIT
"""Contacts as Google last gave them, and the sync tokens that belong to just that state.

A person that was left out has a row too, with the reason: nothing is lost silently.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from sqlalchemy import Connection, and_, delete, func, insert, select, update

from ldapgw.contact import Contact, Source
from ldapgw.store.tables import contact, label, source

# SQLite takes 32,766 parameters in a statement; PostgreSQL 65,535.
CHUNK = 500

T = TypeVar("T")

_decoder = msgspec.json.Decoder(Contact)


@dataclass(frozen=True, slots=True, repr=False)
class Record:
    """A person as stored: a contact, or the reason why it is none."""

    uid: str
    source_id: str
    contact: Contact | None
    skipped: str = ""
    unreadable: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class SyncState:
    """Where the next incremental sync of a source goes on; the token is good for requests of that fingerprint alone."""

    sync_token: str | None
    fingerprint: str
    full_sync_at: float | None


def read(connection: Connection, account_id: int) -> tuple[tuple[Contact, ...], int]:
    """All contacts of an account that are served, of all sources; and how many could not be read.

    Another version may have written those.  Their sources are due for a full sync, which writes them anew.
    """
    query = select(contact.c.source, contact.c.content).where(
        contact.c.account_id == account_id, contact.c.content.is_not(None)
    )
    found: list[Contact] = []
    damaged: Counter[str] = Counter()
    for row in connection.execute(query):
        one = _decoded(row.content)
        if one is None:
            damaged[row.source] += 1
        else:
            found.append(one)
    if damaged:
        where = and_(source.c.account_id == account_id, source.c.source.in_(damaged))
        connection.execute(update(source).where(where).values(sync_token=None))
    return tuple(found), damaged.total()


def served_by(connection: Connection, of: Source) -> dict[int, int]:
    """How many contacts of a source each account has, by account; those that have none are left out."""
    query = select(contact.c.account_id, func.count().label("served")).group_by(contact.c.account_id)
    rows = connection.execute(query.where(contact.c.source == of, contact.c.content.is_not(None)))
    return {row.account_id: row.served for row in rows}


def records(
    connection: Connection,
    account_id: int,
    of: Source,
    persons: tuple[Collection[str], Collection[str]] | None = None,
) -> dict[str, Record]:
    """What is stored of one source, by uid; those left out too.

    :param persons: the uids and the source ids of those that are asked for; None: all.
    """
    query = select(contact).where(contact.c.account_id == account_id, contact.c.source == of)
    queries = [query]
    if persons is not None:
        columns = zip((contact.c.uid, contact.c.source_id), persons, strict=True)
        queries = [query.where(column.in_(part)) for column, keys in columns for part in _chunks(sorted(keys))]
    return {
        row.uid: Record(
            row.uid,
            row.source_id,
            _decoded(row.content),
            row.skipped or "",
            row.unreadable,
        )
        for asked in queries
        for row in connection.execute(asked)
    }


def sync_states(connection: Connection, account_id: int) -> dict[Source, SyncState]:
    """The sync state of each source that was ever synced."""
    query = select(source).where(source.c.account_id == account_id)
    return {
        Source(row.source): SyncState(row.sync_token, row.fingerprint, row.full_sync_at)
        for row in connection.execute(query)
    }


def apply(connection: Connection, account_id: int, of: Source, stored: Iterable[Record], gone: Iterable[str]) -> None:
    """Store what was added or changed, and delete what is gone.

    :param gone: uids.
    """
    new = list(stored)
    for uids in _chunks([*gone, *(record.uid for record in new)]):
        connection.execute(
            delete(contact).where(contact.c.account_id == account_id, contact.c.source == of, contact.c.uid.in_(uids))
        )
    for part in _chunks(new):
        connection.execute(insert(contact), [_row(account_id, of, record) for record in part])


def set_sync_state(connection: Connection, account_id: int, of: Source, state: SyncState) -> None:
    """Store a sync token; to be done in the transaction that stores what came with it.

    The row of the source is there already (`ldapgw.store.accounts.set_sources`).
    """
    connection.execute(
        update(source)
        .where(and_(source.c.account_id == account_id, source.c.source == of))
        .values(sync_token=state.sync_token, fingerprint=state.fingerprint, full_sync_at=state.full_sync_at)
    )


def forget_source(connection: Connection, account_id: int, of: Source) -> bool:
    """Delete the contacts of a source that is no longer to be had; whether there were any."""
    gone = delete(contact).where(contact.c.account_id == account_id, contact.c.source == of)
    return connection.execute(gone).rowcount > 0


def read_labels(connection: Connection, account_id: int) -> dict[str, str]:
    """The account's labels: resource name to name."""
    rows = connection.execute(select(label.c.resource_name, label.c.name).where(label.c.account_id == account_id))
    return {row.resource_name: row.name for row in rows}


def set_labels(connection: Connection, account_id: int, labels: Mapping[str, str]) -> None:
    """Replace the account's labels."""
    connection.execute(delete(label).where(label.c.account_id == account_id))
    rows = [{"account_id": account_id, "resource_name": key, "name": name} for key, name in labels.items()]
    if rows:
        connection.execute(insert(label), rows)


def _row(account_id: int, of: Source, record: Record) -> dict[str, object]:
    return {
        "account_id": account_id,
        "source": of,
        "uid": record.uid,
        "source_id": record.source_id,
        "content": msgspec.json.encode(record.contact) if record.contact else None,
        "skipped": record.skipped or None,
        "numbers": len(record.contact.phones) if record.contact else 0,
        "unreadable": record.unreadable,
    }


def _decoded(content: bytes | None) -> Contact | None:
    """A contact; None where none is stored, or what is stored cannot be read."""
    try:
        return _decoder.decode(content) if content is not None else None
    except msgspec.DecodeError:
        return None


def _chunks(items: Sequence[T]) -> Iterable[Sequence[T]]:
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))
