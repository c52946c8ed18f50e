# SPDX-License-Identifier: MIT
"""The walk over what a search covers: every entry that matches, with the place where it stands.

A *place* is a text that sorts all entries of a search.  A walk can begin behind any place, of an entry that is there or
is there no more: that is found by bisection, not by walking.  A walk keeps the tree that it began with.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Generator, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple

from ldapgw.directory import order
from ldapgw.directory.callers import caller
from ldapgw.directory.dit import Dit
from ldapgw.directory.entry import Entry
from ldapgw.directory.filters import Filter, SearchRequest
from ldapgw.directory.matching import Term, numbers_named, prepare, weight
from ldapgw.directory.naming import NamingContext
from ldapgw.directory.scope import Region, regions
from ldapgw.directory.twins import is_same_person
from ldapgw.directory.viewer import Viewer

# Looks at entries between two breaths: a fraction of a millisecond for an ordinary filter, a few for the heaviest.
_LOOKS = 800
_MOST_ENTRIES = 200

_ORDER = attrgetter("order")


class Area(NamedTuple):
    """Entries that one order sorts.

    :ivar start: what the places of its entries begin with; of two areas, all entries of the lesser one come first.
    """

    start: str
    context: NamingContext


class Hit(NamedTuple):
    """An entry that matches, and the area that it stands in."""

    area: Area
    entry: Entry

    @property
    def place(self) -> str:
        """Sorts the hits of a walk, and is the same in the next one."""
        return self.area.start + self.entry.order


class _Found(NamedTuple):
    """An entry with the place of its shelf."""

    order: str
    shelf: int
    entry: Entry


def walk(dit: Dit, viewer: Viewer, request: SearchRequest, after: str = "") -> Iterator[Hit | None]:
    """The entries that match, in the order of their places; limits are not looked at.

    :param after: the place to begin behind.
    :returns: an iterator of hits and breaths: None says that a slice of work is done, and the caller may serve others
        before it goes on.
    :raises DirectoryError: at the first step, when the base is no DN, does not exist, or is not for this viewer.
    """
    for at, region in enumerate(regions(dit, viewer, request.base, request.scope)):
        matches = prepare(request.filter, region.context)
        step = max(1, min(_MOST_ENTRIES, _LOOKS // weight(request.filter)))
        above, below = (Area(f"{at:04x}{level}", region.context) for level in (0, 1))
        if after < below.start:
            for entry in _above(region.single, matches, step, _behind(above, after)):
                yield Hit(above, entry) if entry else None
        if after[: len(below.start)] <= below.start:
            for entry in _below(region, request.filter, matches, step, _behind(below, after)):
                yield Hit(below, entry) if entry else None


def _behind(area: Area, after: str) -> str | None:
    """The order behind which the walk begins in an area; None: with the first entry."""
    return after[len(area.start) :] if after.startswith(area.start) else None


def _above(entries: Sequence[Entry], matches: Term, step: int, behind: str | None) -> Iterator[Entry | None]:
    yield from _steps([entry for entry in entries if behind is None or entry.order > behind], 0, matches, step)


def _below(region: Region, sought: Filter, matches: Term, step: int, behind: str | None) -> Iterator[Entry | None]:
    shelves = [*region.shelves]
    if region.callers:
        shelves.append((yield from _callers(region, sought, step)))
    filled = [shelf for shelf in shelves if shelf]
    if len(filled) == 1:
        start = 0 if behind is None else bisect_right(filled[0], behind, key=_ORDER)
        yield from _steps(filled[0], start, matches, step)
    else:
        yield from _merge(filled, matches, step, behind)


def _callers(region: Region, sought: Filter, step: int) -> Generator[None, None, tuple[Entry, ...]]:
    """What may be told of callers in books that cannot be browsed: nothing, unless the filter names their number."""
    named = tuple(numbers_named(sought, region.context))
    found: dict[str, Entry] = {}
    for shelf in region.callers if named else ():
        for count, entry in enumerate(shelf, start=1):
            known = caller(entry, named, region.context)
            if known is not None:
                found.setdefault(known.dn, known)
            if count % step == 0:
                yield None
    return tuple(sorted(found.values(), key=_ORDER))


def _steps(entries: Sequence[Entry], start: int, matches: Term, step: int) -> Iterator[Entry | None]:
    """The matching entries of one row, from a position on."""
    for at in range(start, len(entries), step):
        if at > start:
            yield None
        yield from [entry for entry in entries[at : at + step] if matches(entry)]


def _merge(shelves: Iterable[Sequence[Entry]], matches: Term, step: int, behind: str | None) -> Iterator[Entry | None]:
    """The matching entries of several shelves in one order, each person once."""
    # All of one name are looked at together: which of them counts must not depend on where a page began.
    first = "" if behind is None else f"{order.name_of(behind)}\0"
    streams = (_numbered(at, shelf, first) for at, shelf in enumerate(shelves))
    group: list[_Found] = []
    for count, found in enumerate(heapq.merge(*streams), start=1):
        if matches(found.entry):
            if group and order.name_of(group[0].order) != order.name_of(found.order):
                yield from _persons(group, behind)
                group = []
            group.append(found)
        if count % step == 0:
            yield None
    yield from _persons(group, behind)


def _numbered(at: int, shelf: Sequence[Entry], first: str) -> Iterator[_Found]:
    """A shelf's entries from an order on."""
    start = bisect_left(shelf, first, key=_ORDER)
    return (_Found(shelf[index].order, at, shelf[index]) for index in range(start, len(shelf)))


def _persons(group: Sequence[_Found], behind: str | None) -> Iterator[Entry]:
    """Entries of one name, without those of a person who is on an earlier shelf too."""
    for found in group:
        if behind is not None and found.order <= behind:
            continue
        earlier = (other.entry for other in group if other.shelf < found.shelf)
        if not any(is_same_person(other, found.entry) for other in earlier):
            yield found.entry
