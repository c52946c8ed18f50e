# SPDX-License-Identifier: MIT
"""Which entries of the same name, in several books, are the same person.

Two are if they say the same of how to reach somebody: the same telephone numbers, or the same mail addresses where
there is no number.  A caller of a book that cannot be browsed has lost its other numbers (and its uid): the one that is
left is enough.

Entries that a walk has found, as they stand on one shelf: by their positions, so that ready octets can be taken.

Each person once: what a walk over several books finds, without those who are in a book that goes before.

All entries of one name are looked at together, because which of them counts must not depend on where a page began.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from ldapgw.directory import assertion, name_folding
from ldapgw.directory.access import NamingContext
from ldapgw.directory.entry import MAX_SORT_NAME, NAME_END, Entry, Selection, sort_name
from ldapgw.directory.inet_org_person import NUMBER_ATTRIBUTES
from ldapgw.directory.schema import ATTRIBUTE_TYPES, attribute_type
from ldapgw.directory.segment import PAGE_SIZE, Segment

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
    for _, group in groupby(range(len(entries)), key=lambda at: sort_name(entries[at].sort_key)):
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
    return len(places) > 1 and len({entries[at].parent.uuid_namespace for at in places}) > 1


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
    return entry.search_text(_UID) is None


def _precedence(entry: Entry, own: str) -> _Precedence:
    """One's own book, then the shared ones, then the Workspace directory, then callers."""
    origin = entry.parent
    return origin.uuid_namespace != own, origin.precedence, origin.uuid_namespace


def _person(entry: Entry) -> _Person:
    is_whole = len(sort_name(entry.sort_key)) < MAX_SORT_NAME
    return _reached(entry), "" if is_whole else name_folding.collation_key(entry.attribute("cn")[0].decode())


def _reached(entry: Entry) -> frozenset[str]:
    """The entry's telephone numbers, however they are written; its mail addresses where it has none."""
    lines = (line for kind in _NUMBERS for line in assertion.lines_of(entry.search_text(kind) or ""))
    numbers = frozenset(map(_number, lines))
    return numbers or frozenset(mail.decode().lower() for mail in entry.attribute("mail"))


def _number(line: str) -> str:
    if not line.startswith("\t"):
        return line
    number = assertion.number_of(line)
    return number.e164 or number.digits


class Area(NamedTuple):
    """Entries that one order sorts.

    :ivar start: what the places of its entries begin with; of two areas, all entries of the lesser one come first.
    """

    start: str
    context: NamingContext


class Batch:
    """Entries that match, in their order, on one shelf.

    :ivar positions: theirs on the shelf.
    """

    __slots__ = ("area", "positions", "shelf")

    def __init__(self, area: Area, shelf: Segment, positions: Sequence[int]) -> None:
        self.area = area
        self.shelf = shelf
        self.positions = positions

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def last_name(self) -> str:
        """The folded name of the last one."""
        return sort_name(self.shelf.entries[self.positions[-1]].sort_key)

    def part(self, start: int, end: int) -> Batch:
        """Some of them."""
        return Batch(self.area, self.shelf, self.positions[start:end])

    def before(self, stands: str) -> int:
        """How many of them come before an order."""
        entries = self.shelf.entries
        return bisect_left(self.positions, stands, key=lambda position: entries[position].sort_key)

    def encoded(self, start: int, count: int, selection: Selection, *, types_only: bool) -> list[bytes]:
        """Some of them as whole SearchResultEntries, ready to stand behind a message id."""
        positions = self.positions
        ahead = PAGE_SIZE - positions[start] % PAGE_SIZE
        if ahead < count and positions[start : start + ahead][-1] - positions[start] == ahead - 1:
            count = ahead  # up to where a block begins
        return self.shelf.encode(positions[start : start + count], selection, types_only=types_only)

    def block(self, start: int, selection: Selection, message_id: bytes) -> tuple[bytes, int] | None:
        """The messages of those that stand in one block of the shelf, and how many they are.

        None where that has others, or is not kept.

        :param message_id: an INTEGER, as it stands in each.
        """
        positions = self.positions
        first, end = positions[start], min(start + PAGE_SIZE, len(positions))
        count = end - start
        if positions[end - 1] - first != count - 1:
            return None
        messages = self.shelf.pages.at(first, count, selection, message_id)
        return None if messages is None else (messages, count)


# Behind a name: the least text behind every order of that name; and behind an order: the least that comes next.
_BEHIND_NAME: Final = "\1"
_NEXT: Final = "\0"

# Entries that are taken apart between two breaths: some milliseconds.
_MOST: Final = 200


def each_once(found: Iterable[Batch | None], own: str, behind: str | None) -> Iterator[Batch | None]:
    """Batches in one order, without doubles.

    :param own: the path of the viewer's own book.
    :param behind: the order behind which entries count; those of its name are among the first.
    """
    sieve = _Sieve(own, behind)
    name = "" if behind is None else sort_name(behind)
    group: list[Batch] = []
    for batch in found:
        if batch is None:
            yield None
        elif len(batch) == 1:  # where books interleave, nearly all are
            theirs = batch.last_name
            if theirs != name:
                yield from sieve.namesakes(group)
                group, name = [], theirs
            group.append(batch)
        else:
            start = batch.before(name + _BEHIND_NAME)
            if start:
                group.append(batch.part(0, start))
            if start < len(batch):
                yield from sieve.namesakes(group)
                name = batch.last_name
                end = batch.before(name + NAME_END)
                if start < end:
                    yield from sieve.apart(batch.part(start, end))
                group = [batch.part(end, len(batch))]
    yield from sieve.namesakes(group)


class _Sieve:
    """Mutable: how many entries it has taken apart since its last breath."""

    def __init__(self, own: str, behind: str | None) -> None:
        self._own = own
        self._behind = behind
        self._count = 0

    def namesakes(self, group: Sequence[Batch]) -> Iterator[Batch | None]:
        """All entries of one name."""
        several = len(group) > 1 and len({id(batch.shelf) for batch in group}) > 1
        if several or any(batch.shelf.has_twins(batch.positions) for batch in group):
            group = yield from self._without_doubles(group)
        for batch in group:
            left = batch if self._behind is None else batch.part(batch.before(self._behind + _NEXT), len(batch))
            if left:
                yield left

    def apart(self, batch: Batch) -> Iterator[Batch | None]:
        """Entries of whose names there are no others on another shelf."""
        if not batch.shelf.has_twins(batch.positions):
            yield batch
            return
        entries = batch.shelf.entries
        for _, same in groupby(batch.positions, key=lambda position: sort_name(entries[position].sort_key)):
            yield from self.namesakes([Batch(batch.area, batch.shelf, [*same])])

    def _without_doubles(self, group: Sequence[Batch]) -> Generator[None, None, list[Batch]]:
        namesakes = Namesakes(self._own)
        for batch in group:
            for position in batch.positions:
                namesakes.add(batch.shelf.entries[position])
                self._count += 1
                if self._count >= _MOST:
                    self._count = 0
                    yield None
        left, first = [], 0
        for batch in group:
            kept = [position for at, position in enumerate(batch.positions, first) if not namesakes.is_double(at)]
            left.append(Batch(batch.area, batch.shelf, kept))
            first += len(batch)
        return left
