# SPDX-License-Identifier: MIT
"""The tests read numbers of persons, and read stored contacts anew."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ldapgw.contact import Contact, Kind, LeftOutNumber, LeftOutReason, Phone, Source
from ldapgw.google.person import read_person
from ldapgw.google.person_numbers import read_anew
from ldapgw.numbers import Number
from tests.google.samples import persons


def read(*fields: dict[str, Any], region: str = "DE") -> Contact:
    """Return the contact of a person with fields of ``phoneNumbers``."""
    person = {"resourceName": "people/c1", "names": [{"displayName": "Pat"}], "phoneNumbers": list(fields)}
    contact = read_person(person, Source.CONTACTS, region).contact
    assert contact is not None
    return contact


FIELDS = [
    {"value": "030 5550171;0171 5550171", "type": "work"},
    {"value": "491705551442", "type": "mobile", "canonicalForm": "+49491705551442"},
    {"value": "(415) 555-0100", "canonicalForm": "+14155550100"},
    {"value": "030 5550171", "type": "home"},
    {"value": "ask me"},
    {"value": "500@hd-telefonie.example", "type": "work"},
    {"value": "*31#0171 5550191", "type": "Büro"},
    {"value": "+49 30 5550188,,12#"},
]


def test_a_contact_keeps_its_fields() -> None:
    """A number keeps the whole field if the field holds more, and Google's form if present."""
    contact = read(*FIELDS)

    assert [
        (phone.number.e164, phone.kind, phone.label, phone.stored, phone.canonical) for phone in contact.phones
    ] == [
        ("+49305550171", Kind.WORK, "", "030 5550171;0171 5550171", ""),
        ("+491715550171", Kind.WORK, "", "030 5550171;0171 5550171", ""),
        ("+491705551442", Kind.MOBILE, "", "", "+49491705551442"),
        ("+14155550100", Kind.OTHER, "", "", "+14155550100"),
        ("+491715550191", Kind.OTHER, "Büro", "", ""),
        ("+49305550188", Kind.OTHER, "", "", ""),
    ]
    assert contact.urls == ("sip:500@hd-telefonie.example",)
    assert contact.left_out == (
        LeftOutNumber("030 5550171", LeftOutReason.DUPLICATE),
        LeftOutNumber("ask me", LeftOutReason.NOT_DIALABLE),
    )


def test_a_contact_of_today_is_read_anew_as_it_is() -> None:
    """Reading a stored contact for the same region changes nothing, for every sample person."""
    contacts = [read(*FIELDS)]
    contacts += [found for person in persons() if (found := read_person(person, Source.CONTACTS, "DE").contact)]

    for contact in contacts:
        anew, _ = read_anew(contact, "DE")
        # The second reading lists duplicates last.
        assert replace(anew, left_out=()) == replace(contact, left_out=())
        assert set(anew.left_out) == set(contact.left_out)


@pytest.mark.parametrize(
    ("former", "numbers"),
    [
        (Number("491705551442", "+49491705551442", "0491705551442", "491705551442"), ["+491705551442"]),
        (Number("030 5550171;0171 5550171", "+49305550171", "0305550171", "0305550171", "01715550171"),
         ["+49305550171", "+491715550171"]),
        (Number("(415) 555-0100", "+14155550100", "", "4155550100"), ["+14155550100"]),
        (Number("12345678901234567890", "", "", "12345678901234567890"), []),
        (Number("501@hd-telefonie.example", "", "", "501"), []),
    ],
    ids=["lost plus", "two numbers", "of another country", "too long", "sip"],
)  # fmt: skip
def test_a_contact_of_former_rules_is_read_anew(former: Number, numbers: list[str]) -> None:
    """The stored field is read again, and the country from Google stays."""
    stored = Contact("c1", name="Pat", phones=(Phone(Kind.WORK, former),), urls=("https://a.example",))

    contact, unreadable = read_anew(stored, "DE")

    assert [phone.number.e164 for phone in contact.phones] == numbers
    assert [phone.kind for phone in contact.phones] == [Kind.WORK] * len(numbers)
    assert unreadable == (former.typed == "12345678901234567890")
    assert contact.urls == (*(["sip:501@hd-telefonie.example"] if "@" in former.typed else []), "https://a.example")
