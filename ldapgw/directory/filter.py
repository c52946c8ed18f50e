# SPDX-License-Identifier: MIT
"""The search request and its filter as values (RFC 4511 4.5.1); the text form, the kind and the cost of a filter.

A filter is a tree.  The tree is decoded first and evaluated later, so that the filter can be indexed, shown and
explained.  Assertion values are octets, because their meaning depends on the attribute.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice

from ldapgw.directory import name_folding
from ldapgw.directory.schema import ATTRIBUTE_TYPES, AttributeType, Family, attribute_type, subtypes


@dataclass(frozen=True, slots=True)
class And:
    """An AND: true if all terms are true; without terms, absolutely true (RFC 4526)."""

    terms: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """An OR: true if any term is true; without terms, absolutely false (RFC 4526)."""

    terms: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """A NOT: true if the term is false; Undefined stays Undefined."""

    term: Filter


@dataclass(frozen=True, slots=True)
class Equality:
    """An equality match: ``(attribute=value)``."""

    attribute: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Substrings:
    """A substring match with at least one part: ``(attribute=initial*any*final)``."""

    attribute: str
    initial: bytes | None
    any: tuple[bytes, ...]
    final: bytes | None


@dataclass(frozen=True, slots=True)
class GreaterOrEqual:
    """An ordering match: ``(attribute>=value)``."""

    attribute: str
    value: bytes


@dataclass(frozen=True, slots=True)
class LessOrEqual:
    """An ordering match: ``(attribute<=value)``."""

    attribute: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Present:
    """A presence match: ``(attribute=*)``."""

    attribute: str


@dataclass(frozen=True, slots=True)
class Approximate:
    """An approximate match: ``(attribute~=value)``."""

    attribute: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Extensible:
    """An extensible match: ``(attribute:dn:rule:=value)``; the attribute or the rule may be missing, but not both."""

    rule: str | None
    attribute: str | None
    value: bytes
    dn_attributes: bool = False


_Term = Equality | Substrings | GreaterOrEqual | LessOrEqual | Present | Approximate | Extensible
Filter = And | Or | Not | _Term


class Scope(IntEnum):
    """The scope of a search (RFC 4511 4.5.1.2)."""

    BASE_OBJECT = 0
    SINGLE_LEVEL = 1
    WHOLE_SUBTREE = 2


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A search request (RFC 4511 4.5.1).

    The directory has no alias entries, so ``derefAliases`` is checked, but not stored.

    :ivar base: the base object as it was sent, which may be no DN.
    :ivar size_limit: the client's limit on the number of entries; 0 for no limit.
    :ivar time_limit: the client's limit in seconds; 0 for no limit.
    :ivar attributes: the attribute selection as it was sent; empty for all user attributes.
    """

    base: str
    scope: Scope
    filter: Filter
    size_limit: int = 0
    time_limit: int = 0
    types_only: bool = False
    attributes: tuple[str, ...] = ()


class SearchKind(IntEnum):
    """The kind of a search; statistics derive the kind from the form of the request."""

    NAME = 0  # a name or any other text, with or without numbers
    NUMBER = 1  # a telephone number or a part of a number, and no name
    LIST = 2  # all entries, or all entries that have a certain attribute
    ENTRY = 3  # one entry by its DN, such as the root DSE
    OTHER = 4  # a request that cannot be decoded as a search


def search_kind(request: SearchRequest) -> SearchKind:
    return SearchKind.ENTRY if request.scope is Scope.BASE_OBJECT else filter_kind(request.filter)


def filter_kind(filter_: Filter) -> SearchKind:
    """Return the kind of a search below a base.

    Terms in a NOT, orderings and object classes do not count, because a phone adds these terms only to shorten a list.
    """
    kinds = set()
    for term, is_negated in _terms(filter_):
        if is_negated or isinstance(term, GreaterOrEqual | LessOrEqual) or not _values(term):
            continue
        kind = attribute_type(term.attribute) if term.attribute is not None else None
        if kind is None or kind.name != "objectClass":
            is_number = kind is not None and kind.comparison.family is Family.NUMBER
            kinds.add(SearchKind.NUMBER if is_number else SearchKind.NAME)
    return min(kinds, default=SearchKind.LIST)


def _terms(filter_: Filter, *, is_negated: bool = False) -> Iterator[tuple[_Term, bool]]:
    """Yield each term about an attribute, and whether the term is inside a NOT."""
    match filter_:
        case And(terms) | Or(terms):
            for term in terms:
                yield from _terms(term, is_negated=is_negated)
        case Not(term):
            yield from _terms(term, is_negated=True)
        case _:
            yield filter_, is_negated


