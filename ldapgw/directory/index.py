# SPDX-License-Identifier: MIT
"""The index of a segment finds the documents that have a term.

An index is built once and never changed.  Its arrays hold no objects that the garbage collector would scan.  A
*document* is the position of an entry in the segment, as a number from 0.  An index holds three kinds of strings.
*Terms*, such as beginnings of words, are shared by many entries, and are looked up one by one or by ranges.  *Prefixes*
stand for the first one to three letters of words; an index knows which attributes contain the words.  *Keys*, such as
ends of telephone numbers, belong to one or two entries, and are stored as checksums.  Terms and keys give candidates,
which have to be tested by the filter.

An index is written to a file as a sequence of records.  A record is a length, followed by a value or an array.  A
checksum of all records is at the end of the file.  Arrays are written and read without a second copy in memory.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from io import BufferedIOBase
from itertools import compress
from typing import Final, TypeVar
from zlib import crc32

import msgspec

from ldapgw.directory.interruptible import interruptible

T = TypeVar("T")

_LENGTH: Final = 8
_SUM: Final = 4
_BLOCK: Final = 1 << 20

_encode = msgspec.msgpack.Encoder().encode


class DamagedFile(ValueError):
    """Raised when a file is damaged."""


class RecordWriter:
    """A writer of a file of records that ends with a checksum.

    Mutable: the checksum of the records that were written.
    """

    def __init__(self, file: BufferedIOBase) -> None:
        self._file = file
        self._sum = 0

    def value(self, value: object) -> None:
        """Write a value of any type that msgpack knows."""
        self._record(_encode(value))

    def numbers(self, numbers: array[int]) -> None:
        self._record(memoryview(numbers).cast("B") if numbers else b"")

    def end(self) -> None:
        """Write the checksum."""
        self._file.write(self._sum.to_bytes(_SUM, "big"))

    def _record(self, octets: bytes | memoryview) -> None:
        for part in (len(octets).to_bytes(_LENGTH, "big"), octets):
            self._sum = crc32(part, self._sum)
            self._file.write(part)


class RecordReader:
    """A reader of the records of a file whose checksum was verified (`verified_records`)."""

    def __init__(self, file: BufferedIOBase) -> None:
        self._file = file

    def value(self, kind: type[T]) -> T:
        """Read a value.

        :param kind: the type with which the value was written.
        :raises msgspec.ValidationError: when the value is not of the type.
        """
        return msgspec.msgpack.decode(self._file.read(self._length()), type=kind)

    def numbers(self, code: str) -> array[int]:
        """Read an array.

        :param code: the array's type code.
        """
        length, found = self._length(), array(code)
        for start in interruptible(range(0, length, _BLOCK)):
            found.frombytes(self._file.read(min(_BLOCK, length - start)))
        return found

    def _length(self) -> int:
        return int.from_bytes(self._file.read(_LENGTH), "big")


def verified_records(file: BufferedIOBase) -> RecordReader:
    """Verify the checksum of a file, and return a reader of its records.

    :raises DamagedFile: when the checksum does not match.
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


# Adjacent ranges of documents in an array of an index, as three values.  The first value is the array, which is not
# copied, because copying takes time for each document.  The second value is the start of each range, followed by the
# end of the last range.  The third value is true if the documents of each range ascend without repetition.
PostingsRanges = tuple[Sequence[int], Sequence[int], bool]

# The maximum number of ranges that one lookup returns.  If a lookup finds more ranges, the result is a single range
# with the documents of all found ranges.  The documents of this single range are not in ascending order.
_MAX_RANGES: Final = 128

# A character that sorts behind all other characters.  A text with the character at its end sorts behind all other texts
# with the same beginning.
HIGHEST: Final = "\U0010ffff"

# While keys are sorted, one integer holds the checksum and the document number of a key.  A checksum has `_BITS` bits,
# and `_DOCUMENT` is the mask of the document number.
_BITS: Final = 32
_DOCUMENT: Final = (1 << _BITS) - 1

# The number of parts into which keys are divided for sorting.  The highest six bits of a key's checksum decide to which
# part the key belongs.
_PARTS, _PART_SHIFT = 64, 26

