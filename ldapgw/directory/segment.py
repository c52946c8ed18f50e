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
from ldapgw.directory.query_plan import Place

# Attribute selections whose encodings are kept: one is some 25 MiB where a shelf has 100,000 entries.
_MOST: Final = 4

# Others that are known to have been asked for.
_OTHERS: Final = 12

# Encoded entries by position; None: nobody has asked for that one.
Encoded = list[bytes | None]


class Encodings:
    """Entries of a shelf as they were encoded.

    Mutable: what is kept, and what was asked for.

    :param count: of the entries.
    """

    __slots__ = ("_asked", "_count", "_kept", "_last")

    def __init__(self, count: int) -> None:
        self._count = count
        self._kept: dict[Selection, Encoded] = {}
        # By their last request if they are kept, otherwise by their first.
        self._asked: dict[Selection, None] = {}
        self._last: Selection | None = None

    def of(self, selection: Selection) -> Encoded | None:
        """What is kept for a selection; None: nothing, it is not asked for often enough."""
        kept = self._kept.get(selection)
        if selection is self._last and kept is not None:
            return kept
        self._last = selection
        if kept is None and selection in self._asked:
            kept = self._keep(selection)
        elif kept is None and len(self._asked) == _MOST + _OTHERS:
            del self._asked[next(one for one in self._asked if one not in self._kept)]
        self._asked.pop(selection, None)
        self._asked[selection] = None
        return kept

    def _keep(self, selection: Selection) -> Encoded | None:
        """Begin to keep it, where there is room or one has to go."""
        if len(self._kept) == _MOST:
            first = next(one for one in self._asked if one is selection or one in self._kept)
            if first is selection:
                return None
            del self._kept[first], self._asked[first]
        kept = self._kept[selection] = [None] * self._count
        return kept


# Entries of a block; each begins at a multiple of it.  One is about what is written at once.
SIZE: Final = 192
# Octets of a block that is kept, and of what is written at once (`ldapgw.ldap.limits.JOINED`).
LARGEST: Final = 64 << 10
# Attribute selections whose blocks are kept: one is some 25 MiB where there are 100,000 entries.
_MOST_KEPT: Final = 2

# Octets of a message id that blocks are for, its tag and length included: from 1 to 127, as nearly all are.
_ID: Final = 3

# Messages, and the sign in place of their ids; no messages: there is no such sign, or too much to be kept.
Block = tuple[bytes, bytes]


class Blocks:
    """The blocks of a shelf's entries, made when they are first asked for.

    Mutable: what is kept.
    """

    __slots__ = ("_entries", "_kept")

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._kept: dict[Selection, dict[int, Block]] = {}

    def at(self, first: int, count: int, selection: Selection, message_id: bytes) -> bytes | None:
        """The messages of so many entries from a position on; None where there is no block of them.

        :param message_id: an INTEGER, as it stands in each.
        """
        if first % SIZE or count != min(SIZE, len(self._entries) - first) or len(message_id) != _ID:
            return None
        kept = self._kept.get(selection)
        if kept is None:
            if len(self._kept) == _MOST_KEPT:
                del self._kept[next(iter(self._kept))]
            kept = self._kept[selection] = {}
        block = kept.get(first)
        if block is None:
            responses = [entry.encode(selection) for entry in self._entries[first : first + count]]
            block = kept[first] = _made(responses, message_id[:-1])
        messages, sign = block
        return messages.replace(sign, message_id[-1:]) if messages else None


def _made(responses: Sequence[bytes], before: bytes) -> Block:
    """A block.

    :param before: the tag and the length of the message id.
    """
    heads = [head(SEQUENCE, _ID + len(response)) + before for response in responses]
    pieces = [*heads, *responses]
    if sum(map(len, pieces)) + len(heads) > LARGEST:
        return b"", b""
    used = b"".join(pieces)
    for octet in range(0xFF, -1, -1):
        if octet not in used:
            sign = bytes((octet,))
            return b"".join([start + sign + response for start, response in zip(heads, responses, strict=True)]), sign
    return b"", b""


# Positions that are looked through at once for entries that do not count; of more, each is when its turn comes.
_FEW: Final = 1000

_ORDER = attrgetter("order")


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


