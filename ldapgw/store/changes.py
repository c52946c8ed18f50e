# SPDX-License-Identifier: MIT
"""What has changed in the database since an earlier read: accounts and phones, with their current rows.

Triggers mark whatever is written, in the same transaction: the table ``change`` has the last change of each account and
phone, and its number grows with each change.  A look therefore takes time for what has changed, however many accounts
there are.  How the numbers are compared depends on the engine (`ldapgw.store.database.Database.position`).
"""

from __future__ import annotations

import os
import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sqlalchemy import (
    ColumnElement,
    Connection,
    String,
    Table,
    and_,
    bindparam,
    cast,
    delete,
    func,
    insert,
    select,
    true,
    update,
)

from ldapgw.errors import StoreError
from ldapgw.store import accounts, phones
from ldapgw.store.accounts import Account
from ldapgw.store.database import chunks, database_of
from ldapgw.store.phones import PhoneLogin
from ldapgw.store.tables import account, change, phone

_EPOCH = "epoch"
_HISTORY = "history"
_TABLES = "tables"
# How far a skipped generation is above the highest one that is known: more syncs than may have been lost ...
GENERATION_MARGIN = 100_000
# ... and up to how much more, by chance: else a copy that comes back twice would have the same generations twice, and a
# gateway that was down in between would take its cached books for the present ones.
GENERATION_SPREAD = 900_000
# How far the server's clock may have been set back by who replaced its files.
CLOCK_MARGIN_SECONDS = 5.0
# How long the mark of a removed phone is kept where other gateways may not have read it yet.
KEPT_SECONDS = 86400.0


@dataclass(frozen=True, slots=True)
class Cursor:
    """Up to where changes were read.

    :ivar identity: of the database; another one after it was replaced by another database.
    :ivar next: the number from which changes were not read yet.
    :ivar at: the time of the look, in seconds since the epoch, where marks are kept for a limited time; else 0.
    :ivar epoch: another one after a backup was restored into the same file, whose numbers are of an earlier time.
    :ivar tables: another value after the tables were replaced by those of a dump.
    :ivar started: when the server has started, in seconds since the epoch; 0: the engine has no server.
    """

    identity: object
    next: int
    epoch: str | None = None
    at: float = 0.0
    tables: str = ""
    started: float = 0.0


@dataclass(frozen=True, slots=True)
class Changes:
    """The accounts and phones that have changed since a cursor.

    :ivar cursor: where the next look begins; None: with all.
    :ivar is_whole: whether all accounts and phones are here; what is not here does not exist then.
    :ivar accounts: by id; None: the account does not exist any more.  Contacts are not counted.
    :ivar phones: by name; None: the phone does not exist any more.
    :ivar lost_since: the time, by the server's clock, after which the database may have lost commits that somebody has
        read (`begin_history`); 0: at any time; None: it has lost none.
    """

    cursor: Cursor | None
    is_whole: bool
    accounts: Mapping[int, Account | None] = field(default_factory=dict)
    phones: Mapping[str, PhoneLogin | None] = field(default_factory=dict)
    lost_since: float | None = None


def read_since(connection: Connection, cursor: Cursor | None, tenants: Collection[str] | None = None) -> Changes:
    """Read the accounts and phones that have changed.

    :param cursor: of the last look; None: read all.  After the database was replaced all are read too.
    :param tenants: the tenants whose accounts and phones count as all; None: all tenants.
    :raises StoreError: when the database was replaced by one that holds nothing yet.
    """
    position = database_of(connection).position(connection)
    epoch = _read_mark(connection, _EPOCH)
    now = Cursor(position.identity, position.next, epoch, position.at, position.tables, position.started)
    if cursor is None or not _continues(cursor, now):
        if cursor is not None and cursor.tables != now.tables and not epoch and not _read_mark(connection, _HISTORY):
            raise StoreError(f"{database_of(connection).name}: is empty, and was not before; restore a backup")
        return Changes(
            now,
            is_whole=True,
            accounts={one.id: one for one in accounts.read_some(connection, _is_of(account, tenants))},
            phones={one.name: one for one in phones.read_some(connection, _is_of(phone, tenants))},
            lost_since=_lost_since(connection, cursor, now, position.history) if position.history else None,
        )
    # Asked for one kind, SQLite would go through all marks of that kind.
    marks = connection.execute(select(change.c.kind, change.c.key).where(change.c.number >= cursor.next)).all()
    changed_accounts: dict[int, Account | None] = {int(key): None for kind, key in marks if kind == "account"}
    changed_phones: dict[str, PhoneLogin | None] = {key: None for kind, key in marks if kind == "phone"}
    for ids in chunks(list(changed_accounts)):
        changed_accounts |= {one.id: one for one in accounts.read_some(connection, account.c.id.in_(ids))}
    for names in chunks(list(changed_phones)):
        changed_phones |= {one.name: one for one in phones.read_some(connection, phone.c.name.in_(names))}
    return Changes(now, is_whole=False, accounts=changed_accounts, phones=changed_phones)


