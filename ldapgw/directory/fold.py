# SPDX-License-Identifier: MIT
"""Text as a person at a phone means it: the forms under which a name is found.

A text has one *main* form (lower case, Latin letters, no accents, words parted by single blanks), by which names are
also sorted, and as many others as a person may type: "O'Brien" is ``o brien`` and ``obrien``, "Mueller" is ``mueller``
and ``muller``, "Иванов" is ``ivanov`` and ``иванов``.  A stored and an asked text match where any of their forms do,
so that neither side has to guess the other's spelling.

Everything is linear in its input, which is cut at `LONGEST`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

from anyascii import anyascii

# Nobody types more of a name; a hostile one of a megabyte costs no more than this.
LONGEST = 1024

# Letters that a person picks by the keys of a telephone.
LONGEST_KEYS = 32

# A sign without a place in a word: it parts two words in one form, and vanishes in another.
_JOINT = "\x01"

# ae, oe, ue are how ä, ö, ü are typed where there are none; both come down to a, o, u ("Müller", "Mueller", "Muller").
_DIGRAPH = re.compile("([aou])e+")

# Where Greek is not written letter by letter: passports have "Papadopoulos" and "Evangelos" (ISO 843, ELOT 743).
_GREEK = (("ου", "ou"), ("αυ", "av"), ("ευ", "ev"), ("γγ", "ng"))

_KEYS = {"0": "[0 ]", "2": "[2abc]", "3": "[3def]", "4": "[4ghi]", "5": "[5jkl]", "6": "[6mno]", "7": "[7pqrs]",
         "8": "[8tuv]", "9": "[9wxyz]"}  # fmt: skip

# Of 256 signs each; behind them are no letters.
_BLOCKS = 0x330

_ASCII = [chr(code) for code in range(128)]
_SPLIT = str.maketrans({sign: " " for sign in _ASCII if not sign.isalnum()})
_JOIN = str.maketrans({sign: "" for sign in _ASCII if not sign.isalnum() and not sign.isspace()})
# What a transliteration adds by itself ("Igor'" for "Игорь") belongs to no word.
_SILENT = str.maketrans({sign: "" for sign in _ASCII if not sign.isalnum() and not sign.isspace() and sign != _JOINT})


class _Table(dict[int, str]):
    """A table for `str.translate` that works out its rows when they are first needed, and keeps the usual ones."""

    def __init__(self, row: Callable[[str], str]) -> None:
        super().__init__()
        self._row = row

    def __missing__(self, code: int) -> str:
        row = self._row(chr(code))
        # Alphabets end where the thousands of signs begin, which are not worth the room.
        if code < 0x3000:
            self[code] = row
        return row


def _shape(sign: str) -> str:
    """A letter, mark or digit as it is; a blank for any blank; a joint for the rest."""
    kind = unicodedata.category(sign)[0]
    return sign if kind in "LMN" else " " if kind == "Z" or sign.isspace() else _JOINT


_SHAPED = _Table(_shape)
_VISIBLE = _Table(lambda sign: "" if unicodedata.category(sign) == "Cf" else sign)
# Accents have a combining class of 10 or more; marks below are letters of their own (kana voicing, Indic vowels).
_BARE = _Table(lambda sign: "" if unicodedata.combining(sign) >= 10 else sign)


def forms(text: str) -> tuple[str, ...]:
    """Every form of a stored text, the main one first (empty if the text has neither letters nor digits)."""
    main, latin, native, raw = _read(text)
    return tuple(dict.fromkeys((main, *_variants(latin), *_variants(native), *raw)))


@lru_cache(maxsize=256)
def asked(text: str) -> tuple[str, ...]:
    """The forms to look for when a text was asked for; a text of signs alone is looked for as it stands.

    Chinese signs are looked for by themselves alone: their reading would find every name that sounds the same.
    """
    _, latin, native, raw = _read(text)
    words = [*_variants(native)] if any(map(_is_han, "".join(native))) else [*_variants(latin), *_variants(native)]
    return tuple(dict.fromkeys(filter(None, words))) or raw


def collation(text: str) -> str:
    """What names are sorted and compared by: the main form."""
    return _read(text)[0]


def keypad(text: str) -> re.Pattern[str] | None:
    """For digits alone, a pattern of what they spell on a telephone's keys, the digits themselves among it."""
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= LONGEST_KEYS):
        return None
    return re.compile("".join(_KEYS.get(digit, digit) for digit in digits))


def load() -> None:
    """Read the tables of all scripts now: they are files, and whoever asks for a text later waits for none of them."""
    for block in range(_BLOCKS):
        anyascii(chr(block << 8))


def _read(text: str) -> tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """A text's main form, all Latin ones, those in its own script, and itself where it holds signs beside words."""
    text = text[:LONGEST]
    if text.isascii():
        lower = text.lower()
        return _read_ascii(lower, lower)
    # Some signs stand for a whole phrase (U+FDFA for 18 letters), so what they come to is cut too.
    folded = unicodedata.normalize("NFKC", text)[:LONGEST].casefold().translate(_VISIBLE)
    bare = unicodedata.normalize("NFC", unicodedata.normalize("NFKD", folded).translate(_BARE))
    if bare.isascii():
        return _read_ascii(bare, folded)
    shaped, bare = folded.translate(_SHAPED), bare.translate(_SHAPED)
    readings = dict.fromkeys((shaped, bare, _modern_greek(bare)))
    latin = [form for reading in readings for form in _parted(_latin(reading))]
    # Accented Latin letters end before U+0370; what lies behind is another script, and is typed in it too.
    native = _parted(bare) if max(bare) > "\u036f" else ()
    return latin[0], tuple(latin), native, (_words(folded),) if _JOINT in shaped else ()


def _read_ascii(plain: str, shown: str) -> tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """The same of a text whose letters are ASCII once their accents are gone."""
    if plain.isalnum():
        return plain, (plain,), (), ()
    split, joined = _words(plain.translate(_SPLIT)), _words(plain.translate(_JOIN))
    return split, (split, joined), (), () if _words(plain) == split == joined else (_words(shown),)


def _variants(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words, and how they look with ae, oe and ue read as ä, ö and ü."""
    return (*words, *(_DIGRAPH.sub(r"\1", form) for form in words if "e" in form))


def _parted(reading: str) -> tuple[str, str]:
    return _words(reading.replace(_JOINT, " ")), _words(reading.replace(_JOINT, ""))


def _words(text: str) -> str:
    return " ".join(text.split())


def _latin(shaped: str) -> str:
    return anyascii(shaped).lower().translate(_SILENT)


def _modern_greek(bare: str) -> str:
    for letters, reading in _GREEK:
        bare = bare.replace(letters, reading)
    return bare


def _is_han(sign: str) -> bool:
    return "\u3400" <= sign <= "\u9fff" or sign >= "\U00020000"
