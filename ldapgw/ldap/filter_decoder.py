# SPDX-License-Identifier: MIT
"""Decodes the filter of a search request from BER into a tree (RFC 4511 4.5.1.7).

Each kind of filter has one function in a table.  The depth and the number of terms are bounded, so that functions which
walk the tree may recurse.  A filter that cannot be decoded is a `ProtocolViolation`; a filter that can be decoded but
is wrong fails only the search.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ldapgw.ber import BerReader
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
    Substrings,
    estimated_cost,
)
from ldapgw.errors import DirectoryError, ResultCode
from ldapgw.ldap.limits import FILTER_DEPTH, FILTER_EFFORT, FILTER_OCTETS, FILTER_TERMS

_INITIAL, _ANY, _FINAL = 0x80, 0x81, 0x82
_RULE, _TYPE, _VALUE, _DN_ATTRIBUTES = 0x81, 0x82, 0x83, 0x84


class _Budget:
    """The number of terms that a filter may still have."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = FILTER_TERMS

    def spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise DirectoryError(ResultCode.ADMIN_LIMIT_EXCEEDED, "filter: too many terms")


def read(parent: BerReader) -> Filter:
    """Decode the next element as a filter.

    :raises ProtocolViolation: if the filter cannot be decoded.
    :raises DirectoryError: if the filter is wrong, nested too deep, too long or too costly.
    """
    length = parent.next_length("filter")
    decoded = _filter(parent, 0, _Budget())
    if length > FILTER_OCTETS:
        raise DirectoryError(ResultCode.ADMIN_LIMIT_EXCEEDED, "filter: too long")
    if estimated_cost(decoded) > FILTER_EFFORT:
        raise DirectoryError(ResultCode.ADMIN_LIMIT_EXCEEDED, "filter: too costly")
    return decoded


def _filter(parent: BerReader, depth: int, budget: _Budget) -> Filter:
    budget.spend()
    tag, content = parent.inside("filter")
    decoder = _DECODERS.get(tag)
    if decoder is None:
        raise protocol_error("filter: unknown kind")
    decoded = decoder(content, depth + 1, budget)
    content.finish("filter")
    return decoded


def _set(filter_class: Callable[[tuple[Filter, ...]], Filter]) -> Callable[[BerReader, int, _Budget], Filter]:
    """Return a function that decodes a set of filters into an `And` or `Or`."""

    def read_set(content: BerReader, depth: int, budget: _Budget) -> Filter:
        _check_depth(depth)
        terms = []
        while content:
            terms.append(_filter(content, depth, budget))
        return filter_class(tuple(terms))

    return read_set


def _not(content: BerReader, depth: int, budget: _Budget) -> Filter:
    _check_depth(depth)
    return Not(_filter(content, depth, budget))


def _assertion(filter_class: Callable[[str, bytes], Filter]) -> Callable[[BerReader, int, _Budget], Filter]:
    """Return a function that decodes an AttributeValueAssertion into a filter of the given class."""

    def read_assertion(content: BerReader, _depth: int, _budget: _Budget) -> Filter:
        return filter_class(content.text("attributeDesc"), content.octets("assertionValue"))

    return read_assertion


def _substrings(content: BerReader, _depth: int, budget: _Budget) -> Filter:
    attribute = content.text("type")
    parts = content.enter(0x30, "substrings")
    initial: bytes | None = None
    final: bytes | None = None
    any_parts: list[bytes] = []
    if not parts:
        raise protocol_error("substrings: none")
    first = True
    while parts:
        budget.spend()
        tag, part = parts.inside("substring")
        if final is not None or (tag == _INITIAL and not first):
            raise protocol_error("substrings: out of order")
        if tag == _INITIAL:
            initial = part.rest()
        elif tag == _ANY:
            any_parts.append(part.rest())
        elif tag == _FINAL:
            final = part.rest()
        else:
            raise protocol_error("substrings: unknown part")
        first = False
    return Substrings(attribute, initial, tuple(any_parts), final)


def _present(content: BerReader, _depth: int, _budget: _Budget) -> Filter:
    return Present(content.rest().decode("latin-1"))


def _extensible(content: BerReader, _depth: int, _budget: _Budget) -> Filter:
    rule = content.text("matchingRule", _RULE) if content.peek() == _RULE else None
    attribute = content.text("type", _TYPE) if content.peek() == _TYPE else None
    value = content.octets("matchValue", _VALUE)
    dn_attributes = content.boolean("dnAttributes", _DN_ATTRIBUTES) if content else False
    if rule is None and attribute is None:
        raise protocol_error("extensibleMatch: neither rule nor type")
    return Extensible(rule, attribute, value, dn_attributes)


def _check_depth(depth: int) -> None:
    if depth > FILTER_DEPTH:
        raise protocol_error("filter: nested too deep")


def protocol_error(diagnostic: str) -> DirectoryError:
    return DirectoryError(ResultCode.PROTOCOL_ERROR, diagnostic)


_DECODERS: Final[dict[int, Callable[[BerReader, int, _Budget], Filter]]] = {
    0xA0: _set(And),
    0xA1: _set(Or),
    0xA2: _not,
    0xA3: _assertion(Equality),
    0xA4: _substrings,
    0xA5: _assertion(GreaterOrEqual),
    0xA6: _assertion(LessOrEqual),
    0x87: _present,
    0xA8: _assertion(Approximate),
    0xA9: _extensible,
}
