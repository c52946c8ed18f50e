# SPDX-License-Identifier: MIT
"""The cleaning of external texts for phones (one line of visible characters in NFC), pages and terminals."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Final

# The maximum number of characters of a text, and of a text of several lines.
LONGEST, LONGEST_LINES = 256, 1024
# The replacement for an unreadable character (Unicode, 23.8).
REPLACEMENT: Final = "\ufffd"

_JOINER: Final = "\u200d"
# Control characters, characters that change the direction of text (Unicode Standard Annex 9, 2), line separators, and
# lone surrogates, which cannot be encoded as UTF-8.  The pattern is a raw string, because mypyc cannot compile a string
# that contains a surrogate.
_CONTROLS: Final = r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
# Emoji outside of category So: the variation selector of emoji, skin tones, and the arrow of 🙂‍↔️.
_EMOJI: Final = frozenset("\ufe0f\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff\u2194")


def clean(value: object, longest: int = LONGEST) -> str:
    """Return a text without control, direction and zero-width characters, or "" if `value` is not a text.

    Line breaks and tabs become blanks, runs of blanks become a single blank, and surrounding blanks are removed.  A
    zero-width joiner between two emoji stays, because the joiner combines the two emoji into a single emoji.  A lone
    surrogate, such as half an emoji, becomes `REPLACEMENT`.
    """
    if not isinstance(value, str):
        return ""
    # A long text is cut off before the cleaning.  Four times `longest` characters are enough, because a text that a
    # person typed has few characters to remove.
    text = value[: longest * 4]
    # A printable text has nothing to remove: of the categories C and Z, `str.isprintable` accepts only the blank.
    if not text.isprintable():
        text = "".join(_visible(text, index) for index in range(len(text)))
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return " ".join(text.split())[:longest].rstrip(_JOINER + " ")


def lines(value: object) -> tuple[str, ...]:
    """Return the cleaned lines of a text without empty lines, at most eight lines."""
    if not isinstance(value, str):
        return ()
    cleaned = [clean(line) for line in value[:LONGEST_LINES].splitlines()]
    return tuple(line for line in cleaned if line)[:8]


def without_controls(text: str, replacement: str = "", *, keep: str = "") -> str:
    """Replace the characters of a text that would control a terminal or reorder the surrounding text.

    :param keep: control characters that stay.
    """
    return _controls(keep).sub(replacement, text)


@cache
def _controls(keep: str) -> re.Pattern[str]:
    return re.compile(f"(?![{re.escape(keep)}]){_CONTROLS}" if keep else _CONTROLS)


def _visible(text: str, index: int) -> str:
    """Return the text for the character at an index: the character, a replacement, or "" to remove the character."""
    char = text[index]
    if char.isspace():
        return " "
    if char == _JOINER:
        return char if 0 < index < len(text) - 1 and _is_emoji(text[index - 1]) and _is_emoji(text[index + 1]) else ""
    category = unicodedata.category(char)
    if category == "Cs":
        return REPLACEMENT
    return "" if category in ("Cc", "Cf") else char


def _is_emoji(char: str) -> bool:
    return unicodedata.category(char) == "So" or char in _EMOJI
