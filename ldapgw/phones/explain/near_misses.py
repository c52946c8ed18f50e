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
from ldapgw.phones.explain.terms import FilterTerm, substring_predicate, word_prefix_predicate

# What an entry says: the searchable form of each attribute, by its name.
SearchTexts = Mapping[str, str]

# Names that sound alike in the languages of many tenants: Meier, Mayer, Meyr; Schmid, Schmitt; Stefan, Stephen.
_SOUNDS = (("ai", "ei"), ("ay", "ei"), ("ey", "ei"), ("dt", "t"), ("th", "t"), ("ph", "f"), ("ck", "k"), ("d", "t"))
_DOUBLED = re.compile(r"(.)\1+")

NAME_ATTRIBUTES = ("cn", "givenName", "sn", "o")
TEXT_ATTRIBUTES = (*NAME_ATTRIBUTES, "ou", "title", "mail", "street", "l", "postalAddress", "labeledURI")
_TEXT_TYPES = tuple(kind for kind in map(attribute_type, TEXT_ATTRIBUTES) if kind)


class WordDifference:
    """A text that was asked for; its tests are made once, and read leniently.

    :param context: one that matches leniently.
    :ivar each: its words, folded.
    """

    def __init__(self, text: str, context: NamingContext) -> None:
        self.text = text
        self.words = normalized_words(text)
        self._substring_predicates = _or_never(
            {kind.name: substring_predicate(text, kind, context) for kind in _TEXT_TYPES}
        )
        parts = (text, *self.words) if len(self.words) > 1 else (text,)
        self._prefix_predicates = {
            part: _or_never({kind.name: word_prefix_predicate(part, kind, context) for kind in _TEXT_TYPES})
            for part in parts
        }

    def has_prefix(self, name: str, search_texts: SearchTexts) -> bool:
        """Whether an attribute has a word that begins so."""
        return self._prefix_predicates[self.text][name](search_texts[name])

    def has_substring(self, name: str, search_texts: SearchTexts) -> bool:
        """Whether an attribute has the text anywhere."""
        return self._substring_predicates[name](search_texts[name])

    def attributes_by_word(self, search_texts: SearchTexts) -> dict[str, str]:
        """The attribute that has each of several words; empty where none has."""
        return {
            word: next((name for name, sought in search_texts.items() if tests[name](sought)), "")
            for word, tests in self._prefix_predicates.items()
            if word != self.text
        }

    def is_misspelt(self, value: str) -> bool:
        """Whether all words are a value's but for one letter in some."""
        stored = name_folding.collation_key(value).split()
        wrong = [word for word in self.words if not any(other.startswith(word) for other in stored)]
        return bool(wrong) and all(any(_is_near_miss(word, other) for other in stored) for word in wrong)


def _or_never(tests: Mapping[str, TextPredicate | None]) -> dict[str, TextPredicate]:
    return {name: test or _never for name, test in tests.items()}


def _never(_sought: str) -> bool:
    return False


def _is_near_miss(word: str, stored: str) -> bool:
    """Whether a word is the beginning of another but for one letter, or sounds as it does."""
    if len(word) < MIN_MISSPELT_LENGTH:
        return False
    lengths = (len(word) - 1, len(word), len(word) + 1)
    return any(is_one_edit_apart(word, stored[:length]) for length in lengths) or _phonetic_key(stored).startswith(
        _phonetic_key(word)
    )


def _phonetic_key(word: str) -> str:
    """A word without the differences of spelling that nobody hears on the telephone."""
    for written, heard in _SOUNDS:
        word = word.replace(written, heard)
    return _DOUBLED.sub(r"\1", word)


# As many digits at the end as are no chance: in a book of 10,000 numbers one has them by accident.
COMMON_SUFFIX_DIGITS = 6
# A direct-dial number shares all but these with its company's.
EXTENSION_DIGITS = 4
MAX_LAST_DIGITS = 3
# An internal number has at least so many digits.
MIN_INTERNAL_DIGITS = 3


