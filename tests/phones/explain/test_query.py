# SPDX-License-Identifier: MIT
"""The tests turn a person's input into the filters that phones send."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ldapgw.directory.filter import (
    And,
    Approximate,
    Equality,
    Extensible,
    Filter,
    GreaterOrEqual,
    LessOrEqual,
    Not,
    Or,
    Present,
    to_string,
)
from ldapgw.directory.filter import Substrings as Sub
from ldapgw.errors import UserError
from ldapgw.phones.explain.query import QueryKind, SubjectKind, is_number, parse_query, read_filter, subject_of


@pytest.mark.parametrize(
    ("asked", "kind", "sent"),
    [
        ("mül", QueryKind.TEXT, "(&(objectClass=person)(|(cn=mül*)(sn=mül*)(o=mül*)))"),
        (
            "O'Brien (*)",
            QueryKind.TEXT,
            r"(&(objectClass=person)(|(cn=O'Brien \28\2a\29*)(sn=O'Brien \28\2a\29*)(o=O'Brien \28\2a\29*)))",
        ),
        ("", QueryKind.TEXT, "(&(objectClass=person)(|(cn=*)(sn=*)(o=*)))"),
        ("*", QueryKind.TEXT, "(&(objectClass=person)(|(cn=*)(sn=*)(o=*)))"),
        ("030/123 45", QueryKind.NUMBER, "(|(telephoneNumber=030/123 45)(mobile=030/123 45)(homePhone=030/123 45))"),
        (
            "685",
            QueryKind.NUMBER,
            "(&(objectClass=person)(|(telephoneNumber=685*)(mobile=685*)(homePhone=685*)(cn=685*)(sn=685*)(o=685*)"
            "(telephoneNumber=685)(mobile=685)(homePhone=685)))",
        ),
        ("m\udcfcl", QueryKind.TEXT, r"(&(objectClass=person)(|(cn=m\fcl*)(sn=m\fcl*)(o=m\fcl*)))"),
    ],
    ids=["name", "signs", "nothing", "a star", "number", "few digits", "ISO 8859-1"],
)
def test_what_is_typed_becomes_what_phones_send(asked: str, kind: QueryKind, sent: str) -> None:
    """The filters are the same as in the output of ``phones add``.

    Octets stay as typed, and the repr hides the text.
    """
    query = parse_query(asked)
    assert (query.kind, to_string(query.filter)) == (kind, sent)
    assert repr(query) == object.__repr__(query)


def test_a_text_in_parentheses_is_a_filter() -> None:
    """Blanks around the filter do not matter, and a broken filter is refused."""
    query = parse_query(" (cn=*) ")
    assert (query.kind, query.filter) == (QueryKind.FILTER, Present("cn"))
    with pytest.raises(UserError, match="This is not a filter"):
        parse_query("(cn=*")


NUMBERS = (
    *("030 123-45 67", "+49 (30) 1234567", "204", "*31#030123", "0800 FLOWERS", "1-800-FLOWERS", "٠٣٠١٢٣٤٥٦٧"),
    *("+49 30 1234567 x204", "030 1234567 Durchwahl 12", "sip:0301234567@pbx", "sip:204@pbx.example"),
    *("tel:+49301234567", '"Müller" <sip:0301234567@pbx.example>'),
)
NAMES = (
    *("sip:alice@pbx.example", "360Grad GmbH", "123abc@acme.example", "08/15 GmbH", "007 James Bond", "204 Empfang"),
    *("Hans 030 1234567", "Müller", "+", "", "3M"),
)


def test_is_number() -> None:
    """A number has digits with the usual signs between them, and additions of telephone systems.

    All other texts are names.
    """
    assert tuple(filter(is_number, (*NUMBERS, *NAMES))) == NUMBERS


@pytest.mark.parametrize(
    ("asked", "subject"),
    [
        ("(&(objectClass=*)(givenName>=Klaus)(givenName<=zz)(givenName=Klaus*))", (SubjectKind.NAME, "Klaus")),
        ("(&(objectClass=person)(sn>=m)(sn<=ZZZ))", (SubjectKind.NAME, "m")),
        ("(&(objectClass=person)(sn<=mueller))", (SubjectKind.NAME, "mueller")),
        ("(&(objectClass=person)(sn<=zz))", (SubjectKind.EVERYBODY, "")),
        ("(sn>=zz)", (SubjectKind.NAME, "zz")),
    ],
)
def test_what_was_typed_on_a_phone_that_pages_by_ranges(asked: str, subject: tuple[SubjectKind, str]) -> None:
    """The upper end of a range of all names does not count as typed text."""
    found = subject_of(read_filter(asked))
    assert (found.kind, found.text) == subject


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(cn=a)", Equality("cn", b"a")),
        ("  (cn=a b) ", Equality("cn", b"a b")),
        ("(cn>=a)", GreaterOrEqual("cn", b"a")),
        ("(cn<=a)", LessOrEqual("cn", b"a")),
        ("(cn~=a)", Approximate("cn", b"a")),
        ("(cn=*)", Present("cn")),
        ("(cn=a*)", Sub("cn", b"a", (), None)),
        ("(cn=*a*b*)", Sub("cn", None, (b"a", b"b"), None)),
        ("(cn=a**b)", Sub("cn", b"a", (), b"b")),
        ("(cn=**)", Present("cn")),
        ("(!(cn=a))", Not(Equality("cn", b"a"))),
        ("(|(cn=a)(&(sn=b)(o=c)))", Or((Equality("cn", b"a"), And((Equality("sn", b"b"), Equality("o", b"c")))))),
        ("(cn:dn:2.5.13.2:=x)", Extensible("2.5.13.2", "cn", b"x", dn_attributes=True)),
        ("(:caseIgnoreMatch:=x)", Extensible("caseIgnoreMatch", None, b"x")),
        ("(cn=Müller)", Equality("cn", "Müller".encode())),
        (r"(cn=M\c3\bcller)", Equality("cn", "Müller".encode())),
        (r"(cn=M\fcller)", Equality("cn", b"M\xfcller")),
        (r"(cn=*\2a\28\29\5c*)", Sub("cn", None, (b"*()\\",), None)),
        (r"(cn=\00)", Equality("cn", b"\x00")),
        ("(cn=日本*)", Sub("cn", "日本".encode(), (), None)),
        ("(cn=)", Equality("cn", b"")),
        ("(|(telephoneNumber=)(mobile=))", Or((Equality("telephoneNumber", b""), Equality("mobile", b"")))),
        ("(cn=a=)", Equality("cn", b"a=")),
        ("(&)", And(())),
        ("(|)", Or(())),
        ("(&(cn=a)(!(|)))", And((Equality("cn", b"a"), Not(Or(()))))),
        ("(cn;lang-de=a)", Equality("cn;lang-de", b"a")),
    ],
)
def test_a_text_becomes_a_tree(text: str, expected: Filter) -> None:
    """RFC 4515, and what people write for it."""
    assert read_filter(text) == expected


@pytest.mark.parametrize(
    ("text", "position"),
    [
        *(("", 1), ("cn=a", 1), ("((cn=a)", 2), ("(cn=a)(sn=b)", 7), (r"(cn=\zz)", 6), ("(cn=(a)", 5), ("()", 2)),
        *((r"(&(&)(cn=\zz))", 6), (r"(&(sn=)(cn=\zz))", 8), ("(cn=(&))", 5)),
    ],
)
def test_what_is_no_filter_is_a_plain_line(text: str, position: int) -> None:
    """With the place where it goes wrong."""
    with pytest.raises(UserError) as raised:
        read_filter(text)
    assert raised.value.problems == (f"This is not a filter: it cannot be read from position {position} on.",)


@pytest.mark.parametrize("text", ["(!" * 60 + "(cn=a)" + ")" * 60, "(!" * 5000 + "(cn=a)" + ")" * 5000])
def test_a_filter_beyond_our_limits_is_a_plain_line(text: str) -> None:
    """However deep it goes."""
    with pytest.raises(UserError, match="nested too deep"):
        read_filter(text)


def test_every_filter_that_a_phone_is_known_to_send_is_read() -> None:
    """The recorded requests; and what is read is written so that it is read as the same."""
    cases = json.loads((Path(__file__).parents[2] / "data" / "phones.json").read_text())["cases"]
    read = [read_filter(case["filter"]) for case in cases]
    assert [read_filter(to_string(one)) for one in read] == read
