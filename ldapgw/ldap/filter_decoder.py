# SPDX-License-Identifier: MIT
"""The filter of a search request, from BER to a tree (RFC 4511 4.5.1.7).

Each kind of filter is one function in a table.  Depth and number of terms are bounded here, so that whoever walks the
tree later may recurse.  What cannot be read is a `ProtocolViolation`; what can be read and is wrong is the search's own
error.
"""

from __future__ import annotations

from collections.abc import Callable

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
    """How many terms may still come."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = FILTER_TERMS

    def spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise DirectoryError(ResultCode.ADMIN_LIMIT_EXCEEDED, "filter: too many terms")


def read(parent: BerReader) -> Filter:
    """The filter that comes next.

    :raises ProtocolViolation: when it cannot be read.
    :raises DirectoryError: when it can be read but is wrong, nested too deep, too long or too costly.
    """
    length = parent.next_length("filter")
    found = _filter(parent, 0, _Budget())
    if length > FILTER_OCTETS:
        raise DirectoryError(ResultCode.ADMIN_LIMIT_EXCEEDED, "filter: too long")
    if estimated_cost(found) > FILTER_EFFORT:
        raise DirectoryError(ResultCode.ADMIN_LIMIT_EXCEEDED, "filter: too costly")
    return found


def _filter(parent: BerReader, depth: int, budget: _Budget) -> Filter:
    budget.spend()
    tag, content = parent.inside("filter")
    kind = _KINDS.get(tag)
    if kind is None:
        raise _wrong("filter: unknown kind")
    found = kind(content, depth + 1, budget)
    content.finish("filter")
    return found


def _set(content: BerReader, depth: int, budget: _Budget) -> tuple[Filter, ...]:
    _check_depth(depth)
    terms = []
    while content:
        terms.append(_filter(content, depth, budget))
    return tuple(terms)


def _and(content: BerReader, depth: int, budget: _Budget) -> Filter:
    return And(_set(content, depth, budget))


def _or(content: BerReader, depth: int, budget: _Budget) -> Filter:
    return Or(_set(content, depth, budget))


def _not(content: BerReader, depth: int, budget: _Budget) -> Filter:
    _check_depth(depth)
    return Not(_filter(content, depth, budget))


def _assertion(kind: Callable[[str, bytes], Filter]) -> Callable[[BerReader, int, _Budget], Filter]:
    """What reads an AttributeValueAssertion into this kind of filter."""

    def read_assertion(content: BerReader, _depth: int, _budget: _Budget) -> Filter:
        return kind(content.text("attributeDesc"), content.octets("assertionValue"))

    return read_assertion


def _substrings(content: BerReader, _depth: int, budget: _Budget) -> Filter:
    attribute = content.text("type")
    parts = content.enter(0x30, "substrings")
    initial: bytes | None = None
    final: bytes | None = None
    between: list[bytes] = []
    if not parts:
        raise _wrong("substrings: none")
    first = True
    while parts:
        budget.spend()
        tag, part = parts.inside("substring")
        if final is not None or (tag == _INITIAL and not first):
            raise _wrong("substrings: out of order")
        if tag == _INITIAL:
            initial = part.rest()
        elif tag == _ANY:
            between.append(part.rest())
        elif tag == _FINAL:
            final = part.rest()
        else:
            raise _wrong("substrings: unknown part")
        first = False
    return Substrings(attribute, initial, tuple(between), final)


def _present(content: BerReader, _depth: int, _budget: _Budget) -> Filter:
    return Present(content.rest().decode("latin-1"))


def _extensible(content: BerReader, _depth: int, _budget: _Budget) -> Filter:
    rule = content.text("matchingRule", _RULE) if content.peek() == _RULE else None
    attribute = content.text("type", _TYPE) if content.peek() == _TYPE else None
    value = content.octets("matchValue", _VALUE)
    dn_attributes = content.boolean("dnAttributes", _DN_ATTRIBUTES) if content else False
    if rule is None and attribute is None:
        raise _wrong("extensibleMatch: neither rule nor type")
    return Extensible(rule, attribute, value, dn_attributes)


def _check_depth(depth: int) -> None:
    if depth > FILTER_DEPTH:
        raise _wrong("filter: nested too deep")


def _wrong(diagnostic: str) -> DirectoryError:
    return DirectoryError(ResultCode.PROTOCOL_ERROR, diagnostic)


_KINDS: dict[int, Callable[[BerReader, int, _Budget], Filter]] = {
    0xA0: _and,
    0xA1: _or,
    0xA2: _not,
    0xA3: _assertion(Equality),
    0xA4: _substrings,
    0xA5: _assertion(GreaterOrEqual),
    0xA6: _assertion(LessOrEqual),
    0x87: _present,
    0xA8: _assertion(Approximate),
    0xA9: _extensible,
}


class _Unusual(Exception):
    """Raised where a filter is not as phones write it."""


# Of a filter that is read quickly: levels, and octets, for each of which it takes less than a microsecond.
_QUICK_DEPTH, _QUICK_OCTETS = 4, 512

_ASSERTIONS: dict[int, Callable[[str, bytes], Filter]] = {
    0xA3: Equality, 0xA5: GreaterOrEqual, 0xA6: LessOrEqual, 0xA8: Approximate,
}  # fmt: skip


def read_common(data: bytes, start: int, end: int) -> Filter | None:
    """What `read` makes of the octets from `start` to `end`; None where they are odd in any way, or many."""
    if end - start > _QUICK_OCTETS:
        return None
    try:
        found, position = _quick(data, start, 0)
    except (_Unusual, IndexError, UnicodeDecodeError):
        return None
    return found if position == end else None


def _quick(data: bytes, at: int, depth: int) -> tuple[Filter, int]:
    """The filter that begins at a position, and where it ends."""
    tag, length, start = data[at], data[at + 1], at + 2
    if length >= 0x80:
        if length != 0x81:
            raise _Unusual
        length, start = data[start], start + 1
    end = start + length
    kind = _ASSERTIONS.get(tag)
    if kind is not None:
        attribute, start = _string(data, start)
        value, start = _octets(data, start)
        found: Filter = kind(attribute, value)
    elif tag == 0xA4:
        attribute, start = _string(data, start)
        found, start = _quick_substrings(attribute, data, start)
    elif tag == 0x87:
        found, start = Present(data[start:end].decode("ascii")), end
    elif tag in (0xA0, 0xA1) and depth < _QUICK_DEPTH:
        terms = []
        while start < end:
            term, start = _quick(data, start, depth + 1)
            terms.append(term)
        found = (And if tag == 0xA0 else Or)(tuple(terms))
    else:
        raise _Unusual
    if start != end or end > len(data):
        raise _Unusual
    return found, end


def _quick_substrings(attribute: str, data: bytes, at: int) -> tuple[Filter, int]:
    """With one part alone, as phones have it."""
    tag, length = data[at + 2], data[at + 3]
    end = at + 4 + length
    if data[at] != 0x30 or data[at + 1] != length + 2 or length >= 0x7E:
        raise _Unusual
    part = data[at + 4 : end]
    if tag == _INITIAL:
        return Substrings(attribute, part, (), None), end
    if tag == _ANY:
        return Substrings(attribute, None, (part,), None), end
    if tag == _FINAL:
        return Substrings(attribute, None, (), part), end
    raise _Unusual


def _string(data: bytes, at: int) -> tuple[str, int]:
    octets, end = _octets(data, at)
    return octets.decode("ascii"), end


def _octets(data: bytes, at: int) -> tuple[bytes, int]:
    if data[at] != 0x04 or data[at + 1] >= 0x80:
        raise _Unusual
    end = at + 2 + data[at + 1]
    return data[at + 2 : end], end
