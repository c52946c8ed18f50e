# SPDX-License-Identifier: MIT
"""Writes names from other scripts in Latin letters, both as ``anyascii`` does and as the bearers of the names do.

A person who types a foreign name types the spelling in the passport or on the business card.  Greece, Russia, Ukraine,
Serbia, Bulgaria and Japan have their own rules for the spelling, which `anyascii` does not follow.  Korean families
have their own spellings.  So a text has several Latin spellings, and a search for any of the spellings finds the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from anyascii import anyascii

# Characters below `_ALPHABETS_END` belong to alphabets and are always cached.  There are thousands of other characters,
# which are cached only until the map has `_MAX_CACHED` characters.  A full map takes some 500 KiB.
_ALPHABETS_END = 0x3000
_MAX_CACHED = 1 << 14


class CharacterMap(dict[int, str]):
    """A table for `str.translate` that computes the replacement of a character when the character first occurs."""

    def __init__(self, replacement: Callable[[str], str]) -> None:
        super().__init__()
        self._replacement = replacement

    def __missing__(self, code: int) -> str:
        replacement = self._replacement(chr(code))
        if code < _ALPHABETS_END or len(self) < _MAX_CACHED:
            self[code] = replacement
        return replacement


@dataclass(frozen=True, slots=True)
class _Spelling:
    """The rules by which a country writes its script in Latin letters, except the rules that `anyascii` follows.

    The rules are in lower case.

    :ivar script: a pattern of the script's letters.
    :ivar rules: patterns with their replacements, in the order in which the patterns are applied.
    :ivar letters: replacements of single letters, applied after the rules.
    """

    script: re.Pattern[str]
    rules: tuple[tuple[re.Pattern[str], str], ...] = ()
    letters: Mapping[int, str] = field(default_factory=dict)

    def write(self, text: str) -> str:
        """Write a text's letters by the rules; a letter without a rule stays unchanged."""
        for pattern, latin in self.rules:
            text = pattern.sub(latin, text)
        return text.translate(self.letters)


def _rules(*rules: tuple[str, str]) -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(pattern), latin) for pattern, latin in rules)


# The number of blocks of 256 characters from U+0000 to the last block that has letters.
_BLOCKS = 0x330

_GREEK = re.compile("[\u0370-\u03ff\u1f00-\u1fff]")
_CYRILLIC = re.compile("[\u0400-\u052f]")
_KANA = re.compile("[\u3041-\u30ff]")

# ISO 843 (ELOT 743) in the form of passports; at the beginning of a word, μπ, ντ and γκ are one sound each.
_MODERN_GREEK = _Spelling(
    _GREEK,
    _rules(
        (r"\bμπ", "b"),
        (r"\bντ", "d"),
        (r"\bγκ", "g"),
        (r"γγ", "ng"),
        (r"γξ", "nx"),
        (r"γχ", "nch"),
        (r"ο[υύ]", "ou"),
        (r"([αεη])[υύ](?=[θκξπστφχψ]|\b)", r"\1f"),
        (r"([αεη])[υύ]", r"\1v"),
    ),
)

_CYRILLIC_SPELLINGS = (
    # A "y" for the endings "ий" and "ый": "Dostoevsky", "Dmitry"
    _Spelling(_CYRILLIC, _rules((r"[иы]й\b", "y"))),
    # Russia, except in passports: "Maria", "Fyodor", "Gorbachev", "Grigoryev"
    _Spelling(
        _CYRILLIC, _rules((r"[иы]й\b", "y"), (r"ия\b", "ia"), ("(?<=[жчшщ])ё", "e"), ("ь?ё", "yo"), ("ье", "ye"))
    ),
    # Russia, passports, ICAO Doc 9303: "Iuliia", "Ilia", "Sergei"; and passports of earlier years: "Soloviev"
    _Spelling(_CYRILLIC, _rules(("ь(?=[её])", "i")), str.maketrans({"ю": "iu", "я": "ia", "й": "i", "ъ": "ie"})),
    # Ukraine, resolution 55 of 2010: "Volodymyr", "Serhii", "Yuliia"
    _Spelling(
        _CYRILLIC,
        _rules((r"\bє", "ye"), (r"\bї", "yi"), (r"\bй", "y"), (r"\bю", "yu"), (r"\bя", "ya"), ("зг", "zgh")),
        str.maketrans({"г": "h", "ґ": "g", "и": "y", "й": "i", "ї": "i", "є": "ie", "ю": "iu", "я": "ia"}),
    ),
    # Serbia and North Macedonia, the Latin alphabet of each country without diacritics: "Zivkovic", "Hristov"
    _Spelling(
        _CYRILLIC,
        (),
        str.maketrans({"ж": "z", "х": "h", "ц": "c", "ч": "c", "ш": "s", "џ": "dz", "ѓ": "gj", "ќ": "kj"}),
    ),
    # Bulgaria, law of 2009: "Hristo", "Tarnovo", "Shterev"
    _Spelling(_CYRILLIC, (), str.maketrans({"х": "h", "щ": "sht", "ъ": "a"})),
)

