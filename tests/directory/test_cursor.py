# SPDX-License-Identifier: MIT
"""The search cursor: matches in order, behind any key, over any number of segments; and the first page of a list."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.contact import Contact, Kind, Sharing
from ldapgw.directory.access import Access, Viewer
from ldapgw.directory.dit import Dit
from ldapgw.directory.filter import Scope, SearchRequest, Substrings
from ldapgw.directory.filter_matcher import prepare
from ldapgw.directory.name_folding import MAX_SORT_NAME, contact_sort_key, container_sort_key
from ldapgw.directory.search import first_matches, matches, search
from ldapgw.directory.segment import Match
from ldapgw.errors import DirectoryError
from tests.support.examples import examples
from tests.support.filter_text import read_filter
from tests.support.phonebook import BASE
from tests.support.phonebook.entries import phone
from tests.support.phonebook.trees import (
    ALL,
    BASES,
    BOTH,
    CONTEXT,
    PHONE,
    TREE,
    VIEWERS,
    all_matches,
    book_of,
    changed_book,
    dit_of,
    first_page,
)


def hits(dit: Dit, viewer: Viewer, base: str = "", text: str = ALL, after: bytes = b"") -> list[Match]:
    return all_matches(dit, viewer, SearchRequest(base, Scope.WHOLE_SUBTREE, read_filter(text)), after)


def dns(found: Iterable[Match]) -> list[str]:
    return [hit.entry.dn for hit in found]


@pytest.mark.parametrize("viewer", [*VIEWERS, BOTH], ids=lambda viewer: f"{viewer.login} {viewer.per_number}")
@pytest.mark.parametrize("base", ["", BASE])
@pytest.mark.parametrize("text", [ALL, "(cn=*)", "(homePhone=+49307654321)", "(ou=*)"])
def test_a_walk_goes_on_behind_any_place(viewer: Viewer, base: str, text: str) -> None:
    """With what stood there in the whole walk, over tenants, containers, books and callers."""
    whole = hits(TREE, viewer, base, text)
    places = [hit.key for hit in whole]

    assert places == sorted(set(places))
    for at, place in enumerate(places):
        assert dns(hits(TREE, viewer, base, text, place)) == dns(whole[at + 1 :])


def test_some_of_these_walks_find_something() -> None:
    """The test above is not about nothing."""
    assert {len(hits(TREE, PHONE, base)) > 0 for base in BASES[:4]} == {True}
    assert len(hits(TREE, BOTH)) == 14


NAMES = ["Ada Ärmel", "ADA ARMEL", "Ben Alt", "", "🐶", "x" * 300, "x" * 299 + "y", "Ж"]
PHONES = [(), (phone(Kind.WORK, "+49301234567"),), (phone(Kind.MOBILE, "+491712345678"),)]
PEOPLE = st.lists(
    st.builds(
        lambda uid, name, phones: Contact(f"u{uid}", name=name, phones=phones, organization="o"),
        st.integers(0, 12), st.sampled_from(NAMES), st.sampled_from(PHONES),
    ),
    max_size=10, unique_by=lambda contact: contact.uid,
)  # fmt: skip


def tree(books: dict[str, list[Contact]]) -> Dit:
    """One own book and any number of shared ones."""
    sharing = {"a": Sharing.PRIVATE}
    return dit_of(*(book_of(held, at, f"book {at}", sharing.get(at, Sharing.SHARED)) for at, held in books.items()))


@pytest.mark.no_cover
@settings(max_examples=examples(150), deadline=None)
@given(
    before=st.fixed_dictionaries({"a": PEOPLE}, optional={"b": PEOPLE, "c": PEOPLE}),
    after=st.fixed_dictionaries({"a": PEOPLE}, optional={"b": PEOPLE, "c": PEOPLE}),
    cut=st.integers(0, 30),
)
def test_what_did_not_change_is_met_once(
    before: dict[str, list[Contact]], after: dict[str, list[Contact]], cut: int
) -> None:
    """A sync may bring, change or take away whole books between two parts of a walk."""
    first, second = tree(before), tree(after)
    whole_before, whole_after = hits(first, PHONE), hits(second, PHONE)
    seen = whole_before[:cut]
    behind = hits(second, PHONE, after=seen[-1].key) if seen else whole_after
    met = dns(seen) + dns(behind)

    places_before = {hit.entry.dn: hit.key for hit in whole_before}
    places_after = {hit.entry.dn: hit.key for hit in whole_after}
    unchanged = {dn for dn, place in places_before.items() if places_after.get(dn) == place}
    assert [dn for dn in met if dn in unchanged] == [dn for dn in dns(whole_after) if dn in unchanged]
    assert dns(behind) == dns(hit for hit in whole_after if not seen or hit.key > seen[-1].key)


def test_orders_are_short() -> None:
    """Long names have short keys, because a place goes into a cookie."""
    contact = contact_sort_key("\U0001f600" * 5000, "x" * 5000)
    label = container_sort_key("ж" * 5000, "y", container_sort_key("\U0001f600" * 5000, "x"))

    assert len(contact) <= 206
    assert len(label) <= 206
    assert len(contact_sort_key("a" * 500, "").partition(b"\0")[0]) == MAX_SORT_NAME


def test_orders_of_the_same_name() -> None:
    """Are told apart by what they belong to, and are the same each time."""
    first, second = contact_sort_key("Ada", "acme/a/1"), contact_sort_key("Ada", "acme/a/2")

    assert first != second
    assert first == contact_sort_key("Ada", "acme/a/1")
    assert contact_sort_key("ada", "0") > first > contact_sort_key("Abe", "z")
    in_order = [contact_sort_key("Ada", "acme/a/1", book_position=at) for at in (0, 2, 16, 255)]
    assert sorted([first, *reversed(in_order)]) == [*in_order, first]


def test_a_branch_stands_before_its_labels_and_these_before_the_next() -> None:
    """The names of labels do not matter."""
    book, other = container_sort_key("Bob", "b"), container_sort_key("Bobby", "c")

    assert book < container_sort_key("", "l", book) < container_sort_key("zz", "l", book) < other


def test_segments_are_merged_in_one_order() -> None:
    """Changed contacts are in a segment of their own, and sorted among the others all the same."""
    book = book_of([Contact(f"u{at}", name=f"N {at:02}") for at in range(90)])
    revised = changed_book(book, [Contact(f"u{at}", name=f"N {at:02} x") for at in range(10, 80, 20)])
    assert len(revised.segments.contacts) == 2
    dit = dit_of(revised)
    found = [hit.entry.attribute("cn") for hit in hits(dit, PHONE, f"ou=alice,{BASE}", "(cn=n*)")]
    assert len(found) == 90
    assert found == sorted(found)


def test_the_walk_keeps_the_tree_that_it_began_with() -> None:
    """A sync in the middle of it changes nothing."""
    dit = tree({"a": [Contact(f"u{at}", name=f"N {at}") for at in range(5)]})
    walked = matches(dit, PHONE, SearchRequest(BASE, Scope.WHOLE_SUBTREE, read_filter("(cn=*)")))
    first = next(walked)
    dit = replace(dit, directories=())

    assert first is not None
    assert len([first, *walked]) == 5


VIEWER = Viewer("cn=desk1", (Access(CONTEXT.name, ("alice",)),))


@pytest.fixture(name="dit", scope="module")
def _dit() -> Dit:
    """A book of which some have changed: two segments."""
    people = [Contact(f"c{at}", name=f"{'Anna' if at % 2 else 'Bo'} {at:03}") for at in range(300)]
    book = book_of(people, "alice")
    changed = [Contact(f"c{at}", name=f"Cem {at:03}") for at in range(0, 20, 5)]
    revised = changed_book(book, [*changed, Contact("new", name="Anna neu")], ["c7"])
    assert len(revised.segments.contacts) == 2
    return dit_of(revised)


@pytest.mark.parametrize("limit", [1, 50, 100, 200])
@pytest.mark.parametrize("asked", ["bo", "cem", "anna", "nobody"])
def test_a_revised_book_is_seen_as_it_is_walked(dit: Dit, asked: str, limit: int) -> None:
    """On the segment of what has changed, on the other, on both, on none."""
    request = SearchRequest(BASE, Scope.WHOLE_SUBTREE, Substrings("cn", asked.encode(), (), None), size_limit=limit)
    walked, more = [], False
    try:
        for entry in search(dit, VIEWER, request):
            walked += [entry] if entry else []
    except DirectoryError:
        more = True
    seen = first_page(dit, VIEWER, request, limit)
    if seen is None:
        assert limit > 50
    else:
        assert seen == (walked, more)


@pytest.mark.parametrize("limit", [1, 50, 200])
@pytest.mark.parametrize("text", ["(cn=bo*)", "(cn=*nn*)", "(|(telephoneNumber=1)(cn=*o 0*))"])
@pytest.mark.parametrize("sharing", [Sharing.PRIVATE, Sharing.CALLERS])
def test_who_is_deleted_is_not_on_the_first_page(text: str, limit: int, sharing: Sharing) -> None:
    """Of a book that is one segment still; beside one that tells callers' names, too."""
    people = [Contact(f"c{at}", name=f"{'Anna' if at % 2 else 'Bo'} {at:03}") for at in range(300)]
    revised = changed_book(book_of(people, "alice"), deleted=["c0", "c1", "c2"])
    assert [len(segment.entries) for segment in revised.segments.contacts] == [300]
    caller = Contact("k", name="Kai", phones=(phone(Kind.WORK, "1"),))
    other = book_of([caller], "carol", "carol", sharing)
    dit = dit_of(revised, other)
    request = SearchRequest(BASE, Scope.WHOLE_SUBTREE, read_filter(text))
    whole = [hit.entry for hit in all_matches(dit, VIEWER, request)]
    assert not {b"c0", b"c1", b"c2"} & {uid for entry in whole for uid in entry.attribute("uid")}
    seen = first_page(dit, VIEWER, request, limit)
    assert seen is not None
    # A caller's entry is made anew by each search.
    assert ([entry.dn for entry in seen[0]], seen[1]) == ([entry.dn for entry in whole][:limit], len(whole) > limit)


