# SPDX-License-Identifier: MIT
"""A book: the contacts of one account or of the Workspace directory as entries, ready to be searched.

Building is the slow part, done off the reactor's thread, once for each change; nothing here changes afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ldapgw.contact import Contact, Sharing
from ldapgw.directory import fold, order
from ldapgw.directory.binder import Binder, Bound
from ldapgw.directory.dn import escape, folded
from ldapgw.directory.entry import Entry, special
from ldapgw.directory.naming import NamingContext
from ldapgw.directory.origin import Place, structure
from ldapgw.directory.shelf import Shelf

# The ou of the book that holds a Workspace directory.
DIRECTORY = "directory"


@dataclass(frozen=True, slots=True)
class Shelves:
    """The same contacts in two forms: an entry for each contact, and an entry for each number (if wanted).

    Each form may be on several shelves, of which no two have an entry for the same contact.
    """

    contacts: tuple[Shelf, ...] = ()
    numbers: tuple[Shelf, ...] = ()

    def form(self, *, per_number: bool) -> tuple[Shelf, ...]:
        """The form that a viewer wants, as far as it was built."""
        return self.numbers if per_number and self.numbers else self.contacts

    def of_uid(self, uid: str) -> Entry | None:
        """An entry by the folded value of its uid, in either form."""
        found = (shelf.of_uid(uid) for shelf in (*self.contacts, *self.numbers))
        return next(filter(None, found), None)


@dataclass(frozen=True, slots=True)
class Label:
    """A label's branch: contacts of the book again, for a search whose base is in it.

    :ivar name: its ou.
    :ivar container: its own entry.
    """

    name: str
    container: Entry
    shelves: Shelves


@dataclass(frozen=True, slots=True)
class Book:
    """The contacts of one account, or of the Workspace directory.

    :ivar key: what access is granted by; the same for the life of an account.
    :ivar name: its ou.
    :ivar container: its own entry.
    :ivar containers: that, and its labels'.
    """

    key: str
    name: str
    sharing: Sharing
    container: Entry
    containers: Shelf
    shelves: Shelves
    labels: tuple[Label, ...] = ()

    def __len__(self) -> int:
        """How many contacts it has."""
        return sum(map(len, self.shelves.contacts))


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
    place = Place(f"ou={escape(name)},{context.base}", f"{context.name}/{key}", rank=int(key == DIRECTORY))
    binder = Binder(context, place, per_number=per_number)
    bound = [(contact, binder.bind(contact)) for contact in contacts]
    stands = order.of_branch(name, place.path)
    container = _unit(context, place, name, stands, subordinates=any(entries for _, entries in bound))
    shelves = _shelves((entries for _, entries in bound), per_number=per_number)
    branches = _labels(context, place, bound, labels, stands, per_number=per_number)
    ordered = tuple(sorted(branches, key=lambda label: label.container.order))
    containers = Shelf.of((container, *(label.container for label in ordered)))
    return Book(key, name, sharing, container, containers, shelves, ordered)


def _labels(
    context: NamingContext,
    book: Place,
    bound: list[tuple[Contact, Bound]],
    labels: Mapping[str, str],
    above: str,
    *,
    per_number: bool,
) -> Iterator[Label]:
    """The labels; those whose names differ in case or blanks alone are one."""
    groups: dict[str, tuple[str, set[str]]] = {}
    for resource, name in sorted(labels.items(), key=lambda item: (fold.collation(item[1]), item)):
        if folded(name):
            groups.setdefault(folded(name), (name, set()))[1].add(resource)
    for key, (name, resources) in groups.items():
        place = Place(f"ou={escape(name)},{book.dn}", f"{book.path}/{key}")
        members = [entries for contact, entries in bound if not resources.isdisjoint(contact.labels)]
        moved = [Bound(*(tuple(entry.moved(place) for entry in form) for form in entries)) for entries in members]
        stands = order.of_branch(name, place.path, above)
        container = _unit(context, place, name, stands, subordinates=any(members))
        yield Label(name, container, _shelves(moved, per_number=per_number))


def _shelves(bound: Iterable[Bound], *, per_number: bool) -> Shelves:
    wholes: list[Entry] = []
    singles: list[Entry] = []
    for entries in bound:
        wholes += entries.whole
        singles += entries.singles
    return Shelves((Shelf.of(wholes),), (Shelf.of(singles),) if per_number else ())


def _unit(context: NamingContext, place: Place, name: str, stands: str, *, subordinates: bool) -> Entry:
    attributes = {"objectClass": ("top", "organizationalUnit"), "ou": (name,)}
    operational = structure(place.dn, "organizationalUnit", place.path, subordinates=subordinates)
    return special(place.dn, attributes, operational, lenient=context.lenient, order=stands)