def _is_of(table: Table, tenants: Collection[str] | None) -> ColumnElement[bool]:
    return true() if tenants is None else table.c.tenant.in_(tenants)


def _continues(cursor: Cursor, now: Cursor) -> bool:
    """Whether the marks tell all that has changed between two looks."""
    is_same = (cursor.identity, cursor.epoch, cursor.tables) == (now.identity, now.epoch, now.tables)
    return is_same and cursor.next <= now.next and now.at - cursor.at < KEPT_SECONDS / 2


def _lost_since(connection: Connection, cursor: Cursor | None, now: Cursor, history: str) -> float | None:
    """Since when commits that were read, here or by another gateway, may not be in the database any more; 0: ever.

    A standby that takes over has another line of history; a server whose files were replaced by a copy has the same one
    and lower numbers; tables of a dump that was restored are others.
    """
    stored, tables = _read_mark(connection, _HISTORY), _read_mark(connection, _TABLES)
    if stored is not None and stored != history:
        return 0.0
    is_of_dump = tables is not None and tables != now.tables
    if cursor is None:
        return 0.0 if is_of_dump else None
    if is_of_dump or (cursor.tables != now.tables and cursor.epoch == now.epoch):
        # The clock has gone on: what the server marks since it uses these tables has a later time than the last look.
        return cursor.at if cursor.identity == now.identity else 0.0
    if cursor.epoch != now.epoch or now.next >= cursor.next:
        return None
    # The same, but what it marked after it started with other files says nothing.
    return min(cursor.at, now.started) - CLOCK_MARGIN_SECONDS


def note_history(connection: Connection) -> None:
    """Store the server's line of history and which tables there are, if none are stored yet."""
    position = database_of(connection).position(connection)
    for kind, key in ((_HISTORY, position.history), (_TABLES, position.tables)):
        if key and _read_mark(connection, kind) is None:
            connection.execute(insert(change).values(kind=kind, key=key, number=0))


def begin_history(connection: Connection, found: Cursor | None, lost_since: float = 0.0) -> None:
    """Have nothing count any more that was built from commits which the database may have lost; as after a restore.

    Each account gets a generation that nobody has seen, and its changes until then are unknown, so that every gateway
    builds the account's book anew; except that who serves the generation of an account that has not changed since the
    loss goes on with it.  Whoever comes second changes nothing.

    :param found: the cursor of the look that has found it.
    :param lost_since: see `Changes.lost_since`.
    """
    if found is None or _read_mark(connection, _EPOCH) != found.epoch:
        return
    # One statement, so that no sync changes the generation of an account that counts as unchanged.
    marked = and_(change.c.kind == "account", change.c.key == cast(account.c.id, String))
    query = select(account.c.id, account.c.generation).join(change, marked).where(change.c.marked_at <= lost_since)
    kept = {row.id: row.generation for row in connection.execute(query)}
    skip_generations(connection, kept=kept)
    connection.execute(delete(change).where(change.c.kind.in_((_HISTORY, _TABLES))))
    note_history(connection)
    begin_epoch(connection)


def skip_generations(connection: Connection, latest: int = 0, kept: Mapping[int, int] | None = None) -> None:
    """Give all accounts a generation above all that may have been published, with unknown changes until then.

    :param latest: the highest generation that is known to have been published elsewhere.
    :param kept: the generations, by account id, since which all changes are known unless the account has a newer one.
    """
    present = connection.execute(select(func.coalesce(func.max(account.c.generation), 0))).scalar_one()
    skipped = max(latest, present) + GENERATION_MARGIN + random.randrange(GENERATION_SPREAD)  # noqa: S311  no secret
    if kept:
        same = and_(account.c.id == bindparam("of_account"), account.c.generation == bindparam("since"))
        known = update(account).where(same).values(syncing=False, generation=skipped, known_since=bindparam("since"))
        connection.execute(known, [{"of_account": one, "since": since} for one, since in kept.items()])
    others = update(account).where(account.c.generation < skipped)
    connection.execute(others.values(syncing=False, generation=skipped, known_since=skipped))


def _read_mark(connection: Connection, kind: str) -> str | None:
    """The key of the only mark of a kind."""
    found: str | None = connection.execute(select(change.c.key).where(change.c.kind == kind)).scalar_one_or_none()
    return found


def begin_epoch(connection: Connection) -> None:
    """Have every look read all once, after the database's content was replaced."""
    connection.execute(delete(change).where(change.c.kind == _EPOCH))
    connection.execute(insert(change).values(kind=_EPOCH, key=os.urandom(8).hex(), number=0))


def forget_removed(connection: Connection) -> None:
    """Delete the marks of phones that do not exist any more, at the gateway's start; the last number stays.

    Where there may be other gateways, a mark stays until they have read it.
    """
    last = select(func.max(change.c.number)).scalar_subquery()
    removed = change.c.key.not_in(select(phone.c.name))
    now = database_of(connection).position(connection).at
    read = func.coalesce(change.c.marked_at, -KEPT_SECONDS) <= now - KEPT_SECONDS
    connection.execute(delete(change).where(change.c.kind == "phone", removed, change.c.number < last, read))
