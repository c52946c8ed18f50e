# SPDX-License-Identifier: MIT
"""A tree of two tenants with books of every sharing, those who look at it, and searches as tests make them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from ldapgw.contact import Contact, Kind, Sharing
from ldapgw.directory.access import Access, Viewer
from ldapgw.directory.book import DIRECTORY, Book, build_book, update_book
from ldapgw.directory.dit import Directory, Dit, search_scopes
from ldapgw.directory.dn import Dn
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import Scope, SearchRequest
from ldapgw.directory.filter_matcher import prepare
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.search import SearchCursor, first_matches, matches, needs_cursor
from ldapgw.directory.segment import Match
from ldapgw.directory.special_entries import Features
from tests.support.filter_text import read_filter
from tests.support.phonebook import BASE, naming_context
from tests.support.phonebook.entries import phone

BASE_OBJECT, SINGLE_LEVEL, WHOLE_SUBTREE = Scope
CONTEXT = naming_context()
OTHER = replace(CONTEXT, name="other", title="Other Ltd", base=Dn.parse("dc=other,dc=example"))

ALICE, BOB, CAROL, DAVE, STAFF = (f"ou={name},{BASE}" for name in ("alice", "bob", "carol", "dave", DIRECTORY))

ADA = Contact(
    "c1", name="Ada Ärmel", phones=(phone(Kind.WORK, "+49301234567"), phone(Kind.MOBILE, "01712345678")),
    emails=("ada@a.example",), title="Chef", labels=("contactGroups/1", "contactGroups/3"), also=("Secret",),
)  # fmt: skip
BEN = Contact("c2", name="Ben Alt", phones=(phone(Kind.HOME, "+49307654321"),), labels=("contactGroups/2",))
CEM = Contact("c3", name="Cem Öz", emails=("cem@a.example",), labels=("contactGroups/1",))
NONE = Contact("c9", title="Nobody", labels=("contactGroups/1",))
LABELS = {
    "contactGroups/1": "Suppliers",
    "contactGroups/2": "suppliers ",
    "contactGroups/3": "A, b",
    "x": " ",
    "y": "Ümpty",
}

PRIVATE, CALLERS, SHARED = Sharing


def at(contact: Contact, uid: str, **changes: object) -> Contact:
    """The same person in somebody else's book."""
    return replace(contact, uid=uid, labels=(), **changes)  # type: ignore[arg-type]


def tree(*, lenient: bool = True) -> Dit:
    """Alice's own book, Bob's shared one, Carol's open to callers' names, Dave's closed one, and the staff."""
    context = replace(CONTEXT, lenient=lenient)
    books = (
        build_book(context, "s", DIRECTORY, SHARED, [at(ADA, "s1"), at(BEN, "s2")], {}, per_number=True),
        build_book(context, "d", "dave", PRIVATE, [Contact("d1", name="Dora")], {}, per_number=True),
        build_book(context, "c", "carol", CALLERS, [
            at(ADA, "k1", family_name="Ärmel", department="Hidden"), Contact("k2", name="Kai", phones=BEN.phones),
            Contact("k3", name="kai", phones=BEN.phones), at(BEN, "k4"),
        ], {}, per_number=True),
        build_book(context, "b", "bob", SHARED, [
            at(ADA, "b1"), at(CEM, "b3"), Contact("b4", name="Cem Öz", emails=("other@a.example",)),
            Contact("b5", name="ada armel", phones=ADA.phones[:1]),
        ], {}, per_number=True),
        build_book(context, "a", "alice", PRIVATE, [CEM, NONE, BEN, ADA], LABELS, per_number=True),
    )  # fmt: skip
    away = build_book(OTHER, "o", "olaf", SHARED, [Contact("o1", name="Olaf")], {}, per_number=False)
    return Dit((Directory(context, books), Directory(OTHER, (away,))), Features("1"))


TREE = tree()
PHONE = Viewer("cn=desk1", (Access("acme", ("a",)),))
HALL = Viewer("cn=hall", (Access("acme"),))
NUMBERS = Viewer("cn=old", (Access("acme", ("a",)),), per_number=True)
BOTH = Viewer("cn=both", (Access("acme", ("a",)), Access("other"), Access("gone")))


ALL = "(objectClass=*)"
VIEWERS = [PHONE, HALL, NUMBERS, HALL._replace(per_number=True)]
BASES = ["", BASE, ALICE, BOB, CAROL, DAVE, STAFF, f"ou=suppliers,{ALICE}", f"uid=c1,{ALICE}", f"uid=d1,{DAVE}"]


def book_of(
    contacts: Iterable[Contact],
    key: str = "a",
    name: str = "alice",
    sharing: Sharing = PRIVATE,
    labels: Mapping[str, str] = MappingProxyType({}),
    context: NamingContext = CONTEXT,
) -> Book:
    """Return a book without entries for each number."""
    return build_book(context, key, name, sharing, contacts, labels, per_number=False)


def changed_book(
    book: Book,
    stored: Collection[Contact] = (),
    deleted: Collection[str] = (),
    labels: Mapping[str, str] = MappingProxyType({}),
    context: NamingContext = CONTEXT,
) -> Book:
    """Return a book with changes that need no new book."""
    changed = update_book(book, context, stored, deleted, labels)
    assert changed is not None
    return changed


def dit_of(*books: Book, context: NamingContext = CONTEXT) -> Dit:
    """Return a tree of one tenant with these books."""
    return Dit((Directory(context, books),), Features("1"))


def all_matches(dit: Dit, viewer: Viewer, request: SearchRequest, after: bytes = b"") -> list[Match]:
    return [match for match in matches(dit, viewer, request, after) if match]


def entries_found(dit: Dit, viewer: Viewer, text: str, base: str = BASE, scope: Scope = WHOLE_SUBTREE) -> list[Entry]:
    """Return the entries that a filter finds."""
    return [match.entry for match in all_matches(dit, viewer, SearchRequest(base, scope, read_filter(text)))]


def cursor_over(dit: Dit, viewer: Viewer, request: SearchRequest, after: bytes = b"") -> SearchCursor:
    """The cursor of a request."""
    scopes = search_scopes(dit, viewer, request.base, request.scope)
    return SearchCursor(scopes, [prepare(request.filter, scope.context) for scope in scopes], after)


def first_page(dit: Dit, viewer: Viewer, request: SearchRequest, limit: int) -> tuple[list[Entry], bool] | None:
    """Return the entries of one slice of work, and True if there are more; None if that is not known yet.

    Where no cursor is needed, it finds the same.
    """
    cursor = cursor_over(dit, viewer, request)
    entries = [entry for batch in cursor.next(limit + 1) for entry in batch.entries()]
    scopes = search_scopes(dit, viewer, request.base, request.scope)
    segment = scopes[0].only_segment if len(scopes) == 1 else None
    prepared = prepare(request.filter, scopes[0].context)
    if segment is not None and not needs_cursor(scopes[0], prepared):
        documents = first_matches(segment, segment.index, prepared, limit + 1)
        if documents is not None:
            assert [segment.entries[document] for document in documents[: limit + 1]] == entries
            assert cursor.finished or len(entries) > limit
    if len(entries) > limit:
        return entries[:limit], True
    return (entries, False) if cursor.finished else None
