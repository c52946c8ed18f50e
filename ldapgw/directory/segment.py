# SPDX-License-Identifier: MIT
"""A segment: entries in sort order, with an index, and encoded messages for frequent attribute selections.

A segment is built once.  A book has few segments: `Segments` says when segments are merged.

Two answers with the same entries differ only by the messageID in each message (RFC 4511 4.1.1), so entries are cached
as whole messages with `PLACEHOLDER_ID`.  The sender joins the messages, and replaces all placeholders by the messageID
in one pass.  Phones of one model send the same attribute selection, so messages are cached for the few selections that
are requested again and again.  A whole list is cached as *pages* of messages.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final, NamedTuple, Self

from ldapgw.ber import SEQUENCE, head
from ldapgw.directory import index_terms, query_plan
from ldapgw.directory.dn import folded
from ldapgw.directory.entry import PLACEHOLDER, PLACEHOLDER_ID, Entry, Parent, Selection
from ldapgw.directory.index import Index
from ldapgw.directory.interruptible import interruptible
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.normalization import SWITCHBOARD_MARK, lines_of
from ldapgw.directory.packed_attributes import octets_of
from ldapgw.directory.query_plan import ExactKey, Query
from ldapgw.directory.schema import ATTRIBUTE_TYPES

# The maximum number of attribute selections whose messages are cached.  In a segment of 100,000 entries, one selection
# takes some 25 MiB.
_MAX_SELECTIONS: Final = 4
# The maximum number of attribute selections that are remembered but not cached.  A remembered selection may be cached
# when the selection is requested again.
_MAX_CANDIDATE_SELECTIONS: Final = 12

# The number of entries on a page.  The number of the first document of each page is a multiple of `PAGE_SIZE`.
PAGE_SIZE: Final = 192
# The maximum number of octets of a page that is cached.
MAX_PAGE_OCTETS: Final = 64 << 10
# The maximum number of attribute selections whose pages are cached.
_MAX_PAGED_SELECTIONS: Final = 2

# The messages of a page, and the octet that stands in place of the messageID.  The messages contain the octet nowhere
# else.
Page = tuple[bytes, bytes]
# The value for a page that is not cached because it has too many octets.
NO_PAGE: Final[Page] = (b"", b"")

_SORT_KEY: Final = attrgetter("sort_key")
_OBJECT_CLASS: Final = next(kind for kind in ATTRIBUTE_TYPES if kind.name == "objectClass")


def set_message_id(messages: bytes, message_id: bytes, *, is_plain: bool) -> bytes:
    """Put a messageID in place of the placeholder in messages.

    :param message_id: one octet, from 1 to 127.
    :param is_plain: whether the messages contain the placeholder's octet only as the messageID, and not in a BER
        length.  In plain messages, only one octet is searched and replaced, so that the server answers 9 % more
        searches by name per second.
    """
    if is_plain:
        return messages.replace(PLACEHOLDER, message_id)
    return messages.replace(PLACEHOLDER_ID, b"\x02\x01" + message_id + b"\x64")


def response_of(message: bytes) -> bytes:
    """Return the SearchResultEntry in a message whose messageID is the placeholder."""
    return message[message.index(PLACEHOLDER_ID) + 3 :]


def _message(response: bytes) -> bytes:
    message = head(SEQUENCE, 3 + len(response)) + PLACEHOLDER_ID[:3] + response
    # The BER length of a value of 131,583 octets can look like the placeholder, but no contact has so long a value.
    if message.count(PLACEHOLDER_ID) > 1:
        raise ValueError("an entry holds the octets that stand for the messageID")
    return message


class _SelectionMessages:
    """The messages of one attribute selection.

    :ivar messages: the message of each document; empty if nobody has requested the entry.
    :ivar odd: the documents whose messages contain the octet `PLACEHOLDER` not only as the messageID, but also in a BER
        length.
    """

    __slots__ = ("messages", "odd")

    def __init__(self, count: int) -> None:
        self.messages = [b""] * count
        self.odd: set[int] = set()


class _KeptMessages:
    """The cached messages of a segment's entries, for the attribute selections that are requested again and again.

    A selection is cached from its second request on.  If the cache is full, the new selection may replace the cached
    selection that was requested least recently.  The condition is that the new selection has been requested twice since
    the last request for this cached selection.  So the cache does not change while all cached selections are requested
    again and again.

    Mutable: the cached messages, and the requested selections.
    """

    __slots__ = ("_count", "_kept", "_last", "_requested")

    def __init__(self, count: int) -> None:
        self._count = count
        self._kept: dict[Selection, _SelectionMessages] = {}
        # The remembered selections, in the order of their last requests.
        self._requested: dict[Selection, None] = {}
        self._last: Selection | None = None

    def of(self, selection: Selection) -> _SelectionMessages | None:
        """Note a request for a selection; return the cached messages, or None if the selection is not cached."""
        kept = self._kept.get(selection)
        if selection is self._last and kept is not None:
            return kept
        self._last = selection
        if kept is None and selection in self._requested:
            kept = self._keep(selection)
        elif kept is None and len(self._requested) == _MAX_SELECTIONS + _MAX_CANDIDATE_SELECTIONS:
            del self._requested[next(requested for requested in self._requested if requested not in self._kept)]
        self._requested.pop(selection, None)
        self._requested[selection] = None
        return kept

    def has(self, documents: Sequence[int], selection: Selection) -> bool:
        kept = self._kept.get(selection)
        return kept is not None and all([kept.messages[document] for document in documents])  # noqa: C419  compiled

    def _keep(self, selection: Selection) -> _SelectionMessages | None:
        """Begin to cache a selection, if there is room or another selection may be replaced."""
        if len(self._kept) == _MAX_SELECTIONS:
            first = next(
                requested for requested in self._requested if requested is selection or requested in self._kept
            )
            if first is selection:
                return None
            del self._kept[first], self._requested[first]
        kept = self._kept[selection] = _SelectionMessages(self._count)
        return kept


def _sorted_entries(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Sort entries by their sort keys; other threads may run meanwhile, because the entries are sorted in parts."""
    parts: dict[bytes, list[Entry]] = {}
    for entry in interruptible(entries):
        parts.setdefault(entry.sort_key[:2], []).append(entry)
    ordered: list[Entry] = []
    for beginning in interruptible(sorted(parts)):
        ordered += sorted(parts[beginning], key=_SORT_KEY)
    return tuple(ordered)


