# SPDX-License-Identifier: MIT
"""An account's own starred contacts before all others, where the tenant wants that."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.contact import Contact, Kind, Sharing
from ldapgw.directory import dit as dit_module
from ldapgw.directory.access import Viewer
from ldapgw.directory.book import FAVOURITES, build_book
from ldapgw.directory.dit import Dit
from ldapgw.directory.filter import Scope, SearchRequest
from tests.support.examples import examples
from tests.support.filter_text import read_filter
from tests.support.phonebook import BASE
from tests.support.phonebook.entries import phone
from tests.support.phonebook.trees import (
    BASE_OBJECT,
    CONTEXT,
    HALL,
    NUMBERS,
    PHONE,
    SINGLE_LEVEL,
    WHOLE_SUBTREE,
    book_of,
    changed_book,
    cursor_over,
    dit_of,
    entries_found,
)

STAR = "contactGroups/starred"
LABELS = {STAR: FAVOURITES}
FIRST = replace(CONTEXT, favourites=True, favourites_first=True)
FILTERS = [
    "(objectClass=person)",
    "(cn=p*)",
    "(telephoneNumber=*)",
    "(objectClass=*)",
    "(telephoneNumber=+49305550003)",
]


def numbered(uid: str, at: int, *, starred: bool) -> Contact:
    """Person 3 is the same person in each book."""
    labels = (STAR,) if starred else ()
    phones = (phone(Kind.WORK, f"+49 30 5550{at:03}"),)
    return Contact(uid, name=f"Person {at % 7}", phones=phones, labels=labels)


def tree(own: list[tuple[int, bool]], others: list[int], sharing: Sharing, *, first: bool = True) -> Dit:
    context = FIRST if first else replace(FIRST, favourites_first=False)
    alice = [numbered(f"a{at}", at, starred=star) for at, star in own]
    bob = [numbered(f"b{at}", at, starred=True) for at in others]
    books = (
        build_book(context, "a", "alice", sharing, alice, LABELS, per_number=True),
        build_book(context, "b", "bob", Sharing.SHARED, bob, LABELS, per_number=True),
    )
    return dit_of(*books, context=context)


def names(dit: Dit, viewer: Viewer, text: str, base: str = BASE, scope: Scope = WHOLE_SUBTREE) -> list[str]:
    return [entry.dn for entry in entries_found(dit, viewer, text, base, scope)]


OWN = st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=12, unique_by=lambda one: one[0])
OTHERS = st.lists(st.integers(0, 30), max_size=12, unique=True)


@given(OWN, OTHERS, st.sampled_from([Sharing.PRIVATE, Sharing.SHARED]), st.sampled_from(FILTERS), st.booleans())
@settings(max_examples=examples(150), deadline=None)
def test_the_same_people_in_another_order(
    own: list[tuple[int, bool]],
    others: list[int],
    sharing: Sharing,
    text: str,
    per_number: bool,
) -> None:
    """The starred ones in their order, then all others in theirs; nobody twice, and nobody is lost."""
    viewer = NUMBERS if per_number else PHONE
    plain = names(tree(own, others, sharing, first=False), viewer, text)
    uids = {f"uid=a{at}" for at, star in own if star}

    def is_starred(dn: str) -> bool:
        return dn.partition(",")[0].partition("-")[0] in uids and dn.endswith(f",ou=alice,{BASE}")

    expected = [dn for dn in plain if is_starred(dn)] + [dn for dn in plain if not is_starred(dn)]
    assert names(tree(own, others, sharing), viewer, text) == expected


def test_a_starred_contact_does_not_hide_another_one_of_its_book() -> None:
    """Two contacts of one book are two persons, also in a book with several segments."""
    book = book_of([numbered("c1", 3, starred=True)], labels=LABELS, context=FIRST)
    others = [Contact(f"x{at}", name=f"X {at}") for at in range(20)]
    whole = changed_book(book, others, labels=LABELS, context=FIRST)
    revised = changed_book(whole, [numbered("c2", 3, starred=False)], labels=LABELS, context=FIRST)
    assert len(revised.segments.contacts) == 2
    shared = book_of([numbered("b3", 3, starred=False)], "b", "bob", Sharing.SHARED, LABELS, FIRST)
    found = names(dit_of(revised, shared, context=FIRST), PHONE, "(cn=person*)")
    assert found == [f"uid=c1,ou=alice,{BASE}", f"uid=c2,ou=alice,{BASE}"]


@given(OWN, OTHERS, st.integers(1, 5))
@settings(max_examples=examples(60), deadline=None)
def test_pages(own: list[tuple[int, bool]], others: list[int], size: int) -> None:
    """A page goes on behind the last entry of the page before, wherever that ended."""
    dit = tree(own, others, Sharing.PRIVATE)
    request = SearchRequest(BASE, WHOLE_SUBTREE, read_filter("(objectClass=person)"))
    read: list[str] = []
    after = b""
    while page := _page(dit, request, after, size):
        read += [dn for _, dn in page]
        after = page[-1][0]
    assert read == names(dit, PHONE, "(objectClass=person)")


def _page(dit: Dit, request: SearchRequest, after: bytes, size: int) -> list[tuple[bytes, str]]:
    cursor = cursor_over(dit, PHONE, request, after)
    found: list[tuple[bytes, str]] = []
    while len(found) < size and not cursor.finished:
        for batch in cursor.next(size - len(found)):
            found += [(batch.key_prefix + entry.sort_key, entry.dn) for entry in batch.entries()]
    return found


STARRED = [(1, False), (2, True), (5, True), (4, False)]


def test_where_they_are_first() -> None:
    """In the tenant, everywhere and in the own book; not in a book of others, nor for a phone without an account."""
    dit = tree(STARRED, [6, 0], Sharing.PRIVATE)
    own = ["uid=a2", "uid=a5", "uid=a1", "uid=a4"]

    def found(viewer: Viewer, base: str, scope: Scope = WHOLE_SUBTREE) -> list[str]:
        return [dn.partition(",")[0] for dn in names(dit, viewer, "(objectClass=person)", base, scope)]

    assert found(PHONE, BASE) == found(PHONE, "") == ["uid=a2", "uid=a5", "uid=b0", "uid=a1", "uid=a4", "uid=b6"]
    assert found(PHONE, f"ou=alice,{BASE}") == found(PHONE, f"ou=alice,{BASE}", SINGLE_LEVEL) == own
    assert found(PHONE, f"ou=bob,{BASE}") == found(HALL, BASE) == ["uid=b0", "uid=b6"]
    assert found(PHONE, f"ou=Favourites,ou=alice,{BASE}") == ["uid=a2", "uid=a5"]
    assert found(PHONE, f"uid=a4,ou=alice,{BASE}", BASE_OBJECT) == ["uid=a4"]


@pytest.mark.parametrize("text", ["(cn=*)", "(telephoneNumber=+49305550002)"])
def test_a_starred_contact_is_in_a_book_that_counts_before(text: str) -> None:
    """The person is listed once, as the owner of the star has them; so is a person without a star."""
    context = replace(FIRST, book_order=("bob",))
    own = [numbered("a2", 2, starred=True), numbered("a3", 3, starred=False)]
    others = [numbered(f"b{at}", at, starred=False) for at in (2, 3)]
    books = book_of(own, labels=LABELS, context=context), book_of(others, "b", "bob", Sharing.SHARED, context=context)
    found = names(dit_of(*books, context=context), PHONE, text)
    assert [dn.partition(",")[0] for dn in found] == ["uid=a2", "uid=b3"][: len(found)]
    assert len(found) == (2 if text == "(cn=*)" else 1)


def test_without_stars() -> None:
    """An account that has none, or no such branch at all."""
    assert [dn[:6] for dn in names(tree([(2, False), (1, False)], [], Sharing.PRIVATE), PHONE, "(cn=*)")] == [
        "uid=a1",
        "uid=a2",
    ]
    book = book_of([numbered("a1", 1, starred=False)], context=FIRST)
    assert len(names(dit_of(book, context=FIRST), PHONE, "(cn=*)")) == 1


def test_a_star_that_is_taken_away() -> None:
    """It counts until the next directory, which is the next sync."""
    dit = tree(STARRED, [], Sharing.PRIVATE)
    (directory,) = dit.directories
    alice = directory.books[0]
    revised = changed_book(alice, [numbered("a2", 2, starred=False)], labels=LABELS, context=FIRST)
    after = dit_of(revised, directory.books[1], context=FIRST)
    assert [dn[:6] for dn in names(after, PHONE, "(objectClass=person)")] == ["uid=a5", "uid=a1", "uid=a2", "uid=a4"]


def test_very_many_stars(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of them come first, and the others in their place."""
    monkeypatch.setattr(dit_module, "MAX_FAVOURITES", 2)
    dit = tree([(at, at != 0) for at in range(5)], [], Sharing.PRIVATE)
    found = [dn[:6] for dn in names(dit, PHONE, "(objectClass=person)")]
    assert found == ["uid=a1", "uid=a2", "uid=a0", "uid=a3", "uid=a4"]


