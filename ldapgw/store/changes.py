# SPDX-License-Identifier: MIT
"""Marks the accounts and phones that change, and reads the accounts and phones that have changed since an earlier read.

Triggers mark each changed account and phone in the transaction of the change (`sqlite_triggers`,
`postgresql_triggers`); the triggers of PostgreSQL also notify the gateways.  A mark is a row of
the table ``change``, with the number of the last change of the account or phone; later changes have higher numbers.  So
the time of a read depends on the number of changes, not on the number of accounts.  The comparison of numbers depends
on the engine (`ldapgw.store.database.Database.position`).

The changed contacts of an account are found by the account's generations (`read_deltas`), so that the update of a book
reads only these contacts.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, delete, func, insert, or_, select, true

from ldapgw.contact import Contact, Source
from ldapgw.errors import StoreError
from ldapgw.store import accounts, phones
from ldapgw.store.accounts import Account
from ldapgw.store.contacts import KEPT_GENERATIONS, decode_contact, read_labels_of, select_with_photos
from ldapgw.store.database import chunks, database_of
from ldapgw.store.phones import PhoneLogin
from ldapgw.store.tables import EPOCH, account, change, contact, google_group, phone, removed_contact

# The time for which PostgreSQL keeps the mark of a removed phone, so that other gateways can read the mark.
KEPT_SECONDS = 86400.0

# The channels of the triggers' notifications, and of the gateways' bulletins (`ldapgw.peers.bulletin`).
CHANGES_CHANNEL: Final = "ldapgw"
BULLETIN_CHANNEL: Final = "ldapgw_bulletin"

# Changes of a phone's last bind and search are not marked, because no gateway has to read these changes.
_PHONE_COLUMNS = (
    "name",
    "tenant",
    "account_id",
    "numbers",
    "model",
    "password",
    "next_password",
    "book_secret",
    "number_format",
    "area_code",
)
# Each item is a table, the kind of its marks, the column with the key of a mark, and the columns whose changes are
# marked (empty for all columns).
_MARKED = (
    ("account", "account", "id", ()),
    ("source", "account", "account_id", ("state",)),
    ("phone", "phone", "name", _PHONE_COLUMNS),
    ("further_account", "phone", "phone", ()),
)
# When a row of one of these tables is inserted, deleted or updated, a trigger marks all accounts of the row's tenant as
# changed, because the change may affect all these accounts.  The value says which updates fire the trigger, in the
# syntax of CREATE TRIGGER.
_MARKING_TENANT = {"oauth_client": "UPDATE", "delegation": "UPDATE", "google_group": "UPDATE OF members"}
# PostgreSQL notifies the gateways when one of these tables changes.  The tables in `_MARKED` are not listed, because
# their triggers write into the table "change".
_TOLD = ("change", "recording", "recording_part", "alarm", *_MARKING_TENANT, "sync_progress")

_SQLITE_NUMBER = "(SELECT coalesce(max(number), 0) + 1 FROM change)"
_SQLITE_TRIGGER = """
CREATE TRIGGER {name} AFTER {event} ON {table} BEGIN
    INSERT INTO change (kind, key, number)
    {marks}
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number;
END
"""

_UPSERT = """
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number, marked_at = excluded.marked_at
    WHERE change.number <> excluded.number;
"""
_VALUES = "pg_current_xact_id()::text::bigint, extract(epoch FROM clock_timestamp())"
_MARK = """
CREATE OR REPLACE FUNCTION ldapgw_mark_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND (TG_OP = 'DELETE' OR OLD.{key} IS DISTINCT FROM NEW.{key}) THEN
        INSERT INTO change (kind, key, number, marked_at) VALUES ('{kind}', OLD.{key}::text, {values}) {upsert}
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO change (kind, key, number, marked_at) VALUES ('{kind}', NEW.{key}::text, {values}) {upsert}
    END IF;
    RETURN NULL;
END $$
"""
_MARK_TENANT = """
CREATE OR REPLACE FUNCTION ldapgw_mark_tenant() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO change (kind, key, number, marked_at)
    SELECT 'account', id::text, {values} FROM account
    WHERE tenant = CASE TG_OP WHEN 'DELETE' THEN OLD.tenant ELSE NEW.tenant END ORDER BY id {upsert}
    RETURN NULL;
END $$
"""
_TELL = f"""
CREATE OR REPLACE FUNCTION ldapgw_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('{CHANGES_CHANNEL}', '');
    RETURN NULL;
