# SPDX-License-Identifier: MIT
"""The world of the phone book: contacts, trees and the wire in memory, with a clock in the test's hands.

Here are the 47 contacts and 110 requests of ``tests/data/phones.json`` as our values, and contacts with all that a
contact can have.
"""

from __future__ import annotations

import json
from typing import Any

from ldaptor.protocols import pureldap
from ldaptor.protocols.pureber import BERDecoderContext, berDecodeObject

from ldapgw.contact import Address, Contact, Kind, Phone, Sharing
from ldapgw.directory.access import Access, NamingContext, Viewer
from ldapgw.directory.book import build_book
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.dn import Dn
from ldapgw.directory.entry import Entry, ParentEntry, Selection
from ldapgw.directory.inet_org_person import EntryFactory
from ldapgw.directory.special_entries import Features
from ldapgw.numbers import phone_number
from ldapgw.numbers.phone_number import NumberFormat, parse
from tests.support.checkout import ROOT

DATA: dict[str, Any] = json.loads((ROOT / "tests" / "data" / "phones.json").read_text())
CASES: list[dict[str, Any]] = DATA["cases"]
CONTACTS: list[dict[str, Any]] = DATA["contacts"]
SESSIONS: list[dict[str, Any]] = DATA["sessions"]

BASE = "dc=acme,dc=example"
BOOK = f"ou=alice@acme.example,{BASE}"
PHONE = Viewer(f"cn=desk1,ou=phones,{BASE}", (Access("acme", "alice"),))
GUEST = Viewer(access=(Access("acme"),))

_KINDS = {"work": Kind.WORK, "main": Kind.MAIN, "other": Kind.OTHER, "mobile": Kind.MOBILE, "home": Kind.HOME,
          "workFax": Kind.FAX}  # fmt: skip


def naming_context(*, lenient: bool = True, number_format: NumberFormat = NumberFormat.E164) -> NamingContext:
    """The tenant of the file: in Germany, with 0 for an outside line."""
    return NamingContext("acme", "Acme GmbH", Dn.parse(BASE), "DE", "0", number_format, lenient)


def contacts() -> list[Contact]:
    """The file's contacts; the key of each is its uid."""
    return [_contact(one) for one in CONTACTS]


def phonebook(*, lenient: bool = True, sharing: Sharing = Sharing.PRIVATE) -> Dit:
    """A tree with one book of all contacts."""
    context = naming_context(lenient=lenient)
    book = build_book(context, "alice", "alice@acme.example", sharing, contacts(), {}, per_number=False)
    return Dit((Directory(context, (book,)),), Features("1"))


def persons() -> list[dict[str, Any]]:
    """The file's contacts as the People API would return them; the key of each is the id in its resource name."""
    return [_person(one) for one in CONTACTS]


def _person(one: dict[str, Any]) -> dict[str, Any]:
    keys = ("honorificPrefix", "givenName", "familyName", "phoneticGivenName", "phoneticFamilyName")
    name = {key: one[key] for key in keys if one.get(key)}
    organization = {key: value for key, value in (("name", one["organization"]), ("title", one["title"])) if value}
    numbers = [{key: value for key, value in number.items() if value} for number in one["numbers"]]
    addresses = [
        {"type": a["type"], "formattedValue": a["formatted"], "city": a["city"], "postalCode": a["postalCode"],
         "countryCode": a["country"]} for a in one["addresses"]
    ]  # fmt: skip
    fields = {
        "names": [name] if name else [],
        "organizations": [organization] if organization else [],
        "phoneNumbers": numbers,
        "emailAddresses": one["emails"],
        "addresses": addresses,
    }
    return {"resourceName": f"people/{one['key']}"} | {field: items for field, items in fields.items() if items}


def _contact(one: dict[str, Any]) -> Contact:
    name = " ".join(one[key] for key in ("honorificPrefix", "givenName", "familyName") if one.get(key))
    reading = " ".join(one[key] for key in ("phoneticGivenName", "phoneticFamilyName") if one.get(key))
    return Contact(
        uid=one["key"],
        name=name,
        given_name=one["givenName"] or "",
        family_name=one["familyName"] or "",
        also=(reading,) if reading else (),
        organization=one["organization"] or "",
        title=one["title"] or "",
        phones=tuple(phone for entry in one["numbers"] if (phone := _phone(entry))),
        emails=tuple(email["value"] for email in one["emails"]),
        addresses=tuple(
            Address((a["formatted"],), city=a["city"], postal_code=a["postalCode"], country_code=a["country"])
            for a in one["addresses"]
        ),
    )


def _phone(entry: dict[str, Any]) -> Phone | None:
    read = phone_number.parse(entry["value"], "DE", entry["canonicalForm"] or "")
    return Phone(_KINDS[entry["type"]], read) if read else None


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


def answer(one: Entry, *attributes: str, types_only: bool = False) -> dict[str, list[bytes]]:
    """The attributes that a foreign decoder reads in the encoding, which must hold no attribute twice."""
    octets = one.encode(Selection.parse(attributes), types_only=types_only)
    context = pureldap.LDAPBERDecoderContext(fallback=BERDecoderContext())
    read, length = berDecodeObject(context, octets)
    assert length == len(octets)
    assert read.objectName == one.dn.encode()
    names = [name.decode() for name, _ in read.attributes]
    assert len({name.lower() for name in names}) == len(names)
    return {name.decode(): list(values) for name, values in read.attributes}


# What formats have to quote: semicolons, commas, quotation marks, ampersands.
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
