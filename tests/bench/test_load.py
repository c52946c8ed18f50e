# SPDX-License-Identifier: MIT
"""The people and the searches of the load are always the same, and the engine counts what a server answers.

Only a compiler and real sockets show that the engine, which is written in C, still counts the answers.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread

import pytest

from bench.asking import ATTRIBUTES, MOST_ENTRIES, WORKLOADS
from bench.load import Load
from bench.people import Person, person, resource
from bench.phone import Target
from bench.programs.google import CHANGED, answers, changed
from bench.servers import Server
from ldapgw.ber import ENUMERATED, integer, octets, tlv
from ldapgw.contact import Kind, Source
from ldapgw.directory.filter import SearchRequest, to_string
from ldapgw.google.person import read_person
from ldapgw.ldap.decoder import decode
from ldapgw.ldap.messages import BindRequest
from tests.support import pdu

needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None and "CI" not in os.environ, reason="needs a C compiler (Debian's gcc)"
)
BASE = "dc=acme,dc=example"
PEOPLE = [person(at) for at in range(50)]
SHAPES = {
    "prefix": r"\(\|\(cn=(.+)\*\)\(sn=\1\*\)\(givenName=\1\*\)\)",
    "two-words": r"\(\|\(cn=(\S+ \S+)\*\)\(sn=\1\*\)\(givenName=\1\*\)\)",
    "three-words": r"\(\|\(cn=(\S+ \S+ \S+)\*\)\(sn=\1\*\)\(givenName=\1\*\)\)",
    "and-yealink": r"\(&\(objectClass=person\)\(\|\(cn=(.+)\*\)\(sn=\1\*\)\(o=\1\*\)\)\)",
    "and-snom": r"\(&\(telephoneNumber=\*\)\(sn=(.+)\*\)\)",
    "and-poly": r"\(&\(cn=(.+)\*\)\(\|\(telephoneNumber=\*\)\(mobile=\*\)\)\)",
    "presence": r"\(telephoneNumber=\*\)",
    "reverse": r"\(\|\(telephoneNumber=(\+\d+)\)\(mobile=\1\)\(homePhone=\1\)\)",
    "substring": r"\(cn=\*.+\*\)",
}


@pytest.mark.parametrize(("name", "shape"), SHAPES.items(), ids=SHAPES)
def test_searches_are_those_of_phones(name: str, shape: str) -> None:
    """Each is one message with messageID 1, has the filter of a phone, and is the same each time."""
    asked = WORKLOADS[name].asked(BASE, PEOPLE)
    for request in asked.requests[:100]:
        message = decode(request)
        assert isinstance(message.request, SearchRequest)
        assert (message.message_id, message.request.attributes) == (1, ATTRIBUTES)
        assert message.request.size_limit == MOST_ENTRIES
        assert re.fullmatch(shape, to_string(message.request.filter))
    assert asked == WORKLOADS[name].asked(BASE, PEOPLE)


def test_one_caller_in_ten_is_unknown() -> None:
    """Their numbers are of a country that has none; strict rows ask what those that they are compared with ask."""
    requests = WORKLOADS["reverse"].asked(BASE, PEOPLE).requests
    assert 0.08 < sum(b"+49999" in request for request in requests) / len(requests) < 0.12
    for name, other in (("strict-prefix", "prefix"), ("strict-reverse", "reverse")):
        assert WORKLOADS[name].asked(BASE, PEOPLE) == WORKLOADS[other].asked(BASE, PEOPLE)


def test_people_are_always_the_same() -> None:
    """The people of today's figures are those of last year's; each has an id and numbers of its own."""
    emails = ("zoe.roben1@mail.example",)
    assert person(1) == Person("c0000000002654435762", "Zoe", "Roben", ((1, "+4415900007924"),), "", "", emails)
    everybody = [person(at) for at in range(3000)]
    numbers = [number for one in everybody for _, number in one.phones]
    assert (len(set(numbers)), len({one.uid for one in everybody})) == (len(numbers), len(everybody))


def test_google_tells_all_of_a_person() -> None:
    """The gateway reads the made-up person from the People API's resource."""
    kinds = (Kind.WORK, Kind.MOBILE, Kind.HOME, Kind.MOBILE)
    for one in map(person, range(200)):
        contact = read_person(resource(one), Source.CONTACTS, "DE").contact
        assert contact is not None
        assert (contact.uid, contact.given_name, contact.family_name) == (one.uid, one.given, one.family)
        told = sorted((phone.kind, phone.number.e164) for phone in contact.phones)
        assert told == sorted((kinds[kind], number) for kind, number in one.phones)


