# SPDX-License-Identifier: MIT
"""Filters as text (RFC 4515), for tests to be read: the wire and the command line have readers of their own."""

from __future__ import annotations

import re

from ldapgw.ber import SEQUENCE, boolean, octets, tlv
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
)

_ITEM = re.compile(r"([^=()]*?)(:=|>=|<=|~=|=)([^()]*)\)")
_ESCAPE = re.compile(rb"\\([0-9a-fA-F]{2})")
_SIMPLE = {"=": Equality, ">=": GreaterOrEqual, "<=": LessOrEqual, "~=": Approximate}


def read_filter(text: str) -> Filter:
    """The filter that a text writes."""
    found, end = _read(text, 0)
    assert end == len(text), text[end:]
    return found


def _read(text: str, at: int) -> tuple[Filter, int]:
    assert text[at] == "(", text[at:]
    sign = text[at + 1]
    if sign in "&|!":
        terms = []
        at += 2
        while text[at] == "(":
            term, at = _read(text, at)
            terms.append(term)
        assert text[at] == ")", text[at:]
        made = Not(terms[0]) if sign == "!" else And(tuple(terms)) if sign == "&" else Or(tuple(terms))
        return made, at + 1
    match = _ITEM.match(text, at + 1)
    assert match, text[at:]
    return _item(*match.groups()), match.end()


def _item(name: str, operator: str, value: str) -> Filter:
    if operator == ":=":
        attribute, *rest = name.split(":")
        rule = next((part for part in rest if part != "dn"), None)
        return Extensible(rule, attribute or None, _octets(value), dn_attributes="dn" in rest)
    if operator == "=" and value == "*":
        return Present(name)
    if operator == "=" and "*" in value:
        initial, *middle, final = map(_octets, value.split("*"))
        return Substrings(name, initial or None, tuple(middle), final or None)
    return _SIMPLE[operator](name, _octets(value))


def _octets(text: str) -> bytes:
    return _ESCAPE.sub(lambda match: bytes.fromhex(match[1].decode()), text.encode())


def encode(term: Filter) -> bytes:
    """The BER of a filter (RFC 4511 4.5.1), written apart from the code under test."""
    match term:
        case And(terms):
            return tlv(0xA0, b"".join(map(encode, terms)))
        case Or(terms):
            return tlv(0xA1, b"".join(map(encode, terms)))
        case Not(inner):
            return tlv(0xA2, encode(inner))
        case Present(attribute):
            return tlv(0x87, attribute.encode())
        case Substrings(attribute, initial, between, final):
            parts = b"" if initial is None else octets(initial, 0x80)
            parts += b"".join(octets(part, 0x81) for part in between)
            parts += b"" if final is None else octets(final, 0x82)
            return tlv(0xA4, octets(attribute.encode()) + tlv(SEQUENCE, parts))
        case Extensible(rule, attribute, value, dn_attributes):
            return tlv(
                0xA9,
                (octets(rule.encode(), 0x81) if rule is not None else b"")
                + (octets(attribute.encode(), 0x82) if attribute is not None else b"")
                + octets(value, 0x83)
                + (boolean(dn_attributes, 0x84) if dn_attributes else b""),
            )
        case _:
            tag = {Equality: 0xA3, GreaterOrEqual: 0xA5, LessOrEqual: 0xA6, Approximate: 0xA8}[type(term)]
            return tlv(tag, octets(term.attribute.encode()) + octets(term.value))
