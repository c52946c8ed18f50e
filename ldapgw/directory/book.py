# SPDX-License-Identifier: MIT
"""A book: the contacts of an account, of the Workspace directory or of a file, as entries that can be searched.

Building a book is slow and is done off the reactor's thread.  A book never changes.  An update makes another book,
which shares all unchanged segments with the previous book.  An updated book answers every search like a book that was
built anew.

A book file holds a book with its entries, indexes and labels, so that a start of the gateway need not build the book
again.  The entries below a label are the book's entries with another parent, so the file holds only references for a
label's entries.  The record of a deleted entry has no attributes.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice

import msgspec

from ldapgw.contact import Contact, Sharing
from ldapgw.directory import name_folding
from ldapgw.directory.dn import escape, folded
from ldapgw.directory.entry import Entry, EntryRecord, FixedAttributes, special_entry, structural_attributes
from ldapgw.directory.index import Index, RecordReader, RecordWriter
from ldapgw.directory.inet_org_person import ContactEntries, EntryFactory, ParentEntry
from ldapgw.directory.name_folding import container_sort_key
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.packed_attributes import NO_ATTRIBUTES, PackedAttributes
from ldapgw.directory.segment import Segment, Segments, empty_segments

# The ou of the book that holds a Workspace directory.
DIRECTORY = "directory"

# The label that stands for Google's star.
FAVOURITES = "Favourites"

# The beginning of the keys of files' books.  An account's key never begins like a file's key, because Google's keys
# have no colon.
FILE_PREFIX = "file:"

# The name of the viewer's own book in `NamingContext.book_order`.
OWN = "own"

# An update of a small book accepts up to `_MIN_CHANGES` changes.  An update of a larger book accepts one change per
# `_CHANGED_PART` contacts, and at most `_MAX_CHANGES`.  If there are more changes, the book is built anew.
_MIN_CHANGES = 100
_CHANGED_PART = 8
_MAX_CHANGES = 2000

# The version of the format of book files.  Raise the version by hand whenever the same contacts give a different file.
# Cached books of another version are built anew.  ``tests/sync/test_book_cache.py`` fails if the version was not
# raised.
FILE_FORMAT = 11

# The number of entries in one record of a book file.  Writing a record takes a millisecond.
_CHUNK = 1000

# The number that is written in place of a reference to a deleted entry.
_DELETED = (1 << 32) - 1

# The placeholder for a book's own entry while the book is built.
_BLANK = Entry(NO_ATTRIBUTES, FixedAttributes(b""))


@dataclass(frozen=True, slots=True)
class Label:
    """The branch of a label.

    Each contact with the label has a second entry in this branch.  Searches below the branch find the second entry.

    :ivar name: the value of the label's ou.
    :ivar container: the label's own entry.
    :ivar group_names: the resource names of the contact groups that the label stands for.
    """

    name: str
    container: Entry
    segments: Segments
    group_names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Book:
    """The contacts of one account, of the Workspace directory, or of a file.

    :ivar key: the key by which `Access` refers to the book; never changed while the account exists.
    :ivar name: the value of the book's ou.
    :ivar container: the book's own entry.
    :ivar containers: the book's own entry and the labels' entries.
    :ivar labels: the labels in the order of their entries.
    :ivar unlabelled_groups: the resource names of the contact groups for which the book has no label.  Contacts of the
        book belong or once belonged to the groups.
    :ivar shared_label: the folded name (`ldapgw.directory.dn.folded`) of the label if only the contacts with one label
        are shared; empty if all contacts are shared.
    :ivar shared_containers: the entries of `containers` that other viewers see.
    :ivar folded_name: `name`, folded (`ldapgw.directory.dn.folded`).
    :ivar contact_count: the number of contacts in the book.  This number and the folded name are stored, because a
        tenant's `Directory`, which is made anew after each change, needs the values of all books.
    """

    key: str
    name: str
    sharing: Sharing
    container: Entry
    containers: Segment
    segments: Segments
    labels: tuple[Label, ...] = ()
    unlabelled_groups: frozenset[str] = frozenset()
    shared_label: str = ""
    shared_containers: Segment = Segment(())  # noqa: RUF009  frozen
    folded_name: str = field(init=False, repr=False, compare=False)
    contact_count: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "folded_name", folded(self.name))
        object.__setattr__(self, "contact_count", len(self.segments))

    @property
    def shared_branch(self) -> Book | Label | None:
        """Return the shared part: the book, or the branch of the shared label; None if the book lacks this label."""
        if not self.shared_label:
            return self
        return next((label for label in self.labels if folded(label.name) == self.shared_label), None)

    @property
    def is_file(self) -> bool:
        """Return whether the book comes from a configured file, so that the configuration sets the book's sharing."""
        return self.key.startswith(FILE_PREFIX)

    def __len__(self) -> int:
        return self.contact_count


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
    """Build a book of contacts.

    :param labels: the names of labels; the keys are the resource names of the labels' contact groups.
    :param per_number: whether each number gets an entry, besides the entry for the contact.  Phones that show only one
        number of an entry need an entry for each number.
    """
    parent = book_parent(context, key, name)
    blank = Book(key, name, sharing, _BLANK, Segment(()), empty_segments(per_number=per_number))
    return _with_changes(blank, context, parent, contacts, (), labels)


