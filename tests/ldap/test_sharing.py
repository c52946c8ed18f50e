# SPDX-License-Identifier: MIT
"""All connections share the log, the reactor's time and the sweep.  One client cannot use any of them up."""

from __future__ import annotations

from dataclasses import replace

import pytest
from twisted.internet.address import IPv6Address
from twisted.logger import formatEvent

from ldapgw.ldap.limits import CLOSE_TIMEOUT, MESSAGE_TIMEOUT
from tests.support import pdu
from tests.support.phonebook.wire import BASE, SECRET, Client, make_factory, make_gate, misuse

# Each entry has to be looked at.
EVERYTHING = pdu.search(BASE, 2, pdu.tlv(0x87, b"cn"), ("cn",))


# --- the log ----------------------------------------------------------------------------------------------------------


def test_errors_of_our_own_do_not_fill_the_log(clock, logged):
    """A line a minute for each place, with how many there were."""
    client = Client(make_factory(clock=clock))
    for at in range(1, 21):
        client.ask(pdu.bind("broken", b"x"), at)
    clock.pump([1] * 61)
    first, later = [formatEvent(event) for event in logged if event["log_level"].name == "error"]
    assert first.startswith("internal error: KeyError at wire.py:")
    assert later == first + ", 19 times"


def test_what_clients_do_wrong_is_told_in_plain_words(clock, logged):
    """The log has the misuse, the address, the count, and the reason if there is one."""
    factory = make_factory(clock=clock)
    for detail in ("first", "second", "third"):
        factory.count_misuse("not LDAP", "192.0.2.1", detail)
        factory.count_misuse("wrong login", "192.0.2.1")
    factory.disconnect_all()
    assert [formatEvent(event) for event in logged if "address" in event] == [
        "not LDAP from 192.0.2.1: first",
        "wrong login from 192.0.2.1",
        "not LDAP from 192.0.2.1, 2 times: third",
        "wrong login from 192.0.2.1, 2 times",
    ]


def test_the_log_says_whose_fault_and_misuse_it_was(clock, json_log):
    """The tenant of the login, and the connection; of a client without a login, the connection."""

    def fail(*_search):
        raise ZeroDivisionError

    factory = make_factory(replace(make_gate(), observers=(fail,)), clock=clock)
    for login in (pdu.bind("desk1", SECRET), pdu.bind("", b"")):
        client = Client(factory)
        client.ask(login)
        client.ask(EVERYTHING, 2)
        client.send(b"\x30\x80")
    factory.disconnect_all()
    whose = [(line["event"], line["count"], line["connection"], line.get("tenant")) for line in json_log]
    assert whose == [
        ("request_failed", 1, 1, "acme"),
        ("ldap_misuse", 1, 1, "acme"),
        ("ldap_misuse", 1, 2, None),
        ("request_failed", 1, 2, None),
    ]


def test_violations_do_not_fill_the_log(clock, logged):
    """A line a minute for each address, with how many there were and a phrase of ours about the last."""
    factory = make_factory(clock=clock)
    resident = Client(factory, "192.0.2.9")
    for at in range(90):
        Client(factory, f"192.0.2.{1 + at % 2}").send(b"GET /secret HTTP/1.1" if at < 80 else b"\x30\x80")
        clock.advance(1)
        for connection in factory._connections:
            if connection is not resident.protocol:
                connection.connectionLost()
    assert misuse(logged) == [
        ("not LDAP", "192.0.2.1", 1, "message: not an LDAPMessage"),
        ("not LDAP", "192.0.2.2", 1, "message: not an LDAPMessage"),
        ("not LDAP", "192.0.2.1", 29, "message: not an LDAPMessage"),
        ("not LDAP", "192.0.2.2", 29, "message: not an LDAPMessage"),
    ]
    factory.disconnect_all()
    assert misuse(logged)[4:] == [
        ("not LDAP", "192.0.2.1", 15, "message: length is not definite"),
        ("not LDAP", "192.0.2.2", 15, "message: length is not definite"),
    ]
    assert resident.closed
    assert "secret" not in repr(logged)


def test_who_is_one_too_many_does_not_fill_the_log(clock, logged):
    """A line a minute."""
    factory = make_factory(clock=clock, max_connections=1)
    _resident = Client(factory)
    for _ in range(30):
        assert factory.buildProtocol(IPv6Address("TCP", "2001:db8::1", 5)) is None
    clock.pump([1] * 61)
    assert misuse(logged) == [
        ("one connection too many", "2001:db8::1 (2001:db8::/64)", 1, ""),
        ("one connection too many", "2001:db8::1 (2001:db8::/64)", 29, ""),
    ]


# --- the sweep --------------------------------------------------------------------------------------------------------


def test_idle_connections_are_not_looked_at_before_their_time(clock):
    """Ten thousand of them cost a sweep the comparison of two numbers each."""
    factory = make_factory(clock=clock, max_connections=2_000, max_connections_per_address=2_000)
    looked = []
    for _ in range(2_000):
        Client(factory).protocol.expire = looked.append
    clock.pump([1] * 898)
    assert looked == []
    clock.pump([1] * 3)
    assert len(looked) >= 2_000


@pytest.mark.parametrize(
    ("failing", "is_aborted"),
    [("loseConnection", True), ("abortConnection", False)],
    ids=["the connection cannot be closed", "the connection cannot be aborted either"],
)
def test_an_error_at_a_deadline_ends_one_connection(clock, caplog_twisted, failing, is_aborted):
    """The sweep logs the error once, aborts the connection, and does not try again; another connection is closed."""

    def fail():
        raise ZeroDivisionError

    factory = make_factory(clock=clock)
    broken, whole = Client(factory), Client(factory)
    broken.transport.loseConnection = fail
    setattr(broken.transport, failing, fail)
    for client in (broken, whole):
        client.send(b"\x30\x05\x02")
    clock.pump([1] * (round(MESSAGE_TIMEOUT) + 1))
    assert (broken.transport.aborted, whole.transport.disconnecting) == (is_aborted, True)
    clock.pump([1] * (round(CLOSE_TIMEOUT) + 120))
    assert (broken.transport.aborted, whole.transport.aborted) == (is_aborted, True)
    [line] = caplog_twisted
    assert line.startswith("internal error: ZeroDivisionError at test_sharing.py:")