# The minimum number of entries that get an index.  Testing fewer entries takes a few microseconds, and an index takes
# five times the memory of its entries.
INDEXED_FROM = 32


class Segment:
    """Entries that are searched together.

    Mutable: the messages that are cached.

    :ivar entries: the entries in their order; an entry's number is its *document*.
    :ivar index: the index, or None if there are so few entries that a search tests all entries.
    :ivar deleted: a flag for each document: whether the entry is deleted; empty if no entry is deleted.
    :ivar duplicates: a flag for each document: whether its entry and an entry of another book in this segment may be
        one person; empty if there are no duplicates.
    """

    __slots__ = (
        *("_has_switchboards", "_messages", "_object_classes", "_pages", "_tag_letters", "deleted", "duplicates"),
        *("entries", "index"),
    )

    def __init__(
        self,
        entries: tuple[Entry, ...],
        index: Index | None = None,
        deleted: bytes = b"",
        duplicates: bytes = b"",
        same_entries: Segment | None = None,
    ) -> None:
        """Assemble a segment from parts that were built before.

        :param same_entries: a segment with the same entries, whose messages are shared.
        """
        self.entries = entries
        self.index = index
        self.deleted = deleted
        self.duplicates = duplicates
        self._messages: _KeptMessages = _KeptMessages(len(entries)) if same_entries is None else same_entries._messages  # noqa: SLF001
        self._pages: dict[Selection, dict[int, Page]] = {} if same_entries is None else same_entries._pages  # noqa: SLF001
        self._tag_letters: frozenset[str] | None = None
        self._object_classes: frozenset[str] | None = None
        self._has_switchboards: bool | None = None

    @classmethod
    def build(cls, entries: Iterable[Entry]) -> Segment:
        """Sort entries, and build an index if there are at least `INDEXED_FROM` entries."""
        ordered = _sorted_entries(entries)
        is_indexed = len(ordered) >= INDEXED_FROM
        return cls(ordered, index_terms.build_index(ordered) if is_indexed else None)

    def __len__(self) -> int:
        """Return the number of entries that are not deleted."""
        return len(self.entries) - self.deleted.count(1)

    def __iter__(self) -> Iterator[Entry]:
        """Yield the entries that are not deleted."""
        for at, entry in enumerate(self.entries):
            if not (self.deleted and self.deleted[at]):
                yield entry

    def with_deleted(self, documents: Iterable[int]) -> Segment:
        """Return a copy with more documents deleted."""
        deleted = bytearray(self.deleted or bytes(len(self.entries)))
        for document in documents:
            deleted[document] = 1
        return Segment(self.entries, self.index, bytes(deleted), self.duplicates, self)

    def with_parent(self, parent: Parent) -> Segment:
        """Return a copy below another parent, with the same index."""
        return Segment(tuple([entry.with_parent(parent) for entry in self.entries]), self.index, self.deleted)

    def with_duplicates(self, duplicates: bytes) -> Segment:
        """Return a copy with flags of duplicates (see `Segment`)."""
        return Segment(self.entries, self.index, self.deleted, duplicates, self)

    def has_duplicates(self, documents: Iterable[int]) -> bool:
        """Return whether any of these documents is flagged as a possible duplicate."""
        return bool(self.duplicates) and any(map(self.duplicates.__getitem__, documents))

    def deleted_since(self, before: Segment) -> Iterator[Entry]:
        """Yield the entries that are deleted here and not yet in `before`, an older version of this segment."""
        if self.deleted:
            kept = before.deleted or bytes(len(self.entries))
            pairs = zip(self.entries, kept, self.deleted, strict=True)
            for entry, deleted_before, deleted in pairs:
                if deleted and not deleted_before:
                    yield entry

    # --- finding ----------------------------------------------------------------------------------------------------

    def find_documents(self, query: Query, start: int = 0) -> Sequence[int]:
        """Return the documents at or after `start` that a query finds, ascending; deleted documents may be included."""
        found = None if self.index is None else query_plan.find_documents(query, self.index, self.entries)
        if found is None:
            return range(start, len(self.entries))
        return found[bisect_left(found, start) :] if start else found

    def next_documents(self, query: Query, start: int) -> tuple[Sequence[int], bool]:
        """Return documents as `find_documents` does, and whether there may be more documents behind them."""
        found = None if self.index is None else query_plan.documents_of_prefixes(query, self.index, start)
        return (self.find_documents(query, start), False) if found is None else found

    def document_from(self, sort_key: bytes) -> int:
        """Return the first document whose sort key equals or follows the given key."""
        return bisect_left(self.entries, sort_key, key=_SORT_KEY)

    def document_after(self, sort_key: bytes) -> int:
        """Return the first document whose sort key follows the given key."""
        return bisect_right(self.entries, sort_key, key=_SORT_KEY)

    def document_of_uid(self, uid: str) -> int | None:
        """Return the document with exactly this uid; None if there is no such document, or only a deleted document."""
        found, octets = self._uid_documents(folded(uid)), octets_of(uid)
        return next((document for document in found if self.entries[document].uid == octets), None)

    def entry_of_uid(self, uid: str) -> Entry | None:
        """Return the entry of a uid, or None if there is no such entry.

        :param uid: folded (`ldapgw.directory.dn.folded`).
        """
        found = [self.entries[document] for document in self._uid_documents(uid)]
        return next((entry for entry in found if folded(entry.uid.decode()) == uid), None)

    def _uid_documents(self, uid: str) -> Sequence[int]:
        deleted, documents = self.deleted, self.find_documents(ExactKey(index_terms.uid_key(uid)))
        return [document for document in documents if not (deleted and deleted[document])]

    @property
    def tag_letters(self) -> frozenset[str]:
        """Return the letters of the entries' attributes (`Entry.tagged_texts`).

        If the segment has an index, the letter of aliases is left out.
        """
        if self._tag_letters is None:
            self._tag_letters = frozenset(
                index_terms.present_attributes(self.index)
                if self.index
                else {text[0] for entry in self for text in entry.tagged_texts()}
            )
        return self._tag_letters

    @property
    def object_classes(self) -> frozenset[str]:
        """Return the object classes that entries have, each between two line breaks, as in a search text."""
        if self._object_classes is None:
            texts = () if self.index else {entry.search_text(_OBJECT_CLASS) or "" for entry in self}
            lines = [f"\n{line}\n" for text in texts for line in lines_of(text)]
            self._object_classes = frozenset(index_terms.present_object_classes(self.index) if self.index else lines)
        return self._object_classes

    @property
    def has_switchboards(self) -> bool:
        """Return whether any entry has the number of a switchboard (`ldapgw.directory.caller_id`)."""
        if self._has_switchboards is None:
            self._has_switchboards = (
                index_terms.has_switchboards(self.index)
                if self.index
                else any(f"{SWITCHBOARD_MARK}\t" in entry.text for entry in self)
            )
        return self._has_switchboards

    # --- messages ---------------------------------------------------------------------------------------------------

    def messages(self, documents: Sequence[int], selection: Selection) -> tuple[list[bytes], bool]:
        """Return the LDAPMessage of each document's SearchResultEntry, with `PLACEHOLDER_ID`.

        The cache of messages makes searches by name nine times as fast (``scripts/bench parts``).

        :returns: the messages, and whether all of these messages are plain (`is_plain` in `set_message_id`).
        """
        entries = self.entries
        kept = None if selection.has_photos else self._messages.of(selection)
        if kept is None:
            return self.encoded(documents, selection), False
        messages, odd = kept.messages, kept.odd
        found = [messages[document] for document in documents]
        if not all(found):
            for document in documents:
                if not messages[document]:
                    message = messages[document] = _message(entries[document].encode(selection))
                    if message.count(PLACEHOLDER) > 1:
                        odd.add(document)
            found = [messages[document] for document in documents]
        return found, not odd or odd.isdisjoint(documents)

    def is_kept(self, documents: Sequence[int], selection: Selection) -> bool:
        """Return whether the messages of all these documents are cached."""
        return self._messages.has(documents, selection)

    def encoded(self, documents: Sequence[int], selection: Selection) -> list[bytes]:
        """Encode the messages that `messages` returns, without caching the messages.

        A BER length in a message may contain the octet `PLACEHOLDER` (`set_message_id`).
        """
        entries = self.entries
        return [_message(entries[document].encode(selection)) for document in documents]

    def page(self, first: int, selection: Selection) -> Page | None:
        """Return a page; `NO_PAGE` if the page has too many octets to be cached, None if the page is not cached.

        Pages make reading whole books seven times as fast (``scripts/bench parts``).

        :param first: the page's first document.
        """
        pages = self._pages.get(selection)
        return None if pages is None else pages.get(first)

    def keep_page(self, first: int, selection: Selection, messages: list[bytes]) -> None:
        """Cache a page.

        :param messages: the messages of all entries of the page (`encoded`).
        """
        pages = self._pages.get(selection)
        if pages is None:
            if len(self._pages) == _MAX_PAGED_SELECTIONS:
                del self._pages[next(iter(self._pages))]
            pages = self._pages[selection] = {}
        pages[first] = _page(messages)


