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
from ldapgw.directory.dedup import twins
from ldapgw.directory.segment import Shelf

# Shelves that a search looks through one by one; it costs some microseconds for each.
_MOST = 8
# As many as are left when they have become too many, and the part of all entries that one has to have to stay alone.
_FEW = 4
_PART = 16


@dataclass(frozen=True, slots=True, repr=False)
class Joined:
    """Several shelves on one.

    :ivar sources: those of which it has all entries that count.
    """

    shelf: Shelf
    sources: tuple[Shelf, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Union:
    """What phones see of other people's books.

    :ivar containers: the shared books' own entries, and their labels'.
    :ivar contacts: the shared books' contacts.
    :ivar numbers: the same, an entry for each number.
    :ivar callers: the contacts of books that tell a caller's name and no more.
    """

    containers: tuple[Joined, ...] = ()
    contacts: tuple[Joined, ...] = ()
    numbers: tuple[Joined, ...] = ()
    callers: tuple[Joined, ...] = ()

    @property
    def is_tidy(self) -> bool:
        """Whether there are no more shelves than a search should look through."""
        return max(map(len, (self.containers, self.contacts, self.numbers, self.callers))) <= _MOST

    def form(self, *, per_number: bool) -> tuple[Shelf, ...]:
        """The shared books' contacts in the form that a viewer wants, as far as it was built."""
        return shelves(self.numbers if per_number and self.numbers else self.contacts)


def shelves(joined: Iterable[Joined]) -> tuple[Shelf, ...]:
    """What is searched."""
    return tuple(one.shelf for one in joined)


def unite(books: Iterable[Book], before: Union, *, at_once: bool = False) -> Union:
    """The union of books.

    :param before: another one, of which as much is taken over as can be.
    :param at_once: build nothing; there may be more shelves then than a search should look through.
    """
    every = tuple(books)
    shared = [book for book in every if book.sharing is Sharing.SHARED]
    callers = [book for book in every if book.sharing is Sharing.CALLERS]
    by_number = shared if any(book.shelves.numbers for book in shared) else []
    return Union(
        _joined((book.containers for book in shared), before.containers, at_once=at_once),
        _joined((shelf for book in shared for shelf in book.shelves.contacts), before.contacts, at_once=at_once),
        _joined(
            (shelf for book in by_number for shelf in book.shelves.form(per_number=True)),
            before.numbers,
            at_once=at_once,
        ),
        _joined((shelf for book in callers for shelf in book.shelves.contacts), before.callers, at_once=at_once),
    )


def _joined(shelves: Iterable[Shelf], before: Sequence[Joined], *, at_once: bool) -> tuple[Joined, ...]:
    # A shelf from which more was withdrawn has the same entries.
    wanted = {id(shelf.entries): shelf for shelf in shelves if len(shelf)}
    kept = []
    for joined in before:
        left = _left(joined, wanted)
        if left is not None:
            kept.append(left)
            for shelf in left.sources:
                del wanted[id(shelf.entries)]
    found = [*kept, *(Joined(shelf, (shelf,)) for shelf in wanted.values())]
    return tuple(found) if at_once or len(found) <= _MOST else _fewer(found)


def _left(joined: Joined, wanted: dict[int, Shelf]) -> Joined | None:
    """What is left of it: None if that is not worth keeping, or is a shelf by itself."""
    now = [wanted.get(id(shelf.entries)) for shelf in joined.sources]
    alive = tuple(shelf for shelf in now if shelf is not None)
    if alive == joined.sources:
        return joined
    if sum(map(len, alive)) < len(joined.shelf.entries) // 2 or joined.shelf is joined.sources[0]:
        return None
    pairs = zip(joined.sources, now, strict=True)
    gone = {id(entry) for old, new in pairs for entry in (old if new is None else new.withdrawn_since(old))}
    positions = [position for position, entry in enumerate(joined.shelf.entries) if id(entry) in gone]
    return Joined(joined.shelf.without(positions), alive)


def _fewer(joined: Sequence[Joined]) -> tuple[Joined, ...]:
    """The same on few shelves: large ones as they are, all others joined."""
    ordered = sorted(joined, key=lambda one: -len(one.shelf))
    least = sum(len(one.shelf) for one in ordered) / _PART
    large = sum(len(one.shelf) > least for one in ordered[: _FEW - 1])
    alone, others = ordered[:large], ordered[large:]
    sources = tuple(chain.from_iterable(one.sources for one in others))
    shelf = Shelf.of(chain.from_iterable(sources))
    return (*alone, Joined(shelf.marked(twins(shelf.entries)), sources))