def _values(term: _Term) -> tuple[bytes, ...]:
    """Return the assertion values of a term: for substrings, the parts that are not empty; for a presence, no value."""
    match term:
        case Present():
            return ()
        case Substrings(_, initial, between, final):
            return tuple(part for part in (initial, *between, final) if part)
        case _:
            return (term.value,)


_OPERATORS = {Equality: "=", GreaterOrEqual: ">=", LessOrEqual: "<=", Approximate: "~="}
# RFC 4515 3
_SPECIAL = frozenset("*()\\\0")


def to_string(filter_: Filter) -> str:
    """Return the filter as a string (RFC 4515), in which printable characters of all scripts are not escaped."""
    match filter_:
        case And(terms):
            return f"(&{''.join(map(to_string, terms))})"
        case Or(terms):
            return f"(|{''.join(map(to_string, terms))})"
        case Not(term):
            return f"(!{to_string(term)})"
        case Present(attribute):
            return f"({attribute}=*)"
        case Substrings(attribute, initial, between, final):
            parts = (initial or b"", *between, final or b"")
            return f"({attribute}={'*'.join(map(_value, parts))})"
        case Extensible(rule, attribute, value, dn_attributes):
            description = "".join((attribute or "", ":dn" if dn_attributes else "", f":{rule}" if rule else ""))
            return f"({description}:={_value(value)})"
        case _:
            return f"({filter_.attribute}{_OPERATORS[type(filter_)]}{_value(filter_.value)})"


def _value(octets: bytes) -> str:
    try:
        return "".join(map(_escaped, octets.decode()))
    except UnicodeDecodeError:
        return "".join(f"\\{octet:02x}" if octet > 0x7E else _escaped(chr(octet)) for octet in octets)


def _escaped(character: str) -> str:
    """Escape a character octet by octet if the character is special in a filter or not printable."""
    if character in _SPECIAL or not character.isprintable():
        return "".join(f"\\{octet:02x}" for octet in character.encode())
    return character


# --- cost -------------------------------------------------------------------------------------------------------------

# Parsing a telephone number costs `_NUMBER` units (`estimated_cost`).  Looking up digits as letters of the telephone
# keypad costs `_KEYS` units.
_NUMBER = 20
_KEYS = 12

# One unit is the cost of `_PLAIN` octets of plain text, of `_FOREIGN` characters to transliterate, or of `_NAME` octets
# of a DN.
_PLAIN, _FOREIGN, _NAME = 64, 8, 16
# The pattern of a word, or of a part of a word, that may be looked up on its own.
_WORD = re.compile(rb"[0-9A-Za-z\x80-\xff]+")
# The cost, in units, of each word of a text that is not ASCII.  Such a text is transliterated in several ways.
_SCRIPT = 4
# The number of attributes or substrings that together cost one unit.
_ATTRIBUTES = 3

_ALL = {kind.comparison.family for kind in ATTRIBUTE_TYPES}


def estimated_cost(filter_: Filter) -> int:
    """Estimate the cost of preparing a filter, in units of some five microseconds.

    Preparing a value cannot be interrupted, so callers refuse a filter with a high estimate.  If a filter asserts one
    value of several attributes, the value is prepared once and counts once.
    """
    seen: set[tuple[Family, bytes]] = set()
    return sum(_term_cost(term.attribute, _values(term), seen) for term, _ in _terms(filter_))


def _term_cost(attribute: str | None, values: tuple[bytes, ...], seen: set[tuple[Family, bytes]]) -> int:
    kinds = ATTRIBUTE_TYPES if attribute is None else _kinds(attribute)
    families = _ALL if attribute is None else {kind.comparison.family for kind in kinds}
    unseen = {(family, value) for family in families for value in values} - seen
    seen |= unseen
    return 1 + (len(kinds) + len(values)) // _ATTRIBUTES + sum(_value_cost(family, value) for family, value in unseen)


def _kinds(attribute: str) -> tuple[AttributeType, ...]:
    kind = attribute_type(attribute)
    return subtypes(kind) if kind else ()


def _value_cost(family: Family, value: bytes) -> int:
    if family is Family.NUMBER:
        return _NUMBER
    if family is Family.DN:
        return len(value) // _NAME
    if value.isascii():
        digits = family is Family.TEXT and len(value) <= name_folding.MAX_KEYS and value.strip().isdigit()
        return _KEYS + len(value) if digits else len(value) // _PLAIN + _word_count(value) - 1
    characters = unicodedata.normalize("NFKC", value.decode("utf-8", "replace"))
    return _SCRIPT * _word_count(value) + min(len(characters), name_folding.MAX_TEXT) // _FOREIGN


def _word_count(value: bytes) -> int:
    """Return the number of words of a value that are looked up one by one; at least 1."""
    return max(1, sum(1 for _ in islice(_WORD.finditer(value), name_folding.MAX_WORDS)))