class DifferenceKind(IntEnum):
    """How they differ, the nearest first."""

    SAME = 0
    COUNTRY = 1
    LAST_DIGITS = 2
    ONE_DIGIT = 3
    BEGINNING = 4
    SHORT = 5


@dataclass(frozen=True, slots=True, order=True)
class NumberDifference:
    """A difference.

    :ivar digits: how many digits it is about.
    """

    kind: DifferenceKind
    digits: int = 0


def number_difference(stored: Number, readings: Iterable[Number]) -> NumberDifference | None:
    """The least difference between a stored number and what an asked one may mean; None: they are quite others."""
    found = [one for one in (_difference_between(stored, asked) for asked in readings) if one]
    return min(found, default=None)


def significant_digits(number: Number) -> str:
    """The digits that tell a number from others."""
    return number.e164[1:] or number.digits.lstrip("0")


def _difference_between(stored: Number, asked: Number) -> NumberDifference | None:
    if phone_number.is_same_number(stored, asked):
        return NumberDifference(DifferenceKind.SAME)
    within = _within_country(stored)
    if within and within == _within_country(asked):
        return NumberDifference(DifferenceKind.COUNTRY)
    shorter, longer = sorted((significant_digits(stored), significant_digits(asked)), key=len)
    if len(shorter) < SHORTEST_PUBLIC:
        fits = len(shorter) >= MIN_INTERNAL_DIGITS and len(longer) >= SHORTEST_PUBLIC and longer.endswith(shorter)
        return NumberDifference(DifferenceKind.SHORT, len(shorter)) if fits else None
    return _long_number_difference(shorter, longer)


def _within_country(one: Number) -> str:
    """The digits behind the country code; empty where that is not known."""
    digits = one.e164[1:]
    country = numbering_plan.country_of(digits)
    return digits[len(country[0]) :] if country else ""


def _long_number_difference(shorter: str, longer: str) -> NumberDifference | None:
    alike = _common_prefix_length(shorter, longer)
    left, over = len(shorter) - alike, len(longer) - alike
    if (
        over <= MAX_LAST_DIGITS
        if len(shorter) == len(longer)
        else left <= EXTENSION_DIGITS // 2 and over <= EXTENSION_DIGITS
    ):
        return NumberDifference(DifferenceKind.LAST_DIGITS, over)
    if is_one_edit_apart(shorter, longer):
        return NumberDifference(DifferenceKind.ONE_DIGIT, 1)
    end = _common_prefix_length(shorter[::-1], longer[::-1])
    return NumberDifference(DifferenceKind.BEGINNING, end) if end >= COMMON_SUFFIX_DIGITS else None


def is_one_edit_apart(first: str, second: str) -> bool:
    """Whether two texts differ by one sign: another, one too many, one too few, or two that have changed places."""
    shorter, longer = sorted((first, second), key=len)
    if len(longer) - len(shorter) > 1:
        return False
    at = _common_prefix_length(shorter, longer)
    if len(shorter) < len(longer):
        return shorter[at:] == longer[at + 1 :]
    swapped = shorter[at : at + 2] == longer[at : at + 2][::-1] and shorter[at + 2 :] == longer[at + 2 :]
    return swapped or shorter[at + 1 :] == longer[at + 1 :]


def _common_prefix_length(first: str, second: str) -> int:
    """How many signs two texts begin with together."""
    alike = (at for at, (one, other) in enumerate(zip(first, second, strict=False)) if one != other)
    return next(alike, min(len(first), len(second)))


# telephoneNumber may repeat the best of all others, so these are told of before it.
NUMBER_ATTRIBUTES = ("mobile", "homePhone", "telephoneNumber", "facsimileTelephoneNumber", "pager")

# A shorter word is in too many others.
_MIN_WORD_LENGTH = 2
MIN_MISSPELT_LENGTH = 4
# Of a filter that asks for more, the first ones are looked at.
_MAX_ASSERTIONS = 8


