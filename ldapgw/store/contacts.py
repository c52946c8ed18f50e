# SPDX-License-Identifier: MIT
"""Contacts as Google last gave them, and the sync tokens that belong to just that state.

A person that was left out has a row too, with the reason: nothing is lost silently.

What is written belongs to the account's next generation, which its transaction ends with (`syncs.bump_generation`);
so `changes` can tell what a book that was built of an earlier one lacks.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Self, TypeVar

import msgspec
from sqlalchemy import Connection, and_, delete, exists, func, insert, or_, select, update

from ldapgw.contact import OTHER_CONTACT_PREFIX, Contact, Source
from ldapgw.errors import DamagedStore
from ldapgw.store.tables import account, contact, label, removed_contact, source

# SQLite takes 32,766 parameters in a statement; PostgreSQL 65,535.
CHUNK = 500

# Whoever follows an account is a generation or two behind, and what was written down for the next start a few more.
KEPT_GENERATIONS = 64
MAX_REMOVED = 1000

T = TypeVar("T")

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Contact)


class ContactRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A person as stored: a contact, or the reason why it is none.

    There may be 50,000 of them, in which nothing points back: the collector, which stops everything, leaves them alone.

    :ivar content: the contact as JSON; None where the person was left out.
    :ivar numbers: how many telephone numbers the contact has.
    :ivar unreadable: how many texts in the place of a number held nothing to dial.
    :ivar digest: of all but the time of Google's last change: Google changes that for what no phone is told of, too.
    """

    uid: str
    source_id: str
    content: bytes | None
    skipped: str
    numbers: int
    unreadable: int
    digest: bytes

    def __repr__(self) -> str:
        """Without the contact: a log must not hold one."""
        return f"<Record {self.uid}>"

    @classmethod
    def from_contact(
        cls, uid: str, source_id: str, contact: Contact | None, skipped: str = "", unreadable: int = 0
    ) -> Self:
        """Encode a contact, or note why there is none."""
        timeless = replace(contact, updated=0.0) if contact else None
        digest = hashlib.blake2b(_encoder.encode((source_id, timeless, skipped, unreadable)), digest_size=16).digest()
        content = _encoder.encode(contact) if contact else None
        return cls(uid, source_id, content, skipped, len(contact.phones) if contact else 0, unreadable, digest)


class RecordSummary(msgspec.Struct, frozen=True, gc=False):
    """What is needed of a stored person to see what has become of it.

    :ivar served: whether phones are told of it.
    :ivar missed_at: since when full listings that were not whole lack it; None: none does.
    """

    source_id: str
    digest: bytes | None
    is_served: bool
    missed_at: float | None = None


@dataclass(frozen=True, slots=True, repr=False)
class SyncState:
    """Where the next incremental sync of a source goes on; the token is good for requests of that fingerprint alone.

    :ivar asked_at: when Google was last asked for the source, well or not.
    :ivar next_try: where it could not be had, though the account's other sources could: not to be asked for before.
    """

    sync_token: str | None
    fingerprint: str
    full_sync_at: float | None
    asked_at: float | None = None
    next_try: float | None = None


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
        where = and_(contact.c.account_id == account_id, contact.c.source.in_(damaged))
        connection.execute(update(contact).where(where).values(digest=None))
    return tuple(found), damaged.total()


def iterate(connection: Connection, account_id: int) -> Iterator[Contact]:
    """The same, one after the other.

    :raises DamagedStore: when one cannot be read.
    """
    query = select(contact.c.content).where(contact.c.account_id == account_id, contact.c.content.is_not(None))
    for row in connection.execution_options(yield_per=CHUNK).execute(query):
        one = _decoded(row.content)
        if one is None:
            raise DamagedStore("a stored contact cannot be read")
        yield one


def count(connection: Connection, account_id: int) -> int:
    """How many persons are stored of an account."""
    found: int = connection.execute(select(func.count()).where(contact.c.account_id == account_id)).scalar_one()
    return found


