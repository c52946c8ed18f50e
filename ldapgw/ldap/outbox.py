# SPDX-License-Identifier: MIT
"""What is to be said and not yet written: pieces, and how much they are together."""

from __future__ import annotations

from ldapgw.ldap.limits import JOINED


class Outbox:
    """Collects octets until they are written.

    :ivar enough: octets up to which blocks of entries are gathered.
    :ivar pieces: what there is, in its order.
    :ivar size: octets of all pieces.
    :ivar full: whether to write before more is added.
    """

    __slots__ = ("enough", "full", "pieces", "size")

    def __init__(self, enough: int = JOINED) -> None:
        self.enough = enough
        self.pieces: list[bytes] = []
        self.size = 0
        self.full = False

    def add(self, octets: bytes) -> None:
        """Say this next."""
        self.pieces.append(octets)
        self.size += len(octets)
        self.full = self.size >= JOINED

    def gather(self, block: bytes) -> None:
        """Say a block of entries next."""
        self.pieces.append(block)
        self.size += len(block)
        self.full = self.size >= self.enough

    def take(self) -> bytes:
        """All of it, joined; then there is nothing."""
        return b"".join(self.take_pieces())

    def take_pieces(self) -> list[bytes]:
        """All of it as it is."""
        pieces, self.pieces = self.pieces, []
        self.size = 0
        self.full = False
        return pieces
