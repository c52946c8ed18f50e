# SPDX-License-Identifier: MIT
"""Duplicates: which entries of one name, in several books, are the same person, and which of them is shown.

Two entries of one name are the same person if they have the same telephone numbers, or the same mail addresses if they
have no number (`is_same_person`).  A caller-ID entry has only one of the contact's numbers and no uid; this number is
enough.

Of the entries of one person, the entry in the book that goes first is shown: first the books that the tenant's
`book_order` names, then the viewer's own book, the shared books, the Workspace directory, and the caller-ID books.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby

from ldapgw.directory import name_folding, normalization
from ldapgw.directory.entry import MAX_SORT_NAME, Entry, sort_name
from ldapgw.directory.schema import ATTRIBUTE_TYPES, NUMBER_TYPES

_UID = next(kind for kind in ATTRIBUTE_TYPES if kind.name == "uid")

# Telephone numbers or mail addresses, and the whole name where the sort key has only its beginning.
_Person = tuple[frozenset[str], str]

_Precedence = tuple[int, str]


def duplicate_flags(entries: Sequence[Entry]) -> bytes:
    """For each of a segment's entries, whether an entry of another book may be the same person; empty: none is.

    :param entries: contacts in the order of their sort keys.
    """
    flags = bytearray(len(entries))
    for _, group in groupby(range(len(entries)), key=lambda document: sort_name(entries[document].sort_key)):
        documents = [*group]
        if _in_several_books(documents, entries):
            persons: defaultdict[_Person, list[int]] = defaultdict(list)
            for document in documents:
                persons[_person(entries[document])].append(document)
            for same in persons.values():
                if _in_several_books(same, entries):
                    for document in same:
                        flags[document] = 1
    return bytes(flags) if any(flags) else b""


def _in_several_books(documents: Sequence[int], entries: Sequence[Entry]) -> bool:
    return len(documents) > 1 and len({entries[document].parent.uuid_namespace for document in documents}) > 1


def is_same_person(kept: Entry, other: Entry) -> bool:
    """Whether `other` is the same person as `kept`, an entry of the same name."""
    whole, part = _person(kept), _person(other)
    return _covers(whole, part) if _is_caller(other) else whole == part


class SameName:
    """The entries of one name: which of them are duplicates of an entry in a book with higher precedence.

    Mutable: the entries that were added.

    :param own_namespace: the UUID namespace of the viewer's own book.
    """

    __slots__ = ("_by_number", "_entries", "_first", "_own_namespace", "_persons")

    def __init__(self, own_namespace: str) -> None:
        self._own_namespace = own_namespace
        self._entries: list[Entry] = []
        self._persons: list[_Person] = []
        self._first: dict[_Person, _Precedence] = {}
        self._by_number: defaultdict[str, list[int]] = defaultdict(list)

    def add(self, entry: Entry) -> None:
        """Add an entry; entries are numbered from 0."""
        person, precedence = _person(entry), _precedence(entry, self._own_namespace)
        if not _is_caller(entry):
            for number in person[0]:
                self._by_number[number].append(len(self._entries))
        self._first[person] = min(self._first.get(person, precedence), precedence)
        self._entries.append(entry)
        self._persons.append(person)

    def is_duplicate(self, entry_number: int) -> bool:
        """Whether the entry with a number is a duplicate; call this after all entries are added."""
        entry, person = self._entries[entry_number], self._persons[entry_number]
        precedence = _precedence(entry, self._own_namespace)
        if not _is_caller(entry):
            return self._first[person] < precedence
        others = (other for number in person[0] for other in self._by_number[number])
        return any(
            _precedence(self._entries[other], self._own_namespace) < precedence
            and _covers(self._persons[other], person)
            for other in others
        )


def _covers(whole: _Person, part: _Person) -> bool:
    return part[0] <= whole[0] and part[1] == whole[1]


def _is_caller(entry: Entry) -> bool:
    return entry.search_text(_UID) is None


def _precedence(entry: Entry, own_namespace: str) -> _Precedence:
    """The precedence of an entry's book; the book with the least one comes first."""
    parent = entry.parent
    is_own = parent.uuid_namespace == own_namespace
    return parent.own_precedence if is_own else parent.precedence, parent.uuid_namespace


def _person(entry: Entry) -> _Person:
    is_whole = len(sort_name(entry.sort_key)) < MAX_SORT_NAME
    return _contact_points(entry), "" if is_whole else name_folding.collation_key(entry.attribute("cn")[0].decode())


def _contact_points(entry: Entry) -> frozenset[str]:
    """The entry's telephone numbers in comparable form; its mail addresses if it has no number."""
    lines = (line for kind in NUMBER_TYPES for line in normalization.lines_of(entry.search_text(kind) or ""))
    numbers = frozenset(map(_number, lines))
    return numbers or frozenset(mail.decode().lower() for mail in entry.attribute("mail"))


def _number(line: str) -> str:
    if not line.startswith("\t"):
        return line
    forms = normalization.number_forms(line)
    return min([number.e164 for number in forms]) or forms[0].digits
