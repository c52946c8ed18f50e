# SPDX-License-Identifier: MIT
"""A book: the contacts of one account or of the Workspace directory as entries, ready to be searched.

Building is the slow part, done off the reactor's thread; nothing here changes afterwards.  What has changed is built
into another book, which shares all else with the one before, and finds what one would that was built anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ldapgw.contact import Contact, Sharing
from ldapgw.directory import name_folding
from ldapgw.directory.access import NamingContext
from ldapgw.directory.dn import escape, folded
from ldapgw.directory.entry import (
    NO_ATTRIBUTES,
    Entry,
    FixedAttributes,
    ParentEntry,
    container_sort_key,
    special_entry,
    structural_attributes,
)
from ldapgw.directory.inet_org_person import ContactEntries, EntryFactory
from ldapgw.directory.segment import Segment, Segments, empty_segments

# The ou of the book that holds a Workspace directory.
DIRECTORY = "directory"

# As many changes as are built into a book that is there, however small it is; which part of a larger one; and no more.
_MIN_CHANGES = 100
_CHANGED_PART = 8
_MAX_CHANGES = 2000

# In place of the entry of a book that is not built yet.
_BLANK = Entry(b"", NO_ATTRIBUTES, FixedAttributes({}))


@dataclass(frozen=True, slots=True)
class Label:
    """A label's branch: contacts of the book again, for a search whose base is in it.

    :ivar name: its ou.
    :ivar container: its own entry.
    :ivar resources: the resource names of the groups that it stands for.
    """

    name: str
    container: Entry
    segments: Segments
    group_names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Book:
    """The contacts of one account, or of the Workspace directory.

    :ivar key: what access is granted by; the same for the life of an account.
    :ivar name: its ou.
    :ivar container: its own entry.
    :ivar containers: that, and its labels'.
    :ivar unnamed: resource names of groups that its contacts are in, or were, and that have no label.
    """

    key: str
    name: str
    sharing: Sharing
    container: Entry
    containers: Segment
    segments: Segments
    labels: tuple[Label, ...] = ()
    unlabelled_groups: frozenset[str] = frozenset()

    def __len__(self) -> int:
        """How many contacts it has."""
        return len(self.segments)


def build_book(
    context: NamingContext,
    key: str,
    name: str,
    sharing: Sharing,
    contacts: Iterable[Contact],
    labels: Mapping[str, str],
    *,
    per_number: bool,
) -> Book:
    """Make a book of contacts.

    :param name: the value of its ou; what a person sees of it.
    :param labels: the labels' names by their group resource names.
    :param per_number: also build one entry for each number, for phones that show one number alone.
    """
    place = book_parent(context, key, name)
    blank = Book(key, name, sharing, _BLANK, Segment(()), empty_segments(per_number=per_number))
    return _with_changes(blank, context, place, contacts, (), labels)


def assemble_book(
    context: NamingContext,
    place: ParentEntry,
    key: str,
    name: str,
    sharing: Sharing,
    shelves: Segments,
    labels: Iterable[Label] = (),
    unnamed: frozenset[str] = frozenset(),
) -> Book:
    """Put a book together of what was built before.

    :param place: where its contacts stand.
    :param labels: in the order of their entries.
    """
    ordered = tuple(labels)
    stands = container_sort_key(name, place.uuid_namespace)
    container = _organizational_unit(context, place, name, stands, subordinates=bool(len(shelves) or ordered))
    containers = Segment.build((container, *(label.container for label in ordered)))
    return Book(key, name, sharing, container, containers, shelves, ordered, unnamed)


def assemble_label(
    context: NamingContext, place: ParentEntry, above: str, name: str, resources: frozenset[str], shelves: Segments
) -> Label:
    """Put a label together.

    :param place: where its contacts stand.
    :param above: the order of its book's entry.
    """
    stands = container_sort_key(name, place.uuid_namespace, above)
    return Label(
        name, _organizational_unit(context, place, name, stands, subordinates=bool(len(shelves))), shelves, resources
    )


def book_parent(context: NamingContext, key: str, name: str) -> ParentEntry:
    """Where the contacts of a book stand."""
    return ParentEntry(f"ou={escape(name)},{context.base}", f"{context.name}/{key}", precedence=int(key == DIRECTORY))


def label_parent(above: ParentEntry, label: str) -> ParentEntry:
    """Where the contacts of a label stand.

    :param above: its book's.
    """
    return ParentEntry(f"ou={escape(label)},{above.dn}", f"{above.uuid_namespace}/{folded(label)}")


def update_book(
    book: Book,
    context: NamingContext,
    stored: Collection[Contact],
    deleted_uids: Collection[str],
    labels: Mapping[str, str],
) -> Book | None:
    """A book that differs from another one in a few contacts.

    :param stored: contacts that are new or different.
    :param gone: uids of contacts that are there no more, and maybe never were.
    :param labels: all labels, as in `build_book`.
    :returns: None: so much is different that the book is to be built anew.
    """
    if len(stored) + len(deleted_uids) > max_changes(book):
        return None
    held = {label.group_names for label in book.labels}
    known = book.unlabelled_groups.union(*held)
    if any(one not in held and not known.isdisjoint(one) for _, one in _groups(labels)):
        return None
    return _with_changes(book, context, book_parent(context, book.key, book.name), stored, deleted_uids, labels)


def max_changes(book: Book) -> int:
    """How many changes are built into a book."""
    return max(_MIN_CHANGES, min(_MAX_CHANGES, len(book) // _CHANGED_PART))


def _with_changes(
    book: Book,
    context: NamingContext,
    place: ParentEntry,
    stored: Iterable[Contact],
    gone: Iterable[str],
    labels: Mapping[str, str],
) -> Book:
    """The book with other contacts in it."""
    binder = EntryFactory(context, place, per_number=book.segments.per_number)
    is_new, named = book.container is _BLANK, frozenset(labels)
    old, groups = set(gone), set(book.unlabelled_groups).union(*(label.group_names for label in book.labels))
    whole: list[Entry] = []
    singles: list[Entry] = []
    labelled = []
    # Of each of a million contacts nothing is kept but its entries, if that can be.
    for contact in stored:
        bound = binder.entries_of(contact)
        whole += bound.contact
        singles += bound.numbers
        groups.update(contact.labels)
        if not named.isdisjoint(contact.labels):
            labelled.append((contact.labels, bound))
        if not is_new:
            old.add(contact.uid)
    del binder  # what contacts share is let go before the index is made
    shelves = book.segments.updated(old, whole, singles)
    ordered = sorted(_labels(context, place, book, labelled, old, labels), key=lambda label: label.container.sort_key)
    branches = tuple(ordered)
    unnamed = frozenset(groups.difference(*(label.group_names for label in branches)))
    containers = [label.container for label in branches]
    if (
        not is_new
        and containers == [label.container for label in book.labels]
        and bool(len(book) or book.labels) == bool(len(shelves) or branches)
    ):
        return replace(book, segments=shelves, labels=branches, unlabelled_groups=unnamed)
    return assemble_book(context, place, book.key, book.name, book.sharing, shelves, branches, unnamed)


def _labels(
    context: NamingContext,
    above: ParentEntry,
    book: Book,
    bound: Sequence[tuple[Sequence[str], ContactEntries]],
    old: Collection[str],
    labels: Mapping[str, str],
) -> Iterator[Label]:
    """The labels with other contacts in them; one that stands for the same groups goes on, by whatever name."""
    stands = container_sort_key(book.name, above.uuid_namespace)
    before = {label.group_names: label for label in book.labels}
    empty = empty_segments(per_number=book.segments.per_number)
    for name, resources in _groups(labels):
        place = label_parent(above, name)
        known = before.get(resources)
        stays = known is not None and known.name == name
        shelves = empty if known is None else known.segments if stays else known.segments.with_parent(place)
        members = [entries.with_parent(place) for groups, entries in bound if not resources.isdisjoint(groups)]
        whole = [entry for one in members for entry in one.contact]
        shelves = shelves.updated(old, whole, [entry for one in members for entry in one.numbers])
        if known is not None and stays and bool(len(known.segments)) == bool(len(shelves)):
            yield replace(known, segments=shelves)
        else:
            yield assemble_label(context, place, stands, name, resources, shelves)


def _groups(labels: Mapping[str, str]) -> Collection[tuple[str, frozenset[str]]]:
    """The labels, with their groups; those whose names differ in case or blanks alone are one."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for resource, name in sorted(labels.items(), key=lambda item: (name_folding.collation_key(item[1]), item)):
        key = folded(name)
        if key:
            first, resources = found.get(key, (name, frozenset()))
            found[key] = first, resources | {resource}
    return found.values()


def _organizational_unit(
    context: NamingContext, place: ParentEntry, name: str, stands: str, *, subordinates: bool
) -> Entry:
    attributes = {"objectClass": ("top", "organizationalUnit"), "ou": (name,)}
    operational = structural_attributes(place.dn, "organizationalUnit", place.uuid_namespace, subordinates=subordinates)
    return special_entry(place.dn, attributes, operational, lenient=context.lenient, sort_key=stands)
