# SPDX-License-Identifier: MIT
"""Whole conversations over a transport in memory."""

from __future__ import annotations

import gc
import sys
import weakref
from dataclasses import replace

import pytest
from twisted.internet.address import IPv6Address, UNIXAddress
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from ldapgw.contact import Contact, Kind, Sharing
from ldapgw.directory.access import NOBODY, LeftOut
from ldapgw.directory.book import build_book
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.filter import Substrings
from ldapgw.errors import ResultCode
from ldapgw.ldap.connection_core import AHEAD
from ldapgw.ldap.limits import MESSAGE_TIMEOUT
from ldapgw.ldap.server import LdapFactory
from tests.support import asks, pdu
from tests.support.filter_text import encode, read_filter
from tests.support.phonebook.entries import phone
from tests.support.phonebook.wire import (
    BASE,
    CONTEXT,
    DESK1,
    LIMITS,
    SECRET,
    Client,
    Contexts,
    SteppingClock,
    contacts,
    make_dit,
    make_factory,
    make_gate,
    misuse,
    turn,
)

ENTRY, DONE = 0x64, 0x65
NOTICE = "1.3.6.1.4.1.1466.20036"
# Each entry has to be looked at.
EVERYTHING = pdu.search(BASE, 2, pdu.tlv(0x87, b"cn"), ("cn",))
TOP = ("objectClass", (b"top",))


@pytest.fixture(name="client")
def _client(clock):
    return Client(make_factory(clock=clock))


def summary(found):
    """Message ids and kinds; entries counted."""
    return [(one.message_id, one.kind, one.code) for one in found]


def let_run(clock: Clock, turns: int = 1000) -> None:
    """Let what is due now happen, turn by turn, as a reactor does."""
    for _ in range(turns):
        turn(clock)


# --- requests and answers -------------------------------------------------------------------------------------------


def test_the_root_dse_needs_no_login(client):
    """The first request of any tool; entry and end come in one packet."""
    entry, done = client.ask(pdu.search("", 0), 5)
    assert (entry.message_id, entry.dn, entry.attributes) == (5, "", (TOP,))
    assert done == pdu.Response(5, DONE, 0)
    assert len(client.transport.writes) == 1


def test_bind_search_unbind(client):
    """Phones do this all day; nothing after the unbind is answered."""
    client.bind()
    *entries, done = client.ask(pdu.search(BASE, 2, attributes=("cn",), size=3), 2)
    assert [entry.attributes for entry in entries[2:]] == [(("cn", (b"User 00000",)),)]
    assert done.code == ResultCode.SIZE_LIMIT_EXCEEDED
    assert client.send(pdu.message(3, pdu.UNBIND), pdu.message(4, pdu.search())) == []
    assert client.closed
    assert client.ask(pdu.search(), 5) == []
    assert not client.protocol._framer.partial


def test_pipelined_requests_are_answered_in_order_and_at_once(client):
    """Even when there is an unbind behind them."""
    requests = [pdu.message(at, request) for at, request in ((9, pdu.bind(DESK1, SECRET)), (3, pdu.WHO_AM_I))]
    found = client.send(*requests, pdu.message(7, pdu.compare("", "objectClass", b"top")), pdu.message(1, pdu.UNBIND))
    assert summary(found) == [(9, 0x61, 0), (3, 0x78, 0), (7, 0x6F, 6)]
    assert found[1].value == b"dn:" + DESK1.encode()
    assert client.closed


def test_a_thousand_pipelined_searches(client):
    """More than may wait: none has to wait."""
    found = client.send(*(pdu.message(at, pdu.search("", 0)) for at in range(1, 1001)))
    assert [one.message_id for one in found if one.kind == DONE] == list(range(1, 1001))


