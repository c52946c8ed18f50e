# SPDX-License-Identifier: MIT
"""Which attribute selections a shelf keeps its entries encoded for: those that are asked for again and again.

Phones of a few models ask in turn, each for its own.  A selection is kept from its second request on.  Where there is
no room, it takes the place of the one that was not asked for for longest, if that was not asked for since its own first
request: of more selections than are kept, all in use, the first ones stay.

Whole lists: entries that stand side by side on a shelf, as they are sent one behind the other.

An answer differs from the next one by its message id alone, which stands in each message.  So a block keeps messages
with a sign in place of it that is nowhere else in them; to replace that makes an answer of it, in one walk through
octets that lie side by side, whatever the number of entries.

A shelf: entries in their order, with an index, and as they were encoded last.

Everything but the encodings is built once and never changed.  Those are kept for the few attribute selections that are
asked for again and again, as phones of a few models do, and grow as entries are asked for.

The shelves of a book or a label: one with nearly all contacts, and small ones with those that have changed since.

A change costs what it changes: old entries are withdrawn from the shelf that they stand on, and new ones are put on
another shelf, together with all those that stand on shelves not much larger.  So there are few shelves, and an entry
is put on another one a few times at most.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, overload

from ldapgw.ber import SEQUENCE, head
from ldapgw.directory import entry, index_terms, query_plan
from ldapgw.directory.dn import escape, folded
from ldapgw.directory.entry import Entry, ParentEntry, Selection, octets_of
from ldapgw.directory.index import Index
from ldapgw.directory.query_plan import Query

# Attribute selections whose encodings are kept: one is some 25 MiB where a shelf has 100,000 entries.
_MAX_SELECTIONS: Final = 4

# Others that are known to have been asked for.
_MAX_CANDIDATE_SELECTIONS: Final = 12

# Encoded entries by position; None: nobody has asked for that one.
EncodedList = list[bytes | None]


class EncodedEntries:
    """Entries of a shelf as they were encoded.

    Mutable: what is kept, and what was asked for.

    :param count: of the entries.
    """

    __slots__ = ("_asked", "_count", "_kept", "_last")

    def __init__(self, count: int) -> None:
        self._count = count
        self._kept: dict[Selection, EncodedList] = {}
        # By their last request if they are kept, otherwise by their first.
        self._asked: dict[Selection, None] = {}
        self._last: Selection | None = None

    def for_selection(self, selection: Selection) -> EncodedList | None:
        """What is kept for a selection; None: nothing, it is not asked for often enough."""
        kept = self._kept.get(selection)
        if selection is self._last and kept is not None:
            return kept
        self._last = selection
        if kept is None and selection in self._asked:
            kept = self._keep(selection)
        elif kept is None and len(self._asked) == _MAX_SELECTIONS + _MAX_CANDIDATE_SELECTIONS:
            del self._asked[next(one for one in self._asked if one not in self._kept)]
        self._asked.pop(selection, None)
        self._asked[selection] = None
        return kept

    def _keep(self, selection: Selection) -> EncodedList | None:
        """Begin to keep it, where there is room or one has to go."""
        if len(self._kept) == _MAX_SELECTIONS:
            first = next(one for one in self._asked if one is selection or one in self._kept)
            if first is selection:
                return None
            del self._kept[first], self._asked[first]
        kept = self._kept[selection] = [None] * self._count
        return kept


# Entries of a block; each begins at a multiple of it.  One is about what is written at once.
PAGE_SIZE: Final = 192
# Octets of a block that is kept, and of what is written at once (`ldapgw.ldap.limits.JOINED`).
MAX_PAGE_OCTETS: Final = 64 << 10
# Attribute selections whose blocks are kept: one is some 25 MiB where there are 100,000 entries.
_MAX_PAGED_SELECTIONS: Final = 2

# Octets of a message id that blocks are for, its tag and length included: from 1 to 127, as nearly all are.
_ID_OCTETS: Final = 3

# Messages, and the sign in place of their ids; no messages: there is no such sign, or too much to be kept.
EncodedPage = tuple[bytes, bytes]


class EncodedPages:
    """The blocks of a shelf's entries, made when they are first asked for.

    Mutable: what is kept.
    """

    __slots__ = ("_entries", "_kept")

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._kept: dict[Selection, dict[int, EncodedPage]] = {}

    def at(self, first: int, count: int, selection: Selection, message_id: bytes) -> bytes | None:
        """The messages of so many entries from a position on; None where there is no block of them.

        :param message_id: an INTEGER, as it stands in each.
        """
        if first % PAGE_SIZE or count != min(PAGE_SIZE, len(self._entries) - first) or len(message_id) != _ID_OCTETS:
            return None
        kept = self._kept.get(selection)
        if kept is None:
            if len(self._kept) == _MAX_PAGED_SELECTIONS:
                del self._kept[next(iter(self._kept))]
            kept = self._kept[selection] = {}
        block = kept.get(first)
        if block is None:
            responses = [entry.encode(selection) for entry in self._entries[first : first + count]]
            block = kept[first] = _encode_page(responses, message_id[:-1])
        messages, sign = block
        return messages.replace(sign, message_id[-1:]) if messages else None


def _encode_page(responses: Sequence[bytes], before: bytes) -> EncodedPage:
    """A block.

    :param before: the tag and the length of the message id.
    """
    heads = [head(SEQUENCE, _ID_OCTETS + len(response)) + before for response in responses]
    pieces = [*heads, *responses]
    if sum(map(len, pieces)) + len(heads) > MAX_PAGE_OCTETS:
        return b"", b""
    used = b"".join(pieces)
    for octet in range(0xFF, -1, -1):
        if octet not in used:
            sign = bytes((octet,))
            return b"".join([start + sign + response for start, response in zip(heads, responses, strict=True)]), sign
    return b"", b""


# Positions that are looked through at once for entries that do not count; of more, each is when its turn comes.
_FEW: Final = 1000

_SORT_KEY = attrgetter("order")


class Left(Sequence[int]):
    """Ascending positions without those of entries that do not count, which are looked for when they are asked for.

    So one begins at once, however many there are.  Its length is that with them, and a part of it may be shorter than
    the positions that it was cut by.
    """

    __slots__ = ("_positions", "_withdrawn")

    def __init__(self, positions: Sequence[int], withdrawn: bytes) -> None:
        self._positions = positions
        self._withdrawn = withdrawn

    def __len__(self) -> int:
        return len(self._positions)

    def __iter__(self) -> Iterator[int]:
        withdrawn = self._withdrawn
        return (position for position in self._positions if not withdrawn[position])

    @overload
    def __getitem__(self, at: int) -> int: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[int]: ...

    def __getitem__(self, at: int | slice) -> int | Sequence[int]:
        """A part of it; or what stands at a place, whether it counts or not, as bisection asks."""
        if isinstance(at, int):
            return self._positions[at]
        withdrawn = self._withdrawn
        return [position for position in self._positions[at] if not withdrawn[position]]


class Segment:
    """Entries that are searched together.

    :ivar entries: in their order.
    :ivar index: of them; None: they are few, and all are looked at.
    :ivar withdrawn: for each position, whether the entry counts no longer; empty: all count.
    :ivar blocks: of the entries, withdrawn or not.
    :ivar twins: for each position, whether another book's entry here may be the same person; empty: none is.
    """

    __slots__ = ("_attribute_letters", "_encodings", "deleted", "entries", "index", "pages", "twins")

    def __init__(
        self,
        entries: tuple[Entry, ...],
        index: Index | None = None,
        deleted: bytes = b"",
        encodings: EncodedEntries | None = None,
        twins: bytes = b"",
    ) -> None:
        """Put together what was built before.

        :param encodings: of another shelf with the same entries.
        """
        self.entries = entries
        self.pages = EncodedPages(entries)
        self.index = index
        self.deleted = deleted
        self.twins = twins
        self._encodings = EncodedEntries(len(entries)) if encodings is None else encodings
        self._attribute_letters: frozenset[str] | None = None

    @classmethod
    def build(cls, entries: Iterable[Entry]) -> Segment:
        """Sort and index entries."""
        ordered = tuple(sorted(entries, key=_SORT_KEY))
        return cls(ordered, Index.build(map(index_terms.entry_terms, ordered)))

    def __len__(self) -> int:
        """How many entries count."""
        return len(self.entries) - self.deleted.count(1)

    def __iter__(self) -> Iterator[Entry]:
        """The entries that count."""
        return (entry for at, entry in enumerate(self.entries) if not (self.deleted and self.deleted[at]))

    def with_deleted(self, documents: Iterable[int]) -> Segment:
        """The same without some entries."""
        withdrawn = bytearray(self.deleted or bytes(len(self.entries)))
        for position in documents:
            withdrawn[position] = 1
        left = Segment(self.entries, self.index, bytes(withdrawn), self._encodings, self.twins)
        left.pages = self.pages
        return left

    def with_parent(self, parent: entry.ParentEntry) -> Segment:
        """The same contacts at another place of the tree; what they are found by does not depend on that."""
        return Segment(tuple([entry.with_parent(parent) for entry in self.entries]), self.index, self.deleted)

    def marked(self, twins: bytes) -> Segment:
        """The same with its twins known.

        :param twins: see `Shelf`.
        """
        return Segment(self.entries, self.index, self.deleted, self._encodings, twins)

    def has_twins(self, positions: Iterable[int]) -> bool:
        """Whether an entry at one of these positions may be the same person as another one here."""
        return bool(self.twins) and any(map(self.twins.__getitem__, positions))

    def deleted_since(self, before: Segment) -> Iterator[Entry]:
        """The entries that counted on another shelf with the same entries, and do not count here."""
        if self.deleted:
            kept = before.deleted or bytes(len(self.entries))
            pairs = zip(self.entries, kept, self.deleted, strict=True)
            yield from (entry for entry, gone_before, gone in pairs if gone and not gone_before)

    def find_documents(self, query: Query, first: str | None = None, behind: str | None = None) -> Sequence[int]:
        """The positions of the entries in a place, ascending.

        :param first: the least order that counts.
        :param behind: the order behind which entries count.
        """
        found = query_plan.find_documents(query, self.index, self.entries) if self.index else None
        positions: Sequence[int] = range(len(self.entries)) if found is None else found
        if first is not None:
            positions = positions[bisect_left(positions, bisect_left(self.entries, first, key=_SORT_KEY)) :]
        if behind is not None:
            positions = positions[bisect_left(positions, bisect_right(self.entries, behind, key=_SORT_KEY)) :]
        if self.deleted:
            left = Left(positions, self.deleted)
            positions = left if len(left) > _FEW else left[:]
        return positions

    def first_documents(self, query: Query, most: int) -> tuple[Sequence[int], bool]:
        """The first positions of the entries in a place, ascending; whether there may be others behind them.

        :param most: positions that are enough; there may be fewer of them although there are others.
        """
        if self.index is None:
            positions: Sequence[int] = range(min(most, len(self.entries)))
            others = len(self.entries) > most
        else:
            positions, others = query_plan.first_documents(query, self.index, self.entries, most)
        withdrawn = self.deleted
        return [position for position in positions if not withdrawn[position]] if withdrawn else positions, others

    def document_of_uid(self, uid: str) -> int | None:
        """Where the entry of a uid stands; as it is written."""
        rdn = octets_of(f"uid={escape(uid)}")
        found = (
            position
            for position in self.find_documents(index_terms.uid_key(folded(uid)))
            if self.entries[position].rdn == rdn
        )
        return next(found, None)

    def entry_of_uid(self, uid: str) -> Entry | None:
        """The entry of a uid.

        :param uid: folded (`ldapgw.directory.dn.folded`).
        """
        for position in self.find_documents(index_terms.uid_key(uid)):
            if folded(self.entries[position].attribute("uid")[0].decode()) == uid:
                return self.entries[position]
        return None

    @property
    def attribute_letters(self) -> frozenset[str]:
        """The signs of the parts that containers have (`Entry.parts`); of contacts, other names may be missing."""
        if self._attribute_letters is None:
            found = (
                index_terms.present_attributes(self.index)
                if self.index
                else (part[0] for one in self for part in one.tagged_texts())
            )
            self._attribute_letters = frozenset(found)
        return self._attribute_letters

    def encode(self, documents: Sequence[int], selection: Selection, *, types_only: bool = False) -> list[bytes]:
        """The whole SearchResultEntry of each position, ready to stand behind a message id."""
        entries = self.entries
        if types_only:
            return [entries[position].encode(selection, types_only=True) for position in documents]
        kept = self._encodings.for_selection(selection)
        if kept is None:
            return [entries[position].encode(selection) for position in documents]
        found = []
        for position in documents:
            one = kept[position]
            if one is None:
                one = kept[position] = entries[position].encode(selection)
            found.append(one)
        return found


# How many times as large as the next one a shelf has to be to stay; and the part of it that may be withdrawn.
_MERGE_FACTOR = 8


@dataclass(frozen=True, slots=True)
class Segments:
    """The same contacts in two forms: an entry for each contact, and an entry for each number (if wanted).

    Each form may be on several shelves, of which no two have an entry for the same contact.
    """

    contacts: tuple[Segment, ...] = ()
    numbers: tuple[Segment, ...] = ()

    def __len__(self) -> int:
        """How many contacts there are."""
        return sum(map(len, self.contacts))

    @property
    def per_number(self) -> bool:
        """Whether the form with an entry for each number is wanted."""
        return bool(self.numbers)

    def form(self, *, per_number: bool) -> tuple[Segment, ...]:
        """The form that a viewer wants, as far as it was built."""
        return self.numbers if per_number and self.numbers else self.contacts

    def entry_of_uid(self, uid: str) -> Entry | None:
        """An entry by the folded value of its uid, in either form."""
        found = (shelf.entry_of_uid(uid) for shelf in (*self.contacts, *self.numbers))
        return next(filter(None, found), None)

    def updated(
        self, deleted_uids: Collection[str], contact_entries: Iterable[Entry], number_entries: Iterable[Entry]
    ) -> Segments:
        """With some contacts in place of others.

        :param gone: uids of contacts, who may be on none of the shelves.
        :param whole: the entries of the others, as `contacts` has them.
        :param singles: those of their numbers.
        """
        contacts = _updated(self.contacts, deleted_uids, _contact_documents, [*contact_entries])
        numbers = _updated(self.numbers, deleted_uids, _number_documents, [*number_entries])
        return Segments(contacts, numbers if self.per_number else ())

    def with_parent(self, parent: ParentEntry) -> Segments:
        """The same contacts at another place of the tree."""
        return Segments(*(tuple(shelf.with_parent(parent) for shelf in form) for form in (self.contacts, self.numbers)))


def empty_segments(*, per_number: bool) -> Segments:
    """Nobody yet.

    :param per_number: also one entry for each number.
    """
    return Segments((Segment.build(()),), (Segment.build(()),) if per_number else ())


def _contact_documents(shelf: Segment, uids: Iterable[str]) -> Iterator[int]:
    """The positions of contacts."""
    return (position for uid in uids if (position := shelf.document_of_uid(uid)) is not None)


def _number_documents(shelf: Segment, uids: Iterable[str]) -> Iterator[int]:
    """The positions of contacts' numbers, which are counted from 1 on and stand on one shelf."""
    for uid in uids:
        at = 1
        while (position := shelf.document_of_uid(f"{uid}-{at}")) is not None:
            yield position
            at += 1


def _updated(
    shelves: Sequence[Segment],
    gone: Collection[str],
    positions: Callable[[Segment, Collection[str]], Iterable[int]],
    new: list[Entry],
) -> tuple[Segment, ...]:
    left: list[Segment] = []
    for shelf in shelves:
        withdrawn = tuple(positions(shelf, gone)) if len(shelf) else ()
        left.append(shelf.with_deleted(withdrawn) if withdrawn else shelf)
    while left and len(left[-1]) < _MERGE_FACTOR * len(new):
        new += left.pop()
    kept = [
        shelf if shelf.deleted.count(1) * _MERGE_FACTOR <= len(shelf.entries) else Segment.build(shelf)
        for shelf in left
    ]
    if new or not kept:
        kept.append(Segment.build(new))
    return tuple(shelf for shelf in kept if len(shelf)) or (kept[0],)