def _page(messages: list[bytes]) -> Page:
    joined = b"".join(messages)
    if len(joined) <= MAX_PAGE_OCTETS:
        # In a cached page, the placeholder for the messageID is an octet that occurs nowhere else in the page.  So
        # replacing this octet sets the messageID of all messages at once.  Different pages may need different octets,
        # because any octet may be in a BER length, even an octet such as 0xC0 that UTF-8 never contains.
        unused = next((octet for octet in range(0xFF, -1, -1) if octet not in joined), None)
        if unused is not None:
            placeholder = bytes((unused,))
            return joined.replace(PLACEHOLDER_ID, PLACEHOLDER_ID.replace(PLACEHOLDER, placeholder)), placeholder
    return NO_PAGE


# `Segments` explains the merging of segments.  A segment is also built anew if more than 1/`_MERGE_FACTOR` of its
# entries are deleted.
_MERGE_FACTOR: Final = 8


def new_edition() -> object:
    """Return a new object, which identifies an edition of a book's segments.

    The field `Segments.edition` has the type `Any` and the factory `new_edition`, because a compiled dataclass accepts
    `object` neither as the type nor as the factory.
    """
    return object()


@dataclass(frozen=True, slots=True)
class Segments:
    """The contacts of a book or a label, in two forms: an entry for each contact, and one entry per number.

    Each form has one segment with nearly all entries, and small segments with entries that changed later.  No two
    segments of a form have an entry for the same contact.  Deleted entries are marked in their segment.  New entries go
    into a new segment.  An older segment is merged into the new segment if the older segment has less than
    `_MERGE_FACTOR` times the entries of the new segment.  The rule keeps the number of segments small, and an entry is
    merged only a few times.

    :ivar numbers: the segments with one entry per number; empty if no phone needs this form.
    :ivar edition: an object that no other segments have.  A cache holds the edition in place of the contacts, so that
        the contacts' memory can be freed.
    """

    contacts: tuple[Segment, ...] = ()
    numbers: tuple[Segment, ...] = ()
    edition: Any = field(default_factory=new_edition, init=False, repr=False, compare=False)

    def __len__(self) -> int:
        """Return the number of contacts."""
        return sum(map(len, self.contacts))

    @property
    def per_number(self) -> bool:
        """Return whether the segments with an entry per number were built."""
        return bool(self.numbers)

    def form(self, *, per_number: bool) -> tuple[Segment, ...]:
        """Return the segments with an entry per number, or the segments with an entry per contact.

        :param per_number: whether the caller wants an entry per number.  If the segments with an entry per number were
            not built, the segments with an entry per contact are returned.
        """
        return self.numbers if per_number and self.numbers else self.contacts

    def entry_of_uid(self, uid: str) -> Entry | None:
        """Return the entry with a folded uid: the entry of a contact, or the entry of one number."""
        for segment in (*self.contacts, *self.numbers):
            entry = segment.entry_of_uid(uid)
            if entry is not None:
                return entry
        return None

    def entries_of(self, uids: Sequence[str], *, per_number: bool) -> Iterator[Entry]:
        """Yield the entries of contacts in one of the two forms (`form`).

        :param uids: the uids of the contacts.
        """
        find_documents = _number_documents if per_number and self.numbers else _contact_documents
        for segment in self.form(per_number=per_number):
            for document in find_documents(segment, uids):
                yield segment.entries[document]

    def updated(
        self, deleted_uids: Collection[str], contact_entries: Iterable[Entry], number_entries: Iterable[Entry]
    ) -> Segments:
        """Return the segments with some contacts removed and other contacts added.

        :param deleted_uids: uids of contacts to remove; a uid that is in no segment has no effect.
        :param contact_entries: the new entries, one for each contact.
        :param number_entries: the new entries, one for each number of these contacts.
        """
        contacts = _updated(self.contacts, deleted_uids, _contact_documents, [*contact_entries])
        numbers = _updated(self.numbers, deleted_uids, _number_documents, [*number_entries])
        return Segments(contacts, numbers if self.per_number else ())

    def with_parent(self, parent: Parent) -> Segments:
        """Return a copy below another parent."""
        return Segments(
            *(tuple(segment.with_parent(parent) for segment in form) for form in (self.contacts, self.numbers))
        )