@pytest.mark.parametrize(("secure", "mechanisms"), [(False, None), (True, (b"PLAIN",))], ids=["clear", "TLS"])
def test_the_root_dse_is_honest_about_this_connection(secure, mechanisms):
    """PLAIN works on TLS alone, StartTLS before it, where there is a certificate."""
    factory = make_factory(make_gate(make_dit(tls=True)), tls=Contexts())
    entry, _done = Client(factory, secure=secure).ask(pdu.search("", 0, attributes=("+",)))
    attributes = dict(entry.attributes)
    assert attributes.get("supportedSASLMechanisms") == mechanisms
    start_tls = () if secure else (b"1.3.6.1.4.1.1466.20037",)
    assert attributes["supportedExtension"] == (b"1.3.6.1.1.8", *start_tls, b"1.3.6.1.4.1.4203.1.11.3")
    assert attributes["supportedControl"] == (
        b"1.2.840.113556.1.4.319",
        b"1.2.840.113556.1.4.473",
        b"2.16.840.1.113730.3.4.2",
        b"2.16.840.1.113730.3.4.9",
    )


# --- what goes wrong ------------------------------------------------------------------------------------------------


def test_what_cannot_be_read_gets_a_notice_and_the_end(client):
    """And what was answered before it stays answered."""
    found = client.send(pdu.message(1, pdu.search("", 0)), b"\x50\x00", pdu.message(2, pdu.search()))
    assert found[-1] == pdu.Response(0, 0x78, 2, "", "message: not an LDAPMessage", NOTICE)
    assert [one.message_id for one in found] == [1, 1, 0]
    assert client.closed


@pytest.mark.parametrize("logs_connections", [False, True])
def test_connections_are_logged_for_who_asked(json_log, logs_connections):
    """Each with its number, when it is opened and when it is closed; then also with the tenant of its login."""
    factory = LdapFactory(make_gate(), LIMITS, Clock(), None, require_tls=False, logs_connections=logs_connections)
    clients = [Client(factory, "192.0.2.1"), Client(factory, "192.0.2.2")]
    assert [found.code for found in clients[0].ask(pdu.bind("desk1", SECRET))] == [0]
    for client in clients:
        client.protocol.connectionLost()
    lines = [(line["event"], line["connection"], line["address"], line.get("tenant")) for line in json_log]
    assert lines == logs_connections * [
        ("connection_opened", 1, "192.0.2.1", None),
        ("connection_opened", 2, "192.0.2.2", None),
        ("connection_closed", 1, "192.0.2.1", "acme"),
        ("connection_closed", 2, "192.0.2.2", None),
    ]


def test_an_error_of_our_own_is_answered_and_logged_without_what_was_sent(client, logged):
    """The program goes on, this session too."""
    assert summary(client.ask(pdu.bind("broken", b"hunter2"), 1)) == [(1, 0x61, ResultCode.OTHER)]
    assert summary(client.ask(pdu.search("", 0), 2)) == [(2, ENTRY, None), (2, DONE, 0)]
    [event] = [event for event in logged if event["log_level"].name == "error"]
    assert event["kind"] == "KeyError"
    assert event["place"].startswith("wire.py:")
    assert "log_failure" not in event
    assert not [secret for secret in ("broken", "hunter2") if secret in repr(event)]


def test_an_error_of_our_own_with_nothing_to_answer_ends_the_session(clock):
    """There is no operation that could end with other."""
    answers = iter([NOBODY])
    client = Client(make_factory(replace(make_gate(), anonymous=lambda _: next(answers)), clock, tls=Contexts()))
    [notice] = client.ask(pdu.START_TLS)
    assert (notice.code, notice.diagnostic, notice.name) == (ResultCode.OTHER, "internal error", NOTICE)
    assert client.closed


# --- wrong passwords ------------------------------------------------------------------------------------------------


def test_a_wrong_password_is_answered_later_and_later(clock, client, logged):
    """Requests behind the bind wait; colleagues do not."""
    for at, delay in enumerate((0.25, 0.5, 1.0), 1):
        assert client.send(pdu.message(at, pdu.bind("desk1", b"guess")), pdu.message(50 + at, pdu.WHO_AM_I)) == []
        clock.advance(delay - 0.01)
        assert client.received() == []
        colleague = Client(client.protocol._server)
        colleague.bind()
        clock.advance(0.02)
        let_run(clock, 3)
        assert summary(client.received()) == [(at, 0x61, 49), (50 + at, 0x78, 0)]
    clock.pump([1] * 61)
    assert misuse(logged) == [("wrong login", "192.0.2.1", 1, ""), ("wrong login", "192.0.2.1", 2, "")]


