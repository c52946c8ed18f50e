# SPDX-License-Identifier: MIT
"""Octets from the wire to whole LDAPMessages, however the network cut them.

A message's length is judged from its header alone, so that a claim of 2 GiB costs nothing.  Octets are appended to one
buffer, each message is copied out once, and what was taken is dropped once a read: the cost is linear in what came.
"""

from __future__ import annotations

from ldapgw.ber import SEQUENCE
from ldapgw.errors import ProtocolViolation

# More octets of length than four say more than 4 GiB.
_LENGTH_OCTETS = 4


class Framer:
    """Collects octets and gives out messages.

    :param max_message: octets of the longest message accepted, its header included.
    """

    __slots__ = ("_buffer", "_max_message", "_taken")

    def __init__(self, max_message: int) -> None:
        self._buffer = bytearray()
        self._taken = 0
        self._max_message = max_message

    @property
    def partial(self) -> bool:
        """Whether octets wait that were not taken; after `take` gave None: half a message."""
        return len(self._buffer) > self._taken

    def feed(self, data: bytes) -> None:
        """Add what was received."""
        if self._taken:
            del self._buffer[: self._taken]
            self._taken = 0
        self._buffer += data

    def take(self) -> bytes | None:
        """The next whole message, or None while it is not all there.

        :raises ProtocolViolation: when what comes is no LDAPMessage, or a longer one than is accepted.
        """
        buffer, start = self._buffer, self._taken
        available = len(buffer) - start
        if available and buffer[start] != SEQUENCE:
            raise ProtocolViolation("message: not an LDAPMessage")
        if available < 2:
            return None
        header, length = 2, buffer[start + 1]
        if length >= 0x80:
            octets = length & 0x7F
            if not 1 <= octets <= _LENGTH_OCTETS:
                raise ProtocolViolation("message: length is not definite")
            header += octets
            if available < header:
                return None
            length = int.from_bytes(buffer[start + 2 : start + header], "big")
        if header + length > self._max_message:
            raise ProtocolViolation("message: longer than accepted")
        if available < header + length:
            return None
        self._taken = start + header + length
        return bytes(buffer[start : self._taken])

    def discard(self) -> None:
        """Forget what came and was not taken."""
        self._buffer.clear()
        self._taken = 0
