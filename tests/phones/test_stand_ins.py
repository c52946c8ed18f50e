# SPDX-License-Identifier: MIT
"""Other names and numbers: what stays of a text, what does not, and what a whole recording gives away."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldapgw.directory import name_folding
from ldapgw.directory.filter import Equality, LessOrEqual, Present, Scope, SearchRequest, Substrings
from ldapgw.directory.schema import configure_aliases
from ldapgw.errors import UserError
from ldapgw.ldap.decoder import decode
from ldapgw.ldap.messages import BindRequest, CompareRequest, Simple
from ldapgw.numbers.phone_number import parse
from ldapgw.phones.recording import RecordedEntry, RecordedMessage, Response, encode_bind, exchanges
from ldapgw.phones.recording_file import dump, load
from ldapgw.phones.stand_ins import StandIns, stand_in_text, with_stand_ins
from tests.support import asks, pdu
from tests.support.filter_text import encode, read_filter
from tests.support.phonebook import BASE, BOOK, CONTACTS, naming_context, phonebook
from tests.support.phonebook.recorded import record, requests

CONTEXT = naming_context(strip=("l0#",))
SEEDS = st.integers(0, 1000).map(Random)
# Names as they are written in Europe, and in other scripts.
NAMES = st.text("abcdefghijklmnopqrstuvwxyzäöüßéèñçåABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÜ -.'", max_size=12) | st.text(
    "абвгдежзиклмнопрстуфхцчшщьыэюяАБВГД αβγδεζηθικλμνξοπρστυφχψωΑΒΓ", max_size=12
)


def stand_ins(random: Random, *numbers: str, kept: int = 0) -> StandIns:
    """Tables for entries with some numbers."""
    parsed = tuple(number for text in numbers if (number := parse(text, "DE")))
    entry = RecordedEntry("uid=a", {"telephoneNumber": numbers}, {"telephoneNumber": parsed})
    return StandIns([entry], CONTEXT, random, kept)


def shape(text: str) -> list[tuple[str, str]]:
    """The kind of each character without its accents, and its script."""
    return [(unicodedata.category(char), unicodedata.name(char, "?").split()[0]) for char in plain(text)]


def plain(text: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFD", text) if not unicodedata.combining(char))


@given(SEEDS, NAMES)
def test_length_script_and_case_stay(random: Random, text: str) -> None:
    """Of every name."""
    assert shape(stand_ins(random).text(text)) == shape(text)


@given(SEEDS, NAMES, st.data())
def test_beginnings_and_parts_stay(random: Random, text: str, data: st.DataObject) -> None:
    """A part of a name becomes the same part of its stand-in."""
    tables = stand_ins(random)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    assert tables.text(text[start:end]) in tables.text(text)
    assert tables.text(text).startswith(tables.text(text[:end]))


@given(SEEDS, st.text("abcdefghijklmnopqrstuvwxyzäöüßéèçåABCÄÖÜ -.'", max_size=12))
def test_spellings_of_umlauts_stay_spellings(random: Random, text: str) -> None:
    """The variants of a stand-in are the stand-ins of the variants, so that mueller finds müller."""
    tables = stand_ins(random)
    variants = {plain(tables.text(form)) for form in name_folding.variants(text)}
    assert {plain(form) for form in name_folding.variants(tables.text(text))} == variants


@given(SEEDS)
def test_no_consonant_stays(random: Random) -> None:
    """Two letters never become one, and no consonant but s becomes itself."""
    tables = stand_ins(random)
    letters = "abcdefghijklmnopqrstuvwxyz"
    assert sorted(tables.text(letters)) == [*letters]
    assert {one for one in letters if tables.text(one) == one} == {*"aes"}


def test_other_texts() -> None:
    """Letters of other scripts, digits in any, syllables of parts; signs and half pairs stay."""
    tables = stand_ins(Random(1))
    for text in ("김철수", "田中太郎", "ひらがな", "שלום", "محمد", "٠١٢"):
        assert tables.text(text) != text
        assert len(tables.text(text)) == len(text)
        assert [char.isalpha() for char in tables.text(text)] == [char.isalpha() for char in text]
    for text in ("æß", "+ - (0) / @", "😀\ud800", "ьъ", ""):
        assert tables.text(text) == text


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("+49301234567", r"\+49[1-9]0\d{7}"),
        ("0049 30 1234567", r"0049 [1-9]0 \d{7}"),
        ("030/1234567", r"0[1-9]0/\d{7}"),
        ("0030 1234567", r"00[1-9]0 \d{7}"),  # 0 is the outside line
        ("tel:+49-30-1234567", r"tel:\+49-[1-9]0-\d{7}"),
        ("sip:+49301234567@pbx", r"sip:\+49[1-9]0\d{7}@[a-z]{3}"),
        ("L0#0301234567", r"L0#0[1-9]0\d{7}"),
        ("+43 1 58858", r"\+43 [1-9] [1-9]{5}"),  # nobody's
        ("204", r"[1-9]0[1-9]"),
        ("anonymous", r"[a-z]{9}"),
        ("+", r"\+"),
        ("", ""),
    ],
)
def test_of_a_number_the_country_stays(text: str, pattern: str) -> None:
    """And what is dialled before it, the punctuation, and the words of an address."""
    changed = stand_ins(Random(3), "+49 30 1234567", "204").number(text)
    assert re.fullmatch(pattern, changed)
    assert not any(char.isdigit() for char in text) or changed != text


def test_the_beginning_of_a_national_number_can_stay() -> None:
    """Four digits, where a numbering plan knows the number by them."""
    changed = stand_ins(Random(3), "+1 212 555 0100", kept=4).number("+12125550100")
    assert changed.startswith("+12125")
    assert changed != "+12125550100"


@given(SEEDS, st.integers(0, 12), st.integers(0, 12))
def test_a_part_of_a_number_is_that_of_the_stand_in(random: Random, start: int, length: int) -> None:
    """Wherever the country code ends."""
    tables = stand_ins(random, "+49 30 1234567")
    whole = tables.number("49301234567")
    part = "49301234567"[start : start + length]
    assert tables.number(part) in whole
    assert whole.startswith(tables.number("49301234567"[:length], begins=True))
    assert whole.endswith(tables.number("49301234567"[start:], ends=True))


def test_dns_and_values() -> None:
    """Types, spelling and the gateway's own names stay; escapes are understood."""
    tables = stand_ins(Random(5), "+49 30 1234567")
    dn = tables.dn("CN=desk1 , ou=phones,DC=acme")
    assert re.fullmatch("CN=[a-z]{4}[1-9] , ou=phones,DC=[a-z]{4}", dn)
    assert "desk1" not in dn
    assert tables.dn(r"uid=a\,b,dc=x") == f"uid={tables.text('a')}\\,{tables.text('b')},dc={tables.text('x')}"
    assert tables.dn('"no dn') == tables.text('"no dn')
    assert tables.dn("cn=Anna+telephoneNumber=+49301234567") != tables.text("cn=Anna+telephoneNumber=+49301234567")
    assert [tables.value(*one) for one in (("c", "DE"), ("objectClass", "person"), ("createTimestamp", "2026"))] == [
        *("DE", "person", "2026")
    ]
    assert tables.value("entryDN", "dc=acme") == tables.dn("dc=acme")
    assert tables.octets("cn", "Bär".encode("latin-1")) == tables.text("Bär").encode("latin-1")
    assert tables.octets("cn", b"\xf0") == tables.text("ð").encode("latin-1")


