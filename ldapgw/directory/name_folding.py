# SPDX-License-Identifier: MIT
"""Text as a person at a phone means it: the forms under which a name is found.

A text has one *main* form (lower case, Latin letters, no accents, words parted by single blanks), by which names are
also sorted, and as many others as a person may type: "O'Brien" is ``o brien`` and ``obrien``, "Müller" is ``muller``
and ``mueller``, "Иванов" is ``ivanov`` and ``иванов``.  A stored and an asked text match where any of their forms do,
so that neither side has to guess the other's spelling.

Everything is linear in its input, which is cut at `LONGEST`.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from ldapgw.directory.transliteration import CharacterMap, readings

# Nobody types more of a name; a hostile one of a megabyte costs no more than this.
MAX_TEXT = 1024

# Letters that a person picks by the keys of a telephone.
MAX_KEYS = 32

# A sign without a place in a word: it parts two words in one form, and vanishes in another.
_JOINT = "\x01"
# A sign that has to be looked at together with its neighbours.
_OTHER = "\x02"

# ae, oe, ue and aa are how ä, ö, ü and å are typed where there are none; they come down to one letter on both sides, so
# that "Müller", "Mueller" and "Muller" find each other.
_DIGRAPH = re.compile("(a)[ae]++|([ou])e++")
_OPEN_DIGRAPH = re.compile("(?:(a)[ae]++|([ou])e++)(?!$)")
_SPELT = {"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa", "đ": "dj"}
_SPELT_LETTER = re.compile("[äöüøåđÄÖÜØÅĐ]")

# Letters that are written in several ways in one script: Arabic and Persian; and the ı whose capital is an I.
_SAME_LETTER = str.maketrans({"ı": "i", "ى": "ي", "ی": "ي", "ک": "ك", "ة": "ه", "ہ": "ه", "ھ": "ه", "\u0640": ""})

# A Chinese sign is a word: names are written with and without blanks, and found by any of their parts.
_HAN = re.compile("([\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])")

# Signs that show nothing, though Unicode does not call them so (Cf): variation selectors, fillers, a frame for keys.
_UNSEEN = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u20e3\u3164\uffa0"
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)
_TRADE_MARKS = frozenset("™℠")
_KEYS = {"0": "[0 ]", "2": "[2abc]", "3": "[3def]", "4": "[4ghi]", "5": "[5jkl]", "6": "[6mno]", "7": "[7pqrs]",
         "8": "[8tuv]", "9": "[9wxyz]"}  # fmt: skip


class _Read(NamedTuple):
    """A text in its forms.

    :ivar latin: in Latin letters, the main form first.
    :ivar spelt: with ae, oe, ue and aa for umlauts, if it has any.
    :ivar native: in its own script, if that is another one.
    :ivar raw: itself, where it holds signs beside words.
    """

    latin: tuple[str, ...]
    spelt: tuple[str, ...] = ()
    native: tuple[str, ...] = ()
    raw: tuple[str, ...] = ()


def variants(text: str) -> tuple[str, ...]:
    """Every form of a stored text, the main one first (empty if the text has neither letters nor digits)."""
    plain = _plain_words(text)
    if plain is not None:
        return _collapsed(plain)
    read = _read(text[:MAX_TEXT], stored=True)
    return tuple(dict.fromkeys((*_latin_forms(read), *read.spelt, *read.native, *read.raw)))


@lru_cache(maxsize=256)
def query_variants(text: str, *, open_ended: bool = False) -> tuple[str, ...]:
    """The forms to look for when a text was asked for; a text of signs alone is looked for as it stands.

    Chinese signs are looked for by themselves alone: their reading would find every name that sounds the same.

    :param goes_on: more letters may stand behind the text, so that "mue" is not "mu": it would find every "Mustermann".
    """
    plain = _plain_words(text)
    if plain is not None:
        return tuple(filter(None, _collapsed(plain, goes_on=open_ended)))
    read = _read(text[:MAX_TEXT], stored=False)
    words = (
        read.native if any(map(_HAN.search, read.native)) else (*_latin_forms(read, goes_on=open_ended), *read.native)
    )
    return tuple(dict.fromkeys(filter(None, words))) or read.raw


def collation_key(text: str) -> str:
    """What names are sorted and compared by: the main form."""
    plain = _plain_words(text)
    return _read(text[:MAX_TEXT], stored=False).latin[0] if plain is None else plain


def keypad_pattern(text: str) -> re.Pattern[str] | None:
    """For digits alone, a pattern of what they spell on a telephone's keys, the digits themselves among it."""
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= MAX_KEYS):
        return None
    return re.compile("".join(_KEYS.get(digit, digit) for digit in digits))


def _plain_words(text: str) -> str | None:
    """The only word or words of a text of ASCII letters, digits and blanks, as most are; None for any other."""
    if not text.isascii() or len(text) > MAX_TEXT:
        return None
    lower = text.lower()
    if lower.isalnum():
        return lower
    words = lower.split()
    return " ".join(words) if "".join(words).isalnum() or not words else None


