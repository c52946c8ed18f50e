# SPDX-License-Identifier: MIT
"""A person who is in several books is found once, however the search is made and wherever a page begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.contact import Contact, Kind, Phone, PhoneticName, Sharing
from ldapgw.directory import dedup, name_folding
from ldapgw.directory.access import Access, Viewer
from ldapgw.directory.book import DIRECTORY, Book, build_book
from ldapgw.directory.dedup import is_same_person
from ldapgw.directory.dit import Dit
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import Filter, Scope, SearchRequest
from ldapgw.directory.filter_matcher import prepare
from ldapgw.directory.name_folding import MAX_SORT_NAME
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.search import matches
from tests.support import work
from tests.support.examples import examples
from tests.support.filter_text import read_filter
from tests.support.phonebook import BASE, naming_context
from tests.support.phonebook.entries import phone
from tests.support.phonebook.trees import all_matches, dit_of, entries_found, first_page

CONTEXT = naming_context()
OWN = "book03"
VIEWER = Viewer("cn=desk1", (Access(CONTEXT.name, (OWN,)),))
NUMBERS = [phone(Kind.WORK, text) for text in ("030 1234567", "030 7654321", "204")]
LONG = "Anna " + "x" * MAX_SORT_NAME
FILTERS = [
    read_filter(text)
    for text in ("(cn=a*)", "(objectClass=person)", "(telephoneNumber=0301234567)", "(&(cn=a*)(o=acme))", "(!(o=acme))")
]

people = st.builds(
    lambda name, numbers, mail, company: Contact(
        "",
        name=name,
        organization=company,
        emails=(mail,) if mail else (),
        phones=tuple(NUMBERS[at] for at in sorted(numbers)),
        phonetic=PhoneticName("Anna"),
    ),
    st.sampled_from(["Anna", "ANNA", "Anna B", "Bo", LONG, LONG + " Meyer", "杏奈", "安奈"]),
    st.frozensets(st.integers(0, 2), max_size=2),
    st.sampled_from(["", "a@acme.example", "A@ACME.example", "b@acme.example"]),
    st.sampled_from(["", "Acme"]),
)
few = st.lists(st.tuples(st.sampled_from(Sharing), st.lists(people, max_size=4)), min_size=1, max_size=6)
# Of more than eight shared books the segments are joined.
shared = st.tuples(st.just(Sharing.SHARED), st.lists(people, min_size=1, max_size=3))
many = st.tuples(few, st.lists(shared, min_size=9, max_size=14)).map(lambda both: both[0] + both[1])


names = [*(f"user{at:02}@acme.example" for at in range(7)), DIRECTORY, "own"]
orders = st.just([]) | st.lists(st.sampled_from(names), unique=True, max_size=4)


def work_phone(at: int) -> Phone:
    return phone(Kind.WORK, f"030 1{at:06}")


def number(at: int) -> bytes:
    return b"+49301%06d" % at


def tree(contents: list[tuple[Sharing, list[Contact]]], order: Sequence[str] = ()) -> Dit:
    context = replace(CONTEXT, book_order=tuple(order))
    books = (book(context, at, sharing, held) for at, (sharing, held) in enumerate(contents))
    return dit_of(*books, context=context)


def book(context: NamingContext, at: int, sharing: Sharing, held: list[Contact]) -> Book:
    """The last of the few is the Workspace directory."""
    with_ids = [replace(one, uid=f"c{at}x{count}") for count, one in enumerate(held)]
    if at == 5 and sharing is Sharing.SHARED:
        return build_book(context, DIRECTORY, DIRECTORY, sharing, with_ids, {}, per_number=False)
    return build_book(context, f"book{at:02}", f"user{at:02}@acme.example", sharing, with_ids, {}, per_number=False)


def expected(dit: Dit, sought: Filter) -> list[Entry]:
    """Every contact that is seen and matches, but no person who is shown from a book before."""
    [directory] = dit.directories
    seen = [one for one in directory.books if one.key == OWN or one.sharing is Sharing.SHARED]
    seen.sort(key=lambda one: position(one, directory.context.book_order))
    holds = prepare(sought, CONTEXT).predicate.matches
    every = [(at, entry) for at, one in enumerate(seen) for segment in one.segments.contacts for entry in segment]
    matching = [(at, entry) for at, entry in every if holds(entry)]

    shown: list[tuple[int, Entry]] = []
    for at, entry in matching:
        if not any(before < at and shares(kept, entry) for before, kept in shown):
            shown.append((at, entry))
    return sorted((entry for _, entry in shown), key=lambda entry: entry.sort_key)


def shares(one: Entry, other: Entry) -> bool:
    """Return True if two entries have the same name, and a number or an address in common."""
    names = {name_folding.collation_key(entry.attribute("cn")[0].decode()) for entry in (one, other)}
    points = [
        {*entry.attribute("telephoneNumber"), *map(bytes.lower, entry.attribute("mail"))} for entry in (one, other)
    ]
    return len(names) == 1 and not points[0].isdisjoint(points[1])


def position(book: Book, order: Sequence[str]) -> tuple[int, int, str]:
    """First the books that are named, then the phone's own, the shared ones, the directory."""
    names = [book.name, *(["own"] if book.key == OWN else [])]
    named = [order.index(name) for name in names if name in order]
    return min(named, default=len(order)), 2 if book.key == DIRECTORY else book.key != OWN, book.key


