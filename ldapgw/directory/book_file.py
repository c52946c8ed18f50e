# SPDX-License-Identifier: MIT
"""A book file holds a book with its entries, indexes and labels, so that the book need not be built again.

The entries below a label are the book's entries with another parent.  So the file holds references to the book's
entries in place of a label's entries.  A deleted entry is written as an empty record.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice

import msgspec

from ldapgw.contact import Sharing
from ldapgw.directory.book import Book, Label, assemble_book, assemble_label, book_parent, label_parent
from ldapgw.directory.entry import Entry, EntryRecord
from ldapgw.directory.index import Index, RecordReader, RecordWriter
from ldapgw.directory.inet_org_person import ParentEntry
from ldapgw.directory.name_folding import container_sort_key
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.packed_attributes import NO_ATTRIBUTES, PackedAttributes
from ldapgw.directory.segment import Segment, Segments

# The version of the format.  Raise this version by hand whenever the same contacts give a different file: cached books
# of another version are built anew.  ``tests/sync/test_book_cache.py`` fails if the version was not raised.
FORMAT = 10

# The number of entries in one record.  Writing a record takes a millisecond.
_CHUNK = 1000

# The number that is written in place of a reference to a deleted entry.
_DELETED = (1 << 32) - 1


class _Container(msgspec.Struct, frozen=True, array_like=True):
    """A book or a label.

    :ivar groups: resource names of contact groups: a label's groups, or the groups for which a book has no label.
    :ivar contacts: the number of segments with contact entries.
    :ivar numbers: the number of segments with number entries.
    """

    name: str
    groups: tuple[str, ...]
    contacts: int
    numbers: int


class _Columns(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The records of some entries (`Entry.to_record`), column by column."""

    values: list[bytes]
    texts: list[str]
    sort_keys: list[bytes]


def write(book: Book, to: RecordWriter) -> None:
    to.value((book.key, len(book.labels)))
    to.value(_container(book.name, book.unlabelled_groups, book.segments))
    for segment in (*book.segments.contacts, *book.segments.numbers):
        _write_header(to, segment)
        records = _records(segment)
        while chunk := tuple(islice(records, _CHUNK)):
            to.value(_Columns(*map(list, zip(*chunk, strict=True))))
    references = [_references(form) for form in (book.segments.contacts, book.segments.numbers)] if book.labels else []
    for label in book.labels:
        to.value(_container(label.name, label.group_names, label.segments))
        for form, numbers in zip((label.segments.contacts, label.segments.numbers), references, strict=True):
            for segment in form:
                _write_header(to, segment)
                to.numbers(array("I", (numbers[entry.uid] if entry else _DELETED for entry in _entries(segment))))


def read(source: RecordReader, context: NamingContext, sharing: Sharing) -> Book:
    key, count = source.value(tuple[str, int])
    container = source.value(_Container)
    parent = book_parent(context, key, container.name)
    segments = Segments(
        *(
            tuple(_read_segment(source, parent) for _ in range(length))
            for length in (container.contacts, container.numbers)
        )
    )
    entries = [
        tuple(chain.from_iterable(segment.entries for segment in form))
        for form in (segments.contacts, segments.numbers)
    ]
    sort_key = container_sort_key(container.name, parent.uuid_namespace)
    labels = [_read_label(source, context, parent, sort_key, entries) for _ in range(count)]
    groups = frozenset(container.groups)
    # The file does not tell which label is shared: the caller sets the shared label before publishing the book.
    return assemble_book(context, parent, key, container.name, sharing, segments, labels, groups, shared_label="")


def _container(name: str, groups: Iterable[str], segments: Segments) -> _Container:
    return _Container(name, tuple(sorted(groups)), len(segments.contacts), len(segments.numbers))


def _write_header(to: RecordWriter, segment: Segment) -> None:
    """Write everything of a segment except its entries."""
    to.value((len(segment.entries), segment.deleted, segment.index is not None))
    if segment.index is not None:
        segment.index.write(to)


def _entries(segment: Segment) -> Iterator[Entry | None]:
    """Yield the entries in their order, and None in place of a deleted entry."""
    for entry, deleted in zip(segment.entries, segment.deleted or bytes(len(segment.entries)), strict=True):
        yield None if deleted else entry


def _records(segment: Segment) -> Iterator[EntryRecord]:
    """Yield the entries' records in order; the record of a deleted entry has only the preceding entry's sort key."""
    sort_key = b""
    for entry in _entries(segment):
        sort_key = entry.sort_key if entry else sort_key
        yield entry.to_record() if entry else (NO_ATTRIBUTES.values, NO_ATTRIBUTES.text, sort_key)


def _references(form: Sequence[Segment]) -> Mapping[bytes, int]:
    """Return the position of each entry in the sequence of all entries; the keys are the entries' uids.

    Deleted entries count in the positions, but the result contains no deleted entries.

    :param form: the segments with all contact entries of a book, or the segments with all number entries of the book.
    """
    entries = chain.from_iterable(map(_entries, form))
    return {entry.uid: number for number, entry in enumerate(entries) if entry}


def _read_segment(source: RecordReader, parent: ParentEntry) -> Segment:
    count, deleted, index = _read_header(source)
    entries: list[Entry] = []
    while len(entries) < count:
        columns = source.value(_Columns)
        records = zip(columns.values, columns.texts, columns.sort_keys, strict=True)
        entries += [
            Entry(PackedAttributes(values, text), parent, sort_key=sort_key) for values, text, sort_key in records
        ]
    return Segment(tuple(entries), index, deleted)


def _read_header(source: RecordReader) -> tuple[int, bytes, Index | None]:
    count, deleted, is_indexed = source.value(tuple[int, bytes, bool])
    return count, deleted, Index.read(source) if is_indexed else None


def _read_label(
    source: RecordReader,
    context: NamingContext,
    book: ParentEntry,
    book_sort_key: bytes,
    entries: Sequence[Sequence[Entry]],
) -> Label:
    container = source.value(_Container)
    parent = label_parent(book, container.name)
    forms = [
        tuple(_read_label_segment(source, parent, form) for _ in range(length))
        for length, form in zip((container.contacts, container.numbers), entries, strict=True)
    ]
    return assemble_label(context, parent, book_sort_key, container.name, frozenset(container.groups), Segments(*forms))


def _read_label_segment(source: RecordReader, parent: ParentEntry, form: Sequence[Entry]) -> Segment:
    """Read a label's segment, whose entries are entries of the book with another parent.

    :param form: all contact entries of the book, or all its number entries.
    """
    _, deleted, index = _read_header(source)
    entries: list[Entry] = []
    sort_key = b""
    for number in source.numbers("I"):
        if number == _DELETED:
            entry = Entry(NO_ATTRIBUTES, parent, sort_key=sort_key)
        else:
            entry = form[number].with_parent(parent)
        entries.append(entry)
        sort_key = entry.sort_key
    return Segment(tuple(entries), index, deleted)
