# SPDX-License-Identifier: MIT
"""A filter as text (RFC 4515), for people to read."""

from __future__ import annotations

from collections.abc import Iterable

from ldapgw.directory.filters import (
    And,
    Approximate,
    Equality,
    Extensible,
    Filter,
    GreaterOrEqual,
    LessOrEqual,
    Not,
    Or,
    Present,
    Substrings,
)

# RFC 4515 3
_SPECIAL = {sign: f"\\{ord(sign):02x}" for sign in "\0()*\\"}


def text_of(sought: Filter) -> str:
    """The text of a filter; octets that are not UTF-8 are written as hex."""
    match sought:
        case And(terms):
            return f"(&{_joined(terms)})"
        case Or(terms):
            return f"(|{_joined(terms)})"
        case Not(term):
            return f"(!{text_of(term)})"
        case Present(attribute):
            return f"({attribute}=*)"
        case Substrings(attribute, initial, middle, final):
            parts = (initial or b"", *middle, final or b"")
            return f"({attribute}={'*'.join(map(_value, parts))})"
        case Extensible(rule, attribute, value, dn_attributes):
            return f"({attribute or ''}{':dn' * dn_attributes}{f':{rule}' if rule else ''}:={_value(value)})"
        case Equality(attribute, value):
            return f"({attribute}={_value(value)})"
        case GreaterOrEqual(attribute, value):
            return f"({attribute}>={_value(value)})"
        case LessOrEqual(attribute, value):
            return f"({attribute}<={_value(value)})"
        case Approximate(attribute, value):
            return f"({attribute}~={_value(value)})"


def _joined(terms: Iterable[Filter]) -> str:
    return "".join(map(text_of, terms))


def _value(value: bytes) -> str:
    text = value.decode("utf-8", "surrogateescape")
    return "".join(_SPECIAL.get(sign) or _sign(sign) for sign in text)


def _sign(sign: str) -> str:
    return sign if not "\udc80" <= sign <= "\udcff" else f"\\{ord(sign) - 0xDC00:02x}"
