# SPDX-License-Identifier: MIT
"""Links that open a tenant's administration once, for the time before anybody can sign in.

Whoever can run ``ldapgw admin-link`` can read the database as well, so the link gives away nothing.  What is in it is
stored as SHA-256 alone.
"""

from __future__ import annotations

import hashlib

from sqlalchemy import Connection, delete, insert

from ldapgw.store.tables import admin_link

# From the terminal to the browser.
LINK_SECONDS = 3600


def make(connection: Connection, token: str, tenant: str, now: float) -> None:
    """Remember a new link; those that are too old are forgotten.

    :param token: what is in it.
    """
    connection.execute(delete(admin_link).where(admin_link.c.created_at <= now - LINK_SECONDS))
    connection.execute(insert(admin_link).values(token=_digest(token), tenant=tenant, created_at=now))


def take(connection: Connection, token: str, tenant: str, now: float) -> bool:
    """Use a link up; whether it was good: of that tenant, not used yet, and not too old."""
    taken = delete(admin_link).where(
        admin_link.c.token == _digest(token),
        admin_link.c.tenant == tenant,
        admin_link.c.created_at.between(now - LINK_SECONDS, now + LINK_SECONDS),
    )
    return connection.execute(taken).rowcount > 0


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
