# SPDX-License-Identifier: MIT
"""Where in an index to look for what a filter asks: a tree of places, worked out once a search.

Of the terms of an AND the one with the fewest entries is enough, and nothing but these is taken out of the index; those
of an OR are merged; NOT, and what no index helps, may hold for any entry.  A place has every entry that its filter can
be true for, and may have others.

Who shows the first ones alone takes out what is before a bound (`first`), and of an AND what is on several sides.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import chain
from operator import attrgetter
from typing import Final, NamedTuple

from ldapgw.directory.entry import Entry
from ldapgw.directory.index import HIGHEST, Index, PostingsRanges

_SORT_KEY = attrgetter("sort_key")

# What part of all entries is not worth sorting: a walk over all finds the first ones as fast.
_WORTH: Final = 3

# Of an AND, what has so many times as many positions as another side tells little of these.
_ALSO: Final = 8

# Runs that are cut at a bound in one go, some 0.3 ms.
_CUT: Final = 1000

# Positions that are sorted in one go, some 3 ms; who finds more than that walks, which can be interrupted.
_SORTED: Final = 30_000


class TermRange(NamedTuple):
    """All terms from one on and before another."""

    low: str
    high: str


class ExactKey:
    """What has a key; never changed once it is made (compiled, a named tuple takes longer to make)."""

    __slots__ = ("key",)

    def __init__(self, key: str) -> None:
        self.key = key

    def __eq__(self, other: object) -> bool:
        """Whether it is the same key."""
        return isinstance(other, ExactKey) and self.key == other.key

    def __hash__(self) -> int:
        """As the key's."""
        return hash(self.key)


class PrefixQuery(NamedTuple):
    """What has a word that begins with a prefix, in one of some attributes (`Index.prefix_postings`)."""

    prefix: str
    attributes: int


class ValueRange(NamedTuple):
    """The terms of an attribute with one value: from the beginning of a value to that of another, both included."""

    attribute: str
    low: str
    high: str


class NameRange(NamedTuple):
    """Entries by their order: those from one name to another, both included."""

    low: str
    high: str


class AndQuery(NamedTuple):
    """What stands in each of these places."""

    queries: tuple[Narrowing, ...]


class OrQuery(NamedTuple):
    """What stands in any of these places; of none: nothing."""

    queries: frozenset[Narrowing]


# A text is a term.
Narrowing = str | PrefixQuery | TermRange | ExactKey | ValueRange | NameRange | AndQuery | OrQuery
# None: anywhere.
Query = Narrowing | None

NO_DOCUMENTS: Final = OrQuery(frozenset())


def all_of(queries: Sequence[Query]) -> Query:
    """The place of an AND."""
    if len(queries) == 1:
        return queries[0]
    known = _narrowed(place for place in queries if place is not None)
    if NO_DOCUMENTS in known:
        return NO_DOCUMENTS
    return known[0] if len(known) == 1 else AndQuery(known) if known else None


def _narrowed(places: Iterable[Narrowing]) -> tuple[Narrowing, ...]:
    """Places with those between the same two values made one ("from O" and "to Z": Poly turns pages that way)."""
    found: dict[object, Narrowing] = {}
    for place in places:
        match place:
            case ValueRange(attribute, low, high):
                held = found.get(attribute)
                if isinstance(held, ValueRange):
                    place = ValueRange(attribute, max(low, held.low), min(high, held.high))
                found[attribute] = place
            case NameRange(low, high):
                held = found.get(NameRange)
                if isinstance(held, NameRange):
                    place = NameRange(max(low, held.low), min(high, held.high))
                found[NameRange] = place
            case _:
                found[place] = place
    return tuple(found.values())


def any_of(queries: Sequence[Query]) -> Query:
    """The place of an OR."""
    if queries and all(place is queries[0] for place in queries):
        return queries[0]
    found: set[Narrowing] = set()
    for place in queries:
        if place is None:
            return None
        if isinstance(place, OrQuery):
            found |= place.queries
        else:
            found.add(place)
    return found.pop() if len(found) == 1 else OrQuery(frozenset(found))


