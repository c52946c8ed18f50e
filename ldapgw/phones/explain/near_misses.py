# SPDX-License-Identifier: MIT
"""Words that were asked for, held against what an entry says: at the beginning of a word, within one, or misspelt.

In what two telephone numbers differ that nearly agree.

What comes near a query: wider filters, by which the directory's own search finds who may have been meant.

They only propose; `misses` judges.  Each is for one kind of mistake, so that a common one does not
crowd out the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice

from ldapgw.directory import name_folding
from ldapgw.directory.access import NamingContext
from ldapgw.directory.assertion import TextPredicate
from ldapgw.directory.filter import Equality, Filter, Or, Present, Substrings
from ldapgw.directory.schema import Family, attribute_type
from ldapgw.numbers import numbering_plan, phone_number
from ldapgw.numbers.numbering_plan import SHORTEST_PUBLIC
from ldapgw.numbers.phone_number import Number
from ldapgw.phones.explain.terms import Leaf, begins_word, holds

# What an entry says: the searchable form of each attribute, by its name.
Said = Mapping[str, str]

# Names that sound alike in the languages of many tenants: Meier, Mayer, Meyr; Schmid, Schmitt; Stefan, Stephen.
_SOUNDS = (("ai", "ei"), ("ay", "ei"), ("ey", "ei"), ("dt", "t"), ("th", "t"), ("ph", "f"), ("ck", "k"), ("d", "t"))
_DOUBLED = re.compile(r"(.)\1+")

NAMES = ("cn", "givenName", "sn", "o")
TEXTS = (*NAMES, "ou", "title", "mail", "street", "l", "postalAddress", "labeledURI")
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
        stored = name_folding.collation_key(value).split()
        wrong = [word for word in self.each if not any(other.startswith(word) for other in stored)]
        return bool(wrong) and all(any(_comes_near(word, other) for other in stored) for word in wrong)


def _known(tests: Mapping[str, TextPredicate | None]) -> dict[str, TextPredicate]:
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


# As many digits at the end as are no chance: in a book of 10,000 numbers one has them by accident.
LIKE_END = 6
# A direct-dial number shares all but these with its company's.
EXTENSION = 4
LAST = 3
# An internal number has at least so many digits.
SHORTEST = 3


class Differs(IntEnum):
    """How they differ, the nearest first."""

    NOT = 0
    COUNTRY = 1
    LAST_DIGITS = 2
    ONE_DIGIT = 3
    BEGINNING = 4
    SHORT = 5


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """A difference.

    :ivar digits: how many digits it is about.
    """

    how: Differs
    digits: int = 0


def difference(stored: Number, readings: Iterable[Number]) -> Difference | None:
    """The least difference between a stored number and what an asked one may mean; None: they are quite others."""
    found = [one for one in (_between(stored, asked) for asked in readings) if one]
    return min(found, default=None)


def significant(one: Number) -> str:
    """The digits that tell a number from others."""
    return one.e164[1:] or one.digits.lstrip("0")


def _between(stored: Number, asked: Number) -> Difference | None:
    if phone_number.same(stored, asked):
        return Difference(Differs.NOT)
    within = _within_country(stored)
    if within and within == _within_country(asked):
        return Difference(Differs.COUNTRY)
    shorter, longer = sorted((significant(stored), significant(asked)), key=len)
    if len(shorter) < SHORTEST_PUBLIC:
        fits = len(shorter) >= SHORTEST and len(longer) >= SHORTEST_PUBLIC and longer.endswith(shorter)
        return Difference(Differs.SHORT, len(shorter)) if fits else None
    return _of_long(shorter, longer)


def _within_country(one: Number) -> str:
    """The digits behind the country code; empty where that is not known."""
    digits = one.e164[1:]
    country = numbering_plan.country_of(digits)
    return digits[len(country[0]) :] if country else ""


def _of_long(shorter: str, longer: str) -> Difference | None:
    alike = _common(shorter, longer)
    left, over = len(shorter) - alike, len(longer) - alike
    if over <= LAST if len(shorter) == len(longer) else left <= EXTENSION // 2 and over <= EXTENSION:
        return Difference(Differs.LAST_DIGITS, over)
    if is_one_off(shorter, longer):
        return Difference(Differs.ONE_DIGIT, 1)
    end = _common(shorter[::-1], longer[::-1])
    return Difference(Differs.BEGINNING, end) if end >= LIKE_END else None


def is_one_off(first: str, second: str) -> bool:
    """Whether two texts differ by one sign: another, one too many, one too few, or two that have changed places."""
    shorter, longer = sorted((first, second), key=len)
    if len(longer) - len(shorter) > 1:
        return False
    at = _common(shorter, longer)
    if len(shorter) < len(longer):
        return shorter[at:] == longer[at + 1 :]
    swapped = shorter[at : at + 2] == longer[at : at + 2][::-1] and shorter[at + 2 :] == longer[at + 2 :]
    return swapped or shorter[at + 1 :] == longer[at + 1 :]


def _common(first: str, second: str) -> int:
    """How many signs two texts begin with together."""
    alike = (at for at, (one, other) in enumerate(zip(first, second, strict=False)) if one != other)
    return next(alike, min(len(first), len(second)))


# telephoneNumber may repeat the best of all others, so these are told of before it.
NUMBERS = ("mobile", "homePhone", "telephoneNumber", "facsimileTelephoneNumber", "pager")

# A shorter word is in too many others.
_SHORTEST_WORD = 2
SHORTEST_SPELT = 4
# Of a filter that asks for more, the first ones are looked at.
_MOST_ASKED = 8


def texts_asked(leaves: Iterable[Leaf]) -> tuple[str, ...]:
    """The texts that a filter asks names and words for."""
    found = (leaf.text for leaf in leaves if leaf.family is Family.TEXT)
    return tuple(dict.fromkeys(text for text in found if name_folding.query_variants(text)))[:_MOST_ASKED]


def numbers_asked(leaves: Iterable[Leaf], context: NamingContext) -> tuple[Number, ...]:
    """What the numbers that a filter asks for may mean."""
    texts = dict.fromkeys(leaf.text for leaf in leaves if leaf.family is Family.NUMBER)
    read = (phone_number.readings(text, context.region, context.outside_line) for text in texts)
    return tuple(one for readings in islice(read, _MOST_ASKED) for one in readings)


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text, folded; the first ones of a long one."""
    return tuple(dict.fromkeys(name_folding.collation_key(text).split()))[:_MOST_ASKED]