def assemble_book(
    context: NamingContext,
    parent: ParentEntry,
    key: str,
    name: str,
    sharing: Sharing,
    segments: Segments,
    labels: Iterable[Label] = (),
    unlabelled_groups: frozenset[str] = frozenset(),
    *,
    shared_label: str,
) -> Book:
    """Assemble a book from segments that were built before.

    :param labels: the labels in the order of their entries.
    """
    ordered = tuple(labels)
    sort_key = container_sort_key(name, parent.uuid_namespace)
    container = _organizational_unit(context, parent, name, sort_key, subordinates=bool(len(segments) or ordered))
    containers = Segment.build((container, *(label.container for label in ordered)))
    book = Book(key, name, sharing, container, containers, segments, ordered, unlabelled_groups)
    return with_sharing(book, sharing, shared_label)


def with_sharing(book: Book, sharing: Sharing, shared_label: str) -> Book:
    """Return a copy of the book with other settings of sharing.

    :param shared_label: the name of a label if only the contacts with this label are shared; empty if all contacts are
        shared.
    """
    shared = replace(book, sharing=sharing, shared_label=folded(shared_label))
    branch = shared.shared_branch
    if branch is shared:
        containers = book.containers
    else:
        containers = Segment.build((book.container, branch.container)) if branch is not None else Segment(())
    return replace(shared, shared_containers=containers)


def assemble_label(
    context: NamingContext,
    parent: ParentEntry,
    book_sort_key: bytes,
    name: str,
    group_names: frozenset[str],
    segments: Segments,
) -> Label:
    """Assemble a label from segments that were built before."""
    sort_key = container_sort_key(name, parent.uuid_namespace, book_sort_key)
    container = _organizational_unit(context, parent, name, sort_key, subordinates=bool(len(segments)))
    return Label(name, container, segments, group_names)


def book_parent(context: NamingContext, key: str, name: str) -> ParentEntry:
    order = context.book_order
    position = order.index(folded(name)) if folded(name) in order else None
    # The books of `book_order` come first, then the viewer's own book, the shared books, and the Workspace directory.
    precedence = position if position is not None else len(order) + (2 if key == DIRECTORY else 1)
    own_precedence = min(precedence, order.index(OWN) if OWN in order else len(order))
    dn, uuid_namespace = f"ou={escape(name)},{context.base}", f"{context.name}/{key}"
    return ParentEntry(dn, uuid_namespace, precedence, own_precedence, position)


def label_parent(book: ParentEntry, label: str) -> ParentEntry:
    dn, uuid_namespace = f"ou={escape(label)},{book.dn}", f"{book.uuid_namespace}/{folded(label)}"
    # Other viewers may see the label in place of the book.  So the label's entries have the precedence that the book
    # has for other viewers.
    return ParentEntry(dn, uuid_namespace, book.precedence, book.precedence, book.book_position)


def update_book(
    book: Book,
    context: NamingContext,
    stored: Collection[Contact],
    deleted_uids: Collection[str],
    labels: Mapping[str, str],
) -> Book | None:
    """Return the book with a few contacts changed.

    :param stored: contacts that are new or different.
    :param deleted_uids: uids of contacts that were deleted; a uid that is not in the book has no effect.
    :returns: the book, or None if the book has to be built anew because of too many changes or a new label.
    """
    if len(stored) + len(deleted_uids) > max_changes(book):
        return None
    labelled = {label.group_names for label in book.labels}
    groups = book.unlabelled_groups.union(*labelled)
    # Contacts that did not change may have the new label too, so all contacts have to be read again.
    if any(names not in labelled and not groups.isdisjoint(names) for _, names in _groups(labels)):
        return None
    parent = _parent_in(book.segments, book_parent(context, book.key, book.name))
    return _with_changes(book, context, parent, stored, deleted_uids, labels)


def _parent_in(segments: Segments, parent: ParentEntry) -> ParentEntry:
    """Return the object for the parent of new and changed entries.

    If the entries in `segments` have a parent that equals `parent`, the result is the parent of these entries, because
    one parent object for all entries saves memory.  Otherwise the result is `parent`.
    """
    held = (segment.entries[0].parent for segment in segments.contacts if segment.entries)
    return next((entry for entry in held if entry == parent), parent)


