# SPDX-License-Identifier: MIT
"""Contacts with all that a contact can have, and their entries as a foreign decoder reads them."""

from __future__ import annotations

from ldaptor.protocols import pureldap
from ldaptor.protocols.pureber import BERDecoderContext, berDecodeObject

from ldapgw.contact import Address, Contact, Kind, Phone
from ldapgw.directory.entry import Entry, NumberFormatter, Selection
from ldapgw.directory.inet_org_person import EntryFactory, ParentEntry
from ldapgw.numbers.phone_number import parse
from tests.support.phonebook import BOOK, naming_context


def phone(kind: Kind, text: str) -> Phone:
    """A number in a German tenant."""
    read = parse(text, "DE")
    assert read
    return Phone(kind, read)


CONTACT = Contact(
    uid="c1",
    name="Jörg Müller-Lüdenscheidt",
    given_name="Jörg",
    family_name="Müller-Lüdenscheidt",
    also=("Jockel",),
    organization="Hotel **** Adler",
    department="Einkauf",
    title="Chef (Küche)",
    phones=(
        phone(Kind.WORK, "+49 30 1234567"),
        phone(Kind.WORK, "204"),
        phone(Kind.MOBILE, "0171 2345678"),
        phone(Kind.FAX, "+49 30 1234599"),
    ),
    emails=("joerg.mueller@adler.example",),
    addresses=(Address(("Weg 1", "12345 Berlin"), "Weg 1", "Berlin", "", "12345", "de"),),
    urls=("https://Adler.example/a b",),
    updated=1_700_000_000.5,
)


def entry(contact: Contact = CONTACT, *, lenient: bool) -> Entry:
    """The contact's entry in the book."""
    place = ParentEntry(BOOK, "acme/alice")
    return EntryFactory(naming_context(lenient=lenient), place, per_number=False).entries_of(contact).contact[0]


ENTRIES = {lenient: entry(lenient=lenient) for lenient in (True, False)}


def answer(
    one: Entry, *attributes: str, types_only: bool = False, formatter: NumberFormatter | None = None
) -> dict[str, list[bytes]]:
    """The attributes that a foreign decoder reads in the encoding, which must hold no attribute twice."""
    octets = one.encode(Selection.parse(attributes, formatter), types_only=types_only)
    context = pureldap.LDAPBERDecoderContext(fallback=BERDecoderContext())
    read, length = berDecodeObject(context, octets)
    assert length == len(octets)
    assert read.objectName == one.dn.encode()
    names = [name.decode() for name, _ in read.attributes]
    assert len({name.lower() for name in names}) == len(names)
    return {name.decode(): list(values) for name, values in read.attributes}


# Formats have to quote semicolons, commas, quotation marks and ampersands.
FULL = Contact(
    uid="c1",
    name="Jörg Müller",
    given_name="Jörg",
    family_name="Müller; Lüdenscheidt",
    also=("Jockel", "a,b"),
    organization="Müller, Sons & Co",
    department="R&D",
    title="Chef",
    phones=(
        phone(Kind.WORK, "+49 30 1234567 ext. 204"),
        phone(Kind.MOBILE, "0171 2345678"),
        phone(Kind.FAX, "030 1234599"),
        phone(Kind.OTHER, "204"),
    ),
    emails=("joerg@mail.example",),
    addresses=(Address(("Weg 1", '12345 "Berlin"'), "Weg 1", "Berlin", "", "12345", "DE"),),
    urls=("https://adler.example/a?b,c",),
    labels=("contactGroups/1", "contactGroups/myContacts"),
    updated=1_700_000_000.0,
)


LABELS = {"contactGroups/1": "Customers, old"}