@pytest.mark.no_cover
@settings(max_examples=examples(200), deadline=None)
@given(few | many, st.sampled_from(FILTERS), orders)
def test_each_person_is_found_once(
    contents: list[tuple[Sharing, list[Contact]]], sought: Filter, order: list[str]
) -> None:
    """By a walk, by one that begins behind any entry, and by a look; in whatever order the tenant has its books."""
    dit = tree(contents, order)
    request = SearchRequest(BASE, Scope.WHOLE_SUBTREE, sought, size_limit=0)
    hits = all_matches(dit, VIEWER, request)
    contacts = [hit.entry for hit in hits if hit.entry.attribute("uid")]
    assert contacts == expected(dit, sought)
    for at, hit in enumerate(hits):
        behind = [one.key for one in all_matches(dit, VIEWER, request, hit.key)]
        assert behind == [one.key for one in hits[at + 1 :]]
    seen = first_page(dit, VIEWER, request, 5)
    if seen is not None:
        assert ([entry.dn for entry in seen[0]], seen[1]) == ([hit.entry.dn for hit in hits][:5], len(hits) > 5)


@pytest.mark.parametrize(
    ("order", "shown"),
    [
        ((), "own"),
        (("directory",), "directory"),
        (("own", "directory"), "own"),
        (("user01@acme.example", "directory"), "user01"),
        (("user03@acme.example",), "own"),
        (("user02@acme.example",), "own"),
        (("user03@acme.example", "user01@acme.example"), "own"),
    ],
    ids=[
        "as always",
        "directory",
        "own named",
        "a colleague's",
        "own by its address",
        "a private one",
        "own by its address before a colleague's",
    ],
)
def test_the_book_that_goes_first_shows_the_person(order: tuple[str, ...], shown: str) -> None:
    """A book that is named but not seen changes nothing."""
    anna = Contact("", name="Anna", phones=(work_phone(1),))
    whose = ["user00", "user01", "user02", "own", "user04", "directory"]
    sharing = [Sharing.SHARED, Sharing.SHARED, Sharing.PRIVATE, Sharing.PRIVATE, Sharing.CALLERS, Sharing.SHARED]
    dit = tree([(how, [replace(anna, title=who)]) for who, how in zip(whose, sharing, strict=True)], order)
    for text in ("(cn=anna)", "(telephoneNumber=0301000001)"):
        assert [entry.attribute("title") for entry in entries_found(dit, VIEWER, text)] == [(shown.encode(),)]


def test_a_shared_book_goes_before_the_directory() -> None:
    """The directory shows those who are in no other book that the viewer sees."""
    held = {
        "user": [replace(anna(1, mail="shared"), uid="c1")],
        DIRECTORY: [replace(anna(at, mail="directory"), uid=f"d{at}") for at in (1, 2)],
    }
    books = (
        build_book(CONTEXT, key, key, Sharing.SHARED, of_key, {}, per_number=False) for key, of_key in held.items()
    )
    dit = dit_of(*books, context=CONTEXT)
    found = [entry.attribute("mail") for entry in entries_found(dit, VIEWER, "(cn=anna)")]
    assert sorted(found) == [(b"directory",), (b"shared",)]


def test_a_viewers_own_book_gives_no_callers() -> None:
    """The viewer finds a contact of the own book by all its attributes, or not at all."""
    dit = tree([(Sharing.CALLERS, [anna(1, mail="a@x")] if at == 3 else []) for at in range(6)])
    assert entries_found(dit, VIEWER, "(&(telephoneNumber=0301000001)(!(mail=*)))") == []
    assert len(entries_found(dit, VIEWER, "(telephoneNumber=0301000001)")) == 1


