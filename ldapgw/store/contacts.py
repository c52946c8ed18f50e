# SPDX-License-Identifier: MIT
"""Stored contacts of the last sync, and the labels of their account.

A person is *served* if phones can find the person as a contact; other persons are *skipped*.  A skipped person has a
row too, with the reason, so that no person is lost silently.

Rows are written with the next generation of the account, and the same transaction increments the account's generation
(`ldapgw.store.sync_state.increment_generation`).  So `ldapgw.store.changes` can find the changes since the generation
of a book.  The column ``known_since`` has the generation since which all changes are recorded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    null,
    or_,
    select,
    update,
)

from ldapgw.contact import OTHER_CONTACT_PREFIX, Contact, Flaw, Source
from ldapgw.errors import DamagedStore
from ldapgw.store import photos
from ldapgw.store.contact_record import LEFT_OUT_BY_LABEL, ContactRecord
from ldapgw.store.database import CHUNK, chunks, database_of, keeping_alive
from ldapgw.store.tables import account, contact, label, photo, removed_contact, source

# The largest number of records in one statement.  PostgreSQL has no statistics yet of the rows that a first sync has
# just written, and may scan the whole account for each statement that deletes persons.  So a few large statements take
# less time than many small statements.
WRITTEN_AT_ONCE = 5000

# The number of generations for which removed persons are recorded.  A book in memory is a generation or two behind its
# account, and a cached book for the next start is a few more generations behind.
KEPT_GENERATIONS = 64
# If a sync removes more persons than this, the persons are not recorded, and books are built anew.
MAX_REMOVED = 1000

# The columns from which the account's counters are computed.
_COUNTED = contact.c.skipped, contact.c.numbers, contact.c.unreadable, contact.c.flaws

_decoder = msgspec.json.Decoder(Contact)


class RecordSummary(msgspec.Struct, frozen=True, gc=False):
    """The columns of a stored person that a sync plan compares with a listing.

    :ivar is_served: whether the person is served as a contact, not skipped.
    :ivar missed_at: when the person was first missing in a full sync's listing that had fewer persons than Google
        counted, in seconds since the epoch; None if the person is not missing.
    """

    source_id: str
    digest: bytes | None
    is_served: bool
    missed_at: float | None = None


@dataclass(frozen=True, slots=True, repr=False)
class StoredContacts:
    """The contacts and labels of an account that phones can find.

    :ivar contacts: the served contacts of all sources.
    :ivar damaged: by source, the number of contacts that cannot be decoded, for example because another version of
        ldapgw has written them (see `fetch_anew`).
    :ivar labels: the names of the account's labels by resource name.
    """

    contacts: list[Contact] = field(default_factory=list)
    damaged: Counter[str] = field(default_factory=Counter)
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, repr=False)
class FlawedPerson:
    """A person whose contact on phones lacks some values of Google's person.

    :ivar name: the name of the contact or of its organization, or empty if there is no name.
    :ivar numbers: the texts of numbers that the gateway did not understand.
    """

    uid: str
    name: str
    flaws: tuple[Flaw, ...]
    numbers: tuple[str, ...] = ()


def read(connection: Connection, account_ids: Sequence[int]) -> list[StoredContacts]:
    """Read the contacts and labels of accounts, in the order of the ids."""
    labels = read_labels_of(connection, account_ids)
    found = {account_id: StoredContacts(labels=labels[account_id]) for account_id in account_ids}
    query = select_with_photos(connection, account_ids, contact.c.account_id, contact.c.source, contact.c.content)
    for row in connection.execute(query.where(contact.c.content.is_not(None))):
        stored, decoded = found[row.account_id], decode_contact(row.content, row.jpeg)
        if decoded is None:
            stored.damaged[row.source] += 1
        else:
            stored.contacts.append(decoded)
    return list(found.values())


def fetch_anew(connection: Connection, account_id: int, sources: Collection[str]) -> None:
    """Make the next syncs of some sources full syncs that write all contacts anew."""
    where = and_(source.c.account_id == account_id, source.c.source.in_(sources))
    connection.execute(update(source).where(where).values(sync_token=None))
    where = and_(contact.c.account_id == account_id, contact.c.source.in_(sources))
    connection.execute(update(contact).where(where).values(digest=None))


def iterate(connection: Connection, account_id: int) -> Iterator[Contact]:
    """Iterate over the served contacts of an account from all sources.

    :raises DamagedStore: when a contact cannot be decoded.
    """
    query = select_with_photos(connection, [account_id], contact.c.content).where(contact.c.content.is_not(None))
    with connection.execute(query, execution_options={"yield_per": CHUNK}) as rows:
        for row in rows:
            decoded = decode_contact(row.content, row.jpeg)
            if decoded is None:
                raise DamagedStore("a stored contact cannot be read")
            yield decoded


def read_persons(
    connection: Connection, tenant: str, persons: Collection[tuple[str, str]], in_directory: Collection[str] = ()
) -> dict[tuple[str, str], Contact]:
    """Read some served contacts of a tenant, without their photos.

    :param persons: pairs of an account's sub and the uid of one of the account's own persons.
    :param in_directory: uids of persons of the Workspace directory.
    :returns: the contacts by sub and uid; the sub of persons of the directory is empty.
    """
    found: dict[tuple[str, str], Contact] = {}
    own_sources = contact.c.source.in_([source for source in Source if source is not Source.DIRECTORY])
    own = own_sources, account.c.sub.in_({sub for sub, _ in persons})
    uids = {uid for _, uid in persons}
    parts: list[tuple[Collection[str], Sequence[ColumnElement[bool]]]] = [(uids, own)] if persons else []
    if in_directory:
        keepers = select(account.c.id).where(account.c.tenant == tenant, has_source(Source.DIRECTORY))
        parts.append((in_directory, (contact.c.source == Source.DIRECTORY, contact.c.account_id.in_(keepers))))
    for wanted, where in parts:
        query = select(account.c.sub, contact.c.source, contact.c.uid, contact.c.content).select_from(
            account.join(contact, contact.c.account_id == account.c.id)
        )
        query = query.where(account.c.tenant == tenant, contact.c.uid.in_(wanted), *where)
        for row in connection.execute(query.where(contact.c.content.is_not(None))):
            key = ("" if row.source == Source.DIRECTORY else row.sub, row.uid)
            decoded = decode_contact(row.content, None)
            if decoded is not None and (not key[0] or key in persons):
                found[key] = decoded
    return found


def read_flawed(connection: Connection, account_id: int, most: int) -> list[FlawedPerson]:
    """Read the persons of an account that have flaws.

    :param most: the largest number of persons to read.
    """
    query = select(contact.c.uid, contact.c.content, contact.c.flaws).order_by(contact.c.source, contact.c.uid)
    of_account = contact.c.account_id == account_id, contact.c.flaws.is_not(None)
    found = []
    for row in connection.execute(query.where(*of_account).limit(most)):
        decoded = decode_contact(row.content, None)
        name = decoded.name or decoded.organization if decoded else ""
        numbers = decoded.numbers_not_understood if decoded else ()
        known = row.flaws.split()
        found.append(FlawedPerson(row.uid, name, tuple(flaw for flaw in Flaw if flaw in known), numbers))
    return found


def accounts_with_source(connection: Connection, of: Source, among: Collection[int] | None = None) -> frozenset[int]:
    """Return the ids of the accounts to which served contacts of a source belong.

    :param among: the ids of the accounts to check, or None for all accounts.
    """
    query = select(account.c.id).where(has_source(of))
    queries = [query] if among is None else [query.where(account.c.id.in_(ids)) for ids in chunks(among)]
    return frozenset(found for each in queries for found in connection.execute(each).scalars())


def has_source(of: Source) -> ColumnElement[bool]:
    """Return an SQL condition on rows of the table ``account``: the account has served contacts of a source."""
    return exists().where(contact.c.account_id == account.c.id, contact.c.source == of, contact.c.content.is_not(None))


def count_served(connection: Connection, account_id: int, of: Collection[Source]) -> int:
    is_served = contact.c.account_id == account_id, contact.c.source.in_(of), contact.c.content.is_not(None)
    total: int = connection.execute(select(func.count()).where(*is_served)).scalar_one()
    return total


def read_summaries(
    connection: Connection, account_id: int, of: Source, persons: tuple[Collection[str], Collection[str]] | None = None
) -> dict[str, RecordSummary]:
    """Read the summaries of the persons of a source, served or skipped, by uid.

    :param persons: the uids and the source ids of the persons to read, or None for all persons.
    """
    is_served = contact.c.content.is_not(None).label("served")
    columns = contact.c.uid, contact.c.source_id, contact.c.digest, is_served, contact.c.missed_at
    query = select(*columns).where(contact.c.account_id == account_id, contact.c.source == of)
    queries = [query]
    if persons is not None:
        keys = zip((contact.c.uid, contact.c.source_id), persons, strict=True)
        queries = [query.where(column.in_(chunk)) for column, values in keys for chunk in chunks(sorted(values))]
    return {
        row.uid: RecordSummary(row.source_id, row.digest, bool(row.served), row.missed_at)
        for query in queries
        for row in keeping_alive(connection, connection.execute(query))
    }


def apply_changes(
    connection: Connection, account_id: int, of: Source, stored: Iterable[ContactRecord], deleted: Iterable[str]
) -> None:
    """Store new and changed persons of a source, and delete removed persons.

    :param stored: the records of new and changed persons.
    :param deleted: the uids of persons to delete.
    """
    generation = _next_generation(connection, account_id)
    deleted_uids = list(deleted)
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    for uids in chunks(deleted_uids, WRITTEN_AT_ONCE):
        before += _delete(connection, account_id, of, uids)
        photos.delete_persons(connection, account_id, of, uids)
    may_be_stored = bool(connection.execute(_HAS_ANY, {"account_id": account_id, "source": of}).scalar())
    database = database_of(connection)
    for chunk in chunks(stored, WRITTEN_AT_ONCE):
        if may_be_stored:
            before += _delete(connection, account_id, of, [record.uid for record in chunk])
        rows = [_row(account_id, of, record, generation) for record in chunk]
        database.insert_rows(connection, contact, _WRITTEN_COLUMNS, rows)
        photos.set_urls(connection, account_id, of, {record.uid: record.photo_url for record in chunk})
        after += _count(chunk)
    _update_counters(connection, account_id, before, after)
    _record_removed(connection, account_id, of, deleted_uids, generation)


def _next_generation(connection: Connection, account_id: int) -> int:
    query = select(account.c.generation + 1).where(account.c.id == account_id)
    generation: int = connection.execute(query).scalar_one()
    return generation


def _record_removed(connection: Connection, account_id: int, of: Source, uids: Sequence[str], generation: int) -> None:
    """Record removed persons for `KEPT_GENERATIONS`, so that books can be updated without reading all contacts."""
    if len(uids) > MAX_REMOVED:
        _forget_changes(connection, account_id, generation)
        return
    columns = removed_contact.c
    for chunk in chunks(uids):
        former = delete(removed_contact).where(columns.account_id == account_id, columns.source == of)
        connection.execute(former.where(columns.uid.in_(chunk)))
        rows = [{"account_id": account_id, "source": of, "uid": uid, "generation": generation} for uid in chunk]
        connection.execute(insert(removed_contact), rows)
    kept_since = generation - KEPT_GENERATIONS
    connection.execute(
        delete(removed_contact).where(columns.account_id == account_id, columns.generation <= kept_since)
    )


def _forget_changes(connection: Connection, account_id: int, generation: int) -> None:
    """Delete the records of removed persons, and note in ``known_since`` that earlier changes are not recorded.

    A book of an earlier generation can then not be updated, and is built anew from all contacts.
    """
    connection.execute(delete(removed_contact).where(removed_contact.c.account_id == account_id))
    connection.execute(update(account).where(account.c.id == account_id).values(known_since=generation))


def mark_missing(connection: Connection, account_id: int, of: Source, uids: Sequence[str], now: float) -> None:
    """Record that an incomplete listing lacks persons, until the persons are stored anew."""
    for chunk in chunks(uids):
        where = and_(contact.c.account_id == account_id, contact.c.source == of, contact.c.uid.in_(chunk))
        connection.execute(update(contact).where(where).values(missed_at=now))


def delete_duplicates(connection: Connection, account_id: int) -> bool:
    """Delete the "other contacts" of persons who have become contacts.

    Google does not always report that such persons have left the "other contacts".  The person's entry in the "other
    contacts" is deleted even if the new contact is left out because of its labels, so that phones do not find the
    person.

    :returns: whether an "other contact" was deleted.
    """
    original, other = contact.alias(), contact.c
    is_same = or_(
        original.c.uid == func.substr(other.uid, len(OTHER_CONTACT_PREFIX) + 1),
        original.c.source_id == func.nullif(other.source_id, ""),
    )
    is_duplicate = exists().where(
        original.c.account_id == account_id,
        original.c.source == Source.CONTACTS,
        or_(original.c.content.is_not(None), original.c.skipped.in_(LEFT_OUT_BY_LABEL)),
        is_same,
    )
    query = select(other.uid).where(other.account_id == account_id, other.source == Source.OTHER_CONTACTS, is_duplicate)
    uids = connection.execute(query).scalars().all()
    if uids:
        apply_changes(connection, account_id, Source.OTHER_CONTACTS, (), uids)
    return bool(uids)


_DELETE_SOURCES = (
    delete(contact)
    .where(contact.c.account_id == bindparam("account_id"), contact.c.source.in_(bindparam("sources", expanding=True)))
    .returning(*_COUNTED)
)


def delete_sources(connection: Connection, account_id: int, of: Collection[Source]) -> int | None:
    """Delete all persons of some sources.

    :returns: the number of deleted persons that were served as contacts, or None if no persons were stored.
    """
    deleted = connection.execute(_DELETE_SOURCES, {"account_id": account_id, "sources": list(of)}).all()
    if deleted:
        photos.delete_sources(connection, account_id, of)
        counts = _count(deleted)
        _update_counters(connection, account_id, counts, Counter())
        _forget_changes(connection, account_id, _next_generation(connection, account_id))
        return counts["contacts"]
    return None


_LABELS = select(label.c.account_id, label.c.resource_name, label.c.name).where(
    label.c.account_id.in_(bindparam("account_ids", expanding=True))
)


def read_labels(connection: Connection, account_id: int) -> dict[str, str]:
    """Read the names of an account's labels, by resource name."""
    return read_labels_of(connection, [account_id])[account_id]


