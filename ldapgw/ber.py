# SPDX-License-Identifier: MIT
"""Encodes and decodes the part of BER that LDAP allows (RFC 4511 5.1): definite lengths, primitive strings.

The functions encode: each returns one element as octets, and the callers join the elements.  `BerReader` decodes: a
reader is a cursor over one octet string, and never reads beyond its element.  The callers name each field, so that an
error says which field is wrong.
"""

from __future__ import annotations

from typing import Final

from ldapgw.errors import ProtocolViolation

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
OCTET_STRING: Final = 0x04
ENUMERATED: Final = 0x0A
SEQUENCE: Final = 0x30
SET: Final = 0x31

# The two bits of a tag that hold its class, and the value of these bits in a context-specific tag.
CLASS: Final = 0xC0
CONTEXT_SPECIFIC: Final = 0x80

# The maximum number of octets of an INTEGER.  RFC 4511 4.1.1 has no INTEGER above 2147483647; a longer INTEGER is an
# attack on naive decoders.
LONGEST_INTEGER: Final = 4


def head(tag: int, length: int) -> bytes:
    """Return the tag and the definite length that precede the content of an element, in the shortest form."""
    if length < 0x80:
        return bytes((tag, length))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets


def tlv(tag: int, content: bytes) -> bytes:
    """Encode one element: tag, length, content."""
    return head(tag, len(content)) + content


def octets(value: bytes, tag: int = OCTET_STRING) -> bytes:
    """Encode an OCTET STRING."""
    return tlv(tag, value)


def integer(value: int, tag: int = INTEGER) -> bytes:
    """Encode an INTEGER or ENUMERATED in its shortest form."""
    magnitude = value if value >= 0 else ~value
    return tlv(tag, value.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True))


def boolean(value: bool, tag: int = BOOLEAN) -> bytes:  # noqa: FBT001 - the boolean is the value to encode
    """Encode a BOOLEAN; true is 0xFF (RFC 4511 5.1)."""
    return bytes((tag, 1, 0xFF if value else 0))


class BerReader:
    """A cursor over the content of one constructed element.

    :param data: the octets that contain the element; never copied.
    :param start: offset of the first octet of the content.
    :param end: offset behind the last octet of the content.
    """

    __slots__ = ("_data", "_end", "_position")

    def __init__(self, data: bytes, start: int, end: int) -> None:
        self._data = data
        self._position = start
        self._end = end

    @classmethod
    def over(cls, data: bytes) -> BerReader:
        """Return a reader over a whole octet string."""
        return cls(data, 0, len(data))

    def __bool__(self) -> bool:
        """Return whether any octets are left to read."""
        return self._position < self._end

    def peek(self) -> int:
        """Return the next tag without reading the element; 0 at the end (LDAP has no element with tag 0)."""
        return self._data[self._position] if self._position < self._end else 0

    def element(self, field: str) -> tuple[int, int, int]:
        """Read the next element, whatever its tag.

        :returns: the tag, and the start and end offset of the content.
        :raises ProtocolViolation: if the element extends beyond its parent, or its length is not definite.
        """
        data, position, end = self._data, self._position, self._end
        if end - position < 2:
            raise ProtocolViolation(f"{field}: element is missing or cut off")
        tag, length = data[position], data[position + 1]
        position += 2
        if tag & 0x1F == 0x1F:
            raise ProtocolViolation(f"{field}: multi-octet tag")
        if length >= 0x80:
            count = length & 0x7F
            if not 1 <= count <= 4 or end - position < count:
                raise ProtocolViolation(f"{field}: length is not definite or cut off")
            length = int.from_bytes(data[position : position + count], "big")
            position += count
        if length > end - position:
            raise ProtocolViolation(f"{field}: element is longer than its parent")
        self._position = position + length
        return tag, position, position + length

    def next_length(self, field: str) -> int:
        """Return the length of the next element's content in octets, without reading the element."""
        position = self._position
        _, start, end = self.element(field)
        self._position = position
        return end - start

    def inside(self, field: str) -> tuple[int, BerReader]:
        """Read the next element, whatever its tag; return the tag and a reader over the content."""
        tag, start, end = self.element(field)
        return tag, BerReader(self._data, start, end)

    def rest(self) -> bytes:
        """Read all remaining octets, undecoded."""
        start, self._position = self._position, self._end
        return self._data[start : self._end]

    def expect(self, tag: int, field: str) -> tuple[int, int]:
        """Read the next element, which must have this tag; return the start and end offset of its content."""
        actual, start, end = self.element(field)
        if actual != tag:
            raise ProtocolViolation(f"{field}: unexpected tag")
        return start, end

    def enter(self, tag: int, field: str) -> BerReader:
        """Read the next element, which must have this tag; return a reader over its content."""
        start, end = self.expect(tag, field)
        return BerReader(self._data, start, end)

    def octets(self, field: str, tag: int = OCTET_STRING) -> bytes:
        """Read an OCTET STRING."""
        start, end = self.expect(tag, field)
        return self._data[start:end]

    def text(self, field: str, tag: int = OCTET_STRING) -> str:
        """Read an LDAPString (RFC 4511 4.1.2) in UTF-8, or in ISO 8859-1, which old phones send."""
        value = self.octets(field, tag)
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.decode("latin-1")

    def integer(self, field: str, tag: int = INTEGER) -> int:
        """Read an INTEGER or ENUMERATED of at most `LONGEST_INTEGER` octets."""
        start, end = self.expect(tag, field)
        if not 1 <= end - start <= LONGEST_INTEGER:
            raise ProtocolViolation(f"{field}: integer of a wrong length")
        return int.from_bytes(self._data[start:end], "big", signed=True)

    def boolean(self, field: str, tag: int = BOOLEAN) -> bool:
        """Read a BOOLEAN; any octet but zero is true, as in BER (RFC 4511 5.1 allows only 0xFF)."""
        start, end = self.expect(tag, field)
        if end - start != 1:
            raise ProtocolViolation(f"{field}: boolean of a wrong length")
        return self._data[start] != 0

    def skip_extensions(self, field: str, *known: int) -> None:
        """Skip the elements that a later version of LDAP has added to the end of a SEQUENCE (RFC 4511 4).

        An added element has an unknown, context-specific tag.

        :param known: the context-specific tags of the known elements of the SEQUENCE.
        :raises ProtocolViolation: if an element has any other tag, because no other check would look at this element.
        """
        while self._position != self._end:
            tag, _, _ = self.element(field)
            if tag & CLASS != CONTEXT_SPECIFIC or tag in known:
                raise ProtocolViolation(f"{field}: unexpected element behind the last one")

    def finish(self, field: str) -> None:
        """Check that no octets are left.

        :raises ProtocolViolation: if octets follow the last element, because no other check would look at these octets.
        """
        if self._position != self._end:
            raise ProtocolViolation(f"{field}: octets behind the last element")
