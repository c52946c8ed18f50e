# SPDX-License-Identifier: MIT
"""A book: the contacts of one account or of the Workspace directory as entries, ready to be searched.

Building is the slow part, done off the reactor's thread; nothing here changes afterwards.  What has changed is built
into another book, which shares all else with the one before, and finds what one would that was built anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ldapgw.contact import Contact, Sharing
from ldapgw.directory import fold, order
from ldapgw.directory.binder import Binder, Bound
from ldapgw.directory.dn import escape, folded
from ldapgw.directory.entry import Entry, special
from ldapgw.directory.naming import NamingContext
from ldapgw.directory.origin import Place, structure
from ldapgw.directory.shelf import Shelf
from ldapgw.directory.shelves import Shelves, no_shelves

# The ou of the book that holds a Workspace directory.
DIRECTORY = "directory"

# As many changes as are built into a book that is there, however small it is; which part of a larger one; and no more.
_FEW = 100
_PART = 8
_MOST = 2000


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
    empty = book_of(context, key, name, sharing, no_shelves(per_number=per_number))
    return _with(empty, context, contacts, (), labels)


def book_of(
    context: NamingContext,
    key: str,
    name: str,
    sharing: Sharing,
    shelves: Shelves,
    labels: Iterable[Label] = (),
    unnamed: frozenset[str] = frozenset(),
) -> Book:
    """Put a book together of what was built before."""
    place = place_of(context, key, name)
    ordered = tuple(sorted(labels, key=lambda label: label.container.order))
    stands = order.of_branch(name, place.path)
    container = _unit(context, place, name, stands, subordinates=bool(len(shelves) or ordered))
    containers = Shelf.of((container, *(label.container for label in ordered)))
    return Book(key, name, sharing, container, containers, shelves, ordered, unnamed)


def label_of(
    context: NamingContext, key: str, book: str, name: str, resources: frozenset[str], shelves: Shelves
) -> Label:
    """Put a label together.

    :param key: its book's.
    :param book: its book's name.
    """
    above = place_of(context, key, book)
    place = place_of(context, key, book, name)
    stands = order.of_branch(name, place.path, order.of_branch(book, above.path))
    return Label(name, _unit(context, place, name, stands, subordinates=bool(len(shelves))), shelves, resources)


def place_of(context: NamingContext, key: str, book: str, label: str | None = None) -> Place:
    """Where the contacts of a book stand, or those of its label."""
    place = Place(f"ou={escape(book)},{context.base}", f"{context.name}/{key}", rank=int(key == DIRECTORY))
    return place if label is None else Place(f"ou={escape(label)},{place.dn}", f"{place.path}/{folded(label)}")


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
    return _with(book, context, stored, gone, labels)


def most_changes(book: Book) -> int:
    """How many changes are built into a book."""
    return max(_FEW, min(_MOST, len(book) // _PART))


def _with(
    book: Book, context: NamingContext, stored: Iterable[Contact], gone: Iterable[str], labels: Mapping[str, str]
) -> Book:
    """The book with other contacts in it."""
    place = place_of(context, book.key, book.name)
    binder = Binder(context, place, per_number=book.shelves.per_number)
    old, bound = set(gone), []
    for contact in stored:
        old.add(contact.uid)
        bound.append((contact.labels, binder.bind(contact)))
    shelves = book.shelves.revised(old, (entries for _, entries in bound))
    branches = tuple(_labels(context, book, bound, old, labels))
    seen = book.unnamed.union(*(label.resources for label in book.labels), *(groups for groups, _ in bound))
    unnamed = frozenset(seen.difference(*(label.resources for label in branches)))
    made = book_of(context, book.key, book.name, book.sharing, shelves, branches, unnamed)
    same = bool(len(book) or book.labels) == bool(len(made) or made.labels)
    if same and [label.container for label in book.labels] == [label.container for label in made.labels]:
        return replace(made, container=book.container, containers=book.containers)
    return made


def _labels(
    context: NamingContext,
    book: Book,
    bound: Sequence[tuple[Sequence[str], Bound]],
    old: Collection[str],
    labels: Mapping[str, str],
) -> Iterator[Label]:
    """The labels with other contacts in them; one that stands for the same groups goes on, by whatever name."""
    before = {label.resources: label for label in book.labels}
    empty = no_shelves(per_number=book.shelves.per_number)
    for name, resources in _groups(labels):
        place = place_of(context, book.key, book.name, name)
        known = before.get(resources)
        stays = known is not None and known.name == name
        shelves = empty if known is None else known.shelves if stays else known.shelves.moved(place)
        members = (entries for groups, entries in bound if not resources.isdisjoint(groups))
        shelves = shelves.revised(old, (entries.moved(place) for entries in members))
        label = label_of(context, book.key, book.name, name, resources, shelves)
        if known is not None and stays and bool(len(known.shelves)) == bool(len(shelves)):
            label = replace(label, container=known.container)
        yield label


def _groups(labels: Mapping[str, str]) -> Collection[tuple[str, frozenset[str]]]:
    """The labels, with their groups; those whose names differ in case or blanks alone are one."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for resource, name in sorted(labels.items(), key=lambda item: (fold.collation(item[1]), item)):
        key = folded(name)
        if key:
            first, resources = found.get(key, (name, frozenset()))
            found[key] = first, resources | {resource}
    return found.values()


def _unit(context: NamingContext, place: Place, name: str, stands: str, *, subordinates: bool) -> Entry:
    attributes = {"objectClass": ("top", "organizationalUnit"), "ou": (name,)}
    operational = structure(place.dn, "organizationalUnit", place.path, subordinates=subordinates)
    return special(place.dn, attributes, operational, lenient=context.lenient, order=stands)