def test_a_refused_login_is_noted_once(clock):
    """By its name as it was sent, known or not; not a good one, nor one for somebody else."""
    noted = []
    gate = replace(make_gate(), login_refused=lambda name, address: noted.append((name, address)))
    client = Client(make_factory(gate, clock, tls=Contexts()))
    for at, bind in enumerate((pdu.bind("desk1", b"guess"), pdu.bind("desk2", SECRET), pdu.bind(DESK1, SECRET)), 1):
        client.send(pdu.message(at, bind))
        clock.advance(1.0)
    assert noted == [("desk1", "192.0.2.1"), ("desk2", "192.0.2.1")]


def test_who_guesses_and_leaves_is_no_faster(clock):
    """The answer goes with the connection; its place stays taken until the answer's time has come."""
    factory = make_factory(clock=clock, max_connections_per_address=2)
    for name in ("desk1", "desk2"):
        guesser = Client(factory)
        guesser.ask(pdu.bind(name, b"guess"))
        guesser.protocol.connectionLost()
    assert factory.buildProtocol(guesser.transport.getPeer()) is None
    Client(factory, "192.0.2.9").bind()
    clock.advance(0.25)
    Client(factory).bind()
    assert factory.buildProtocol(guesser.transport.getPeer()) is None
    clock.advance(0.25)
    Client(factory).bind()


def test_one_wrong_password_of_a_login_waits_and_the_others_end_their_connection(clock):
    """However the login is spelt; the right password is never refused for what others guess."""
    factory = make_factory(clock=clock)
    guesser = Client(factory)
    assert guesser.ask(pdu.bind("desk1", b"guess")) == []
    for number in range(3):
        other = Client(factory)
        assert summary(other.ask(pdu.bind(rf"cn=desk\31,dc={number}", b"guess"), 7)) == [(7, 0x61, 49)]
        assert other.closed
        assert other.send(pdu.message(8, pdu.WHO_AM_I)) == []
    Client(factory).bind()
    elsewhere = Client(factory, "192.0.2.9")
    assert elsewhere.ask(pdu.bind("desk1", b"guess")) == []
    assert not guesser.closed
    clock.advance(0.25)
    assert summary(guesser.received()) == [(1, 0x61, 49)]
    assert not guesser.closed


# --- numbers that are tried -----------------------------------------------------------------------------------------


def callers_dit() -> Dit:
    """A book of one's own with 030 1234567, and somebody else's that is open for caller ID, with 0171 2345678."""
    own = build_book(CONTEXT, "alice", "alice@x", Sharing.PRIVATE, contacts(1), {}, per_number=False)
    ada = Contact(uid="a", source_id="a", name="Ada", phones=(phone(Kind.MOBILE, "+491712345678"),))
    callers = build_book(CONTEXT, "bob", "bob@x", Sharing.CALLERS, [ada], {}, per_number=False)
    return Dit((Directory(CONTEXT, (own, callers)),), make_dit().features)


@pytest.mark.parametrize("controls", [b"", pdu.controls(asks.page(5))], ids=["fast", "paged"])
def test_who_tries_numbers_finds_no_callers_soon(clock, logged, controls):
    """All else is found as ever, the administrator is told, and a second later one may ask for one number again."""
    factory = make_factory(make_gate(callers_dit()), clock)

    def found(number: str) -> list[str]:
        client = Client(factory)
        client.bind()
        *entries, done = client.ask(
            pdu.search(BASE, 2, encode(read_filter(f"(|(mobile={number})(cn=User*)(telephoneNumber={number}))"))),
            2,
            controls,
        )
        assert done.code == 0
        client.protocol.connectionLost()
        return [dict(entry.attributes)["cn"][0].decode() for entry in entries]

    assert found("01712345678") == ["Ada", "User 00000"]
    for number in range(300):
        assert found(f"0309990{number:03}") == ["User 00000"]
    assert (misuse(logged), factory.left_out("acme")) == ([], ())
    assert found("01712345678") == ["User 00000"]
    assert found("01712345678") == ["User 00000"]
    assert misuse(logged) == [("too many unknown numbers, caller-ID books left out", "192.0.2.1", 1, DESK1)]
    assert factory.left_out("acme") == (LeftOut(DESK1, ("acme",), "192.0.2.1", 2, clock.seconds()),)
    clock.advance(1.0)
    assert found("01712345678") == ["Ada", "User 00000"]


