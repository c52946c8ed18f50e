# SPDX-License-Identifier: MIT
"""A book with changes built into it: it finds what one finds that was built anew, and shares what has not changed."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.contact import Contact, Sharing
from ldapgw.directory import segment
from ldapgw.directory.access import Access, Viewer
from ldapgw.directory.book import Book, build_book, read_book, update_book, write_book
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.entry import Entry, select
from ldapgw.directory.filter import Filter, Present, Scope, SearchRequest
from ldapgw.directory.index import DamagedFile, RecordWriter, verified_records
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.packed_attributes import NO_ATTRIBUTES
from ldapgw.directory.search import search
from ldapgw.directory.segment import Segment, empty_segments
from ldapgw.directory.special_entries import Features
from ldapgw.errors import DirectoryError
from tests.support.examples import examples
from tests.support.filter_text import read_filter
from tests.support.phonebook import BASE, naming_context
from tests.support.phonebook.drawn import COMPANIES, NAMES, NUMBERS, contact, filters
from tests.support.phonebook.trees import all_matches, dit_of, first_page

GROUPS = ["contactGroups/1", "contactGroups/2", "contactGroups/3"]
LABEL_NAMES = ["Kunden", "kunden", "Müller & Söhne", "VIP", " "]
MOST = 1000

Labels = Mapping[str, str]

persons = st.builds(
    lambda at, name, numbers, company, groups: replace(
        contact(at, name, numbers, company, mail=True), labels=tuple(sorted(groups)), updated=float(at)
    ),
    st.integers(0, 9),
    st.sampled_from([*NAMES, ""]),
    st.lists(st.sampled_from(NUMBERS), max_size=3),
    st.sampled_from(COMPANIES),
    st.sets(st.sampled_from(GROUPS)),
)
labels = st.dictionaries(st.sampled_from(GROUPS), st.sampled_from(LABEL_NAMES))
changes = st.lists(
    st.tuples(
        st.lists(persons, max_size=3),
        st.sets(st.integers(0, 9), max_size=3),
        st.one_of(st.none(), labels),
        st.booleans(),
    ),
    min_size=1,
    max_size=5,
)


@dataclass
class Both:
    """One book that is revised again and again, and what it has to be like.

    :ivar anew: how often a revision was refused.
    """

    key: str
    sharing: Sharing
    lenient: bool = True
    contacts: dict[str, Contact] = field(default_factory=dict)
    labels: Labels = field(default_factory=dict)
    anew: int = 0

    def __post_init__(self) -> None:
        self.revised = self.built()

    def built(self) -> Book:
        context = naming_context(lenient=self.lenient)
        everybody = self.contacts.values()
        name = f"{self.key}@acme.example"
        return build_book(context, self.key, name, self.sharing, everybody, self.labels, per_number=True)

    def change(self, stored: list[Contact], gone: set[str], labels: Labels | None) -> None:
        new = {one.uid: one for one in stored}
        gone = gone - new.keys()
        self.contacts = {uid: one for uid, one in self.contacts.items() if uid not in gone} | new
        self.labels = self.labels if labels is None else labels
        context = naming_context(lenient=self.lenient)
        book = update_book(self.revised, context, tuple(new.values()), gone, self.labels)
        self.anew += book is None
        self.revised = book or self.built()


def reread(book: Book, context: NamingContext) -> Book:
    """The book written down and read."""
    file = BytesIO()
    to = RecordWriter(file)
    write_book(book, to)
    to.end()
    return read_book(verified_records(file), context, book.sharing)


def test_a_small_book_is_read_as_it_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an index, for it has none."""
    monkeypatch.setattr(segment, "INDEXED_FROM", 3)
    for count in (2, 3):
        people = [Contact(f"c{at}", name=f"Ada {at}") for at in range(count)]
        book = build_book(naming_context(), "a", "alice", Sharing.PRIVATE, people, {}, per_number=False)
        [written], [read] = book.segments.contacts, reread(book, naming_context()).segments.contacts
        assert [entry.to_record() for entry in read] == [entry.to_record() for entry in written]
        assert (written.index is None, read.index is None) == (count < 3, count < 3)


def outcome(dit: Dit, viewer: Viewer, request: SearchRequest) -> list[tuple[str, bytes]] | str:
    """All that a search tells, and that the first page tells the same if one slice of work is enough."""
    try:
        entries = [entry for entry in search(dit, viewer, request) if entry]
        seen = first_page(dit, viewer, request, MOST)
    except DirectoryError as error:
        return f"{error} {error.matched_dn}"
    assert seen in (None, (entries, False))
    whole = select(("*", "+"))
    return [(entry.dn, entry.encode(whole)) for entry in entries]


