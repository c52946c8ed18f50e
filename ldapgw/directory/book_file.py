# SPDX-License-Identifier: MIT
"""A book written down as it was built, so that it need not be built again: entries, indexes, labels.

A label's entries are those of its book at another place; they are written as references to them.  Of an entry that was
withdrawn nothing is written but that there was one.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice

import msgspec

from ldapgw.contact import Sharing
from ldapgw.directory import index_terms
from ldapgw.directory.access import NamingContext
from ldapgw.directory.book import Book, Label, book_of, label_of, place_below, place_of
from ldapgw.directory.entry import NOTHING, Entry, Flat, Packed, ParentEntry, container_sort_key
from ldapgw.directory.index import Index, Reader, Writer
from ldapgw.directory.inet_org_person import CLASSES
from ldapgw.directory.segment import Shelf, Shelves

# Raised by hand when the same contacts become another file: cached books of another format are built anew.
# ``tests/sync/test_book_cache.py`` notices when that was forgotten.
FORMAT = 1

# Entries that are written in one piece, which takes a millisecond.
_CHUNK = 1000

# In place of a reference: nobody.
_NOBODY = (1 << 32) - 1


class _Branch(msgspec.Struct, frozen=True, array_like=True):
    """A book or a label.

    :ivar groups: resource names of groups: those of a label, or those that a book has no label for.
    :ivar contacts: how many shelves it has.
    """

    name: str
    groups: tuple[str, ...]
    contacts: int
    numbers: int


class _Columns(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Some entries, column by column."""

    rdns: list[bytes]
    values: list[bytes]
    texts: list[str]
    orders: list[str]
    updated: list[float]


def write(book: Book, to: Writer) -> None:
    """Write a book down."""
    to.value((book.key, len(book.labels)))
    to.value(_branch(book.name, book.unnamed, book.shelves))
    for shelf in (*book.shelves.contacts, *book.shelves.numbers):
        _write_frame(to, shelf)
        flat = _flat(shelf)
        while some := tuple(islice(flat, _CHUNK)):
            to.value(_Columns(*map(list, zip(*some, strict=True))))
    forms = [_references(form) for form in (book.shelves.contacts, book.shelves.numbers)] if book.labels else []
    for label in book.labels:
        to.value(_branch(label.name, label.resources, label.shelves))
        for form, where in zip((label.shelves.contacts, label.shelves.numbers), forms, strict=True):
            for shelf in form:
                _write_frame(to, shelf)
                to.numbers(array("I", (where.get(rdn, _NOBODY) for rdn, *_ in _flat(shelf))))


def read(source: Reader, context: NamingContext, sharing: Sharing) -> Book:
    """The book that was written down."""
    key, count = source.value(tuple[str, int])
    own = source.value(_Branch)
    place = place_of(context, key, own.name)
    shelves = Shelves(*(tuple(_shelf(source, place) for _ in range(many)) for many in (own.contacts, own.numbers)))
    entries = [
        tuple(chain.from_iterable(shelf.entries for shelf in form)) for form in (shelves.contacts, shelves.numbers)
    ]
    above = container_sort_key(own.name, place.path)
    labels = [_label(source, context, place, above, entries) for _ in range(count)]
    return book_of(context, place, key, own.name, sharing, shelves, labels, frozenset(own.groups))


def _branch(name: str, groups: Iterable[str], shelves: Shelves) -> _Branch:
    return _Branch(name, tuple(sorted(groups)), len(shelves.contacts), len(shelves.numbers))


def _write_frame(to: Writer, shelf: Shelf) -> None:
    """All of a shelf but its entries."""
    to.value((len(shelf.entries), shelf.withdrawn))
    (shelf.index or Index.of(map(index_terms.of_entry, shelf.entries))).write(to)


def _flat(shelf: Shelf) -> Iterator[Flat]:
    """The entries; those that are withdrawn are empty, and stand where they stood."""
    last = ""
    for entry, gone in zip(shelf.entries, shelf.withdrawn or bytes(len(shelf.entries)), strict=True):
        last = last if gone else entry.order
        yield (b"", NOTHING.values, NOTHING.text, last, 0.0) if gone else entry.flat()


def _references(form: Sequence[Shelf]) -> Mapping[bytes, int]:
    """Where each entry that counts is among all that are written."""
    flat = chain.from_iterable(map(_flat, form))
    return {rdn: at for at, (rdn, *_) in enumerate(flat) if rdn}


def _shelf(source: Reader, place: ParentEntry) -> Shelf:
    count, withdrawn, index = _read_frame(source)
    entries: list[Entry] = []
    while len(entries) < count:
        some = source.value(_Columns)
        rows = zip(some.rdns, some.values, some.texts, some.orders, some.updated, strict=True)
        entries += [
            Entry(rdn, Packed(values, text), place, common=CLASSES, updated=updated, order=stands)
            for rdn, values, text, stands, updated in rows
        ]
    return Shelf(tuple(entries), index, withdrawn)


def _read_frame(source: Reader) -> tuple[int, bytes, Index]:
    count, withdrawn = source.value(tuple[int, bytes])
    return count, withdrawn, Index.read(source)


def _label(
    source: Reader, context: NamingContext, above: ParentEntry, stands: str, entries: Sequence[Sequence[Entry]]
) -> Label:
    own = source.value(_Branch)
    place = place_below(above, own.name)
    forms = [
        tuple(_moved(source, place, form) for _ in range(many))
        for many, form in zip((own.contacts, own.numbers), entries, strict=True)
    ]
    return label_of(context, place, stands, own.name, frozenset(own.groups), Shelves(*forms))


def _moved(source: Reader, place: ParentEntry, form: Sequence[Entry]) -> Shelf:
    """A shelf of entries that stand on others at another place."""
    _, withdrawn, index = _read_frame(source)
    found: list[Entry] = []
    last = ""
    for at in source.numbers("I"):
        entry = Entry(b"", NOTHING, place, order=last) if at == _NOBODY else form[at].moved(place)
        found.append(entry)
        last = entry.order
    return Shelf(tuple(found), index, withdrawn)