def test_an_error_while_an_answer_is_held_back_does_not_answer_twice(clock, client, monkeypatch):
    """The bind is still waiting for its time."""
    client.ask(pdu.bind("desk1", b"guess"))
    monkeypatch.setattr("ldapgw.ldap.connection.decode", lambda octets: octets.no_such_method())
    [notice] = client.ask(pdu.WHO_AM_I, 2)
    assert (notice.code, notice.name) == (ResultCode.OTHER, NOTICE)
    clock.advance(10)
    assert client.received() == []


# --- long searches --------------------------------------------------------------------------------------------------


@pytest.fixture(name="big", scope="module")
def _big():
    """A book of 9,000."""
    return make_gate(make_dit(9000))


@pytest.fixture(name="busy")
def _busy(big):
    """A client on a clock that runs, with room for the whole book in an answer."""
    clock = SteppingClock()
    factory = make_factory(big, clock, size_limit=100_000)
    client = Client(factory)
    client.bind()
    return clock, factory, client


@pytest.mark.parametrize("how", ["abandon", "unbind", "lost", "violation"])
def test_a_long_search_stops_when_nobody_wants_it(busy, how):
    """And nothing is left to do."""
    clock, _, client = busy
    first = client.ask(EVERYTHING, 2)
    assert first[-1].kind == ENTRY
    request = {
        "abandon": pdu.message(3, pdu.abandon(2)),
        "unbind": pdu.message(3, pdu.UNBIND),
        "violation": b"GET / HTTP/1.1",
    }.get(how)
    if request:
        client.send(request)
    else:
        client.protocol.connectionLost()
    let_run(clock, 50)
    rest = client.received()
    assert DONE not in [one.kind for one in rest]
    assert len(rest) < 1000
    waiting = {call.func.__name__ for call in clock.getDelayedCalls()}
    assert waiting <= {"_sweep"}


def test_an_abandoned_search_leaves_the_next_one_its_turn(busy):
    """Keystrokes: m, mu, never mind m."""
    clock, _, client = busy
    client.ask(EVERYTHING, 2)
    client.send(pdu.message(3, pdu.search("", 0)), pdu.message(4, pdu.abandon(2)), pdu.message(5, pdu.search("", 0)))
    let_run(clock, 50)
    found = [one for one in client.received() if one.message_id != 2]
    assert summary(found) == [(3, ENTRY, None), (3, DONE, 0), (5, ENTRY, None), (5, DONE, 0)]


def test_the_time_limit_ends_a_search_with_what_was_found(busy):
    """Entries first, then code 3."""
    clock, _, client = busy
    first = client.ask(pdu.search(BASE, 2, pdu.tlv(0x87, b"cn"), ("cn",), time=1), 2)
    assert first[-1].kind == ENTRY
    clock.rightNow += 1
    let_run(clock, 5)
    assert client.received()[-1] == pdu.Response(2, DONE, ResultCode.TIME_LIMIT_EXCEEDED)


def test_no_more_is_read_while_a_hundred_requests_wait(busy):
    """Then reading goes on; every one is answered, in order."""
    clock, _, client = busy
    client.ask(EVERYTHING, 2)
    client.send(*(pdu.message(at, pdu.WHO_AM_I) for at in range(1000, 1150)))
    seen = set()
    for _ in range(1000):
        turn(clock)
        seen.add(client.transport.producerState)
    assert seen == {"paused", "producing"}
    assert client.transport.producerState == "producing"
    assert [one.message_id for one in client.received() if one.kind == 0x78] == list(range(1000, 1150))


def test_no_more_is_read_of_a_client_that_waits_for_its_turn(busy):
    """Than 64 KiB of requests; then reading goes on, and every one is answered, in order."""
    clock, _, client = busy
    client.ask(EVERYTHING, 2)
    requests = [pdu.message(at, pdu.compare("", "cn", bytes(1_000))) for at in range(1000, 1090)]
    states = []
    for request in requests:
        client.protocol.dataReceived(request)
        states.append(client.transport.producerState)
    assert states.index("paused") == AHEAD // len(requests[0])
    client.protocol.expire(clock.seconds() + MESSAGE_TIMEOUT + 1)  # it does not wait for the rest of a message
    let_run(clock)
    assert client.transport.producerState == "producing"
    assert [one.message_id for one in client.received() if one.kind == 0x6F] == list(range(1000, 1090))


