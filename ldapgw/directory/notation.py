# SPDX-License-Identifier: MIT
"""Filters as text (RFC 4515), for people to read: letters of all languages stay as they are."""

from __future__ import annotations

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

_SIGNS = {Equality: "=", GreaterOrEqual: ">=", LessOrEqual: "<=", Approximate: "~="}
# RFC 4515 3
_SPECIAL = frozenset("*()\\\0")


def written(sought: Filter) -> str:
    """The filter as RFC 4515 writes it."""
    match sought:
        case And(terms):
            return f"(&{''.join(map(written, terms))})"
        case Or(terms):
            return f"(|{''.join(map(written, terms))})"
        case Not(term):
            return f"(!{written(term)})"
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
