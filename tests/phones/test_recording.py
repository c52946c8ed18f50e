# SPDX-License-Identifier: MIT
"""A recording: what may be kept of a phone's message, what was found, and the file."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from random import Random

import pytest

from ldapgw.ber import integer, octets, tlv
from ldapgw.contact import Sharing
from ldapgw.directory.book import build_book
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.filter import Present, Scope, SearchRequest
from ldapgw.directory.special_entries import Features
from ldapgw.errors import ProtocolViolation, UserError
from ldapgw.ldap.decoder import decode
from ldapgw.ldap.messages import BindRequest, Sasl, Simple
from ldapgw.phones.recording import RecordedEntry, RecordedMessage, Response, bind_name, exchanges, storable
from ldapgw.phones.recording_file import dump, load
from ldapgw.phones.stand_ins import with_stand_ins
from tests.support import pdu
from tests.support.filter_text import encode, read_filter
from tests.support.phonebook import BASE, naming_context, phonebook
from tests.support.phonebook.entries import FULL
from tests.support.phonebook.recorded import record, requests
from tests.support.photo import jpeg

SECRET = b"a very secret word"
MODIFY = tlv(0x66, octets(b"cn=a") + tlv(0x30, SECRET))
PASSWORD_MODIFY = tlv(0x77, octets(b"1.3.6.1.4.1.4203.1.11.1", 0x80) + octets(SECRET, 0x81))
EVERYBODY = SearchRequest(BASE, Scope.WHOLE_SUBTREE, Present("cn"), attributes=("cn",))


@pytest.mark.parametrize(
    ("request_octets", "authentication"),
    [
        (pdu.bind("cn=desk1", SECRET), Simple(b"")),
        (pdu.bind("cn=desk1", SECRET, version=2), Simple(b"")),
        (pdu.sasl("PLAIN", b"\0desk1\0" + SECRET), Sasl("PLAIN", None)),
        (tlv(0x60, integer(3) + octets(b"cn=desk1") + octets(SECRET, 0x85)), Simple(b"")),
    ],
    ids=["simple", "version 2", "PLAIN", "another method"],
)
def test_a_bind_is_kept_without_its_password(request_octets: bytes, authentication: Simple | Sasl) -> None:
    """Nor is its length kept."""
    message = pdu.message(7, request_octets)
    kept = storable(message)
    assert kept is not None
    before, after = decode(message), decode(kept)
    assert isinstance(before.request, BindRequest)
    assert after == replace(before, request=replace(before.request, authentication=authentication))
    assert bind_name(kept) == before.request.name


@pytest.mark.parametrize(
    "message",
    [
        pdu.message(7, MODIFY),
        pdu.message(7, PASSWORD_MODIFY),
        pdu.message(7, tlv(0x60, integer(3) + octets(b"cn=desk1") + SECRET)),
        pdu.message(7, pdu.search(BASE, 2, encode(read_filter("(userPassword=a very secret word)")))),
        pdu.message(7, pdu.compare("cn=a", "unicodePwd", SECRET)),
        b"\x30\x03" + SECRET,
    ],
    ids=["modify", "password modify", "broken bind", "search for a password", "compare", "no message"],
)
def test_nothing_is_kept_of_what_may_hold_a_password(message: bytes) -> None:
    assert storable(message) is None


@pytest.mark.parametrize(
    "message",
    [
        pdu.message(7, pdu.search(BASE, 2)),
        pdu.message(7, pdu.compare("cn=a", "cn", b"a")),
        pdu.message(7, pdu.WHO_AM_I),
        pdu.message(7, b"\x42\x00"),
        pdu.message(7, b"\x50\x01\x02"),
        pdu.message(7, b"\x63\x03\x04\x05x"),
    ],
    ids=["search", "compare", "who am I", "unbind", "abandon", "broken search"],
)
def test_everything_else_is_kept(message: bytes) -> None:
    assert storable(message) == message
    assert bind_name(message) == ""


def test_a_search_is_paired_with_what_it_found() -> None:
    """On its connection, by its messageID, whatever comes between."""
    recording = record(phonebook(), requests(EVERYBODY, replace(EVERYBODY, base="uid=nobody"), EVERYBODY))
    every, nobody, again = exchanges(recording)
    assert (len(every.found), every.code, every.is_bound, every.is_partial) == (47, 0, True, False)
    assert (len(nobody.found), nobody.code, nobody.text) == (0, 32, "(cn=*)")
    assert again.found == every.found
    assert [len(one.positions) for one in (every, nobody, again)] == [49, 2, 49]
    other = replace(recording.messages[2], connection=2)
    interleaved = replace(recording, messages=(recording.messages[0], other, *recording.messages[1:]))
    *answered, unanswered = exchanges(interleaved)
    assert [one.found for one in answered] == [one.found for one in (every, nobody, again)]
    assert (unanswered.found, unanswered.code, unanswered.is_bound, unanswered.is_partial) == ({}, None, False, True)


def test_answers_to_nothing_are_passed_over() -> None:
    """As to a request that was left out; and a search that cannot be read has no text."""
    recording = record(phonebook(), requests(EVERYBODY))
    left_out = replace(recording, messages=recording.messages[1:2] + recording.messages[3:])
    assert exchanges(left_out) == ()
    long = pdu.message(2, pdu.search(BASE, 2, encode(read_filter(f"(cn={'a' * 5000})"))))
    [refused] = exchanges(record(phonebook(), [long]))
    assert (refused.code, refused.text, refused.search) == (11, "", None)


def test_a_file_has_everything_again() -> None:
    """Entries with numbers and aliases, messages with times, the tenant, and what was left out."""
    recording = record(phonebook(), requests(EVERYBODY))
    whole = replace(
        recording,
        context=replace(naming_context(strip=("l0#",)), name="recorded", book_order=("own", "directory")),
        model="yealink",
        attribute_aliases={"DirName": "cn"},
        version="1.2",
        left_out=1,
        searches_left_out=2,
        is_cut=True,
        is_plain=False,
    )
    assert load(dump(whole)) == whole
    assert any(entry.aliases for entry in whole.entries)
    assert any(number.national for entry in whole.entries for numbers in entry.numbers.values() for number in numbers)
    lines = [json.loads(line) for line in dump(whole).splitlines()]
    assert [line["filter"] for line in lines if "filter" in line] == ["(cn=*)"]


def test_entries_that_are_gone_are_as_the_phone_got_them() -> None:
    """With the names in their DNs, and numbers as they are written."""
    found = RecordedEntry.from_values("cn=A,dc=x", {"cn": ("A",), "mobile": ("0301234567", "x")}, naming_context())
    [known, unknown] = found.numbers["mobile"]
    assert (known.e164, unknown.e164, unknown.typed) == ("+49301234567", "", "x")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda lines: [], 1),
        (lambda lines: ["no JSON", *lines[1:]], 1),
        (lambda lines: ["[]", *lines[1:]], 1),
        (lambda lines: ['{"format":99}', *lines[1:]], 1),
        (lambda lines: ['{"format":1}', *lines[1:]], 1),
        (lambda lines: [lines[0].replace("dc=acme", "="), *lines[1:]], 1),
        (lambda lines: [lines[0].replace('"attribute_aliases":{}', '"attribute_aliases":{"a":"b"}'), *lines[1:]], 1),
        (lambda lines: [lines[0].replace('"attribute_aliases":{}', '"attribute_aliases":[]'), *lines[1:]], 1),
        (lambda lines: [lines[0], "{}", *lines[1:]], 2),
        (lambda lines: [lines[0], '{"message":"!","from":"phone","at":1,"connection":1}'], 2),
        (lambda lines: [lines[0], '{"message":"","from":"nobody","at":1,"connection":1}'], 2),
        (lambda lines: [lines[0], '{"message":"MAA=","from":"gateway","at":1,"connection":1}'], 2),
    ],
)
def test_a_damaged_file_is_refused_with_its_line(change, line) -> None:
    lines = dump(record(phonebook(), requests(EVERYBODY))).splitlines()
    with pytest.raises(UserError, match=f"^line {line}: "):
        load("\n".join(change(lines)))


def test_a_response_is_read_and_written() -> None:
    """Entries and results; a request is none."""
    recording = record(phonebook(), requests(EVERYBODY))
    answers = [one.octets for one in recording.messages if not one.from_phone]
    assert [Response.read(one).encode() for one in answers] == answers
    with pytest.raises(ProtocolViolation):
        Response.read(pdu.message(1, b"\x42\x00"))


def test_no_repr_holds_a_name() -> None:
    """Whatever ends up in a traceback."""
    recording = record(phonebook(), requests(EVERYBODY))
    parts = (
        recording.entries[0],
        *exchanges(recording),
        RecordedMessage(0.0, 1, True, b"Anna"),
        Response(1, 0x64, "a"),
    )
    assert [one for one in parts if "uid=" in repr(one) or "cn=" in repr(one)] == []


def test_photos_are_in_no_recording() -> None:
    """No stand-in could replace one: neither of an entry, nor of an answer."""
    context = replace(naming_context(), photos=True)
    photo = jpeg()
    person = replace(FULL, photo=photo)
    book = build_book(context, "alice", "alice@acme.example", Sharing.SHARED, [person], {}, per_number=False)
    dit = Dit((Directory(context, (book,)),), Features("1"))
    asked = SearchRequest(BASE, Scope.WHOLE_SUBTREE, Present("cn"), attributes=("cn", "jpegPhoto"))
    recording = record(dit, requests(asked))
    [response] = [one for message in recording.messages[3:] if (one := Response.read(message.octets)).code is None]
    assert [name for name, _ in response.attributes] == ["cn"]
    stored = with_stand_ins(recording, Random(1))
    [exchange] = exchanges(stored)
    assert exchange.found
    assert not any(b"jpegPhoto" in message.octets for message in stored.messages if not message.from_phone)
    assert b64encode(photo)[:40].decode() not in dump(stored)
