# SPDX-License-Identifier: MIT
"""The rows of a table for signs are kept in bounds."""

from __future__ import annotations

from ldapgw.directory.transliteration import CharacterMap


def test_rows_are_kept_while_there_is_room() -> None:
    """Rows of alphabets are always kept; rows of the thousands of signs behind them are kept as far as they fit."""
    table = CharacterMap(lambda sign: sign * 2)
    signs = "".join(map(chr, range(0x4E00, 0x4E00 + 20_000)))
    assert signs.translate(table) == "".join(sign * 2 for sign in signs)
    assert len(table) == 1 << 14
    assert "ж\U0001f436".translate(table) == "жж\U0001f436\U0001f436"
    assert len(table) == (1 << 14) + 1
    assert table[ord("ж")] == "жж"
