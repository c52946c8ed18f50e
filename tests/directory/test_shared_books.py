# SPDX-License-Identifier: MIT
"""The union of shared books: what is on its segments is what the books have, whatever has changed before."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.contact import Contact, Kind, Sharing
from ldapgw.directory.access import Access, Viewer
from ldapgw.directory.book import Book, build_book
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.filter import Scope, SearchRequest, Substrings
from ldapgw.directory.segment import Segment
from ldapgw.directory.shared_books import MergedSegment, SharedBooks, merge_shared_books, segments_of
from ldapgw.ldap.encoder import features
from tests.support import work
from tests.support.examples import examples
from tests.support.phonebook import naming_context
from tests.support.phonebook.entries import phone
from tests.support.phonebook.trees import all_matches, changed_book, first_page

CONTEXT = naming_context()
SYLLABLES = [first + second for first in "bdgklmnpst" for second in "aeiu"]


def book(key: int, size: int, sharing: Sharing, *, per_number: bool = False) -> Book:
    people = [Contact(f"c{key}x{at}", name=f"Person {at} of {key}") for at in range(size)]
    return build_book(CONTEXT, str(key), f"user{key}", sharing, people, {}, per_number=per_number)


def held(joined: tuple[MergedSegment, ...]) -> list[str]:
    return sorted(entry.dn for segment in segments_of(joined) for entry in segment)


def having(books: list[Book], sharing: Sharing) -> list[str]:
    contacts = [one.segments.contacts for one in books if one.sharing is sharing]
    return sorted(entry.dn for found in contacts for segment in found for entry in segment)


def needs_merge(union: Mapping[Sharing, SharedBooks]) -> bool:
    return any(one.needs_merge for one in union.values())


SALES, STAFF = Sharing("group:sales"), Sharing("group:staff")

changes = st.lists(
    st.tuples(st.integers(0, 14), st.integers(0, 3), st.sampled_from([*Sharing, SALES, STAFF]), st.booleans()),
    min_size=1,
    max_size=30,
)


@settings(max_examples=examples(60), deadline=None)
@given(changes)
def test_a_union_has_what_the_books_have(done: list[tuple[int, int, Sharing, bool]]) -> None:
    """Books come, grow, shrink, open, close and go; the union is made of the one before."""
    books: dict[int, Book] = {}
    union: Mapping[Sharing, SharedBooks] = {}
    for key, size, sharing, at_once in done:
        if size:
            books[key] = book(key, size, sharing)
        else:
            books.pop(key, None)
        union = merge_shared_books(books.values(), union, defer_merge=at_once)
        there = list(books.values())
        assert Sharing.PRIVATE not in union
        for sharing in (Sharing.SHARED, Sharing.CALLERS, SALES, STAFF):
            of_sharing, shown = union.get(sharing, SharedBooks()), [one for one in there if one.sharing is sharing]
            assert held(of_sharing.contacts) == having(there, sharing)
            assert of_sharing.count == len(shown)
            containers = [one.container.dn for one in shown if sharing is not Sharing.CALLERS]
            assert held(of_sharing.containers) == sorted(containers)
        assert at_once or not needs_merge(union)
    assert merge_shared_books(books.values(), union) == union or needs_merge(union)


def test_many_books_have_few_segments() -> None:
    """A change of one leaves most of them as they are."""
    books = [book(at, 3, Sharing.SHARED) for at in range(100)]
    before = merge_shared_books(books, {})
    books[50] = book(50, 4, Sharing.SHARED)
    after = merge_shared_books(books, before)
    assert not needs_merge(before)
    assert not needs_merge(after)
    assert len(after[Sharing.SHARED].contacts) == len(before[Sharing.SHARED].contacts) + 1
    assert held(after[Sharing.SHARED].contacts) == having(books, Sharing.SHARED)


def test_other_threads_run_during_a_merge() -> None:
    """The thread that answers phones runs again and again, also while compiled code merges books.

    A thread that waits for the interpreter lock asks for the lock after a microsecond here.
    """
    books = [book(key, 200, Sharing.SHARED) for key in range(10)]
    interval, turns = sys.getswitchinterval(), 0
    merging = Thread(target=merge_shared_books, args=(books, {}))
    sys.setswitchinterval(1e-6)
    try:
        merging.start()
        while merging.is_alive():
            turns += 1
            time.sleep(0)
    finally:
        sys.setswitchinterval(interval)
    # The merge of 2,000 entries takes some 30 ms.  Without a chance between two entries, there are 3 turns.
    assert turns > 20


def test_a_large_book_is_not_merged() -> None:
    """Its segment is searched as it is, beside the merged segment of the small books."""
    books = [book(0, 100, Sharing.SHARED), *(book(at, 3, Sharing.SHARED) for at in range(1, 20))]
    [large] = books[0].segments.contacts
    alone, merged = merge_shared_books(books, {})[Sharing.SHARED].contacts
    assert (alone.segment, len(merged.segment), len(merged.sources)) == (large, 57, 19)


def test_what_is_left_of_few_books_is_not_kept_merged() -> None:
    """Otherwise the entries of all books that are gone would stay in memory."""
    books = [book(at, 3, Sharing.SHARED) for at in range(20)]
    before = merge_shared_books(books, {})
    after = merge_shared_books(books[:5], before)[Sharing.SHARED]
    assert sum(len(segment.entries) for segment in segments_of(after.contacts)) == 15


def test_the_books_of_a_group_have_few_segments() -> None:
    """They are merged apart from all others, and merged again when they become too many."""
    books = [book(at, 3, SALES if at % 2 else Sharing.SHARED) for at in range(40)]
    deferred = merge_shared_books(books, {}, defer_merge=True)
    assert deferred[SALES].needs_merge
    assert deferred[Sharing.SHARED].needs_merge
    assert [Directory(CONTEXT, tuple(books), deferred, wait).needs_merge for wait in (True, False)] == [True, False]
    merged = merge_shared_books(books, deferred)
    assert not needs_merge(merged)
    assert held(merged[SALES].contacts) == having(books, SALES)


def test_entries_for_numbers() -> None:
    """A book without entries for numbers is seen in the other form if another book has such entries."""
    both = [book(1, 2, Sharing.SHARED), book(2, 2, Sharing.SHARED, per_number=True)]
    union = merge_shared_books(both, {})[Sharing.SHARED]
    assert sum(map(len, union.form(per_number=True))) == 2
    assert sum(map(len, union.form(per_number=False))) == 4
    assert sum(map(len, merge_shared_books(both[:1], {})[Sharing.SHARED].form(per_number=True))) == 2


def test_what_was_withdrawn_is_not_found() -> None:
    """Neither by a walk nor by the index."""
    books = [book(at, 3, Sharing.SHARED) for at in range(20)]
    before = merge_shared_books(books, {})
    left = [*books[:10], *books[11:]]
    after = merge_shared_books(left, before)
    dit = Dit((Directory(CONTEXT, tuple(left), before),), features(tls=False))
    viewer = Viewer("cn=desk1", (Access(CONTEXT.name),))
    request = SearchRequest(str(CONTEXT.base), Scope.WHOLE_SUBTREE, Substrings("cn", b"of", (), None))
    assert sorted(match.entry.dn for match in all_matches(dit, viewer, request)) == having(left, Sharing.SHARED)
    assert not any(segment.entry_of_uid("c10x0") for segment in segments_of(after[Sharing.SHARED].contacts))


def test_a_change_of_a_joined_book() -> None:
    """Unchanged entries stay on the joined segment, which withdraws no more entries than the book."""
    books = [book(at, 100, Sharing.SHARED) for at in range(12)]
    before = merge_shared_books(books, {})[Sharing.SHARED]
    for turn in range(3):
        news = (Contact(f"c7x{turn}", name="Somebody else"),)
        books[7] = changed_book(books[7], news, {f"c7x{turn + 50}"})
        after = merge_shared_books(books, {Sharing.SHARED: before})[Sharing.SHARED]
        assert held(after.contacts) == having(books, Sharing.SHARED)
        [large] = [one for one in before.contacts if len(one.sources) > 1]
        [kept] = [one for one in after.contacts if len(one.sources) > 1]
        assert kept.segment.entries is large.segment.entries
        assert len(kept.segment) == len(large.segment) - 2
        before = after
    assert len(before.contacts) == 5


def found_and_called(books: list[Book]) -> tuple[list[tuple[bytes, ...]], int]:
    """Whom a phone's search by two letters finds in shared books, and how many functions it calls."""
    directory = Directory(CONTEXT, tuple(books))
    dit, viewer = Dit((directory,), features(tls=False)), Viewer("cn=desk1", (Access(CONTEXT.name),))
    request = SearchRequest(str(CONTEXT.base), Scope.WHOLE_SUBTREE, Substrings("cn", b"mu", (), None))
    seen = first_page(dit, viewer, request, 50)
    assert seen is not None
    return [entry.attribute("cn") for entry in seen[0]], work.calls(lambda: first_page(dit, viewer, request, 50))


