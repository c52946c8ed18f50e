# SPDX-License-Identifier: MIT
"""Words that were asked for, held against what an entry says: at the beginning of a word, within one, or misspelt."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ldapgw.directory import fold
from ldapgw.directory.naming import NamingContext
from ldapgw.directory.needle import Test
from ldapgw.directory.schema import attribute_type
from ldapgw.explain.difference import is_one_off
from ldapgw.explain.leaf import begins_word, holds
from ldapgw.explain.near import SHORTEST_SPELT, TEXTS, words_of

# What an entry says: the searchable form of each attribute, by its name.
Said = Mapping[str, str]

# Names that sound alike in the languages of many tenants: Meier, Mayer, Meyr; Schmid, Schmitt; Stefan, Stephen.
_SOUNDS = (("ai", "ei"), ("ay", "ei"), ("ey", "ei"), ("dt", "t"), ("th", "t"), ("ph", "f"), ("ck", "k"), ("d", "t"))
_DOUBLED = re.compile(r"(.)\1+")

_KINDS = tuple(kind for kind in map(attribute_type, TEXTS) if kind)


class Words:
    """A text that was asked for; its tests are made once, and read leniently.

    :param context: one that matches leniently.
    :ivar each: its words, folded.
    """

    def __init__(self, text: str, context: NamingContext) -> None:
        self.text = text
        self.each = words_of(text)
        self._inside = _known({kind.name: holds(text, kind, context) for kind in _KINDS})
        parts = (text, *self.each) if len(self.each) > 1 else (text,)
        self._begins = {
            part: _known({kind.name: begins_word(part, kind, context) for kind in _KINDS}) for part in parts
        }

    def begins(self, name: str, said: Said) -> bool:
        """Whether an attribute has a word that begins so."""
        return self._begins[self.text][name](said[name])

    def inside(self, name: str, said: Said) -> bool:
        """Whether an attribute has the text anywhere."""
        return self._inside[name](said[name])

    def places(self, said: Said) -> dict[str, str]:
        """The attribute that has each of several words; empty where none has."""
        return {
            word: next((name for name, sought in said.items() if tests[name](sought)), "")
            for word, tests in self._begins.items()
            if word != self.text
        }

    def is_misspelt(self, value: str) -> bool:
        """Whether all words are a value's but for one letter in some."""
        stored = fold.collation(value).split()
        wrong = [word for word in self.each if not any(other.startswith(word) for other in stored)]
        return bool(wrong) and all(any(_comes_near(word, other) for other in stored) for word in wrong)


def _known(tests: Mapping[str, Test | None]) -> dict[str, Test]:
    return {name: test or _never for name, test in tests.items()}


def _never(_sought: str) -> bool:
    return False


def _comes_near(word: str, stored: str) -> bool:
    """Whether a word is the beginning of another but for one letter, or sounds as it does."""
    if len(word) < SHORTEST_SPELT:
        return False
    lengths = (len(word) - 1, len(word), len(word) + 1)
    return any(is_one_off(word, stored[:length]) for length in lengths) or _sound(stored).startswith(_sound(word))


def _sound(word: str) -> str:
    """A word without the differences of spelling that nobody hears on the telephone."""
    for written, heard in _SOUNDS:
        word = word.replace(written, heard)
    return _DOUBLED.sub(r"\1", word)
