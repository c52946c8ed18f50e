# SPDX-License-Identifier: MIT
"""The activity log: who did what to accounts, phones and settings, when and from where.

An entry names accounts by their addresses and phones by their names.  No entry contains names or numbers of contacts,
searches, passwords or tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Connection, Row, Select, delete, func, insert, or_, select

from ldapgw.store.account_status import timestamp
from ldapgw.store.database import ascii_lower
from ldapgw.store.tables import activity, columns_of, value_of

P = ParamSpec("P")
T = TypeVar("T")

_PERSONS = (activity.c.actor, activity.c.subject, activity.c.detail)

# The number of entries on a page.
PAGE_SIZE = 50

# The columns of the exported log.
COLUMNS: Final = ("time", "tenant", "actor", "act", "subject", "detail", "address")


class Act(StrEnum):
    """The codes of actions, as they are stored and exported."""

    CONNECTED = "connected"
    RECONNECTED = "reconnected"
    DISCONNECTED = "disconnected"
    ACCOUNT_REMOVED = "account_removed"
    LEAVER_FOUND = "leaver_found"
    LEAVER_BACK = "leaver_back"
    LEAVER_KEPT = "leaver_kept"
    LEAVER_NOT_KEPT = "leaver_not_kept"
    LEAVER_REMOVED = "leaver_removed"
    LEAVERS_HELD = "leavers_held"
    LEAVER_APPROVED = "leaver_approved"
    SYNC_REQUESTED = "sync_requested"
    SHRINK_ACCEPTED = "shrink_accepted"
    SHARING_CHANGED = "sharing_changed"
    SOURCE_SWITCHED_ON = "source_switched_on"
    SOURCE_SWITCHED_OFF = "source_switched_off"
    PHONE_ADDED = "phone_added"
    PHONE_REMOVED = "phone_removed"
    PHONE_PASSWORD = "phone_password"  # noqa: S105  a code, not a password
    PHONE_RENAMED = "phone_renamed"
    PHONE_MODEL = "phone_model"
    PHONE_MOVED = "phone_moved"
    PHONE_NUMBER_FORMAT = "phone_number_format"
    PHONE_MAC = "phone_mac"
    PHONE_LABEL = "phone_label"
    PHONES_IMPORTED = "phones_imported"
    FILE_REPLACED = "file_replaced"
    STEP_REPORTS_REMOVED = "step_reports_removed"
    REPLICA_ADDED = "replica_added"
    REPLICA_REMOVED = "replica_removed"
    REPLICA_PASSWORD = "replica_password"  # noqa: S105  a code, not a password
    BOOK_ADDRESS_MADE = "book_address_made"
    BOOK_ADDRESS_ENDED = "book_address_ended"
    RECORDING_BEGUN = "recording_begun"
    RECORDING_ENDED = "recording_ended"
    RECORDING_DELETED = "recording_deleted"
    RECORDING_DOWNLOADED = "recording_downloaded"
    PROVISIONING_MADE = "provisioning_made"
    PROVISIONING_ENDED = "provisioning_ended"
    PROVISIONING_FETCHED = "provisioning_fetched"
    WINDOW_OPENED = "window_opened"
    WINDOW_CLOSED = "window_closed"
    CLIENT_ENTERED = "client_entered"
    DELEGATION_ENTERED = "delegation_entered"
    DELEGATION_REMOVED = "delegation_removed"
    ADMIN_LINK_MADE = "admin_link_made"
    ADMIN_LINK_USED = "admin_link_used"
    SIGNED_IN = "signed_in"
    BACKUP_RESTORED = "backup_restored"
    KEY_ROTATED = "key_rotated"


@dataclass(frozen=True, slots=True)
class Actor:
    """The person, phone or program that does something.

    :ivar name: e-mail address of a signed-in person, or one of the names below.
    :ivar address: IP address of the person's browser or of the phone; empty for a program.
    """

    name: str
    address: str = ""

    def __repr__(self) -> str:
        """Omit the person, whom a log must not contain."""
        return "<Actor>"


ADMIN_LINK = "admin link"
COMMAND_LINE = Actor("command line")
GATEWAY = Actor("gateway")


@dataclass(frozen=True, slots=True)
class ActivityEntry:
    """An entry of the activity log, a row of the table ``activity``.

    :ivar act: the code of an `Act`, perhaps of another version of ldapgw.
    """

    when: float
    tenant: str
    actor: str
    act: str
    subject: str = ""
    detail: str = ""
    address: str = ""

    def __repr__(self) -> str:
        """Omit persons, whom a log must not contain."""
        return f"<ActivityEntry {self.act} of {self.tenant}>"


def entry(now: float, tenant: str, actor: Actor, act: Act, subject: str = "", detail: str = "") -> ActivityEntry:
    """Make an entry for something that an actor does now."""
    return ActivityEntry(now, tenant, actor.name, act.value, subject, detail, actor.address)


def record(connection: Connection, *entries: ActivityEntry) -> None:
    """Store entries, in the same transaction as the changes that the entries describe."""
    if entries:
        connection.execute(insert(activity), [_columns(entry) for entry in entries])


def recorded(
    connection: Connection,
    new: ActivityEntry,
    function: Callable[Concatenate[Connection, P], T],
    /,
    *args: P.args,
    **kw: P.kwargs,
) -> T:
    """Call ``function(connection, …)``, and store an entry unless the function returns False, which means no change.

    A page calls, for example, ``store.run(activity.recorded, entry, phones.remove, name)``.
    """
    result = function(connection, *args, **kw)
    if result is not False:
        record(connection, new)
    return result


@dataclass(frozen=True, slots=True)
class ActivityPage:
    """A page of a tenant's log.

    :ivar total: the number of entries on all pages.
    :ivar number: the number of this page, counted from 1.
    :ivar pages: the number of pages, at least 1.
    """

    entries: tuple[ActivityEntry, ...]
    total: int
    number: int
    pages: int


def read_page(
    connection: Connection, tenant: str, *, act: str = "", person: str = "", number: int = 1, oldest_first: bool = False
) -> ActivityPage:
    """Read a page of a tenant's log.

    :param act: the code of an act, or empty for all acts.
    :param person: a text that the actor, the subject or the detail contains, regardless of case; empty for all entries.
    :param number: the page, counted from 1; if there is no such page, the nearest page is read.
    """
    found = _filtered(select(activity), tenant, act, person)
    total = connection.execute(_filtered(select(func.count()).select_from(activity), tenant, act, person)).scalar_one()
    pages = max((total + PAGE_SIZE - 1) // PAGE_SIZE, 1)
    number = min(max(number, 1), pages)
    order = (activity.c.at, activity.c.id) if oldest_first else (activity.c.at.desc(), activity.c.id.desc())
    rows = connection.execute(found.order_by(*order).offset((number - 1) * PAGE_SIZE).limit(PAGE_SIZE))
    return ActivityPage(tuple(map(_entry, rows)), total, number, pages)


def count_acts(connection: Connection, tenant: str) -> dict[str, int]:
    """Return the number of entries for each code of an act in a tenant's log."""
    acts = select(activity.c.act, func.count()).where(activity.c.tenant == tenant)
    return dict(connection.execute(acts.group_by(activity.c.act).order_by(activity.c.act)).all())