def test_containers_are_told_from_contacts() -> None:
    """By the attributes that they have, as the index knows them or as they stand in a few."""
    labels = {"contactGroups/1": "Customers"}
    people = [Contact("c1", name="Ada", labels=tuple(labels), also=("Addie",))]
    many = [build_book(CONTEXT, str(at), f"u{at}", Sharing.SHARED, people, labels, per_number=False) for at in (1, 2)]
    for on in (
        many[0].containers,
        *segments_of(merge_shared_books(many, {})[Sharing.SHARED].containers),
        Segment(tuple(many[0].containers)),
    ):
        assert on.tag_letters == {part[0] for entry in on for part in entry.tagged_texts()}
        assert on.object_classes == {"\n2.5.6.0\n", "\n2.5.6.5\n"}  # top, organizationalUnit


@pytest.mark.parametrize("names", [1600, 80])
def test_hundreds_of_books_cost_what_one_does(names: int) -> None:
    """A search by a name's beginning, with the same people: what is returned counts, not how many books there are.

    Nor how many of them have the same name.
    """
    people = [
        Contact(
            f"c{at:04}",
            name=f"{SYLLABLES[at % 40]}{SYLLABLES[at // 40]} {at % names}",
            phones=(phone(Kind.WORK, f"030 1{at:06}"),),
        )
        for at in range(1600)
    ]
    one = [build_book(CONTEXT, "all", "all", Sharing.SHARED, people, {}, per_number=False)]
    many = [
        build_book(CONTEXT, str(at), f"u{at}", Sharing.SHARED, people[at : at + 2], {}, per_number=False)
        for at in range(0, 1600, 2)
    ]
    looked = [found_and_called(books) for books in (one, many)]
    (first, alone), (second, together) = looked
    assert first == second
    assert len(first) == 40
    assert together <= 2 * alone
