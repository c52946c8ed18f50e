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
from ldapgw.directory.matcher import Term
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

    def of(self, test: Callable[[str], bool], sure: Sequence[str] = ()) -> Term:
        """Says whether an entry has any of the attributes that pass a test.

        :param test: passes a haystack if it passes one of its lines.
        :param sure: a haystack with one of these in it passes.
        """
        if len(self._kinds) == 1 and CLASS_MARK in self._marks:
            return _OfClass(self._kinds[0], test)
        if self.letters is None:
            return _InHaystacks(self._kinds, test)
        return _AtOnce(self._marks, test, sure, self._letters) if sure else _InParts(self._marks, test)


class _InHaystacks(Term):
    """By whole haystacks: what is operational has no part in a text."""

    __slots__ = ("_kinds", "_test")

    def __init__(self, kinds: Sequence[AttributeType], test: Callable[[str], bool]) -> None:
        self._kinds = kinds
        self._test = test

    def holds(self, entry: Entry) -> bool | None:
        for kind in self._kinds:
            sought = entry.haystack(kind)
            if sought is not None and self._test(sought):
                return True
        return False


class _InParts(Term):
    """By the parts of an entry's text."""

    __slots__ = ("_marks", "_test")

    def __init__(self, marks: Sequence[str], test: Callable[[str], bool]) -> None:
        self._marks = marks
        self._test = test

    def holds(self, entry: Entry) -> bool | None:
        text, test, named = entry.text, self._test, False
        for beginning in self._marks:
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


class _AtOnce(_InParts):
    """The same for an entry that an index gives: most have what is looked for, in the attributes that are asked for."""

    __slots__ = ("_letters", "_sure")

    def __init__(self, marks: Sequence[str], test: Callable[[str], bool], sure: Sequence[str], letters: str) -> None:
        super().__init__(marks, test)
        self._sure = sure
        self._letters = letters

    def holds(self, entry: Entry) -> bool | None:
        text, letters = entry.text, self._letters
        for one in self._sure:
            at = text.find(one)
            if at > 0 and text[text.rfind(BREAK, 0, at) + 1] in letters:
                return True
        return super().holds(entry)


class _OfClass(Term):
    """The same of object classes, which all contacts of a book share: they are looked at once, not for each."""

    __slots__ = ("_held", "_kind", "_last", "_test")

    def __init__(self, kind: AttributeType, test: Callable[[str], bool]) -> None:
        self._kind = kind
        self._test = test
        self._last: Packed | None = None
        self._held = False

    def holds(self, entry: Entry) -> bool | None:
        shared = None if CLASS_MARK in entry.text else entry.common
        if shared is None or shared is not self._last:
            sought = entry.haystack(self._kind)
            self._last, self._held = shared, sought is not None and self._test(sought)
        return self._held
