# SPDX-License-Identifier: MIT
"""The shelves of a book or a label: one with nearly all contacts, and small ones with those that have changed since.

A change costs what it changes: old entries are withdrawn from the shelf that they stand on, and new ones are put on
another shelf, together with all those that stand on shelves not much larger.  So there are few shelves, and an entry
is put on another one a few times at most.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ldapgw.directory.entry import Entry
from ldapgw.directory.origin import Place
from ldapgw.directory.shelf import Shelf

# How many times as large as the next one a shelf has to be to stay; and the part of it that may be withdrawn.
_TIMES = 8


@dataclass(frozen=True, slots=True)
class Shelves:
    """The same contacts in two forms: an entry for each contact, and an entry for each number (if wanted).

    Each form may be on several shelves, of which no two have an entry for the same contact.
    """

    contacts: tuple[Shelf, ...] = ()
    numbers: tuple[Shelf, ...] = ()

    def __len__(self) -> int:
        """How many contacts there are."""
        return sum(map(len, self.contacts))

    @property
    def per_number(self) -> bool:
        """Whether the form with an entry for each number is wanted."""
        return bool(self.numbers)

    def form(self, *, per_number: bool) -> tuple[Shelf, ...]:
        """The form that a viewer wants, as far as it was built."""
        return self.numbers if per_number and self.numbers else self.contacts

    def of_uid(self, uid: str) -> Entry | None:
        """An entry by the folded value of its uid, in either form."""
        found = (shelf.of_uid(uid) for shelf in (*self.contacts, *self.numbers))
        return next(filter(None, found), None)

    def revised(self, gone: Collection[str], whole: Iterable[Entry], singles: Iterable[Entry]) -> Shelves:
        """With some contacts in place of others.

        :param gone: uids of contacts, who may be on none of the shelves.
        :param whole: the entries of the others, as `contacts` has them.
        :param singles: those of their numbers.
        """
        contacts = _revised(self.contacts, gone, _of_contacts, [*whole])
        numbers = _revised(self.numbers, gone, _of_numbers, [*singles])
        return Shelves(contacts, numbers if self.per_number else ())

    def moved(self, place: Place) -> Shelves:
        """The same contacts at another place of the tree."""
        return Shelves(*(tuple(shelf.moved(place) for shelf in form) for form in (self.contacts, self.numbers)))


def no_shelves(*, per_number: bool) -> Shelves:
    """Nobody yet.

    :param per_number: also one entry for each number.
    """
    return Shelves((Shelf.of(()),), (Shelf.of(()),) if per_number else ())


def _of_contacts(shelf: Shelf, uids: Iterable[str]) -> Iterator[int]:
    """The positions of contacts."""
    return (position for uid in uids if (position := shelf.position(uid)) is not None)


def _of_numbers(shelf: Shelf, uids: Iterable[str]) -> Iterator[int]:
    """The positions of contacts' numbers, which are counted from 1 on and stand on one shelf."""
    for uid in uids:
        at = 1
        while (position := shelf.position(f"{uid}-{at}")) is not None:
            yield position
            at += 1


def _revised(
    shelves: Sequence[Shelf],
    gone: Collection[str],
    positions: Callable[[Shelf, Collection[str]], Iterable[int]],
    new: list[Entry],
) -> tuple[Shelf, ...]:
    left: list[Shelf] = []
    for shelf in shelves:
        withdrawn = tuple(positions(shelf, gone)) if len(shelf) else ()
        left.append(shelf.without(withdrawn) if withdrawn else shelf)
    while left and len(left[-1]) < _TIMES * len(new):
        new += left.pop()
    kept = [shelf if shelf.withdrawn.count(1) * _TIMES <= len(shelf.entries) else Shelf.of(shelf) for shelf in left]
    if new or not kept:
        kept.append(Shelf.of(new))
    return tuple(shelf for shelf in kept if len(shelf)) or (kept[0],)
