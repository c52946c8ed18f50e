# SPDX-License-Identifier: MIT
"""What bounds a client: addresses, connections, deadlines, penalties, and what waits to be written."""

from __future__ import annotations

from math import inf

import pytest

from ldapgw.ldap.admission import (
    FORGET,
    LONGEST,
    MAX_TRACKED_LOGINS,
    Connections,
    Deadlines,
    Overdue,
    Penalties,
    Wait,
    network,
    normalized,
)
from ldapgw.ldap.search_response import Outbox


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
    connections.linger("net")
    assert (len(connections), connections.has_room("net"), connections.has_room("third")) == (1, False, True)
    connections.leave("net")
    assert connections.has_room("net")


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
    deadlines.set(Wait(waiting), 10.0)
    assert deadlines.due == 10.0
    assert deadlines.overdue(9.9) is None
    assert deadlines.overdue(10.0) is expected


def test_what_is_put_off_is_looked_at_once_more():
    """The sweep looks at one number; it may be too early, never too late."""
    deadlines = Deadlines()
    deadlines.set(Wait.IDLE, 10.0)
    deadlines.set(Wait.MESSAGE, 5.0)
    deadlines.message = inf
    deadlines.idle = 20.0
    assert deadlines.due == 5.0
    assert deadlines.overdue(6.0) is None
    assert deadlines.due == 20.0


def test_wrong_passwords_get_slower_and_are_forgotten():
    """Each network for itself."""
    penalties = Penalties()
    delays = [penalties.add("a", f"phone{number}", 0.0) for number in range(7)]
    assert delays == [0.25, 0.5, 1.0, 2.0, 4.0, LONGEST, LONGEST]
    assert penalties.add("b", "other", 0.0) == 0.25
    assert penalties.add("a", "other", FORGET - 1) == LONGEST
    assert penalties.add("a", "other", 2 * FORGET) == 0.25


@pytest.mark.parametrize("spelling", ["desk1", " DESK1", "cn=desk1,ou=phones,dc=example", "CN=Desk1, ou=phones"])
def test_a_login_that_is_tried_from_everywhere_gets_slower_too(spelling):
    """Whatever it is written like."""
    penalties = Penalties()
    assert [penalties.add(f"net{at}", "desk1", 0.0) for at in range(3)] == [0.25, 0.5, 1.0]
    assert penalties.add("net9", spelling, 0.0) == 2.0
    assert penalties.add("net10", "desk2", 0.0) == 0.25


def test_what_was_tried_as_a_login_is_not_kept():
    """It may be a password in the wrong field."""
    penalties = Penalties()
    penalties.add("net", "hunter2", 0.0)
    assert "hunter2" not in repr(penalties._counts)


def test_the_table_of_penalties_is_bounded():
    """What was quiet longest goes first."""
    penalties = Penalties()
    penalties.add("first", "phone", 0.0)
    for number in range(MAX_TRACKED_LOGINS // 2):
        penalties.add(f"net{number}", f"phone{number}", 1.0)
    assert len(penalties._counts) == MAX_TRACKED_LOGINS
    assert penalties.add("net1", "new", 2.0) == 0.5
    assert penalties.add("first", "new2", 2.0) == 0.25


def test_the_outbox_joins_what_was_said():
    """And knows how much it is."""
    outbox = Outbox()
    outbox.add(b"ab")
    outbox.add(b"c")
    assert (outbox.size, outbox.take()) == (3, b"abc")
    assert (outbox.size, outbox.take()) == (0, b"")


def test_the_outbox_gives_blocks_as_they_are():
    """It is full when one more of their size would be too much."""
    outbox = Outbox(7)
    assert (outbox.gather(b"abc"), outbox.full) == (True, False)
    assert (outbox.gather(b"de"), outbox.full) == (True, False)
    assert (outbox.gather(b"fgh"), outbox.full) == (False, True)
    assert outbox.take_pieces() == [b"abc", b"de"]
    assert (outbox.full, outbox.size, outbox.take_pieces()) == (False, 0, [])
    assert (outbox.gather(b"fgh"), outbox.full) == (True, False)
    assert (outbox.gather(b"ijk"), outbox.full) == (True, True)


def test_the_outbox_takes_a_block_alone_however_large_it_is():
    """Else it would wait without end."""
    outbox = Outbox(2)
    assert (outbox.gather(b"abc"), outbox.full, outbox.take()) == (True, True, b"abc")
