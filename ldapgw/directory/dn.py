# SPDX-License-Identifier: MIT
"""Distinguished names as text (RFC 4514): read, compare, escape.

Ours and not ldaptor's, because every search carries one, and ldaptor reads hex pairs as ISO 8859-1, takes any sign for
an escaped one and keeps the blanks around a value.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Self

from ldapgw.directory.schema import attribute_type

# Far beyond any DN of ours; what is longer is refused before it is read.  Normalizing takes the square of a row of
# combining marks, which this keeps below 10 ms.
LONGEST = 4096
MOST_RDNS = 64

_SPECIAL = frozenset('"+,;<>\\')
# Two more that need not be escaped everywhere but may be: some clients read no DN without it (ldap3).
_ESCAPED = _SPECIAL | frozenset("#=")
_HEX = frozenset("0123456789abcdefABCDEF")

AttributeValue = tuple[str, str]
Rdns = tuple[tuple[AttributeValue, ...], ...]
# What two writings of one name share.
Key = tuple[frozenset[AttributeValue], ...]


# In a DN without these each part is a type and a value as they stand, as nearly all that are sent.
_CHARACTER = re.compile(r'[+;\\"<>#\x00]')
# What stands for itself in a value.
_PLAIN = re.compile(r'[^,+;\\"<>\x00]+')


class InvalidDn(ValueError):
    """Raised when a text is not a distinguished name."""


@dataclass(frozen=True, slots=True)
class Dn:
    """A distinguished name, leaf first.

    :ivar rdns: each RDN as its (type, value) pairs in the order of the text; types in lower case, aliases resolved.
    """

    rdns: Rdns = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a DN.

        :raises InvalidDn: when the text is no DN by RFC 4514, or is too long to be one of ours.
        """
        if len(text) > LONGEST:
            raise InvalidDn("longer than a DN of ours can be")
        if not text.strip(" "):
            return cls()
        rdns = _plainly_read(text) or _read(text)
        if len(rdns) > MOST_RDNS:
            raise InvalidDn("more parts than a DN of ours can have")
        return cls(rdns)

    @property
    def key(self) -> Key:
        """What two writings of one name share: case and runs of blanks do not matter (caseIgnoreMatch)."""
        return tuple(frozenset((kind.lower(), folded(value)) for kind, value in rdn) for rdn in self.rdns)

    def parent(self, levels: int = 1) -> Dn:
        """The name of the entry above this one."""
        return Dn(self.rdns[levels:])

    def child(self, kind: str, value: str) -> Dn:
        """The name of an entry below this one."""
        return Dn((((kind, value),), *self.rdns))

    def __reduce__(self) -> tuple[type[Dn], tuple[Rdns]]:
        """Pickled as what makes it anew, for the process that builds books: compiled, nothing else can be unpickled."""
        return Dn, (self.rdns,)

    def __str__(self) -> str:
        """The string form, fit for any client (RFC 4514 2)."""
        return ",".join("+".join(f"{kind}={escape(value)}" for kind, value in rdn) for rdn in self.rdns)


def _plainly_read(text: str) -> Rdns | None:
    """The parts of a DN as nearly all are that are sent: types of ours, and values as they stand."""
    if not text.isascii() or _CHARACTER.search(text):
        return None
    rdns = []
    for part in text.split(","):
        kind, equals, value = part.partition("=")
        known = attribute_type(kind) if equals else None
        if known is None:
            return None
        rdns.append(((known.name.lower(), value.strip(" ")),))
    return tuple(rdns)


def _read(text: str) -> Rdns:
    """The parts of any DN."""
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
    """An attribute value of a DN in the form that all its writings share."""
    lower = value.lower() if value.isascii() else unicodedata.normalize("NFKC", value).casefold()
    return " ".join(lower.split())


def escape(value: str) -> str:
    """A value as it stands in a DN's string form (RFC 4514 2.4)."""
    inner = "".join(map(_escaped_character, value))
    if value.startswith(" "):
        inner = "\\" + inner
    if len(value) > 1 and value.endswith(" "):
        inner = inner[:-1] + "\\ "
    return inner


def _escaped_character(sign: str) -> str:
    if sign < " " or sign == "\x7f":
        return f"\\{ord(sign):02x}"
    return "\\" + sign if sign in _ESCAPED else sign


def _attribute_value(text: str, position: int) -> tuple[AttributeValue, int]:
    """One ``type=value``, and where the text goes on."""
    equals = text.find("=", position)
    if equals < 0:
        raise InvalidDn("a part has no '='")
    kind = text[position:equals].strip(" ").lower().removeprefix("oid.")
    known = attribute_type(kind)
    if not (known or (kind and all(sign.isascii() and (sign.isalnum() or sign in "-.") for sign in kind))):
        raise InvalidDn("a part has no attribute type")
    value, position = _value(text, equals + 1)
    return (known.name.lower() if known else kind, value), position


def _value(text: str, position: int) -> tuple[str, int]:
    """An attribute value, unescaped, and the position of the separator behind it."""
    while position < len(text) and text[position] == " ":
        position += 1
    if position < len(text) and text[position] == "#":
        return _hex_string(text, position + 1)
    if position < len(text) and text[position] == '"':
        return _quoted(text, position + 1)
    octets = bytearray()
    kept = 0  # up to where blanks were escaped or followed by something
    while position < len(text) and text[position] not in ",+;":
        plain = _PLAIN.match(text, position)
        if plain:
            octets += plain[0].encode("utf-8", "surrogatepass")
            position = plain.end()
            blanks = len(plain[0]) - len(plain[0].rstrip(" "))
            kept = len(octets) - blanks if blanks < len(plain[0]) else kept
        elif text[position] == "\\":
            piece, position = _escaped(text, position + 1)
            octets += piece
            kept = len(octets)
        else:
            raise InvalidDn("a special character is not escaped")
    return _text(octets[:kept]), position


def _quoted(text: str, position: int) -> tuple[str, int]:
    """A value in quotation marks, as LDAPv2 wrote them (RFC 2253 4)."""
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
    """A value as the hex of its BER (``#0402…``); only strings can name an entry of ours."""
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
        raise InvalidDn("a value goes on behind its end")
    return position


def _escaped(text: str, position: int) -> tuple[bytes, int]:
    """What stands behind a backslash: a special character, or the two hex digits of an octet."""
    if position < len(text) and (text[position] in _SPECIAL or text[position] in " #="):
        return text[position].encode(), position + 1
    pair = text[position : position + 2]
    if len(pair) == 2 and set(pair) <= _HEX:
        return bytes.fromhex(pair), position + 2
    raise InvalidDn("a backslash escapes nothing")


def _text(octets: bytes | bytearray) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidDn("a value is not UTF-8") from None