def empty_segments(*, per_number: bool) -> Segments:
    """Return the segments of a book without contacts."""
    return Segments((Segment.build(()),), (Segment.build(()),) if per_number else ())


def _contact_documents(segment: Segment, uids: Iterable[str]) -> Iterable[int]:
    """Return the documents of contacts, by their uids."""
    return [document for uid in uids if (document := segment.document_of_uid(uid)) is not None]


def _number_documents(segment: Segment, uids: Iterable[str]) -> Iterator[int]:
    """Yield the documents of contacts' numbers.

    The numbers of a contact are in one segment, and their uids end in -1, -2 and so on.
    """
    for uid in uids:
        at = 1
        while (document := segment.document_of_uid(f"{uid}-{at}")) is not None:
            yield document
            at += 1


def _updated(
    segments: Sequence[Segment],
    deleted_uids: Collection[str],
    find_documents: Callable[[Segment, Collection[str]], Iterable[int]],
    new: list[Entry],
) -> tuple[Segment, ...]:
    left: list[Segment] = []
    for segment in segments:
        deleted = tuple(find_documents(segment, deleted_uids)) if len(segment) else ()
        left.append(segment.with_deleted(deleted) if deleted else segment)
    while left and len(left[-1]) < _MERGE_FACTOR * len(new):
        new += left.pop()
    kept = [
        segment if segment.deleted.count(1) * _MERGE_FACTOR <= len(segment.entries) else Segment.build(segment)
        for segment in left
    ]
    if new or not kept:
        kept.append(Segment.build(new))
    return tuple(segment for segment in kept if len(segment)) or (kept[0],)


