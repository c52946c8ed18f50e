# SPDX-License-Identifier: MIT
"""What comes near a query: wider filters, by which the directory's own search finds who may have been meant.

They only propose; `ldapgw.explain.missing` judges.  Each is for one kind of mistake, so that a common one does not
crowd out the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from ldapgw import number
from ldapgw.directory import fold
from ldapgw.directory.filters import Equality, Filter, Or, Present, Substrings
from ldapgw.directory.naming import NamingContext
from ldapgw.directory.schema import Family
from ldapgw.explain.difference import LAST, LIKE_END, SHORTEST, significant
from ldapgw.explain.leaf import Leaf
from ldapgw.number import Number
from ldapgw.numberplan import SHORTEST_PUBLIC

# telephoneNumber may repeat the best of all others, so these are told of before it.
NUMBERS = ("mobile", "homePhone", "telephoneNumber", "facsimileTelephoneNumber", "pager")
NAMES = ("cn", "givenName", "sn", "o")
TEXTS = (*NAMES, "ou", "title", "mail", "street", "l", "postalAddress", "labeledURI")

# A shorter word is in too many others.
_SHORTEST_WORD = 2
SHORTEST_SPELT = 4
# Of a filter that asks for more, the first ones are looked at.
_MOST_ASKED = 8


def texts_asked(leaves: Iterable[Leaf]) -> tuple[str, ...]:
    """The texts that a filter asks names and words for."""
    found = (leaf.text for leaf in leaves if leaf.family is Family.TEXT)
    return tuple(dict.fromkeys(text for text in found if fold.asked(text)))[:_MOST_ASKED]


def numbers_asked(leaves: Iterable[Leaf], context: NamingContext) -> tuple[Number, ...]:
    """What the numbers that a filter asks for may mean."""
    texts = dict.fromkeys(leaf.text for leaf in leaves if leaf.family is Family.NUMBER)
    read = (number.readings(text, context.region, context.outside_line) for text in texts)
    return tuple(one for readings in islice(read, _MOST_ASKED) for one in readings)


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text, folded; the first ones of a long one."""
    return tuple(dict.fromkeys(fold.collation(text).split()))[:_MOST_ASKED]


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
