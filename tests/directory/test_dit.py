# SPDX-License-Identifier: MIT
"""Directories: their books and root DSEs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ldapgw.contact import STARRED, Contact, Kind, Phone, Sharing
from ldapgw.directory.access import NOBODY, Access, Viewer
from ldapgw.directory.book import DIRECTORY, FAVOURITES, build_book, update_book, with_sharing
from ldapgw.directory.dit import ContactFlags, Directory, Dit
from ldapgw.directory.dn import Dn
from ldapgw.directory.filter import Present, Scope, SearchRequest
from ldapgw.directory.special_entries import Features
from ldapgw.errors import DirectoryError, ResultCode
from ldapgw.numbers import phone_number
from tests.support.phonebook import BASE, naming_context
from tests.support.phonebook.trees import all_matches

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


SALES, STAFF, GONE = (Sharing(f"group:{name}") for name in ("sales", "staff", "gone"))
GROUPS = {
    "sales": frozenset({"alice@acme.example", "bob@acme.example", "nobody@acme.example"}),
    "staff": frozenset({"bob@acme.example"}),
}


@pytest.mark.parametrize(
    ("own", "seen"),
    [
        ("alice", ["alice", "dora", "directory"]),
        ("bob", ["bob", "dora", "erin", "directory"]),
        ("carol", ["carol", "directory"]),
        ("dora", ["dora", "directory"]),
        ("fred", ["fred", "directory"]),
        ("nobody", ["directory"]),
        ("", ["directory"]),
    ],
)
def test_books_that_a_group_sees(own: str, seen: list[str]) -> None:
    """Its accounts' phones see them in every way, their owners as always, and nobody else; a group may be gone."""
    sharing = {"alice": SALES, "bob": STAFF, "carol": Sharing.PRIVATE, "dora": SALES, "erin": STAFF, "fred": GONE}
    context = replace(CONTEXT, groups=GROUPS)
    books = [
        build_book(context, key, f"{key}@acme.example", how, [Contact("c1", name=f"Ada {key}")], {}, per_number=False)
        for key, how in sharing.items()
    ]
    books.append(build_book(context, DIRECTORY, DIRECTORY, Sharing.SHARED, [], {}, per_number=False))
    seen = [*seen, *(["alice"] if own == "bob" else [])]
    directory = Directory(context, tuple(books))
    dit, viewer = Dit((directory,), Features("1")), Viewer("cn=desk", (Access("acme", own),))
    assert {book.key for book in directory.visible_books(viewer.access[0])} == set(seen)
    request = SearchRequest(BASE, Scope.WHOLE_SUBTREE, Present("cn"))
    found = [match.entry.attribute("cn")[0].decode() for match in all_matches(dit, viewer, request)]
    assert found == sorted(f"Ada {key}" for key in seen if key != DIRECTORY)
    for key in sharing:
        base = f"ou={key}@acme.example,{BASE}"
        if key in seen:
            assert len(all_matches(dit, viewer, replace(request, base=base))) == 1
        else:
            with pytest.raises(DirectoryError) as caught:
                all_matches(dit, viewer, replace(request, base=base))
            assert (caught.value.code, caught.value.matched_dn) == (ResultCode.NO_SUCH_OBJECT, BASE)


ANNA, BERT = (Contact(f"c{at}", name=name, labels=("g1",)[at:]) for at, name in enumerate(("Anna", "Bert")))
LABEL = "ou=Customers,ou=alice@acme.example," + BASE


def shared_by_label(sharing: Sharing, label: str) -> Dit:
    """Alice's book with Anna, who has the label Customers, and Bert, who has none; and Bob's, which is empty."""
    alice = build_book(
        CONTEXT, "alice", "alice@acme.example", Sharing.PRIVATE, [ANNA, BERT], {"g1": "Customers"}, per_number=False
    )
    bob = build_book(CONTEXT, "bob", "bob@acme.example", Sharing.PRIVATE, [], {}, per_number=False)
    return Dit((Directory(CONTEXT, (with_sharing(alice, sharing, label), bob)),), Features("1"))


def names(dit: Dit, own: str, base: str = BASE, scope: Scope = Scope.WHOLE_SUBTREE) -> list[str]:
    """The DNs of all entries below a base, without the tenant's; none where there is no such base for the viewer."""
    viewer = Viewer("cn=desk", (Access("acme", own),))
    try:
        found = all_matches(dit, viewer, SearchRequest(base, scope, Present("objectClass")))
    except DirectoryError:
        return []
    return [match.entry.dn.removesuffix(f",{BASE}") for match in found if match.entry.dn != BASE]


