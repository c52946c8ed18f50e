# SPDX-License-Identifier: MIT
"""What is to be said and not yet written: pieces, and how much they are together."""

from __future__ import annotations

from ldapgw.directory.blocks import LARGEST
from ldapgw.ldap.limits import JOINED


class Outbox:
    """Collects octets until they are written.

    :ivar most: octets that blocks of entries may make together.
    :ivar pieces: what there is, in its order.
    :ivar size: octets of all pieces.
    :ivar full: whether to write before more is added.
    """

    __slots__ = ("full", "most", "pieces", "size")

    def __init__(self, most: int = LARGEST) -> None:
        self.most = most
        self.pieces: list[bytes] = []
        self.size = 0
        self.full = False

    def add(self, octets: bytes) -> None:
        """Say this next."""
        self.pieces.append(octets)
        self.size += len(octets)
        self.full = self.size >= JOINED

    def gather(self, block: bytes) -> bool:
        """Say a block of entries next, unless that is too much; whether it is said.

        It is full as soon as one more of that size would be too much, so that none is made in vain most often.
        """
        size = len(block)
        fits = not self.size or self.size + size <= self.most
        if fits:
            self.pieces.append(block)
            self.size += size
        self.full = self.size + size > self.most
        return fits

    def take(self) -> bytes:
        """All of it, joined; then there is nothing."""
        return b"".join(self.take_pieces())

    def take_pieces(self) -> list[bytes]:
        """All of it as it is."""
        pieces, self.pieces = self.pieces, []
        self.size = 0
        self.full = False
        return pieces
