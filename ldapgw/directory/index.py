# SPDX-License-Identifier: MIT
"""Values and arrays one behind the other in a file, with a checksum of all at the end.

Each stands in a frame, behind its length.  None is large but arrays, which are written and read where they are: so
neither side ever holds all of it twice.

Which entries of a shelf hold a term: sorted arrays and nothing that has to be collected.

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
from io import BufferedIOBase
from itertools import accumulate
from typing import Final, TypeVar
from zlib import crc32

import msgspec

T = TypeVar("T")

_LENGTH = 8
_SUM = 4
_BLOCK = 1 << 20

_encode = msgspec.msgpack.Encoder().encode


class DamagedFile(ValueError):
    """Raised when a file is not as it was written."""


class RecordWriter:
    """Writes frames.

    Mutable: the checksum of what was written.
    """

    def __init__(self, file: BufferedIOBase) -> None:
        self._file = file
        self._sum = 0

    def value(self, value: object) -> None:
        """Write anything that msgpack knows."""
        self._frame(_encode(value))

    def numbers(self, numbers: array[int]) -> None:
        """Write an array."""
        self._frame(memoryview(numbers).cast("B") if numbers else b"")

    def end(self) -> None:
        """Write the checksum."""
        self._file.write(self._sum.to_bytes(_SUM, "big"))

    def _frame(self, octets: bytes | memoryview) -> None:
        for part in (len(octets).to_bytes(_LENGTH, "big"), octets):
            self._sum = crc32(part, self._sum)
            self._file.write(part)


class RecordReader:
    """Reads the frames of a file that was found to be whole (`whole`)."""

    def __init__(self, file: BufferedIOBase) -> None:
        self._file = file

    def value(self, kind: type[T]) -> T:
        """Read a value that was written with the same meaning.

        :raises msgspec.ValidationError: when it was not.
        """
        return msgspec.msgpack.decode(self._file.read(self._length()), type=kind)

    def numbers(self, code: str) -> array[int]:
        """Read an array.

        :param code: its type code.
        """
        left, found = self._length(), array(code)
        while left > 0:
            found.frombytes(self._file.read(min(_BLOCK, left)))
            left -= _BLOCK
        return found

    def _length(self) -> int:
        return int.from_bytes(self._file.read(_LENGTH), "big")


def verified_records(file: BufferedIOBase) -> RecordReader:
    """A file's frames.

    :raises DamagedFrames: when the checksum does not fit.
    """
    seen, left = 0, file.seek(0, 2) - _SUM
    file.seek(0)
    while left > 0:
        block = file.read(min(_BLOCK, left))
        seen, left = crc32(block, seen), left - len(block)
    if left < 0 or file.read(_SUM) != seen.to_bytes(_SUM, "big"):
        raise DamagedFile
    file.seek(0)
    return RecordReader(file)


# Positions that stand side by side in an index: in what; where runs of them begin, each of which goes up to the next
# one, and last where the last one ends; and whether within a run they ascend, each there once.  To cut them out costs
# what they are; this costs nothing.
PostingsRanges = tuple[Sequence[int], Sequence[int], bool]

# Runs of a row that are told apart; more of them are one that does not ascend.
_MAX_RANGES: Final = 128

# Sorts behind everything that begins with the same signs.
HIGHEST = "\U0010ffff"

# Of a checksum, and as many of a position behind it where keys are sorted.
_BITS: Final = 32
_POSITION: Final = (1 << _BITS) - 1

# Parts that keys are sorted in, by the highest four bits of their checksums.
_PARTS, _PART_SHIFT = 16, 28

# Keys that are gone through one by one sooner than by halves.
_FEW: Final = 16

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
    _postings: array[int]
    # The checksums of keys, and the position that each one belongs to.
    _checksums: array[int]
    _key_documents: array[int]
    # Keys are apart by the highest bits of their checksums: where each part begins, and how many bits are below those.
    _starts: array[int]
    _below: int

    @classmethod
    def build(cls, described: Iterable[tuple[Iterable[str], Iterable[str]]]) -> Index:
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
            for checksum in {crc32(key.encode()) for key in own}:
                parts[checksum >> _PART_SHIFT].append(checksum << _BITS | position)
        count = position + 1
        everywhere = frozenset(term for term, held in found.items() if len(held) == count)
        terms = sorted(found.keys() - everywhere)
        offsets = array("I", accumulate((len(found[term]) for term in terms), initial=0))
        positions = array("I")
        for term in terms:
            positions.extend(found.pop(term))
        checksums, holders = array("I"), array("I")
        while parts:
            keys = sorted(parts.pop(0))
            checksums.extend([key >> _BITS for key in keys])
            holders.extend([key & _POSITION for key in keys])
        return cls(count, everywhere, terms, offsets, positions, checksums, holders, *_parted(checksums))

    def write(self, to: RecordWriter) -> None:
        """Write it down."""
        to.value((self.count, sorted(self.everywhere), len(self._terms), self._below))
        for start in range(0, len(self._terms), _CHUNK):
            to.value(self._terms[start : start + _CHUNK])
        for numbers in (self._offsets, self._postings, self._checksums, self._key_documents, self._starts):
            to.numbers(numbers)

    @classmethod
    def read(cls, source: RecordReader) -> Index:
        """What was written down."""
        count, everywhere, length, below = source.value(tuple[int, frozenset[str], int, int])
        terms: list[str] = []
        while len(terms) < length:
            terms += source.value(list[str])
        offsets, positions, checksums, holders, starts = (source.numbers("I") for _ in range(5))
        return cls(count, everywhere, terms, offsets, positions, checksums, holders, starts, below)

    def postings(self, term: str) -> PostingsRanges:
        """Where the positions of a term stand."""
        terms = self._terms
        at = bisect_left(terms, term)
        if at == len(terms) or terms[at] != term:
            return range(self.count), (0, self.count if term in self.everywhere else 0), True
        return self._postings, self._offsets[at : at + 2], True

    def range_postings(self, low: str, high: str) -> PostingsRanges:
        """Where the positions of all terms stand from one on and before another."""
        if any(low <= term < high for term in self.everywhere):
            return range(self.count), (0, self.count), True
        start = bisect_left(self._terms, low)
        end = bisect_left(self._terms, high, start)
        if end - start > _MAX_RANGES:
            return self._postings, (self._offsets[start], self._offsets[end]), False
        return self._postings, self._offsets[start : end + 1], True

    def key_postings(self, key: str) -> PostingsRanges:
        """Where the positions of a key stand; once in four thousand million times one that does not have it."""
        checksum = crc32(key.encode())
        part = checksum >> self._below
        checksums, start, end = self._checksums, self._starts[part], self._starts[part + 1]
        if end - start > _FEW:
            start = bisect_left(checksums, checksum, start, end)
            return self._key_documents, (start, bisect_right(checksums, checksum, start, end)), True
        while start < end and checksums[start] < checksum:
            start += 1
        while start < end and checksums[end - 1] > checksum:
            end -= 1
        return self._key_documents, (start, end), True

    def terms(self, low: str, high: str) -> list[str]:
        """All terms from one on and before another, in no order."""
        start = bisect_left(self._terms, low)
        found = self._terms[start : bisect_left(self._terms, high, start)]
        return found + [term for term in self.everywhere if low <= term < high]


def _parted(checksums: array[int]) -> tuple[array[int], int]:
    """Where to look for a key: parts of two to four keys on average (`Index`)."""
    bits = max(len(checksums).bit_length() - 2, 0)
    below = _BITS - bits
    starts = array("I", [0])
    for part in range(1, (1 << bits) + 1):
        starts.append(bisect_left(checksums, part << below, starts[-1]))
    return starts, below
