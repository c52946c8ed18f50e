# SPDX-License-Identifier: MIT
"""Decoded messages, written again: what the decoder has accepted, and nothing else, is in them.

Compared with what came, it shows what a decoder has overlooked: an element behind the last one, an assertion tucked
inside another element.
"""

from __future__ import annotations

from typing import Any

from ldapgw.ber import CLASS, CONTEXT_SPECIFIC, ENUMERATED, INTEGER, LONGEST_INTEGER, integer, octets, tlv
from ldapgw.directory.filter import And, Extensible, Filter, Not, Or, SearchRequest
from ldapgw.ldap.controls import CONTROLS_TAG
from ldapgw.ldap.messages import (
    AbandonRequest,
    BindRequest,
    CompareRequest,
    ExtendedRequest,
    Message,
    Operation,
    Request,
    Sasl,
    Simple,
)
from tests.support import pdu
from tests.support.filter_text import encode
from tests.support.mutation import Node, parse

_ABANDON, _BOOLEAN, _PRESENT, _DN_ATTRIBUTES = 0x50, 0x01, 0x87, 0x84


def rebuild(message: Message) -> bytes | None:
    """The message's octets; None where its request is not kept: it was refused, writes, or has an unknown filter."""
    request = _request(message.request, message.operation.value)
    if request is None:
        return None
    listed = [pdu.control(one.type, critical=one.critical or None, value=one.value) for one in message.controls]
    return pdu.message(message.message_id, request, pdu.controls(*listed) if listed else b"")


def _request(request: Request, tag: int) -> bytes | None:
    match request:
        case BindRequest(version, name, Simple(password)):
            return tlv(tag, integer(version) + octets(name.encode()) + octets(password, 0x80))
        case BindRequest(version, name, Sasl(mechanism, credentials)):
            method = octets(mechanism.encode()) + (b"" if credentials is None else octets(credentials))
            return tlv(tag, integer(version) + octets(name.encode()) + tlv(0xA3, method))
        case SearchRequest() if _is_kept(request.filter):
            return pdu.search(
                request.base,
                request.scope.value,
                encode(request.filter),
                request.attributes,
                size=request.size_limit,
                time=request.time_limit,
                types_only=request.types_only,
            )
        case CompareRequest(entry, attribute, value):
            return pdu.compare(entry, attribute, value)
        case ExtendedRequest(name, value):
            return pdu.extended(name, value)
        case AbandonRequest(message_id):
            return pdu.abandon(message_id)
        case _:
            return None


def _is_kept(filter_: Filter) -> bool:
    """Return True if all kinds of a filter are known; the decoder keeps an unknown kind only as Undefined."""
    match filter_:
        case And(terms) | Or(terms):
            return all(map(_is_kept, terms))
        case Not(term):
            return _is_kept(term)
        case _:
            return filter_ != Extensible("unknown", None, b"")


def meaning(data: bytes) -> Any:
    """A message's elements, however they were encoded: lengths, integers, booleans and texts in one form.

    What may be left out is left out: values that are defaults, derefAliases, because there are none here, and elements
    that a later version of LDAP may have added (RFC 4511 4).

    :raises ValueError: when the elements do not lie within each other, or an integer is too long.
    """
    [message] = parse(data, hidden=False)
    return _meaning(message)


def _known(node: Node) -> list[Node]:
    """The parts of a node without those that a later version of LDAP may have added behind the last one."""
    parts = list(node.parts)
    if node.tag in _CHOSEN:
        return [part for part in parts if part.tag in _CHOSEN[node.tag]]
    # If the first part has a universal tag, the last has one too, except in a bind and in a message with controls.
    is_sequence = bool(parts) and parts[0].tag & CLASS == 0
    has_controls = len(parts) > 2 and (parts[0].tag, parts[2].tag) == (INTEGER, CONTROLS_TAG)
    least = 3 if node.tag == Operation.BIND.value or has_controls else 1
    while is_sequence and len(parts) > least and parts[-1].tag & CLASS == CONTEXT_SPECIFIC:
        parts.pop()
    return parts


def _meaning(node: Node) -> Any:
    if node.tag & 0x20:
        parts = [_meaning(part) for part in _known(node)]
        if node.tag == Operation.SEARCH.value:
            del parts[2]
        return node.tag, [part for part in parts if part not in _DEFAULTS]
    if node.tag in (INTEGER, ENUMERATED, _ABANDON):
        if not 1 <= len(node.content) <= LONGEST_INTEGER:
            raise ValueError("an integer of a wrong length")
        return node.tag, int.from_bytes(node.content, "big", signed=True)
    if node.tag in (_BOOLEAN, _DN_ATTRIBUTES):
        return node.tag, node.content != b"\0"
    if node.tag == _PRESENT and not node.content.isascii():
        return node.tag, "no attribute"
    try:
        return node.tag, node.content.decode()
    except UnicodeDecodeError:
        return node.tag, node.content.decode("latin-1")


# The tags of the parts of an extended request and of an extensible match.
_CHOSEN = {0x77: {0x80, 0x81}, 0xA9: {0x81, 0x82, 0x83, 0x84}}
# typesOnly and criticality, dnAttributes, controls; a filter that is always true looks like the last, on both sides.
_DEFAULTS: tuple[Any, ...] = ((_BOOLEAN, False), (_DN_ATTRIBUTES, False), (0xA0, []))