class Shelf:
    """Entries that are searched together.

    :ivar entries: in their order.
    :ivar index: of them; None: they are few, and all are looked at.
    :ivar withdrawn: for each position, whether the entry counts no longer; empty: all count.
    :ivar blocks: of the entries, withdrawn or not.
    :ivar twins: for each position, whether another book's entry here may be the same person; empty: none is.
    """

    __slots__ = ("_encodings", "_letters", "blocks", "entries", "index", "twins", "withdrawn")

    def __init__(
        self,
        entries: tuple[Entry, ...],
        index: Index | None = None,
        withdrawn: bytes = b"",
        encodings: Encodings | None = None,
        twins: bytes = b"",
    ) -> None:
        """Put together what was built before.

        :param encodings: of another shelf with the same entries.
        """
        self.entries = entries
        self.blocks = Blocks(entries)
        self.index = index
        self.withdrawn = withdrawn
        self.twins = twins
        self._encodings = Encodings(len(entries)) if encodings is None else encodings
        self._letters: frozenset[str] | None = None

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Shelf:
        """Sort and index entries."""
        ordered = tuple(sorted(entries, key=_ORDER))
        return cls(ordered, Index.of(map(index_terms.of_entry, ordered)))

    def __len__(self) -> int:
        """How many entries count."""
        return len(self.entries) - self.withdrawn.count(1)

    def __iter__(self) -> Iterator[Entry]:
        """The entries that count."""
        return (entry for at, entry in enumerate(self.entries) if not (self.withdrawn and self.withdrawn[at]))

    def without(self, positions: Iterable[int]) -> Shelf:
        """The same without some entries."""
        withdrawn = bytearray(self.withdrawn or bytes(len(self.entries)))
        for position in positions:
            withdrawn[position] = 1
        left = Shelf(self.entries, self.index, bytes(withdrawn), self._encodings, self.twins)
        left.blocks = self.blocks
        return left

    def moved(self, place: entry.ParentEntry) -> Shelf:
        """The same contacts at another place of the tree; what they are found by does not depend on that."""
        return Shelf(tuple([entry.moved(place) for entry in self.entries]), self.index, self.withdrawn)

    def marked(self, twins: bytes) -> Shelf:
        """The same with its twins known.

        :param twins: see `Shelf`.
        """
        return Shelf(self.entries, self.index, self.withdrawn, self._encodings, twins)

    def has_twins(self, positions: Iterable[int]) -> bool:
        """Whether an entry at one of these positions may be the same person as another one here."""
        return bool(self.twins) and any(map(self.twins.__getitem__, positions))

    def withdrawn_since(self, before: Shelf) -> Iterator[Entry]:
        """The entries that counted on another shelf with the same entries, and do not count here."""
        if self.withdrawn:
            kept = before.withdrawn or bytes(len(self.entries))
            pairs = zip(self.entries, kept, self.withdrawn, strict=True)
            yield from (entry for entry, gone_before, gone in pairs if gone and not gone_before)

    def find(self, place: Place, first: str | None = None, behind: str | None = None) -> Sequence[int]:
        """The positions of the entries in a place, ascending.

        :param first: the least order that counts.
        :param behind: the order behind which entries count.
        """
        found = query_plan.find(place, self.index, self.entries) if self.index else None
        positions: Sequence[int] = range(len(self.entries)) if found is None else found
        if first is not None:
            positions = positions[bisect_left(positions, bisect_left(self.entries, first, key=_ORDER)) :]
        if behind is not None:
            positions = positions[bisect_left(positions, bisect_right(self.entries, behind, key=_ORDER)) :]
        if self.withdrawn:
            left = Left(positions, self.withdrawn)
            positions = left if len(left) > _FEW else left[:]
        return positions

    def first(self, place: Place, most: int) -> tuple[Sequence[int], bool]:
        """The first positions of the entries in a place, ascending; whether there may be others behind them.

        :param most: positions that are enough; there may be fewer of them although there are others.
        """
        if self.index is None:
            positions: Sequence[int] = range(min(most, len(self.entries)))
            others = len(self.entries) > most
        else:
            positions, others = query_plan.first(place, self.index, self.entries, most)
        withdrawn = self.withdrawn
        return [position for position in positions if not withdrawn[position]] if withdrawn else positions, others

    def position(self, uid: str) -> int | None:
        """Where the entry of a uid stands; as it is written."""
        rdn = octets_of(f"uid={escape(uid)}")
        found = (
            position for position in self.find(index_terms.of_uid(folded(uid))) if self.entries[position].rdn == rdn
        )
        return next(found, None)

    def of_uid(self, uid: str) -> Entry | None:
        """The entry of a uid.

        :param uid: folded (`ldapgw.directory.dn.folded`).
        """
        for position in self.find(index_terms.of_uid(uid)):
            if folded(self.entries[position].attribute("uid")[0].decode()) == uid:
                return self.entries[position]
        return None

    @property
    def letters(self) -> frozenset[str]:
        """The signs of the parts that containers have (`Entry.parts`); of contacts, other names may be missing."""
        if self._letters is None:
            found = index_terms.letters(self.index) if self.index else (part[0] for one in self for part in one.parts())
            self._letters = frozenset(found)
        return self._letters

    def encoded(self, positions: Sequence[int], selection: Selection, *, types_only: bool = False) -> list[bytes]:
        """The whole SearchResultEntry of each position, ready to stand behind a message id."""
        entries = self.entries
        if types_only:
            return [entries[position].encode(selection, types_only=True) for position in positions]
        kept = self._encodings.of(selection)
        if kept is None:
            return [entries[position].encode(selection) for position in positions]
        found = []
        for position in positions:
            one = kept[position]
            if one is None:
                one = kept[position] = entries[position].encode(selection)
            found.append(one)
        return found


