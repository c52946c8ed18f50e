# SPDX-License-Identifier: MIT
"""Whose a phone is: its owner's and the tenant's administrators'; for everybody else it does not exist."""

from __future__ import annotations

from sqlalchemy import Connection

from ldapgw.store import phones
from ldapgw.store.phones import PhoneLogin
from ldapgw.web import endings
from ldapgw.web.endings import Ended
from ldapgw.web.frame import Frame
from ldapgw.web.session import Visitor
from ldapgw.web.tenant import WebTenant


async def find_phone(frame: Frame, tenant: WebTenant, visitor: Visitor, name: str) -> PhoneLogin:
    """A phone that the visitor may see.

    :raises Ended: not found, whether there is none of that name or it is somebody else's.
    """
    login = await frame.gate.store.run(phones.of_name, name)
    if login is None or login.tenant != tenant.name:
        raise Ended(endings.NOT_FOUND, tenant)
    if not is_own(login, visitor) and not tenant.is_admin(visitor.person.address):
        raise Ended(endings.NOT_FOUND, tenant)
    return login


def is_own(login: PhoneLogin, visitor: Visitor) -> bool:
    """Whether a phone is one of the visitor's."""
    return any(account.id == login.account_id for account in visitor.accounts)


def phones_of(connection: Connection, tenant: WebTenant, visitor: Visitor) -> tuple[PhoneLogin, ...]:
    """The phones that the visitor may see, their own first, by name."""
    mine = phones.of_accounts(connection, [account.id for account in visitor.accounts])
    if not tenant.is_admin(visitor.person.address):
        return mine
    others = (one for one in phones.read_all(connection) if one.tenant == tenant.name and one not in mine)
    return (*mine, *others)
