# SPDX-License-Identifier: MIT
"""Through whom a tenant's Workspace directory comes: one account holds its contacts, others can take its place.

And sources that cannot be had, while the rest of an account can.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, func, select, update

from ldapgw.contact import Source
from ldapgw.errors import GoogleError
from ldapgw.store import accounts, contacts
from ldapgw.store.accounts import Account, SourceState
from ldapgw.store.tables import account, source


@dataclass(frozen=True, slots=True)
class DirectoryCandidate:
    """An account that the directory may come through.

    :ivar state: of its source, None before anybody has asked.
    :ivar asked_at: when Google was last asked for the directory through it.
    :ivar trouble: the error code of its own contacts; empty if all is well.
    :ivar fails: the error code with which the directory could not be had through it; empty if it could.
    :ivar next_try: when to try again after that.
    :ivar holds: whether the stored directory is this account's.
    """

    account_id: int
    scopes: frozenset[str]
    state: SourceState | None
    asked_at: float | None
    account_error: str
    directory_error: str = ""
    next_try: float | None = None
    is_directory_account: bool = False


def read_candidates(connection: Connection, tenant: str) -> tuple[DirectoryCandidate, ...]:
    """All connected accounts of a tenant, the oldest first."""
    holders = contacts.accounts_with_source(connection, Source.DIRECTORY)
    its = and_(source.c.account_id == account.c.id, source.c.source == Source.DIRECTORY)
    of_account = account.c.id, account.c.scopes, account.c.error_code
    of_source = source.c.state, source.c.asked_at, source.c.error_code.label("failed")
    query = select(*of_account, *of_source, source.c.next_try).join_from(account, source, its, isouter=True)
    connected = query.where(account.c.tenant == tenant, account.c.connected_at.is_not(None)).order_by(account.c.id)
    return tuple(
        DirectoryCandidate(
            account_id=row.id,
            scopes=frozenset(row.scopes.split()),
            state=SourceState(row.state) if row.state else None,
            asked_at=row.asked_at,
            account_error=row.error_code or "",
            directory_error=row.failed or "",
            next_try=row.next_try,
            is_directory_account=row.id in holders,
        )
        for row in connection.execute(connected)
    )


def take_over_directory(connection: Connection, successor: Account) -> None:
    """Have an account hold the directory that another one of its tenant holds, if one does."""
    for one in read_candidates(connection, successor.tenant):
        if one.is_directory_account and one.account_id != successor.id:
            contacts.hand_over(connection, one.account_id, successor.id, Source.DIRECTORY)


def hand_over_directory(connection: Connection, account_id: int) -> None:
    """Give the directory that an account holds to another that it can come through; it stays where there is none."""
    leaving = accounts.read(connection, account_id)
    if leaving is None or account_id not in contacts.accounts_with_source(connection, Source.DIRECTORY):
        return
    for one in read_candidates(connection, leaving.tenant):
        if one.account_id != account_id and one.state is SourceState.ON and not one.directory_error:
            contacts.hand_over(connection, account_id, one.account_id, Source.DIRECTORY)
            return


def failing_since(connection: Connection, account_id: int, of: Source) -> float | None:
    """Since when a source cannot be had through an account; None when it can."""
    where = source.c.account_id == account_id, source.c.source == of
    since: float | None = connection.execute(select(source.c.error_since).where(*where)).scalar()
    return since


def record_failure(
    connection: Connection,
    account_id: int,
    of: Source,
    error: GoogleError,
    now: float,
    next_try: float,
    failed_part: str = "",
) -> None:
    """Take note that a source could not be had through an account, whose other sources could.

    The row of the source is there already.

    :param what: what could not be had, where that is not the source as a whole.
    """
    where = and_(source.c.account_id == account_id, source.c.source == of)
    code, facts = error.code, {**error.facts, "source": failed_part or of.value}
    since = select(func.coalesce(source.c.error_since, now)).where(where, source.c.error_code == code)
    connection.execute(
        update(source)
        .where(where)
        .values(
            asked_at=now,
            next_try=next_try,
            error_since=func.coalesce(since.scalar_subquery(), now),
            error_code=code,
            error_facts=json.dumps(facts),
        )
    )


def clear_directory_failures(connection: Connection, tenant: str) -> None:
    """Take note that a tenant's directory came, through whomever."""
    its = select(account.c.id).where(account.c.tenant == tenant)
    _forget(connection, source.c.account_id.in_(its), Source.DIRECTORY)


def clear_failure(connection: Connection, account_id: int, of: Source) -> None:
    """Take note that a source came, or that it is no failure that it does not come through an account."""
    _forget(connection, source.c.account_id == account_id, of)


def _forget(connection: Connection, whose: ColumnElement[bool], of: Source) -> None:
    nothing = dict.fromkeys(("error_code", "error_since", "error_facts", "next_try"))
    connection.execute(update(source).where(whose, source.c.source == of).values(nothing))
