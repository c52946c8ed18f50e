# SPDX-License-Identifier: MIT
"""Cleans texts for phones: one line of visible characters in NFC, of limited length."""

from __future__ import annotations

import unicodedata

LONGEST = 256

_JOINER = "\u200d"
# Emoji outside of category So: the variation selector of emoji, skin tones, and the arrow of 🙂‍↔️.
_EMOJI = frozenset("\ufe0f\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff\u2194")


def clean(value: object, longest: int = LONGEST) -> str:
    """Return a text without control, direction and zero-width characters; "" for any other type.

    Line breaks and tabs become blanks, runs of blanks a single blank, and surrounding blanks are removed.  A zero-width
    joiner between two emoji stays, because it joins them into one.
    """
    if not isinstance(value, str):
        return ""
    # The removed characters may be most of a text, but not of a text that a person typed.
    text = value[: longest * 4]
    if not (text.isascii() and text.isprintable()):
        text = unicodedata.normalize("NFC", "".join(_visible(text, index) for index in range(len(text))))
    return " ".join(text.split())[:longest].rstrip(_JOINER + " ")


def lines(value: object) -> tuple[str, ...]:
    """Return the cleaned lines of a text without empty lines; at most eight."""
    if not isinstance(value, str):
        return ()
    cleaned = (clean(line) for line in value[: LONGEST * 4].splitlines())
    return tuple(line for line in cleaned if line)[:8]


def _visible(text: str, index: int) -> str:
    """Return the character at an index, its replacement, or "" if it is invisible."""
    char = text[index]
    if char.isspace():
        return " "
    if char == _JOINER:
        return char if 0 < index < len(text) - 1 and _is_emoji(text[index - 1]) and _is_emoji(text[index + 1]) else ""
    # Cc and Cf: control and format; Cs: a lone surrogate, which cannot be encoded.
    return "" if unicodedata.category(char) in ("Cc", "Cf", "Cs") else char


def _is_emoji(char: str) -> bool:
    return unicodedata.category(char) == "So" or char in _EMOJI
