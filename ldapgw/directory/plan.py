# SPDX-License-Identifier: MIT
"""Where in an index to look for what a filter asks: a tree of places, worked out once a search.

Of the terms of an AND the one with the fewest entries is enough; those of an OR are merged; NOT, and what no index
helps, may hold for any entry.  A place has every entry that its filter can be true for, and may have others.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import chain
from operator import attrgetter
from typing import Final, NamedTuple

from ldapgw.directory.entry import Entry
from ldapgw.directory.index import LAST, Index

_ORDER = attrgetter("order")

# What part of all entries is not worth sorting: a walk over all finds the first ones as fast.
_WORTH: Final = 3

# Positions that are sorted in one go, some 3 ms; who finds more than that walks, which can be interrupted.
_SORTED: Final = 30_000


class Span(NamedTuple):
    """All terms from one on and before another."""

    low: str
    high: str


class Key(NamedTuple):
    """What has a key."""

    key: str


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

    places: tuple[Place, ...]


class Either(NamedTuple):
    """What stands in any of these places; of none: nothing."""

    places: frozenset[Place]


# A text is a term; None: anywhere.
Place = str | Span | Key | Between | Named | Each | Either | None

NOWHERE: Final = Either(frozenset())


def each(places: Sequence[Place]) -> Place:
    """The place of an AND."""
    if len(places) == 1:
        return places[0]
    known = _narrowed(place for place in places if place is not None)
    if NOWHERE in known:
        return NOWHERE
    return known[0] if len(known) == 1 else Each(known) if known else None


def _narrowed(places: Iterable[Place]) -> tuple[Place, ...]:
    """Places with those between the same two values made one ("from O" and "to Z": Poly turns pages that way)."""
    found: dict[object, Place] = {}
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
    found: set[Place] = set()
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
    positions, tidy = _find(place, index, entries)
    if positions is None or tidy:
        return positions
    return sorted(set(positions)) if len(positions) <= min(index.count // _WORTH, _SORTED) else None


def _find(place: Place, index: Index, entries: Sequence[Entry]) -> tuple[Sequence[int] | None, bool]:
    """The positions, and whether they ascend, each there once."""
    match place:
        case None:
            return None, False
        case str():
            return index.exactly(place), True
        case Key(key):
            return index.keyed(key), True
        case Span(low, high):
            return index.between(low, high), False
        case Between(attribute, low, high):
            return index.between(attribute + low, attribute + high + LAST), False
        case Named(low, high):
            start = bisect_left(entries, low, key=_ORDER)
            return range(start, max(start, bisect_left(entries, high + LAST, key=_ORDER))), True
        case Each(places):
            return _fewest(_find(one, index, entries) for one in places)
    return _together([_find(one, index, entries) for one in place.places])


def _fewest(found: Iterable[tuple[Sequence[int] | None, bool]]) -> tuple[Sequence[int] | None, bool]:
    """The shortest row."""
    best: tuple[Sequence[int] | None, bool] = (None, False)
    for positions, tidy in found:
        if positions is not None and (best[0] is None or len(positions) < len(best[0])):
            best = positions, tidy
    return best


def _together(found: Sequence[tuple[Sequence[int] | None, bool]]) -> tuple[Sequence[int] | None, bool]:
    """All rows in one; a row by itself stays as it is."""
    rows = [(positions, tidy) for positions, tidy in found if positions is None or positions]
    if len(rows) == 1:
        return rows[0]
    held = [positions for positions, _ in rows if positions is not None]
    return (None, False) if len(held) < len(rows) else (list(chain.from_iterable(held)), not held)