@pytest.mark.parametrize("order", [("book01", "book00"), ("book00", "book01")])
@pytest.mark.parametrize("second", [Sharing.PRIVATE, Sharing.SHARED])
def test_of_several_own_books_the_first_counts(order: tuple[str, str], second: Sharing) -> None:
    """A person who is in both, with another mail address in each; somebody who is in the second one alone is found."""
    mine, theirs = [anna(1, 2, mail="0@x")], [anna(1, mail="1@x"), anna(3, mail="3@x", name="Bo")]
    dit = tree([(Sharing.PRIVATE, mine), (second, theirs)])
    viewer = Viewer("cn=both", (Access(CONTEXT.name, order),))
    mails = {"book00": b"0@x", "book01": b"1@x"}
    for text, base in (("(objectClass=person)", BASE), ("(telephoneNumber=0301000001)", ""), ("(cn=a*)", BASE)):
        found = entries_found(dit, viewer, text, base)
        assert [entry.attribute("mail")[0] for entry in found][:1] == [mails[order[0]]]
    assert len(entries_found(dit, viewer, "(objectClass=person)")) == 2
    assert len(entries_found(dit, viewer, "(telephoneNumber=0301000003)")) == 1


def test_people_of_one_name_are_listed_in_the_order_of_books() -> None:
    """People in books that are named first come first, whatever their identity is."""
    people = [(Sharing.SHARED, [Contact("", name="Anna", phones=(work_phone(at),))]) for at in range(6)]
    order = [f"user{at:02}@acme.example" for at in (4, 1, 3)]
    found = entries_found(tree(people, order), VIEWER, "(cn=anna)")
    numbers = [entry.attribute("telephoneNumber")[0] for entry in found]
    assert numbers[:3] == [number(at) for at in (4, 1, 3)]
    assert sorted(numbers[3:]) == [number(at) for at in (0, 2, 5)]


def anna(*numbers: int, mail: str = "", name: str = "Anna") -> Contact:
    return Contact(
        "",
        name=name,
        phones=tuple(phone(Kind.MOBILE, f"030 1{at:06}") for at in numbers),
        emails=(mail,) if mail else (),
    )


@pytest.mark.parametrize(
    ("own", "shared", "later", "text", "books"),
    [
        (anna(1, 2), anna(2, 3), None, "(cn=anna)", [OWN]),
        (anna(1, mail="a@x.example"), anna(2, mail="A@X.example"), None, "(cn=anna)", [OWN]),
        (anna(mail="a@x.example"), anna(1, mail="a@x.example"), None, "(cn=anna)", [OWN]),
        (anna(1), anna(2), None, "(cn=anna)", [OWN, "book04"]),
        (anna(), anna(), None, "(cn=anna)", [OWN, "book04"]),
        (anna(1), anna(1, name="Annika"), None, "(cn=ann*)", [OWN, "book04"]),
        (anna(1), anna(1, 2), anna(2, 3), "(cn=anna)", [OWN, "directory"]),
        (anna(9), anna(1, 2), anna(2, 3), "(cn=anna)", [OWN, "book04"]),
        (anna(1, 2), anna(2, 3), None, "(mobile=0301000003)", ["book04"]),
        (anna(1, 2), anna(2, 3), anna(3, 4), "(mobile=0301000003)", ["book04"]),
        (anna(1, 2), anna(2, 3), None, "(mobile=0301000002)", [OWN]),
    ],
    ids=[
        *("a number", "an address", "an address alone", "nothing", "the name alone", "not the name", "no chain"),
        *("the second book's", "found in one", "found in two", "found by the common number"),
    ],
)
def test_who_is_the_same_person(
    own: Contact, shared: Contact, later: Contact | None, text: str, books: list[str]
) -> None:
    """An entry is left out if its name and a number or an address are those of an entry shown before."""
    private = [(Sharing.PRIVATE, [anna(1, 2, 3)])] * 3
    held = [own], [shared], [later] if later else []
    dit = tree([*private, *((Sharing.SHARED if at else Sharing.PRIVATE, one) for at, one in enumerate(held))])
    found = entries_found(dit, VIEWER, text)
    assert sorted(entry.parent.uuid_namespace.partition("/")[2] for entry in found) == books


@pytest.mark.parametrize(
    ("other", "is_same"),
    [(anna(2, 3), True), (anna(3), False), (anna(mail="A@x.example"), True), (anna(2, name=LONG + " Meyer"), False)],
    ids=["a number", "nothing", "an address", "not the name"],
)
def test_two_entries_are_the_same_person(other: Contact, *, is_same: bool) -> None:
    """The rule by which the explanation of a search says why somebody is left out."""
    name = LONG + " Schulz" if other.name.startswith(LONG) else "Anna"
    first, second = (
        next(iter(book(CONTEXT, at, Sharing.SHARED, [one]).segments.contacts[0]))
        for at, one in enumerate([anna(1, 2, mail="a@x.example", name=name), other])
    )
    assert (is_same_person(first, second), is_same_person(second, first)) == (is_same, is_same)


