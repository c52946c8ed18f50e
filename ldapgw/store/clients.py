# SPDX-License-Identifier: MIT
"""OAuth clients that administrators have entered on the page; their secrets are sealed."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, insert, select

from ldapgw.errors import UnfitKey
from ldapgw.store.tables import oauth_client
from ldapgw.store.vault import Vault


@dataclass(frozen=True, slots=True)
class EnteredClient:
    """A tenant's client.

    :ivar entered_at: in seconds since the epoch.
    """

    tenant: str
    client_id: str
    client_secret: str = field(repr=False)
    entered_at: float


def enter(connection: Connection, vault: Vault, new: EnteredClient) -> None:
    """Keep a tenant's client, in the place of the one before."""
    connection.execute(delete(oauth_client).where(oauth_client.c.tenant == new.tenant))
    connection.execute(
        insert(oauth_client).values(
            tenant=new.tenant,
            client_id=new.client_id,
            client_secret=vault.seal(new.client_secret),
            entered_at=new.entered_at,
        )
    )


def read_all(connection: Connection, vault: Vault) -> tuple[tuple[EnteredClient, ...], frozenset[str]]:
    """All clients; and the tenants of those that were sealed under another key, which have to be entered again."""
    found, unfit = [], set()
    for row in connection.execute(select(oauth_client).order_by(oauth_client.c.tenant)):
        try:
            secret = vault.unseal(row.client_secret)
        except UnfitKey:
            unfit.add(row.tenant)
        else:
            found.append(EnteredClient(row.tenant, row.client_id, secret, row.entered_at))
    return tuple(found), frozenset(unfit)


def entered_at(connection: Connection, tenant: str) -> float | None:
    """When a tenant's client was entered; None where none was."""
    query = select(oauth_client.c.entered_at).where(oauth_client.c.tenant == tenant)
    found: float | None = connection.execute(query).scalar()
    return found


def is_any(connection: Connection) -> bool:
    """Whether there is one."""
    return connection.execute(select(oauth_client.c.tenant).limit(1)).first() is not None
