# SPDX-License-Identifier: MIT
"""Distinguished names as text (RFC 4514): parses, compares and escapes names.

This module replaces ldaptor's parser, because every search carries a DN and ldaptor parses some DNs wrongly.  Ldaptor
reads hex pairs as ISO 8859-1, accepts an escape before any character, and keeps the blanks around a value.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final, Self

from ldapgw.directory.schema import attribute_type

# The maximum number of characters of a DN that is parsed; the DNs of this directory are much shorter.  The limit keeps
# the time below 10 ms, because the normalization of n combining marks in a row takes n squared steps.
LONGEST: Final = 4096
MOST_RDNS: Final = 64

_SPECIAL: Final = frozenset('"+,;<>\\')
# RFC 4514 rarely requires an escape for "#" and "=", but some clients (ldap3) cannot parse a DN with an unescaped "#"
# or "=".
_ESCAPED: Final = _SPECIAL | frozenset("#=")
_HEX: Final = frozenset("0123456789abcdefABCDEF")

AttributeValue = tuple[str, str]
Rdns = tuple[tuple[AttributeValue, ...], ...]
# The comparable form of a DN.
Key = tuple[frozenset[AttributeValue], ...]

# If a DN has none of these characters, each part is a type and a literal value.  Nearly all DNs that clients send have
# none of these characters.
_CHARACTER: Final = re.compile(r'[+;\\"<>#\x00]')
# Characters that stand for themselves in a value.
_PLAIN: Final = re.compile(r'[^,+;\\"<>\x00]+')


class InvalidDn(ValueError):
    """Raised when a text is not a distinguished name."""


@dataclass(frozen=True, slots=True)
class Dn:
    """A distinguished name, leaf first.

    :ivar rdns: for each RDN, its (type, value) pairs in the order of the text.  Types are in lower case, and an alias
        of a type is replaced by the type's name.
    """

    rdns: Rdns = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a DN.

        :raises InvalidDn: when the text is no DN by RFC 4514, or is too long to be a DN of this directory.
        """
        if len(text) > LONGEST:
            raise InvalidDn("the text is longer than a DN of this directory can be")
        if not text.strip(" "):
            return cls()
        rdns = _parse_literal(text) or _parse(text)
        if len(rdns) > MOST_RDNS:
            raise InvalidDn("the text has more parts than a DN of this directory can have")
        return cls(rdns)

    @property
    def key(self) -> Key:
        """Return the comparable form: case and runs of blanks do not matter (caseIgnoreMatch)."""
        return tuple(frozenset((kind.lower(), folded(value)) for kind, value in rdn) for rdn in self.rdns)

    def parent(self, levels: int = 1) -> Dn:
        """Return the DN without its first `levels` RDNs."""
        return Dn(self.rdns[levels:])

    def child(self, kind: str, value: str) -> Dn:
        return Dn((((kind, value),), *self.rdns))

    def __reduce__(self) -> tuple[type[Dn], tuple[Rdns]]:
        """Pickle the DN as a call of its class; a compiled class cannot be pickled in the usual way.

        DNs are pickled for the process that builds books.
        """
        return Dn, (self.rdns,)

    def __str__(self) -> str:
        """Return the string representation (RFC 4514 2), escaped so that any client can parse the text."""
        return ",".join("+".join(f"{kind}={escape(value)}" for kind, value in rdn) for rdn in self.rdns)


def _parse_literal(text: str) -> Rdns | None:
    """Parse a DN of known types and literal values, as nearly all DNs are; return None for any other DN."""
    if not text.isascii() or _CHARACTER.search(text):
        return None
    rdns = []
    for part in text.split(","):
        kind, equals, value = part.partition("=")
        attribute = attribute_type(kind) if equals else None
        if attribute is None:
            return None
        rdns.append(((attribute.name.lower(), value.strip(" ")),))
    return tuple(rdns)


def _parse(text: str) -> Rdns:
    rdns: list[tuple[AttributeValue, ...]] = []
    rdn: list[AttributeValue] = []
    position = 0
    while True:
        assertion, position = _attribute_value(text, position)
        rdn.append(assertion)
        separator = text[position] if position < len(text) else ","
        if separator != "+":
            rdns.append(tuple(rdn))
            rdn = []
        if position >= len(text):
            return tuple(rdns)
        position += 1


