# SPDX-License-Identifier: MIT
"""The sort control, from BER and to BER (RFC 2891)."""

from __future__ import annotations

from dataclasses import dataclass

from ldapgw.ber import ENUMERATED, SEQUENCE, Reader, integer, octets, tlv
from ldapgw.directory.sorting import MOST_KEYS, SortKey
from ldapgw.errors import ProtocolViolation, ResultCode
from ldapgw.ldap.messages import Control

SORT_REQUEST = "1.2.840.113556.1.4.473"
SORT_RESPONSE = "1.2.840.113556.1.4.474"

_ORDERING_RULE, _REVERSE_ORDER, _ATTRIBUTE_TYPE = 0x80, 0x81, 0x80


@dataclass(frozen=True, slots=True)
class Sort:
    """A wish to have the entries sorted.

    :ivar keys: the most important first; at least one.
    """

    keys: tuple[SortKey, ...]
    critical: bool


def read_sort(control: Control) -> Sort:
    """The wish that a request control holds.

    :raises ProtocolViolation: when its value is not what the RFC says.
    """
    value = Reader.over(control.value or b"")
    sequence = value.enter(SEQUENCE, "sortKeyList")
    value.finish("sortKeyList")
    keys: list[SortKey] = []
    while sequence and len(keys) <= MOST_KEYS:  # one too many says that they are too many
        key = sequence.enter(SEQUENCE, "sortKey")
        attribute = key.text("attributeType")
        rule = key.text("orderingRule", _ORDERING_RULE) if key.peek() == _ORDERING_RULE else None
        reverse = key.boolean("reverseOrder", _REVERSE_ORDER) if key else False
        key.finish("sortKey")
        keys.append(SortKey(attribute, rule, reverse))
    if not keys:
        raise ProtocolViolation("sortKeyList: none")
    return Sort(tuple(keys), control.critical)


def sort_response(code: ResultCode, attribute: str = "") -> Control:
    """What became of it.

    :param attribute: the key that was the trouble, as it was sent; empty: none was.
    """
    kind = octets(attribute.encode("utf-8", "surrogatepass"), _ATTRIBUTE_TYPE) if attribute else b""
    return Control(SORT_RESPONSE, value=tlv(SEQUENCE, integer(code, ENUMERATED) + kind))