# The maximum number of keys for which a linear search is faster than a binary search.
_FEW: Final = 16
# The maximum number of postings of the rarest prefix that one step of `Index.common_postings` reads.
_READ: Final = 1024
# A step of `Index.common_postings` reads the postings of a prefix, or looks up each document that is left.  Looking up
# is faster if there are more than `_FAR_MORE` postings for each document.
_FAR_MORE: Final = 32

# The number of terms that are written in one record.
_CHUNK: Final = 10_000


class Postings:
    """The documents of a term or a prefix while an index is built.

    Mutable: the documents that were added.

    :ivar last: the document that was added last; -1 if there is no document yet.
    :ivar documents: the documents as the octets of an ``array("I")``, because octets are added faster than items.
    :ivar attributes: for a prefix, the attributes of each document that contain the prefix, as bits; empty for a term.
    """

    __slots__ = ("attributes", "documents", "last")

    def __init__(self) -> None:
        self.last = -1
        self.documents = bytearray()
        self.attributes = bytearray()


class IndexBuilder:
    """Builds an index, document after document.

    A caller can keep the `Postings` of a term that many documents have, because looking up a term takes longer than
    adding a document.

    Mutable: the documents of all terms, prefixes and keys that were added.
    """

    def __init__(self) -> None:
        self._document = -1
        self._octets = b""  # the octets of the document's number
        self._terms: dict[str, Postings] = {}
        self._prefixes: dict[str, Postings] = {}
        # Keys are divided into parts by their highest bits, and the parts are sorted one after the other.  Sorting
        # makes an object for each key of a part, and objects for all keys at once would take much memory.
        self._parts = [array("Q") for _ in range(_PARTS)]

    def begin_document(self) -> None:
        """Begin the next document: the methods below add terms, prefixes and keys to this document."""
        self._document += 1
        self._octets = array("I", (self._document,)).tobytes()

    def term(self, term: str) -> Postings:
        """Return the postings of a term; the postings may be empty."""
        found = self._terms.get(term)
        if found is None:
            found = self._terms[term] = Postings()
        return found

    def prefix(self, prefix: str) -> Postings:
        """Return the postings of a prefix; the postings may be empty."""
        found = self._prefixes.get(prefix)
        if found is None:
            found = self._prefixes[prefix] = Postings()
        return found

    def add(self, terms: list[Postings]) -> None:
        """Add terms to the document; a term that the document has already is not added again."""
        document, octets = self._document, self._octets
        for postings in terms:
            if postings.last != document:
                postings.last = document
                postings.documents += octets

    def add_term(self, term: str) -> None:
        postings = self.term(term)
        if postings.last != self._document:
            postings.last = self._document
            postings.documents += self._octets

    def add_prefixes(self, prefixes: list[Postings], attributes: int) -> None:
        """Add prefixes to the document.

        :param attributes: the attributes that contain the prefixes, as bits.
        """
        document, octets = self._document, self._octets
        for postings in prefixes:
            if postings.last != document:
                postings.last = document
                postings.documents += octets
                postings.attributes.append(attributes)
            else:
                postings.attributes[-1] |= attributes

    def add_keys(self, keys: Iterable[str]) -> None:
        for checksum in {crc32(key.encode()) for key in keys}:
            self._parts[checksum >> _PART_SHIFT].append(checksum << _BITS | self._document)

    def build(self) -> Index:
        """Return the index; the builder cannot be used again."""
        count, found, prefixes, parts = self._document + 1, self._terms, self._prefixes, self._parts
        postings, attributes, offsets = array("I"), array("B"), array("I", [0])
        whole = count * postings.itemsize
        everywhere = frozenset(term for term, kept in interruptible(found.items()) if len(kept.documents) == whole)
        for term in everywhere:
            del found[term]
        terms = _sorted_terms(prefixes)
        for prefix in interruptible(terms):
            of_prefix = prefixes.pop(prefix)
            postings.frombytes(of_prefix.documents)
            attributes.frombytes(of_prefix.attributes)
            offsets.append(len(postings))
        others = _sorted_terms(found)
        for term in interruptible(others):
            postings.frombytes(found.pop(term).documents)
            offsets.append(len(postings))
        checksums, key_documents = array("I"), array("I")
        for _ in interruptible(range(_PARTS)):
            keys = sorted(parts.pop(0))
            checksums.extend([key >> _BITS for key in keys])
            key_documents.extend([key & _DOCUMENT for key in keys])
        terms += others
        starts, below = _parted(checksums)
        return Index(count, everywhere, terms, offsets, postings, attributes, checksums, key_documents, starts, below)