# --- a client that takes its time -----------------------------------------------------------------------------------


def test_a_slow_reader_gets_no_more_than_it_takes(clock, big):
    """At most one join beyond what the transport wants; nothing is read meanwhile; then it goes on."""
    client = Client(make_factory(big, clock, size_limit=100_000))
    client.bind()
    client.transport.full_at = 100_000
    client.deliver(pdu.message(2, pdu.search(BASE, 2)))
    let_run(clock, 50)
    queued = client.transport.value()
    assert 100_000 <= len(queued) <= 256 << 10
    assert max(map(len, client.transport.writes)) < 128 << 10
    assert client.transport.producerState == "paused"
    client.deliver(pdu.message(3, pdu.search("", 0)))
    found = []
    for _ in range(100):
        found += client.received()
        client.transport.producer.resumeProducing()
        let_run(clock, 20)
    assert len(found) == 9003 + 2
    assert summary(found[-2:]) == [(3, ENTRY, None), (3, DONE, 0)]
    assert client.transport.producerState == "producing"


def test_a_half_closed_connection_is_answered_and_then_closed(busy):
    """Somebody's script pipes a request in and waits."""
    clock, _, client = busy
    client.send(pdu.message(2, EVERYTHING))
    client.protocol.readConnectionLost()
    let_run(clock)
    assert client.received()[-1] == pdu.Response(2, DONE, 0)
    assert client.closed


# Each entry has to be looked at, and none is found.
NOTHING = pdu.search(BASE, 2, encode(read_filter("(&(uid=*)(!(cn=*)))")), ("cn",))


def test_a_search_that_finds_nothing_for_a_client_that_may_be_gone_is_dropped(busy):
    """A second after it has closed its half: nothing is sent that would show whether it is there."""
    clock, _, client = busy
    client.send(pdu.message(2, NOTHING))
    client.protocol.readConnectionLost()
    turn(clock)
    assert not client.transport.aborted
    clock.rightNow += 1
    let_run(clock, 2)
    assert client.transport.aborted
    client.protocol.connectionLost()
    assert {call.func.__name__ for call in clock.getDelayedCalls()} <= {"_sweep"}


@pytest.mark.parametrize(("begins_after", "is_dropped"), [(0.4, True), (0.6, False)])
def test_a_later_search_for_a_client_that_may_be_gone_has_half_a_second(busy, begins_after, is_dropped):
    clock, _, client = busy
    client.send(pdu.message(2, EVERYTHING))
    let_run(clock)
    assert client.received()[-1].kind == DONE  # the pages are cached now, so that the same search takes no time below
    client.send(pdu.message(2, EVERYTHING), pdu.message(3, NOTHING))
    client.protocol.readConnectionLost()
    clock.rightNow += begins_after
    while all(answer.kind != DONE for answer in client.received()):
        turn(clock)
    clock.rightNow += 1 - begins_after
    let_run(clock, 2)
    assert client.transport.aborted is is_dropped
    clock.rightNow += 1
    let_run(clock, 2)
    assert client.closed


def test_a_search_that_finds_people_goes_on_for_a_client_that_may_be_gone(busy):
    """Each second, as long as entries come; a search that has just begun has its second too."""
    clock, _, client = busy
    client.send(pdu.message(2, EVERYTHING))
    client.protocol.readConnectionLost()
    for _ in range(3):
        turn(clock)
        clock.rightNow += 1
        turn(clock)
        assert not client.transport.aborted
    let_run(clock)
    assert client.received()[-1] == pdu.Response(2, DONE, 0)
    assert client.closed


def test_a_half_closed_connection_waits_for_an_answer_that_is_held_back(clock, client):
    """As for any other."""
    client.ask(pdu.bind("desk1", b"guess"))
    client.protocol.readConnectionLost()
    client.protocol.writeConnectionLost()
    let_run(clock, 3)
    assert not client.closed
    clock.advance(1)
    let_run(clock, 3)
    assert summary(client.received()) == [(1, 0x61, 49)]
    assert client.closed


