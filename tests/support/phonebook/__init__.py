# SPDX-License-Identifier: MIT
"""The world of the phone book: contacts, trees and the wire in memory, with a clock in the test's hands.

Here are the 47 contacts and 110 requests of ``tests/data/phones.json`` as our values.
"""

from __future__ import annotations

import json
from typing import Any

from ldapgw.contact import Address, Contact, Kind, Phone, Sharing
from ldapgw.directory.access import Access, Viewer
from ldapgw.directory.book import build_book
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.dn import Dn
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.special_entries import Features
from ldapgw.numbers import stored_numbers
from ldapgw.numbers.phone_number import NumberFormat
from tests.support.checkout import ROOT

DATA: dict[str, Any] = json.loads((ROOT / "tests" / "data" / "phones.json").read_text())
# A SIP address in the field of a number is no number, as an address in `sipAddresses` is none.
_OF_A_SIP_ADDRESS = "rev-internal-205-sip"
CASES: list[dict[str, Any]] = [
    {**case, "must_find": []} if case["id"] == _OF_A_SIP_ADDRESS else case for case in DATA["cases"]
]
CONTACTS: list[dict[str, Any]] = DATA["contacts"]
SESSIONS: list[dict[str, Any]] = DATA["sessions"]

BASE = "dc=acme,dc=example"
BOOK = f"ou=alice@acme.example,{BASE}"
PHONE = Viewer(f"cn=desk1,ou=phones,{BASE}", (Access("acme", ("alice",)),))
GUEST = Viewer(access=(Access("acme"),))

_KINDS = {"work": Kind.WORK, "main": Kind.MAIN, "other": Kind.OTHER, "mobile": Kind.MOBILE, "home": Kind.HOME,
          "workFax": Kind.FAX}  # fmt: skip


def naming_context(
    *, lenient: bool = True, number_format: NumberFormat = NumberFormat.E164, strip: tuple[str, ...] = ()
) -> NamingContext:
    """The tenant of the file: in Germany, with 0 for an outside line."""
    return NamingContext("acme", "Acme GmbH", Dn.parse(BASE), "DE", "0", number_format, lenient, strip)


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
    read = stored_numbers.read(entry["value"], "DE", entry["canonicalForm"] or "")
    return Phone(_KINDS[entry["type"]], read[0]) if read else None
