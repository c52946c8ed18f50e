# SPDX-License-Identifier: MIT
"""Which attribute selections a shelf keeps its entries encoded for: those that are asked for again and again.

Phones of a few models ask in turn, each for its own.  A selection is kept from its second request on.  Where there is
no room, it takes the place of the one that was not asked for for longest, if that was not asked for since its own first
request: of more selections than are kept, all in use, the first ones stay.
"""

from __future__ import annotations

from typing import Final

from ldapgw.directory.selection import Selection

# Attribute selections whose encodings are kept: one is some 25 MiB where a shelf has 100,000 entries.
_MOST: Final = 4

# Others that are known to have been asked for.
_OTHERS: Final = 12

# Encoded entries by position; None: nobody has asked for that one.
Encoded = list[bytes | None]


class Encodings:
    """Entries of a shelf as they were encoded.

    Mutable: what is kept, and what was asked for.

    :param count: of the entries.
    """

    __slots__ = ("_asked", "_count", "_kept", "_last")

    def __init__(self, count: int) -> None:
        self._count = count
        self._kept: dict[Selection, Encoded] = {}
        # By their last request if they are kept, otherwise by their first.
        self._asked: dict[Selection, None] = {}
        self._last: Selection | None = None

    def of(self, selection: Selection) -> Encoded | None:
        """What is kept for a selection; None: nothing, it is not asked for often enough."""
        kept = self._kept.get(selection)
        if selection is self._last and kept is not None:
            return kept
        self._last = selection
        if kept is None and selection in self._asked:
            kept = self._keep(selection)
        elif kept is None and len(self._asked) == _MOST + _OTHERS:
            del self._asked[next(one for one in self._asked if one not in self._kept)]
        self._asked.pop(selection, None)
        self._asked[selection] = None
        return kept

    def _keep(self, selection: Selection) -> Encoded | None:
        """Begin to keep it, where there is room or one has to go."""
        if len(self._kept) == _MOST:
            first = next(one for one in self._asked if one is selection or one in self._kept)
            if first is selection:
                return None
            del self._kept[first], self._asked[first]
        kept = self._kept[selection] = [None] * self._count
        return kept
