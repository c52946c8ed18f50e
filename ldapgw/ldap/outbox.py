# SPDX-License-Identifier: MIT
"""What is to be said and not yet written: pieces, and how much they are together."""

from __future__ import annotations

from ldapgw.ldap.limits import JOINED


class Outbox:
    """Collects octets; they are joined once, when they are written.

    :ivar pieces: to be joined in this order.
    :ivar size: octets of all pieces.
    :ivar full: whether to write before more is added: there are as many as are joined, or what is next is too much.
    """

    __slots__ = ("full", "pieces", "size")

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size = 0
        self.full = False

    def add(self, octets: bytes) -> None:
        """Say this next."""
        self.pieces.append(octets)
        self.size += len(octets)
        self.full = self.size >= JOINED

    def take(self) -> bytes:
        """All of it, joined; then there is nothing."""
        octets = b"".join(self.pieces)
        self.pieces.clear()
        self.size = 0
        self.full = False
        return octets
