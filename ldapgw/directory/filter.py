# SPDX-License-Identifier: MIT
"""The search request and its filter as values, in the terms of RFC 4511 4.5.1.

A filter is a tree that is decoded first and evaluated later, so that it can be indexed, shown and explained.
Assertion values are octets: what they mean depends on the attribute.

Filters as text (RFC 4515), for people to read: letters of all languages stay as they are.

What it costs to make a filter ready, before anything is searched.

Each value that is asked for is folded, dialled or parsed once, and that is done in one go: so it is bounded, by this
estimate.  A unit is some five microseconds.  What is asked of several attributes counts once, as it is read once.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from ldapgw.directory import name_folding
from ldapgw.directory.schema import ATTRIBUTE_TYPES, AttributeType, Family, attribute_type, subtypes


@dataclass(frozen=True, slots=True)
class And:
    """All terms; with none it is absolutely true (RFC 4526)."""

    terms: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any term; with none it is absolutely false (RFC 4526)."""

    terms: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite; Undefined stays Undefined."""

    term: Filter


@dataclass(frozen=True, slots=True)
class Equality:
    """``(attribute=value)``"""

    attribute: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Substrings:
    """``(attribute=initial*any*final)``; at least one part is there."""

    attribute: str
    initial: bytes | None
    any: tuple[bytes, ...]
    final: bytes | None


@dataclass(frozen=True, slots=True)
class GreaterOrEqual:
    """``(attribute>=value)``"""

    attribute: str
    value: bytes


@dataclass(frozen=True, slots=True)
class LessOrEqual:
    """``(attribute<=value)``"""

    attribute: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Present:
    """``(attribute=*)``"""

    attribute: str


@dataclass(frozen=True, slots=True)
class Approximate:
    """``(attribute~=value)``"""

    attribute: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Extensible:
    """``(attribute:dn:rule:=value)``; attribute or rule may be missing, not both."""

    rule: str | None
    attribute: str | None
    value: bytes
    dn_attributes: bool = False


Filter = And | Or | Not | Equality | Substrings | GreaterOrEqual | LessOrEqual | Present | Approximate | Extensible


class Scope(IntEnum):
    """RFC 4511 4.5.1.2."""

    BASE_OBJECT = 0
    SINGLE_LEVEL = 1
    WHOLE_SUBTREE = 2


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """RFC 4511 4.5.1.  Aliases do not exist in this tree, so ``derefAliases`` is checked and not kept.

    :ivar base: the base object as it was sent; not yet known to be a DN.
    :ivar size_limit: most entries wanted; 0: no limit of the client's.
    :ivar time_limit: seconds; 0: no limit of the client's.
    :ivar attributes: the attribute selection as it was sent; empty: all user attributes.
    """

    base: str
    scope: Scope
    filter: Filter
    size_limit: int = 0
    time_limit: int = 0
    types_only: bool = False
    attributes: tuple[str, ...] = ()


_SIGNS = {Equality: "=", GreaterOrEqual: ">=", LessOrEqual: "<=", Approximate: "~="}
# RFC 4515 3
_SPECIAL = frozenset("*()\\\0")


def to_string(sought: Filter) -> str:
    """The filter as RFC 4515 writes it."""
    match sought:
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
            named = "".join((attribute or "", ":dn" if dn_attributes else "", f":{rule}" if rule else ""))
            return f"({named}:={_value(value)})"
        case _:
            return f"({sought.attribute}{_SIGNS[type(sought)]}{_value(sought.value)})"


def _value(octets: bytes) -> str:
    try:
        return "".join(map(_sign, octets.decode()))
    except UnicodeDecodeError:
        return "".join(f"\\{octet:02x}" if octet > 0x7E else _sign(chr(octet)) for octet in octets)


def _sign(sign: str) -> str:
    """What has a meaning in a filter, or cannot be seen, is escaped octet by octet."""
    if sign in _SPECIAL or not sign.isprintable():
        return "".join(f"\\{octet:02x}" for octet in sign.encode())
    return sign


# Reading a telephone number, or making a pattern of the letters on a keypad.
_NUMBER = 20
_KEYS = 12

# How much of a value a unit is enough for: plain text, signs that are transliterated, and names.
_PLAIN, _FOREIGN, _NAME = 64, 8, 16
# A text that is no ASCII is read in several ways, however short it is.
_SCRIPT = 4
# How many attributes or parts a unit is enough for.
_ATTRIBUTES = 3

_ALL = {kind.comparison.family for kind in ATTRIBUTE_TYPES}


def estimated_cost(sought: Filter) -> int:
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
    families = _ALL if attribute is None else {kind.comparison.family for kind in kinds}
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
        digits = family is Family.TEXT and len(value) <= name_folding.MAX_KEYS and value.strip().isdigit()
        return _KEYS + len(value) if digits else len(value) // _PLAIN
    signs = unicodedata.normalize("NFKC", value.decode("utf-8", "replace"))
    return _SCRIPT + min(len(signs), name_folding.MAX_TEXT) // _FOREIGN
