# SPDX-License-Identifier: MIT
"""The tests turn a person's input into the filters that phones send."""

from __future__ import annotations

import pytest

from ldapgw.directory.filter import Filter, Present, to_string
from ldapgw.errors import UserError
from ldapgw.ldap.filter_text import read_filter
from ldapgw.phones.explain.query import QueryKind, SubjectKind, is_number, parse_query, subject_of


def never(_text: str) -> Filter:
    """The function stands in for a reader of filters, and any call fails the test."""
    raise AssertionError


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
    query = parse_query(asked, never)
    assert (query.kind, to_string(query.filter)) == (kind, sent)
    assert repr(query) == object.__repr__(query)


def test_a_text_in_parentheses_is_a_filter() -> None:
    """Blanks around the filter do not matter, and a broken filter is refused."""
    query = parse_query(" (cn=*) ", read_filter)
    assert (query.kind, query.filter) == (QueryKind.FILTER, Present("cn"))
    with pytest.raises(UserError, match="This is not a filter"):
        parse_query("(cn=*", read_filter)


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
