# SPDX-License-Identifier: MIT
"""A tree of contacts that are hard to serve: names that a DN has to escape, many scripts, many values of everything."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from ldapgw.contact import Address, Contact, Kind, Phone, Sharing, Source
from ldapgw.directory import name_folding
from ldapgw.directory.access import Access, Viewer
from ldapgw.directory.book import build_book
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import Present, Scope, SearchRequest
from ldapgw.directory.name_folding import NO_LETTERS
from ldapgw.directory.schema import ATTRIBUTE_TYPES
from ldapgw.directory.search import search
from ldapgw.google.person import read_person
from ldapgw.ldap.encoder import features
from ldapgw.ldap.session import DirectoryPort
from ldapgw.numbers import phone_number
from ldapgw.numbers.phone_number import NumberFormat
from tests.support import phonebook
from tests.support.checkout import ROOT
from tests.support.phonebook.wire import make_gate

BASE = phonebook.BASE
OWN_BOOK = f"ou=alice@acme.example,{BASE}"
# Its name has to be escaped in every DN below it.
TEAM = 'Sales, "EMEA" + more; <all> #1=\\'
DESK1 = f"cn=desk1,ou=phones,{BASE}"
VIEWER = Viewer(DESK1, (Access("acme", ("alice",)),))
SECRET = b"secret"

USER = tuple(kind.name for kind in ATTRIBUTE_TYPES if not kind.operational)
# Operational attributes that another server takes as they are.
KEPT = ("structuralObjectClass", "createTimestamp", "modifyTimestamp", "entryUUID")

_NAMES = (
    'O\'Neill, "Pat" + Sons',
    "#hash <first>",
    "back\\slash; semi=colon",
    "Ελένη Παπαδοπούλου",
    "Иван Иванов",
    "李小龍",
    "محمد علي",
    "🦊 Fox 🦊",
    "Zoë  Brontë",
    "ZOË BRONTË-SMITH",
    "Straße Größe",
    "İpek Işık",
    "ﬁne ①②③",
    "Å Ångström",
    "a*b(c)d",
    "a",
    "aaa aaa",
    "two words",
    "- dash -",
    "100 % cotton",
    "café",
    "cafe",
    "CAFÉ noir",
    "very " + "long " * 60 + "name",
)
_NUMBERS = ("+49 30 1234-567", "(030) 123 45 68", "0171/5550100", "+1 212 555 0199 ext. 204", "204", "*31#", "112")
_MAILS = ("Pat.O'Neill@Example.ORG", "info@example.org", "a+b@example.org", "x@müller.example")


def awkward_contacts() -> Iterator[Contact]:
    """One for each name, with values of every attribute among them."""
    kinds = tuple(Kind)
    for at, name in enumerate(_NAMES):
        given, _, family = name.rpartition(" ")
        phones = tuple(
            Phone(kinds[(at + step) % len(kinds)], read)
            for step in range(at % 4)
            if (read := phone_number.parse(_NUMBERS[(at + step) % len(_NUMBERS)], "DE"))
        )
        address = Address(
            (f"{at} Main $treet", "back\\slash", "1000 Town"),
            street=f"{at} Main $treet",
            city=("Köln", "Cork", "Αθήνα")[at % 3],
            region=("NRW", "")[at % 2],
            postal_code=f"{at:05}",
            country_code=("DE", "ie", "", "Germany")[at % 4],
        )
        yield Contact(
            uid=f"t{at:03}",
            source_id=f"s{at}",
            name=name,
            given_name=given,
            family_name=family,
            organization=("Acme GmbH", "Ö & Söhne", "", "acme  gmbh")[at % 4],
            department=("", "R&D", "Vertrieb (Süd)")[at % 3],
            title=("", "CEO")[at % 2],
            phones=phones,
            emails=_MAILS[at % 3 :: 2],
            addresses=(address, replace(address, street="Second St", lines=()))[: at % 3],
            urls=(f"https://example.org/~User{at}?q=1&r=*", "http://EXAMPLE.org/A b")[: at % 3],
            updated=1_700_000_000.0 + 86_400 * at,
        )


def sample_contacts() -> Iterator[Contact]:
    """The persons of ``people_samples.json`` that have anything to show."""
    samples = json.loads((ROOT / "tests" / "data" / "people_samples.json").read_text())["samples"]
    for name, key in (("connections_full_first_page", "connections"), ("connections_full_last_page", "connections")):
        for person in samples[name]["body"][key]:
            contact = read_person(person, Source.CONTACTS, "DE").contact
            if contact is not None:
                yield replace(contact, updated=contact.updated or 1_600_000_000.0, labels=())


@cache
def make_dit(*, lenient: bool) -> Dit:
    """Two books: one's own with the contacts of ``phones.json``, and a shared one with all the others.

    Where matching is strict, numbers are in the many writings in which people type them.
    """
    form = NumberFormat.E164 if lenient else NumberFormat.TYPED
    context = phonebook.naming_context(lenient=lenient, number_format=form)
    own = [replace(one, updated=1_650_000_000.0 + at) for at, one in enumerate(phonebook.contacts())]
    team = [*awkward_contacts(), *sample_contacts()]
    books = (
        build_book(context, "alice", "alice@acme.example", Sharing.PRIVATE, own, {}, per_number=False),
        build_book(context, "team", TEAM, Sharing.SHARED, team, {}, per_number=False),
    )
    return Dit((Directory(context, books),), features(tls=True))


def authenticate(name: str, password: bytes, _address: str, _over_tls: bool) -> Viewer | None:
    """One phone."""
    return VIEWER if name in (DESK1, "desk1") and password == SECRET else None


# The family names in Chinese characters of contacts that have a phonetic name.
_READINGS = {"山田": "ヤマダ"}


def sorted_as(family_name: str) -> str:
    """The letters by which a family name is sorted; a name without letters comes last."""
    key = name_folding.collation_key(_READINGS.get(family_name, family_name))
    return key if any(map(str.isalpha, key)) else NO_LETTERS + key


def gate() -> DirectoryPort:
    """The way to the contacts, leniently matched, for one phone and for nobody else."""
    return replace(make_gate(make_dit(lenient=True)), authenticate=authenticate)


def entries(dit: Dit) -> list[Entry]:
    """Everything that the tree serves, as one of our own searches gives it."""
    request = SearchRequest(BASE, Scope.WHOLE_SUBTREE, Present("objectClass"))
    return [entry for entry in search(dit, VIEWER, request) if entry is not None]


def ldif(dit: Dit) -> str:
    """Everything that the tree serves (RFC 2849), parents first."""
    lines: list[str] = []
    for entry in sorted(entries(dit), key=lambda entry: len(entry.dn.split(","))):
        lines.append(_line("dn", entry.dn.encode()))
        for name in (*USER, *KEPT):
            lines += [_line(name, value) for value in entry.attribute(name)]
        lines.append("")
    return "\n".join(lines)


def _line(name: str, value: bytes) -> str:
    return f"{name}:: {base64.b64encode(value).decode()}"
