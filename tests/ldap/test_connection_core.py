# SPDX-License-Identifier: MIT
"""Requests of one turn are answered together, on the wire (`tests.ldap.test_turns` has the order and the shares)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from ldapgw.ber import octets, tlv
from ldapgw.directory.filter import SearchKind
from ldapgw.errors import ResultCode
from ldapgw.ldap.messages import WHO_AM_I, FinishedSearch
from tests.support import pdu
from tests.support.filter_text import encode, read_filter
from tests.support.phonebook.wire import BASE, DESK1, SECRET, Client, make_dit, make_factory, make_gate, turn

ROOT = pdu.message(2, pdu.search("", 0))
EVERYBODY = pdu.message(2, pdu.search(BASE, 2))
NOBODY = pdu.message(2, pdu.search(BASE, 2, tlv(0xA3, octets(b"sn") + octets(b"nobody"))))
DONE = 0x65


def test_a_turn_ends_with_the_clock_as_well(clock: Clock) -> None:
    """A turn ends in a reactor that is not ours too."""
    client = Client(make_factory(clock=clock))
    client.protocol.dataReceived(ROOT)
    assert client.received() == []
    clock.advance(0)
    assert [one.kind for one in client.received()] == [0x64, DONE]


def test_what_comes_in_two_pieces_in_one_turn_is_one(clock: Clock) -> None:
    """As two records of TLS may."""
    factory = make_factory(clock=clock)
    client = Client(factory)
    for piece in (ROOT[:9], ROOT[9:]):
        client.protocol.dataReceived(piece)
    factory.turns.end_turn()
    assert [one.kind for one in client.received()] == [0x64, DONE]


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("require_tls", [False, True])
@pytest.mark.parametrize(
    ("name", "password"),
    [(DESK1, b"secret"), ("desk1", b"secret"), ("desk1", b"wrong"), ("desk2", b"secret"), ("", b""), ("broken", b"x")],
)
def test_a_bind_says_the_same_at_once_and_on_the_long_way(
    name: str, password: bytes, *, require_tls: bool, secure: bool
) -> None:
    """A bind in two pieces takes the long way; a bind that fails ends the login before it."""
    before, bind = (pdu.message(at, pdu.bind(*login)) for at, login in ((1, (DESK1, SECRET)), (2, (name, password))))
    who = pdu.message(3, pdu.extended(WHO_AM_I))

    def said(*pieces: bytes) -> bytes:
        clock = Clock()
        client = Client(make_factory(clock=clock, require_tls=require_tls), secure=secure)
        for piece in (before, *pieces, who):
            client.deliver(piece)
            clock.pump([1.0] * 10)  # a wrong password is held back
        return client.transport.value()

    assert said(bind) == said(bind[:10], bind[10:])


def test_a_bind_is_answered_before_what_takes_long(clock: Clock) -> None:
    """With the searches that are answered at once; the next search has its rights."""
    factory = make_factory(clock=clock)
    slow, client = Client(factory), Client(factory)
    slow.transport.write = lambda octets: said.append(("slow", octets))
    client.transport.write = lambda octets: said.append(("client", octets))
    said: list[tuple[str, bytes]] = []
    slow.protocol.dataReceived(ROOT)
    client.protocol.dataReceived(pdu.message(1, pdu.bind(DESK1, SECRET)))
    factory.turns.end_turn()
    assert [name for name, _ in said] == ["client", "slow"]
    assert said[0][1] == bytes.fromhex("300c02010161070a010004000400")
    client.deliver(pdu.message(2, pdu.extended(WHO_AM_I)))
    assert DESK1.encode() in said[-1][1]


def test_who_says_no_more_in_the_same_turn_is_answered(clock: Clock) -> None:
    """And then closed."""
    client = Client(make_factory(clock=clock))
    client.protocol.dataReceived(ROOT)
    client.protocol.readConnectionLost()
    clock.pump([0.0] * 3)
    assert [one.kind for one in client.received()] == [0x64, DONE]
    assert client.closed


@pytest.mark.parametrize("asked", [EVERYBODY, NOBODY], ids=["at length", "at once"])
def test_who_is_gone_by_the_end_of_the_turn_is_not_looked_at(clock: Clock, asked: bytes) -> None:
    """A login that has just changed finds nothing more, not even what is found at once."""
    factory = make_factory(clock=clock)
    client = Client(factory)
    client.bind()
    client.protocol.dataReceived(asked)
    factory.disconnect(client.protocol.login)
    factory.turns.end_turn()
    assert [one.kind for one in client.received()] == [0x78]


def test_who_asks_at_the_last_moment_is_not_idle(clock: Clock) -> None:
    """Received requests count although they are not answered yet."""
    factory = make_factory(clock=clock)
    client = Client(factory)
    client.bind()
    client.protocol.dataReceived(EVERYBODY)
    client.protocol.expire(clock.seconds() + 1e6)
    factory.turns.end_turn()
    assert client.received()[-1].kind == DONE


def test_who_asks_when_the_answer_to_a_wrong_password_is_due_is_answered() -> None:
    """In that same turn: later turns work on the connection already, and do this too."""
    clock = Clock()
    client = Client(make_factory(clock=clock))
    assert client.ask(pdu.bind(DESK1, b"guess")) == []
    turn(clock)
    [release] = [call for call in clock.calls if call.func.__name__ == "_send_delayed_result"]
    clock.rightNow = release.getTime()
    client.protocol.dataReceived(EVERYBODY)
    for _ in range(3):
        turn(clock)
    assert [(one.message_id, one.code) for one in client.received()] == [(1, 49), (2, 50)]


def test_the_ends_of_answers_leave_before_a_search_that_may_last() -> None:
    """One asks who it is and another for more than can be answered at once, in one turn: the first is not held up."""
    factory = make_factory(make_gate(make_dit(1000)), size_limit=100_000)
    one, other = Client(factory), Client(factory)
    other.bind()
    seen: list[int] = []
    other.transport.write = lambda octets: seen.append(len(one.transport.value()))
    one.protocol.dataReceived(pdu.message(1, pdu.extended(WHO_AM_I)))
    other.protocol.dataReceived(EVERYBODY)
    factory.turns.end_turn()
    assert seen
    assert all(seen)
    assert [reply.code for reply in one.received()] == [0]


def test_an_error_of_output_for_a_closed_connection_ends_nothing_more(clock: Clock) -> None:
    """Output of the slow path may be sent with that of others when its connection is closed already."""
    client = Client(make_factory(clock=clock))
    client.transport.write = lambda _: 1 // 0
    client.protocol.connectionLost()
    with capturedLogs() as logged:
        client.protocol._core.send(b"late")
    assert [event["kind"] for event in logged] == ["ZeroDivisionError"]
    assert not client.transport.aborted


def test_a_connection_that_breaks_harms_nobody_else_in_the_turn(clock: Clock) -> None:
    """Neither while it is sent to nor while it is worked on: it is cut off, and the others are answered."""
    factory = make_factory(make_gate(make_dit(1000)), clock, size_limit=100_000)
    bound, curious, greedy, hasty, eager, other = (Client(factory, f"192.0.2.{at}") for at in range(6))
    greedy.bind()
    for broken in (bound, curious, greedy, hasty, eager):
        broken.transport.write = lambda _: 1 // 0
    bound.protocol.dataReceived(pdu.message(1, pdu.bind(DESK1, SECRET)))
    curious.protocol.dataReceived(pdu.message(1, pdu.extended(WHO_AM_I)))
    greedy.protocol.dataReceived(EVERYBODY)
    hasty.protocol.dataReceived(ROOT * 1000)
    eager.protocol.dataReceived(pdu.message(1, pdu.extended(WHO_AM_I)) * 4000)
    other.protocol.dataReceived(ROOT)
    with capturedLogs() as logged:
        factory.turns.end_turn()
    clients = (bound, curious, greedy, hasty, eager, other)
    assert [client.transport.aborted for client in clients] == [True] * 5 + [False]
    assert [one.kind for one in other.received()] == [0x64, DONE]
    assert {event["kind"] for event in logged} == {"ZeroDivisionError"}


def test_an_error_of_our_own_harms_nobody_else_in_the_turn(clock: Clock) -> None:
    """A search that fails at once takes the long way; a search that cannot be noted is answered all the same."""
    gate, dits, notes = make_gate(), [KeyError("broken")], list[str]()

    def dit():
        if dits:
            raise dits.pop()
        return gate.dit()

    def observe(search: FinishedSearch) -> None:
        notes.append(search.address)
        if len(notes) == 1:
            raise KeyError(search.address)

    factory = make_factory(replace(gate, dit=dit, observers=(observe,)), clock)
    clients = [Client(factory, f"192.0.2.{at}") for at in range(3)]
    for client in clients:
        client.bind()
    for client in clients:
        client.protocol.dataReceived(NOBODY)
    with capturedLogs() as logged:
        factory.turns.end_turn()
    assert [[(one.kind, one.code) for one in client.received()] for client in clients] == [[(DONE, 0)]] * 3
    assert sorted(notes) == [f"192.0.2.{at}" for at in range(3)]
    assert [event["kind"] for event in logged] == ["KeyError"] * 2


@pytest.mark.parametrize(
    ("filter_text", "kind"),
    [
        ("(cn=user*)", SearchKind.NAME),
        ("(|(cn=user*)(telephoneNumber=user*))", SearchKind.NAME),
        ("(telephoneNumber=+49301234567)", SearchKind.NUMBER),
        ("(|(telephoneNumber=0301234567)(mobile=0301234567))", SearchKind.NUMBER),
        ("(&(objectClass=person)(telephoneNumber=*))", SearchKind.LIST),
    ],
)
def test_observers_hear_what_a_search_asks_for(filter_text: str, kind: SearchKind, clock: Clock) -> None:
    """The same at once, at once again, with another value, and on the long way."""
    heard: list[object] = []
    factory = make_factory(replace(make_gate(), observers=(lambda search: heard.append(search.kind),)), clock)
    client = Client(factory)
    client.bind()
    first = pdu.message(2, pdu.search(BASE, 2, encode(read_filter(filter_text))))
    other = first.replace(b"user", b"resu").replace(b"1234567", b"1234568")
    for pieces in ((first,), (first,), (other,), (first[:9], first[9:])):
        for piece in pieces:
            client.protocol.dataReceived(piece)
        factory.turns.end_turn()
    client.deliver(ROOT)
    client.deliver(pdu.message(3, pdu.search(BASE, 7)))  # there is no such scope
    assert heard == [kind, kind, kind, kind, SearchKind.ENTRY, SearchKind.OTHER]


@pytest.mark.parametrize("pieces", [1, 2])
def test_binds_are_observed(pieces: int, clock: Clock) -> None:
    """At once and on the long way, a wrong password before its answer is delayed."""
    heard: list[ResultCode] = []
    client = Client(make_factory(replace(make_gate(), bind_decided=heard.append), clock, require_tls=False))
    for name, password in ((DESK1, SECRET), ("", b""), ("desk1", b""), ("desk1", b"wrong")):
        bind = pdu.message(2, pdu.bind(name, password))
        for piece in (bind,) if pieces == 1 else (bind[:10], bind[10:]):
            client.deliver(piece)
    assert heard == [
        ResultCode.SUCCESS,
        ResultCode.SUCCESS,
        ResultCode.UNWILLING_TO_PERFORM,
        ResultCode.INVALID_CREDENTIALS,
    ]