@dataclass(frozen=True, slots=True, repr=False)
class Index:
    """The document numbers of a segment, by term, by prefix and by key; see `IndexBuilder`.

    :ivar count: the number of documents of the segment.
    :ivar everywhere: terms that all documents have.
    """

    count: int
    everywhere: frozenset[str]
    # `_terms` holds all prefixes, and then all terms that are not in `everywhere`.  For each prefix and term,
    # `_offsets` holds the position at which the postings start.
    _terms: list[str]
    _offsets: array[int]
    _postings: array[int]
    # For each posting of a prefix, the attributes that contain the prefix, as bits.
    _attributes: array[int]
    # The checksums of keys, and the document of each checksum.
    _checksums: array[int]
    _key_documents: array[int]
    # Keys are divided into parts by the highest bits of their checksums.  `_starts` has the start of each part, and
    # `_below` is the number of the remaining, lower bits of a checksum.
    _starts: array[int]
    _below: int

    def write(self, to: RecordWriter) -> None:
        to.value((self.count, sorted(self.everywhere), len(self._terms), self._below))
        for start in range(0, len(self._terms), _CHUNK):
            to.value(self._terms[start : start + _CHUNK])
        arrays = (self._offsets, self._postings, self._attributes, self._checksums, self._key_documents, self._starts)
        for numbers in arrays:
            to.numbers(numbers)

    @classmethod
    def read(cls, source: RecordReader) -> Index:
        count, everywhere, length, below = source.value(tuple[int, frozenset[str], int, int])
        terms: list[str] = []
        while len(terms) < length:
            terms += source.value(list[str])
        offsets, postings, attributes, checksums, key_documents, starts = (source.numbers(code) for code in "IIBIII")
        return cls(count, everywhere, terms, offsets, postings, attributes, checksums, key_documents, starts, below)

    def postings(self, term: str) -> PostingsRanges:
        terms = self._terms
        at = bisect_left(terms, term)
        if at == len(terms) or terms[at] != term:
            return range(self.count), (0, self.count if term in self.everywhere else 0), True
        return self._postings, self._offsets[at : at + 2], True

    def prefix_postings(self, prefix: str, attributes: int, wanted: int) -> tuple[list[int], bool]:
        """Return the first documents with a prefix in any of the attributes, and whether there may be more documents.

        :param wanted: the number of documents that is enough; more documents may be returned.
        """
        start, end = self._span(prefix)
        masked = _mask(attributes)
        found: list[int] = []
        step = wanted
        while start < end and len(found) < wanted:
            stop = min(end, start + step)
            found += self._masked_postings(start, stop, masked)
            start, step = stop, 2 * step
        return found, start < end

    def prefix_postings_between(self, prefix: str, attributes: int, first: int, end: int) -> Iterable[int]:
        """Return the documents from `first` to `end` (exclusive) with a prefix in any of the attributes."""
        low, high = self._span(prefix)
        low = bisect_left(self._postings, first, low, high)
        return self._masked_postings(low, bisect_left(self._postings, end, low, high), _mask(attributes))

    def fewest_postings(self, prefixes: Iterable[str]) -> PostingsRanges:
        """Return the postings of the prefix that has the fewest postings."""
        return self._postings, min([self._span(prefix) for prefix in prefixes], key=_span_length), True

    def _span(self, prefix: str) -> tuple[int, int]:
        """Return the start and the end of a prefix's postings, which are equal if no document has the prefix."""
        at = bisect_left(self._terms, prefix)
        if at == len(self._terms) or self._terms[at] != prefix:
            return 0, 0
        return self._offsets[at], self._offsets[at + 1]

    def common_postings(
        self, prefixes: Sequence[str], attributes: int, wanted: int, most: int
    ) -> tuple[list[int], bool]:
        """Return the first documents that have each of the prefixes in one of the attributes.

        :param wanted: the maximum number of documents to return.
        :param most: the number of postings after which the function stops reading.
        :returns: the documents, and whether there may be more documents.
        """
        (at, end), *others = sorted([self._span(prefix) for prefix in prefixes], key=_span_length)
        masked = _mask(attributes)
        postings, step = self._postings, min(wanted, _READ)
        found: list[int] = []
        while at < end and len(found) < wanted and most > 0:
            # Each step continues with the next documents, until enough documents with all prefixes are found.
            stop = min(end, at + step)
            common, bound = set(self._masked_postings(at, stop, masked)), postings[stop - 1]
            most -= stop - at
            for number, (start, last) in enumerate(others):
                behind = bisect_right(postings, bound, start, last)
                others[number] = behind, last
                if behind - start <= _FAR_MORE * len(common):
                    common.intersection_update(self._masked_postings(start, behind, masked))
                    most -= behind - start
                else:
                    common = {document for document in common if self._stands(document, start, behind, attributes)}
            found += sorted(common)
            at, step = stop, min(2 * step, _READ)
        return found[:wanted], at < end or len(found) > wanted

    def _masked_postings(self, start: int, end: int, masked: bytes) -> Iterable[int]:
        """Return the documents of the postings from `start` to `end` that have one of the wanted attributes.

        :param masked: the wanted attributes (`_mask`).
        """
        return compress(self._postings[start:end], self._attributes[start:end].tobytes().translate(masked))

    def _stands(self, document: int, start: int, end: int, attributes: int) -> bool:
        """Return whether `document` is among the postings from `start` to `end`, with one of the `attributes`."""
        at = bisect_left(self._postings, document, start, end)
        return at < end and self._postings[at] == document and bool(self._attributes[at] & attributes)

    def range_postings(self, low: str, high: str) -> PostingsRanges:
        """Return the postings of all terms from `low` (included) to `high` (excluded)."""
        if any(low <= term < high for term in self.everywhere):
            return range(self.count), (0, self.count), True
        start = bisect_left(self._terms, low)
        end = bisect_left(self._terms, high, start)
        if end - start > _MAX_RANGES:
            return self._postings, (self._offsets[start], self._offsets[end]), False
        return self._postings, self._offsets[start : end + 1], True

    def key_postings(self, key: str) -> PostingsRanges:
        """Return the postings of a key.

        Two keys have the same checksum once in 4 * 10**9 times, so a document without the key may be among the
        postings.
        """
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
        """Return all terms from `low` (included) to `high` (excluded), in no particular order."""
        start = bisect_left(self._terms, low)
        found = self._terms[start : bisect_left(self._terms, high, start)]
        return found + [term for term in self.everywhere if low <= term < high]


