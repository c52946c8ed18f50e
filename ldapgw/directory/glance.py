# SPDX-License-Identifier: MIT
"""A search that one look is enough for: as phones search, for a number or for the first names of a list.

It finds what the walk finds, or says that the walk has to be taken: where the index leaves too many entries to look at
in one go, where books and labels themselves are found, and where callers' names may be told.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter

from ldapgw.directory import order
from ldapgw.directory.entry import Entry
from ldapgw.directory.index import LAST
from ldapgw.directory.matcher import Matcher, Term
from ldapgw.directory.scope import Region
from ldapgw.directory.shelf import Shelf
from ldapgw.directory.twins import Namesakes

# Entries that are looked at on one shelf: those that a phone shows, and as many that the index gave in vain.
_LOOKS = 128


# Where an entry stands in the order, on which shelf, and at which position.
_Row = tuple[str, int, int]


class Seen:
    """What one look has found; never changed once it is made (compiled, a named tuple takes longer to make).

    :ivar rows: positions on shelves, in the order of their entries.
    :ivar more: whether there are more entries than are allowed.
    """

    __slots__ = ("more", "rows")

    def __init__(self, rows: Sequence[tuple[Shelf, Sequence[int]]], *, more: bool) -> None:
        self.rows = rows
        self.more = more


class Glance:
    """What is the same for all searches in a region.

    :ivar context: where they are asked.
    """

    __slots__ = ("_above", "_letters", "_only", "_region", "_tells_callers", "context")

    def __init__(self, region: Region) -> None:
        self.context = region.context
        self._region = region
        self._above = region.above
        self._tells_callers = bool(region.callers)
        self._letters = frozenset[str]().union(*[shelf.letters for shelf in region.above])
        self._only = region.shelves[0] if len(region.shelves) == 1 and not region.mixed else None

    def look(self, matcher: Matcher, limit: int) -> Seen | None:
        """Look once.

        :param limit: most entries; more than 0.
        :returns: None: the walk has to be taken.
        """
        if matcher.calls and self._tells_callers:
            return None
        letters = matcher.letters
        if letters is None or not letters.isdisjoint(self._letters):
            for shelf in self._above:
                positions, unseen = _look(shelf, matcher, 0)
                if positions or unseen:
                    return None
        only = self._only
        if only is None:
            return _together(self._region, matcher, limit)
        return _seen(only, *_look(only, matcher, limit), limit)


def _seen(shelf: Shelf, positions: Sequence[int], unseen: bool, limit: int) -> Seen | None:  # noqa: FBT001  of `_look`
    """What is seen on one shelf."""
    more = len(positions) > limit
    return None if unseen and not more else Seen(((shelf, positions[:limit] if more else positions),), more=more)


def _look(shelf: Shelf, matcher: Matcher, limit: int) -> tuple[Sequence[int], bool]:
    """Some of the positions that match, at least one more than the limit if there are; whether there may be others."""
    positions, others = shelf.first(matcher.place, _LOOKS)
    entries, term = shelf.entries, matcher.term
    enough = limit + 1
    if len(positions) <= enough:
        return _held(positions, entries, term), others
    found = _held(positions[:enough], entries, term)
    if len(found) > limit:
        return found, True
    return found + _held(positions[enough:], entries, term), others


def _held(positions: Sequence[int], entries: tuple[Entry, ...], term: Term) -> list[int]:
    return [position for position in positions if term.holds(entries[position])]


def _together(region: Region, matcher: Matcher, limit: int) -> Seen | None:
    """Look at several shelves, or at one on which the same person may be more than once."""
    looked = [(shelf, *_look(shelf, matcher, limit)) for shelf in region.shelves]
    busy = [one for one in looked if one[1] or one[2]]
    if len(busy) == 1 and not (region.mixed and busy[0][0].has_twins(busy[0][1])):
        return _seen(*busy[0], limit)
    found: list[_Row] = []
    certain = LAST  # the order up to which nothing is unseen
    for at, (shelf, positions, unseen) in enumerate(looked):
        entries = shelf.entries
        found += [(entries[position].order, at, position) for position in positions]
        if unseen:
            certain = min(certain, found[-1][0] if positions else "")
    found.sort()
    if region.mixed:
        # All of one name are looked at together.
        names = [one[0].partition(order.END)[0] for one in found]
        found = found[: bisect_left(names, order.name_of(certain))]
        if len(set(names)) < len(names):
            found = _each_once(found, region, limit)
    else:
        found = found[: bisect_right(found, certain, key=itemgetter(0))]
    more = len(found) > limit
    if (certain != LAST and not more) or min(len(found), limit) > _LOOKS:
        return None
    rows = groupby(found[:limit], key=itemgetter(1))
    return Seen([(region.shelves[at], [position for _, _, position in row]) for at, row in rows], more=more)


def _each_once(found: Sequence[_Row], region: Region, limit: int) -> list[_Row]:
    """Without those of a person who is there before, as far as they are wanted."""
    chosen: list[_Row] = []
    shelves = region.shelves
    for _, group in groupby(found, key=lambda one: order.name_of(one[0])):
        if len(chosen) > limit:
            break
        same = [*group]
        if len(same) > 1 and _may_be_twins(same, shelves):
            namesakes = Namesakes(region.own)
            for _, at, position in same:
                namesakes.add(shelves[at].entries[position])
            same = [one for place, one in enumerate(same) if not namesakes.is_double(place)]
        chosen += same
    return chosen


def _may_be_twins(same: Sequence[_Row], shelves: Sequence[Shelf]) -> bool:
    """Whether any of several entries of one name may be the same person."""
    first = same[0][1]
    return any(at != first for _, at, _ in same) or shelves[first].has_twins([position for _, _, position in same])
