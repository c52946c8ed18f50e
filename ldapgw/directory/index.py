# SPDX-License-Identifier: MIT
"""Which entries of a shelf hold a term: sorted arrays and nothing that has to be collected.

An index is built once and never changed.  It keeps two kinds of things of which it gives positions (of entries, in the
order of their shelf): *terms*, which many entries share and which have neighbours, as the beginning of a word has; and
*keys*, which one or two entries have, as the end of a telephone number, and which are kept as checksums.  What it gives
is a hint: whoever asks holds each entry against the filter itself.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from zlib import crc32

from ldapgw.directory.frames import Reader, Writer

# Sorts behind everything that begins with the same signs.
LAST = "\U0010ffff"

_POSITION = (1 << 32) - 1

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
        found: defaultdict[str, list[int]] = defaultdict(list)
        keys: list[int] = []
        position = -1
        for position, (terms, own) in enumerate(described):
            for term in terms:
                found[term].append(position)
            keys += [crc32(key.encode()) << 32 | position for key in own]
        count = position + 1
        everywhere = frozenset(term for term, held in found.items() if len(held) == count)
        terms = sorted(found.keys() - everywhere)
        offsets = array("I", accumulate((len(found[term]) for term in terms), initial=0))
        positions = array("I")
        for term in terms:
            positions.extend(found.pop(term))
        return cls(count, everywhere, terms, offsets, positions, array("Q", sorted(keys)))

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

    def exactly(self, term: str) -> Sequence[int]:
        """The positions of a term, ascending."""
        if term in self.everywhere:
            return range(self.count)
        at = bisect_left(self._terms, term)
        if at == len(self._terms) or self._terms[at] != term:
            return ()
        return self._positions[self._offsets[at] : self._offsets[at + 1]]

    def between(self, low: str, high: str) -> Sequence[int]:
        """The positions of all terms from one on and before another: as they come, some of them twice."""
        if any(low <= term < high for term in self.everywhere):
            return range(self.count)
        start, end = bisect_left(self._terms, low), bisect_left(self._terms, high)
        return self._positions[self._offsets[start] : self._offsets[end]] if start < end else ()

    def keyed(self, key: str) -> Sequence[int]:
        """The positions of a key, ascending; once in four thousand million times one that does not have it."""
        low = crc32(key.encode()) << 32
        at, found = bisect_left(self._keys, low), []
        while at < len(self._keys) and self._keys[at] <= low | _POSITION:
            found.append(self._keys[at] & _POSITION)
            at += 1
        return found
