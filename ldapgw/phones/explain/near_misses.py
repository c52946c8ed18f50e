# SPDX-License-Identifier: MIT
"""Near misses of a query: wider filters find candidates, and the candidates are compared with the query.

The directory's search finds the candidates, and `misses` decides which candidates are near misses.  Each kind of
mistake has a filter of its own, because only the first candidates of a filter are read.  The filters for a word of the
query find words that contain the word, and misspellings of the word.  Telephone numbers are compared by the digits in
which two numbers differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from ldapgw.directory import name_folding
from ldapgw.directory.assertion import TextPredicate, asserted_number
from ldapgw.directory.filter import Equality, Filter, Or, Present, Substrings
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.schema import Family, attribute_type
from ldapgw.numbers import Number, numbering_plan, phone_number
from ldapgw.numbers.numbering_plan import SHORTEST_PUBLIC
from ldapgw.phones.explain.model import MissReason
from ldapgw.phones.explain.query import octets
from ldapgw.phones.explain.terms import FilterTerm, number_readings, term_predicate

# The lenient search text of each attribute of an entry, by the attribute's name.
SearchTexts = Mapping[str, str]

# Rules by which names get the same key if they sound alike in many languages: Meier, Mayer, Meyr; Schmid, Schmitt;
# Stefan, Stephen.
_SOUNDS = (("ai", "ei"), ("ay", "ei"), ("ey", "ei"), ("dt", "t"), ("th", "t"), ("ph", "f"), ("ck", "k"), ("d", "t"))
_DOUBLED = re.compile(r"(.)\1+")

NAME_ATTRIBUTES = ("cn", "givenName", "sn", "o")
TEXT_ATTRIBUTES = (*NAME_ATTRIBUTES, "ou", "title", "mail", "street", "l", "postalAddress", "labeledURI")
# telephoneNumber may repeat a number of mobile or homePhone.  So mobile and homePhone, whose names tell the type of the
# number, come first.
NUMBER_ATTRIBUTES = ("mobile", "homePhone", "telephoneNumber", "facsimileTelephoneNumber", "pager")
TEXT_TYPES = tuple(filter(None, map(attribute_type, TEXT_ATTRIBUTES)))
DIALLED_TYPES = tuple(filter(None, map(attribute_type, NUMBER_ATTRIBUTES)))

# Two different numbers hardly end with this many equal digits by chance, even in a book of 10,000 numbers.
COMMON_SUFFIX_DIGITS = 6
# The number of an extension differs from the number of the company in at most this many of the last digits.
EXTENSION_DIGITS = 4
MAX_LAST_DIGITS = 3
# The minimum number of digits of an internal number.
MIN_INTERNAL_DIGITS = 3

# A shorter word is not searched within other words, because too many words contain a single letter.
_MIN_WORD_LENGTH = 2
MIN_MISSPELT_LENGTH = 4
# The maximum number of examined texts in a filter, of examined numbers in a filter, and of examined words in a text.
_MAX_ASSERTIONS = 8


class WordDifference:
    """The comparison of entries with one text of the query; the tests are prepared once for all entries.

    :param context: a naming context with lenient matching.
    :ivar words: the words of the text, as collation keys.
    """

    def __init__(self, text: str, context: NamingContext) -> None:
        self.text = text
        self.words = normalized_words(text)
        self._substring_predicates = _predicates(Substrings("", None, (octets(text),), None), context)
        parts = (text, *self.words) if len(self.words) > 1 else (text,)
        self._prefix_predicates = {part: _predicates(Substrings("", octets(part), (), None), context) for part in parts}

    def has_prefix(self, name: str, search_texts: SearchTexts) -> bool:
        """Return whether an attribute has a word that begins with the text."""
        return self._prefix_predicates[self.text][name](search_texts[name])

    def has_substring(self, name: str, search_texts: SearchTexts) -> bool:
        """Return whether an attribute has the text anywhere."""
        return self._substring_predicates[name](search_texts[name])

    def attributes_by_word(self, search_texts: SearchTexts) -> dict[str, str]:
        """Find each word of the text at the beginning of words of attributes; return an attribute's name for each word.

        The name is empty if no attribute has the word.  The result is empty if the text is a single word.
        """
        return {
            word: next((name for name, text in search_texts.items() if tests[name](text)), "")
            for word, tests in self._prefix_predicates.items()
            if word != self.text
        }

    def is_misspelt(self, value: str) -> bool:
        """Return whether a value has every word of the query, but at least one word only in another spelling."""
        stored = name_folding.collation_key(value).split()
        missing = [word for word in self.words if not any(other.startswith(word) for other in stored)]
        return bool(missing) and all(any(_is_near_miss(word, other) for other in stored) for word in missing)


def _predicates(item: Substrings, context: NamingContext) -> dict[str, TextPredicate]:
    """Return the tests of a term on all text attributes."""
    return {kind.name: term_predicate(item, kind, context) or _never for kind in TEXT_TYPES}


def _never(_text: str) -> bool:
    return False


def _is_near_miss(word: str, stored: str) -> bool:
    """Return whether a word sounds like the beginning of a stored word, or differs from the beginning in one letter."""
    if len(word) < MIN_MISSPELT_LENGTH:
        return False
    lengths = (len(word) - 1, len(word), len(word) + 1)
    return any(is_one_edit_apart(word, stored[:length]) for length in lengths) or _phonetic_key(stored).startswith(
        _phonetic_key(word)
    )


def _phonetic_key(word: str) -> str:
    """Return a key that words share if they are spelt differently but sound alike on the telephone."""
    for written, heard in _SOUNDS:
        word = word.replace(written, heard)
    return _DOUBLED.sub(r"\1", word)


@dataclass(frozen=True, slots=True)
class NumberDifference:
    """The difference between two telephone numbers.

    :ivar reason: `OTHER_ATTRIBUTE` if the numbers are equal.
    :ivar digits: the number of digits that differ; for OTHER_BEGINNING and SHORT_NUMBER, the number of equal digits.
    """

    reason: MissReason
    digits: int = 0

    @property
    def distance(self) -> tuple[int, int]:
        """Return the key that sorts the nearest telephone number first: by reason, and then by `digits`."""
        return _REASONS.index(self.reason), -self.digits if self.reason in _EQUAL_DIGITS else self.digits


_REASONS = tuple(MissReason)
# With these values of `NumberDifference.reason`, `digits` counts equal digits.  So a greater count means a nearer
# number.
_EQUAL_DIGITS = (MissReason.OTHER_BEGINNING, MissReason.SHORT_NUMBER)


def number_difference(stored: Number, readings: Iterable[Number]) -> NumberDifference | None:
    """Return the least difference between a stored number and the readings of a number; None if no reading is near."""
    differences = filter(None, (_difference_between(stored, reading) for reading in readings))
    return min(differences, key=lambda difference: difference.distance, default=None)


def significant_digits(number: Number) -> str:
    """Return the digits that identify a number, without a plus sign and without the zeros of a trunk prefix."""
    return number.e164[1:] or number.digits.lstrip("0")


def _difference_between(stored: Number, reading: Number) -> NumberDifference | None:
    if phone_number.is_same_number(stored, reading):
        return NumberDifference(MissReason.OTHER_ATTRIBUTE)
    national_digits = _national_digits(stored)
    if national_digits and national_digits == _national_digits(reading):
        return NumberDifference(MissReason.OTHER_COUNTRY)
    shorter, longer = sorted((significant_digits(stored), significant_digits(reading)), key=len)
    if len(shorter) < SHORTEST_PUBLIC:
        is_near = len(shorter) >= MIN_INTERNAL_DIGITS and len(longer) >= SHORTEST_PUBLIC and longer.endswith(shorter)
        return NumberDifference(MissReason.SHORT_NUMBER, len(shorter)) if is_near else None
    return _long_number_difference(shorter, longer)


def _national_digits(number: Number) -> str:
    """Return the digits after the country code; empty if the country code is not known."""
    digits = number.e164[1:]
    country = numbering_plan.country_of(digits)
    return digits[len(country[0]) :] if country else ""


def _long_number_difference(shorter: str, longer: str) -> NumberDifference | None:
    prefix_length = _common_prefix_length(shorter, longer)
    shorter_rest, longer_rest = len(shorter) - prefix_length, len(longer) - prefix_length
    if (
        longer_rest <= MAX_LAST_DIGITS
        if len(shorter) == len(longer)
        else shorter_rest <= EXTENSION_DIGITS // 2 and longer_rest <= EXTENSION_DIGITS
    ):
        return NumberDifference(MissReason.LAST_DIGITS, longer_rest)
    if is_one_edit_apart(shorter, longer):
        return NumberDifference(MissReason.ONE_DIGIT, 1)
    suffix_length = _common_prefix_length(shorter[::-1], longer[::-1])
    return (
        NumberDifference(MissReason.OTHER_BEGINNING, suffix_length) if suffix_length >= COMMON_SUFFIX_DIGITS else None
    )


def is_one_edit_apart(first: str, second: str) -> bool:
    """Return whether one change makes two texts equal.

    A change replaces, adds or deletes a character, or swaps two characters.
    """
    shorter, longer = sorted((first, second), key=len)
    if len(longer) - len(shorter) > 1:
        return False
    start = _common_prefix_length(shorter, longer)
    if len(shorter) < len(longer):
        return shorter[start:] == longer[start + 1 :]
    is_swapped = (
        shorter[start : start + 2] == longer[start : start + 2][::-1] and shorter[start + 2 :] == longer[start + 2 :]
    )
    return is_swapped or shorter[start + 1 :] == longer[start + 1 :]


def _common_prefix_length(first: str, second: str) -> int:
    differing = (index for index, (one, other) in enumerate(zip(first, second, strict=False)) if one != other)
    return next(differing, min(len(first), len(second)))


def asserted_texts(terms: Iterable[FilterTerm]) -> tuple[str, ...]:
    """Return the texts for which a filter asks in text attributes."""
    texts = (term.text for term in terms if term.family is Family.TEXT)
    return tuple(dict.fromkeys(text for text in texts if name_folding.query_variants(text)))[:_MAX_ASSERTIONS]


def asserted_numbers(terms: Iterable[FilterTerm], context: NamingContext) -> tuple[Number, ...]:
    """Return the numbers for which a filter asks, read in each possible way."""
    texts = {asserted_number(term.text, context): term.text for term in terms if term.family is Family.NUMBER}
    first = islice(texts.values(), _MAX_ASSERTIONS)
    return tuple(number for text in first for number in number_readings(text, context))


def normalized_words(text: str) -> tuple[str, ...]:
    """Return the first words of a text, as collation keys."""
    return tuple(dict.fromkeys(name_folding.collation_key(text).split()))[:_MAX_ASSERTIONS]


def near_miss_filters(texts: Iterable[str], numbers: Iterable[Number], context: NamingContext) -> tuple[Filter, ...]:
    """Return filters for contacts that may nearly match; for strict matching, one filter for all contacts."""
    filters = [*_number_filters(numbers), *_text_filters(texts)]
    return tuple(filters) if context.lenient or not filters else (Present("uid"),)


def _number_filters(numbers: Iterable[Number]) -> Iterator[Filter]:
    for number in numbers:
        digits = significant_digits(number)
        yield _any(NUMBER_ATTRIBUTES, number.e164 or number.digits)
        if len(digits) < SHORTEST_PUBLIC:
            if len(digits) >= MIN_INTERNAL_DIGITS:
                yield _number_parts(None, digits)
            continue
        yield _number_parts(None, digits[-COMMON_SUFFIX_DIGITS:])
        full_number = number.e164 or number.digits
        yield _number_parts(full_number[:-MAX_LAST_DIGITS])
        # The two filters above miss a number if a wrong or swapped digit is at a position that both filters compare.
        yield from (
            _number_parts(full_number[: -suffix_length - 2], digits[-suffix_length:])
            for suffix_length in range(MAX_LAST_DIGITS, COMMON_SUFFIX_DIGITS)
        )
        yield from (_any(NUMBER_ATTRIBUTES, digits[-length:]) for length in range(MIN_INTERNAL_DIGITS, SHORTEST_PUBLIC))


def _text_filters(texts: Iterable[str]) -> Iterator[Filter]:
    words = dict.fromkeys(word for text in texts for word in (text, *normalized_words(text)))
    for word in words:
        if len(word) >= _MIN_WORD_LENGTH:
            yield Or(tuple(Substrings(name, None, (octets(word),), None) for name in TEXT_ATTRIBUTES))
    for word in words:
        if len(word) >= MIN_MISSPELT_LENGTH:
            yield from _misspelt_filters(word)


def _misspelt_filters(word: str) -> Iterator[Filter]:
    """Yield filters that find misspellings of a word.

    If one letter is wrong, at least one of three parts is unchanged: the first half of the word, the second half, or
    the first letter together with the last two letters.
    """
    half = len(word) // 2
    yield Or(tuple(Substrings(name, octets(word[:half]), (), None) for name in NAME_ATTRIBUTES))
    yield Or(tuple(Substrings(name, None, (octets(word[half:]),), None) for name in NAME_ATTRIBUTES))
    yield Or(tuple(Substrings(name, octets(word[0]), (), octets(word[-2:])) for name in NAME_ATTRIBUTES))


def _any(names: Iterable[str], value: str) -> Filter:
    return Or(tuple(Equality(name, octets(value)) for name in names))


def _number_parts(beginning: str | None, end: str | None = None) -> Filter:
    """Return a filter for numbers that begin and end with given digits; None stands for any digits."""
    initial, final = (None if part is None else octets(part) for part in (beginning, end))
    return Or(tuple(Substrings(name, initial, (), final) for name in NUMBER_ATTRIBUTES))
