# SPDX-License-Identifier: MIT
"""Looking for something in an entry's text, which is what a search does most."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ldapgw.directory.entry import (
    BREAK,
    CLASS_MARK,
    CN_MARK,
    LIKE_CN,
    MARKS,
    NAME_MARKS,
    OTHERS,
    OTHERS_MARK,
    Entry,
    Packed,
)
from ldapgw.directory.schema import AttributeType


class Searching:
    """Looks for something in some attributes of entries: what `Entry.haystack` gives, but fast.

    :ivar letters: the signs of the attributes' parts (`Entry.parts`) of which a found entry has one; None: it need not.
    """

    __slots__ = ("_kinds", "_letters", "_marks", "letters")

    def __init__(self, kinds: Sequence[AttributeType]) -> None:
        self._kinds = kinds
        self._marks = [MARKS[kind.name] for kind in kinds if kind.name in MARKS]
        self._letters = "".join([mark[1] for mark in self._marks])
        is_plain = len(self._marks) == len(kinds) and CLASS_MARK not in self._marks
        self.letters = frozenset(self._letters + OTHERS) if is_plain else None

    def of(self, test: Callable[[str], bool], sure: Sequence[str] = ()) -> Callable[[Entry], bool]:
        """A function that tells whether an entry has any of the attributes that pass a test.

        :param test: passes a haystack if it passes one of its lines.
        :param sure: a haystack with one of these in it passes.
        """
        if len(self._kinds) == 1 and CLASS_MARK in self._marks:
            return _of_class(self._kinds[0], test)
        if self.letters is None:
            return lambda entry: any(test(sought) for sought in map(entry.haystack, self._kinds) if sought is not None)
        # Two functions apart: within one, compiled, they would be a cycle (docs/decisions/0042).
        found = _in_parts(self._marks, test)
        return _at_once(sure, self._letters, found) if sure else found


def _in_parts(marks: Sequence[str], test: Callable[[str], bool]) -> Callable[[Entry], bool]:
    """The same, part by part."""

    def found(entry: Entry) -> bool:
        text, named = entry.text, False
        for beginning in marks:
            at = text.find(beginning) + 2
            if at > 1:
                sought = text[at : text.index(BREAK, at)]
                if sought == LIKE_CN:
                    at = text.index(CN_MARK) + 2
                    sought = text[at : text.index(BREAK, at)]
                if test(sought):
                    return True
                named = named or beginning in NAME_MARKS
        at = text.find(OTHERS_MARK) + 2 if named else 0
        return at > 1 and test(text[at : text.index(BREAK, at)])

    return found


def _at_once(sure: Sequence[str], letters: str, found: Callable[[Entry], bool]) -> Callable[[Entry], bool]:
    """The same for an entry that an index gives: most have what is looked for, in the attributes that are asked for."""

    def found_at_once(entry: Entry) -> bool:
        text = entry.text
        for one in sure:
            at = text.find(one)
            if at > 0 and text[text.rfind(BREAK, 0, at) + 1] in letters:
                return True
        return found(entry)

    return found_at_once


def _of_class(kind: AttributeType, test: Callable[[str], bool]) -> Callable[[Entry], bool]:
    """The same of object classes, which all contacts of a book share: they are looked at once, not for each."""
    last: Packed | None = None
    held = False

    def found(entry: Entry) -> bool:
        nonlocal last, held
        shared = None if CLASS_MARK in entry.text else entry.common
        if shared is None or shared is not last:
            sought = entry.haystack(kind)
            last, held = shared, sought is not None and test(sought)
        return held

    return found