def test_very_many_stars_of_contacts_with_several_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit counts contacts, also for a phone that gets one entry per number."""
    monkeypatch.setattr(dit_module, "MAX_FAVOURITES", 2)
    contacts = [
        replace(one, phones=(*one.phones, phone(Kind.MOBILE, f"+49 171 5550{at:03}")))
        for at in range(4)
        for one in [numbered(f"a{at}", at, starred=at != 0)]
    ]
    book = build_book(FIRST, "a", "alice", Sharing.PRIVATE, contacts, LABELS, per_number=True)
    found = [dn.partition(",")[0] for dn in names(dit_of(book, context=FIRST), NUMBERS, "(objectClass=person)")]
    assert found == [f"uid=a{at}-{number}" for at in (1, 2, 0, 3) for number in (2, 1)]


def test_a_long_search_gives_way() -> None:
    """After each slice of work, as any other search does."""
    dit = tree([(at, at == 0) for at in range(2000)], [], Sharing.PRIVATE)
    cursor = cursor_over(
        dit, PHONE, SearchRequest(BASE, WHOLE_SUBTREE, read_filter("(&(objectClass=person)(!(cn=p*)))"))
    )
    slices = 0
    while not cursor.finished:
        assert cursor.next(10) == []
        slices += 1
    assert slices > 2
