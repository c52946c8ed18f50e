# SPDX-License-Identifier: MIT
"""What bounds a client: addresses, connections, deadlines, penalties, and what waits to be written."""

from __future__ import annotations

import pytest

from ldapgw.ldap.address import network, normalized
from ldapgw.ldap.connections import Connections
from ldapgw.ldap.deadlines import Deadlines, Overdue
from ldapgw.ldap.outbox import Outbox
from ldapgw.ldap.penalties import FORGET, LONGEST, MOST, Penalties


@pytest.mark.parametrize(
    ("host", "address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1"),
        ("2001:DB8::1:2", "2001:db8::1:2", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::1", "fe80::/64"),
    ],
)
def test_an_address_has_one_spelling(host, address, counted):
    """IPv4 on an IPv6 socket is IPv4; an IPv6 host has a whole /64."""
    assert normalized(host) == address
    assert network(address) == counted


def test_connections_are_counted_in_all_and_by_network():
    """Who goes makes room."""
    connections: Connections[str] = Connections(3, 2)
    connections.add("a", "net")
    connections.add("b", "net")
    assert (connections.has_room("net"), connections.has_room("other")) == (False, True)
    connections.add("c", "other")
    assert not connections.has_room("third")
    assert sorted(connections) == ["a", "b", "c"]
    connections.remove("a")
    connections.remove("c")
    assert (len(connections), connections.has_room("net"), connections.has_room("third")) == (1, True, True)


@pytest.mark.parametrize(
    ("waiting", "expected"),
    [
        ("idle", Overdue.CLOSE),
        ("message", Overdue.CLOSE),
        ("write", Overdue.ABORT),
        ("handshake", Overdue.ABORT),
        ("closing", Overdue.ABORT),
    ],
)
def test_each_deadline_has_its_end(waiting, expected):
    """Who takes nothing is cut off; who says nothing is sent away."""
    deadlines = Deadlines()
    assert deadlines.overdue(1e12) is None
    setattr(deadlines, waiting, 10.0)
    assert deadlines.overdue(9.9) is None
    assert deadlines.overdue(10.0) is expected


def test_wrong_passwords_get_slower_and_are_forgotten():
    """Each network for itself."""
    penalties = Penalties()
    assert [penalties.add("a", 0.0) for _ in range(7)] == [
        (1, 0.25), (2, 0.5), (3, 1.0), (4, 2.0), (5, 4.0), (6, LONGEST), (7, LONGEST)
    ]  # fmt: skip
    assert penalties.add("b", 0.0) == (1, 0.25)
    assert penalties.add("a", FORGET - 1) == (8, LONGEST)
    assert penalties.add("a", 2 * FORGET) == (1, 0.25)


def test_the_table_of_penalties_is_bounded():
    """What was quiet longest goes first."""
    penalties = Penalties()
    penalties.add("first", 0.0)
    for number in range(MOST):
        penalties.add(f"net{number}", 1.0)
    assert penalties.add("net1", 2.0)[0] == 2
    assert penalties.add("first", 2.0)[0] == 1


def test_the_outbox_joins_what_was_said():
    """And knows how much it is."""
    outbox = Outbox()
    outbox.add(b"ab")
    outbox.add(b"c")
    assert (outbox.size, outbox.take()) == (3, b"abc")
    assert (outbox.size, outbox.take()) == (0, b"")
