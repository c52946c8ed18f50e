# SPDX-License-Identifier: MIT
"""What it costs to make a filter ready, before anything is searched.

Each value that is asked for is folded, dialled or parsed once, and that is done in one go: so it is bounded, by this
estimate.  A unit is some five microseconds.  What is asked of several attributes counts once, as it is read once.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from ldapgw.directory import fold
from ldapgw.directory.filters import And, Filter, Not, Or, Present, Substrings
from ldapgw.directory.schema import ATTRIBUTE_TYPES, AttributeType, Family, attribute_type, subtypes

# Reading a telephone number, or making a pattern of the letters on a keypad.
_NUMBER = 20
_KEYS = 12

# How much of a value a unit is enough for: plain text, signs that are transliterated, and names.
_PLAIN, _FOREIGN, _NAME = 64, 8, 16
# A text that is no ASCII is read in several ways, however short it is.
_SCRIPT = 4
# How many attributes or parts a unit is enough for.
_ATTRIBUTES = 3

_ALL = {kind.kind.family for kind in ATTRIBUTE_TYPES}


def effort(sought: Filter) -> int:
    """About how many units of work it takes to make a filter ready; linear in its length."""
    seen: set[tuple[Family, bytes]] = set()
    return sum(_of_term(attribute, values, seen) for attribute, values in _assertions(sought))


def _assertions(sought: Filter) -> Iterator[tuple[str | None, tuple[bytes, ...]]]:
    """The attribute of each term, None for all of them, and the values that it is asked for."""
    match sought:
        case And(terms) | Or(terms):
            for term in terms:
                yield from _assertions(term)
        case Not(term):
            yield from _assertions(term)
        case Present(attribute):
            yield attribute, ()
        case Substrings(attribute, initial, between, final):
            yield attribute, tuple(part for part in (initial, *between, final) if part)
        case _:
            yield sought.attribute, (sought.value,)


def _of_term(attribute: str | None, values: tuple[bytes, ...], seen: set[tuple[Family, bytes]]) -> int:
    kinds = ATTRIBUTE_TYPES if attribute is None else _kinds(attribute)
    families = _ALL if attribute is None else {kind.kind.family for kind in kinds}
    wanted = {(family, value) for family in families for value in values} - seen
    seen |= wanted
    return 1 + (len(kinds) + len(values)) // _ATTRIBUTES + sum(_of_value(*one) for one in wanted)


def _kinds(attribute: str) -> tuple[AttributeType, ...]:
    kind = attribute_type(attribute)
    return subtypes(kind) if kind else ()


def _of_value(family: Family, value: bytes) -> int:
    if family is Family.NUMBER:
        return _NUMBER
    if family is Family.DN:
        return len(value) // _NAME
    if value.isascii():
        digits = family is Family.TEXT and len(value) <= fold.LONGEST_KEYS and value.strip().isdigit()
        return _KEYS + len(value) if digits else len(value) // _PLAIN
    signs = unicodedata.normalize("NFKC", value.decode("utf-8", "replace"))
    return _SCRIPT + min(len(signs), fold.LONGEST) // _FOREIGN
