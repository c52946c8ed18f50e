# SPDX-License-Identifier: MIT
"""What has changed since a former look at the database: accounts and phones, with their present rows.

Triggers mark whatever is written, in the same transaction: the table ``change`` has the last change of each account and
phone, and its number grows with each change.  A look therefore takes time for what has changed, however many accounts
there are.  `read_since` is all that another database has to do in another way.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, func, insert, select

from ldapgw.store import accounts, phones
from ldapgw.store.accounts import Account
from ldapgw.store.contacts import chunks
from ldapgw.store.phones import PhoneLogin
from ldapgw.store.tables import account, change, phone

_EPOCH = "epoch"


@dataclass(frozen=True, slots=True)
class Cursor:
    """Up to where changes were read.

    :ivar file: device and inode of the database, which change when the file is replaced; None: it is in memory.
    :ivar number: of the last change.
    :ivar epoch: another one after a backup was restored into the same file, whose numbers are of an earlier time.
    """

    file: tuple[int, int] | None
    number: int
    epoch: str | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """The accounts and phones that have changed since a cursor.

    :ivar cursor: where the next look begins.
    :ivar is_whole: whether all accounts and phones are here; what is not here does not exist then.
    :ivar accounts: by id; None: the account does not exist any more.  Contacts are not counted.
    :ivar phones: by name; None: the phone does not exist any more.
    """

    cursor: Cursor
    is_whole: bool
    accounts: Mapping[int, Account | None] = field(default_factory=dict)
    phones: Mapping[str, PhoneLogin | None] = field(default_factory=dict)


def read_since(connection: Connection, cursor: Cursor | None) -> Changes:
    """Read the accounts and phones that have changed.

    :param cursor: of the last look; None: read all.  After the file was replaced all are read too.
    """
    file = _identity(connection)
    number = connection.execute(select(func.coalesce(func.max(change.c.number), 0))).scalar_one()
    epoch = connection.execute(select(change.c.key).where(change.c.kind == _EPOCH)).scalar_one_or_none()
    now = Cursor(file, number, epoch)
    if cursor is None or (cursor.file, cursor.epoch) != (file, epoch) or cursor.number > number:
        return Changes(
            now,
            is_whole=True,
            accounts={one.id: one for one in accounts.read_all(connection)},
            phones={one.name: one for one in phones.read_all(connection)},
        )
    if cursor.number == number:
        return Changes(now, is_whole=False)
    # Asked for one kind, SQLite would go through all marks of that kind.
    marks = connection.execute(select(change.c.kind, change.c.key).where(change.c.number > cursor.number)).all()
    changed_accounts: dict[int, Account | None] = {int(key): None for kind, key in marks if kind == "account"}
    changed_phones: dict[str, PhoneLogin | None] = {key: None for kind, key in marks if kind == "phone"}
    for ids in chunks(list(changed_accounts)):
        changed_accounts |= {one.id: one for one in accounts.read_some(connection, account.c.id.in_(ids))}
    for names in chunks(list(changed_phones)):
        changed_phones |= {one.name: one for one in phones.read_some(connection, phone.c.name.in_(names))}
    return Changes(now, is_whole=False, accounts=changed_accounts, phones=changed_phones)


def begin_epoch(connection: Connection) -> None:
    """Have every look read all once, after the database's content was replaced."""
    connection.execute(delete(change).where(change.c.kind == _EPOCH))
    connection.execute(insert(change).values(kind=_EPOCH, key=os.urandom(8).hex(), number=0))


def forget_removed(connection: Connection) -> None:
    """Delete the marks of phones that do not exist any more, at the gateway's start; the last number stays."""
    last = select(func.max(change.c.number)).scalar_subquery()
    removed = change.c.key.not_in(select(phone.c.name))
    connection.execute(delete(change).where(change.c.kind == "phone", removed, change.c.number < last))


def _identity(connection: Connection) -> tuple[int, int] | None:
    path = connection.engine.url.database
    if not path:
        return None
    status = os.stat(path)  # noqa: PTH116  a name that SQLAlchemy gives
    return status.st_dev, status.st_ino
