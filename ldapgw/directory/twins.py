# SPDX-License-Identifier: MIT
"""Whether two entries of the same name, in two books, are the same person."""

from __future__ import annotations

from ldapgw.directory import fold, haystack, order
from ldapgw.directory.entry import Entry
from ldapgw.directory.person import NUMBER_ATTRIBUTES
from ldapgw.directory.schema import ATTRIBUTE_TYPES, attribute_type

_NUMBERS = tuple(kind for kind in map(attribute_type, dict.fromkeys(NUMBER_ATTRIBUTES.values())) if kind)

_UID = next(kind for kind in ATTRIBUTE_TYPES if kind.name == "uid")


def is_same_person(kept: Entry, other: Entry) -> bool:
    """Whether an entry says nothing that one of the same name does not: same numbers, or same mail without any.

    A caller of a book that cannot be browsed has lost its other numbers (and its uid): the one left is enough.
    """
    theirs, ours = _reached(kept), _reached(other)
    held = theirs == ours if other.haystack(_UID) is not None else ours <= theirs
    return held and (_is_whole(kept) or _name(kept) == _name(other))


def _is_whole(entry: Entry) -> bool:
    """Whether the entry's order holds its whole name."""
    return len(order.name_of(entry.order)) < order.LONGEST_NAME


def _name(entry: Entry) -> str:
    return fold.collation(entry.attribute("cn")[0].decode())


def _reached(entry: Entry) -> frozenset[str]:
    """The entry's telephone numbers, however they are written; its mail addresses where it has none."""
    lines = (line for kind in _NUMBERS for line in haystack.lines_of(entry.haystack(kind) or ""))
    numbers = frozenset(_number(line) for line in lines)
    return numbers or frozenset(mail.decode().lower() for mail in entry.attribute("mail"))


def _number(line: str) -> str:
    if not line.startswith("\t"):
        return line
    number = haystack.number_of(line)
    return number.e164 or number.digits
