# SPDX-License-Identifier: MIT
"""Splits received octets into whole LDAPMessages, however the network has divided the octets.

The length of a message is checked in its header, so a message that claims to have 2 GiB costs no memory.  Received
octets are appended to one buffer, each message is copied once, and the octets of messages already taken are dropped
once per read.  So the cost is linear in the number of octets.
"""

from __future__ import annotations

from typing import Final

from ldapgw.ber import SEQUENCE
from ldapgw.errors import ProtocolViolation

# The first octet of a TLS handshake (RFC 8446 5.1).
TLS_HANDSHAKE: Final = 0x16
TLS_ON_PLAIN_PORT: Final = "TLS on the port for LDAP without TLS"

# The maximum number of octets of an encoded length: four octets can express 4 GiB.
_MAX_LENGTH_OCTETS: Final = 4


def message_ends(octets: bytes) -> list[int]:
    """Return the end offset of each LDAPMessage in octets that this server has encoded."""
    ends = []
    end, size = 0, len(octets)
    while end < size:
        length = octets[end + 1]
        end += 2
        if length >= 0x80:
            start, end = end, end + (length & 0x7F)
            length = int.from_bytes(octets[start:end], "big")
        end += length
        ends.append(end)
    return ends


class Framer:
    """A collector of octets, which returns whole messages.

    :param max_message: octets of the longest message that is accepted, including its header.
    :ivar partial: whether octets are left that were not taken.  After `take` has returned None, these octets are the
        beginning of a message.
    """

    __slots__ = ("_buffer", "_max_message", "_taken", "partial")

    def __init__(self, max_message: int) -> None:
        self._buffer = bytearray()
        self._taken = 0
        self._max_message = max_message
        self.partial = False

    @property
    def size(self) -> int:
        """Return the number of octets that were not taken."""
        return len(self._buffer) - self._taken

    def feed(self, data: bytes) -> None:
        if self._taken:
            del self._buffer[: self._taken]
            self._taken = 0
        self._buffer += data
        self.partial = bool(self._buffer)

    def take(self) -> bytes | None:
        """Return the next whole message, or None while the message is incomplete.

        :raises ProtocolViolation: if the octets are not an LDAPMessage, or the message is too long.
        """
        buffer, start = self._buffer, self._taken
        available = len(buffer) - start
        if available and buffer[start] != SEQUENCE:
            if buffer[start] == TLS_HANDSHAKE:
                raise ProtocolViolation(TLS_ON_PLAIN_PORT)
            raise ProtocolViolation("message: not an LDAPMessage")
        if available < 2:
            return None
        header, length = 2, buffer[start + 1]
        if length >= 0x80:
            length_octets = length & 0x7F
            if not 1 <= length_octets <= _MAX_LENGTH_OCTETS:
                raise ProtocolViolation("message: length is not definite")
            header += length_octets
            if available < header:
                return None
            length = int.from_bytes(buffer[start + 2 : start + header], "big")
        if header + length > self._max_message:
            raise ProtocolViolation("message: longer than accepted")
        if available < header + length:
            return None
        self._taken = start + header + length
        self.partial = available > header + length
        return bytes(buffer[start : self._taken])

    def discard(self) -> None:
        """Drop the octets that were not taken."""
        self._buffer.clear()
        self._taken = 0
        self.partial = False
