# SPDX-License-Identifier: MIT
"""Which entries of a shelf hold a term: sorted arrays and nothing that has to be collected.

An index is built once and never changed.  It keeps two kinds of things of which it gives positions (of entries, in the
order of their shelf): *terms*, which many entries share and which have neighbours, as the beginning of a word has; and
*keys*, which one or two entries have, as the end of a telephone number, and which are kept as checksums.  What it gives
is a hint: whoever asks holds each entry against the filter itself.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from zlib import crc32

from ldapgw.directory.frames import Reader, Writer

# Where positions stand side by side in an index: in what, from where on and before where, and whether they ascend, each
# there once.  To take them out costs what they are; this costs nothing.
Row = tuple[Sequence[int], int, int, bool]

# Sorts behind everything that begins with the same signs.
LAST = "\U0010ffff"

_POSITION = (1 << 32) - 1

# As many entries as most keys have.
_FEW = 3

# Parts that keys are sorted in, by the highest four bits of their checksums.
_PARTS, _PART_SHIFT = 16, 28

# Terms that are written down in one piece.
_CHUNK = 10_000


@dataclass(frozen=True, slots=True, repr=False)
class Index:
    """Positions by term and by key.

    :ivar count: entries of the shelf.
    :ivar everywhere: terms that all of them have.
    """

    count: int
    everywhere: frozenset[str]
    _terms: list[str]
    _offsets: array[int]
    _positions: array[int]
    _keys: array[int]

    @classmethod
    def of(cls, described: Iterable[tuple[Iterable[str], Iterable[str]]]) -> Index:
        """Index entries.

        :param described: the terms and the keys of each entry, in the order of the entries; none of them twice.
        """
        found: dict[str, array[int]] = {}
        # Apart by their highest bits, so that never more than a part of them is sorted, as objects, at a time.
        parts = [array("Q") for _ in range(_PARTS)]
        position = -1
        for position, (terms, own) in enumerate(described):
            for term in terms:
                held = found.get(term)
                if held is None:
                    held = found[term] = array("I")
                held.append(position)
            for key in own:
                checksum = crc32(key.encode())
                parts[checksum >> _PART_SHIFT].append(checksum << 32 | position)
        count = position + 1
        everywhere = frozenset(term for term, held in found.items() if len(held) == count)
        terms = sorted(found.keys() - everywhere)
        offsets = array("I", accumulate((len(found[term]) for term in terms), initial=0))
        positions = array("I")
        for term in terms:
            positions.extend(found.pop(term))
        keys = array("Q")
        while parts:
            keys.extend(sorted(parts.pop(0)))
        return cls(count, everywhere, terms, offsets, positions, keys)

    def write(self, to: Writer) -> None:
        """Write it down."""
        to.value((self.count, sorted(self.everywhere), len(self._terms)))
        for start in range(0, len(self._terms), _CHUNK):
            to.value(self._terms[start : start + _CHUNK])
        for numbers in (self._offsets, self._positions, self._keys):
            to.numbers(numbers)

    @classmethod
    def read(cls, source: Reader) -> Index:
        """What was written down."""
        count, everywhere, length = source.value(tuple[int, frozenset[str], int])
        terms: list[str] = []
        while len(terms) < length:
            terms += source.value(list[str])
        offsets, positions, keys = (source.numbers(code) for code in "IIQ")
        return cls(count, everywhere, terms, offsets, positions, keys)

    def exactly(self, term: str) -> Row:
        """Where the positions of a term stand."""
        terms = self._terms
        at = bisect_left(terms, term)
        if at == len(terms) or terms[at] != term:
            return range(self.count), 0, self.count if term in self.everywhere else 0, True
        return self._positions, self._offsets[at], self._offsets[at + 1], True

    def between(self, low: str, high: str) -> Row:
        """Where the positions of all terms stand from one on and before another."""
        if any(low <= term < high for term in self.everywhere):
            return range(self.count), 0, self.count, True
        start = bisect_left(self._terms, low)
        end = bisect_left(self._terms, high, start)
        return self._positions, self._offsets[start], self._offsets[end], end - start == 1

    def keyed(self, key: str) -> Row:
        """Where the positions of a key stand; once in four thousand million times one that does not have it."""
        keys, low = self._keys, crc32(key.encode()) << 32
        start = bisect_left(keys, low)
        end = bisect_right(keys, low | _POSITION, start, min(start + _FEW, len(keys)))
        if end == start + _FEW:
            end = bisect_right(keys, low | _POSITION, end)
        return keys, start, end, True

    def terms(self, low: str, high: str) -> list[str]:
        """All terms from one on and before another, in no order."""
        start = bisect_left(self._terms, low)
        found = self._terms[start : bisect_left(self._terms, high, start)]
        return found + [term for term in self.everywhere if low <= term < high]

    def taken(self, row: Row) -> Sequence[int]:
        """The positions of a row."""
        held, start, end, _ = row
        return [key & _POSITION for key in held[start:end]] if held is self._keys else held[start:end]