def _read(text: str, *, stored: bool) -> _Read:
    """The forms of any text.

    :param stored: also as it is spelt without umlauts.
    """
    simple = text.translate(_SIMPLE)
    if _OTHER in simple:
        return _read_script(text, stored=stored)
    spelt = _parted(text.translate(_SIMPLE_SPELT)) if stored and _SPELT_LETTER.search(text) else ()
    return _Read(_parted(simple), spelt, (), _raw(text, simple))


def _read_script(text: str, *, stored: bool) -> _Read:
    """The forms of a text that is not read letter by letter."""
    # Some signs stand for a whole phrase (U+FDFA for 18 letters), so what they come to is cut too.
    folded = unicodedata.normalize("NFKC", text.translate(_SIGNS))[:MAX_TEXT].casefold().translate(_VISIBLE)
    shaped = folded.translate(_SHAPED)
    bare = unicodedata.normalize("NFC", unicodedata.normalize("NFKD", folded).translate(_BARE)).translate(_SHAPED)
    latin = [reading.translate(_LATIN) for reading in readings(shaped, bare)]
    spelt: tuple[str, ...] = ()
    if stored and _SPELT_LETTER.search(shaped):
        written = "".join(_SPELT.get(sign, sign) for sign in shaped)
        spelt = _parted(readings(written, bare)[0].translate(_LATIN))
    # Accented Latin letters end before U+0370; what lies behind is another script, and is typed in it too.
    native = _parted(_HAN.sub(r" \1 ", bare.translate(_SAME_LETTER))) if max(bare, default="") > "\u036f" else ()
    return _Read(tuple(form for reading in latin for form in _parted(reading)), spelt, native, _raw(text, shaped))


def _latin_forms(read: _Read, *, goes_on: bool = False) -> tuple[str, ...]:
    """The Latin forms; no other script's "ue" is ever an umlaut."""
    return read.latin if read.native else tuple(form for one in read.latin for form in _collapsed(one, goes_on=goes_on))


def _collapsed(words: str, *, goes_on: bool = False) -> tuple[str, ...]:
    """Words, and how they look with ae, oe, ue and aa read as ä, ö, ü and å."""
    if not _has_digraph(words):
        return (words,)
    other = words.replace("ae", "a").replace("oe", "o").replace("ue", "u").replace("aa", "a")
    if _has_digraph(other) or (goes_on and words[-1] in "ae"):
        other = (_OPEN_DIGRAPH if goes_on else _DIGRAPH).sub(r"\1\2", words)
    return (words, other) if other != words else (words,)


def _has_digraph(words: str) -> bool:
    return "ae" in words or "oe" in words or "ue" in words or "aa" in words


def _raw(text: str, shaped: str) -> tuple[str, ...]:
    return (_words(text.casefold()),) if _JOINT in shaped else ()


def _parted(reading: str) -> tuple[str, ...]:
    if _JOINT not in reading:
        return (_words(reading),)
    return _words(reading.replace(_JOINT, " ")), _words(reading.replace(_JOINT, ""))


def _words(text: str) -> str:
    return " ".join(text.split())


def _shape(sign: str) -> str:
    """A letter, mark or digit as it is; a blank for any blank; a joint for the rest."""
    kind = unicodedata.category(sign)[0]
    return sign if kind in "LMN" else " " if kind == "Z" or sign.isspace() else _JOINT


def _sign(sign: str) -> str:
    """An apostrophe for an accent that stands by itself, and is typed for one ("D´Angelo"); any other as it is.

    Nor do a trade mark's letters belong to any name.
    """
    accent = len(unicodedata.normalize("NFKC", sign)) > 1 and unicodedata.category(sign) == "Sk"
    return "'" if accent or sign in _TRADE_MARKS else sign


def _simple(sign: str) -> str:
    """What stands for a Latin letter, a digit or a sign whatever its neighbours are; `_OTHER` for all else."""
    if sign >= "\u0250" and unicodedata.category(sign)[0] in "LM":
        return _OTHER
    if not sign.translate(_VISIBLE):
        return ""
    shape = _shape(_sign(sign))
    if shape in (" ", _JOINT):
        # "№" and "㎡" are no letters and stand for some.
        letters = shape == _JOINT and any(map(str.isalnum, unicodedata.normalize("NFKC", _sign(sign))))
        return _OTHER if letters else shape
    latin = _read_script(sign, stored=False).latin
    return latin[0] if len(latin) == 1 and sign.isalnum() else _OTHER


_SIGNS = CharacterMap(_sign)
_SHAPED = CharacterMap(_shape)
_VISIBLE = CharacterMap(lambda sign: "" if unicodedata.category(sign) == "Cf" or sign in _UNSEEN else sign)
# Accents have a combining class of 10 or more; marks below are letters of their own (kana voicing, Indic vowels).
_BARE = CharacterMap(lambda sign: "" if unicodedata.combining(sign) >= 10 else sign)
# What a transliteration adds by itself ("Igor'" for "Игорь") belongs to no word.
_LATIN = CharacterMap(lambda sign: sign if sign.isalnum() or sign in (" ", _JOINT) else "")
_SIMPLE = CharacterMap(_simple)
_SIMPLE_SPELT = CharacterMap(lambda sign: _SPELT.get(sign.lower()) or _simple(sign))