def test_the_end_of_all_names_stays() -> None:
    """In a filter, and all names of attributes do."""
    tables = stand_ins(Random(5))
    assert tables.filter(LessOrEqual("cn", b"zz")) == LessOrEqual("cn", b"zz")
    for text in ("(&(cn=*)(!(sn=anna)))", "(|(cn=a*b*c)(o:=anna)(sn>=anna))", "(:caseIgnoreMatch:=anna)"):
        found = read_filter(text)
        changed = tables.filter(found)
        assert changed != found
        assert tables.filter(Present("cn")) == Present("cn")
    assert tables.filter(Substrings("cn", None, (b"anna",), None), {b"anna": b"otto"}) == Substrings(
        "cn", None, (b"otto",), None
    )
    assert tables.filter(Equality("mobile", b"1"), {b"1": b"x"}) == tables.filter(Equality("mobile", b"1"))


def test_nothing_real_is_left() -> None:
    """No name, number, address, base or login, wherever the phone had sent it or got it."""
    everything = SearchRequest(BASE, Scope.WHOLE_SUBTREE, Present("cn"))
    by_name = SearchRequest(BOOK, Scope.WHOLE_SUBTREE, Substrings("cn", "Müller".encode(), (), None))
    messages = [
        *requests(everything, by_name),
        pdu.message(4, pdu.search("cn=desk1", 0)),
        pdu.message(
            5, pdu.search(BASE, 2), pdu.controls(asks.sort("cn"), asks.page(5), pdu.control("1.2.3", value=b"Anna"))
        ),
        pdu.message(6, pdu.search(BASE, 2), pdu.controls(asks.view(0, 1, b"Anna"), asks.sort("cn"))),
    ]
    recording = record(phonebook(), messages)
    unread = RecordedMessage(9.0, 1, True, b"\x30\x05\x02\x01\x07\x63\x80")
    recording = replace(recording, messages=(*recording.messages, unread))
    changed = with_stand_ins(recording, Random(2))
    assert (changed.left_out, changed.searches_left_out, changed.is_plain) == (1, 0, False)
    text = dump(changed).casefold() + "".join(
        one.octets.decode("utf-8", "replace").casefold() for one in changed.messages
    )
    words = {"acme", "desk1", "alice"}
    for contact in CONTACTS:
        names = (contact["givenName"], contact["familyName"], contact["organization"])
        words |= {word.casefold() for name in names if name for word in re.findall(r"\w{5,}", name)}
        words |= {number["canonicalForm"][3:] for number in contact["numbers"] if number["canonicalForm"]}
        words |= {mail["value"] for mail in contact["emails"]}
    assert len(words) > 100
    assert sorted(word for word in words if word in text) == []


