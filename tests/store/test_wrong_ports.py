# SPDX-License-Identifier: MIT
"""Clients of wrong ports: the last of a day, and not too many."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from ldapgw.store import wrong_ports
from ldapgw.store.tables import wrong_port
from ldapgw.store.wrong_ports import KEEP_SECONDS, MAX_CLIENTS, WrongPort

NOW = 1_800_000_000.0


def test_each_client_of_a_port_once(connection: Connection) -> None:
    """The last client comes first; a client of both ports is there twice."""
    first, both = WrongPort("192.0.2.1", speaks_tls=False, at=NOW), WrongPort("192.0.2.2", speaks_tls=False, at=NOW + 1)
    wrong_ports.add(connection, [first, both], NOW + 1)
    again = [WrongPort("192.0.2.2", speaks_tls=True, at=NOW + 2), WrongPort("192.0.2.1", speaks_tls=False, at=NOW + 3)]
    wrong_ports.add(connection, again, NOW + 3)
    assert wrong_ports.read_all(connection, NOW + 3) == (again[1], again[0], both)


def test_a_client_is_forgotten_after_a_day(connection: Connection) -> None:
    """It is not read any more, and deleted by the next write."""
    old, new = (WrongPort(f"192.0.2.{number}", speaks_tls=True, at=NOW + number) for number in (0, 1))
    wrong_ports.add(connection, [old, new], NOW + 1)
    assert wrong_ports.read_all(connection, NOW + KEEP_SECONDS) == (new,)
    wrong_ports.add(connection, [], NOW + KEEP_SECONDS)
    assert connection.execute(select(wrong_port.c.address)).scalars().all() == [new.address]


def test_many_clients(connection: Connection) -> None:
    """The last twenty are kept, even if all came at once."""
    for group in range(3):
        clients = [WrongPort(f"192.0.{group}.{number}", speaks_tls=False, at=NOW + group) for number in range(15)]
        wrong_ports.add(connection, clients, NOW + group)
    kept = wrong_ports.read_all(connection, NOW + 2)
    assert [client.at - NOW for client in kept] == [2.0] * 15 + [1.0] * (MAX_CLIENTS - 15)
    assert connection.execute(select(func.count()).select_from(wrong_port)).scalar_one() == MAX_CLIENTS
