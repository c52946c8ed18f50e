# SPDX-License-Identifier: MIT
"""Texts as a phone can show them: one line, visible signs alone, composed (NFC), of a bounded length."""

from __future__ import annotations

import unicodedata

LONGEST = 256

_JOINER = "\u200d"
# Besides the symbols proper: the sign that makes one of a letter, skin tones, and the arrow of 🙂‍↔️.
_EMOJI = frozenset("\ufe0f\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff\u2194")


def clean(value: object, longest: int = LONGEST) -> str:
    """A text without control, direction and zero-width marks, blanks single and none around it; "" for no text.

    Line breaks and tabs become blanks.  A zero-width joiner stays between two emoji, where it makes one of them.
    """
    if not isinstance(value, str):
        return ""
    # What is thrown away below may be most of a text, but not of one that anybody typed.
    text = value[: longest * 4]
    if not (text.isascii() and text.isprintable()):
        text = unicodedata.normalize("NFC", "".join(_visible(text, at) for at in range(len(text))))
    return " ".join(text.split())[:longest].rstrip(_JOINER + " ")


def lines(value: object) -> tuple[str, ...]:
    """The lines of a text, each cleaned, without empty ones; at most eight."""
    if not isinstance(value, str):
        return ()
    cleaned = (clean(line) for line in value[: LONGEST * 4].splitlines())
    return tuple(line for line in cleaned if line)[:8]


def _visible(text: str, at: int) -> str:
    """The sign at a place, or what stands for it."""
    sign = text[at]
    if sign.isspace():
        return " "
    if sign == _JOINER:
        return sign if 0 < at < len(text) - 1 and _is_emoji(text[at - 1]) and _is_emoji(text[at + 1]) else ""
    # Cc and Cf: control and format; Cs: half a pair, which cannot be encoded.
    return "" if unicodedata.category(sign) in ("Cc", "Cf", "Cs") else sign


def _is_emoji(sign: str) -> bool:
    return unicodedata.category(sign) == "So" or sign in _EMOJI
