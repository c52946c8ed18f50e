# SPDX-License-Identifier: MIT
"""A tenant's shared books as one, so that a search does not cost more the more books there are.

Large books keep the shelves that they have; small ones are joined on one.  When one of those changes, its entries are
withdrawn from there and it is joined with others that have changed, until so many are that all are joined anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from ldapgw.contact import Sharing
from ldapgw.directory.book import Book
from ldapgw.directory.dedup import duplicate_flags
from ldapgw.directory.segment import Segment

# Shelves that a search looks through one by one; it costs some microseconds for each.
_MAX_SEGMENTS = 8
# As many as are left when they have become too many, and the part of all entries that one has to have to stay alone.
_SEGMENTS_AFTER_MERGE = 4
_LARGE_PART = 16


@dataclass(frozen=True, slots=True, repr=False)
class MergedSegment:
    """Several shelves on one.

    :ivar sources: those of which it has all entries that count.
    """

    segment: Segment
    sources: tuple[Segment, ...]


@dataclass(frozen=True, slots=True, repr=False)
class SharedBooks:
    """What phones see of other people's books.

    :ivar containers: the shared books' own entries, and their labels'.
    :ivar contacts: the shared books' contacts.
    :ivar numbers: the same, an entry for each number.
    :ivar callers: the contacts of books that tell a caller's name and no more.
    """

    containers: tuple[MergedSegment, ...] = ()
    contacts: tuple[MergedSegment, ...] = ()
    numbers: tuple[MergedSegment, ...] = ()
    callers: tuple[MergedSegment, ...] = ()

    @property
    def is_tidy(self) -> bool:
        """Whether there are no more shelves than a search should look through."""
        return max(map(len, (self.containers, self.contacts, self.numbers, self.callers))) <= _MAX_SEGMENTS

    def form(self, *, per_number: bool) -> tuple[Segment, ...]:
        """The shared books' contacts in the form that a viewer wants, as far as it was built."""
        return segments_of(self.numbers if per_number and self.numbers else self.contacts)


def segments_of(merged: Iterable[MergedSegment]) -> tuple[Segment, ...]:
    """What is searched."""
    return tuple(one.segment for one in merged)


def merge_shared_books(books: Iterable[Book], before: SharedBooks, *, defer_merge: bool = False) -> SharedBooks:
    """The union of books.

    :param before: another one, of which as much is taken over as can be.
    :param at_once: build nothing; there may be more shelves then than a search should look through.
    """
    every = tuple(books)
    shared = [book for book in every if book.sharing is Sharing.SHARED]
    callers = [book for book in every if book.sharing is Sharing.CALLERS]
    by_number = shared if any(book.segments.numbers for book in shared) else []
    return SharedBooks(
        _merged((book.containers for book in shared), before.containers, at_once=defer_merge),
        _merged((shelf for book in shared for shelf in book.segments.contacts), before.contacts, at_once=defer_merge),
        _merged(
            (shelf for book in by_number for shelf in book.segments.form(per_number=True)),
            before.numbers,
            at_once=defer_merge,
        ),
        _merged((shelf for book in callers for shelf in book.segments.contacts), before.callers, at_once=defer_merge),
    )


def _merged(shelves: Iterable[Segment], before: Sequence[MergedSegment], *, at_once: bool) -> tuple[MergedSegment, ...]:
    # A shelf from which more was withdrawn has the same entries.
    wanted = {id(shelf.entries): shelf for shelf in shelves if len(shelf)}
    kept = []
    for joined in before:
        left = _left(joined, wanted)
        if left is not None:
            kept.append(left)
            for shelf in left.sources:
                del wanted[id(shelf.entries)]
    found = [*kept, *(MergedSegment(shelf, (shelf,)) for shelf in wanted.values())]
    return tuple(found) if at_once or len(found) <= _MAX_SEGMENTS else _fewer(found)


def _left(joined: MergedSegment, wanted: dict[int, Segment]) -> MergedSegment | None:
    """What is left of it: None if that is not worth keeping, or is a shelf by itself."""
    now = [wanted.get(id(shelf.entries)) for shelf in joined.sources]
    alive = tuple(shelf for shelf in now if shelf is not None)
    if alive == joined.sources:
        return joined
    if sum(map(len, alive)) < len(joined.segment.entries) // 2 or joined.segment is joined.sources[0]:
        return None
    pairs = zip(joined.sources, now, strict=True)
    gone = {id(entry) for old, new in pairs for entry in (old if new is None else new.deleted_since(old))}
    positions = [position for position, entry in enumerate(joined.segment.entries) if id(entry) in gone]
    return MergedSegment(joined.segment.with_deleted(positions), alive)


def _fewer(joined: Sequence[MergedSegment]) -> tuple[MergedSegment, ...]:
    """The same on few shelves: large ones as they are, all others joined."""
    ordered = sorted(joined, key=lambda one: -len(one.segment))
    least = sum(len(one.segment) for one in ordered) / _LARGE_PART
    large = sum(len(one.segment) > least for one in ordered[: _SEGMENTS_AFTER_MERGE - 1])
    alone, others = ordered[:large], ordered[large:]
    sources = tuple(chain.from_iterable(one.sources for one in others))
    shelf = Segment.build(chain.from_iterable(sources))
    return (*alone, MergedSegment(shelf.with_duplicates(duplicate_flags(shelf.entries)), sources))