# --- time and numbers -----------------------------------------------------------------------------------------------


def test_an_idle_connection_is_closed_quietly(clock, client):
    """A request puts it off; a search that runs is not idle."""
    clock.pump([1] * 899)
    client.ask(pdu.search("", 0))
    clock.pump([1] * 899)
    client.ask(pdu.bind(DESK1, SECRET))  # this is answered at once
    clock.pump([1] * 899)
    assert not client.closed
    clock.pump([1] * 2)
    assert client.transport.disconnecting
    assert client.received() == []


def test_work_is_not_idleness(clock, client):
    """An answer that is held back still comes."""
    client.protocol.deadlines.idle = 0.1
    client.ask(pdu.bind("desk1", b"guess"))
    client.protocol.deadlines.idle = 0.1
    client.protocol.expire(0.2)
    assert not client.closed


def test_waiting_for_a_turn_is_not_idleness(clock, client):
    client.protocol.dataReceived(pdu.message(1, pdu.search()))
    client.protocol.deadlines.idle = 0.1
    client.protocol.expire(0.2)
    assert not client.closed


def test_half_a_message_has_thirty_seconds(clock, client):
    """From its first octet on; further octets gain nothing, a whole message does."""
    for octet in pdu.message(1, pdu.search())[:28]:
        client.send(bytes((octet,)))
        clock.advance(1)
    client.send(pdu.message(1, pdu.search())[28:])
    assert not client.closed
    for octet in pdu.message(1, pdu.search())[:29]:
        client.send(bytes((octet,)))
        clock.advance(1)
    assert not client.closed
    clock.pump([1] * 2)
    assert client.transport.disconnecting


def test_half_messages_that_are_completed_may_go_on(clock, client):
    """Each has its own thirty seconds."""
    whole = pdu.message(1, pdu.search())
    client.send(whole[:9])
    for _ in range(40):
        client.send(whole[9:] + whole[:9])
        clock.advance(2)
    assert not client.closed


def test_a_connection_that_does_not_close_is_cut(clock, client):
    """Its last octets, or TLS's goodbye, may take 2 seconds."""
    client.ask(pdu.UNBIND)
    clock.pump([1] * 1)
    assert not client.transport.aborted
    clock.pump([1] * 2)
    assert client.transport.aborted


def test_connections_are_capped_in_all_and_per_network():
    """One more is closed at once, without a word, over TLS too; an IPv6 host has a whole /64 to itself."""
    factory = make_factory(max_connections=3, max_connections_per_address=2, tls=Contexts())

    def connect(network: int, host: int = 1):
        protocol = factory.buildProtocol(IPv6Address("TCP", f"2001:db8:0:{network}::{host}", 5))
        if protocol is not None:
            protocol.makeConnection(StringTransport())
        return protocol

    def is_let_in_over_tls() -> bool:
        return factory.over_tls().buildProtocol(IPv6Address("TCP", "::1", 5)) is not None

    first = connect(0)
    assert [connect(0, host) is None for host in (2, 3)] == [False, True]
    assert is_let_in_over_tls()
    assert [connect(network) is None for network in (1, 2)] == [False, True]
    assert not is_let_in_over_tls()
    first.connectionLost()
    assert connect(2) is not None
    assert factory.connected() == 3


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        (IPv6Address("TCP", "::ffff:10.0.0.7", 5), "10.0.0.7"),
        (IPv6Address("TCP", "2001:db8::1", 5), "2001:db8::1"),
        (UNIXAddress(b""), "127.0.0.1"),
    ],
)
def test_the_gate_hears_a_clients_address_in_one_spelling(peer, address):
    """The kind of the socket does not matter."""
    asked = []

    def anonymous(client_address):
        asked.append(client_address)
        return NOBODY

    protocol = make_factory(replace(make_gate(), anonymous=anonymous)).buildProtocol(peer)
    protocol.makeConnection(StringTransport())
    assert (protocol.address, asked) == (address, [address])