def wider(texts: Iterable[str], numbers: Iterable[Number], context: NamingContext) -> tuple[Filter, ...]:
    """Filters for what comes near; with strict matching, which has no near, all contacts."""
    found = [*_wider_numbers(numbers), *_wider_texts(texts)]
    return tuple(found) if context.lenient or not found else (Present("uid"),)


def _wider_numbers(numbers: Iterable[Number]) -> Iterator[Filter]:
    for one in numbers:
        digits = significant(one)
        yield _any(NUMBERS, one.e164 or one.digits)
        if len(digits) < SHORTEST_PUBLIC:
            if len(digits) >= SHORTEST:
                yield _parts(None, digits)
            continue
        yield _parts(None, digits[-LIKE_END:])
        written = one.e164 or one.digits
        yield _parts(written[:-LAST])
        # One wrong digit, or two in each other's place, between the last ones and those that are beyond the end.
        yield from (_parts(written[: -right - 2], digits[-right:]) for right in range(LAST, LIKE_END))
        yield from (_any(NUMBERS, digits[-length:]) for length in range(SHORTEST, SHORTEST_PUBLIC))


def _wider_texts(texts: Iterable[str]) -> Iterator[Filter]:
    words = dict.fromkeys(word for text in texts for word in (text, *words_of(text)))
    for word in words:
        if len(word) >= _SHORTEST_WORD:
            yield Or(tuple(Substrings(name, None, (_octets(word),), None) for name in TEXTS))
    for word in words:
        if len(word) >= SHORTEST_SPELT:
            yield from _misspelt(word)


def _misspelt(word: str) -> Iterator[Filter]:
    """With one letter wrong, one half of a word is right; with more, its first letter and its end may be."""
    half = len(word) // 2
    yield Or(tuple(Substrings(name, _octets(word[:half]), (), None) for name in NAMES))
    yield Or(tuple(Substrings(name, None, (_octets(word[half:]),), None) for name in NAMES))
    yield Or(tuple(Substrings(name, _octets(word[0]), (), _octets(word[-2:])) for name in NAMES))


def _any(names: Iterable[str], value: str) -> Filter:
    return Or(tuple(Equality(name, _octets(value)) for name in names))


def _parts(beginning: str | None, end: str | None = None) -> Filter:
    """A number that begins and ends so."""
    initial, final = (None if part is None else _octets(part) for part in (beginning, end))
    return Or(tuple(Substrings(name, initial, (), final) for name in NUMBERS))


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
