# SPDX-License-Identifier: MIT
"""The tests cover the kept part of a phone's messages, the found entries, and the file of a recording."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace

import pytest

from ldapgw.ber import integer, octets, tlv
from ldapgw.directory.filter import Present, Scope, SearchRequest
from ldapgw.errors import UserError
from ldapgw.ldap.decoder import decode
from ldapgw.ldap.messages import BindRequest, Sasl, Simple
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.phones.recording import (
    Difference,
    RecordedBind,
    RecordedEntry,
    RecordedMessage,
    Response,
    bind_name,
    dump,
    load,
    make_recording,
    storable,
)
from tests.support import pdu
from tests.support.filter_text import encode, read_filter
from tests.support.phonebook import BASE, PHONE, naming_context, phonebook
from tests.support.phonebook.entries import FULL
from tests.support.phonebook.recorded import record, requests
from tests.support.phonebook.wire import dit_of
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
    """The stored bind does not show the length of the password."""
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
        pdu.message(7, tlv(0x60, integer(3) + octets(b"cn=desk1") + SECRET)),
        pdu.message(7, pdu.search(BASE, 2, encode(read_filter("(userPassword=a very secret word)")))),
        pdu.message(7, pdu.compare("cn=a", "unicodePwd", SECRET)),
        pdu.message(7, b"\x63\x03\x04\x05x"),
        pdu.message(7, pdu.search(BASE, 2, encode(read_filter(f"(cn={'a' * 5000})")))),
        b"\x30\x03" + SECRET,
    ],
    ids=[
        *("modify", "broken bind", "search for a password", "compare"),
        *("broken search", "refused search", "no message"),
    ],
)
def test_nothing_is_kept_of_what_may_hold_a_password_or_cannot_be_read(message: bytes) -> None:
    assert storable(message) is None


def test_a_search_is_kept() -> None:
    """Requests other than binds and searches are stored as empty."""
    search = pdu.message(7, pdu.search(BASE, 2))
    others = [pdu.compare("cn=a", "cn", b"a"), pdu.WHO_AM_I, pdu.START_TLS, PASSWORD_MODIFY]
    others += [b"\x42\x00", b"\x50\x01\x02"]
    assert storable(search) == search
    assert [storable(pdu.message(7, other)) for other in others] == [b""] * len(others)
    assert bind_name(search) == ""


def messages_of(*octets: tuple[int, bool, bytes]) -> list[RecordedMessage]:
    return [RecordedMessage(100.0 + at, *one) for at, one in enumerate(octets)]


def found(message_id: int, dn: str) -> bytes:
    attribute = tlv(0x30, octets(b"cn") + tlv(0x31, octets(b"Anna")))
    return pdu.message(message_id, tlv(0x64, octets(dn.encode()) + tlv(0x30, attribute)))


def result(message_id: int, tag: int, code: int) -> bytes:
    return pdu.message(message_id, tlv(tag, integer(code, 0x0A) + octets(b"") + octets(b"")))


def test_requests_are_paired_with_their_answers() -> None:
    """Connection and messageID pair a request with its answer. An answer without a request is left out."""
    bind, search = pdu.message(1, pdu.bind("desk1", b"")), pdu.message(2, pdu.search(BASE, 2))
    dn = f"uid=a,ou=alice,{BASE}"
    messages = messages_of(
        (1, True, bind),
        (2, True, search),
        (1, False, result(1, 0x61, 0)),
        (1, True, search),
        (2, False, found(2, f"ou=alice,{BASE}")),
        (1, False, found(2, dn)),
        (1, False, result(2, 0x65, 0)),
        (2, False, result(9, 0x65, 0)),
        (3, True, bind),
        (3, False, result(1, 0x61, 49)),
        (3, True, search),
        (3, False, result(2, 0x65, 0)),
        (1, True, bind),
        (1, False, result(1, 0x61, 49)),
        (1, True, search),
        (1, False, result(2, 0x65, 0)),
    )
    recording = make_recording(messages, 100.0, phonebook(), PHONE, naming_context())
    assert recording.binds == (
        RecordedBind(0.0, 1, "desk1", 0),
        RecordedBind(8.0, 3, "desk1", 49),
        RecordedBind(12.0, 1, "desk1", 49),
    )
    assert [(one.at, one.connection, one.is_bound, one.code, one.found) for one in recording.searches] == [
        (3.0, 1, True, 0, (dn,)),
        (10.0, 3, False, 0, ()),
        (14.0, 1, False, 0, ()),
        (1.0, 2, False, None, (f"ou=alice,{BASE}",)),
    ]
    assert [one.is_partial for one in recording.searches] == [False, False, False, True]
    assert recording.entries == (RecordedEntry(dn, {"uid": ("a",), "cn": ("Anna",)}),)


def test_entries_have_what_was_given_and_what_filters_name() -> None:
    """The file has the found contacts with the returned and filtered attributes, and no other contact."""
    term = read_filter("(&(sn=weber)(!(sn=nobody))(|(telephoneNumber=*)(:caseIgnoreMatch:=weber)))")
    recording = record(phonebook(), requests(replace(EVERYBODY, filter=term, attributes=("mail", "objectClass"))))
    assert {entry.dn for entry in recording.entries} == {*recording.searches[0].found}
    names = {name for entry in recording.entries for name in entry.attributes}
    assert names == {"mail", "sn", "telephoneNumber", "uid"}
    assert 0 < len(recording.entries) < 5


def test_a_file_has_everything_again() -> None:
    """A file may hold the parts of several gateways, each with its header."""
    recording = record(phonebook(), requests(EVERYBODY))
    note = Difference(("uid=a",), ("uid=b",), None)
    whole = replace(
        recording,
        context=replace(
            naming_context(strip=("l0#",)),
            name="recorded",
            book_order=("own", "directory"),
            area_code="30",
            switchboard=True,
        ),
        number_format=NumberFormat.NATIONAL,
        model="yealink",
        attribute_aliases={"DirName": "cn"},
        version="1.2",
        left_out=1,
        is_cut=True,
        is_plain=False,
        entries=(
            *recording.entries,
            RecordedEntry("uid=x", {"cn": ("X\u2028\u2029\x85",)}, is_decoy=True, switchboards=("+49305550",)),
        ),
        searches=tuple(replace(one, note=note, controls=("1.2.3",)) for one in recording.searches),
    )
    assert load(dump(whole)) == (whole,)
    assert load(dump(whole) + dump(whole)) == (whole, whole)
    former = dump(whole).replace('"area_code":"30","switchboard":true,', "")
    assert load(former) == (replace(whole, context=replace(whole.context, area_code="", switchboard=False)),)
    lines = [json.loads(line) for line in dump(whole).split("\n")[:-1]]
    assert [line["filter"] for line in lines if "filter" in line] == ["(cn=*)"]


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
        (lambda lines: [lines[0], "null"], 2),
        (lambda lines: [lines[0], "[" * 100_000], 2),
        (lambda lines: [lines[0], '{"bind":"a","at":0,"connection":1e999,"code":0}'], 2),
        (lambda lines: [lines[0], '{"dn":"uid=a"}'], 2),
        (lambda lines: [lines[0], '{"dn":"uid=a","attributes":{"cn":[]}}'], 2),
        (lambda lines: [lines[0], '{"bind":"a"}'], 2),
        (lambda lines: [*lines[:-1], lines[-1].replace('"request":"', '"request":"!')], 50),
        (lambda lines: [*lines[:-1], json.dumps(json.loads(lines[-1]) | {"request": "MAUCAQFCAA=="})], 50),
        (lambda lines: [*lines, '{"format":99}'], 51),
    ],
)
def test_a_damaged_file_is_refused_with_its_line(change, line) -> None:
    lines = dump(record(phonebook(), requests(EVERYBODY))).splitlines()
    with pytest.raises(UserError, match=f"^line {line}: "):
        load("\n".join(change(lines)))


def test_no_repr_holds_a_name() -> None:
    """A repr may end up in a traceback."""
    recording = record(phonebook(), requests(EVERYBODY))
    parts = (recording, recording.entries[0], recording.binds[0], recording.searches[0], Response(1, "uid=a"))
    texts = [repr(one) for one in (*parts, RecordedMessage(0.0, 1, True, b"cn=a"))]
    assert [text for text in texts if "uid=" in text or "cn=" in text] == []


def test_photos_are_in_no_recording() -> None:
    """No pseudonym could replace a photo, so photos are left out."""
    context = replace(naming_context(), photos=True)
    photo = jpeg()
    person = replace(FULL, photo=photo)
    asked = SearchRequest(BASE, Scope.WHOLE_SUBTREE, Present("cn"), attributes=("cn", "jpegPhoto"))
    recording = record(dit_of([person], context), requests(asked))
    [entry] = recording.entries
    assert entry.attributes.keys() == {"uid", "cn"}
    assert b64encode(photo)[:40].decode() not in dump(recording)
