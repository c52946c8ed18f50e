# SPDX-License-Identifier: MIT
"""What stands for single signs of a text, for `str.translate`: worked out when a sign is first met."""

from __future__ import annotations

from collections.abc import Callable

# Alphabets end where the thousands of signs begin, of which so many are worth the room: some 500 KiB.
_ALPHABETS_END = 0x3000
_MOST = 1 << 14


class Signs(dict[int, str]):
    """A table that works out its rows when they are first needed, and keeps the usual ones.

    :param row: what stands for a sign.
    """

    def __init__(self, row: Callable[[str], str]) -> None:
        super().__init__()
        self._row = row

    def __missing__(self, code: int) -> str:
        row = self._row(chr(code))
        if code < _ALPHABETS_END or len(self) < _MOST:
            self[code] = row
        return row
