# SPDX-License-Identifier: MIT
"""Directories: their books and root DSEs."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from ldapgw.contact import STARRED, Contact, Kind, Sharing
from ldapgw.directory.access import NOBODY, Access, Viewer
from ldapgw.directory.book import FAVOURITES, FILE_PREFIX, build_book, with_sharing
from ldapgw.directory.dit import ContactFlags, Directory, Dit, FlagReader, own_scopes, search_scopes, shared_scopes
from ldapgw.directory.dn import Dn
from ldapgw.directory.filter import Scope
from ldapgw.directory.filter_matcher import prepare
from ldapgw.directory.naming_context import at_site
from ldapgw.directory.search import SearchCursor
from ldapgw.directory.special_entries import Features
from tests.support import work
from tests.support.filter_text import read_filter
from tests.support.phonebook import BASE, naming_context
from tests.support.phonebook.entries import phone
from tests.support.phonebook.trees import PRIVATE, SHARED, book_of, changed_book, entries_found

CONTEXT = naming_context()
OTHER = replace(CONTEXT, name="other", base=Dn.parse("ou=x,o=Other"))


def test_the_root_dse_is_worked_out_once() -> None:
    """For each part of the tree that is the viewer's own, and once more for connections without TLS."""
    served = Dit((Directory(CONTEXT), Directory(OTHER)), Features("1.2", sasl_mechanisms=("PLAIN",)))
    acme, other = Viewer(access=(Access("acme"),)), Viewer(access=(Access("other"),))

    assert served.root_dse(acme) is served.root_dse(Viewer("cn=x", acme.access))
    assert served.root_dse(acme).attribute("defaultNamingContext") == (BASE.encode(),)
    assert served.root_dse(other).attribute("defaultNamingContext") == (b"ou=x,o=Other",)
    assert served.root_dse(NOBODY).attribute("defaultNamingContext") == ()
    assert served.in_clear is served.in_clear
    assert served.in_clear.in_clear is served.in_clear
    assert served.in_clear.root_dse(acme).attribute("supportedSASLMechanisms") == ()
    assert served.root_dse(acme).attribute("supportedSASLMechanisms") == (b"PLAIN",)


def test_the_scopes_of_a_tenant_are_worked_out_once() -> None:
    """For all logins that see the same, in the same form and at the same site."""
    anna = Contact("c1", name="Anna", phones=(phone(Kind.WORK, "030 1234567"),))
    book = build_book(CONTEXT, "alice", "alice@x", Sharing.PRIVATE, [anna], {}, per_number=True)
    served = Dit((Directory(CONTEXT, (book,)),), Features("1"))
    alice = Viewer("cn=a", (Access("acme", ("alice",)),))
    scopes = served.tenant_scopes(alice, CONTEXT)
    assert served.tenant_scopes(alice._replace(login="cn=b"), CONTEXT) is scopes
    each = [alice, alice._replace(access=(Access("acme"),)), alice._replace(per_number=True)]
    for viewer in (*each, alice._replace(area_code="30")):
        [found], [searched] = (
            served.tenant_scopes(viewer, CONTEXT),
            search_scopes(served, viewer, BASE, Scope.WHOLE_SUBTREE),
        )
        assert (found.context, found.contacts) == (searched.context, searched.contacts)


def test_a_search_of_the_own_books_alone() -> None:
    """Of all accounts, each person once, starred contacts first; at the phone's site."""
    context = replace(CONTEXT, favourites=True, favourites_first=True)
    anna, ida, jan = (
        Contact(f"c{at}", name=name, labels=(STARRED,)[: name != "Anna"], phones=(phone(Kind.WORK, f"030 123456{at}"),))
        for at, name in enumerate(("Anna", "Ida", "Jan"))
    )
    books = [
        build_book(context, key, f"{key}@x", sharing, people, {STARRED: FAVOURITES}, per_number=False)
        for key, sharing, people in (
            ("alice", Sharing.PRIVATE, [anna, ida]),
            ("bob", Sharing.PRIVATE, [jan, replace(ida, uid="c7")]),
            ("carol", Sharing.SHARED, [Contact("c9", name="Zoe")]),
        )
    ]
    served = Dit((Directory(context, tuple(books)),), Features("1"))
    both = Viewer("cn=b", (Access("acme", ("alice", "bob")),), area_code="30")

    def names(viewer: Viewer, text: str) -> list[bytes]:
        scopes = own_scopes(served, viewer)
        cursor = SearchCursor(scopes, [prepare(read_filter(text), scope.context) for scope in scopes])
        found = []
        while not cursor.finished:
            found += [entry.attribute("uid")[0] for batch in cursor.next(10) for entry in batch.entries()]
        return found

    # The star of the first account counts: Ida is starred in both books, Jan in the second one.
    assert names(both, "(objectClass=person)") == [b"c1", b"c0", b"c2"]
    assert names(both._replace(area_code=""), "(telephoneNumber=0301234560)") == [b"c0"]
    assert {scope.context for scope in own_scopes(served, both)} == {at_site(context, "30")}
    assert own_scopes(served, both._replace(access=(Access("acme"),))) == ()
    assert served.directories[0].book("bob") is books[1]