def read_labels_of(connection: Connection, account_ids: Iterable[int]) -> dict[int, dict[str, str]]:
    """Read the names of accounts' labels, by account id and resource name."""
    labels: dict[int, dict[str, str]] = {account_id: {} for account_id in account_ids}
    for row in connection.execute(_LABELS, {"account_ids": list(labels)}):
        labels[row.account_id][row.resource_name] = row.name
    return labels


def set_labels(connection: Connection, account_id: int, labels: Mapping[str, str]) -> None:
    connection.execute(delete(label).where(label.c.account_id == account_id))
    rows = [{"account_id": account_id, "resource_name": key, "name": name} for key, name in labels.items()]
    if rows:
        connection.execute(insert(label), rows)


def hand_over(connection: Connection, old: int, new: int, of: Source) -> None:
    """Move the contacts of a source to another account, whose next sync of the source then is a full sync.

    The row of the new account's source has to exist.
    """
    former = delete(contact).where(contact.c.account_id == new, contact.c.source == of)
    replaced = _count(connection.execute(former.returning(*_COUNTED)))
    move = update(contact).where(contact.c.account_id == old, contact.c.source == of).values(account_id=new)
    moved = _count(connection.execute(move.returning(*_COUNTED)))
    photos.hand_over(connection, old, new, of)
    _update_counters(connection, old, moved, Counter())
    _update_counters(connection, new, replaced, moved)
    stale = and_(source.c.account_id.in_((old, new)), source.c.source == of)
    connection.execute(update(source).where(stale).values(sync_token=None, warnings=None))
    for account_id in (old, new):
        generation = _next_generation(connection, account_id)
        _forget_changes(connection, account_id, generation)
        connection.execute(update(account).where(account.c.id == account_id).values(generation=generation))