END $$
"""


class History(NamedTuple):
    """The sequence of commits to which generations and numbers of changes refer.

    In another history the same generation of an account may have other contacts.

    :ivar epoch: a random text that `ldapgw restore` replaces, or empty if no gateway has used the tables yet.
    :ivar identity: see `ldapgw.store.database.Position`.
    """

    epoch: str
    identity: str


# The history of a state that was not read from the database.
NO_HISTORY = History("", "")


@dataclass(frozen=True, slots=True)
class Cursor:
    """The position in the database up to which changes were read.

    :ivar history: the sequence of commits to which the numbers refer.
    :ivar next: the number of the first change that may not have been read yet.
    :ivar at, started: see `ldapgw.store.database.Position`.
    """

    history: History
    next: int
    at: float = 0.0
    started: float = 0.0


@dataclass(frozen=True, slots=True)
class Changes:
    """The accounts and phones that have changed since a cursor.

    :ivar cursor: the position at which the next read begins, or None if the next read reads everything.
    :ivar is_whole: whether everything was read, so that accounts and phones which are missing here do not exist.
    :ivar accounts: the accounts by id, or None for an account that no longer exists.
    :ivar phones: the phones by name, or None for a phone that no longer exists.
    :ivar google_groups: the Google Groups of each tenant; the key of a group is its address, and the value has the
        group's members.  The field is None if no account has changed, because each change of a group marks all accounts
        of the tenant as changed.
    :ivar has_gone_back: whether the database lacks commits that were read before, although its `History` (epoch and
        identity) is the same.
    """

    cursor: Cursor | None
    is_whole: bool
    accounts: Mapping[int, Account | None] = field(default_factory=dict)
    phones: Mapping[str, PhoneLogin | None] = field(default_factory=dict)
    google_groups: Mapping[str, Mapping[str, frozenset[str]]] | None = None
    has_gone_back: bool = False


# These statements are built once, because the gateway executes the statements every second, and SQLAlchemy needs longer
# to build a statement than to execute it.  `_MARKS` has no condition on the kind: with a condition, SQLite would scan
# all marks of the kind instead of using the index of numbers.
_MARKS = select(change.c.kind, change.c.key).where(change.c.number >= bindparam("next")).order_by(change.c.number)
_EPOCH = select(change.c.key).where(change.c.kind == EPOCH)
_GOOGLE_GROUPS = select(google_group.c.tenant, google_group.c.address, google_group.c.members)


def read_since(connection: Connection, cursor: Cursor | None, tenants: Collection[str] | None = None) -> Changes:
    """Read the accounts and phones that have changed.

    :param cursor: the cursor of the last read, or None to read everything.  Everything is also read in four other
        cases: the database was replaced, its server has restarted, the numbers of changes have gone back, or the last
        read was long ago.
    :param tenants: the tenants whose accounts and phones are read if everything is read, or None for all tenants.
    :raises StoreError: if the database was replaced by tables that no gateway has used yet.  ``ldapgw restore`` creates
        the tables of a new database on a server, and fills the tables in a later transaction.
    """
    position = database_of(connection).position(connection)
    history = History(_read_epoch(connection), position.identity)
    now = Cursor(history, position.next, position.at, position.started)
    if cursor is None or not _continues(cursor, now):
        if cursor is not None and cursor.history.identity != position.identity and not history.epoch:
            raise StoreError(f"{database_of(connection).name}: is empty, but was not empty before; restore a backup")
        return Changes(
            now,
            is_whole=True,
            accounts={found.id: found for found in accounts.read_some(connection, _is_of(account, tenants))},
            phones={login.name: login for login in phones.read_some(connection, _is_of(phone, tenants))},
            google_groups=_read_google_groups(connection),
            has_gone_back=cursor is not None and cursor.history == history and now.next < cursor.next,
        )
    marks = connection.execute(_MARKS, {"next": cursor.next}).all()
    changed_accounts: dict[int, Account | None] = {int(key): None for kind, key in marks if kind == "account"}
    changed_phones: dict[str, PhoneLogin | None] = {key: None for kind, key in marks if kind == "phone"}
    changed_accounts |= {found.id: found for found in accounts.read_by_ids(connection, tuple(changed_accounts))}
    for names in chunks(tuple(changed_phones)):
        changed_phones |= {login.name: login for login in phones.read_some(connection, phone.c.name.in_(names))}
    google_groups = _read_google_groups(connection) if changed_accounts else None
    return Changes(now, is_whole=False, accounts=changed_accounts, phones=changed_phones, google_groups=google_groups)


def _read_google_groups(connection: Connection) -> dict[str, dict[str, frozenset[str]]]:
    found: dict[str, dict[str, frozenset[str]]] = {}
    for row in connection.execute(_GOOGLE_GROUPS):
        found.setdefault(row.tenant, {})[row.address] = frozenset(row.members)
    return found


def _is_of(table: Table, tenants: Collection[str] | None) -> ColumnElement[bool]:
    return true() if tenants is None else table.c.tenant.in_(tenants)


def _continues(cursor: Cursor, now: Cursor) -> bool:
    """Return whether the marks (the rows of the table "change") show all changes between two reads.

    After a restart of the server, the marks do not show all changes, because a crash may lose commits if
    `synchronous_commit` is off.
    """
    is_same = (cursor.history, cursor.started) == (now.history, now.started)
    return is_same and cursor.next <= now.next and now.at - cursor.at < KEPT_SECONDS / 2


def _read_epoch(connection: Connection) -> str:
    return connection.execute(_EPOCH).scalar() or ""


def begin_epoch(connection: Connection, former: str | None = None) -> None:
    """Begin a new epoch, so that all gateways read everything and build all books anew.

    :param former: a new epoch begins only if `former` is still the present epoch, because another gateway may have
        begun a new epoch meanwhile.  An empty text means a database without an epoch; None means that a new epoch
        always begins.
    """
    if former is None or former == _read_epoch(connection):
        connection.execute(delete(change).where(change.c.kind == EPOCH))
        connection.execute(insert(change).values(kind=EPOCH, key=os.urandom(8).hex(), number=0))


def forget_removed(connection: Connection) -> None:
    """Delete the marks of removed phones when the gateway starts.

    The mark with the highest number stays, because SQLite's triggers derive the next number from this mark.  On
    PostgreSQL, marks stay for `KEPT_SECONDS` so that other gateways can read the marks.
    """
    last = select(func.max(change.c.number)).scalar_subquery()
    removed = change.c.key.not_in(select(phone.c.name))
    now = database_of(connection).position(connection).at
    read = func.coalesce(change.c.marked_at, -KEPT_SECONDS) <= now - KEPT_SECONDS
    connection.execute(delete(change).where(change.c.kind == "phone", removed, change.c.number < last, read))


@dataclass(frozen=True, slots=True, repr=False)
class Delta:
    """The changes of an account's contacts since a generation, and all labels of the account.

    :ivar changed: new and changed contacts.
    :ivar removed: the source and uid of persons who were deleted or are skipped.  A skipped person may never have had a
        contact on phones.
    :ivar labels: the names of the labels by resource name.
    """

    changed: list[Contact] = field(default_factory=list)
    removed: dict[tuple[Source, str], None] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


def read_deltas(connection: Connection, since: Mapping[int, tuple[int, int]]) -> dict[int, Delta]:
    """Read the changes of accounts' contacts.

    :param since: for the id of each account, two numbers: the generation of the account since which changes are read,
        and the maximum number of new and changed contacts to read.
    :returns: the changes of each account.  An account is missing if its changes are unknown, are too many or cannot be
        decoded.  The caller has to read all contacts of a missing account.
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
    """Return the SQL condition that a row was written after the given generation of its account."""
    conditions = (
        and_(table.c.account_id == account_id, table.c.generation > after) for account_id, after in since.items()
    )
    return or_(*conditions)


