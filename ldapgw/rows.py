# SPDX-License-Identifier: MIT
"""What the store holds of some tenants but for the contacts: accounts, logins, and whom a directory comes through."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from ldapgw.contact import Source
from ldapgw.store import accounts, contacts, phones
from ldapgw.store.accounts import Account, SourceState
from ldapgw.store.phones import PhoneLogin


@dataclass(frozen=True, slots=True)
class Rows:
    """What the store holds, but for the contacts: those of configured tenants.

    :ivar accounts: connected ones, with addresses of which a tenant has none twice.
    :ivar feeds: by tenant, the account that its Workspace directory is taken from.
    """

    accounts: tuple[Account, ...] = ()
    logins: tuple[PhoneLogin, ...] = ()
    feeds: Mapping[str, Account] = field(default_factory=dict)


def read_rows(connection: Connection, tenants: Collection[str]) -> Rows:
    """What is stored of some tenants, but for the contacts."""
    found = accounts.read_all(connection, counted=False)
    connected = _apart(account for account in found if account.connected and account.tenant in tenants)
    colleagues = contacts.who_holds(connection, Source.DIRECTORY)
    feeds: dict[str, Account] = {}
    for account in sorted(connected, key=lambda account: account.id):
        if account.sources.get(Source.DIRECTORY) is SourceState.ON and account.id in colleagues:
            feeds.setdefault(account.tenant, account)
    return Rows(connected, tuple(login for login in phones.read_all(connection) if login.tenant in tenants), feeds)


def _apart(found: Iterable[Account]) -> tuple[Account, ...]:
    """Accounts with addresses that tell their books apart: an address can change hands while its former owner is there.

    Who came first keeps it; the others' have a number behind it.
    """
    told_apart: dict[tuple[str, str], int] = {}
    named: dict[int, Account] = {}
    everyone = tuple(found)
    for account in sorted(everyone, key=lambda account: account.id):
        holds = account.tenant, account.address.casefold()
        number = told_apart[holds] = told_apart.get(holds, 0) + 1
        named[account.id] = account if number == 1 else replace(account, address=f"{account.address} ({number})")
    return tuple(named[account.id] for account in everyone)