def bases(book: Book) -> list[str]:
    """Of the tenant, the book, its labels, and some of their contacts."""
    own = f"ou={book.name},{BASE}"
    branches = [own, *(f"ou={label.name},{own}" for label in book.labels)]
    return [BASE, *branches, *(f"uid={uid},{branch}" for branch in branches for uid in ("c0", "c1", "c1-1", "c2-2"))]


@pytest.mark.no_cover
@settings(max_examples=examples(100), deadline=None)
@given(
    changes,
    changes,
    st.lists(st.tuples(filters, st.integers(0, 99), st.sampled_from(Scope)), min_size=1, max_size=6),
    st.sampled_from(Sharing),
    st.sampled_from(["alice", "bob"]),
    st.booleans(),
    st.booleans(),
)
def test_a_revised_book_finds_what_a_new_one_finds(
    first: list[tuple[list[Contact], set[int], Labels | None, bool]],
    second: list[tuple[list[Contact], set[int], Labels | None, bool]],
    sought: list[tuple[Filter, int, Scope]],
    sharing: Sharing,
    key: str,
    per_number: bool,
    lenient: bool,
) -> None:
    """The two books agree after all changes, for all viewers, in both forms; the union of shared books is revised too.

    So does one that was written down and read again in between.
    """
    alice, bob = Both("alice", sharing, lenient), Both("bob", Sharing.SHARED, lenient)
    context = naming_context(lenient=lenient)
    directory = Directory(context)
    for both, done in ((alice, first), (bob, second)):
        for stored, gone, named, is_kept in done:
            both.change(stored, {f"c{at}" for at in gone}, named)
            if is_kept:
                both.revised = reread(both.revised, context)
            directory = Directory(context, (alice.revised, bob.revised), directory.shared_books)
    anew = Directory(context, (alice.built(), bob.built()))
    viewer = Viewer("cn=desk1", (Access("acme", (key,)),), per_number=per_number)
    where = bases(alice.revised)
    for one, at, scope in (*sought, (Present("objectClass"), 0, Scope.WHOLE_SUBTREE)):
        request = SearchRequest(where[at % len(where)], scope, one)
        trees = (Dit((tree,), Features("1")) for tree in (directory, anew))
        assert len({str(outcome(tree, viewer, request)) for tree in trees}) == 1
    assert len(alice.revised) == len(anew.books[0])


def book_of(count: int) -> Both:
    """Return a book of many contacts with two labels, one of them for two groups."""
    both = Both("alice", Sharing.PRIVATE)
    both.labels = KUNDEN | VIP
    everybody = [
        replace(
            contact(at, f"Person{at} {NAMES[at % 18]}", [NUMBERS[at % 12]], "", mail=False), labels=(GROUPS[at % 2],)
        )
        for at in range(count)
    ]
    both.contacts = {one.uid: one for one in everybody}
    both.revised = both.built()
    return both


@pytest.fixture(scope="module")
def large() -> Both:
    return book_of(240)


def names(book: Book, text: str, base: str = BASE) -> list[str]:
    dit = dit_of(book)
    request = SearchRequest(base, Scope.WHOLE_SUBTREE, read_filter(text))
    return [entry.attribute("cn")[0].decode() for entry in search(dit, VIEWER, request) if entry]


VIEWER = Viewer("cn=desk1", (Access("acme", ("alice",)),))


def test_a_change_shares_what_has_not_changed(large: Both) -> None:
    """The large segment keeps its entries and the encodings of them; what is new is on a small one."""
    both = copy(large)
    [before] = both.revised.segments.contacts
    whole = select(("cn",))
    for _ in range(2):
        [kept], _ = before.messages([7], whole)
    both.change([replace(both.contacts["c5"], name="Neu Er"), Contact("x1", name="Neu Sie")], {"c9", "unknown"}, None)
    base, small = both.revised.segments.contacts
    assert base.entries is before.entries
    assert (len(base), base.deleted.count(1), len(small)) == (238, 2, 2)
    assert base.messages([7], whole)[0][0] is kept
    assert both.revised.containers is large.revised.containers
    assert names(both.revised, "(cn=neu*)") == ["Neu Er", "Neu Sie"]
    assert names(both.revised, "(uid=c9)") == []