_HAS_ANY = select(
    exists().where(contact.c.account_id == bindparam("account_id"), contact.c.source == bindparam("source"))
)


def _delete(connection: Connection, account_id: int, of: Source, uids: Sequence[str]) -> Counter[str]:
    """Delete persons, and return the counts of the persons who were stored (`_count`)."""
    where = (contact.c.account_id == account_id, contact.c.source == of, contact.c.uid.in_(uids))
    return _count(connection.execute(delete(contact).where(*where).returning(*_COUNTED)))


_COUNTERS = select(account.c.contacts, account.c.numbers, account.c.skipped).where(
    account.c.id == bindparam("account_id")
)


def _count(persons: Iterable[Any]) -> Counter[str]:
    """Count the contacts, their telephone numbers, unreadable numbers, flawed persons, and skipped persons by reason.

    :param persons: records, or rows of the columns `_COUNTED`.
    """
    counts: Counter[str] = Counter()
    for person in persons:
        if person.skipped:
            counts[person.skipped] += 1
        else:
            counts["contacts"] += 1
            counts["numbers"] += person.numbers
            counts["unreadable_number"] += person.unreadable
        counts["flawed"] += bool(person.flaws)
    return counts


def _update_counters(connection: Connection, account_id: int, before: Counter[str], after: Counter[str]) -> None:
    """Update the account's counters.

    :param before: the counts of persons who were deleted or replaced.
    :param after: the counts of persons who were stored.
    """
    if before == after:
        return
    row = connection.execute(_COUNTERS, {"account_id": account_id}).one()
    counts = Counter(row.skipped)
    counts.update({"contacts": row.contacts or 0, "numbers": row.numbers or 0})
    counts.subtract(before)
    counts.update(after)
    contacts, numbers = counts.pop("contacts"), counts.pop("numbers")
    skipped = dict(sorted((+counts).items())) or None
    values = {"contacts": contacts or None, "numbers": numbers or None, "skipped": skipped}
    connection.execute(update(account).where(account.c.id == account_id).values(values))


