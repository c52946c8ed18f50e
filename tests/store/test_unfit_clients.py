# SPDX-License-Identifier: MIT
"""Clients that cannot connect: the last of a day, and not too many."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from ldapgw.store.provisioning import (
    MAX_UNFIT_CLIENTS,
    UNFIT_CLIENT_SECONDS,
    Mistake,
    UnfitClient,
    add_unfit_clients,
    read_unfit_clients,
)
from ldapgw.store.tables import unfit_client

NOW = 1_800_000_000.0
PLAIN, UNKNOWN = Mistake.PLAIN_ON_TLS_PORT, Mistake.UNKNOWN_AUTHORITY


def test_each_client_once_for_each_mistake(connection: Connection) -> None:
    """The last client comes first; a client with two mistakes is there twice."""
    first, both = (
        UnfitClient("192.0.2.1", PLAIN, NOW),
        UnfitClient("192.0.2.2", PLAIN, NOW + 1),
    )
    add_unfit_clients(connection, [first, both], NOW + 1)
    again = [
        UnfitClient("192.0.2.2", UNKNOWN, NOW + 2),
        UnfitClient("192.0.2.1", PLAIN, NOW + 3),
    ]
    add_unfit_clients(connection, again, NOW + 3)
    assert read_unfit_clients(connection, NOW + 3) == (again[1], again[0], both)


def test_a_client_is_forgotten_after_a_day(connection: Connection) -> None:
    """It is not read any more, and deleted by the next write."""
    old, new = (UnfitClient(f"192.0.2.{number}", UNKNOWN, NOW + number) for number in (0, 1))
    add_unfit_clients(connection, [old, new], NOW + 1)
    assert read_unfit_clients(connection, NOW + UNFIT_CLIENT_SECONDS) == (new,)
    add_unfit_clients(connection, [], NOW + UNFIT_CLIENT_SECONDS)
    assert connection.execute(select(unfit_client.c.address)).scalars().all() == [new.address]


def test_many_clients(connection: Connection) -> None:
    """The last twenty are kept, even if all came at once."""
    for group in range(3):
        clients = [UnfitClient(f"192.0.{group}.{number}", PLAIN, NOW + group) for number in range(15)]
        add_unfit_clients(connection, clients, NOW + group)
    kept = read_unfit_clients(connection, NOW + 2)
    assert [client.at - NOW for client in kept] == [2.0] * 15 + [1.0] * (MAX_UNFIT_CLIENTS - 15)
    assert connection.execute(select(func.count()).select_from(unfit_client)).scalar_one() == MAX_UNFIT_CLIENTS
