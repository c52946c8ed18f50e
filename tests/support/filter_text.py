# SPDX-License-Identifier: MIT
"""Filters as text (RFC 4515), for tests to be read: the wire and the command line have readers of their own."""

from __future__ import annotations

import re

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
from ldapgw.ldap.encoder import encode_filter as encode

__all__ = ["encode", "read_filter"]

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
