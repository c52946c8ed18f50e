# SPDX-License-Identifier: MIT
"""Accounts of persons who have left the company, and removals that wait for an administrator.

A mark says why the person counts as a leaver and since when.  The gateway removes a marked account after the time
in the tenant's setting ``remove_leavers``, unless an administrator keeps the account (`ldapgw.sync.leavers`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, delete, select, text, update

from ldapgw.store import accounts, activity
from ldapgw.store.activity import GATEWAY, Act, ActivityEntry
from ldapgw.store.database import chunks
from ldapgw.store.tables import account, held_leavers, leaver, value_of, workspace


class LeaverReason(StrEnum):
    """The reasons why a person counts as a leaver.

    ``missing``: Google has ended the access, and the Workspace directory lacks the person.  ``suspended`` and
    ``deleted``: the state of the person's user account.  ``moved``: the delegation no longer covers the person.
    """

    MISSING = "missing"
    SUSPENDED = "suspended"
    DELETED = "deleted"
    MOVED = "moved"


@dataclass(frozen=True, slots=True)
class Leaver:
    """A mark of an account, a row of the table ``leaver``.

    :ivar since: when the person was first seen to have left, in seconds since the epoch.
    :ivar kept: whether an administrator has decided to keep the account.
    :ivar approved: whether an administrator has allowed the removal of the account together with many other accounts.
    """

    account_id: int
    reason: LeaverReason
    since: float
    kept: bool = False
    approved: bool = False


@dataclass(frozen=True, slots=True)
class HeldRemoval:
    """A removal of many accounts that waits for an administrator, a row of the table ``held_leavers``.

    :ivar count: the number of accounts that were to be removed together.
    :ivar since: when the removal was stopped, in seconds since the epoch.
    """

    tenant: str
    count: int
    since: float


# The statement is an SQL text because SQLAlchemy has no common form of ON CONFLICT for all databases.
_HOLD = text("""
    INSERT INTO held_leavers (tenant, count, since) VALUES (:tenant, :count, :now)
    ON CONFLICT (tenant) DO UPDATE SET count = excluded.count
""")


def mark(connection: Connection, considered: Collection[int], gone: Mapping[int, LeaverReason], now: float) -> None:
    """Mark the accounts of persons who have left, and delete the marks of persons who have not left.

    A marked account keeps the time of its first mark and the administrator's decision.  New and deleted marks are
    recorded in the activity log.

    :param considered: the ids of the accounts about which the caller knows whether the persons have left.  Marks of
        other accounts do not change.
    :param gone: by account id, the reason for each of the considered accounts whose persons have left.
    """
    for ids in chunks(considered):
        query = select(account.c.id, account.c.tenant, account.c.address, leaver.c.reason).join_from(
            account, leaver, isouter=True
        )
        entries: list[ActivityEntry] = []
        back: list[int] = []
        for row in connection.execute(query.where(account.c.id.in_(ids))).all():
            reason = gone.get(row.id)
            if reason is None and row.reason is not None:
                back.append(row.id)
                entries.append(activity.entry(now, row.tenant, GATEWAY, Act.LEAVER_BACK, row.address))
            elif reason is not None and row.reason is None:
                connection.execute(leaver.insert().values(account_id=row.id, reason=reason, since=now))
                entries.append(activity.entry(now, row.tenant, GATEWAY, Act.LEAVER_FOUND, row.address, reason))
            elif reason is not None and row.reason != reason:
                connection.execute(update(leaver).where(leaver.c.account_id == row.id).values(reason=reason))
        if back:
            connection.execute(delete(leaver).where(leaver.c.account_id.in_(back)))
        activity.record(connection, *entries)


def read(connection: Connection, tenant: str) -> dict[int, Leaver]:
    """Read the marks of a tenant's accounts, by the account's id."""
    query = select(leaver).join(account, account.c.id == leaver.c.account_id).where(account.c.tenant == tenant)
    return {row.account_id: value_of(Leaver, row) for row in connection.execute(query)}


def find(connection: Connection, account_id: int) -> Leaver | None:
    """Read the mark of an account; return None if the account has no mark."""
    row = connection.execute(select(leaver).where(leaver.c.account_id == account_id)).first()
    return None if row is None else value_of(Leaver, row)


def keep(connection: Connection, account_id: int) -> bool:
    """Exempt a marked account from removal, and return whether the account is marked and was not exempt."""
    return _set_kept(connection, account_id, kept=True)


def undo_keep(connection: Connection, account_id: int) -> bool:
    """End the exemption of a marked account, and return whether the account was exempt."""
    return _set_kept(connection, account_id, kept=False)


def _set_kept(connection: Connection, account_id: int, *, kept: bool) -> bool:
    accounts.lock(connection, account_id)  # another transaction may be removing the account
    # An approval given before the account was kept must not remove the account afterwards.
    change = update(leaver).where(leaver.c.account_id == account_id, leaver.c.kept != kept)
    return connection.execute(change.values(kept=kept, approved=False)).rowcount > 0


def hold(connection: Connection, tenant: str, count: int, now: float) -> bool:
    """Store that the removal of `count` accounts waits for an administrator.

    :returns: whether no removal of the tenant was waiting before.
    """
    is_new = read_held(connection, tenant) is None
    connection.execute(_HOLD, {"tenant": tenant, "count": count, "now": now})
    return is_new


def read_held(connection: Connection, tenant: str) -> HeldRemoval | None:
    """Read the removal that waits for an administrator, or return None if no removal is waiting."""
    row = connection.execute(select(held_leavers).where(held_leavers.c.tenant == tenant)).first()
    return None if row is None else value_of(HeldRemoval, row)


def clear_held(connection: Connection, tenant: str) -> None:
    """Store that no removal of accounts of a tenant waits for an administrator."""
    connection.execute(delete(held_leavers).where(held_leavers.c.tenant == tenant))


def approve(connection: Connection, tenant: str, account_ids: Collection[int]) -> None:
    """Allow the removal of some marked accounts of a tenant, even if many accounts are then removed together.

    The approval holds for these accounts only, until their marks are deleted.
    """
    for ids in chunks(account_ids):
        is_of_tenant = leaver.c.account_id.in_(
            select(account.c.id).where(account.c.id.in_(ids), account.c.tenant == tenant)
        )
        connection.execute(update(leaver).where(is_of_tenant, leaver.c.kept.is_(False)).values(approved=True))
    clear_held(connection, tenant)


def users_read_at(connection: Connection, tenant: str) -> float | None:
    """Return when the tenant's service account has last read all users, in seconds since the epoch.

    :returns: None if the last read failed, or if there is no service account.
    """
    query = select(workspace.c.read_at).where(workspace.c.tenant == tenant, workspace.c.error_code.is_(None))
    read_at: float | None = connection.execute(query).scalar()
    return read_at