@pytest.mark.parametrize("deleted", [[], ["c0"]])
def test_matches_far_apart_are_found_at_once(deleted: list[str]) -> None:
    """All names have such words, one in five has them side by side."""
    people = [Contact(f"c{at}", name=f"{at:03} {'Bo Anna' if at % 5 else 'Anna Bo'} Keller") for at in range(2000)]
    revised = changed_book(book_of(people, "alice"), deleted=deleted)
    [segment] = revised.segments.contacts
    prepared = prepare(read_filter("(cn=*o k*)"), CONTEXT)
    assert segment.index is not None
    found = first_matches(segment, segment.index, prepared, 51)
    assert found is not None
    assert len(found) >= 51
    whole = [hit.entry.uid for hit in hits(dit_of(revised), VIEWER, BASE, "(cn=*o k*)")]
    assert [segment.entries[document].uid for document in found] == whole[: len(found)]
    assert first_matches(segment, segment.index, prepared, 151) is None


@pytest.mark.parametrize("limit", [2, 50])
def test_the_same_person_in_two_books_is_seen_once(limit: int) -> None:
    """The one in the viewer's own book; no further than the limit asks for."""
    own = [Contact("a", name="Aa 0"), Contact("b", name="Aa 1"), Contact("c0", name="Anna 000")]
    own = [replace(one, emails=("anna@acme.example",)) for one in own]
    shared = [Contact(f"c{at}", name=f"Anna {at:03}", emails=("ANNA@acme.example",)) for at in range(9)]
    dit = dit_of(book_of(own, "alice"), book_of(shared, "bob", "bob", Sharing.SHARED))
    request = SearchRequest(BASE, Scope.WHOLE_SUBTREE, Substrings("cn", b"a", (), None))
    seen = first_page(dit, VIEWER, request, limit)
    assert seen is not None
    found = [entry.attribute("cn")[0] for entry in seen[0]]
    assert found == [b"Aa 0", b"Aa 1", b"Anna 000", *(b"Anna %03d" % at for at in range(1, 9))][:limit]
    assert seen[1] is (limit < 11)