# How many times as large as the next one a shelf has to be to stay; and the part of it that may be withdrawn.
_TIMES = 8


@dataclass(frozen=True, slots=True)
class Shelves:
    """The same contacts in two forms: an entry for each contact, and an entry for each number (if wanted).

    Each form may be on several shelves, of which no two have an entry for the same contact.
    """

    contacts: tuple[Shelf, ...] = ()
    numbers: tuple[Shelf, ...] = ()

    def __len__(self) -> int:
        """How many contacts there are."""
        return sum(map(len, self.contacts))

    @property
    def per_number(self) -> bool:
        """Whether the form with an entry for each number is wanted."""
        return bool(self.numbers)

    def form(self, *, per_number: bool) -> tuple[Shelf, ...]:
        """The form that a viewer wants, as far as it was built."""
        return self.numbers if per_number and self.numbers else self.contacts

    def of_uid(self, uid: str) -> Entry | None:
        """An entry by the folded value of its uid, in either form."""
        found = (shelf.of_uid(uid) for shelf in (*self.contacts, *self.numbers))
        return next(filter(None, found), None)

    def revised(self, gone: Collection[str], whole: Iterable[Entry], singles: Iterable[Entry]) -> Shelves:
        """With some contacts in place of others.

        :param gone: uids of contacts, who may be on none of the shelves.
        :param whole: the entries of the others, as `contacts` has them.
        :param singles: those of their numbers.
        """
        contacts = _revised(self.contacts, gone, _of_contacts, [*whole])
        numbers = _revised(self.numbers, gone, _of_numbers, [*singles])
        return Shelves(contacts, numbers if self.per_number else ())

    def moved(self, place: ParentEntry) -> Shelves:
        """The same contacts at another place of the tree."""
        return Shelves(*(tuple(shelf.moved(place) for shelf in form) for form in (self.contacts, self.numbers)))


def no_shelves(*, per_number: bool) -> Shelves:
    """Nobody yet.

    :param per_number: also one entry for each number.
    """
    return Shelves((Shelf.of(()),), (Shelf.of(()),) if per_number else ())


def _of_contacts(shelf: Shelf, uids: Iterable[str]) -> Iterator[int]:
    """The positions of contacts."""
    return (position for uid in uids if (position := shelf.position(uid)) is not None)


def _of_numbers(shelf: Shelf, uids: Iterable[str]) -> Iterator[int]:
    """The positions of contacts' numbers, which are counted from 1 on and stand on one shelf."""
    for uid in uids:
        at = 1
        while (position := shelf.position(f"{uid}-{at}")) is not None:
            yield position
            at += 1


def _revised(
    shelves: Sequence[Shelf],
    gone: Collection[str],
    positions: Callable[[Shelf, Collection[str]], Iterable[int]],
    new: list[Entry],
) -> tuple[Shelf, ...]:
    left: list[Shelf] = []
    for shelf in shelves:
        withdrawn = tuple(positions(shelf, gone)) if len(shelf) else ()
        left.append(shelf.without(withdrawn) if withdrawn else shelf)
    while left and len(left[-1]) < _TIMES * len(new):
        new += left.pop()
    kept = [shelf if shelf.withdrawn.count(1) * _TIMES <= len(shelf.entries) else Shelf.of(shelf) for shelf in left]
    if new or not kept:
        kept.append(Shelf.of(new))
    return tuple(shelf for shelf in kept if len(shelf)) or (kept[0],)
