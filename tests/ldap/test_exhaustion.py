# SPDX-License-Identifier: MIT
"""A client that wants to stop the server stops nobody: attacks cost little, and others are answered in between.

What is bounded is work, not time: the seconds that the reactor is kept in one turn.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterable
from itertools import combinations
from random import Random

import pytest

from ldapgw.ber import INTEGER, SEQUENCE, octets, tlv
from ldapgw.contact import Contact, Kind, Phone, Sharing
from ldapgw.directory.book import build_book
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.filter import Equality, Or
from ldapgw.errors import ResultCode
from ldapgw.ldap.encoder import features
from ldapgw.ldap.session import DirectoryPort
from ldapgw.numbers.phone_number import parse
from tests.support import pdu
from tests.support.filter_text import encode, read_filter
from tests.support.phonebook.listening import DONE, ENTRY, PING, certified, is_answered
from tests.support.phonebook.served import serving
from tests.support.phonebook.talk import NOTICE, Server, best_of_three, in_a_moment
from tests.support.phonebook.trees import changed_book
from tests.support.phonebook.wire import BASE, BOOK, CONTEXT, make_dit, make_gate

pytestmark = [pytest.mark.usefixtures("still"), pytest.mark.no_cover]


@pytest.fixture(name="gate", scope="module")
def _gate() -> DirectoryPort:
    return make_gate()


@pytest.fixture(name="many", scope="module")
def _many() -> DirectoryPort:
    """10,000 contacts."""
    return make_gate(make_dit(10_000))


@pytest.fixture(name="either", scope="module")
def _either() -> dict[bool, DirectoryPort]:
    """Fifty contacts, with lenient matching and with strict."""
    return {lenient: make_gate(make_dit(lenient=lenient)) for lenient in (True, False)}


INTEGERS = {
    "messageID": lambda number: tlv(SEQUENCE, number + pdu.search()),
    "version": lambda number: pdu.message(1, tlv(0x60, number + octets(b"") + octets(b"", 0x80))),
    "abandoned messageID": lambda number: pdu.message(1, b"\x50" + number[1:]),
}


@pytest.mark.parametrize("length", [5, 60_000, 250_000])
@pytest.mark.parametrize("request_", INTEGERS.values(), ids=INTEGERS)
@best_of_three
def test_an_integer_of_any_length_stops_nobody(gate, request_, length):
    """Four octets are all that LDAP needs; more are refused without being computed."""
    server = Server(gate)
    talk = server.talk()
    talk.say(request_(tlv(INTEGER, b"\x7f" * length)))
    assert talk.ended_with_a_notice
    in_a_moment(talk.longest)
    assert is_answered(server.talk())


@pytest.mark.parametrize("length", [10_000, 60_000])
@best_of_three
def test_the_id_of_a_cancel_may_be_long_too(gate, length):
    """It lies within an octet string: the session goes on."""
    talk = Server(gate).talk()
    talk.say(pdu.message(1, pdu.extended("1.3.6.1.1.8", tlv(SEQUENCE, tlv(INTEGER, b"\x7f" * length)))))
    assert [one.code for one in talk.replies] == [ResultCode.PROTOCOL_ERROR]
    in_a_moment(talk.longest)
    assert is_answered(talk)


BROKEN = {
    "2 GiB": "30847fffffff",
    "indefinite": "3080020101",
    "longer than its parent": "300c02010163070401",
    "no operation": "3005020101ff00",
    "another outer tag": "0201",
    "TLS": "16030100",
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
@best_of_three
def test_nothing_wedges_a_connection(gate, broken):
    """Messages behind an unreadable one are not waited for, not kept and not answered."""
    server = Server(gate)
    talk = server.talk()
    talk.say(PING + bytes.fromhex(broken) + PING * 1000)
    assert [(one.kind, one.name) for one in talk.replies] == [(ENTRY, ""), (DONE, ""), (0x78, NOTICE)]
    assert talk.closed
    assert not talk.client.protocol._framer.partial
    for _ in range(100):
        talk.say(PING * 1000)
    assert not talk.client.protocol._framer.partial
    in_a_moment(talk.longest)
    assert is_answered(server.talk())


MARKS = "a" + "\u0301\u0316" * 15_000
KEYS = tlv(SEQUENCE, tlv(SEQUENCE, octets(b"cn")) * 9_000)


LARGE = {
    "a login of marks": pdu.bind(f"cn={MARKS}", b"x"),
    "a login of parts": pdu.bind("cn=a," * 12_000 + BASE, b"x"),
    "a base of marks": pdu.search(f"ou={MARKS[:2_000]},{BASE}", 2),
    "a base of parts": pdu.search("cn=a," * 800 + BASE, 2),
    "many classes": pdu.search(BASE, 2, attributes=("@inetOrgPerson " * 4_000,)),
    "many names": pdu.search(BASE, 2, attributes=("name " * 12_000,)),
    "a value of marks": pdu.search(BASE, 2, encode(Equality("uid", MARKS[:2_000].encode()))),
    "a value of phrases": pdu.search(BASE, 2, encode(Equality("name", "\ufdfa".encode() * 1_300))),
    "many digits": pdu.search(BASE, 2, encode(Or(tuple(Equality("cn", b"%06d" % at) for at in range(290))))),
    "many keys": pdu.search(BASE, 2) + pdu.controls(pdu.control("1.2.840.113556.1.4.473", value=KEYS)),
    "a long comparison": pdu.compare(f"uid=c1,{BOOK}", "name", MARKS.encode()),
    "a comparison of marks": pdu.compare(f"uid=c1,{BOOK}", "uid", MARKS[:2_000].encode()),
}


@pytest.mark.parametrize("request_", LARGE.values(), ids=LARGE)
@pytest.mark.parametrize("lenient", [True, False], ids=["lenient", "strict"])
@best_of_three
def test_no_request_takes_long(either, lenient, request_):
    """However large its fields are: what is dear to read is bounded, field by field."""
    talk = Server(either[lenient]).talk(bound=True)
    talk.longest = 0.0
    talk.say(pdu.message(2, request_))
    talk.wait(1.0)
    in_a_moment(talk.longest)
    assert is_answered(talk)


@pytest.mark.parametrize(
    ("filter_", "entries", "code"),
    [
        (encode(read_filter("(|" + "".join(f"(cn=*nobody {number}*)" for number in range(200)) + ")")), 0, 0),
        (pdu.PRESENT, 1000, 4),
        (encode(read_filter("(!(cn=nobody))")), 1000, 4),
    ],
    ids=["an OR of 200", "everything", "not nobody"],
)
@best_of_three
def test_a_costly_search_lets_others_in_between(many, filter_, entries, code):
    """Each turn is short, and what somebody else asks is answered in the turn in which it comes."""
    server = Server(many)
    talk, other = server.talk(bound=True), server.talk()
    talk.begin(pdu.message(2, pdu.search(BASE, 2, filter_, ("cn",))))
    assert is_answered(other)
    talk.settle()
    assert len(talk.replies) == entries + 1
    assert talk.replies[-1] == pdu.Response(2, DONE, code, diagnostic=talk.replies[-1].diagnostic)
    in_a_moment(talk.longest, other.longest)


@best_of_three
def test_thirty_phones_search_at_once(many):
    """Typing ahead, over 10,000 contacts: all are answered, and nobody in one long turn."""
    server = Server(many, max_connections_per_address=100)
    phones = [server.talk(bound=True) for _ in range(30)]
    for number, phone in enumerate(phones):
        text = f"(|(cn=user 0{number:02}*)(sn=0{number:02}*)(telephoneNumber=0{number:02}*))"
        phone.begin(pdu.message(2, pdu.search(BASE, 2, encode(read_filter(text)), ("cn", "telephoneNumber"), size=50)))
    for phone in phones:
        phone.settle()
        assert [one.code for one in phone.replies if one.kind == DONE] == [ResultCode.SIZE_LIMIT_EXCEEDED]
        assert len(phone.replies) == 51
        in_a_moment(phone.longest)


@best_of_three
def test_twenty_thousand_small_messages_at_once(gate):
    """8 octets each, as many as a segment holds; none of them costs more because of the others."""
    server = Server(gate)
    talk, other = server.talk(bound=True), server.talk()
    stream = pdu.message(2, pdu.abandon(1)) * 20_000
    assert len(stream) == 160_000
    begun = time.process_time()
    for at in range(0, len(stream), 1 << 16):
        talk.begin(stream[at : at + (1 << 16)])
        assert is_answered(other)
        talk.turn()  # each requester has a new slice
    talk.settle()
    assert time.process_time() - begun < 2.0
    in_a_moment(talk.longest)
    assert is_answered(talk)


@best_of_three
def test_a_message_in_small_pieces_costs_what_it_weighs(gate):
    """A search of 1 MiB, 64 octets at a time: no piece costs more because of those before it."""
    talk = Server(gate, max_message=2 << 20).talk()
    message = pdu.message(1, pdu.compare("", "objectClass", bytes(1 << 20)))
    for at in range(0, len(message), 64):
        talk.say(message[at : at + 64])
    assert [one.kind for one in talk.replies] == [0x6F]
    in_a_moment(talk.longest)


@best_of_three
def test_a_flood_of_handshakes_lets_others_in_between(tmp_path):
    """Four clients that do nothing but shake hands; whoever asks in clear is answered after one or two handshakes."""
    context = ssl.create_default_context(cafile=str(certified(tmp_path)))
    context.check_hostname = False
    done = threading.Event()
    made: list[int] = []

    def shake(port: int) -> None:
        while not done.is_set():
            with (
                socket.create_connection(("127.0.0.1", port), 10) as plain,
                context.wrap_socket(plain) as secure,
            ):
                secure.unwrap()
            made.append(1)

    with serving(tmp_path, tls=True) as server:
        threads = [threading.Thread(target=shake, args=(server.tls_port,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        waited = []
        with socket.create_connection(("127.0.0.1", server.port), 10) as phone:
            while len(made) < 100:
                begun = server.worked
                phone.sendall(PING)
                assert phone.recv(1 << 16)
                waited.append(server.worked - begun)
        done.set()
        for thread in threads:
            thread.join()
    in_a_moment(*waited)
    assert server.said == ""


# --- the heaviest filters that the limits allow, over a large book and many shared ones -------------------------------

SYLLABLES = ("an", "na", "ma", "ri", "er", "el", "in", "le", "jo", "ha", "ber", "mann", "ner", "schmi", "dt", "mül")
LETTERS = "".join(Random(1).choices("abcdefghijklmnopqrstuvwxyz", k=4_000))
ENDED = {ResultCode.SUCCESS, ResultCode.SIZE_LIMIT_EXCEEDED, ResultCode.TIME_LIMIT_EXCEEDED}


def people(count: int, seed: int) -> list[Contact]:
    """Names of few syllables, so that each part of one stands in many; all have the same number."""
    choice = Random(seed)
    phones = tuple(Phone(Kind.WORK, number) for number in [parse("030 1234567", "DE")] if number)
    names = ["".join(choice.choices(SYLLABLES, k=3)) for _ in range(2 * count)]
    return [
        Contact(f"c{seed}x{at}", name=f"{given} {family}", given_name=given, family_name=family, phones=phones)
        for at, (given, family) in enumerate(zip(names[::2], names[1::2], strict=True))
    ]


@pytest.fixture(
    name="crowded",
    scope="module",
    params=[pytest.param(5_000, id="5,000"), pytest.param(100_000, id="100,000", marks=pytest.mark.soak)],
)
def _crowded(request: pytest.FixtureRequest) -> DirectoryPort:
    """A phone's own book, on two segments since a change, and eight others, each too large to be joined."""
    count = request.param
    book = build_book(CONTEXT, "alice", "alice", Sharing.PRIVATE, people(count, 0), {}, per_number=False)
    own = changed_book(book, people(100, 9), context=CONTEXT)
    shared = [
        build_book(CONTEXT, f"s{at}", f"s{at}", Sharing.SHARED, people(count // 10, at), {}, per_number=False)
        for at in range(1, 9)
    ]
    return make_gate(Dit((Directory(CONTEXT, (own, *shared)),), features(tls=False)))


def every(terms: Iterable[str]) -> str:
    return f"(&{''.join(terms)})"


def either(terms: Iterable[str]) -> str:
    return f"(|{''.join(terms)})"


def pieces(length: int, count: int) -> list[str]:
    return [LETTERS[at * length : (at + 1) * length] for at in range(count)]


HEAVIEST = {
    "ORs of beginnings": every(either(f"(cn={one}*)" for one in four) for four in combinations("hjmsbeln", 4)),
    "long words": every(f"(cn=*{word}*)" for word in pieces(900, 4)),
    "any long word": either(f"(cn=*{word}*)" for word in pieces(900, 4)),
    "any of 140 words": either(f"(cn=*{word}*)" for word in pieces(15, 140)),
    "any of 170 words": either(f"(cn=*{word}*)" for word in pieces(10, 170)),
    "words in a row": f"(cn=* {'* '.join(pieces(3, 500))}*)",
    "letters in a row": f"(cn=ma{'*a' * 900}*)",
    "any beginning": either(f"(cn={word}*)" for word in pieces(4, 240)),
    "keypads": either(f"(cn={number}*)" for number in range(222, 262)),
    "parts on the keypad": either(f"(cn=*{number}*)" for number in range(222, 262)),
    "words on the keypad": either(f"(cn={number}*)" for number in range(20_202, 20_242)),
    "several words": every(
        f"(cn={one} {other}*)" for one, other in combinations(("an", "ma", "ri", "e", "j", "ha", "ber"), 2)
    ),
    "letters of two words": either(f"(cn={one} {other}*)" for one, other in combinations("abeghijklmnoprstuwxyz", 2)),
    "the same word often": either(
        f"(cn={one} {other} a a a a a a*)" for one, other in combinations(("a", "an", "na", "ma"), 2)
    ),
    "whole words": either(
        f"(cn={' '.join(words)})" for words in combinations(("anna", "maria", "an", "ma", "e", "na"), 4)
    ),
    "ranges": either(f"(&(sn>={word})(sn<={word}z))" for word in pieces(1, 110)),
    "ranges of names": either(f"(&(cn>={word})(cn<={word}z))" for word in pieces(1, 110)),
    "a number that all have": every(["(telephoneNumber=0301234567)(o=*)"] * 100),
    "numbers": either(f"(telephoneNumber=0301{number:06})" for number in range(45)),
    "pairs": every(either((f"({one}=*)", f"({other}=*)")) for one, other in combinations(("cn", "sn", "o", "l"), 2)),
    "any attribute": "(:dn:caseIgnoreMatch:=anna)",
}


@pytest.mark.parametrize("text", HEAVIEST.values(), ids=HEAVIEST)
@best_of_three
def test_the_heaviest_filters_let_others_in_between(crowded: DirectoryPort, text: str) -> None:
    """They are allowed; no turn is long, and what somebody else asks is answered in the turn in which it comes."""
    server = Server(crowded)
    talk, other = server.talk(bound=True), server.talk()
    talk.longest = 0.0
    talk.begin(pdu.message(2, pdu.search(BASE, 2, encode(read_filter(text)), ("cn",))))
    assert is_answered(other)
    talk.settle()
    assert talk.replies[-1].code in ENDED
    in_a_moment(talk.longest, other.longest)
