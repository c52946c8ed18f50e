# SPDX-License-Identifier: MIT
"""Phones: the logins that desk phones bind with.  Passwords are stored as hashes and shown once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, delete, func, insert, select, update

from ldapgw.store.tables import phone


class Numbers(StrEnum):
    """How a phone gets several numbers of a contact: as values of one entry, or one entry a number."""

    VALUES = "values"
    ENTRIES = "entries"


@dataclass(frozen=True, slots=True)
class PhoneLogin:
    """A login.

    :ivar account_id: None: a phone for everybody, which sees the shared books alone.
    :ivar model: a word of `ldapgw.models`; empty where nobody said one.
    """

    name: str
    tenant: str
    account_id: int | None
    numbers: Numbers
    password: str
    created_at: float
    model: str = ""
    last_seen: float | None = None
    last_address: str | None = None

    def __repr__(self) -> str:
        """Without the hash."""
        return f"<PhoneLogin {self.name} of {self.tenant}>"


def read_all(connection: Connection) -> tuple[PhoneLogin, ...]:
    """All phones of the gateway, by name."""
    return tuple(
        PhoneLogin(
            row.name,
            row.tenant,
            row.account_id,
            Numbers(row.numbers),
            row.password,
            row.created_at,
            row.model,
            row.last_seen,
            row.last_address,
        )
        for row in connection.execute(select(phone).order_by(phone.c.name))
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
    """Store another password's hash; False when there is no phone of that name."""
    return connection.execute(update(phone).where(phone.c.name == name).values(password=password)).rowcount > 0


def seen(connection: Connection, logins: Mapping[str, tuple[float, str]]) -> None:
    """Store when and from where phones were last seen.

    :param logins: by name: seconds since the epoch, address.
    """
    for name, (when, address) in logins.items():
        connection.execute(update(phone).where(phone.c.name == name).values(last_seen=when, last_address=address))
