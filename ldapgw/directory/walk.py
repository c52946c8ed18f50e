# SPDX-License-Identifier: MIT
"""The walk over what a search covers: every entry that matches, with the place where it stands.

A *place* is a text that sorts all entries of a search.  A walk can begin behind any place, of an entry that is there or
is there no more: that is found by bisection, not by walking.  A walk keeps the tree that it began with.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Generator, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple

from ldapgw.directory import order
from ldapgw.directory.batch import Area, Batch
from ldapgw.directory.blocks import SIZE
from ldapgw.directory.callers import caller
from ldapgw.directory.dit import Dit
from ldapgw.directory.entry import Entry
from ldapgw.directory.filters import Filter, SearchRequest
from ldapgw.directory.matcher import ALWAYS, Matcher
from ldapgw.directory.matching import numbers_named, prepare, weight
from ldapgw.directory.once import each_once
from ldapgw.directory.scope import Region, regions
from ldapgw.directory.shelf import Shelf
from ldapgw.directory.viewer import Viewer

# Looks at entries between two breaths: a fraction of a millisecond for an ordinary filter, a few for the heaviest.
_LOOKS = 800
_MOST_ENTRIES = SIZE
# Less is left of them where a filter has so many terms that looking into an index may take a millisecond, too.
_HEAVY = 20
# Where all match nobody looks.
_WHOLE = 16 * SIZE
# The first ones: what an index has found for a phone, which wants a list of 50 at most.
_FIRST = 64

_ORDER = attrgetter("order")


class Hit(NamedTuple):
    """An entry that matches, and the area that it stands in."""

    area: Area
    entry: Entry

    @property
    def place(self) -> str:
        """Sorts the hits of a walk, and is the same in the next one."""
        return self.area.start + self.entry.order


def walk(dit: Dit, viewer: Viewer, request: SearchRequest, after: str = "") -> Iterator[Hit | None]:
    """The entries that match, in the order of their places; limits are not looked at.

    :param after: the place to begin behind.
    :returns: an iterator of hits and breaths: None says that a slice of work is done, and the caller may serve others
        before it goes on.
    :raises DirectoryError: at the first step, when the base is no DN, does not exist, or is not for this viewer.
    """
    for batch in batches(dit, viewer, request, after):
        if batch is None:
            yield None
        else:
            yield from [Hit(batch.area, batch.shelf.entries[position]) for position in batch.positions]


def batches(dit: Dit, viewer: Viewer, request: SearchRequest, after: str = "") -> Iterator[Batch | None]:
    """The same in batches, none of them empty; None is a breath."""
    for at, region in enumerate(regions(dit, viewer, request.base, request.scope)):
        matcher = prepare(request.filter, region.context)
        step = max(1, min(_MOST_ENTRIES, _LOOKS // weight(request.filter)))
        above, below = (Area(f"{at:04x}{level}", region.context) for level in (0, 1))
        if after < below.start:
            yield from _matching(above, region.above, matcher, step, _behind(above, after))
        if after[: len(below.start)] <= below.start:
            callers = yield from _callers(region, request.filter, step)
            shelves, mixed = (*region.shelves, *callers), region.mixed or bool(callers)
            own = region.own if mixed else None
            yield from _matching(below, shelves, matcher, step, _behind(below, after), own)


def _behind(area: Area, after: str) -> str | None:
    """The order behind which the walk begins in an area; None: with the first entry."""
    return after[len(area.start) :] if after.startswith(area.start) else None


def _matching(
    area: Area, shelves: Sequence[Shelf], matcher: Matcher, step: int, behind: str | None, own: str | None = None
) -> Iterator[Batch | None]:
    """The matching entries of one area.

    :param own: the path of the viewer's own book, where each person is to come once; None: they are different anyway.
    """
    if own is not None:
        first = None if behind is None else order.name_of(behind) + order.END
        yield from each_once(_runs(area, shelves, matcher, step, first, None), own, behind)
    elif len(shelves) == 1:
        yield from _steps(area, shelves[0], shelves[0].find(matcher.place, behind=behind), matcher, step)
    else:
        yield from _runs(area, shelves, matcher, step, None, behind)


def _callers(region: Region, sought: Filter, step: int) -> Generator[None, None, tuple[Shelf, ...]]:
    """What may be told of callers in books that cannot be browsed: nothing, unless the filter names their number."""
    if not region.callers:
        return ()
    numbers = numbers_named(sought, region.context)
    found: dict[str, Entry] = {}
    for shelf in region.callers if numbers.named else ():
        for count, position in enumerate(shelf.find(numbers.place), start=1):
            entry = shelf.entries[position]
            known = caller(entry, numbers.named, region.context) if entry.origin.path != region.own else None
            if known is not None:
                found.setdefault(known.dn, known)
            if count % step == 0:
                yield None
    return (Shelf(tuple(sorted(found.values(), key=_ORDER))),) if found else ()


def _steps(
    area: Area,
    shelf: Shelf,
    positions: Sequence[int],
    matcher: Matcher,
    step: int,
    start: int = 0,
    stop: int | None = None,
) -> Iterator[Batch | None]:
    """The matching entries of one shelf among those at some positions."""
    entries, holds, every = shelf.entries, matcher.term.holds, matcher.term is ALWAYS
    stop = len(positions) if stop is None else stop
    step = _WHOLE if every else step
    at, end = start, start + (step if every else min(step, _FIRST))
    while at < stop:
        if at > start:
            yield None
        some = positions[at : min(end, stop)]
        at, end = end, (end // step + 1) * step  # where all match, as blocks stand
        found = some if every else [position for position in some if holds(entries[position])]
        if found:
            yield Batch(area, shelf, found)


def _runs(
    area: Area, shelves: Iterable[Shelf], matcher: Matcher, step: int, first: str | None, behind: str | None
) -> Iterator[Batch | None]:
    """The matching entries of several shelves in one order: of each shelf as many as come before another's next.

    :param first: the least order that counts; `behind`: the one behind which entries count.
    """
    rows = []
    for shelf in shelves:
        rows.append((shelf, shelf.find(matcher.place, first, behind)))
        if step < _HEAVY:
            yield None
    heads = [(shelf.entries[row[0]].order, at, 0) for at, (shelf, row) in enumerate(rows) if row]
    heapq.heapify(heads)
    looked = 0
    while heads:
        _, at, start = heapq.heappop(heads)
        shelf, row = rows[at]
        stop = _before(heads[0][0], shelf.entries, row, start + 1) if heads else len(row)
        yield from _steps(area, shelf, row, matcher, step, start, stop)
        if stop < len(row):
            heapq.heappush(heads, (shelf.entries[row[stop]].order, at, stop))
        looked += stop - start
        if looked >= step:
            looked = 0
            yield None


def _before(order_: str, entries: Sequence[Entry], positions: Sequence[int], start: int) -> int:
    """Where the first entry stands, from a place on, that does not come before an order."""
    if start == len(positions) or entries[positions[start]].order >= order_:
        return start
    return bisect_left(positions, order_, lo=start, key=lambda position: entries[position].order)
