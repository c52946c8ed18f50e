# SPDX-License-Identifier: MIT
"""Whole lists: entries that stand side by side on a shelf, as they are sent one behind the other.

An answer differs from the next one by its message id alone, which stands in each message.  So a block keeps messages
with a sign in place of it that is nowhere else in them; to replace that makes an answer of it, in one walk through
octets that lie side by side, whatever the number of entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ldapgw.ber import SEQUENCE, head
from ldapgw.directory.entry import Entry
from ldapgw.directory.selection import Selection

# Entries of a block; each begins at a multiple of it.  One is about what is written at once.
SIZE: Final = 192
# Octets of a block that is kept, and of what is written at once (`ldapgw.ldap.limits.JOINED`).
LARGEST: Final = 64 << 10
# Attribute selections whose blocks are kept: one is some 25 MiB where there are 100,000 entries.
_MOST_KEPT: Final = 2

# Octets of a message id that blocks are for, its tag and length included: from 1 to 127, as nearly all are.
_ID: Final = 3

# Messages, and the sign in place of their ids; no messages: there is no such sign, or too much to be kept.
Block = tuple[bytes, bytes]


class Blocks:
    """The blocks of a shelf's entries, made when they are first asked for.

    Mutable: what is kept.
    """

    __slots__ = ("_entries", "_kept")

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._kept: dict[Selection, dict[int, Block]] = {}

    def at(self, first: int, count: int, selection: Selection, message_id: bytes) -> bytes | None:
        """The messages of so many entries from a position on; None where there is no block of them.

        :param message_id: an INTEGER, as it stands in each.
        """
        if first % SIZE or count != min(SIZE, len(self._entries) - first) or len(message_id) != _ID:
            return None
        kept = self._kept.get(selection)
        if kept is None:
            if len(self._kept) == _MOST_KEPT:
                del self._kept[next(iter(self._kept))]
            kept = self._kept[selection] = {}
        block = kept.get(first)
        if block is None:
            responses = [entry.encode(selection) for entry in self._entries[first : first + count]]
            block = kept[first] = _made(responses, message_id[:-1])
        messages, sign = block
        return messages.replace(sign, message_id[-1:]) if messages else None


def _made(responses: Sequence[bytes], before: bytes) -> Block:
    """A block.

    :param before: the tag and the length of the message id.
    """
    heads = [head(SEQUENCE, _ID + len(response)) + before for response in responses]
    pieces = [*heads, *responses]
    if sum(map(len, pieces)) + len(heads) > LARGEST:
        return b"", b""
    used = b"".join(pieces)
    for octet in range(0xFF, -1, -1):
        if octet not in used:
            sign = bytes((octet,))
            return b"".join([start + sign + response for start, response in zip(heads, responses, strict=True)]), sign
    return b"", b""
