# SPDX-License-Identifier: MIT
"""The query plan of a filter: a tree of queries, made once per search, that finds candidate documents in an index.

A query finds every document for which its filter can be true, and may find other documents.  For an AND, only the
condition with the fewest documents is read from the index.  For an OR, the documents of all conditions are merged.  A
NOT and an assertion without index terms have no query, because both may be true for any entry.

`first_documents` finds only the first documents.  For an AND, the function looks at all conditions that exclude many
documents, and reads only documents below a bound.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import chain
from operator import attrgetter
from typing import Final, NamedTuple, Protocol

from ldapgw.directory.index import HIGHEST, Index, PostingsRanges
from ldapgw.directory.name_folding import MAX_SORT_NAME, NO_LETTERS

_SORT_KEY: Final = attrgetter("sort_key")

# If a query finds more than 1/`_MAX_PART` of all documents, all documents are tested in order, because the query would
# not find the first matches faster.
_MAX_PART: Final = 3

# An AND leaves out each condition with more than `_FAR_MORE` times as many postings as the condition with the fewest
# postings.  Such a condition excludes few documents.
_FAR_MORE: Final = 8

# If the conditions of an AND have at most `_FEW` postings in total, all postings are read.  For more postings, reading
# only the documents below a bound is faster.
_FEW: Final = 512

# `_first` returns None if the postings have `_MAX_RANGES` or more ranges.  For 1000 ranges, `_first` would need some
# 0.3 ms to find the documents below a bound.
_MAX_RANGES: Final = 1000

# The maximum number of postings of several prefixes that are read in one slice of work.  The reading takes some 3 ms.
_MAX_COMMON: Final = 100_000

# The maximum number of documents that are sorted in one slice of work, in some 3 ms.  If a query finds more documents,
# all documents of the index are tested in order, in several slices.
_MAX_SORTED: Final = 30_000


class _Sorted(Protocol):
    """An entry, of which a plan reads only the sort key."""

    @property
    def sort_key(self) -> bytes:
        """Return the key by which the entries of an index are sorted."""


class TermRange(NamedTuple):
    """A query for documents with a term from `low` (included) to `high` (excluded)."""

    low: str
    high: str


class ExactKey:
    """A query for documents with a key.  The query never changes.

    The class is no named tuple, because named tuples are slow to make in compiled code.
    """

    __slots__ = ("key",)

    def __init__(self, key: str) -> None:
        self.key = key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ExactKey) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


class PrefixQuery(NamedTuple):
    """A query for documents with a prefix in any of the attributes (`Index.prefix_postings`).

    With the query, the server answers 78 % more searches by name per second than without (``scripts/bench parts``).
    """

    prefix: str
    attributes: int


class CommonPrefixQuery(NamedTuple):
    """A query for documents that have each of the prefixes in one of the attributes (`Index.common_postings`)."""

    prefixes: tuple[str, ...]
    attributes: int


class ValueRange(NamedTuple):
    """A query for documents with a value of a single-valued attribute.

    The value begins with `low`, with `high`, or with a text between `low` and `high`.
    """

    attribute: str
    low: str
    high: str


class NameRange(NamedTuple):
    """A query for documents whose name begins with `low`, with `high`, or with a text between `low` and `high`."""

    low: str
    high: str


class AndQuery(NamedTuple):
    """A query for documents that all of its queries find."""

    queries: tuple[Narrowing, ...]


class OrQuery(NamedTuple):
    """A query for documents that any of its queries finds; an OR without queries finds no documents."""

    queries: frozenset[Narrowing]


# A query that excludes some documents.  A string is a term, and stands for a query for the documents with this term.
Narrowing = str | PrefixQuery | CommonPrefixQuery | TermRange | ExactKey | ValueRange | NameRange | AndQuery | OrQuery
# None stands for all documents.
Query = Narrowing | None

NO_DOCUMENTS: Final = OrQuery(frozenset())


def all_of(queries: Sequence[Query]) -> Query:
    """Return the query of an AND."""
    if len(queries) == 1:
        return queries[0]
    narrowings = _intersected([query for query in queries if query is not None])
    if NO_DOCUMENTS in narrowings:
        return NO_DOCUMENTS
    return narrowings[0] if len(narrowings) == 1 else AndQuery(narrowings) if narrowings else None


def _intersected(queries: Iterable[Narrowing]) -> tuple[Narrowing, ...]:
    """Replace the ranges of one attribute by their intersection; Poly phones request a page as "from O" and "to Z"."""
    result: dict[object, Narrowing] = {}
    for query in queries:
        match query:
            case ValueRange(attribute, low, high):
                other = result.get(attribute)
                if isinstance(other, ValueRange):
                    query = ValueRange(attribute, max(low, other.low), min(high, other.high))
                result[attribute] = query
            case NameRange(low, high):
                other = result.get(NameRange)
                if isinstance(other, NameRange):
                    query = NameRange(max(low, other.low), min(high, other.high))
                result[NameRange] = query
            case _:
                result[query] = query
    return tuple(result.values())


def any_of(queries: Sequence[Query]) -> Query:
    """Return the query of an OR."""
    if queries and all(query is queries[0] for query in queries):
        return queries[0]
    narrowings: set[Narrowing] = set()
    for query in queries:
        if query is None:
            return None
        if isinstance(query, OrQuery):
            narrowings |= query.queries
        else:
            narrowings.add(query)
    return narrowings.pop() if len(narrowings) == 1 else OrQuery(frozenset(narrowings))


def find_documents(query: Query, index: Index, entries: Sequence[_Sorted]) -> Sequence[int] | None:
    """Return the documents that a query finds, ascending without repetition; None if all documents must be tested."""
    if query is None:
        return None
    if isinstance(query, PrefixQuery):
        return index.prefix_postings(query.prefix, query.attributes, index.count)[0]
    if isinstance(query, CommonPrefixQuery):
        found, has_more = index.common_postings(query.prefixes, query.attributes, index.count, _MAX_COMMON)
        return None if has_more else found
    prefixes = _prefixes_of(query)
    if prefixes:
        return _first_of_prefixes(prefixes, index, index.count)[0]
    postings = _postings(query, index, entries)
    if len(postings) == 1 and len(postings[0][1]) == 2 and postings[0][2]:
        documents, ranges, _ = postings[0]
        return documents[ranges[0] : ranges[1]]
    if _count(postings) > min(index.count // _MAX_PART, _MAX_SORTED):
        return None
    return sorted(_documents_of(postings))


def first_documents(query: Query, index: Index, entries: Sequence[_Sorted], most: int) -> tuple[Sequence[int], bool]:
    """Return the first documents that a query finds, ascending without repetition, and whether there may be more.

    The limit `most` lets the server answer 12 % more searches by a part of a name per second (``scripts/bench parts``).

    :param most: the maximum number of documents to return.  Fewer documents are returned if there are no more, or if
        finding more documents would take too long.
    """
    if query is None:
        return range(min(most, index.count)), index.count > most
    if isinstance(query, (ExactKey, str)):
        postings, (start, end), _ = (
            index.key_postings(query.key) if isinstance(query, ExactKey) else index.postings(query)
        )
        if end - start > most:
            return postings[start : start + most], True
        return postings[start:end], False
    if isinstance(query, PrefixQuery):
        found, has_more = index.prefix_postings(query.prefix, query.attributes, most)
        return found[:most], has_more or len(found) > most
    if isinstance(query, CommonPrefixQuery):
        return index.common_postings(query.prefixes, query.attributes, most, _MAX_COMMON)
    prefixes = _prefixes_of(query)
    if prefixes:
        found, has_more = _first_of_prefixes(prefixes, index, most)
        return found[:most], has_more or len(found) > most
    if isinstance(query, AndQuery):
        found_by = [_postings(each, index, entries) for each in query.queries]
        counts = sorted([(_count(each), number) for number, each in enumerate(found_by)])
        limit = counts[0][0] * _FAR_MORE
        chosen = [found_by[number] for length, number in counts if length <= limit]
    else:
        chosen = [_postings(query, index, entries)]
    documents = _first(chosen, index.count, most)
    if documents is None:
        documents = find_documents(query, index, entries)
    if documents is None:
        documents = range(index.count)
    return documents[:most], len(documents) > most


def documents_of_prefixes(query: Query, index: Index, start: int) -> tuple[list[int], bool] | None:
    """Return the next documents that several prefixes find, ascending without repetition.

    :param start: the first document that may be returned.
    :returns: the documents, and whether there may be more documents behind them.  The function is only for an OR of
        prefixes that find many documents, for which `find_documents` would take longer than a slice of work.  For any
        other query, the result is None.
    """
    prefixes = _prefixes_of(query)
    total = count(query, index, ()) if prefixes else 0
    if total <= _MAX_SORTED:
        return None
    step = max(1, index.count * _MAX_SORTED // total)
    documents: list[int] = []
    while start < index.count and not documents:
        end = start + step
        found = [index.prefix_postings_between(each.prefix, each.attributes, start, end) for each in prefixes]
        documents = sorted(set(chain.from_iterable(found)))
        start = end
    return documents, start < index.count


def _prefixes_of(query: Query) -> list[PrefixQuery]:
    """Return the queries of an OR that consists of prefix queries; empty for any other query."""
    if not isinstance(query, OrQuery):
        return []
    prefixes = [each for each in query.queries if isinstance(each, PrefixQuery)]
    return prefixes if len(prefixes) == len(query.queries) else []


def _first_of_prefixes(prefixes: Sequence[PrefixQuery], index: Index, wanted: int) -> tuple[list[int], bool]:
    """Return the first documents that any of the prefixes finds, and whether there may be more.

    The result contains at least the first `wanted` documents, unless there are fewer documents.
    """
    found = [index.prefix_postings(each.prefix, each.attributes, wanted) for each in prefixes]
    documents = set(chain.from_iterable([documents for documents, _ in found]))
    return sorted(documents), any([has_more for _, has_more in found])  # noqa: C419  a list is faster


def count(query: Query, index: Index, entries: Sequence[_Sorted]) -> int:
    """Return an upper bound for the number of documents that a query finds.

    If several terms find a document, the document is counted several times.
    """
    if query is None:
        return index.count
    if isinstance(query, AndQuery):
        return min([count(each, index, entries) for each in query.queries])
    if isinstance(query, OrQuery):
        return sum([count(each, index, entries) for each in query.queries])
    _, ranges, _ = _postings_of(query, index, entries)
    return ranges[-1] - ranges[0]


def _first(conditions: Sequence[Sequence[PostingsRanges]], count: int, most: int) -> Sequence[int] | None:
    """Return the first documents that all conditions of an AND find.

    The result has more than `most` documents, or all documents that the conditions find.  The function reads the
    documents below a bound, and raises the bound if the result is too small.

    :param conditions: the postings of each condition, the fewest first.
    :returns: the documents, or None if finding the documents would take too long.
    """
    if not _count(conditions[0]):
        return ()
    postings = list(chain.from_iterable(conditions))
    total = _count(postings)
    if total <= _FEW:
        return sorted(set.intersection(*[_documents_of(condition) for condition in conditions]))
    if sum([len(ranges) if ascends else _MAX_RANGES for _, ranges, ascends in postings]) >= _MAX_RANGES:
        return None
    expected = count  # the number of documents that probably fulfil all conditions
    for condition in conditions:
        expected = expected * min(_count(condition), count) // count
    bound = min(count, count * most * 2 // max(expected, 1))
    while total * bound <= _MAX_SORTED * count:
        before = _before(conditions[0], bound)
        for condition in conditions[1:]:
            before &= _before(condition, bound)
        documents = sorted(before)
        if bound == count or len(documents) > most:
            return documents
        bound = min(count, bound * 4)
    return None


def _documents_of(postings: Sequence[PostingsRanges]) -> set[int]:
    return set(chain.from_iterable([documents[ranges[0] : ranges[-1]] for documents, ranges, _ in postings]))


def _before(postings: Sequence[PostingsRanges], bound: int) -> set[int]:
    """Return each document of the postings that is below a bound."""
    before: set[int] = set()
    for documents, ranges, _ in postings:
        for number in range(len(ranges) - 1):
            start, end = ranges[number], ranges[number + 1]
            before.update(documents[start : bisect_left(documents, bound, start, end)])
    return before


def _postings(query: Narrowing, index: Index, entries: Sequence[_Sorted]) -> list[PostingsRanges]:
    """Return the postings of a query; for an AND, the postings of the condition with the fewest postings.

    The postings of all other conditions are only counted, so conditions with many documents take no more time.
    """
    if isinstance(query, AndQuery):
        _, smallest = min([(count(each, index, entries), number) for number, each in enumerate(query.queries)])
        return _postings(query.queries[smallest], index, entries)
    if isinstance(query, OrQuery):
        found = [postings for each in query.queries for postings in _postings(each, index, entries)]
        return [postings for postings in found if postings[1][0] < postings[1][-1]]
    return [_postings_of(query, index, entries)]


def _postings_of(
    query: str | PrefixQuery | CommonPrefixQuery | TermRange | ExactKey | ValueRange | NameRange,
    index: Index,
    entries: Sequence[_Sorted],
) -> PostingsRanges:
    match query:
        case str():
            return index.postings(query)
        case PrefixQuery(prefix=prefix):
            return index.postings(prefix)
        case CommonPrefixQuery(prefixes):
            return index.fewest_postings(prefixes)
        case ExactKey(key=key):
            return index.key_postings(key)
        case TermRange(low, high):
            return index.range_postings(low, high)
        case ValueRange(attribute, low, high):
            return index.range_postings(attribute + low, attribute + high + HIGHEST)
    return range(index.count), _name_range(query, entries), True


def _name_range(query: NameRange, entries: Sequence[_Sorted]) -> tuple[int, int]:
    """Return the start and the end of the documents whose names lie in a range.

    A range may have names with letters and names without letters, which are sorted last.  If the range has names of
    both groups, the result also includes all documents between the two groups.
    """
    start = _first_from(entries, query.low)
    last = _first_from(entries, NO_LETTERS)
    end = min(_first_from(entries, query.high + HIGHEST), last)
    if last < len(entries):
        bare_start = _first_from(entries, (NO_LETTERS + query.low)[:MAX_SORT_NAME], last)
        bare_end = _first_from(entries, NO_LETTERS + query.high + HIGHEST, bare_start)
        if bare_start < bare_end:
            return (start if start < end else bare_start), bare_end
    return start, max(start, end)


def _first_from(entries: Sequence[_Sorted], name: str, start: int = 0) -> int:
    """Return the first document at or after `start` whose name equals or follows the given name."""
    return bisect_left(entries, name.encode("utf-8", "surrogatepass"), start, key=_SORT_KEY)


def _count(postings: Sequence[PostingsRanges]) -> int:
    """Count postings; a document with two postings is counted twice."""
    return sum([ranges[-1] - ranges[0] for _, ranges, _ in postings])
