# SPDX-License-Identifier: MIT
"""Alarms: what is wrong with a tenant's OAuth client.  One for the tenant, however many accounts it concerns."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from ldapgw.store.tables import alarm


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


def sound(connection: Connection, tenant: str, code: str, now: float, link: str = "") -> bool:
    """Set off an alarm; whether it is a new one.

    :param link: where to mend it, if Google said so.
    """
    held = connection.execute(select(alarm).where(alarm.c.tenant == tenant)).first()
    is_new = held is None or held.code != code
    since = now if held is None or is_new else held.since
    connection.execute(delete(alarm).where(alarm.c.tenant == tenant))
    connection.execute(insert(alarm).values(tenant=tenant, code=code, since=since, link=link))
    return is_new


def silence(connection: Connection, tenant: str) -> bool:
    """End a tenant's alarm; whether there was one."""
    return connection.execute(delete(alarm).where(alarm.c.tenant == tenant)).rowcount > 0


def read(connection: Connection, tenant: str) -> Alarm | None:
    """A tenant's alarm; None where there is none."""
    row = connection.execute(select(alarm).where(alarm.c.tenant == tenant)).first()
    return Alarm(row.code, row.since, row.link) if row is not None else None


def read_all(connection: Connection) -> dict[str, str]:
    """The code of each tenant's alarm."""
    return {row.tenant: row.code for row in connection.execute(select(alarm.c.tenant, alarm.c.code))}


def sounding(connection: Connection, tenant: str) -> str:
    """The code of a tenant's alarm; empty where there is none."""
    return connection.execute(select(alarm.c.code).where(alarm.c.tenant == tenant)).scalar() or ""
