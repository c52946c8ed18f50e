# SPDX-License-Identifier: MIT
"""Encodes replies and search requests into BER (RFC 4511 4.1.9, 4.5.1), and lists the features of the root DSE.

Entries are encoded by `ldapgw.directory`, and `ldapgw.ldap.search_response` makes LDAPMessages of the encoded entries
with `message_head`.  The root DSE lists a feature if and only if the feature works (RFC 4512 5.1).

`encode_search` encodes a phone's request over HTTP as an LDAP search, because the gateway logs and explains both kinds
of requests in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ldapgw import __version__
from ldapgw.ber import ENUMERATED, SEQUENCE, boolean, head, integer, octets, tlv
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
from ldapgw.directory.special_entries import Features
from ldapgw.ldap import controls
from ldapgw.ldap.controls import SUPPORTED_CONTROLS
from ldapgw.ldap.messages import CANCEL, START_TLS, SUCCESS, WHO_AM_I, Operation, Reply, Result

_RESPONSES: Final[Mapping[Operation, int]] = {
    Operation.BIND: 0x61,
    Operation.SEARCH: 0x65,
    Operation.MODIFY: 0x67,
    Operation.ADD: 0x69,
    Operation.DELETE: 0x6B,
    Operation.MODIFY_DN: 0x6D,
    Operation.COMPARE: 0x6F,
    Operation.EXTENDED: 0x78,
}
_SERVER_SASL_CREDS, _RESPONSE_NAME, _RESPONSE_VALUE = 0x87, 0x8A, 0x8B

# The encoded tag and length of messages of less than 2 KiB, by length.  Hardly any message is longer: an entry with six
# attributes has 200 octets, and an entry with all attributes has 500 octets.
_HEADS: Final = tuple(head(SEQUENCE, length) for length in range(2048))


def message_head(length: int) -> bytes:
    """Return the encoded tag and length of an LDAPMessage.

    :param length: octets of the content.
    """
    return _HEADS[length] if length < len(_HEADS) else head(SEQUENCE, length)


def _result(result: Result) -> bytes:
    return (
        integer(result.code, ENUMERATED)
        + octets(result.matched_dn.encode("utf-8", "surrogatepass"))
        + octets(result.diagnostic.encode())
    )


_SUCCESS_RESPONSES: Final = {operation: tlv(tag, _result(SUCCESS)) for operation, tag in _RESPONSES.items()}


def encode(reply: Reply) -> bytes:
    """Encode the LDAPMessage that ends an operation."""
    if reply.result is SUCCESS and not reply.name and reply.value is None:
        response = _SUCCESS_RESPONSES[reply.operation]
    else:
        name = octets(reply.name.encode(), _RESPONSE_NAME) if reply.name else b""
        tag = _SERVER_SASL_CREDS if reply.operation is Operation.BIND else _RESPONSE_VALUE
        value = octets(reply.value, tag) if reply.value is not None else b""
        response = tlv(_RESPONSES[reply.operation], _result(reply.result) + name + value)
    content = integer(reply.message_id) + response + controls.write(reply.controls)
    return message_head(len(content)) + content


# The OIDs of three features.  "+" requests all operational attributes (RFC 3673).  "@inetOrgPerson" requests all
# attributes of an object class (RFC 4529).  The filters "(&)" and "(|)" are true and false (RFC 4526).
_FEATURES: Final = ("1.3.6.1.4.1.4203.1.5.1", "1.3.6.1.4.1.4203.1.5.2", "1.3.6.1.4.1.4203.1.5.3")


def features(*, tls: bool, more_controls: tuple[str, ...] = ()) -> Features:
    """Return the features that the root DSE lists.

    :param tls: whether the server has a certificate, which StartTLS and PLAIN need.
    :param more_controls: the OIDs of controls that other packages have added to the server.
    """
    return Features(
        vendor_version=__version__,
        controls=tuple(sorted((*SUPPORTED_CONTROLS, *more_controls))),
        extensions=tuple(sorted((CANCEL, WHO_AM_I))),
        before_tls=(START_TLS,) if tls else (),
        features=_FEATURES,
        sasl_mechanisms=("PLAIN",) if tls else (),
    )


# --- search requests --------------------------------------------------------------------------------------------------

_SEARCH_REQUEST: Final = 0x63
_NEVER_DEREF_ALIASES: Final = integer(0, ENUMERATED)
_AND, _OR, _NOT, _SUBSTRINGS, _PRESENT, _EXTENSIBLE = 0xA0, 0xA1, 0xA2, 0xA4, 0x87, 0xA9
_ASSERTIONS: Final = {Equality: 0xA3, GreaterOrEqual: 0xA5, LessOrEqual: 0xA6, Approximate: 0xA8}
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
