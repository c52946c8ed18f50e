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
from ldapgw.directory.index import LAST, Index, Row

_ORDER = attrgetter("order")

# What part of all entries is not worth sorting: a walk over all finds the first ones as fast.
_WORTH: Final = 3

# Of an AND, what has so many times as many positions as another side tells little of these.
_ALSO: Final = 8

# Runs that are cut at a bound in one go, some 0.3 ms.
_CUT: Final = 1000

# Positions that are sorted in one go, some 3 ms; who finds more than that walks, which can be interrupted.
_SORTED: Final = 30_000


class Span(NamedTuple):
    """All terms from one on and before another."""

    low: str
    high: str


class Key:
    """What has a key; never changed once it is made (compiled, a named tuple takes longer to make)."""

    __slots__ = ("key",)

    def __init__(self, key: str) -> None:
        self.key = key

    def __eq__(self, other: object) -> bool:
        """Whether it is the same key."""
        return isinstance(other, Key) and self.key == other.key

    def __hash__(self) -> int:
        """As the key's."""
        return hash(self.key)


class Between(NamedTuple):
    """The terms of an attribute with one value: from the beginning of a value to that of another, both included."""

    attribute: str
    low: str
    high: str


class Named(NamedTuple):
    """Entries by their order: those from one name to another, both included."""

    low: str
    high: str


class Each(NamedTuple):
    """What stands in each of these places."""

    places: tuple[Somewhere, ...]


class Either(NamedTuple):
    """What stands in any of these places; of none: nothing."""

    places: frozenset[Somewhere]


# A text is a term.
Somewhere = str | Span | Key | Between | Named | Each | Either
# None: anywhere.
Place = Somewhere | None

NOWHERE: Final = Either(frozenset())


def each(places: Sequence[Place]) -> Place:
    """The place of an AND."""
    if len(places) == 1:
        return places[0]
    known = _narrowed(place for place in places if place is not None)
    if NOWHERE in known:
        return NOWHERE
    return known[0] if len(known) == 1 else Each(known) if known else None


def _narrowed(places: Iterable[Somewhere]) -> tuple[Somewhere, ...]:
    """Places with those between the same two values made one ("from O" and "to Z": Poly turns pages that way)."""
    found: dict[object, Somewhere] = {}
    for place in places:
        match place:
            case Between(attribute, low, high):
                held = found.get(attribute)
                if isinstance(held, Between):
                    place = Between(attribute, max(low, held.low), min(high, held.high))
                found[attribute] = place
            case Named(low, high):
                held = found.get(Named)
                if isinstance(held, Named):
                    place = Named(max(low, held.low), min(high, held.high))
                found[Named] = place
            case _:
                found[place] = place
    return tuple(found.values())


def either(places: Sequence[Place]) -> Place:
    """The place of an OR."""
    if places and all(place is places[0] for place in places):
        return places[0]
    found: set[Somewhere] = set()
    for place in places:
        if place is None:
            return None
        if isinstance(place, Either):
            found |= place.places
        else:
            found.add(place)
    return found.pop() if len(found) == 1 else Either(frozenset(found))


def find(place: Place, index: Index, entries: Sequence[Entry]) -> Sequence[int] | None:
    """The positions in a place, ascending, each once; None: anywhere.

    :param entries: those that the index is of.
    """
    if place is None:
        return None
    rows = _rows(place, index, entries)
    if len(rows) == 1 and len(rows[0][1]) == 2 and rows[0][2]:
        held, runs, _ = rows[0]
        return held[runs[0] : runs[1]]
    if _count(rows) > min(index.count // _WORTH, _SORTED):
        return None
    return sorted(set(chain.from_iterable([held[runs[0] : runs[-1]] for held, runs, _ in rows])))


def first(place: Place, index: Index, entries: Sequence[Entry], most: int) -> tuple[Sequence[int], bool]:
    """The first positions in a place, ascending, each once; whether there may be others behind them.

    :param entries: those that the index is of.
    :param most: positions that are enough; there may be fewer of them although there are others.
    """
    if place is None:
        return range(min(most, index.count)), index.count > most
    if isinstance(place, Key | str):
        held, (start, end), _ = index.keyed(place.key) if isinstance(place, Key) else index.exactly(place)
        return held[start : min(end, start + most)], end - start > most
    sides = [_rows(one, index, entries) for one in (place.places if isinstance(place, Each) else (place,))]
    positions = _first(sorted(sides, key=_count), index.count, most)
    if positions is None:
        positions = find(place, index, entries)
    if positions is None:
        positions = range(index.count)
    return positions[:most], len(positions) > most


def _first(sides: Sequence[Sequence[Row]], count: int, most: int) -> Sequence[int] | None:
    """The first positions that stand on all sides, as far as it helps to look at them: more than `most`, or all.

    Those before a bound are cut out of each run; where too few of them are on all sides, the bound is put off.

    :param sides: of an AND, that with the fewest positions first; or the only one.
    :param count: of all entries.
    :returns: None: that would take too long.
    """
    least = _count(sides[0])
    if not least:
        return ()
    sides = [side for side in sides if _count(side) <= least * _ALSO]
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


def _before(rows: Sequence[Row], bound: int) -> set[int]:
    """The positions of rows that are before a bound."""
    found: set[int] = set()
    for held, runs, _ in rows:
        for at in range(len(runs) - 1):
            start, end = runs[at], runs[at + 1]
            found.update(held[start : bisect_left(held, bound, start, end)])
    return found


def _rows(place: Somewhere, index: Index, entries: Sequence[Entry]) -> list[Row]:
    """Where the positions stand.

    Nothing is taken out: what an AND has no need of costs a look, however much it is.
    """
    if isinstance(place, Each):
        return _fewest(place, index, entries)
    if isinstance(place, Either):
        return _together(place, index, entries)
    return [_row(place, index, entries)]


def _row(place: str | Span | Key | Between | Named, index: Index, entries: Sequence[Entry]) -> Row:
    match place:
        case str():
            return index.exactly(place)
        case Key(key=key):
            return index.keyed(key)
        case Span(low, high):
            return index.between(low, high)
        case Between(attribute, low, high):
            return index.between(attribute + low, attribute + high + LAST)
    start = bisect_left(entries, place.low, key=_ORDER)
    end = bisect_left(entries, place.high + LAST, key=_ORDER)
    return range(index.count), (start, max(start, end)), True


def _fewest(places: Each, index: Index, entries: Sequence[Entry]) -> list[Row]:
    """Those of the place that has the fewest positions."""
    first, *others = places.places
    best = _rows(first, index, entries)
    least = _count(best)
    for place in others:
        rows = _rows(place, index, entries)
        count = _count(rows)
        if count < least:
            best, least = rows, count
    return best


def _together(places: Either, index: Index, entries: Sequence[Entry]) -> list[Row]:
    """Those of all places that have any."""
    every: list[Row] = []
    for place in places.places:
        every += [index.exactly(place)] if isinstance(place, str) else _rows(place, index, entries)
    return [row for row in every if row[1][0] < row[1][-1]]


def _count(rows: Sequence[Row]) -> int:
    """How many positions they have; those that are there twice are counted twice."""
    return sum([runs[-1] - runs[0] for _, runs, _ in rows])