def postgresql_triggers() -> Iterator[str]:
    """Yield the statements that let a PostgreSQL database mark and notify changes."""
    for table, kind, key, columns in _MARKED:
        yield _MARK.format(table=table, kind=kind, key=key, values=_VALUES, upsert=_UPSERT)
        yield from _trigger(f"ldapgw_mark_{table}", table, "AFTER INSERT OR DELETE", "ROW", f"ldapgw_mark_{table}")
        old, new = (
            ", ".join(f"{row}.{column}" for column in columns) if columns else f"{row}.*" for row in ("OLD", "NEW")
        )
        when = f"({old}) IS DISTINCT FROM ({new})" if len(columns) > 1 else f"{old} IS DISTINCT FROM {new}"
        yield from _trigger(
            f"ldapgw_mark_{table}_update", table, "AFTER UPDATE", "ROW", f"ldapgw_mark_{table}", f"WHEN ({when})"
        )
    yield _MARK_TENANT.format(values=_VALUES, upsert=_UPSERT)
    for table, event in _MARKING_TENANT.items():
        yield from _trigger(
            "ldapgw_mark_tenant", table, f"AFTER INSERT OR {event} OR DELETE", "ROW", "ldapgw_mark_tenant"
        )
    yield _TELL
    for table in _TOLD:
        yield from _trigger("ldapgw_tell", table, "AFTER INSERT OR UPDATE OR DELETE", "STATEMENT", "ldapgw_tell")


def sqlite_triggers() -> Iterator[str]:
    """Yield the statements that let an SQLite database mark changes."""
    for table, kind, key, columns in _MARKED:
        update = f"UPDATE OF {', '.join(columns)}" if columns else "UPDATE"
        yield from _sqlite_triggers(table, update, f"VALUES ('{kind}', {{row}}.{key}, {_SQLITE_NUMBER})")
    tenant = f"SELECT 'account', id, {_SQLITE_NUMBER} FROM account WHERE tenant = {{row}}.tenant"  # noqa: S608  our names
    for table, update in _MARKING_TENANT.items():
        yield from _sqlite_triggers(table, update, tenant)


def _sqlite_triggers(table: str, update: str, marks: str) -> Iterator[str]:
    for verb, event, row in (("insert", "INSERT", "NEW"), ("update", update, "NEW"), ("delete", "DELETE", "OLD")):
        name = f"change_{table}_{verb}"
        yield f"DROP TRIGGER IF EXISTS {name}"
        yield _SQLITE_TRIGGER.format(name=name, event=event, table=table, marks=marks.format(row=row))


def _trigger(name: str, table: str, event_: str, level: str, function: str, when: str = "") -> Iterator[str]:
    yield f"DROP TRIGGER IF EXISTS {name} ON {table}"
    yield f"CREATE TRIGGER {name} {event_} ON {table} FOR EACH {level} {when} EXECUTE FUNCTION {function}()"
