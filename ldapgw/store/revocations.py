# SPDX-License-Identifier: MIT
"""Grants that are to be given back: an account is forgotten at once, and Google is told as soon as it listens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, insert, select, update

from ldapgw.errors import StoreError
from ldapgw.store import accounts, directory_accounts
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tables import account, revocation

# Whoever has disconnected has been told how to do it alone; after a day it was done, or Google does not want it.
MAX_AGE_SECONDS = 86400.0
# The first try is made by whoever disconnects the account.
FIRST_WAIT = 60.0


@dataclass(frozen=True, slots=True)
class Revocation:
    """A grant to give back.

    :ivar since: when its account was disconnected, in seconds since the epoch.
    :ivar tries: how often it was tried in vain since.
    """

    id: int
    tenant: str
    sub: str = field(repr=False)
    token: str = field(repr=False)
    since: float
    tries: int = 0

    def is_expired(self, now: float) -> bool:
        """Whether it is given up; it was tried, however wrong the clock may be."""
        return self.tries > 0 and now - self.since >= MAX_AGE_SECONDS


def disconnect_account(connection: Connection, account_id: int, now: float, *, revoked: bool = False) -> int | None:
    """Forget an account's tokens and contacts; another account takes over the directory that came through it.

    :param revoked: whether Google was told already; else it is to be.
    :returns: the revocation to come, if there is one.
    """
    query = select(account.c.tenant, account.c.sub, account.c.refresh_token).where(account.c.id == account_id)
    held = connection.execute(query).first()
    directory_accounts.hand_over_directory(connection, account_id)
    accounts.disconnect(connection, account_id)
    if revoked or held is None or held.refresh_token is None:
        return None
    # It goes over as it is, sealed: even without the key an account can be left.
    new = insert(revocation).values(
        tenant=held.tenant, sub=held.sub, token=held.refresh_token, since=now, next_try=now + FIRST_WAIT
    )
    new_id: int = connection.execute(new.returning(revocation.c.id)).scalar_one()
    return new_id


def read(connection: Connection, secret_box: SecretBox, revocation_id: int) -> Revocation | None:
    """A revocation to come; None where there is none, or its token cannot be read."""
    row = connection.execute(select(revocation).where(revocation.c.id == revocation_id)).first()
    if row is None:
        return None
    try:
        return Revocation(row.id, row.tenant, row.sub, secret_box.unseal(row.token), row.since, row.tries)
    except StoreError:
        return None


def read_due(connection: Connection, secret_box: SecretBox, now: float) -> tuple[Revocation, ...]:
    """The revocations to try now, or to give up; those that cannot be read are forgotten."""
    ids = connection.execute(select(revocation.c.id).where(revocation.c.next_try <= now)).scalars().all()
    found = {revocation_id: read(connection, secret_box, revocation_id) for revocation_id in ids}
    living = tuple(one for one in found.values() if one is not None)
    for revocation_id in found.keys() - {one.id for one in living}:
        remove(connection, revocation_id)
    return living


def postpone(connection: Connection, revocation_id: int, next_try: float) -> None:
    """Google could not be told."""
    values = {"next_try": next_try, "tries": revocation.c.tries + 1}
    connection.execute(update(revocation).where(revocation.c.id == revocation_id).values(values))


def remove(connection: Connection, revocation_id: int) -> None:
    """There is nothing to tell any more."""
    connection.execute(delete(revocation).where(revocation.c.id == revocation_id))


def is_shared(connection: Connection, sharers: Iterable[str], sub: str) -> bool:
    """Whether another account of ours lives on a user's grant: Google ends all that a user has granted to a project.

    :param sharers: the tenants whose clients are of that project.
    """
    found = (accounts.read_by_sub(connection, tenant, sub) for tenant in sharers)
    return any(one is not None and one.is_connected for one in found)