def read_changes(
    connection: Connection, account_id: int, since: int, limit: int | None = None
) -> tuple[tuple[Contact, ...], tuple[tuple[Source, str], ...]] | None:
    """What has changed in an account's contacts since one of its generations.

    :param most: of the contacts that are new or different; None: however many there are.
    :returns: the contacts that are new or different, and source and uid of those that are served no more (and maybe
        never were); None: that is not known, or is more; read them all.
    """
    bounds = select(account.c.generation, account.c.known_since).where(account.c.id == account_id)
    known = connection.execute(bounds).first()
    if known is None or not known.known_since <= since <= known.generation:
        return None
    new = (contact.c.account_id == account_id, contact.c.generation > since)
    if limit is not None and connection.execute(select(func.count()).where(*new)).scalar_one() > limit:
        return None
    removed = removed_contact.c
    query = select(removed.source, removed.uid).where(removed.account_id == account_id, removed.generation > since)
    gone = {(Source(row.source), row.uid): None for row in connection.execute(query)}
    written = select(contact.c.source, contact.c.uid, contact.c.content).where(*new)
    found: list[Contact] = []
    for row in connection.execute(written):
        key = Source(row.source), row.uid
        one = _decoded(row.content)
        if one is not None:
            found.append(one)
            gone.pop(key, None)
        elif row.content is None:
            gone[key] = None
        else:
            return None
    return tuple(found), tuple(gone)


def accounts_with_source(connection: Connection, of: Source) -> frozenset[int]:
    """The accounts that have contacts of a source."""
    held = exists().where(contact.c.account_id == account.c.id, contact.c.source == of, contact.c.content.is_not(None))
    return frozenset(connection.execute(select(account.c.id).where(held)).scalars())


def count_served(connection: Connection, account_id: int, of: Collection[Source]) -> int:
    """How many contacts of some sources phones are told of."""
    held = contact.c.account_id == account_id, contact.c.source.in_(of), contact.c.content.is_not(None)
    found: int = connection.execute(select(func.count()).where(*held)).scalar_one()
    return found


def read_summaries(
    connection: Connection,
    account_id: int,
    of: Source,
    persons: tuple[Collection[str], Collection[str]] | None = None,
) -> dict[str, RecordSummary]:
    """What is stored of one source, by uid; those left out too.

    :param persons: the uids and the source ids of those that are asked for; None: all.
    """
    is_served = contact.c.content.is_not(None).label("served")
    columns = contact.c.uid, contact.c.source_id, contact.c.digest, is_served, contact.c.missed_at
    query = select(*columns).where(contact.c.account_id == account_id, contact.c.source == of)
    queries = [query]
    if persons is not None:
        keys = zip((contact.c.uid, contact.c.source_id), persons, strict=True)
        queries = [query.where(column.in_(part)) for column, wanted in keys for part in _chunks(sorted(wanted))]
    return {
        row.uid: RecordSummary(row.source_id, row.digest, bool(row.served), row.missed_at)
        for asked in queries
        for row in connection.execute(asked)
    }


def read_sync_states(connection: Connection, account_id: int) -> dict[Source, SyncState]:
    """The sync state of each source that was ever synced."""
    query = select(source).where(source.c.account_id == account_id)
    return {
        Source(row.source): SyncState(row.sync_token, row.fingerprint, row.full_sync_at, row.asked_at, row.next_try)
        for row in connection.execute(query)
    }


def apply_changes(
    connection: Connection, account_id: int, of: Source, stored: Iterable[ContactRecord], deleted: Iterable[str]
) -> None:
    """Store what was added or changed, and delete what is gone.

    :param gone: uids.
    """
    generation = _next_generation(connection, account_id)
    old = list(deleted)
    for uids in _chunks(old):
        _delete(connection, account_id, of, uids)
    new = iter(stored)
    while part := list(islice(new, CHUNK)):
        _delete(connection, account_id, of, [record.uid for record in part])
        connection.execute(insert(contact), [_row(account_id, of, record, generation) for record in part])
    _note_removed(connection, account_id, of, old, generation)


def mark_missing(connection: Connection, account_id: int, of: Source, uids: Sequence[str], now: float) -> None:
    """Note who was not in a listing that was not whole; whoever is stored anew was heard of again."""
    for part in _chunks(uids):
        where = and_(contact.c.account_id == account_id, contact.c.source == of, contact.c.uid.in_(part))
        connection.execute(update(contact).where(where).values(missed_at=now))


def delete_duplicates(connection: Connection, account_id: int) -> bool:
    """Delete the "other contacts" that have become contacts; whether there were any.

    Google does not always tell that they are no other contacts any more.
    """
    twin, other = contact.alias(), contact.c
    same = or_(
        twin.c.uid == func.substr(other.uid, len(OTHER_CONTACT_PREFIX) + 1),
        twin.c.source_id == func.nullif(other.source_id, ""),
    )
    doubled = exists().where(
        twin.c.account_id == account_id, twin.c.source == Source.CONTACTS, twin.c.content.is_not(None), same
    )
    query = select(other.uid).where(other.account_id == account_id, other.source == Source.OTHER_CONTACTS, doubled)
    uids = connection.execute(query).scalars().all()
    if uids:
        apply_changes(connection, account_id, Source.OTHER_CONTACTS, (), uids)
    return bool(uids)


