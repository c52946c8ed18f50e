# SPDX-License-Identifier: MIT
"""Duplicates: finds the entries of one person in several books, and decides which entry a phone gets.

Two entries with the same name are one person only if the entries also share a telephone number or a mail address
(`is_same_person`).  If two entries share neither, the entries are two persons, even if a third entry shares a number
with each of them.  A contact of a book and the same contact below a label of the book are one person.

Of the entries of one person, a search shows the entry in the first book, and leaves the other entries out.  The books
that the tenant's `book_order` names come first, then the viewer's own books, the shared books, the Workspace directory,
and the caller-ID books.  If a search shows starred contacts first, the starred contacts come before all books.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Final

from ldapgw.directory import name_folding, normalization
from ldapgw.directory.entry import Entry
from ldapgw.directory.interruptible import interruptible
from ldapgw.directory.name_folding import MAX_SORT_NAME, sort_name
from ldapgw.directory.packed_attributes import ATTRIBUTE_TAGS, TAG_START, attribute_tag
from ldapgw.directory.schema import NUMBER_TYPES

_NUMBER_LETTERS: Final = frozenset([attribute_tag(kind)[1] for kind in NUMBER_TYPES])
_MAIL_LETTER: Final = ATTRIBUTE_TAGS["mail"][1]
_UID_LETTER: Final = ATTRIBUTE_TAGS["uid"][1]

# The precedence of a book (`precedence_of`): two numbers, and the UUID namespace of the book.
_Precedence = tuple[int, int, str]
# The first number in the precedence of a starred contact (`SameName`).  A starred contact precedes all books.
_FIRST: Final = -1

# The number of entries that are compared in one slice of work.
COMPARED: Final = 200

# The number of entries whose contact points are cached for searches, which find the same people again and again.
_MAX_CACHED: Final = 4096


def duplicate_flags(entries: Sequence[Entry]) -> bytes:
    """Return a flag for each entry of a segment: whether the entry and an entry of another book may be one person.

    The result is empty if no entry has a duplicate.

    :param entries: contacts in the order of their sort keys.
    """
    flags = bytearray(len(entries))
    groups = groupby(range(len(entries)), key=lambda document: sort_name(entries[document].sort_key))
    for _, group in interruptible(groups):
        documents = [*group]
        if len(documents) < 2 or len({entries[document].parent.uuid_namespace for document in documents}) < 2:
            continue
        points_of = [_contact_points(entries[document]) for document in documents]
        first_book: dict[str, str] = {}
        shared: set[str] = set()
        for document, points in zip(documents, points_of, strict=True):
            book = entries[document].parent.uuid_namespace
            shared.update([point for point in points if first_book.setdefault(point, book) != book])
        for document, points in zip(documents, points_of, strict=True):
            if not shared.isdisjoint(points):
                flags[document] = 1
    return bytes(flags) if any(flags) else b""


def is_same_person(one: Entry, other: Entry) -> bool:
    """Return whether two entries are one person; the entries have the same sort name and are in different books."""
    return not _contact_points(one).isdisjoint(_contact_points(other))


class SameName:
    """The entries of one name.

    An entry is a duplicate if the same person has another entry that is shown first.

    Mutable: the entries that were added.

    :param own_namespaces: the UUID namespaces of the viewer's own books, the first book first.
    :param shown_first: the sort keys of starred contacts that the search shows before all other contacts, regardless of
        the order of the books.
    """

    __slots__ = ("_by_precedence", "_own_namespaces", "_points", "_shown_first")

    def __init__(self, own_namespaces: tuple[str, ...], shown_first: frozenset[bytes] = frozenset()) -> None:
        self._own_namespaces = own_namespaces
        self._shown_first = shown_first
        self._points: list[frozenset[str]] = []
        self._by_precedence: dict[_Precedence, list[int]] = {}

    def add(self, entry: Entry) -> None:
        """Add an entry; the first entry has the number 0."""
        is_first = entry.sort_key in self._shown_first
        precedence = precedence_of(entry, self._own_namespaces)
        if is_first:
            precedence = _FIRST, 0, precedence[2]
        self._by_precedence.setdefault(precedence, []).append(len(self._points))
        self._points.append(_cached_contact_points(entry))

    def duplicates(self) -> Generator[None, None, set[int]]:
        """Return the numbers of the entries that are duplicates; yield None after each slice of work."""
        found: set[int] = set()
        # For each telephone number and mail address, the precedence of the first book in which a shown entry has this
        # number or address.
        shown: dict[str, _Precedence] = {}
        compared = 0
        for precedence in sorted(self._by_precedence):
            for number in self._by_precedence[precedence]:
                points = self._points[number]
                before = [shown.get(point, precedence) for point in points]
                # An entry can hide only entries of other books, because two contacts of one book are always two
                # persons.  A lower precedence alone does not prove that the books differ: a starred contact precedes
                # the other contacts of its own book.  So the UUID namespaces of the books (the last parts of the
                # precedences) have to differ, too.
                if any([first < precedence and first[2] != precedence[2] for first in before]):  # noqa: C419  faster
                    found.add(number)
                else:
                    for point in points:
                        shown.setdefault(point, precedence)
                compared += 1
                if compared % COMPARED == 0:
                    yield None
        return found


def precedence_of(entry: Entry, own_namespaces: tuple[str, ...]) -> _Precedence:
    """Return the precedence of an entry's book; the book with the lowest precedence comes first."""
    parent = entry.parent
    namespace = parent.uuid_namespace
    if namespace in own_namespaces:
        return parent.own_precedence, own_namespaces.index(namespace), namespace
    return parent.precedence, 0, namespace


def _contact_points(entry: Entry) -> frozenset[str]:
    """Return the strings that identify a person among entries of one name: numbers, mail addresses, the contact's id.

    A sort key holds only the beginning of a long name, and may hold the pronunciation of a name in Chinese characters.
    So different long names, or different names in Chinese characters, may have the same sort key.  For such a long or
    Chinese name, each string also contains the whole name, so that different names have no string in common.
    """
    points: list[str] = []
    for part in entry.text.split(TAG_START)[1:-1]:
        letter = part[0]
        if letter in _NUMBER_LETTERS:
            lines = normalization.lines_of(part[1:])
            points += [normalization.number_key(line) if line.startswith("\t") else line for line in lines]
        elif letter == _MAIL_LETTER:
            points += [mail.decode().lower() for mail in entry.attribute("mail")]
        elif letter == _UID_LETTER:
            tenant, book, *_ = entry.parent.uuid_namespace.split("/")
            points.append(f"{tenant}/{book}/{part[1:]}")
    sort_key = entry.sort_key
    if len(sort_name(sort_key)) < MAX_SORT_NAME and not name_folding.has_chinese(sort_key.decode("utf-8", "replace")):
        return frozenset(points)
    name = name_folding.collation_key(entry.attribute("cn")[0].decode())
    return frozenset([f"{point}\n{name}" for point in points])


_cached_contact_points = lru_cache(_MAX_CACHED)(_contact_points)


def forget_contact_points() -> None:
    """Drop the cached contact points, which may be of contacts that are deleted."""
    _cached_contact_points.cache_clear()
