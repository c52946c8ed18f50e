# SPDX-License-Identifier: MIT
"""Stored state of tenants: OAuth clients that administrators have entered on the page, and alarms about a client.

Client secrets are encrypted (`ldapgw.store.secrets`).  A tenant has at most one alarm, however many accounts the
problem affects.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, insert, select

from ldapgw.store.accounts import ErrorStatus
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tables import alarm, columns_of, oauth_client, unsealed, value_of


@dataclass(frozen=True, slots=True)
class EnteredClient:
    """A tenant's OAuth client, as an administrator has entered it."""

    tenant: str
    client_id: str
    client_secret: str = field(repr=False)
    entered_at: float


def enter_client(connection: Connection, secret_box: SecretBox, new: EnteredClient) -> None:
    """Store a tenant's client, which replaces the tenant's former client."""
    connection.execute(delete(oauth_client).where(oauth_client.c.tenant == new.tenant))
    columns = columns_of(new, client_secret=secret_box.seal(new.client_secret))
    connection.execute(insert(oauth_client).values(columns))


def read_clients(connection: Connection, secret_box: SecretBox) -> tuple[tuple[EnteredClient, ...], frozenset[str]]:
    """Read all clients, and the tenants whose clients were encrypted with another key and have to be entered again."""
    rows = connection.execute(select(oauth_client).order_by(oauth_client.c.tenant))
    clients, unfit = unsealed(EnteredClient, rows, secret_box, "client_secret")
    return clients, frozenset(row.tenant for row in unfit)


def client_entered_at(connection: Connection, tenant: str) -> float | None:
    """Return when a tenant's client was entered, in seconds since the epoch; None if there is no client."""
    query = select(oauth_client.c.entered_at).where(oauth_client.c.tenant == tenant)
    entered_at: float | None = connection.execute(query).scalar()
    return entered_at


def has_any_client(connection: Connection) -> bool:
    return connection.execute(select(oauth_client.c.tenant).limit(1)).first() is not None


def raise_alarm(connection: Connection, tenant: str, code: str, now: float, link: str = "") -> bool:
    """Store a tenant's alarm in place of an earlier alarm.

    :param link: address at Google where the problem can be fixed, or empty if Google named no address.
    :returns: whether the alarm is new or has another code than before.
    """
    before = connection.execute(select(alarm).where(alarm.c.tenant == tenant)).first()
    is_new = before is None or before.code != code
    since = now if before is None or is_new else before.since
    connection.execute(delete(alarm).where(alarm.c.tenant == tenant))
    connection.execute(insert(alarm).values(tenant=tenant, code=code, since=since, link=link))
    return is_new


def clear_alarm(connection: Connection, tenant: str) -> bool:
    """End a tenant's alarm, and return whether there was an alarm."""
    return connection.execute(delete(alarm).where(alarm.c.tenant == tenant)).rowcount > 0


def read_alarm(connection: Connection, tenant: str) -> ErrorStatus | None:
    """Read a tenant's alarm; return None if there is no alarm."""
    row = connection.execute(select(alarm).where(alarm.c.tenant == tenant)).first()
    return value_of(ErrorStatus, row) if row is not None else None


def read_alarm_codes(connection: Connection) -> dict[str, str]:
    return {row.tenant: row.code for row in connection.execute(select(alarm.c.tenant, alarm.c.code))}


def read_alarm_code(connection: Connection, tenant: str) -> str:
    """Read the code of a tenant's alarm; return an empty text if there is no alarm."""
    return connection.execute(select(alarm.c.code).where(alarm.c.tenant == tenant)).scalar() or ""