def max_changes(book: Book) -> int:
    """Return the greatest number of changes that `update_book` accepts."""
    return max(_MIN_CHANGES, min(_MAX_CHANGES, len(book) // _CHANGED_PART))


def _with_changes(
    book: Book,
    context: NamingContext,
    parent: ParentEntry,
    stored: Iterable[Contact],
    deleted_uids: Iterable[str],
    labels: Mapping[str, str],
) -> Book:
    factory = EntryFactory(context, parent, per_number=book.segments.per_number)
    is_new, label_groups = book.container is _BLANK, frozenset(labels)
    old_uids, groups = (
        set(deleted_uids),
        set(book.unlabelled_groups).union(*(label.group_names for label in book.labels)),
    )
    contact_entries: list[Entry] = []
    number_entries: list[Entry] = []
    labelled = []
    # There may be a million contacts.  If `stored` is an iterator, the memory of each contact is freed once its entries
    # are made, because the loop keeps no contact.
    for contact in stored:
        entries = factory.entries_of(contact)
        contact_entries += entries.contact
        number_entries += entries.numbers
        groups.update(contact.labels)
        if not label_groups.isdisjoint(contact.labels):
            labelled.append((contact.labels, entries))
        if not is_new:
            old_uids.add(contact.uid)
    segments = book.segments.updated(old_uids, contact_entries, number_entries)
    new_labels = _labels(context, parent, book, labelled, old_uids, labels)
    ordered = tuple(sorted(new_labels, key=lambda label: label.container.sort_key))
    unlabelled_groups = frozenset(groups.difference(*(label.group_names for label in ordered)))
    containers = [label.container for label in ordered]
    if (
        not is_new
        and containers == [label.container for label in book.labels]
        and bool(len(book) or book.labels) == bool(len(segments) or ordered)
    ):
        return replace(book, segments=segments, labels=ordered, unlabelled_groups=unlabelled_groups)
    return assemble_book(
        context,
        parent,
        book.key,
        book.name,
        book.sharing,
        segments,
        ordered,
        unlabelled_groups,
        shared_label=book.shared_label,
    )


def _labels(
    context: NamingContext,
    book_parent: ParentEntry,
    book: Book,
    labelled: Sequence[tuple[Sequence[str], ContactEntries]],
    old_uids: Collection[str],
    labels: Mapping[str, str],
) -> Iterator[Label]:
    """Yield all labels of the book, updated with the changed contacts.

    A label is recognized by its contact groups.  A renamed label keeps its segments.

    :param labelled: the contact groups and the entries of each stored contact that has labels.
    """
    book_sort_key = container_sort_key(book.name, book_parent.uuid_namespace)
    labels_before = {label.group_names: label for label in book.labels}
    empty = empty_segments(per_number=book.segments.per_number)
    for name, group_names in _groups(labels):
        before = labels_before.get(group_names)
        same_name = before is not None and before.name == name
        parent = _parent_in(empty if before is None else before.segments, label_parent(book_parent, name))
        segments = empty if before is None else before.segments if same_name else before.segments.with_parent(parent)
        members = [entries.with_parent(parent) for groups, entries in labelled if not group_names.isdisjoint(groups)]
        contact_entries = [entry for entries in members for entry in entries.contact]
        number_entries = [entry for entries in members for entry in entries.numbers]
        segments = segments.updated(old_uids, contact_entries, number_entries)
        if before is not None and same_name and bool(len(before.segments)) == bool(len(segments)):
            yield replace(before, segments=segments)
        else:
            yield assemble_label(context, parent, book_sort_key, name, group_names, segments)


def _groups(labels: Mapping[str, str]) -> Collection[tuple[str, frozenset[str]]]:
    """Return each label's name and contact groups; labels whose names differ only in case or blanks are merged."""
    groups: dict[str, tuple[str, frozenset[str]]] = {}
    for group_name, name in sorted(labels.items(), key=lambda item: (name_folding.collation_key(item[1]), item)):
        key = folded(name)
        if key:
            first_name, group_names = groups.get(key, (name, frozenset()))
            groups[key] = first_name, group_names | {group_name}
    return groups.values()


def _organizational_unit(
    context: NamingContext, parent: ParentEntry, name: str, sort_key: bytes, *, subordinates: bool
) -> Entry:
    attributes = {"objectClass": ("top", "organizationalUnit"), "ou": (name,)}
    operational = structural_attributes(
        parent.dn, "organizationalUnit", parent.uuid_namespace, subordinates=subordinates
    )
    return special_entry(parent.dn, attributes, operational, lenient=context.lenient, sort_key=sort_key)


# --- book files ---


class _Container(msgspec.Struct, frozen=True, array_like=True):
    """A book or a label.

    :ivar groups: resource names of contact groups: a book's `unlabelled_groups`, or a label's `group_names`.
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


def write_book(book: Book, to: RecordWriter) -> None:
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


def read_book(source: RecordReader, context: NamingContext, sharing: Sharing) -> Book:
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
    # The file does not hold the shared label.  The caller sets the shared label before publishing the book.
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
    """Yield the entries' records in order.

    The record of a deleted entry holds only the sort key of the previous entry, so that the sort keys stay in order.
    """
    sort_key = b""
    for entry in _entries(segment):
        sort_key = entry.sort_key if entry else sort_key
        yield entry.to_record() if entry else (NO_ATTRIBUTES.values, NO_ATTRIBUTES.text, sort_key)


def _references(form: Sequence[Segment]) -> Mapping[bytes, int]:
    """Return the position of each entry among all entries of the segments; the keys are the entries' uids.

    The positions also count deleted entries, but the result has no position of a deleted entry.

    :param form: the book's segments with contact entries, or the book's segments with number entries.
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
    """Read a label's segment; the entries are entries of the book with another parent.

    :param form: all contact entries of the book, or all number entries of the book.
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