# Hepburn romanization in the form of passports: a small letter joins two syllables into one ("shun"), and long vowels
# are not marked ("Taro").
_HEPBURN = _rules((r"(sh|ch|j)iy(?=[auo])", r"\1"), (r"([knhmrgbp])iy(?=[auo])", r"\1y"), ("o[uo]", "o"), ("uu", "u"))

_HANGUL = re.compile("[\uac00-\ud7a3]")
# The usual spellings of the commonest family names, which nearly all differ from the official romanization.
_KOREAN_FAMILIES = {
    "김": "kim", "이": "lee", "박": "park", "최": "choi", "정": "jung", "강": "kang", "조": "cho", "윤": "yoon",
    "장": "jang", "임": "lim", "오": "oh", "서": "seo", "신": "shin", "권": "kwon", "황": "hwang", "안": "ahn",
    "류": "ryu", "유": "yoo", "고": "ko", "문": "moon", "배": "bae", "백": "baek", "허": "hur", "심": "shim",
    "노": "noh", "곽": "kwak", "성": "sung", "주": "joo", "우": "woo", "구": "koo", "전": "jeon", "홍": "hong",
    "송": "song", "한": "han", "양": "yang", "손": "son", "남": "nam", "하": "ha", "차": "cha", "민": "min",
}  # fmt: skip
_KOREAN_NAME = re.compile(rf"\b([{''.join(_KOREAN_FAMILIES)}])(?=[\uac00-\ud7a3]{{0,2}}\b)")

# A Chinese name has a family name, nearly always of one character, and a given name of one or two characters.
_HAN = "\u3400-\u4dbf\u4e00-\u9fff"
_CHINESE_NAME = re.compile(f"(?<![{_HAN}])([{_HAN}])([{_HAN}]{{1,2}})(?![{_HAN}])")


def readings(text: str, bare: str) -> tuple[str, ...]:
    """Return the ways to write a text in ASCII, each once, the best way first.

    :param text: the text in lower case and composed (NFKC).
    :param bare: the text without accents.
    """
    spellings = [text, bare]
    if _GREEK.search(text):
        spellings.insert(0, _MODERN_GREEK.write(text))
    if _CYRILLIC.search(text):
        spellings += [spelling.write(text) for spelling in _CYRILLIC_SPELLINGS]
    if _HANGUL.search(text):
        spellings.append(_KOREAN_NAME.sub(lambda name: _KOREAN_FAMILIES[name[1]] + " ", text))
    spellings.append(_CHINESE_NAME.sub(r"\1 \2", text))
    latin = dict.fromkeys(anyascii(spelling).lower() for spelling in dict.fromkeys(spellings))
    if _KANA.search(text):
        latin |= {_hepburn(reading): None for reading in latin}
    return tuple(latin)


def load() -> None:
    """Read the files with anyascii's tables for all scripts, so that no later search waits for a file."""
    for block in range(_BLOCKS):
        anyascii(chr(block << 8))


def _hepburn(latin: str) -> str:
    for pattern, sound in _HEPBURN:
        latin = pattern.sub(sound, latin)
    return latin
