# SPDX-License-Identifier: MIT
"""Whoever wants to stop the server stops nobody: each attack costs little, and others are answered in between.

What is bounded is work, not time: the seconds that the reactor is kept in one turn.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time

import pytest

from ldapgw.ber import ENUMERATED, INTEGER, SEQUENCE, boolean, octets, tlv
from ldapgw.directory.filter import Equality, Or
from ldapgw.errors import ResultCode
from ldapgw.ldap.session import DirectoryPort
from tests.support import pdu
from tests.support.filter_text import encode, read_filter
from tests.support.phonebook.listening import DONE, ENTRY, PING, is_answered
from tests.support.phonebook.served import certified, serving
from tests.support.phonebook.talk import NOTICE, Server, best_of_three, in_a_moment
from tests.support.phonebook.wire import BASE, BOOK, make_dit, make_gate

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


def _request(field: str, number: bytes) -> bytes:
    """A message in which this field is that INTEGER or ENUMERATED."""
    fields = {"scope": ENUMERATED, "derefAliases": ENUMERATED, "sizeLimit": INTEGER, "timeLimit": INTEGER}
    search = {name: tlv(tag, b"\0") for name, tag in fields.items()}
    if field in search:
        search[field] = number
        parts = octets(b"") + b"".join(search.values()) + boolean(value=False) + pdu.PRESENT + tlv(SEQUENCE, b"")
        return pdu.message(1, tlv(0x63, parts))
    return {
        "messageID": tlv(SEQUENCE, number + pdu.search()),
        "version": pdu.message(1, tlv(0x60, number + octets(b"") + octets(b"", 0x80))),
        "abandoned messageID": pdu.message(1, b"\x50" + number[1:]),
    }[field]


@pytest.mark.parametrize("length", [5, 10_000, 60_000, 250_000])
@pytest.mark.parametrize(
    ("field", "tag"),
    [
        ("messageID", INTEGER),
        ("version", INTEGER),
        ("scope", ENUMERATED),
        ("derefAliases", ENUMERATED),
        ("sizeLimit", INTEGER),
        ("timeLimit", INTEGER),
        ("abandoned messageID", INTEGER),
    ],
)
@best_of_three
def test_an_integer_of_any_length_stops_nobody(gate, field, tag, length):
    """Four octets are all that LDAP needs; more are refused without being computed."""
    server = Server(gate)
    talk = server.talk()
    talk.say(_request(field, tlv(tag, b"\x7f" * length)))
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


@pytest.mark.parametrize(
    "broken",
    [
        "30847fffffff",
        "3084ffffffff0201",
        "3080020101",
        "300c02010163070401",
        "300702010163840000ff",
        "3005020101637f",
        "3005020101ff00",
        "0201",
        "9f",
        "00",
        "16030100",
    ],
    ids=["2 GiB", "4 GiB", "indefinite", "longer than its parent", "longer than the message", "operation cut off",
         "no operation", "another outer tag", "tag of two octets", "zero", "TLS"],
)  # fmt: skip
@best_of_three
def test_nothing_wedges_a_connection(gate, broken):
    """Whatever stands behind what cannot be read is not waited for, not kept and not answered."""
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


@pytest.mark.parametrize(
    "request_",
    [
        pdu.bind(f"cn={MARKS}", b"x"),
        pdu.bind("cn=a," * 12_000 + BASE, b"x"),
        pdu.search(f"ou={MARKS[:2_000]},{BASE}", 2),
        pdu.search("cn=a," * 800 + BASE, 2),
        pdu.search(BASE, 2, attributes=("@inetOrgPerson " * 4_000,)),
        pdu.search(BASE, 2, attributes=("name " * 12_000,)),
        pdu.search(BASE, 2, encode(Equality("uid", MARKS[:2_000].encode()))),
        pdu.search(BASE, 2, encode(Equality("name", "\ufdfa".encode() * 1_300))),
        pdu.search(BASE, 2, encode(Or(tuple(Equality("cn", b"%06d" % at) for at in range(290))))),
        pdu.search(BASE, 2) + pdu.controls(pdu.control("1.2.840.113556.1.4.473", value=KEYS)),
        pdu.compare(f"uid=c1,{BOOK}", "name", MARKS.encode()),
        pdu.compare(f"uid=c1,{BOOK}", "uid", MARKS[:2_000].encode()),
    ],
    ids=["a login of marks", "a login of parts", "a base of marks", "a base of parts", "many classes", "many names",
         "a value of marks", "a value of phrases", "many digits", "many keys", "a long comparison",
         "a comparison of marks"],
)  # fmt: skip
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


def _or(count: int) -> bytes:
    return encode(read_filter("(|" + "".join(f"(cn=*nobody {number}*)" for number in range(count)) + ")"))


@pytest.mark.parametrize(
    ("filter_", "entries", "code"),
    [(_or(200), 0, 0), (pdu.PRESENT, 1000, 4), (encode(read_filter("(!(cn=nobody))")), 1000, 4)],
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
def test_who_reads_nothing_costs_nothing(many):
    """Of 20 full searches no more is made than the transport takes; others do not notice."""
    server = Server(many, size_limit=100_000)
    talk, other = server.talk(bound=True), server.talk()
    talk.client.transport.full_at = 1 << 16
    talk.begin(b"".join(pdu.message(number, pdu.search(BASE, 2)) for number in range(2, 22)))
    for _ in range(200):
        talk.turn()
    assert sum(map(len, talk.client.transport.writes)) <= 256 << 10
    assert is_answered(other)
    in_a_moment(talk.longest, other.longest)


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
        talk.turn()  # each asker has a new slice
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