def test_changed_entries_share_their_parent(large: Both) -> None:
    """A book and each of its labels have one parent for all their entries, however many changes there were."""
    both = copy(large)
    for turn in range(3):
        both.change([replace(both.contacts[f"c{turn}"], title="new")], set(), None)
    for segments in (both.revised.segments, *(label.segments for label in both.revised.labels)):
        forms = (segments.contacts, segments.numbers)
        assert len({id(entry.parent) for form in forms for segment in form for entry in segment.entries}) == 1
    assert both.anew == 0


@pytest.mark.no_cover
def test_segments_stay_few(large: Both) -> None:
    """However often a book changes; and its entries are put together again now and then."""
    both = copy(large)
    most = 0
    for turn in range(40):
        both.change([replace(both.contacts[f"c{at}"], title=str(turn)) for at in range(turn, turn + 3)], set(), None)
        most = max(most, *map(len, (both.revised.segments.contacts, both.revised.segments.numbers)))
    assert most <= 3
    assert (both.anew, len(both.revised)) == (0, 240)
    for at in range(0, 120, 12):
        both.change([], {f"c{one}" for one in range(at, at + 12)}, None)
    assert sum(len(segment.entries) for segment in both.revised.segments.contacts) <= 120 * 8 / 7
    assert names(both.revised, "(objectClass=person)") == names(both.built(), "(objectClass=person)")


def test_a_label_is_renamed(large: Both) -> None:
    """Its contacts have other names, and are not read again."""
    both = copy(large)
    both.change([], set(), {**both.labels, GROUPS[0]: "Clients"})
    [label] = [label for label in both.revised.labels if label.name == "Clients"]
    assert both.anew == 0
    assert len(label.segments) == 120
    assert {entry.dn.partition(",")[2] for entry in label.segments.contacts[0]} == {
        f"ou=Clients,ou=alice@acme.example,{BASE}"
    }
    assert len(names(both.revised, "(cn=*)", f"ou=clients,ou=alice@acme.example,{BASE}")) == 120


KUNDEN, VIP, LATE = {GROUPS[0]: "Kunden"}, {GROUPS[1]: "VIP", GROUPS[2]: "vip"}, {"contactGroups/9": "Late"}
# The labels after each change, how often the book is built anew, and how many contacts each label has at last.
LABEL_CHANGES: dict[str, tuple[list[Labels], int, Mapping[str, int]]] = {
    "new": ([KUNDEN | VIP | LATE], 0, {"Kunden": 120, "VIP": 120, "Late": 0}),
    "gone": ([VIP], 0, {"VIP": 120}),
    "gone and back": ([VIP, KUNDEN | VIP], 1, {"Kunden": 120, "VIP": 120}),
    "one becomes two": ([KUNDEN | VIP | {GROUPS[2]: "other"}], 1, {"Kunden": 120, "VIP": 120, "other": 0}),
    "two become one": ([KUNDEN | {GROUPS[1]: "Kunden"}], 1, {"Kunden": 240}),
    "without a name": ([{GROUPS[0]: " "} | VIP], 0, {"VIP": 120}),
}


@pytest.mark.parametrize(("changed", "anew", "held"), LABEL_CHANGES.values(), ids=LABEL_CHANGES)
def test_labels_change(large: Both, changed: list[Labels], anew: int, held: Mapping[str, int]) -> None:
    """A book is built anew where it cannot know who is in a label."""
    both = copy(large)
    for labels in changed:
        both.change([], set(), labels)
    assert both.anew == anew
    assert {label.name: len(label.segments) for label in both.revised.labels} == held


def test_a_label_tells_whether_it_has_contacts() -> None:
    """A label's entry is made anew with its first contact, and when its last contact goes."""
    both = book_of(2)
    told = []
    for stored, gone in (([], {"c0"}), ([replace(both.contacts["c0"], title="x")], set())):
        both.change(stored, gone, None)
        [label, _] = both.revised.labels
        told.append((label.name, *label.container.operational()["hasSubordinates"]))
    assert (told, both.anew) == ([("Kunden", b"FALSE"), ("Kunden", b"TRUE")], 0)