def folded(value: str) -> str:
    """Return the comparable form of an attribute value in a DN."""
    lower = value.lower() if value.isascii() else unicodedata.normalize("NFKC", value).casefold()
    return " ".join(lower.split())


def escape(value: str) -> str:
    """Escape a value for a DN (RFC 4514 2.4)."""
    inner = "".join(map(_escaped_character, value))
    if value.startswith(" "):
        inner = "\\" + inner
    if len(value) > 1 and value.endswith(" "):
        inner = inner[:-1] + "\\ "
    return inner


def _escaped_character(character: str) -> str:
    if character < " " or character == "\x7f":
        return f"\\{ord(character):02x}"
    return "\\" + character if character in _ESCAPED else character


def _attribute_value(text: str, position: int) -> tuple[AttributeValue, int]:
    """Parse one ``type=value``, and return both parts and the position behind the value."""
    equals = text.find("=", position)
    if equals < 0:
        raise InvalidDn("a part has no '='")
    kind = text[position:equals].strip(" ").lower().removeprefix("oid.")
    attribute = attribute_type(kind)
    if not (attribute or (kind and all(char.isascii() and (char.isalnum() or char in "-.") for char in kind))):
        raise InvalidDn("a part has no attribute type")
    value, position = _value(text, equals + 1)
    return (attribute.name.lower() if attribute else kind, value), position


def _value(text: str, position: int) -> tuple[str, int]:
    """Parse an attribute value, and return the unescaped value and the position of the following separator."""
    while position < len(text) and text[position] == " ":
        position += 1
    if position < len(text) and text[position] == "#":
        return _hex_string(text, position + 1)
    if position < len(text) and text[position] == '"':
        return _quoted(text, position + 1)
    octets = bytearray()
    length = 0  # the length of the value without unescaped blanks at its end
    while position < len(text) and text[position] not in ",+;":
        plain = _PLAIN.match(text, position)
        if plain:
            octets += plain[0].encode("utf-8", "surrogatepass")
            position = plain.end()
            blanks = len(plain[0]) - len(plain[0].rstrip(" "))
            length = len(octets) - blanks
        elif text[position] == "\\":
            piece, position = _escaped(text, position + 1)
            octets += piece
            length = len(octets)
        else:
            raise InvalidDn("a special character is not escaped")
    return _text(octets[:length]), position


def _quoted(text: str, position: int) -> tuple[str, int]:
    """Parse a value in quotation marks, which LDAPv2 allowed (RFC 2253 4)."""
    octets = bytearray()
    while position < len(text) and text[position] != '"':
        if text[position] == "\\":
            piece, position = _escaped(text, position + 1)
            octets += piece
        else:
            octets += text[position].encode("utf-8", "surrogatepass")
            position += 1
    return _text(octets), _separator(text, position + 1)


def _hex_string(text: str, position: int) -> tuple[str, int]:
    """Parse a value that is written as its BER encoding in hex (``#0402…``); the value must be a string."""
    start = position
    while position < len(text) and text[position] in _HEX:
        position += 1
    octets = bytes.fromhex(text[start:position]) if (position - start) % 2 == 0 else b""
    if len(octets) < 2 or octets[1] != len(octets) - 2:
        raise InvalidDn("a hex string is not the encoding of a string")
    return _text(octets[2:]), _separator(text, position)


def _separator(text: str, position: int) -> int:
    while position < len(text) and text[position] == " ":
        position += 1
    if position > len(text) or (position < len(text) and text[position] not in ",+;"):
        raise InvalidDn("text follows the end of a value")
    return position


def _escaped(text: str, position: int) -> tuple[bytes, int]:
    """Parse an escape behind its backslash: a special character, or two hex digits.

    :returns: the octets for which the escape stands, and the position behind the escape.
    """
    if position < len(text) and (text[position] in _SPECIAL or text[position] in " #="):
        return text[position].encode(), position + 1
    pair = text[position : position + 2]
    if len(pair) == 2 and set(pair) <= _HEX:
        return bytes.fromhex(pair), position + 2
    raise InvalidDn("a backslash precedes neither a special character nor two hex digits")


def _text(octets: bytes | bytearray) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidDn("a value is not UTF-8") from None
