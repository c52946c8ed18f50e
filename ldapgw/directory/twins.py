# SPDX-License-Identifier: MIT
"""Which entries of the same name, in several books, are the same person.

Two are if they say the same of how to reach somebody: the same telephone numbers, or the same mail addresses where
there is no number.  A caller of a book that cannot be browsed has lost its other numbers (and its uid): the one that is
left is enough.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby

from ldapgw.directory import fold, haystack, order
from ldapgw.directory.entry import Entry
from ldapgw.directory.person import NUMBER_ATTRIBUTES
from ldapgw.directory.schema import ATTRIBUTE_TYPES, attribute_type

_NUMBERS = tuple(kind for kind in map(attribute_type, dict.fromkeys(NUMBER_ATTRIBUTES.values())) if kind)

_UID = next(kind for kind in ATTRIBUTE_TYPES if kind.name == "uid")

# Telephone numbers or mail addresses, and the whole name where the order has only its beginning.
_Person = tuple[frozenset[str], str]

_Precedence = tuple[bool, int, str]


def twins(entries: Sequence[Entry]) -> bytes:
    """For each of a shelf's entries, whether one of another book may be the same person; empty: none is.

    :param entries: contacts in their order.
    """
    found = bytearray(len(entries))
    for _, group in groupby(range(len(entries)), key=lambda at: order.name_of(entries[at].order)):
        namesakes = [*group]
        if _are_of_several_books(namesakes, entries):
            persons: defaultdict[_Person, list[int]] = defaultdict(list)
            for at in namesakes:
                persons[_person(entries[at])].append(at)
            for same in persons.values():
                if _are_of_several_books(same, entries):
                    for at in same:
                        found[at] = 1
    return bytes(found) if any(found) else b""


def _are_of_several_books(places: Sequence[int], entries: Sequence[Entry]) -> bool:
    return len(places) > 1 and len({entries[at].origin.path for at in places}) > 1


def is_same_person(kept: Entry, other: Entry) -> bool:
    """Whether an entry says nothing that one of the same name does not."""
    whole, part = _person(kept), _person(other)
    return _holds(whole, part) if _is_caller(other) else whole == part


class Namesakes:
    """Entries of one name; those of a person who has one in a book that goes before are doubles.

    :param own: the path of the viewer's own book.
    """

    __slots__ = ("_entries", "_first", "_own", "_persons", "_reached_by")

    def __init__(self, own: str) -> None:
        self._own = own
        self._entries: list[Entry] = []
        self._persons: list[_Person] = []
        self._first: dict[_Person, _Precedence] = {}
        self._reached_by: defaultdict[str, list[int]] = defaultdict(list)

    def add(self, entry: Entry) -> None:
        """One more; the first one is 0."""
        person, precedence = _person(entry), _precedence(entry, self._own)
        if not _is_caller(entry):
            for number in person[0]:
                self._reached_by[number].append(len(self._entries))
        self._first[person] = min(self._first.get(person, precedence), precedence)
        self._entries.append(entry)
        self._persons.append(person)

    def is_double(self, at: int) -> bool:
        """Whether the one at a place is a double; to be asked when all are there."""
        entry, person = self._entries[at], self._persons[at]
        precedence = _precedence(entry, self._own)
        if not _is_caller(entry):
            return self._first[person] < precedence
        others = (other for number in person[0] for other in self._reached_by[number])
        return any(
            _precedence(self._entries[other], self._own) < precedence and _holds(self._persons[other], person)
            for other in others
        )


def _holds(whole: _Person, part: _Person) -> bool:
    return part[0] <= whole[0] and part[1] == whole[1]


def _is_caller(entry: Entry) -> bool:
    return entry.haystack(_UID) is None


def _precedence(entry: Entry, own: str) -> _Precedence:
    """One's own book, then the shared ones, then the Workspace directory, then callers."""
    origin = entry.origin
    return origin.path != own, origin.rank, origin.path


def _person(entry: Entry) -> _Person:
    is_whole = len(order.name_of(entry.order)) < order.LONGEST_NAME
    return _reached(entry), "" if is_whole else fold.collation(entry.attribute("cn")[0].decode())


def _reached(entry: Entry) -> frozenset[str]:
    """The entry's telephone numbers, however they are written; its mail addresses where it has none."""
    lines = (line for kind in _NUMBERS for line in haystack.lines_of(entry.haystack(kind) or ""))
    numbers = frozenset(map(_number, lines))
    return numbers or frozenset(mail.decode().lower() for mail in entry.attribute("mail"))


def _number(line: str) -> str:
    if not line.startswith("\t"):
        return line
    number = haystack.number_of(line)
    return number.e164 or number.digits