# --- matches in segments --------------------------------------------------------------------------------------------


class ResultBatch:
    """Matches of one segment, in their order; a batch never changes.

    :ivar documents: the matches' documents in the segment.
    :ivar key_prefix: the octets in front of the sort key of each entry.  The matches of a search are sorted by the
        prefix and the sort key together (`Match.key`).
    """

    __slots__ = ("context", "documents", "key_prefix", "segment")

    def __init__(self, segment: Segment, documents: Sequence[int], key_prefix: bytes, context: NamingContext) -> None:
        self.segment = segment
        self.documents = documents
        self.key_prefix = key_prefix
        self.context = context

    def __len__(self) -> int:
        """Return the number of matches."""
        return len(self.documents)

    def entries(self) -> list[Entry]:
        entries = self.segment.entries
        return [entries[document] for document in self.documents]

    def part(self, start: int, end: int) -> ResultBatch:
        return ResultBatch(self.segment, self.documents[start:end], self.key_prefix, self.context)


class Match(NamedTuple):
    """A single match.

    :ivar key: the key by which the matches of a search are sorted; an entry has the same key in each search.
    """

    key: bytes
    entry: Entry
    context: NamingContext


# --- what a search covers ---------------------------------------------------------------------------------------------

# The maximum number of containers that are tested one by one.  For few containers, tests are faster than lookups in the
# containers' indexes.
_FEW: Final = 16


