# SPDX-License-Identifier: MIT
"""What a person means, and what phones send for it."""

from __future__ import annotations

import pytest

from ldapgw.directory.filter import Filter, Present, to_string
from ldapgw.errors import UserError
from ldapgw.ldap.filter_text import read_filter
from ldapgw.phones.explain.query import QueryKind, is_number, parse_query


def never(_text: str) -> Filter:
    """Stands where no filter is to be read."""
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
        ("030/123 45", QueryKind.NUMBER, "(|(telephoneNumber=030/123 45)(mobile=030/123 45)(homePhone=030/123 45))"),
        (
            "685",
            QueryKind.NUMBER,
            "(&(objectClass=person)(|(telephoneNumber=685*)(mobile=685*)(homePhone=685*)(cn=685*)(sn=685*)(o=685*)"
            "(telephoneNumber=685)(mobile=685)(homePhone=685)))",
        ),
        ("m\udcfcl", QueryKind.TEXT, r"(&(objectClass=person)(|(cn=m\fcl*)(sn=m\fcl*)(o=m\fcl*)))"),
    ],
    ids=["name", "signs", "nothing", "number", "few digits", "ISO 8859-1"],
)
def test_what_is_typed_becomes_what_phones_send(asked: str, kind: QueryKind, sent: str) -> None:
    """The filters that ``phones add`` prints; octets reach the search as they were typed, and no repr says them."""
    query = parse_query(asked, never)
    assert (query.kind, to_string(query.filter)) == (kind, sent)
    assert repr(query) == object.__repr__(query)


def test_a_text_in_parentheses_is_a_filter() -> None:
    """Blanks around it do not matter; one that is none is refused."""
    query = parse_query(" (cn=*) ", read_filter)
    assert (query.kind, query.filter) == (QueryKind.FILTER, Present("cn"))
    with pytest.raises(UserError, match="This is not a filter"):
        parse_query("(cn=*", read_filter)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("030 123-45 67", True),
        ("+49 (30) 1234567", True),
        ("204", True),
        ("*31#030123", True),
        ("0800 FLOWERS", True),
        ("1-800-FLOWERS", True),
        ("+49 30 1234567 x204", True),
        ("030 1234567 Durchwahl 12", True),
        ("sip:0301234567@pbx", True),
        ("sip:204@pbx.example", True),
        ("tel:+49301234567", True),
        ('"Müller" <sip:0301234567@pbx.example>', True),
        ("٠٣٠١٢٣٤٥٦٧", True),
        ("sip:alice@pbx.example", False),
        ("360Grad GmbH", False),
        ("123abc@acme.example", False),
        ("08/15 GmbH", False),
        ("007 James Bond", False),
        ("204 Empfang", False),
        ("Hans 030 1234567", False),
        ("Müller", False),
        ("+", False),
        ("", False),
        ("3M", False),
    ],
)
def test_is_number(wanted: str, expected: bool) -> None:
    """Digits, what people write between them, and what telephone systems write around them; others are names."""
    assert is_number(wanted) is expected
