# SPDX-License-Identifier: MIT
"""OAuth clients that administrators have entered on the page; their secrets are sealed.

Alarms: what is wrong with a tenant's OAuth client.  One for the tenant, however many accounts it concerns.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, insert, select

from ldapgw.errors import UnfitKey
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tables import alarm, oauth_client


@dataclass(frozen=True, slots=True)
class EnteredClient:
    """A tenant's client.

    :ivar entered_at: in seconds since the epoch.
    """

    tenant: str
    client_id: str
    client_secret: str = field(repr=False)
    entered_at: float


def enter_client(connection: Connection, secret_box: SecretBox, new: EnteredClient) -> None:
    """Keep a tenant's client, in the place of the one before."""
    connection.execute(delete(oauth_client).where(oauth_client.c.tenant == new.tenant))
    connection.execute(
        insert(oauth_client).values(
            tenant=new.tenant,
            client_id=new.client_id,
            client_secret=secret_box.seal(new.client_secret),
            entered_at=new.entered_at,
        )
    )


def read_clients(connection: Connection, secret_box: SecretBox) -> tuple[tuple[EnteredClient, ...], frozenset[str]]:
    """All clients; and the tenants of those that were sealed under another key, which have to be entered again."""
    found, unfit = [], set()
    for row in connection.execute(select(oauth_client).order_by(oauth_client.c.tenant)):
        try:
            secret = secret_box.unseal(row.client_secret)
        except UnfitKey:
            unfit.add(row.tenant)
        else:
            found.append(EnteredClient(row.tenant, row.client_id, secret, row.entered_at))
    return tuple(found), frozenset(unfit)


def client_entered_at(connection: Connection, tenant: str) -> float | None:
    """When a tenant's client was entered; None where none was."""
    query = select(oauth_client.c.entered_at).where(oauth_client.c.tenant == tenant)
    found: float | None = connection.execute(query).scalar()
    return found


def has_any_client(connection: Connection) -> bool:
    """Whether there is one."""
    return connection.execute(select(oauth_client.c.tenant).limit(1)).first() is not None


@dataclass(frozen=True, slots=True)
class Alarm:
    """What is wrong.

    :ivar code: an error code of ``status.json``.
    :ivar since: in seconds since the epoch.
    :ivar link: where to mend it, if Google said so.
    """

    code: str
    since: float
    link: str


def raise_alarm(connection: Connection, tenant: str, code: str, now: float, link: str = "") -> bool:
    """Set off an alarm; whether it is a new one.

    :param link: where to mend it, if Google said so.
    """
    held = connection.execute(select(alarm).where(alarm.c.tenant == tenant)).first()
    is_new = held is None or held.code != code
    since = now if held is None or is_new else held.since
    connection.execute(delete(alarm).where(alarm.c.tenant == tenant))
    connection.execute(insert(alarm).values(tenant=tenant, code=code, since=since, link=link))
    return is_new


def clear_alarm(connection: Connection, tenant: str) -> bool:
    """End a tenant's alarm; whether there was one."""
    return connection.execute(delete(alarm).where(alarm.c.tenant == tenant)).rowcount > 0


def read_alarm(connection: Connection, tenant: str) -> Alarm | None:
    """A tenant's alarm; None where there is none."""
    row = connection.execute(select(alarm).where(alarm.c.tenant == tenant)).first()
    return Alarm(row.code, row.since, row.link) if row is not None else None


def read_alarm_codes(connection: Connection) -> dict[str, str]:
    """The code of each tenant's alarm."""
    return {row.tenant: row.code for row in connection.execute(select(alarm.c.tenant, alarm.c.code))}


def read_alarm_code(connection: Connection, tenant: str) -> str:
    """The code of a tenant's alarm; empty where there is none."""
    return connection.execute(select(alarm.c.code).where(alarm.c.tenant == tenant)).scalar() or ""
