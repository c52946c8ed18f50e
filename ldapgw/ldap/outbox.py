# SPDX-License-Identifier: MIT
"""What is to be said and not yet written: pieces, and how much they are together."""

from __future__ import annotations


class Outbox:
    """Collects octets; they are joined once, when they are written.

    :ivar pieces: to be joined in this order.
    :ivar size: octets of all pieces.
    """

    __slots__ = ("pieces", "size")

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size = 0

    def add(self, octets: bytes) -> None:
        """Say this next."""
        self.pieces.append(octets)
        self.size += len(octets)

    def take(self) -> bytes:
        """All of it, joined; then there is nothing."""
        octets = b"".join(self.pieces)
        self.pieces.clear()
        self.size = 0
        return octets