def asserted_texts(terms: Iterable[FilterTerm]) -> tuple[str, ...]:
    """The texts that a filter asks names and words for."""
    found = (leaf.text for leaf in terms if leaf.family is Family.TEXT)
    return tuple(dict.fromkeys(text for text in found if name_folding.query_variants(text)))[:_MAX_ASSERTIONS]


def asserted_numbers(terms: Iterable[FilterTerm], context: NamingContext) -> tuple[Number, ...]:
    """What the numbers that a filter asks for may mean."""
    texts = dict.fromkeys(leaf.text for leaf in terms if leaf.family is Family.NUMBER)
    read = (phone_number.readings(text, context.region, context.outside_line) for text in texts)
    return tuple(one for readings in islice(read, _MAX_ASSERTIONS) for one in readings)


def normalized_words(text: str) -> tuple[str, ...]:
    """The words of a text, folded; the first ones of a long one."""
    return tuple(dict.fromkeys(name_folding.collation_key(text).split()))[:_MAX_ASSERTIONS]


def near_miss_filters(texts: Iterable[str], numbers: Iterable[Number], context: NamingContext) -> tuple[Filter, ...]:
    """Filters for what comes near; with strict matching, which has no near, all contacts."""
    found = [*_number_filters(numbers), *_text_filters(texts)]
    return tuple(found) if context.lenient or not found else (Present("uid"),)


def _number_filters(numbers: Iterable[Number]) -> Iterator[Filter]:
    for one in numbers:
        digits = significant_digits(one)
        yield _any(NUMBER_ATTRIBUTES, one.e164 or one.digits)
        if len(digits) < SHORTEST_PUBLIC:
            if len(digits) >= MIN_INTERNAL_DIGITS:
                yield _number_parts(None, digits)
            continue
        yield _number_parts(None, digits[-COMMON_SUFFIX_DIGITS:])
        written = one.e164 or one.digits
        yield _number_parts(written[:-MAX_LAST_DIGITS])
        # One wrong digit, or two in each other's place, between the last ones and those that are beyond the end.
        yield from (
            _number_parts(written[: -right - 2], digits[-right:])
            for right in range(MAX_LAST_DIGITS, COMMON_SUFFIX_DIGITS)
        )
        yield from (_any(NUMBER_ATTRIBUTES, digits[-length:]) for length in range(MIN_INTERNAL_DIGITS, SHORTEST_PUBLIC))


def _text_filters(texts: Iterable[str]) -> Iterator[Filter]:
    words = dict.fromkeys(word for text in texts for word in (text, *normalized_words(text)))
    for word in words:
        if len(word) >= _MIN_WORD_LENGTH:
            yield Or(tuple(Substrings(name, None, (_octets(word),), None) for name in TEXT_ATTRIBUTES))
    for word in words:
        if len(word) >= MIN_MISSPELT_LENGTH:
            yield from _misspelt_filters(word)


def _misspelt_filters(word: str) -> Iterator[Filter]:
    """With one letter wrong, one half of a word is right; with more, its first letter and its end may be."""
    half = len(word) // 2
    yield Or(tuple(Substrings(name, _octets(word[:half]), (), None) for name in NAME_ATTRIBUTES))
    yield Or(tuple(Substrings(name, None, (_octets(word[half:]),), None) for name in NAME_ATTRIBUTES))
    yield Or(tuple(Substrings(name, _octets(word[0]), (), _octets(word[-2:])) for name in NAME_ATTRIBUTES))


def _any(names: Iterable[str], value: str) -> Filter:
    return Or(tuple(Equality(name, _octets(value)) for name in names))


def _number_parts(beginning: str | None, end: str | None = None) -> Filter:
    """A number that begins and ends so."""
    initial, final = (None if part is None else _octets(part) for part in (beginning, end))
    return Or(tuple(Substrings(name, initial, (), final) for name in NUMBER_ATTRIBUTES))


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
