# SPDX-License-Identifier: MIT
"""The tests write vCards in both versions from entries of the directory.

Exports have their tests in ``tests/cli/test_export.py``.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from typing import Any

import pytest
import vobject

from ldapgw.contact import Address, Contact, Kind, Sharing
from ldapgw.directory.book import build_book
from ldapgw.directory.entry import Entry, number_formatter
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.phones.vcards import Card, Telephone, VCardVersion, card_of_entry, write_card
from tests.support.phonebook import naming_context
from tests.support.photo import jpeg
from tests.support.stage.book_clients import person

V3, V4 = VCardVersion
HOME = Address(("Weg 1", '12345 "Berlin"'), "Weg 1", "Berlin", "Mitte", "12345", "DE")
WORK = Address(("Straße $2, Hof\\Tor", "Köln"), "Straße 2", "Köln")
FULL = Card(
    "urn:uuid:00000000-0000-4000-8000-000000000001",
    "Jörg Müller",
    "Müller; sen.",
    "Jörg",
    ("Jockel",),
    "Müller, Sons",
    "R&D",
    "Chef",
    (Telephone("work,voice", "+49301234567", "tel:+49301234567"), Telephone("cell", "204")),
    ("j@mail.example",),
    (HOME,),
    ("https://a.example/?b,c",),
    jpeg(),
    ("Friends", "Old, dear"),
    1700000000.0,
)


def lines(card: Card, version: VCardVersion, **more: Any) -> list[str]:
    octets = write_card(card, version, **more)
    assert max(map(len, octets.split(b"\r\n"))) <= 75
    return octets.decode().replace("\r\n ", "").split("\r\n")[:-1]


def entry_of(contact: Contact, *, photos: bool = False) -> Entry:
    context = replace(naming_context(), photos=photos)
    book = build_book(context, "a", "alice@acme.example", Sharing.PRIVATE, [contact], {}, per_number=False)
    return next(iter(book.segments.contacts[0]))


def test_version_3() -> None:
    """Types, the label of an address and the photo follow RFC 2426."""
    assert lines(FULL, V3) == [
        "BEGIN:VCARD",
        "VERSION:3.0",
        "UID:00000000-0000-4000-8000-000000000001",
        "FN:Jörg Müller",
        "N:Müller\\; sen.;Jörg;;;",
        "NICKNAME:Jockel",
        "ORG:Müller\\, Sons;R&D",
        "TITLE:Chef",
        "TEL;TYPE=WORK,VOICE:+49301234567",
        "TEL;TYPE=CELL:204",
        "EMAIL:j@mail.example",
        "ADR:;;Weg 1;Berlin;Mitte;12345;DE",
        'LABEL:Weg 1\\n12345 "Berlin"',
        "URL:https://a.example/?b\\,c",
        f"PHOTO;ENCODING=b;TYPE=JPEG:{b64encode(jpeg()).decode()}",
        "CATEGORIES:Friends,Old\\, dear",
        "REV:20231114T221320Z",
        "END:VCARD",
    ]


def test_version_4() -> None:
    """A UID and a number are URIs (RFC 6350)."""
    found = lines(FULL, V4)
    assert found[:3] == ["BEGIN:VCARD", "VERSION:4.0", f"UID:{FULL.uid}"]
    assert 'TEL;VALUE=uri;TYPE="work,voice":tel:+49301234567' in found
    assert "TEL;VALUE=text;TYPE=cell:204" in found
    assert "ADR;LABEL=\"Weg 1^n12345 ^'Berlin^'\":;;Weg 1;Berlin;Mitte;12345;DE" in found
    assert not any(line.startswith("LABEL") for line in found)


@pytest.mark.parametrize(("version", "names"), [(V3, "UID:c1/a"), (V4, "UID;VALUE=text:c1/a")])
def test_a_uid_that_is_no_uri(version: VCardVersion, names: str) -> None:
    assert lines(Card("c1/a", "Shop"), version)[2] == names


def test_the_name_of_a_company() -> None:
    """Version 3.0 has the property N in each card (RFC 2426 3.1.2)."""
    shop = Card("c1", "Taxi", organization="Taxi")
    assert ["N:;;;;" in lines(shop, version) for version in VCardVersion] == [True, False]


def test_an_address_that_is_not_known_as_a_whole() -> None:
    card = Card("c1", "A", addresses=(Address(city="Berlin"),))
    assert "ADR:;;;Berlin;;;" in lines(card, V3)
    assert not any(line.startswith("LABEL") for line in lines(card, V3))


def test_some_properties() -> None:
    """The framing properties are there in any case."""
    wanted = frozenset(("FN", "TEL"))
    names = [line.partition(":")[0].partition(";")[0] for line in lines(FULL, V4, properties=wanted)]
    assert names == ["BEGIN", "VERSION", "FN", "TEL", "TEL", "END"]


def test_all_of_an_entry() -> None:
    """The card has the values of the entry, and each number once with the best type."""
    contact = person(
        "c1",
        "Jörg Müller",
        (Kind.WORK, "030 1234567"),
        (Kind.MOBILE, "0171 1234567"),
        (Kind.HOME, "030 7654321"),
        (Kind.FAX, "030 1234599"),
        (Kind.PAGER, "030 1234598"),
        organization="Adler",
        department="R&D",
        title="Chef",
        emails=("j@mail.example", "m@mail.example"),
        addresses=(HOME,),
        urls=("https://a.example/ b",),
        photo=jpeg(),
        updated=1700000000.0,
    )
    entry = entry_of(contact, photos=True)
    card = card_of_entry(entry, None, ("Friends",))
    assert card == Card(
        f"urn:uuid:{entry.attribute('entryUUID')[0].decode()}",
        "Jörg Müller",
        "Müller",
        "Jörg",
        (),
        "Adler",
        "R&D",
        "Chef",
        (
            Telephone("work,voice", "+49301234567", "tel:+49301234567"),
            Telephone("cell", "+491711234567", "tel:+491711234567"),
            Telephone("home,voice", "+49307654321", "tel:+49307654321"),
            Telephone("fax", "+49301234599", "tel:+49301234599"),
            Telephone("pager", "+49301234598", "tel:+49301234598"),
        ),
        ("j@mail.example", "m@mail.example"),
        (HOME,),
        ("https://a.example/%20b",),
        jpeg(),
        ("Friends",),
        1700000000,
    )


def test_a_number_of_another_kind_alone() -> None:
    """The copy in telephoneNumber does not turn a mobile number into a work number."""
    card = card_of_entry(entry_of(person("c1", "A B", (Kind.MOBILE, "0171 1234567"))), None)
    assert [telephone.types for telephone in card.telephones] == ["cell"]


def test_a_number_in_a_phones_own_format() -> None:
    """A number outside the global format is written as text."""
    formatter = number_formatter(NumberFormat.NATIONAL, naming_context())
    [telephone] = card_of_entry(entry_of(person("c1", "A B", (Kind.WORK, "030 1234567"))), formatter).telephones
    assert (telephone.text, telephone.uri) == ("030 1234567", "")


@pytest.mark.parametrize(
    ("contact", "family", "given"),
    [
        (Contact("c1", organization="Taxi 3000"), "", ""),
        (Contact("c1", name="Taxi 3000", organization="Taxi 3000"), "", ""),
        (Contact("c1", name="Dr. Müller", family_name="Müller"), "Dr. Müller", ""),
        (Contact("c1", name="Anna", given_name="Anna"), "", "Anna"),
        (person("c1", "Anna Berg"), "Berg", "Anna"),
    ],
)
def test_the_parts_of_a_name(contact: Contact, family: str, given: str) -> None:
    """A company has no parts of a name. An entry without a given name has the whole name as the family name."""
    card = card_of_entry(entry_of(contact), None)
    assert (card.family_name, card.given_name) == (family, given)


def test_several_addresses() -> None:
    """An entry does not say which address has the parts, so each address is written as a whole."""
    card = card_of_entry(entry_of(person("c1", "A B", addresses=(HOME, WORK))), None)
    assert [address.lines for address in card.addresses] == [HOME.lines, WORK.lines]
    assert card.addresses[1].street == "Straße $2, Hof\\Tor, Köln"
    found = vobject.readOne(write_card(card, V3).decode())
    assert [address.value.street for address in found.adr_list] == [
        'Weg 1, 12345 "Berlin"',
        "Straße $2, Hof\\Tor, Köln",
    ]


def test_nothing_of_a_contact_is_in_a_description() -> None:
    assert not any(word in repr((FULL, FULL.telephones)) for word in ("Müller", "1234567", "204"))
