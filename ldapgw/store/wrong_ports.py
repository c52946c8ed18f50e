# SPDX-License-Identifier: MIT
"""The last clients of wrong ports: clients that spoke LDAP without TLS to the port for TLS, or the other way round.

A running gateway stores these clients for ``ldapgw status``.  Several gateways on one database share the rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, delete, func, insert, select, update

from ldapgw.store.tables import columns_of, value_of, wrong_port

# The most clients that are stored; the clients whose last connection is oldest are forgotten.
MAX_CLIENTS: Final = 20
# A client is forgotten this long after its last connection to the wrong port.
KEEP_SECONDS: Final = 86_400.0

_LAST_FIRST = wrong_port.c.at.desc(), wrong_port.c.address, wrong_port.c.speaks_tls


@dataclass(frozen=True, slots=True)
class WrongPort:
    """A client of the wrong port, a row of the table ``wrong_port``.

    :ivar at: the time of the client's last connection to the wrong port.
    """

    address: str
    speaks_tls: bool
    at: float


def remove_old(connection: Connection, now: float) -> None:
    """Forget the clients whose last connection to the wrong port is too old."""
    connection.execute(delete(wrong_port).where(wrong_port.c.at <= now - KEEP_SECONDS))


def read_next_end(connection: Connection) -> float | None:
    """Return the time at which the first client is or was to be forgotten, or None if there is no client."""
    first: float | None = connection.execute(select(func.min(wrong_port.c.at))).scalar_one()
    return None if first is None else first + KEEP_SECONDS


def add(connection: Connection, clients: Iterable[WrongPort], now: float) -> None:
    """Store clients, and forget the clients that are too old or too many."""
    for client in clients:
        same = (wrong_port.c.address == client.address) & (wrong_port.c.speaks_tls == client.speaks_tls)
        if not connection.execute(update(wrong_port).where(same).values(at=client.at)).rowcount:
            connection.execute(insert(wrong_port).values(columns_of(client)))
    remove_old(connection, now)
    oldest = select(wrong_port.c.address, wrong_port.c.speaks_tls).order_by(*_LAST_FIRST).offset(MAX_CLIENTS)
    for address, speaks_tls in connection.execute(oldest).all():
        is_oldest = (wrong_port.c.address == address) & (wrong_port.c.speaks_tls == speaks_tls)
        connection.execute(delete(wrong_port).where(is_oldest))


def read_all(connection: Connection, now: float) -> tuple[WrongPort, ...]:
    """Read the clients of the last day, the last client first, `MAX_CLIENTS` at most."""
    of_a_day = select(wrong_port).where(wrong_port.c.at > now - KEEP_SECONDS)
    rows = connection.execute(of_a_day.order_by(*_LAST_FIRST).limit(MAX_CLIENTS))
    return tuple(value_of(WrongPort, row) for row in rows)
