# SPDX-License-Identifier: MIT
"""Whole lists: entries that stand side by side on a shelf, as they are sent one behind the other.

An answer differs from the next one by its message id alone, which stands in each message.  So a block keeps what is
between the ids, and joining it with an id makes messages of it, in one step for all its entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ldapgw.ber import SEQUENCE, head
from ldapgw.directory.entry import Entry
from ldapgw.directory.selection import Selection

# Entries of a block; each begins at a multiple of it.
SIZE: Final = 64
# Octets of a block that is kept.  What is written at once (`ldapgw.ldap.limits.JOINED`) may be that much more.
LARGEST: Final = 24 << 10
# Attribute selections, and lengths of ids, whose blocks are kept: one is some 25 MiB where there are 100,000 entries.
_MOST_KEPT: Final = 2

# What stands between the message ids; empty: too much to be kept.
Block = tuple[bytes, ...]


class Blocks:
    """The blocks of a shelf's entries, made when they are first asked for.

    Mutable: what is kept.
    """

    __slots__ = ("_entries", "_kept")

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._kept: dict[tuple[Selection, int], dict[int, Block]] = {}

    def at(self, first: int, count: int, selection: Selection, extra: int) -> Block | None:
        """The block of so many entries from a position on; None where there is none.

        :param extra: octets of the message id, its head included.
        """
        if first % SIZE or count != min(SIZE, len(self._entries) - first):
            return None
        kept = self._kept.get((selection, extra))
        if kept is None:
            if len(self._kept) == _MOST_KEPT:
                del self._kept[next(iter(self._kept))]
            kept = self._kept[selection, extra] = {}
        block = kept.get(first)
        if block is None:
            block = kept[first] = _made(
                [entry.encode(selection) for entry in self._entries[first : first + count]], extra
            )
        return block or None


def _made(responses: Sequence[bytes], extra: int) -> Block:
    if sum(map(len, responses)) > LARGEST:
        return ()
    heads = [head(SEQUENCE, extra + len(response)) for response in responses]
    between = (response + behind for response, behind in zip(responses, heads[1:], strict=False))
    return (heads[0], *between, responses[-1])
