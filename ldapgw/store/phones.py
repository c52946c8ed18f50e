# SPDX-License-Identifier: MIT
"""Phones: the logins that desk phones bind with.  Passwords are stored as hashes and shown once."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from ldapgw.store.tables import phone


class NumberMode(StrEnum):
    """How a phone gets several numbers of a contact: as values of one entry, or one entry a number."""

    VALUES = "values"
    ENTRIES = "entries"


# Part of a DN, of addresses and of provisioning files; dots alone would be a step in a path.
_NAME = re.compile(r"(?!\.+$)[A-Za-z0-9._-]{1,64}")


def is_valid_name(name: str) -> bool:
    """Whether a phone can be called that."""
    return _NAME.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class PhoneLogin:
    """A login.

    :ivar account_id: None: a phone for everybody, which sees the shared books alone.
    :ivar model: a word of `ldapgw.phones.models`; empty where nobody said one.
    :ivar searched_at: when it searched last, to the minute.
    :ivar search_hint: what was off with that search (`ldapgw.phones.hints.Hint`); empty: nothing.
    :ivar worked_at: when it found somebody for the first time with its password.
    """

    name: str
    tenant: str
    account_id: int | None
    numbers: NumberMode
    password: str
    created_at: float
    model: str = ""
    last_seen: float | None = None
    last_address: str | None = None
    searched_at: float | None = None
    search_hint: str = ""
    worked_at: float | None = None

    def __repr__(self) -> str:
        """Without the hash."""
        return f"<PhoneLogin {self.name} of {self.tenant}>"


@dataclass(frozen=True, slots=True)
class LastSearch:
    """What is remembered of a phone's last search: nothing of what it searched for.

    :ivar worked_at: when it found somebody, if it did.
    """

    searched_at: float
    search_hint: str
    worked_at: float | None = None


@dataclass(frozen=True, slots=True)
class LastBind:
    """A phone has logged in.

    :ivar when: seconds since the epoch.
    :ivar password: the hash of the one that held then.
    """

    when: float
    address: str
    password: str = field(repr=False)


def read_all(connection: Connection) -> tuple[PhoneLogin, ...]:
    """All phones of the gateway, by name."""
    return tuple(map(_login, connection.execute(select(phone).order_by(phone.c.name))))


def read_by_accounts(connection: Connection, accounts: Collection[int]) -> tuple[PhoneLogin, ...]:
    """The phones of some accounts, by name."""
    wanted = select(phone).where(phone.c.account_id.in_(accounts)).order_by(phone.c.name)
    return tuple(map(_login, connection.execute(wanted)))


def read_by_tenant(connection: Connection, tenant: str) -> tuple[PhoneLogin, ...]:
    """The phones of a tenant, by name."""
    wanted = select(phone).where(phone.c.tenant == tenant).order_by(func.lower(phone.c.name))
    return tuple(map(_login, connection.execute(wanted)))


def read_by_name(connection: Connection, name: str) -> PhoneLogin | None:
    """The phone of a name, in whichever case; None where there is none."""
    row = connection.execute(select(phone).where(func.lower(phone.c.name) == name.lower())).first()
    return _login(row) if row is not None else None


def read_names(connection: Connection, prefix: str) -> frozenset[str]:
    """The names of the gateway that begin like that, in lower case."""
    name = func.lower(phone.c.name)
    return frozenset(connection.execute(select(name).where(name.startswith(prefix, autoescape=True))).scalars())


def _login(row: Row[Any]) -> PhoneLogin:
    return PhoneLogin(
        row.name,
        row.tenant,
        row.account_id,
        NumberMode(row.numbers),
        row.password,
        row.created_at,
        row.model,
        row.last_seen,
        row.last_address,
        row.searched_at,
        row.search_hint or "",
        row.worked_at,
    )


def add(connection: Connection, new: PhoneLogin) -> bool:
    """Store a new phone; False, and nothing is stored, when the name is taken in whichever case."""
    taken = connection.execute(select(func.count()).where(func.lower(phone.c.name) == new.name.lower())).scalar_one()
    if taken:
        return False
    connection.execute(
        insert(phone).values(
            name=new.name,
            tenant=new.tenant,
            account_id=new.account_id,
            numbers=new.numbers,
            model=new.model,
            password=new.password,
            created_at=new.created_at,
        )
    )
    return True


def remove(connection: Connection, name: str) -> bool:
    """Delete a phone; False when there is none of that name."""
    return connection.execute(delete(phone).where(phone.c.name == name)).rowcount > 0


def set_password(connection: Connection, name: str, password: str) -> bool:
    """Store another password's hash: the phone has to show anew that it works.

    :returns: False when there is no phone of that name.
    """
    forgotten = dict.fromkeys(("last_seen", "last_address", "searched_at", "search_hint", "worked_at"))
    anew = update(phone).where(phone.c.name == name).values(password=password, **forgotten)
    return connection.execute(anew).rowcount > 0


def store_last_binds(connection: Connection, logins: Mapping[str, LastBind]) -> None:
    """Store when and from where phones were last seen with the password that they have now.

    :param logins: by name.
    """
    for name, one in logins.items():
        known = (phone.c.name == name) & (phone.c.password == one.password)
        connection.execute(update(phone).where(known).values(last_seen=one.when, last_address=one.address))


def store_last_searches(connection: Connection, notes: Mapping[str, LastSearch]) -> None:
    """Store what is remembered of phones' last searches.

    :param notes: by name.
    """
    for name, note in notes.items():
        connection.execute(
            update(phone)
            .where(phone.c.name == name)
            .values(
                searched_at=note.searched_at,
                search_hint=note.search_hint,
                worked_at=func.coalesce(phone.c.worked_at, note.worked_at),
            )
        )