@cache
def _mask(attributes: int) -> bytes:
    """Return a table that clears the bits of all attributes except the given attributes."""
    return bytes([bits & attributes for bits in range(256)])


def _span_length(span: tuple[int, int]) -> int:
    start, end = span
    return end - start


def _sorted_terms(postings: dict[str, Postings]) -> list[str]:
    """Return the terms in order; other threads may run meanwhile, because the terms are sorted in parts.

    Terms without documents are left out: a caller may have requested the postings without adding a document.
    """
    parts: dict[str, list[str]] = {}
    for term in interruptible([term for term, kept in interruptible(postings.items()) if kept.documents]):
        parts.setdefault(term[:3], []).append(term)
    ordered: list[str] = []
    for beginning in interruptible(sorted(parts)):
        ordered += sorted(parts[beginning])
    return ordered


def _parted(checksums: array[int]) -> tuple[array[int], int]:
    """Divide sorted checksums into parts by their highest bits.

    :returns: the start of each part, followed by the end of the last part; and the number of bits below the highest
        bits.
    """
    bits = max(len(checksums).bit_length() - 2, 0)
    below = _BITS - bits
    starts = array("I", [0])
    for part in interruptible(range(1, (1 << bits) + 1)):
        starts.append(bisect_left(checksums, part << below, starts[-1]))
    return starts, below