def test_a_contact_may_be_in_a_group_before_that_is_a_label(large: Both) -> None:
    both = copy(large)
    both.change([Contact("x1", name="Ada", labels=tuple(LATE))], set(), None)
    both.change([], set(), KUNDEN | VIP | LATE)
    assert both.anew == 1
    assert [(label.name, len(label.segments)) for label in both.revised.labels] == [("Kunden", 120), ("Late", 1),
                                                                                   ("VIP", 120)]  # fmt: skip


@pytest.mark.parametrize(("count", "most"), [(240, 100), (840, 105)])
def test_too_many_changes_are_a_new_book(count: int, most: int) -> None:
    """Beyond a hundred and beyond an eighth it is no dearer, and has one segment."""
    both = book_of(count)
    everybody = list(both.contacts.values())
    both.change([replace(one, title="x") for one in everybody[:most]], set(), None)
    assert both.anew == 0
    both.change([replace(one, title="y") for one in everybody[:most]], {everybody[most].uid}, None)
    assert both.anew == 1
    assert len(both.revised.segments.contacts) == 1


def test_a_walk_goes_on_behind_a_place(large: Both) -> None:
    """Also one that was withdrawn meanwhile, and over both segments."""
    both = copy(large)
    dit = dit_of(both.revised)
    request = SearchRequest(BASE, Scope.WHOLE_SUBTREE, Present("uid"))
    hits = all_matches(dit, VIEWER, request)
    both.change([replace(both.contacts["c5"], name="Zzz")], {hits[119].entry.uid.decode()}, None)
    dit = dit_of(both.revised)
    rest = [hit.entry.dn for hit in all_matches(dit, VIEWER, request, hits[119].key)]
    assert rest == [hit.entry.dn for hit in all_matches(dit, VIEWER, request)][-len(rest) :]
    assert len(rest) in (120, 121)


def test_what_was_withdrawn_is_not_written_down(large: Both) -> None:
    """Neither a name nor a number of it; what is left stands in its order."""
    both = copy(large)
    both.change([], {f"c{at}" for at in range(0, 48, 2)}, None)
    read = reread(both.revised, naming_context())
    for segments in (read.segments, *(label.segments for label in read.labels)):
        for one in (*segments.contacts, *segments.numbers):
            orders = [entry.sort_key for entry in one.entries]
            assert orders == sorted(orders)
            gone = [entry for entry, withdrawn in zip(one.entries, one.deleted, strict=False) if withdrawn]
            assert {entry.to_record()[:2] for entry in gone} <= {
                Entry(NO_ATTRIBUTES, entry.parent).to_record()[:2] for entry in gone
            }
            assert {entry.sort_key for entry in gone} <= {b"", *(entry.sort_key for entry in one)}
    assert sum(one.deleted.count(1) for one in read.segments.contacts) == 24


def test_an_empty_segment_deletes_nothing() -> None:
    """Nobody is sought where nobody is."""
    empty = empty_segments(per_number=True)
    assert len(empty.updated({"c1"}, (), ())) == 0
    assert list(Segment.build(()).deleted_since(Segment.build(()))) == []


def test_one_who_was_deleted_from_a_label_is_not_written_down(large: Both) -> None:
    """Their place in the label's segment stays, without a name."""
    both = copy(large)
    [member] = [entry.uid.decode() for entry in list(both.revised.labels[0].segments.contacts[0])[:1]]
    both.change([], {member}, None)
    read = reread(both.revised, naming_context())
    [segment] = [one for one in read.labels[0].segments.contacts if one.deleted]
    assert [entry.uid for entry, gone in zip(segment.entries, segment.deleted, strict=True) if gone] == [b""]


# --- records of a file -----------------------------------------------------------------------------------------------


def written_records() -> bytes:
    file = BytesIO()
    to = RecordWriter(file)
    to.value(("acme", 7))
    to.numbers(array("I", [1, 2, 3]))
    to.end()
    return file.getvalue()


def test_records_are_read_as_they_were_written_records() -> None:
    """Values and arrays, in their order."""
    source = verified_records(BytesIO(written_records()))
    assert source.value(tuple[str, int]) == ("acme", 7)
    assert source.numbers("I") == array("I", [1, 2, 3])


@pytest.mark.parametrize(
    "octets",
    [b"", b"abc", written_records()[:-1], written_records() + b"x", written_records().replace(b"acme", b"acne")],
    ids=["empty", "short", "cut off", "longer", "changed"],
)
def test_a_file_that_is_not_whole_is_refused(octets: bytes) -> None:
    """By its length or its checksum."""
    with pytest.raises(DamagedFile):
        verified_records(BytesIO(octets))
