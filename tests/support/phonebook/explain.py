# SPDX-License-Identifier: MIT
"""Five books of one tenant as explanations of searches show them, and phones before them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ldapgw.contact import Contact, Kind, Phone, Sharing
from ldapgw.directory.access import Access, Viewer
from ldapgw.directory.book import DIRECTORY, build_book
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.special_entries import Features
from ldapgw.numbers import phone_number
from ldapgw.phones.explain.explain import explain
from ldapgw.phones.explain.model import OPERATOR, Explanation, ExplanationReader
from ldapgw.phones.explain.query import parse_query
from ldapgw.phones.explain.view import PhoneView
from tests.support.phonebook import BASE, naming_context

ALICE, BOB, CAROL, DAVE = (f"{name}@acme.example" for name in ("alice", "bob", "carol", "dave"))
CUSTOMERS = f"ou=Customers,ou={ALICE},{BASE}"

_KINDS = {"w": Kind.WORK, "m": Kind.MOBILE, "h": Kind.HOME, "f": Kind.FAX}


def contact(uid: str, name: str, *phones: str, **more: Any) -> Contact:
    """Somebody; a number is "m 0171 2345678", by the letter of its kind."""
    given, _, family = name.rpartition(" ")
    read = ((_KINDS[text[0]], phone_number.parse(text[2:], "DE")) for text in phones)
    known = tuple(Phone(kind, one) for kind, one in read if one)
    return Contact(uid=uid, name=name, given_name=given, family_name=family, phones=known, **more)


BOOKS: tuple[tuple[str, str, Sharing, tuple[Contact, ...]], ...] = (
    ("alice", ALICE, Sharing.PRIVATE,
        (contact("hans", "Hans Müller", "w +49 30 1234567", "m 0171 2345678", organization="Müller Maschinenbau"),
        contact("meier", "Karin Meier", "h 030 7654321", "f 030 7654329", labels=("contactGroups/c",)),
        contact("theresa", "Theresa Stumm", emails=("theresa@klinik.example",)),
        contact("taro", "田中 太郎", "w +81 3-1234-5678", also=("タナカ タロウ",)),
        contact("zentrale", "Zentrale", "w +49 69 1002000", "w 204"))),
    ("bob", BOB, Sharing.SHARED, (contact("hans2", "Hans Müller", "w 030/1234567", "m 0171 2345678"),
        contact("ann", "Ann Mulligan", "m +44 20 7946 0123"))),
    ("carol", CAROL, Sharing.CALLERS,
        (contact("iwan", "Iwan Muller", "m 0171 7654321", "h 030 5550001", emails=("iwan@muller.example",)),)),
    ("dave", DAVE, Sharing.PRIVATE, (contact("karla", "Karla Kolumna", "m 0171 7654399"),
        contact("hans3", "Hans Müller", "w 030 1234567", "m 0171 2345678"))),
    (DIRECTORY, DIRECTORY, Sharing.SHARED, (contact("zoe", "Zoë Adler", "w 030 1111111"),)),
)  # fmt: skip

DESK = Viewer(f"cn=desk1,ou=phones,{BASE}", (Access("acme", ("alice",)),))
CISCO = DESK._replace(per_number=True)
HALL = Viewer(f"cn=hall,ou=phones,{BASE}", (Access("acme"),))


def sight(
    viewer: Viewer = DESK, *, lenient: bool = True, strip: tuple[str, ...] = (), outside_line: str = "0"
) -> PhoneView:
    """A phone before all books."""
    context = replace(naming_context(lenient=lenient, strip=strip), outside_line=outside_line)
    labels = {"contactGroups/c": "Customers"}
    books = tuple(
        build_book(context, key, name, sharing, contacts, labels if key == "alice" else {}, per_number=True)
        for key, name, sharing, contacts in BOOKS
    )
    return PhoneView(Dit((Directory(context, books),), Features("1")), viewer, "acme")


def explained(
    asked: str, before: PhoneView, *, size_limit: int = 1000, reader: ExplanationReader = OPERATOR, **more: Any
) -> Explanation:
    """Return the explanation of a query."""
    query = parse_query(asked, before.context.strip)
    return explain(query, before, private=before.hidden_books(), size_limit=size_limit, reader=reader, **more)


def uids(dns: list[str]) -> list[str]:
    """The first part of each name, without its type."""
    return [dn.split(",")[0].removeprefix("uid=") for dn in dns]