def test_google_has_pages_and_news() -> None:
    """As many as were asked for; the first person and the last are among those who change."""
    ready = {tokens: json.loads(gzip.decompress(body)) for tokens, body in answers(2500, 100).items()}
    counts = {tokens: len(page["connections"]) for tokens, page in ready.items()}
    assert counts == {("", ""): 1000, ("", "1000"): 1000, ("", "2000"): 500, ("full", ""): 100}
    news = changed(2500, 100)
    assert {one.given for one in news} == {CHANGED}
    assert (news[0].uid, news[-1].uid, len({one.uid for one in news})) == (person(0).uid, person(2499).uid, 100)


class Threads(ThreadingTCPServer):
    request_queue_size = 100
    daemon_threads = True

    def handle_error(self, request, client_address) -> None:
        """The engine just goes when its time is over."""


@contextmanager
def double(code: int) -> Iterator[Server]:
    """Run a server that lets everybody in, and answers each search with two entries and a result, in two pieces."""
    result = integer(code, ENUMERATED) + octets(b"") + octets(b"")
    entry = tlv(0x64, octets(b"uid=c1,dc=example") + tlv(0x30, b""))

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            while head := self.rfile.read(2):
                # The engine's messages are short: one octet of length, or two.
                head += self.rfile.read(head[1] & 0x7F) if head[1] & 0x80 else b""
                length = int.from_bytes(head[2:]) if head[1] & 0x80 else head[1]
                message = decode(head + self.rfile.read(length))
                if isinstance(message.request, BindRequest):
                    accepted = integer(0, ENUMERATED) + octets(b"") + octets(b"")
                    self.wfile.write(pdu.message(message.message_id, tlv(0x61, accepted)))
                elif isinstance(message.request, SearchRequest):
                    answer = pdu.message(message.message_id, entry) * 2
                    answer += pdu.message(message.message_id, tlv(0x65, result))
                    self.wfile.write(answer[:9])
                    self.wfile.write(answer[9:])

    with Threads(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield Server("double", Target(server.server_address[1], 0, BASE, "desk1", "secret"), os.getpid(), 0.0)
        finally:
            server.shutdown()


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    return Load(tmp_path_factory.mktemp("load"))


@pytest.mark.long  # waits for the seconds that are counted
@needs_compiler
@pytest.mark.parametrize(
    ("workload", "code"), [("prefix", 0), ("list", 0), ("bind", 0), ("prefix", 4)], ids=["", "list", "bind", "limited"]
)
def test_answers_are_counted(workload: str, code: int, load: Load) -> None:
    """Entries and results, however the octets come; each search that has ended has its entries."""
    with double(code) as server:
        found = load.round(server, WORKLOADS[workload].asked(BASE, PEOPLE), 0.1)
    assert (found.errors, found.found, found.searches > 0) == (0, 2.0, True)
    assert 0 < found.p50 <= found.p99


@needs_compiler
@pytest.mark.long  # waits for the searches that never succeed
def test_refusals_are_errors(load: Load) -> None:
    """Another result than success is none of the searches that count."""
    with double(80) as server:
        found = load.round(server, WORKLOADS["prefix"].asked(BASE, PEOPLE), 0.1)
    assert (found.searches, found.errors > 0, found.last_code) == (0, True, 80)
