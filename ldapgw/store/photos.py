# SPDX-License-Identifier: MIT
"""Stored photos of contacts: their addresses at Google, and the scaled pictures for phones.

A sync writes a contact's row of the table ``photo`` in the same transaction as the contact, and the picture is fetched
later.  Until a changed photo is fetched, the former picture stays.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, and_, bindparam, delete, exists, func, insert, or_, select, update

from ldapgw.contact import Source
from ldapgw.store.tables import account, contact, photo, value_of

# The largest number of photos of an account; further contacts get no photo.
MOST_PHOTOS = 10_000
# The longest wait between two attempts to fetch a photo, in seconds.
LONGEST_WAIT = 7 * 86400.0


@dataclass(frozen=True, slots=True)
class DuePhoto:
    """A photo that is to be fetched, a row of the table ``photo``."""

    account_id: int
    tenant: str
    source: Source
    uid: str = field(repr=False)
    url: str = field(repr=False)
    failures: int = 0

    @property
    def key(self) -> Mapping[str, object]:
        """Return the parameters with which a statement finds this photo's row, unless the photo has changed."""
        return {"of_account": self.account_id, "of_source": self.source, "of_uid": self.uid, "of_url": self.url}


_OF_PERSON = and_(
    photo.c.account_id == bindparam("of_account"),
    photo.c.source == bindparam("of_source"),
    photo.c.uid == bindparam("of_uid"),
)
_OF_PHOTO = and_(_OF_PERSON, photo.c.url == bindparam("of_url"))
_COUNT = select(func.count()).where(photo.c.account_id == bindparam("account_id"))
_HAS_ANY = select(exists().where(photo.c.account_id.in_(bindparam("account_ids", expanding=True))))


def has_any(connection: Connection, *account_ids: int) -> bool:
    """Return whether any contact of some accounts has a photo.  Most accounts have no photos."""
    return bool(connection.execute(_HAS_ANY, {"account_ids": account_ids}).scalar())


def set_urls(connection: Connection, account_id: int, of: Source, urls: Mapping[str, str]) -> None:
    """Store the addresses of persons' photos, so that photos with new addresses are fetched.

    :param urls: the addresses by uid; the address of a person without a photo is empty.
    """
    if not any(urls.values()) and not has_any(connection, account_id):
        return
    where = photo.c.account_id == account_id, photo.c.source == of, photo.c.uid.in_(urls)
    known = {row.uid: row.url for row in connection.execute(select(photo.c.uid, photo.c.url).where(*where))}
    person = {"of_account": account_id, "of_source": of}
    gone = [{**person, "of_uid": uid} for uid in known if not urls[uid]]
    new = [
        {"account_id": account_id, "source": of, "uid": uid, "url": url, "due_at": 0.0}
        for uid, url in urls.items()
        if url and uid not in known
    ]
    changed = [
        {**person, "of_uid": uid, "new_url": url} for uid, url in urls.items() if url and known.get(uid, url) != url
    ]
    if gone:
        connection.execute(delete(photo).where(_OF_PERSON), gone)
    if new:
        stored: int = connection.execute(_COUNT, {"account_id": account_id}).scalar_one()
        del new[max(MOST_PHOTOS - stored, 0) :]
    if new:
        connection.execute(insert(photo), new)
    if changed:
        values = {"url": bindparam("new_url"), "due_at": 0.0, "failures": 0}
        connection.execute(update(photo).where(_OF_PERSON).values(values), changed)


def delete_persons(connection: Connection, account_id: int, of: Source, uids: Sequence[str]) -> None:
    """Delete the photos of deleted persons."""
    connection.execute(
        delete(photo).where(photo.c.account_id == account_id, photo.c.source == of, photo.c.uid.in_(uids))
    )


def delete_sources(connection: Connection, account_id: int, of: Collection[Source]) -> None:
    connection.execute(delete(photo).where(photo.c.account_id == account_id, photo.c.source.in_(of)))


def hand_over(connection: Connection, old: int, new: int, of: Source) -> None:
    delete_sources(connection, new, [of])
    connection.execute(update(photo).where(photo.c.account_id == old, photo.c.source == of).values(account_id=new))


def read_due(connection: Connection, tenants: Collection[str], now: float, limit: int) -> Sequence[DuePhoto]:
    """Read photos to fetch for connected accounts of some tenants, the photo that has waited longest first.

    Accounts with a running sync are left out, because their photos cannot be stored during the sync.
    """
    query = (
        select(photo.c.account_id, account.c.tenant, photo.c.source, photo.c.uid, photo.c.url, photo.c.failures)
        .join(account, account.c.id == photo.c.account_id)
        # A time beyond the longest wait was computed while the clock was ahead.
        .where(or_(photo.c.due_at <= now, photo.c.due_at > now + LONGEST_WAIT))
        .where(account.c.tenant.in_(tenants), account.c.connected_at.is_not(None))
        .where(~account.c.syncing)
        .order_by(photo.c.due_at)
        .limit(limit)
    )
    return [value_of(DuePhoto, row) for row in connection.execute(query)]


def store(connection: Connection, account_id: int, fetched: Iterable[tuple[DuePhoto, bytes]]) -> bool:
    """Store fetched photos of an account; a photo that has changed meanwhile is fetched again later.

    :param fetched: photos with their pictures, or with empty octets if there is no picture at the address.
    :returns: False if a sync of the account is running or the account is disconnected; nothing is stored then.
    """
    is_free = account.c.id == account_id, account.c.connected_at.is_not(None), ~account.c.syncing
    generation = connection.execute(select(account.c.generation + 1).where(*is_free).with_for_update()).scalar()
    if generation is None:
        return False
    statement = update(photo).where(_OF_PHOTO).values(jpeg=bindparam("picture"), due_at=None, failures=0)
    rows = [{**due.key, "picture": jpeg or None} for due, jpeg in fetched]
    connection.execute(statement, rows)
    # The contacts get the new generation too, like contacts that a sync has changed.
    changed = update(contact).where(
        contact.c.account_id == bindparam("of_account"),
        contact.c.source == bindparam("of_source"),
        contact.c.uid == bindparam("of_uid"),
    )
    keys = [{name: row[name] for name in ("of_account", "of_source", "of_uid")} for row in rows]
    connection.execute(changed.values(generation=generation), keys)
    connection.execute(update(account).where(account.c.id == account_id).values(generation=generation))
    return True


def postpone(connection: Connection, due: DuePhoto, due_at: float) -> None:
    """Count a failed attempt to fetch a photo, and store the time of the next attempt."""
    values = {"due_at": due_at, "failures": due.failures + 1}
    connection.execute(update(photo).where(_OF_PHOTO).values(values), due.key)
