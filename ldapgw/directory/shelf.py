# SPDX-License-Identifier: MIT
"""A shelf: entries in their order, with an index, and as they were encoded last.

Everything but the encodings is built once and never changed.  Those are kept for the few attribute selections that are
asked for again and again, as phones of a few models do, and grow as entries are asked for.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Final, overload

from ldapgw.directory import origin, plan, terms
from ldapgw.directory.blocks import Blocks
from ldapgw.directory.dn import escape, folded
from ldapgw.directory.encodings import Encodings
from ldapgw.directory.entry import Entry, octets_of
from ldapgw.directory.index import Index
from ldapgw.directory.plan import Place
from ldapgw.directory.selection import Selection

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
        return cls(ordered, Index.of(map(terms.of_entry, ordered)))

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

    def moved(self, place: origin.Place) -> Shelf:
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
        found = plan.find(place, self.index, self.entries) if self.index else None
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
            positions, others = plan.first(place, self.index, self.entries, most)
        withdrawn = self.withdrawn
        return [position for position in positions if not withdrawn[position]] if withdrawn else positions, others

    def position(self, uid: str) -> int | None:
        """Where the entry of a uid stands; as it is written."""
        rdn = octets_of(f"uid={escape(uid)}")
        found = (position for position in self.find(terms.of_uid(folded(uid))) if self.entries[position].rdn == rdn)
        return next(found, None)

    def of_uid(self, uid: str) -> Entry | None:
        """The entry of a uid.

        :param uid: folded (`ldapgw.directory.dn.folded`).
        """
        for position in self.find(terms.of_uid(uid)):
            if folded(self.entries[position].attribute("uid")[0].decode()) == uid:
                return self.entries[position]
        return None

    @property
    def letters(self) -> frozenset[str]:
        """The signs of the parts that containers have (`Entry.parts`); of contacts, other names may be missing."""
        if self._letters is None:
            found = terms.letters(self.index) if self.index else (part[0] for one in self for part in one.parts())
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
