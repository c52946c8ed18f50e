# SPDX-License-Identifier: MIT
"""Entries that a walk has found, as they stand on one shelf: by their positions, so that ready octets can be taken."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from ldapgw.directory import order
from ldapgw.directory.blocks import SIZE
from ldapgw.directory.naming import NamingContext
from ldapgw.directory.selection import Selection
from ldapgw.directory.shelf import Shelf


class Area(NamedTuple):
    """Entries that one order sorts.

    :ivar start: what the places of its entries begin with; of two areas, all entries of the lesser one come first.
    """

    start: str
    context: NamingContext


class Batch:
    """Entries that match, in their order, on one shelf.

    :ivar positions: theirs on the shelf.
    """

    __slots__ = ("area", "positions", "shelf")

    def __init__(self, area: Area, shelf: Shelf, positions: Sequence[int]) -> None:
        self.area = area
        self.shelf = shelf
        self.positions = positions

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def last_name(self) -> str:
        """The folded name of the last one."""
        return order.name_of(self.shelf.entries[self.positions[-1]].order)

    def part(self, start: int, end: int) -> Batch:
        """Some of them."""
        return Batch(self.area, self.shelf, self.positions[start:end])

    def before(self, stands: str) -> int:
        """How many of them come before an order."""
        entries = self.shelf.entries
        return bisect_left(self.positions, stands, key=lambda position: entries[position].order)

    def encoded(self, start: int, count: int, selection: Selection, *, types_only: bool) -> list[bytes]:
        """Some of them as whole SearchResultEntries, ready to stand behind a message id."""
        positions = self.positions
        ahead = SIZE - positions[start] % SIZE
        if ahead < count and positions[start : start + ahead][-1] - positions[start] == ahead - 1:
            count = ahead  # up to where a block begins
        return self.shelf.encoded(positions[start : start + count], selection, types_only=types_only)

    def block(self, start: int, selection: Selection, message_id: bytes) -> tuple[bytes, int] | None:
        """The messages of those that stand in one block of the shelf, and how many they are.

        None where that has others, or is not kept.

        :param message_id: an INTEGER, as it stands in each.
        """
        positions = self.positions
        first, end = positions[start], min(start + SIZE, len(positions))
        count = end - start
        if positions[end - 1] - first != count - 1:
            return None
        messages = self.shelf.blocks.at(first, count, selection, message_id)
        return None if messages is None else (messages, count)