def test_a_login_that_no_longer_holds_is_disconnected(clock):
    """Others stay."""
    factory = make_factory(clock=clock)
    bound, anonymous = Client(factory), Client(factory)
    bound.bind()
    factory.disconnect(DESK1)
    [notice] = bound.received()
    assert (notice.code, notice.name) == (ResultCode.UNAVAILABLE, NOTICE)
    assert (bound.closed, anonymous.closed) == (True, False)


def test_what_is_no_longer_served_is_not_held():
    """Once something else is published, not when somebody searches that: an old book is freed."""
    served = [make_dit()]
    [directory] = served[0].directories
    [segment] = directory.books[0].segments.contacts
    holders = sys.getrefcount(segment)
    factory = make_factory(replace(make_gate(), dit=lambda: served[-1]))
    client = Client(factory)
    client.bind()
    [*_, done] = client.ask(pdu.search(BASE, 2, encode(Substrings("cn", b"us", (), None)), size=5))
    assert done.code == ResultCode.SIZE_LIMIT_EXCEEDED
    assert sys.getrefcount(segment) > holders
    served.append(make_dit())
    factory.snapshot_changed()
    assert sys.getrefcount(segment) == holders


def test_all_sessions_end_when_the_server_stops(clock):
    """With a word; and it is known when the last one has gone."""
    factory = make_factory(clock=clock)
    clients = [Client(factory), Client(factory)]
    gone = []
    factory.disconnect_all().addCallback(gone.append)
    for client in clients:
        [notice] = client.received()
        assert (notice.code, notice.name) == (ResultCode.UNAVAILABLE, NOTICE)
        assert gone == []
        client.protocol.connectionLost()
    assert gone == [None]
    factory.disconnect_all().addCallback(gone.append)
    assert gone == [None, None]
    assert clock.getDelayedCalls() == []


# --- StartTLS, as far as memory goes --------------------------------------------------------------------------------


def test_start_tls_drops_what_came_in_clear_behind_it(clock):
    """Injected in front of the handshake (CVE-2011-0411 and its kin)."""
    contexts = Contexts()
    client = Client(make_factory(clock=clock, tls=contexts))
    found = client.send(
        pdu.message(1, pdu.START_TLS), pdu.message(2, pdu.search("", 0)), pdu.message(3, pdu.bind(DESK1, SECRET))[:9]
    )
    assert found == [pdu.Response(1, 0x78, 0, name="1.3.6.1.4.1.1466.20037")]
    assert client.transport.tls is contexts
    assert client.send(pdu.message(4, pdu.WHO_AM_I))[0].value == b""


def test_a_handshake_has_ten_seconds(clock):
    """Then the connection is cut; once it is done there is no hurry."""
    factory = make_factory(clock=clock, tls=Contexts())
    slow, quick = Client(factory), Client(factory)
    slow.ask(pdu.START_TLS)
    quick.ask(pdu.START_TLS)
    clock.pump([1] * 9)
    quick.protocol.handshakeCompleted()
    assert not slow.closed
    clock.pump([1] * 2)
    assert (slow.transport.aborted, quick.closed) == (True, False)


def test_a_certificate_that_is_gone_ends_the_session_before_anything_is_promised(clock):
    """No success is followed by silence."""

    class Gone:
        def getContext(self):
            raise OSError

    client = Client(make_factory(clock=clock, tls=Gone()))
    [notice] = client.ask(pdu.START_TLS)
    assert (notice.code, notice.name) == (ResultCode.OTHER, NOTICE)
    assert client.closed
    assert client.transport.tls is None


def test_a_connection_that_is_gone_is_freed_at_once(clock):
    """Phones connect for each search: what they leave is nothing for the garbage collector, which stops everything."""
    client = Client(make_factory(clock=clock))
    client.bind()
    client.send(pdu.message(2, pdu.search(BASE, 2)), pdu.message(3, pdu.UNBIND))
    client.protocol.connectionLost()
    gone = weakref.ref(client.protocol)
    gc.disable()
    try:
        del client
        assert gone() is None
    finally:
        gc.enable()


def test_over_tls_needs_a_certificate():
    """A mistake of ours, found at start."""
    with pytest.raises(ValueError, match="server has no certificate for TLS"):
        make_factory().over_tls()
