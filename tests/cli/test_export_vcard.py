# SPDX-License-Identifier: MIT
"""vCards, read by vobject."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from typing import Any

import pytest
import vobject
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.cli.export import vcard
from ldapgw.contact import Contact, Kind, Phone
from ldapgw.numbers.phone_number import parse
from tests.support import phonebook
from tests.support.phonebook.awkward import awkward_contacts
from tests.support.phonebook.entries import FULL, LABELS
from tests.support.photo import jpeg


def phone(kind: Kind, text: str) -> Phone:
    read = parse(text, "DE")
    assert read is not None
    return Phone(kind, read)


def lines(contact: Contact) -> list[str]:
    """The lines of a vCard, unfolded."""
    data = vcard(contact, contact.name or contact.organization, "alice@acme.example", LABELS)
    assert data.endswith(b"\r\n")
    assert max(map(len, data.split(b"\r\n"))) <= 75
    return data.decode().replace("\r\n ", "").split("\r\n")[:-1]


def read(contact: Contact) -> Any:
    return vobject.readOne("\r\n".join(lines(contact)) + "\r\n")


def test_all_of_a_contact() -> None:
    """Every property, with what RFC 6350 wants escaped."""
    assert lines(FULL) == [
        "BEGIN:VCARD",
        "VERSION:4.0",
        "UID;VALUE=text:c1/alice@acme.example",
        "FN:Jörg Müller",
        "N:Müller\\; Lüdenscheidt;Jörg;;;",
        "NICKNAME:Jockel,a\\,b",
        "ORG:Müller\\, Sons & Co;R&D",
        "TITLE:Chef",
        'TEL;VALUE=uri;TYPE="work,voice":tel:+49301234567;ext=204',
        "TEL;VALUE=uri;TYPE=cell:tel:+491712345678",
        "TEL;VALUE=uri;TYPE=fax:tel:+49301234599",
        "TEL;VALUE=text;TYPE=voice:204",
        "EMAIL:joerg@mail.example",
        "ADR;LABEL=\"Weg 1^n12345 ^'Berlin^'\":;;Weg 1;Berlin;;12345;DE",
        "URL:https://adler.example/a?b\\,c",
        "CATEGORIES:Customers\\, old",
        "REV:20231114T221320Z",
        "END:VCARD",
    ]


def test_another_program_reads_it() -> None:
    """Name, company, numbers, address."""
    card = read(FULL)
    assert (card.version.value, card.fn.value) == ("4.0", "Jörg Müller")
    assert (card.n.value.family, card.n.value.given) == ("Müller; Lüdenscheidt", "Jörg")
    assert card.org.value == ["Müller, Sons & Co", "R&D"]
    assert [tel.value for tel in card.tel_list] == ["tel:+49301234567;ext=204", "tel:+491712345678",
                                                    "tel:+49301234599", "204"]  # fmt: skip
    assert (card.adr.value.street, card.adr.value.city, card.adr.value.code) == ("Weg 1", "Berlin", "12345")
    assert card.uid.value == "c1/alice@acme.example"


def test_a_company_has_no_name_of_a_person() -> None:
    """But it is called something."""
    shop = Contact(uid="c2", organization="Taxi 3000")
    assert lines(shop)[3:] == ["FN:Taxi 3000", "ORG:Taxi 3000", "END:VCARD"]


@pytest.mark.parametrize("contact", [*phonebook.contacts(), *awkward_contacts()], ids=lambda contact: contact.uid)
def test_awkward_ones_are_read_as_they_are(contact: Contact) -> None:
    """Many scripts, and every sign that has a meaning."""
    card = read(contact)
    assert card.fn.value == (contact.name or contact.organization)
    assert len(getattr(card, "tel_list", ())) == len(contact.phones)


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp")), min_size=1, max_size=120))
def test_any_name_comes_through(name: str) -> None:
    """Whatever it is made of, folded where it is long."""
    [shown] = [line for line in lines(replace(FULL, name=name)) if line.startswith("FN:")]
    plain = shown.removeprefix("FN:").replace("\\,", ",").replace("\\;", ";").replace("\\\\", "\\")
    assert plain == name


def test_a_photo() -> None:
    """As a data URI (RFC 6350 6.2.4), which comes through the folding."""
    assert f"PHOTO:data:image/jpeg;base64,{b64encode(jpeg()).decode()}" in lines(replace(FULL, photo=jpeg()))