def set_sync_state(connection: Connection, account_id: int, of: Source, state: SyncState) -> None:
    """Store a sync token; to be done in the transaction that stores what came with it.

    The row of the source is there already (`ldapgw.store.sync_state.set_sources`).
    """
    connection.execute(
        update(source)
        .where(and_(source.c.account_id == account_id, source.c.source == of))
        .values(
            sync_token=state.sync_token,
            fingerprint=state.fingerprint,
            full_sync_at=state.full_sync_at,
            asked_at=state.asked_at,
        )
    )


def set_asked_at(connection: Connection, account_id: int, sources: Collection[Source], now: float) -> None:
    """Note that Google was asked for sources; their rows are there already."""
    where = and_(source.c.account_id == account_id, source.c.source.in_(sources))
    connection.execute(update(source).where(where).values(asked_at=now))


def delete_source(connection: Connection, account_id: int, of: Source) -> bool:
    """Delete the contacts of a source that is no longer to be had; whether there were any."""
    gone = delete(contact).where(contact.c.account_id == account_id, contact.c.source == of)
    was_there = connection.execute(gone).rowcount > 0
    if was_there:
        _forget_changes(connection, account_id, _next_generation(connection, account_id))
    return was_there


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


def hand_over(connection: Connection, old: int, new: int, of: Source) -> None:
    """Give the contacts of a source to another account, which is to bring them up to date by a full sync of its own.

    The row of the new account's source is there already.
    """
    where = and_(contact.c.account_id == old, contact.c.source == of)
    connection.execute(delete(contact).where(contact.c.account_id == new, contact.c.source == of))
    connection.execute(update(contact).where(where).values(account_id=new))
    stale = and_(source.c.account_id.in_((old, new)), source.c.source == of)
    connection.execute(update(source).where(stale).values(sync_token=None))
    for account_id in (old, new):
        generation = _next_generation(connection, account_id)
        _forget_changes(connection, account_id, generation)
        connection.execute(update(account).where(account.c.id == account_id).values(generation=generation))


def _delete(connection: Connection, account_id: int, of: Source, uids: Sequence[str]) -> None:
    where = (contact.c.account_id == account_id, contact.c.source == of, contact.c.uid.in_(uids))
    connection.execute(delete(contact).where(*where))


def _next_generation(connection: Connection, account_id: int) -> int:
    query = select(account.c.generation + 1).where(account.c.id == account_id)
    generation: int = connection.execute(query).scalar_one()
    return generation


def _note_removed(connection: Connection, account_id: int, of: Source, uids: Sequence[str], generation: int) -> None:
    """Remember for a while who was removed."""
    if len(uids) > MAX_REMOVED:
        _forget_changes(connection, account_id, generation)
        return
    removed = removed_contact.c
    for part in _chunks(uids):
        again = delete(removed_contact).where(removed.account_id == account_id, removed.source == of)
        connection.execute(again.where(removed.uid.in_(part)))
        rows = [{"account_id": account_id, "source": of, "uid": uid, "generation": generation} for uid in part]
        connection.execute(insert(removed_contact), rows)
    kept_since = generation - KEPT_GENERATIONS
    connection.execute(
        delete(removed_contact).where(removed.account_id == account_id, removed.generation <= kept_since)
    )
    connection.execute(
        update(account)
        .where(account.c.id == account_id, account.c.known_since < kept_since)
        .values(known_since=kept_since)
    )


def _forget_changes(connection: Connection, account_id: int, generation: int) -> None:
    """So much has gone that whoever is behind a generation has to read all."""
    connection.execute(delete(removed_contact).where(removed_contact.c.account_id == account_id))
    connection.execute(update(account).where(account.c.id == account_id).values(known_since=generation))


def _row(account_id: int, of: Source, record: ContactRecord, generation: int) -> dict[str, object]:
    return {
        "account_id": account_id,
        "source": of,
        "uid": record.uid,
        "source_id": record.source_id,
        "content": record.content,
        "skipped": record.skipped or None,
        "numbers": record.numbers,
        "unreadable": record.unreadable,
        "digest": record.digest,
        "generation": generation,
    }


def _decoded(content: bytes | None) -> Contact | None:
    """A contact; None where none is stored, or what is stored cannot be read."""
    try:
        return _decoder.decode(content) if content is not None else None
    except msgspec.DecodeError:
        return None


def _chunks(items: Sequence[T]) -> Iterable[Sequence[T]]:
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))