def test_a_search_of_what_others_share() -> None:
    """Of accounts and of files, at the phone's site; of the own books only those that others see too."""
    sharings = {"alice": PRIVATE, "bob": PRIVATE, "carol": SHARED, f"{FILE_PREFIX}extensions": SHARED}
    books = [
        book_of([Contact(f"c{at}", name=key)], key, key, sharing) for at, (key, sharing) in enumerate(sharings.items())
    ]
    assert [book.is_file for book in books] == [False, False, False, True]
    served = Dit((Directory(CONTEXT, tuple(books)),), Features("1"))
    alice = Viewer("cn=a", (Access("acme", ("alice",)),), area_code="30")
    [scope] = shared_scopes(served, alice)
    assert scope.context == at_site(CONTEXT, "30")
    assert {entry.attribute("uid")[0] for segment in scope.contacts for entry in segment} == {b"c2", b"c3"}
    assert scope.own_namespaces == ()
    assert shared_scopes(served, NOBODY) == ()


ANNA, BERT = (Contact(f"c{at}", name=name, labels=("g1",)[at:]) for at, name in enumerate(("Anna", "Bert")))


def test_a_shared_label_follows_a_change() -> None:
    """A contact that gets the label is seen, one that loses it is not; a label with another name is another one."""
    book = book_of([ANNA, BERT], "alice", "alice@acme.example", Sharing.SHARED, {"g1": "Customers"})
    alice = with_sharing(book, Sharing.SHARED, "customers")
    before = Directory(CONTEXT, (alice,))

    def seen(labels: dict[str, str], *changed: Contact) -> list[str]:
        revised = changed_book(alice, changed, labels=labels)
        after = Dit((Directory(CONTEXT, (revised,), before.shared_books),), Features("1"))
        hall = Viewer("cn=hall", (Access("acme"),))
        return [entry.dn.removesuffix(f",{BASE}") for entry in entries_found(after, hall, "(cn=*)")]

    moved = seen({"g1": "Customers"}, replace(ANNA, labels=()), replace(BERT, labels=("g1",)))
    assert moved == ["uid=c1,ou=Customers,ou=alice@acme.example"]
    assert seen({"g1": "Friends"}) == []


def test_private_books_of_others_cost_nothing() -> None:
    """To find the books that a viewer sees."""

    def seen(count: int) -> int:
        others = [book_of([], f"b{at}", f"b{at}@x") for at in range(count)]
        shared, own = book_of([], "carl", "carl@x", Sharing.SHARED), book_of([], "alice", "alice@x")
        directory, access = Directory(CONTEXT, (*others, shared, own)), Access("acme", ("alice",))
        assert [book.book.key for book in directory.seen_books(access)] == ["alice", "carl"]
        return work.calls(lambda: directory.seen_books(access))

    assert seen(500) == seen(1)