def count_since(connection: Connection, tenant: str, act: Act, since: float) -> int:
    """Count the entries of an act of a tenant since a time, in seconds since the epoch."""
    of_act = activity.c.tenant == tenant, activity.c.at >= since, activity.c.act == act
    count: int = connection.execute(select(func.count()).select_from(activity).where(*of_act)).scalar_one()
    return count


def read_since(connection: Connection, tenant: str | None, since: float) -> tuple[ActivityEntry, ...]:
    """Read all entries since a time, the oldest first.

    :param tenant: the tenant of the entries, or None for all tenants.
    """
    found = select(activity).where(activity.c.at >= since).order_by(activity.c.at, activity.c.id)
    rows = connection.execute(found if tenant is None else found.where(activity.c.tenant == tenant))
    return tuple(map(_entry, rows))


def table(entries: Iterable[ActivityEntry]) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the exported log: the names of the `COLUMNS`, and then the values of each entry."""
    yield COLUMNS
    for entry in entries:
        time = timestamp(entry.when) or ""
        yield time, entry.tenant, entry.actor, entry.act, entry.subject, entry.detail, entry.address


def prune(connection: Connection, now: float, keep: Mapping[str, float]) -> None:
    """Delete old entries.

    :param keep: the age in seconds at which entries are deleted, by tenant; entries of other tenants stay.
    """
    for tenant, seconds in keep.items():
        connection.execute(delete(activity).where(activity.c.tenant == tenant, activity.c.at < now - seconds))


def _filtered(query: Select[Any], tenant: str, act: str, person: str) -> Select[Any]:
    found = query.where(activity.c.tenant == tenant)
    if act:
        found = found.where(activity.c.act == act)
    if person:
        names = (func.lower(column).contains(ascii_lower(person), autoescape=True) for column in _PERSONS)
        found = found.where(or_(*names))
    return found


def _columns(entry: ActivityEntry) -> dict[str, object]:
    columns = columns_of(entry)
    return columns | {"at": columns.pop("when")}


def _entry(row: Row[Any]) -> ActivityEntry:
    return value_of(ActivityEntry, row, when=row.at)
