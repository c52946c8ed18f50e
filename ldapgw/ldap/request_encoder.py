# SPDX-License-Identifier: MIT
"""Encodes search requests that the gateway makes itself into BER (RFC 4511 4.5.1).

The gateway logs and explains a phone's request over HTTP as the LDAP search that finds the same entries.
"""

from __future__ import annotations

from ldapgw.ber import ENUMERATED, SEQUENCE, boolean, integer, octets, tlv
from ldapgw.directory.filter import (
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
    SearchRequest,
    Substrings,
)

_SEARCH_REQUEST = 0x63
_NEVER_DEREF_ALIASES = integer(0, ENUMERATED)
_AND, _OR, _NOT, _SUBSTRINGS, _PRESENT, _EXTENSIBLE = 0xA0, 0xA1, 0xA2, 0xA4, 0x87, 0xA9
_ASSERTIONS = {Equality: 0xA3, GreaterOrEqual: 0xA5, LessOrEqual: 0xA6, Approximate: 0xA8}
_INITIAL, _ANY, _FINAL = 0x80, 0x81, 0x82
_RULE, _TYPE, _VALUE, _DN_ATTRIBUTES = 0x81, 0x82, 0x83, 0x84


def encode_search(request: SearchRequest, message_id: int = 1) -> bytes:
    """Encode the LDAPMessage of a search request without controls."""
    content = b"".join(
        (
            octets(request.base.encode()),
            integer(request.scope, ENUMERATED),
            _NEVER_DEREF_ALIASES,
            integer(request.size_limit),
            integer(request.time_limit),
            boolean(request.types_only),
            encode_filter(request.filter),
            tlv(SEQUENCE, b"".join([octets(name.encode()) for name in request.attributes])),
        )
    )
    return tlv(SEQUENCE, integer(message_id) + tlv(_SEARCH_REQUEST, content))


def encode_filter(term: Filter) -> bytes:
    """Encode a filter (RFC 4511 4.5.1.7)."""
    match term:
        case And(terms):
            return tlv(_AND, b"".join(map(encode_filter, terms)))
        case Or(terms):
            return tlv(_OR, b"".join(map(encode_filter, terms)))
        case Not(inner):
            return tlv(_NOT, encode_filter(inner))
        case Present(attribute):
            return tlv(_PRESENT, attribute.encode())
        case Substrings(attribute, initial, between, final):
            parts = [octets(part, tag) for part, tag in ((initial, _INITIAL), (final, _FINAL)) if part is not None]
            parts[int(initial is not None) : int(initial is not None)] = [octets(part, _ANY) for part in between]
            return tlv(_SUBSTRINGS, octets(attribute.encode()) + tlv(SEQUENCE, b"".join(parts)))
        case Extensible(rule, attribute, value, dn_attributes):
            names = [
                octets(name.encode(), tag) for name, tag in ((rule, _RULE), (attribute, _TYPE)) if name is not None
            ]
            flag = boolean(dn_attributes, _DN_ATTRIBUTES) if dn_attributes else b""
            return tlv(_EXTENSIBLE, b"".join(names) + octets(value, _VALUE) + flag)
        case _:
            return tlv(_ASSERTIONS[type(term)], octets(term.attribute.encode()) + octets(term.value))