@pytest.mark.parametrize("label_count", [1, 400])
def test_the_flags_of_a_list_with_many_labels(label_count: int) -> None:
    """The labels are read once and in slices, not once for each contact."""
    labels = {f"g{at}": f"Label {at:03}" for at in range(label_count)}
    people = [Contact(f"c{at}", name=f"Person {at}", labels=(f"g{at % label_count}",)) for at in range(2400)]
    book = build_book(CONTEXT, "alice", "alice@x", Sharing.SHARED, people, labels, per_number=False)
    entries = [entry for segment in book.segments.contacts for entry in segment]
    reader = FlagReader(Directory(CONTEXT, (book,)), Access("acme"))
    assert len([*reader.read_names(entries[0])]) == 2
    assert [reader.flags(entry).labels for entry in entries] == [
        (f"Label {int(entry.uid[1:]) % label_count:03}",) for entry in entries
    ]
    assert work.calls(lambda: [reader.flags(entry) for entry in entries]) < 40 * len(entries)


def test_flags_of_contacts() -> None:
    """A star counts for its owner alone, and a label for whoever sees its branch; also for entries of numbers.

    Lists get the same without the names of the labels.
    """
    context = replace(CONTEXT, favourites=True, block_label="blocked")
    labels = {STARRED: FAVOURITES, "g1": "Blocked", "g2": "Customers"}
    anna = Contact("C1", name="Anna", labels=(STARRED, "g1", "g2"), phones=(phone(Kind.WORK, "030 1234567"),))
    alice = build_book(
        context, "alice", "alice@x", Sharing.SHARED, [anna, Contact("c2", name="Bert")], labels, per_number=True
    )
    directory = Directory(context, (alice,))
    own, other, both = Access("acme", ("alice",)), Access("acme", ("bob",)), ("Blocked", "Customers")
    first, second = alice.segments.contacts[0].entries
    [numbered] = alice.segments.numbers[0].entries
    [below_label] = alice.labels[-1].segments.contacts[0].entries
    own_list, other_list = FlagReader(directory, own), FlagReader(directory, other)
    for entry in (first, numbered, below_label):
        assert directory.flags(entry, own) == ContactFlags(favourite=True, blocked=True, labels=both)
        assert directory.flags(entry, other) == ContactFlags(blocked=True, labels=both)
        assert own_list.marks(entry) == ContactFlags(favourite=True, blocked=True)
        assert other_list.marks(entry) == ContactFlags(blocked=True)
    for entry in (second, alice.container):
        assert directory.flags(entry, own) == own_list.marks(entry) == other_list.marks(entry) == ContactFlags()
    for entry in (first, numbered, below_label, second, alice.container):
        assert [*own_list.read_names(entry), *other_list.read_names(entry)] == []
        assert own_list.flags(entry) == directory.flags(entry, own)
        assert other_list.flags(entry) == directory.flags(entry, other)
    by_label = Directory(context, (with_sharing(alice, Sharing.SHARED, "Customers"),))
    assert by_label.flags(below_label, other) == ContactFlags(labels=("Customers",))
    assert Directory(context, (with_sharing(alice, Sharing.SHARED, "Gone"),)).flags(first, other) == ContactFlags()
    unmarked = Directory(replace(context, favourites=False, block_label=""), (alice,))
    assert unmarked.flags(first, own) == ContactFlags(labels=(*both, FAVOURITES))


def test_two_books_may_have_one_name() -> None:
    """The name means the first book that the viewer may browse."""
    books = [
        build_book(CONTEXT, key, "Doors", sharing, [Contact(key, name=key)], {}, per_number=False)
        for key, sharing in (("alice", PRIVATE), ("bob", PRIVATE), ("carol", SHARED))
    ]
    directory = Directory(CONTEXT, tuple(books))
    found = [directory.book_named("doors", Access("acme", keys)) for keys in (("bob",), ("alice",), ())]
    assert [seen and seen.book.key for seen in found] == ["bob", "alice", "carol"]
    assert directory.book_named("windows", Access("acme")) is None


@pytest.mark.parametrize("mechanisms", [(), ("PLAIN",)], ids=["clear", "TLS"])
def test_a_replaced_tree_is_freed_at_once(mechanisms: tuple[str, ...]) -> None:
    """The books of a former directory do not wait for the garbage collector."""
    directory = Directory(CONTEXT)
    references = sys.getrefcount(directory)
    served = Dit((directory,), Features("1", sasl_mechanisms=mechanisms))
    served.root_dse(NOBODY)
    search_scopes(served.in_clear, Viewer("cn=a", (Access("acme"),)), BASE, Scope.WHOLE_SUBTREE)
    del served
    assert sys.getrefcount(directory) == references
