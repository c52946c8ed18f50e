# SPDX-License-Identifier: MIT
"""Search (RFC 4511 4.5): the directory as a function of who asks and what for.

A search keeps the tree that it began with: a sync in the middle of it, or between two pages, changes nothing for it.
"""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import NamedTuple

from ldapgw.directory.callers import caller
from ldapgw.directory.dit import Dit
from ldapgw.directory.entry import Entry
from ldapgw.directory.filters import Filter, SearchRequest
from ldapgw.directory.matching import Term, numbers_named, prepare, weight
from ldapgw.directory.scope import Region, regions
from ldapgw.directory.twins import is_same_person
from ldapgw.directory.viewer import Viewer
from ldapgw.errors import DirectoryError, ResultCode

# Looks at entries between two breaths: a fraction of a millisecond for an ordinary filter, a few for the heaviest.
_LOOKS = 800
_MOST_ENTRIES = 200


class _Found(NamedTuple):
    """An entry with the place of its shelf; sorts as people sort names."""

    order: str
    shelf: int
    entry: Entry


def search(dit: Dit, viewer: Viewer, request: SearchRequest) -> Iterator[Entry | None]:
    """The entries that a search finds, in the order of their names.

    :param request: its size limit is the one to keep; 0: none.
    :returns: an iterator of entries and breaths: None says that a slice of work is done, and the caller may serve
        others before it goes on.
    :raises DirectoryError: at the first step, when the base is no DN, does not exist, or is not for this viewer; behind
        the last entry, when there are more than the size limit allows.
    """
    sent = 0
    for region in regions(dit, viewer, request.base, request.scope):
        for entry in _in_region(region, request.filter):
            if entry is not None:
                if sent == request.size_limit > 0:
                    raise DirectoryError(ResultCode.SIZE_LIMIT_EXCEEDED, "there are more entries")
                sent += 1
            yield entry


def _in_region(region: Region, sought: Filter) -> Iterator[Entry | None]:
    matches = prepare(sought, region.context)
    step = max(1, min(_MOST_ENTRIES, _LOOKS // weight(sought)))
    yield from (entry for entry in region.single if matches(entry))
    shelves = [*region.shelves]
    if region.callers:
        shelves.append((yield from _callers(region, sought, step)))
    filled = [shelf for shelf in shelves if shelf]
    if len(filled) == 1:
        yield from _walk(filled[0], matches, step)
    else:
        yield from _merge(filled, matches, step)


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
    return tuple(sorted(found.values(), key=lambda entry: entry.order))


def _walk(shelf: Sequence[Entry], matches: Term, step: int) -> Iterator[Entry | None]:
    """The matching entries of one shelf."""
    for start in range(0, len(shelf), step):
        if start:
            yield None
        yield from [entry for entry in shelf[start : start + step] if matches(entry)]


def _merge(shelves: Iterable[Sequence[Entry]], matches: Term, step: int) -> Iterator[Entry | None]:
    """The matching entries of several shelves in one order, each person once."""
    streams = (_numbered(at, shelf) for at, shelf in enumerate(shelves))
    group: list[_Found] = []
    for count, found in enumerate(heapq.merge(*streams), start=1):
        if matches(found.entry):
            if group and _name(group[0]) != _name(found):
                yield from _persons(group)
                group = []
            group.append(found)
        if count % step == 0:
            yield None
    yield from _persons(group)


def _numbered(at: int, shelf: Sequence[Entry]) -> Iterator[_Found]:
    return (_Found(entry.order, at, entry) for entry in shelf)


def _name(found: _Found) -> str:
    """The folded name: what two entries of one person share, and by which they stand beside each other."""
    return found.order.partition("\0")[0]


def _persons(group: Sequence[_Found]) -> Iterator[Entry]:
    """Entries of one name, without those of a person who is on an earlier shelf too."""
    for found in group:
        earlier = (other.entry for other in group if other.shelf < found.shelf)
        if not any(is_same_person(other, found.entry) for other in earlier):
            yield found.entry
