# SPDX-License-Identifier: MIT
"""The search request and its filter as values, in the terms of RFC 4511 4.5.1.

A filter is a tree that is decoded first and evaluated later, so that it can be indexed, shown and explained.
Assertion values are octets: what they mean depends on the attribute.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


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