@dataclass(frozen=True, slots=True)
class SearchScope:
    """The part of a tenant's tree that a search covers.

    :ivar containers: the entries of the tenant, of books and of labels; or the single entry at the base.
    :ivar contacts: the contacts that the viewer may browse.
    :ivar callers: contacts of books that are open for caller ID only.
    :ivar own_namespaces: the UUID namespaces of the viewer's own books.  If a person is in several books, the search
        shows the entry in the first own book, unless the tenant has another order of books.
    :ivar left_out: sort keys of contacts that an earlier scope of the same search covers.
    :ivar may_have_duplicates: whether the contacts come from several books, so that the same person may be in more than
        one book.
    :ivar only_segment: the segment of all contacts, if there is only one segment and its entries have no possible
        duplicates; otherwise None.
    :ivar container_tag_letters: the letters that stand for the containers' attributes (`Entry.tagged_texts`).
    :ivar container_classes: the object classes that containers have (`Segment.object_classes`).
    :ivar container_entries: the containers' entries if there are few containers; empty if there are many.
    """

    context: NamingContext
    containers: tuple[Segment, ...] = ()
    contacts: tuple[Segment, ...] = ()
    callers: tuple[Segment, ...] = ()
    own_namespaces: tuple[str, ...] = ()
    may_have_duplicates: bool = False
    left_out: frozenset[bytes] = frozenset()
    only_segment: Segment | None = field(init=False, repr=False, compare=False)
    container_tag_letters: frozenset[str] = field(init=False, repr=False, compare=False)
    container_classes: frozenset[str] = field(init=False, repr=False, compare=False)
    container_entries: tuple[Entry, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Compute the fields that allow `ldapgw.directory.search.first_matches` to answer without a cursor."""
        first = self.contacts[0] if len(self.contacts) == 1 else None
        only = None if first is None or (self.may_have_duplicates and first.duplicates) else first
        object.__setattr__(self, "only_segment", only)
        is_few = sum([len(segment.entries) for segment in self.containers]) <= _FEW
        entries = tuple([entry for segment in self.containers for entry in segment]) if is_few else ()
        object.__setattr__(self, "container_entries", entries)
        tag_letters = frozenset[str]().union(*[segment.tag_letters for segment in self.containers])
        object.__setattr__(self, "container_tag_letters", tag_letters)
        classes = frozenset[str]().union(*[segment.object_classes for segment in self.containers])
        object.__setattr__(self, "container_classes", classes)

    @classmethod
    def of(cls, context: NamingContext, *entries: Entry) -> Self:
        """Return the scope of a few entries, without their child entries."""
        return cls(context, (Segment(tuple(sorted(entries, key=_SORT_KEY))),) if entries else ())
