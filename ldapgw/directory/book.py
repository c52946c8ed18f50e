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
    NOTHING,
    Entry,
    FixedAttributes,
    ParentEntry,
    container_sort_key,
    special,
    structural_attributes,
)
from ldapgw.directory.inet_org_person import Binder, Bound
from ldapgw.directory.segment import Shelf, Shelves, no_shelves

# The ou of the book that holds a Workspace directory.
DIRECTORY = "directory"

# As many changes as are built into a book that is there, however small it is; which part of a larger one; and no more.
_FEW = 100
_PART = 8
_MOST = 2000

# In place of the entry of a book that is not built yet.
_BLANK = Entry(b"", NOTHING, FixedAttributes({}))


@dataclass(frozen=True, slots=True)
class Label:
    """A label's branch: contacts of the book again, for a search whose base is in it.

    :ivar name: its ou.
    :ivar container: its own entry.
    :ivar resources: the resource names of the groups that it stands for.
    """

    name: str
    container: Entry
    shelves: Shelves
    resources: frozenset[str] = frozenset()


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
    containers: Shelf
    shelves: Shelves
    labels: tuple[Label, ...] = ()
    unnamed: frozenset[str] = frozenset()

    def __len__(self) -> int:
        """How many contacts it has."""
        return len(self.shelves)


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
    place = place_of(context, key, name)
    blank = Book(key, name, sharing, _BLANK, Shelf(()), no_shelves(per_number=per_number))
    return _with(blank, context, place, contacts, (), labels)


def book_of(
    context: NamingContext,
    place: ParentEntry,
    key: str,
    name: str,
    sharing: Sharing,
    shelves: Shelves,
    labels: Iterable[Label] = (),
    unnamed: frozenset[str] = frozenset(),
) -> Book:
    """Put a book together of what was built before.

    :param place: where its contacts stand.
    :param labels: in the order of their entries.
    """
    ordered = tuple(labels)
    stands = container_sort_key(name, place.path)
    container = _unit(context, place, name, stands, subordinates=bool(len(shelves) or ordered))
    containers = Shelf.of((container, *(label.container for label in ordered)))
    return Book(key, name, sharing, container, containers, shelves, ordered, unnamed)


def label_of(
    context: NamingContext, place: ParentEntry, above: str, name: str, resources: frozenset[str], shelves: Shelves
) -> Label:
    """Put a label together.

    :param place: where its contacts stand.
    :param above: the order of its book's entry.
    """
    stands = container_sort_key(name, place.path, above)
    return Label(name, _unit(context, place, name, stands, subordinates=bool(len(shelves))), shelves, resources)


def place_of(context: NamingContext, key: str, name: str) -> ParentEntry:
    """Where the contacts of a book stand."""
    return ParentEntry(f"ou={escape(name)},{context.base}", f"{context.name}/{key}", rank=int(key == DIRECTORY))


def place_below(above: ParentEntry, label: str) -> ParentEntry:
    """Where the contacts of a label stand.

    :param above: its book's.
    """
    return ParentEntry(f"ou={escape(label)},{above.dn}", f"{above.path}/{folded(label)}")


def revise(
    book: Book, context: NamingContext, stored: Collection[Contact], gone: Collection[str], labels: Mapping[str, str]
) -> Book | None:
    """A book that differs from another one in a few contacts.

    :param stored: contacts that are new or different.
    :param gone: uids of contacts that are there no more, and maybe never were.
    :param labels: all labels, as in `build_book`.
    :returns: None: so much is different that the book is to be built anew.
    """
    if len(stored) + len(gone) > most_changes(book):
        return None
    held = {label.resources for label in book.labels}
    known = book.unnamed.union(*held)
    if any(one not in held and not known.isdisjoint(one) for _, one in _groups(labels)):
        return None
    return _with(book, context, place_of(context, book.key, book.name), stored, gone, labels)


def most_changes(book: Book) -> int:
    """How many changes are built into a book."""
    return max(_FEW, min(_MOST, len(book) // _PART))


def _with(
    book: Book,
    context: NamingContext,
    place: ParentEntry,
    stored: Iterable[Contact],
    gone: Iterable[str],
    labels: Mapping[str, str],
) -> Book:
    """The book with other contacts in it."""
    binder = Binder(context, place, per_number=book.shelves.per_number)
    is_new, named = book.container is _BLANK, frozenset(labels)
    old, groups = set(gone), set(book.unnamed).union(*(label.resources for label in book.labels))
    whole: list[Entry] = []
    singles: list[Entry] = []
    labelled = []
    # Of each of a million contacts nothing is kept but its entries, if that can be.
    for contact in stored:
        bound = binder.bind(contact)
        whole += bound.whole
        singles += bound.singles
        groups.update(contact.labels)
        if not named.isdisjoint(contact.labels):
            labelled.append((contact.labels, bound))
        if not is_new:
            old.add(contact.uid)
    del binder  # what contacts share is let go before the index is made
    shelves = book.shelves.revised(old, whole, singles)
    ordered = sorted(_labels(context, place, book, labelled, old, labels), key=lambda label: label.container.order)
    branches = tuple(ordered)
    unnamed = frozenset(groups.difference(*(label.resources for label in branches)))
    containers = [label.container for label in branches]
    if (
        not is_new
        and containers == [label.container for label in book.labels]
        and bool(len(book) or book.labels) == bool(len(shelves) or branches)
    ):
        return replace(book, shelves=shelves, labels=branches, unnamed=unnamed)
    return book_of(context, place, book.key, book.name, book.sharing, shelves, branches, unnamed)


def _labels(
    context: NamingContext,
    above: ParentEntry,
    book: Book,
    bound: Sequence[tuple[Sequence[str], Bound]],
    old: Collection[str],
    labels: Mapping[str, str],
) -> Iterator[Label]:
    """The labels with other contacts in them; one that stands for the same groups goes on, by whatever name."""
    stands = container_sort_key(book.name, above.path)
    before = {label.resources: label for label in book.labels}
    empty = no_shelves(per_number=book.shelves.per_number)
    for name, resources in _groups(labels):
        place = place_below(above, name)
        known = before.get(resources)
        stays = known is not None and known.name == name
        shelves = empty if known is None else known.shelves if stays else known.shelves.moved(place)
        members = [entries.moved(place) for groups, entries in bound if not resources.isdisjoint(groups)]
        whole = [entry for one in members for entry in one.whole]
        shelves = shelves.revised(old, whole, [entry for one in members for entry in one.singles])
        if known is not None and stays and bool(len(known.shelves)) == bool(len(shelves)):
            yield replace(known, shelves=shelves)
        else:
            yield label_of(context, place, stands, name, resources, shelves)


def _groups(labels: Mapping[str, str]) -> Collection[tuple[str, frozenset[str]]]:
    """The labels, with their groups; those whose names differ in case or blanks alone are one."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for resource, name in sorted(labels.items(), key=lambda item: (name_folding.collation(item[1]), item)):
        key = folded(name)
        if key:
            first, resources = found.get(key, (name, frozenset()))
            found[key] = first, resources | {resource}
    return found.values()


def _unit(context: NamingContext, place: ParentEntry, name: str, stands: str, *, subordinates: bool) -> Entry:
    attributes = {"objectClass": ("top", "organizationalUnit"), "ou": (name,)}
    operational = structural_attributes(place.dn, "organizationalUnit", place.path, subordinates=subordinates)
    return special(place.dn, attributes, operational, lenient=context.lenient, order=stands)
