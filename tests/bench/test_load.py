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

BASE = "dc=acme,dc=example"
PEOPLE = [person(at) for at in range(50)]
SHAPES = {
    "prefix": r"\(\|\(cn=(.+)\*\)\(sn=\1\*\)\(givenName=\1\*\)\)",
    "three-words": r"\(\|\(cn=(\S+ \S+ \S+)\*\)\(sn=\1\*\)\(givenName=\1\*\)\)",
    "and-yealink": r"\(&\(objectClass=person\)\(\|\(cn=(.+)\*\)\(sn=\1\*\)\(o=\1\*\)\)\)",
    "and-poly": r"\(&\(cn=(.+)\*\)\(\|\(telephoneNumber=\*\)\(mobile=\*\)\)\)",
    "presence": r"\(telephoneNumber=\*\)",
    "reverse": r"\(\|\(telephoneNumber=(\+\d+)\)\(mobile=\1\)\(homePhone=\1\)\)",
    "substring": r"\(cn=\*.+\*\)",
}


@pytest.mark.parametrize("name", SHAPES)
def test_searches_are_those_of_phones(name: str) -> None:
    """Each is one message with messageID 1, has the filter of a phone, and is the same each time."""
    asked = WORKLOADS[name].asked(BASE, PEOPLE)
    for request in asked.requests[:100]:
        message = decode(request)
        assert isinstance(message.request, SearchRequest)
        found = message.message_id, message.request.attributes, message.request.size_limit
        assert found == (1, ATTRIBUTES, MOST_ENTRIES)
        assert re.fullmatch(SHAPES[name], to_string(message.request.filter))
    assert asked == WORKLOADS[name].asked(BASE, PEOPLE)


def test_one_caller_in_ten_is_unknown() -> None:
    """Their numbers are of a country that has none; a strict load asks the same as the usual load."""
    asked = WORKLOADS["reverse"].asked(BASE, PEOPLE)
    assert 0.08 < sum(b"+49999" in request for request in asked.requests) / len(asked.requests) < 0.12
    assert WORKLOADS["strict-reverse"].asked(BASE, PEOPLE) == asked


def test_google_tells_all_of_a_person() -> None:
    """A person is the same as last year and has numbers of its own, and the gateway reads the person's resource."""
    emails = ("zoe.roben1@mail.example",)
    assert person(1) == Person("c0000000002654435762", "Zoe", "Roben", ((1, "+4415900007924"),), "", "", emails)
    everybody = [person(at) for at in range(3000)]
    numbers = [number for one in everybody for _, number in one.phones]
    assert (len(set(numbers)), len({one.uid for one in everybody})) == (len(numbers), len(everybody))
    kinds = (Kind.WORK, Kind.MOBILE, Kind.HOME, Kind.MOBILE)
    for one in everybody[:200]:
        contact = read_person(resource(one), Source.CONTACTS, "DE").contact
        assert contact is not None
        told = contact.uid, contact.given_name, contact.family_name
        phones = sorted((phone.kind, phone.number.e164) for phone in contact.phones)
        known = sorted((kinds[kind], number) for kind, number in one.phones)
        assert (told, phones) == ((one.uid, one.given, one.family), known)


def test_google_has_pages_and_news() -> None:
    """Google has as many as were asked for; the first person and the last are among those who change."""
    ready = {tokens: json.loads(gzip.decompress(body)) for tokens, body in answers(2500, 100).items()}
    counts = {tokens: len(page["connections"]) for tokens, page in ready.items()}
    assert counts == {("", ""): 1000, ("", "1000"): 1000, ("", "2000"): 500, ("full", ""): 100}
    news = changed(2500, 100)
    assert {one.given for one in news} == {CHANGED}
    assert (news[0].uid, news[-1].uid, len({one.uid for one in news})) == (person(0).uid, person(2499).uid, 100)


@contextmanager
def double(code: int) -> Iterator[Server]:
    """Run a server that lets everybody in, and answers each search with two entries and a result, in two pieces."""
    accepted = tlv(0x61, integer(0, ENUMERATED) + octets(b"") + octets(b""))
    result = tlv(0x65, integer(code, ENUMERATED) + octets(b"") + octets(b""))
    entry = tlv(0x64, octets(b"uid=c1,dc=example") + tlv(0x30, b""))

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            while head := self.rfile.read(2):
                # The engine's messages are short: one octet of length, or two.
                head += self.rfile.read(head[1] & 0x7F) if head[1] & 0x80 else b""
                message = decode(head + self.rfile.read(int.from_bytes(head[2:]) if head[1] & 0x80 else head[1]))
                is_bind = isinstance(message.request, BindRequest)
                parts = [accepted] if is_bind else [entry, entry, result]
                answer = b"".join(pdu.message(message.message_id, part) for part in parts)
                self.wfile.write(answer[:9])
                self.wfile.write(answer[9:])

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # the engine leaves when its time is over
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield Server("double", Target(server.server_address[1], 0, BASE, "desk1", "secret"), os.getpid(), 0.0)
        finally:
            server.shutdown()


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    return Load(tmp_path_factory.mktemp("load"))


@pytest.mark.long  # waits for the seconds that are counted
@pytest.mark.skipif(shutil.which("cc") is None and "CI" not in os.environ, reason="needs a C compiler (Debian's gcc)")
@pytest.mark.parametrize(("workload", "code"), [("prefix", 0), ("list", 0), ("bind", 0), ("prefix", 4), ("prefix", 80)])
def test_answers_are_counted(workload: str, code: int, load: Load) -> None:
    """Entries and results are counted however the octets come; another result than success or a limit is an error."""
    with double(code) as server:
        found = load.round(server, WORKLOADS[workload].asked(BASE, PEOPLE), 0.1)
    if code == 80:
        assert (found.searches, found.errors > 0, found.last_code) == (0, True, 80)
    else:
        assert (found.errors, found.found, found.searches > 0) == (0, 2.0, True)
        assert 0 < found.p50 <= found.p99