def test_a_label_that_is_shared() -> None:
    """Others see its contacts below the label's entry, and the owner everything once."""
    dit = shared_by_label(Sharing.SHARED, "CUSTOMERS")
    book, label = "ou=alice@acme.example", "ou=Customers,ou=alice@acme.example"
    assert names(dit, "bob") == [book, label, "ou=bob@acme.example", f"uid=c0,{label}"]
    assert names(dit, "bob", BASE, Scope.SINGLE_LEVEL) == [book, "ou=bob@acme.example"]
    assert names(dit, "bob", f"{book},{BASE}") == [book, label, f"uid=c0,{label}"]
    assert names(dit, "bob", f"{book},{BASE}", Scope.SINGLE_LEVEL) == [label]
    assert names(dit, "bob", f"{book},{BASE}", Scope.BASE_OBJECT) == [book]
    assert names(dit, "bob", LABEL) == [label, f"uid=c0,{label}"]
    assert names(dit, "bob", f"uid=c0,{LABEL}") == [f"uid=c0,{label}"]
    for hidden in (f"uid=c0,{book},{BASE}", f"uid=c1,{book},{BASE}", f"uid=c1,{LABEL}"):
        assert names(dit, "bob", hidden) == []
    assert names(dit, "alice") == [book, label, f"uid=c0,{book}", f"uid=c1,{book}"]
    assert names(dit, "") == [book, label, f"uid=c0,{label}"]


@pytest.mark.parametrize("sharing", [Sharing.SHARED, Sharing.CALLERS, Sharing("group:sales")])
def test_a_shared_label_that_is_gone_shares_nothing(sharing: Sharing) -> None:
    dit = shared_by_label(sharing, "Friends")
    assert names(dit, "bob") == ["ou=bob@acme.example"]
    assert names(dit, "bob", f"ou=alice@acme.example,{BASE}") == []
    assert dit.directories[0].caller_id_books(Access("acme", "bob")) == ()
    assert len(names(dit, "alice")) == 4


def test_a_shared_label_follows_a_change() -> None:
    """A contact that gets the label is seen, one that loses it is not; a label with another name is another one."""
    dit = shared_by_label(Sharing.SHARED, "customers")
    [directory] = dit.directories
    alice, bob = directory.books

    def seen(labels: dict[str, str], *changed: Contact) -> list[str]:
        revised = update_book(alice, CONTEXT, changed, (), labels)
        assert revised is not None
        after = Directory(CONTEXT, (revised, bob), directory.shared_books)
        return [dn for dn in names(replace(dit, directories=(after,)), "") if dn.startswith("uid")]

    moved = seen({"g1": "Customers"}, replace(ANNA, labels=()), replace(BERT, labels=("g1",)))
    assert moved == ["uid=c1,ou=Customers,ou=alice@acme.example"]
    assert seen({"g1": "Friends"}) == []


def test_flags_of_contacts() -> None:
    """A star counts for its owner alone, and a label for whoever sees its branch; also for entries of numbers."""
    context = replace(CONTEXT, favourites=True, block_label="blocked")
    labels = {STARRED: FAVOURITES, "g1": "Blocked", "g2": "Customers"}
    number = phone_number.parse("030 1234567", "DE")
    assert number is not None
    anna = Contact("C1", name="Anna", labels=(STARRED, "g1", "g2"), phones=(Phone(Kind.WORK, number),))
    alice = build_book(
        context, "alice", "alice@x", Sharing.SHARED, [anna, Contact("c2", name="Bert")], labels, per_number=True
    )
    directory = Directory(context, (alice,))
    own, other, both = Access("acme", "alice"), Access("acme", "bob"), ("Blocked", "Customers")
    first, second = alice.segments.contacts[0].entries
    [numbered] = alice.segments.numbers[0].entries
    [below_label] = alice.labels[-1].segments.contacts[0].entries
    for entry in (first, numbered, below_label):
        assert directory.flags(entry, own) == ContactFlags(favourite=True, blocked=True, labels=both)
        assert directory.flags(entry, other) == ContactFlags(blocked=True, labels=both)
    for entry in (second, alice.container):
        assert directory.flags(entry, own) == ContactFlags()
    by_label = Directory(context, (with_sharing(alice, Sharing.SHARED, "Customers"),))
    assert by_label.flags(below_label, other) == ContactFlags(labels=("Customers",))
    assert Directory(context, (with_sharing(alice, Sharing.SHARED, "Gone"),)).flags(first, other) == ContactFlags()
    unmarked = Directory(replace(context, favourites=False, block_label=""), (alice,))
    assert unmarked.flags(first, own) == ContactFlags(labels=(*both, FAVOURITES))


def test_books_that_tell_a_callers_name() -> None:
    """Other people's, where they have said so."""
    books = tuple(
        build_book(CONTEXT, key, key, sharing, [], {}, per_number=False)
        for key, sharing in (
            ("a", Sharing.CALLERS),
            ("b", Sharing.CALLERS),
            ("c", Sharing.PRIVATE),
            ("d", Sharing.SHARED),
        )
    )
    found = Directory(CONTEXT, books).caller_id_books(Access("acme", "a"))
    assert [book.key for book in found] == ["b"]