def find_documents(query: Query, index: Index, entries: Sequence[Entry]) -> Sequence[int] | None:
    """The documents that a query finds, ascending, each once; None: all of them.

    :param entries: those that the index is of.
    """
    if query is None:
        return None
    if isinstance(query, PrefixQuery):
        return index.prefix_postings(query.prefix, query.attributes, index.count)[0]
    found = _postings(query, index, entries)
    if len(found) == 1 and len(found[0][1]) == 2 and found[0][2]:
        documents, ranges, _ = found[0]
        return documents[ranges[0] : ranges[1]]
    if _count(found) > min(index.count // _WORTH, _SORTED):
        return None
    return sorted(set(chain.from_iterable([held[ranges[0] : ranges[-1]] for held, ranges, _ in found])))


def first_documents(query: Query, index: Index, entries: Sequence[Entry], most: int) -> tuple[Sequence[int], bool]:
    """The first documents that a query finds, ascending, each once; whether there may be others behind them.

    :param entries: those that the index is of.
    :param most: documents that are enough; there may be fewer of them although there are others.
    """
    if query is None:
        return range(min(most, index.count)), index.count > most
    if isinstance(query, PrefixQuery):
        found, has_more = index.prefix_postings(query.prefix, query.attributes, most)
        return found[:most], has_more or len(found) > most
    if isinstance(query, ExactKey | str):
        held, (start, end), _ = index.key_postings(query.key) if isinstance(query, ExactKey) else index.postings(query)
        return held[start : min(end, start + most)], end - start > most
    sides = query.queries if isinstance(query, AndQuery) else (query,)
    counts = sorted([(count(one, index, entries), number) for number, one in enumerate(sides)])
    least = counts[0][0] * _ALSO
    chosen = [_postings(sides[number], index, entries) for documents, number in counts if documents <= least]
    documents = _first(chosen, index.count, most)
    if documents is None:
        documents = find_documents(query, index, entries)
    if documents is None:
        documents = range(index.count)
    return documents[:most], len(documents) > most


def count(query: Query, index: Index, entries: Sequence[Entry]) -> int:
    """How many documents a query finds at most: those that several terms find are counted several times."""
    if query is None:
        return index.count
    if isinstance(query, AndQuery):
        return min([count(one, index, entries) for one in query.queries])
    if isinstance(query, OrQuery):
        return sum([count(one, index, entries) for one in query.queries])
    _, ranges, _ = _postings_of(query, index, entries)
    return ranges[-1] - ranges[0]


def _first(sides: Sequence[Sequence[PostingsRanges]], count: int, most: int) -> Sequence[int] | None:
    """The first positions that stand on all sides, as far as it helps to look at them: more than `most`, or all.

    Those before a bound are cut out of each run; where too few of them are on all sides, the bound is put off.

    :param sides: of an AND, that with the fewest positions first; or the only one.
    :param count: of all entries.
    :returns: None: that would take too long.
    """
    if not _count(sides[0]):
        return ()
    rows = list(chain.from_iterable(sides))
    if sum([len(runs) if ascends else _CUT for _, runs, ascends in rows]) >= _CUT:
        return None
    whole, expected = _count(rows), count  # positions, and how many entries are likely to be on all sides
    for side in sides:
        expected = expected * min(_count(side), count) // count
    bound = min(count, count * most * 2 // max(expected, 1))
    while whole * bound <= _SORTED * count:
        before = _before(sides[0], bound)
        for side in sides[1:]:
            before &= _before(side, bound)
        found = sorted(before)
        if bound == count or len(found) > most:
            return found
        bound = min(count, bound * 4)
    return None


def _before(rows: Sequence[PostingsRanges], bound: int) -> set[int]:
    """The positions of rows that are before a bound."""
    found: set[int] = set()
    for held, runs, _ in rows:
        for at in range(len(runs) - 1):
            start, end = runs[at], runs[at + 1]
            found.update(held[start : bisect_left(held, bound, start, end)])
    return found


def _postings(query: Narrowing, index: Index, entries: Sequence[Entry]) -> list[PostingsRanges]:
    """Where the positions stand.

    Nothing is taken out: what an AND has no need of costs a look, however much it is.
    """
    if isinstance(query, AndQuery):
        _, smallest = min([(count(one, index, entries), number) for number, one in enumerate(query.queries)])
        return _postings(query.queries[smallest], index, entries)
    if isinstance(query, OrQuery):
        return _union(query, index, entries)
    return [_postings_of(query, index, entries)]


def _postings_of(
    query: str | PrefixQuery | TermRange | ExactKey | ValueRange | NameRange, index: Index, entries: Sequence[Entry]
) -> PostingsRanges:
    match query:
        case str():
            return index.postings(query)
        case PrefixQuery(prefix=prefix):
            return index.postings(prefix)
        case ExactKey(key=key):
            return index.key_postings(key)
        case TermRange(low, high):
            return index.range_postings(low, high)
        case ValueRange(attribute, low, high):
            return index.range_postings(attribute + low, attribute + high + HIGHEST)
    start = bisect_left(entries, query.low, key=_SORT_KEY)
    end = bisect_left(entries, query.high + HIGHEST, key=_SORT_KEY)
    return range(index.count), (start, max(start, end)), True


def _union(query: OrQuery, index: Index, entries: Sequence[Entry]) -> list[PostingsRanges]:
    """Those of all places that have any."""
    every: list[PostingsRanges] = []
    for one in query.queries:
        if isinstance(one, PrefixQuery):
            documents, _ = index.prefix_postings(one.prefix, one.attributes, index.count)
            every.append((documents, (0, len(documents)), True))
        else:
            every += [index.postings(one)] if isinstance(one, str) else _postings(one, index, entries)
    return [row for row in every if row[1][0] < row[1][-1]]


def _count(rows: Sequence[PostingsRanges]) -> int:
    """How many positions they have; those that are there twice are counted twice."""
    return sum([runs[-1] - runs[0] for _, runs, _ in rows])