def test_controls_keep_what_names_nobody() -> None:
    """The attributes to sort by, and the size of a page."""
    wanted = pdu.controls(asks.sort("cn"), asks.page(5, b"cookie"), pdu.control("1.2.3", critical=False, value=b"Anna"))
    recording = record(phonebook(), [pdu.message(5, pdu.search(BASE, 2), wanted)])
    changed = with_stand_ins(recording, Random(2))
    [search] = exchanges(changed)
    before = exchanges(recording)[0].request.controls
    assert [(one.type, one.value) for one in search.request.controls] == [
        (before[0].type, before[0].value),
        (before[1].type, decode(pdu.message(1, pdu.search(), pdu.controls(asks.page(5)))).controls[0].value),
        ("1.2.3", None),
    ]


def test_letters_of_a_keypad_and_other_scripts_are_found_again() -> None:
    """A value that the tables do not carry over is looked for among the stand-ins' names."""
    searches = [
        SearchRequest(BASE, Scope.WHOLE_SUBTREE, Substrings("cn", value, (), None)) for value in (b"6835", b"petrov")
    ]
    recording = record(phonebook(), requests(*searches))
    assert [len(one.found) > 0 for one in exchanges(recording)] == [True, True]
    changed = with_stand_ins(recording, Random(4))
    assert [len(one.found) for one in exchanges(changed)] == [len(one.found) for one in exchanges(recording)]
    values = [one.search.filter.initial for one in exchanges(changed) if one.search]
    assert [(len(value), value.isdigit()) for value in values] == [(4, True), (6, False)]
    assert values[1] != b"petrov"


def test_messages_without_names_stay_and_others_go() -> None:
    """Unbind, Abandon and StartTLS stay; what compares goes, and a bind keeps no more than a login."""
    kept = [pdu.message(8, b"\x42\x00"), pdu.message(9, b"\x50\x01\x02"), pdu.message(7, pdu.START_TLS)]
    compare = pdu.message(6, pdu.compare(BOOK, "cn", b"Anna"))
    assert isinstance(decode(compare).request, CompareRequest)
    bind = encode_bind(1, BindRequest(3, "desk1", Simple(b"")))
    tables = stand_ins(Random(1))
    assert [tables.message(RecordedMessage(0.0, 1, True, one)) for one in kept] == [
        RecordedMessage(0.0, 1, True, one) for one in kept
    ]
    assert tables.message(RecordedMessage(0.0, 1, True, compare)) is None
    changed = tables.message(RecordedMessage(0.0, 1, True, bind))
    assert changed is not None
    assert decode(changed.octets).request == BindRequest(3, tables.text("desk1"), Simple(b""))
    result = Response(3, 0x65, BOOK, code=32, diagnostic="no such object")
    answer = tables.message(RecordedMessage(0.0, 1, False, result.encode()))
    assert answer is not None
    assert Response.read(answer.octets) == replace(result, dn=tables.dn(BOOK))


def test_names_of_attributes_are_understood(request: pytest.FixtureRequest) -> None:
    """Those that a tenant has configured, in the process that knows no configuration."""
    request.addfinalizer(lambda: configure_aliases({}))
    configure_aliases({"DirNumber": "telephoneNumber"})
    search = SearchRequest(BASE, Scope.WHOLE_SUBTREE, Equality("DirNumber", b"+49301234567"))
    recording = replace(record(phonebook(), requests(search)), attribute_aliases={"DirNumber": "telephoneNumber"})
    configure_aliases({})
    changed = load(stand_in_text(dump(recording)))
    [found] = exchanges(changed)
    assert (len(found.found), found.text[:14], changed.searches_left_out) == (1, "(DirNumber=+49", 0)


def test_a_file_gets_stand_ins() -> None:
    """Others each time; what is no recording is refused."""
    plain_text = dump(record(phonebook(), requests(SearchRequest(BASE, Scope.WHOLE_SUBTREE, Present("cn")))))
    changed = [stand_in_text(plain_text) for _ in range(2)]
    assert changed[0] != changed[1]
    assert [load(text).is_plain for text in (plain_text, *changed)] == [True, False, False]
    with pytest.raises(UserError, match="line 1"):
        stand_in_text("")
    assert encode(Present("cn"))
