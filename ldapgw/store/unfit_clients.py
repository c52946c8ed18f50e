# SPDX-License-Identifier: MIT
"""The last clients that could not connect: because of a wrong port, TLS that is off, or an unknown authority.

A running gateway stores these clients for ``ldapgw status``.  Several gateways on one database share the rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, delete, insert, select, update

from ldapgw.store.tables import columns_of, unfit_client, value_of

# The largest number of stored clients; if there are more, the clients with the oldest connections are deleted.
MAX_CLIENTS: Final = 20
# A client is deleted this many seconds after its last connection.
KEEP_SECONDS: Final = 86_400.0

_LAST_FIRST = unfit_client.c.at.desc(), unfit_client.c.address, unfit_client.c.mistake


class Mistake(StrEnum):
    """The reasons why a client cannot connect."""

    TLS_ON_PLAIN_PORT = "tls_on_plain_port"
    PLAIN_ON_TLS_PORT = "plain_on_tls_port"
    UNKNOWN_AUTHORITY = "unknown_authority"
    PASSWORD_WITHOUT_TLS = "password_without_tls"  # noqa: S105  no password


@dataclass(frozen=True, slots=True)
class UnfitClient:
    """A client that cannot connect because of a mistake, a row of the table ``unfit_client``.

    :ivar at: the time of the client's last attempt with this mistake.
    """

    address: str
    mistake: Mistake
    at: float


def remove_old(connection: Connection, now: float) -> None:
    """Delete the clients whose last connection is too old."""
    connection.execute(delete(unfit_client).where(unfit_client.c.at <= now - KEEP_SECONDS))


def add(connection: Connection, clients: Iterable[UnfitClient], now: float) -> None:
    """Store clients; delete clients that are too old, and the oldest clients above `MAX_CLIENTS`."""
    for client in clients:
        same = (unfit_client.c.address == client.address) & (unfit_client.c.mistake == client.mistake)
        if not connection.execute(update(unfit_client).where(same).values(at=client.at)).rowcount:
            connection.execute(insert(unfit_client).values(columns_of(client)))
    remove_old(connection, now)
    oldest = select(unfit_client.c.address, unfit_client.c.mistake).order_by(*_LAST_FIRST).offset(MAX_CLIENTS)
    for address, mistake in connection.execute(oldest).all():
        is_oldest = (unfit_client.c.address == address) & (unfit_client.c.mistake == mistake)
        connection.execute(delete(unfit_client).where(is_oldest))


def read_all(connection: Connection, now: float) -> tuple[UnfitClient, ...]:
    """Read the clients of the last day, the last client first, `MAX_CLIENTS` at most."""
    of_a_day = select(unfit_client).where(unfit_client.c.at > now - KEEP_SECONDS)
    rows = connection.execute(of_a_day.order_by(*_LAST_FIRST).limit(MAX_CLIENTS))
    return tuple(value_of(UnfitClient, row) for row in rows)