# The columns of the rows that `_row` makes, in the same order.
_WRITTEN_COLUMNS = (
    *("account_id", "source", "generation", "uid", "source_id", "content", "skipped", "numbers", "unreadable"),
    *("digest", "flaws"),
)


def _row(account_id: int, of: Source, record: ContactRecord, generation: int) -> tuple[object, ...]:
    return (
        *(account_id, of, generation, record.uid, record.source_id, record.content, record.skipped or None),
        *(record.numbers, record.unreadable, record.digest, record.flaws or None),
    )


def select_with_photos(connection: Connection, account_ids: Sequence[int], *columns: Column[Any]) -> Select[Any]:
    """Return a query of the persons of accounts, with their photos in the column ``jpeg``."""
    of_accounts = contact.c.account_id.in_(account_ids)
    if not photos.has_any(connection, *account_ids):
        return select(*columns, null().label("jpeg")).where(of_accounts)
    keys = ((contact.c[name], photo.c[name]) for name in ("account_id", "source", "uid"))
    is_same = and_(*(left == right for left, right in keys))
    return select(*columns, photo.c.jpeg).select_from(contact.outerjoin(photo, is_same)).where(of_accounts)


def decode_contact(content: bytes | None, jpeg: bytes | None) -> Contact | None:
    """Decode a contact; return None if the person is skipped or the content cannot be decoded."""
    try:
        decoded = _decoder.decode(content) if content is not None else None
    except ValueError:  # msgspec raises `UnicodeDecodeError` if the octets are not UTF-8
        return None
    return replace(decoded, photo=jpeg) if decoded is not None and jpeg else decoded