def test_a_person_in_many_books_is_found_once() -> None:
    """Of books that are joined on one segment, which knows who may be there twice; others of that name stay."""
    anna = [Contact("", name="Anna", phones=(work_phone(at),)) for at in range(3)]
    dit = tree(
        [(Sharing.SHARED, [anna[at % 2], Contact("", name=f"Zoe {at:02}")]) for at in range(40)]
        + [(Sharing.SHARED, anna)]
    )
    [joined] = dit.directories[0].shared_books[Sharing.SHARED].contacts
    assert [joined.segment.duplicates[at] for at in range(len(joined.segment.entries))].count(1) == 42
    sought = read_filter("(objectClass=person)")
    request = SearchRequest(BASE, Scope.WHOLE_SUBTREE, sought, size_limit=0)
    found = [hit.entry for hit in all_matches(dit, VIEWER, request)]
    assert found == expected(dit, sought)
    assert [entry.attribute("cn") for entry in found][:4] == [(b"Anna",)] * 3 + [(b"Zoe 00",)]
    request = SearchRequest(BASE, Scope.WHOLE_SUBTREE, read_filter("(cn=anna)"))
    assert first_page(dit, VIEWER, request, 50) == (found[:3], False)


def test_namesakes_are_looked_at_once_each() -> None:
    """The work for people of one name in several books grows as their number does, not as its square."""

    def effort(count: int) -> int:
        same = [Contact("", name="Anna", phones=(work_phone(at),)) for at in range(count)]
        dit = tree([(Sharing.SHARED, same[at::4] + same[:2]) for at in range(4)])
        request = SearchRequest(BASE, Scope.WHOLE_SUBTREE, read_filter("(cn=anna)"))
        return work.calls(lambda: list(matches(dit, VIEWER, request)))

    few, many = effort(100), effort(400)
    assert many < 5 * few


def test_callers_of_one_name_are_looked_at_once_each() -> None:
    """However a name is written in a book that tells callers."""

    def effort(bits: int) -> int:
        told = [Contact("", name=written(at), phones=(work_phone(0),)) for at in range(1 << bits)]
        own = [Contact("", name="annamaria")]
        dit = tree([(Sharing.CALLERS, told), (Sharing.PRIVATE, []), (Sharing.PRIVATE, []), (Sharing.PRIVATE, own)])
        sought = read_filter("(|(cn=annamaria)(telephoneNumber=0301000000))")
        request = SearchRequest(BASE, Scope.WHOLE_SUBTREE, sought)
        assert len(all_matches(dit, VIEWER, request)) == 1 + (1 << bits)
        return work.calls(lambda: list(matches(dit, VIEWER, request)))

    few, many = effort(6), effort(8)
    assert many < 5 * few


def written(at: int) -> str:
    return "".join(letter.upper() if at >> place & 1 else letter for place, letter in enumerate("annamaria"))


def test_the_same_people_in_two_books_are_told_apart_with_few_breaths() -> None:
    """One for each slice of work, not one for each of them."""
    same = [Contact("", name=f"Anna {at}", phones=(work_phone(at),)) for at in range(1000)]
    dit = tree([(Sharing.SHARED, same), (Sharing.SHARED, same)])
    steps = list(matches(dit, VIEWER, SearchRequest(BASE, Scope.WHOLE_SUBTREE, read_filter("(cn=anna*)"))))
    assert len(steps) - steps.count(None) == 1000
    assert 5 <= steps.count(None) <= 40


def test_contact_points_are_read_once_until_they_are_forgotten() -> None:
    """Searches find the same people again and again; a deleted contact leaves nothing behind."""
    dit = tree([(Sharing.SHARED, [Contact("", name="Anna", phones=(NUMBERS[0],))])] * 2)
    request = SearchRequest(BASE, Scope.WHOLE_SUBTREE, FILTERS[0])
    dedup.forget_contact_points()
    for _ in range(2):
        assert len(all_matches(dit, VIEWER, request)) == 1
    found = dedup._cached_contact_points.cache_info()
    assert (found.misses, found.currsize) == (2, 2)
    dedup.forget_contact_points()
    assert dedup._cached_contact_points.cache_info().currsize == 0
