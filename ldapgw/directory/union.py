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
from ldapgw.directory.shelf import Shelf

# Shelves that a search looks through one by one; it costs some microseconds for each.
_MOST = 8
# As many as are left when they have become too many.
_FEW = 4


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

    def form(self, *, per_number: bool) -> tuple[Shelf, ...]:
        """The shared books' contacts in the form that a viewer wants, as far as it was built."""
        return shelves(self.numbers if per_number and self.numbers else self.contacts)


def shelves(joined: Iterable[Joined]) -> tuple[Shelf, ...]:
    """What is searched."""
    return tuple(one.shelf for one in joined)


def unite(books: Iterable[Book], before: Union) -> Union:
    """The union of books.

    :param before: another one, of which as much is taken over as can be.
    """
    every = tuple(books)
    shared = [book for book in every if book.sharing is Sharing.SHARED]
    callers = [book for book in every if book.sharing is Sharing.CALLERS]
    by_number = shared if any(book.shelves.numbers for book in shared) else []
    return Union(
        _joined((book.containers for book in shared), before.containers),
        _joined((shelf for book in shared for shelf in book.shelves.contacts), before.contacts),
        _joined((shelf for book in by_number for shelf in book.shelves.form(per_number=True)), before.numbers),
        _joined((shelf for book in callers for shelf in book.shelves.contacts), before.callers),
    )


def _joined(shelves: Iterable[Shelf], before: Sequence[Joined]) -> tuple[Joined, ...]:
    wanted = {id(shelf): shelf for shelf in shelves if len(shelf)}
    kept = []
    for joined in before:
        left = _left(joined, wanted)
        if left is not None:
            kept.append(left)
            for shelf in left.sources:
                del wanted[id(shelf)]
    return _tidy([*kept, *(Joined(shelf, (shelf,)) for shelf in wanted.values())])


def _left(joined: Joined, wanted: dict[int, Shelf]) -> Joined | None:
    """What is left of it: None if that is not worth keeping."""
    alive = tuple(shelf for shelf in joined.sources if id(shelf) in wanted)
    if len(alive) == len(joined.sources):
        return joined
    count = sum(map(len, alive))
    if count < len(joined.shelf.entries) // 2:
        return None
    gone = {id(entry) for shelf in joined.sources if id(shelf) not in wanted for entry in shelf}
    positions = [position for position, entry in enumerate(joined.shelf.entries) if id(entry) in gone]
    return Joined(joined.shelf.without(positions), alive)


def _tidy(joined: Sequence[Joined]) -> tuple[Joined, ...]:
    """The same on few shelves: the largest as they are, all others joined."""
    ordered = sorted(joined, key=lambda one: -len(one.shelf))
    if len(ordered) <= _MOST:
        return tuple(ordered)
    alone, others = ordered[: _FEW - 1], ordered[_FEW - 1 :]
    sources = tuple(chain.from_iterable(one.sources for one in others))
    return (*alone, Joined(Shelf.of(chain.from_iterable(sources)), sources))
