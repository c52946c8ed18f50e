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
from ldapgw.directory.book import Book, Label, assemble_book, assemble_label, book_parent, label_parent
from ldapgw.directory.entry import NO_ATTRIBUTES, Entry, EntryRecord, PackedAttributes, ParentEntry, container_sort_key
from ldapgw.directory.index import Index, RecordReader, RecordWriter
from ldapgw.directory.inet_org_person import CLASSES
from ldapgw.directory.segment import Segment, Segments

# Raised by hand when the same contacts become another file: cached books of another format are built anew.
# ``tests/sync/test_book_cache.py`` notices when that was forgotten.
FORMAT = 1

# Entries that are written in one piece, which takes a millisecond.
_CHUNK = 1000

# In place of a reference: nobody.
_DELETED = (1 << 32) - 1


class _Container(msgspec.Struct, frozen=True, array_like=True):
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


def write(book: Book, to: RecordWriter) -> None:
    """Write a book down."""
    to.value((book.key, len(book.labels)))
    to.value(_container(book.name, book.unlabelled_groups, book.segments))
    for shelf in (*book.segments.contacts, *book.segments.numbers):
        _write_header(to, shelf)
        flat = _records(shelf)
        while some := tuple(islice(flat, _CHUNK)):
            to.value(_Columns(*map(list, zip(*some, strict=True))))
    forms = [_references(form) for form in (book.segments.contacts, book.segments.numbers)] if book.labels else []
    for label in book.labels:
        to.value(_container(label.name, label.group_names, label.segments))
        for form, where in zip((label.segments.contacts, label.segments.numbers), forms, strict=True):
            for shelf in form:
                _write_header(to, shelf)
                to.numbers(array("I", (where.get(rdn, _DELETED) for rdn, *_ in _records(shelf))))


def read(source: RecordReader, context: NamingContext, sharing: Sharing) -> Book:
    """The book that was written down."""
    key, count = source.value(tuple[str, int])
    own = source.value(_Container)
    place = book_parent(context, key, own.name)
    shelves = Segments(
        *(tuple(_read_segment(source, place) for _ in range(many)) for many in (own.contacts, own.numbers))
    )
    entries = [
        tuple(chain.from_iterable(shelf.entries for shelf in form)) for form in (shelves.contacts, shelves.numbers)
    ]
    above = container_sort_key(own.name, place.uuid_namespace)
    labels = [_read_label(source, context, place, above, entries) for _ in range(count)]
    return assemble_book(context, place, key, own.name, sharing, shelves, labels, frozenset(own.groups))


def _container(name: str, groups: Iterable[str], shelves: Segments) -> _Container:
    return _Container(name, tuple(sorted(groups)), len(shelves.contacts), len(shelves.numbers))


def _write_header(to: RecordWriter, shelf: Segment) -> None:
    """All of a shelf but its entries."""
    to.value((len(shelf.entries), shelf.deleted))
    (shelf.index or Index.build(map(index_terms.entry_terms, shelf.entries))).write(to)


def _records(shelf: Segment) -> Iterator[EntryRecord]:
    """The entries; those that are withdrawn are empty, and stand where they stood."""
    last = ""
    for entry, gone in zip(shelf.entries, shelf.deleted or bytes(len(shelf.entries)), strict=True):
        last = last if gone else entry.sort_key
        yield (b"", NO_ATTRIBUTES.values, NO_ATTRIBUTES.text, last, 0.0) if gone else entry.to_record()


def _references(form: Sequence[Segment]) -> Mapping[bytes, int]:
    """Where each entry that counts is among all that are written."""
    flat = chain.from_iterable(map(_records, form))
    return {rdn: at for at, (rdn, *_) in enumerate(flat) if rdn}


def _read_segment(source: RecordReader, place: ParentEntry) -> Segment:
    count, withdrawn, index = _read_header(source)
    entries: list[Entry] = []
    while len(entries) < count:
        some = source.value(_Columns)
        rows = zip(some.rdns, some.values, some.texts, some.orders, some.updated, strict=True)
        entries += [
            Entry(rdn, PackedAttributes(values, text), place, shared=CLASSES, updated=updated, sort_key=stands)
            for rdn, values, text, stands, updated in rows
        ]
    return Segment(tuple(entries), index, withdrawn)


def _read_header(source: RecordReader) -> tuple[int, bytes, Index]:
    count, withdrawn = source.value(tuple[int, bytes])
    return count, withdrawn, Index.read(source)


def _read_label(
    source: RecordReader, context: NamingContext, above: ParentEntry, stands: str, entries: Sequence[Sequence[Entry]]
) -> Label:
    own = source.value(_Container)
    place = label_parent(above, own.name)
    forms = [
        tuple(_read_label_segment(source, place, form) for _ in range(many))
        for many, form in zip((own.contacts, own.numbers), entries, strict=True)
    ]
    return assemble_label(context, place, stands, own.name, frozenset(own.groups), Segments(*forms))


def _read_label_segment(source: RecordReader, place: ParentEntry, form: Sequence[Entry]) -> Segment:
    """A shelf of entries that stand on others at another place."""
    _, withdrawn, index = _read_header(source)
    found: list[Entry] = []
    last = ""
    for at in source.numbers("I"):
        entry = Entry(b"", NO_ATTRIBUTES, place, sort_key=last) if at == _DELETED else form[at].with_parent(place)
        found.append(entry)
        last = entry.sort_key
    return Segment(tuple(found), index, withdrawn)
