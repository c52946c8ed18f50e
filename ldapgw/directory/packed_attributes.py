# SPDX-License-Identifier: MIT
"""Packed attributes: all attributes of an entry in two strings, which are searched and sent without unpacking.

An entry has no object for each attribute, because a hundred thousand entries are in memory.  One string of octets holds
the time of the last change, and for each attribute a number and the encoded SET of values.  Another string holds, for
each attribute, a tag and the search text of the attribute's values (`ldapgw.directory.normalization`).  A tag consists
of `TAG_START` and a *letter*, which stands for the attribute.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Self

from ldapgw import ber
from ldapgw.directory.schema import ATTRIBUTE_TYPES, AttributeType

_ATTRIBUTE_NAMES: Final = tuple(kind.name for kind in ATTRIBUTE_TYPES if not kind.operational)
_ATTRIBUTE_NUMBERS: Final = {name: number for number, name in enumerate(_ATTRIBUTE_NAMES)}
_UID_NUMBER: Final = _ATTRIBUTE_NUMBERS["uid"]
# The character in front of each attribute's part of an entry's text, and behind the last part.  No search text contains
# the character.
TAG_START: Final = "\x1e"
ATTRIBUTE_TAGS: Final = {name: TAG_START + chr(ord("A") + number) for name, number in _ATTRIBUTE_NUMBERS.items()}

# The letter that stands for aliases.  An alias is a name that finds an entry without being shown, and belongs to no
# attribute.
ALIAS_LETTER: Final = "@"
# If the display name equals cn, `SAME_AS_CN` takes the place of the display name's search text, and `_SAME_SET` takes
# the place of the display name's SET.
SAME_AS_CN: Final = "\x1d"
_SAME_SET: Final = SAME_AS_CN.encode()

_PERSON_NAMES: Final = frozenset(("cn", "displayName", "givenName", "sn"))
NAME_TAGS: Final = frozenset(map(ATTRIBUTE_TAGS.__getitem__, _PERSON_NAMES))
CN_TAG, OBJECT_CLASS_TAG, ALIAS_TAG = ATTRIBUTE_TAGS["cn"], ATTRIBUTE_TAGS["objectClass"], TAG_START + ALIAS_LETTER

# An attribute's values as an encoded SET, and their search text.  The SET is empty if the attribute is searched, but
# not returned.
PackedAttribute = tuple[bytes, str]


def attribute_tag(kind: AttributeType) -> str:
    """Return the tag before a user attribute's search text: `TAG_START` and the attribute's letter."""
    return ATTRIBUTE_TAGS[kind.name]


# The number of octets that hold the time of the last change, in seconds since the epoch; five octets are enough up to
# the year 36,812.
_TIME: Final = 5


@dataclass(frozen=True, slots=True, repr=False)
class PackedAttributes:
    """User attributes and the time of the last change, packed into a few strings.

    :ivar values: the time, and for each attribute a number and the encoded SET of values.  `_SAME_SET` takes the place
        of a display name that equals cn.
    :ivar text: for each attribute its tag and its search text.
    """

    values: bytes = bytes(_TIME)
    text: str = TAG_START

    @classmethod
    def pack(cls, attributes: Mapping[str, PackedAttribute], aliases: str = "", *, updated: float = 0.0) -> Self:
        """Pack attributes.

        :param aliases: the search text of names that find the entry without being shown.
        """
        values, texts = [max(0, int(updated)).to_bytes(_TIME, "big")], []
        cn: PackedAttribute | None = None
        for name, packed in attributes.items():
            cn = packed if name == "cn" else cn
            octets, text = (_SAME_SET, SAME_AS_CN) if name == "displayName" and packed == cn else packed
            if octets:
                values.append(bytes((_ATTRIBUTE_NUMBERS[name],)) + octets)
            texts.append(ATTRIBUTE_TAGS[name] + text)
        if aliases:
            texts.append(ALIAS_TAG + aliases)
        return cls(b"".join(values), "".join(texts) + TAG_START)

    @property
    def updated(self) -> int:
        """Return the time of the last change, in seconds since the epoch; 0 if unknown."""
        return int.from_bytes(self.values[:_TIME], "big")

    def search_text(self, kind: AttributeType) -> str | None:
        """Return the search text of a user attribute; None if the attribute is absent.

        The search text of a person's name includes the aliases.
        """
        text = self._tagged_text(ATTRIBUTE_TAGS[kind.name])
        if text == SAME_AS_CN:
            text = self._tagged_text(ATTRIBUTE_TAGS["cn"])
        if text is None or kind.name not in _PERSON_NAMES:
            return text
        return text + (self._tagged_text(ALIAS_TAG) or "")

    def _tagged_text(self, tag: str) -> str | None:
        at = self.text.find(tag)
        return None if at < 0 else self.text[at + 2 : self.text.index(TAG_START, at + 2)]


def unpack(values: bytes) -> dict[str, bytes]:
    """Return the encoding of each attribute's SET, by the attribute's name.

    :param values: see `PackedAttributes`.
    """
    at = _TIME
    sets: dict[str, bytes] = {}
    while at < len(values):
        name, start = _ATTRIBUTE_NAMES[values[at]], at + 1
        at = _end_of_set(values, start)
        sets[name] = sets["cn"] if values[start] == _SAME_SET[0] else values[start:at]
    return sets


def _end_of_set(values: bytes, start: int) -> int:
    """Return the position behind an attribute's SET in packed values.

    :param start: the position of the SET.
    """
    if values[start] == _SAME_SET[0]:
        return start + 1
    length, start = values[start + 1], start + 2
    if length >= 0x80:
        octets = length & 0x7F
        length, start = int.from_bytes(values[start : start + octets], "big"), start + octets
    return start + length


def find_uid(values: bytes) -> bytes:
    """Return the uid in packed values without unpacking the other attributes; empty if absent."""
    at = _TIME
    while at < len(values):
        number, start = values[at], at + 1
        at = _end_of_set(values, start)
        if number == _UID_NUMBER:
            return next(iter(decoded(values[start:at])), b"")
    return b""


NO_ATTRIBUTES: Final = PackedAttributes()


def octets_of(text: str) -> bytes:
    """Encode a text in UTF-8; half a surrogate pair, which UTF-8 cannot encode, becomes "?"."""
    return text.encode("utf-8", "replace")


def encoded_texts(texts: Iterable[str]) -> bytes:
    """Encode texts as a SET OF OCTET STRING."""
    return encoded_set([octets_of(text) for text in texts])


def encoded_set(values: Iterable[bytes]) -> bytes:
    """Encode values as a SET OF OCTET STRING."""
    return ber.tlv(ber.SET, b"".join([ber.octets(value) for value in values]))


def decoded(values: bytes) -> tuple[bytes, ...]:
    """Return the values of an encoded SET OF OCTET STRING, as `encoded_set` writes it; no values for an empty string.

    The function uses no `BerReader`, to save time: a list of 5,000 contacts has 35,000 sets.
    """
    if len(values) > 3 and values[3] == len(values) - 4:  # most sets have one short value and take this shortcut
        return (values[4:],)
    found: list[bytes] = []
    # The head of the SET has two octets, and further octets if the content is longer than 127 octets.
    at = 2 + (values[1] & 0x7F) if len(values) > 1 and values[1] >= 0x80 else 2
    while at < len(values):
        length, at = values[at + 1], at + 2
        if length >= 0x80:
            octets_of_length = length & 0x7F
            length, at = int.from_bytes(values[at : at + octets_of_length], "big"), at + octets_of_length
        found.append(values[at : at + length])
        at += length
    return tuple(found)
