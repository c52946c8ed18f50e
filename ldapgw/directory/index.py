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
from dataclasses import dataclass, field
from itertools import accumulate
from zlib import crc32

# Sorts behind everything that begins with the same signs.
LAST = "\U0010ffff"

_POSITION = (1 << 32) - 1


def _none() -> array[int]:
    return array("I")


@dataclass(frozen=True, slots=True, repr=False)
class Index:
    """Positions by term and by key.

    :ivar count: entries of the shelf.
    :ivar everywhere: terms that all of them have.
    """

    count: int = 0
    everywhere: frozenset[str] = frozenset()
    _terms: list[str] = field(default_factory=list)
    _offsets: array[int] = field(default_factory=lambda: array("I", (0,)))
    _positions: array[int] = field(default_factory=_none)
    _keys: array[int] = field(default_factory=lambda: array("Q"))

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
