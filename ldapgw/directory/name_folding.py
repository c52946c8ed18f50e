# SPDX-License-Identifier: MIT
"""Name folding: the variants of a name by which a person at a phone finds the name.

A text has one *main* variant (lower case, Latin letters, no accents, single blanks between words).  The main variant is
also the collation key by which names are sorted.  Further variants are spellings that a person may type: "O'Brien" is
``o brien`` and ``obrien``, "Müller" is ``muller`` and ``mueller``, "Иванов" is ``ivanov`` and ``иванов``.  A stored
text matches a query if the text and the query have a variant in common, so a query also finds names in other spellings.

A *sort key* sorts entries as people sort names, and is the same in each search.  A sort key is in UTF-8, because UTF-8
sorts as text does and takes less memory than a string with letters of several scripts.  A sort key has three parts.
The first part is the collation key of the name, or of the *reading* (the pronunciation) of a name in Chinese
characters.  The second part is the name as it is written.  The third part is a *tiebreaker*, which never changes while
the entry exists.  The tiebreaker makes each sort key unique, so that a paged search can continue after a sync at the
place where the last page ended.  `NO_LETTERS` precedes the collation key of a name without letters.  The length of a
sort key is limited, because a paged search sends the sort key to the client.  So names that agree in their first
`MAX_SORT_NAME` characters are sorted by their tiebreakers.

The time of all work is proportional to the length of the text.  Only the first `MAX_TEXT` characters are read.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import islice, product
from typing import Final

from ldapgw.directory.transliteration import CharacterMap, readings

# The maximum number of characters of a text that are read.  Nobody types more of a name.  The limit protects against
# hostile texts of a megabyte.
MAX_TEXT: Final = 1024

# The maximum number of words of a typed text that are looked up one by one.  The words of a longer text have to be
# adjacent in the value.
MAX_WORDS: Final = 8

# The maximum number of digits that may stand for letters of the telephone keypad.
MAX_KEYS: Final = 32

# The placeholder for a character such as "-" or "'", which separates two words in one variant and is removed in
# another.
_JOINT: Final = "\x01"
# The placeholder for a character whose transliteration depends on its neighbours.
_OTHER: Final = "\x02"

# The placeholder for letters and digits in the unchanged text (`search_variants`), a control character that nobody
# types.
_REPLACED: Final = "\x10"
_LETTERS_AND_DIGITS: Final = re.compile(r"[^\W_]+")

# People type ae, oe, ue and aa if they cannot type ä, ö, ü and å.  In stored texts and in queries, one letter replaces
# each pair, so that "Müller", "Mueller" and "Muller" find each other.
_DIGRAPH: Final = re.compile("(a)[ae]++|([ou])e++")
_OPEN_DIGRAPH: Final = re.compile("(?:(a)[ae]++|([ou])e++)(?!$)")
_SPELLINGS: Final = {"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa", "đ": "dj"}
_SPELT_LETTER: Final = re.compile("[äöüøåđÄÖÜØÅĐ]")

# Arabic and Persian letters that are written in several forms.  The letter ı is in the table too, because its capital
# is I.
_SAME_LETTER: Final = str.maketrans(
    {"ı": "i", "ى": "ي", "ی": "ي", "ک": "ك", "ة": "ه", "ہ": "ه", "ھ": "ه", "\u0640": ""}
)

_ZEROS: Final = re.compile("(0+)")

# Each Chinese character counts as a word, because people write a name with or without blanks, and search for any part.
_HAN: Final = re.compile("([\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])")

# Invisible characters outside category Cf: variation selectors, fillers, the enclosing keycap.
_INVISIBLE: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u20e3\u3164\uffa0"
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)
_TRADE_MARKS: Final = frozenset("™℠")

# The letters on the keys 2 to 9.  Latin letters follow ITU-T E.161, and Cyrillic, Greek and Hebrew letters follow ETSI
# ES 202 130.  Arabic and Persian letters follow the keys of phones.
LATIN_KEYS: Final = ("abc", "def", "ghi", "jkl", "mno", "pqrs", "tuv", "wxyz")
_KEYS: Final = (
    LATIN_KEYS,
    ("абвгґ", "деёжзђѓєѕ", "ийкліїјљ", "мнопњ", "рстућќў", "фхцчџ", "шщъы", "ьэюя"),
    ("αβγ", "δεζ", "ηθι", "κλμ", "νξο", "πρσ", "τυφ", "χψω"),
    ("דהו", "אבג", "מםנן", "יכךל", "זחט", "רשת", "צץק", "סעפף"),
    ("بتةثپ", "اأإآىؤئء", "سشصض", "دذرزژ", "جحخچ", "نهويی", "فقكلمکگ", "طظعغ"),
)
_KEY_OF: Final = {letter: str(key) for keys in _KEYS for key, letters in enumerate(keys, 2) for letter in letters}
# Letters that folding replaces by a letter on another key of the telephone.
_OTHER_KEY: Final = re.compile("[ةىؤئѓќ]")
# On a keypad, 0 may stand for a blank, so a text of digits may have several readings.  At most `_MAX_READINGS` readings
# of a text are tried.
_MAX_READINGS: Final = 8


@dataclass(frozen=True, slots=True)
class _Variants:
    """The variants of a text.

    :ivar latin: the variants in Latin letters, the main variant first.
    :ivar spelt: the variants with ae, oe, ue and aa for umlauts, if the text has umlauts.
    :ivar native: the variants in the text's own script, if this script is not Latin.
    :ivar raw: the text with only its case changed, if the text has characters such as "-" or "'".
    """

    latin: tuple[str, ...]
    spelt: tuple[str, ...] = ()
    native: tuple[str, ...] = ()
    raw: tuple[str, ...] = ()


def variants(text: str) -> tuple[str, ...]:
    """Return all variants of a stored text, the main variant first (empty for a text without letters and digits)."""
    words, raw = _stored_variants(text)
    return tuple(dict.fromkeys((*words, *raw)))


def search_variants(text: str) -> tuple[str, ...]:
    """Return the variants of a stored text as a search text holds them, the main variant first.

    One variant is the text with its punctuation.  Only a query without letters and digits, such as "@" or "&", looks
    for this variant (`query_variants`).  To save memory, a placeholder replaces the variant's letters and digits.
    """
    words, raw = _stored_variants(text)
    return tuple(dict.fromkeys((*words, *_punctuation(raw))))


def _punctuation(raw: tuple[str, ...]) -> tuple[str, ...]:
    """Replace letters and digits, including invisible letters, by a placeholder."""
    return tuple([_LETTERS_AND_DIGITS.sub(_REPLACED, form) for form in raw])


def _stored_variants(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the variants of a stored text without punctuation, and the text with its punctuation."""
    plain = _plain_words(text)
    if plain is not None:
        return _collapsed(plain), ()
    text = text[:MAX_TEXT]
    is_address = "." in text.partition("@")[2]
    if is_address and text.isascii() and text.split() == [text]:
        return _ascii_address(text), _raw(text, _JOINT)
    read = _read(text, stored=True)
    words = (*_latin_forms(read), *read.spelt, *read.native)
    if not is_address:
        return words, read.raw
    # Nobody types a whole e-mail address as one word, without its dots and "@".  Leaving out such a variant of each
    # address saves a tenth of all search text.
    return (words[0], *[form for form in words[1:] if " " in form], *_closed_address(text, stored=True)), read.raw


def _closed_address(text: str, *, stored: bool) -> list[str]:
    """Return an e-mail address with its local part as one word: "obrien shop example" for "o'brien@shop.example".

    The result is empty if the text is no e-mail address, or if the local part has no punctuation.
    """
    local, at, domain = text.partition("@")
    if not at or local.isalnum():
        return []
    read = _read(local, stored=stored)
    forms = dict.fromkeys((*_latin_forms(read), *read.spelt, *read.native))
    return [_words(f"{form} {collation_key(domain)}") for form in forms if form and " " not in form]


def _ascii_address(text: str) -> tuple[str, ...]:
    """Return the variants of an e-mail address of ASCII characters without blanks, as nearly all addresses are.

    The function takes half the time of the general code.  The variants are the same, except that an address whose local
    part or domain has no letters or digits may have one more variant.
    """
    local, _, domain = text.partition("@")
    local, domain = local.translate(_SIMPLE), _words(domain.translate(_SIMPLE).replace(_JOINT, " "))
    forms = _collapsed(_words(f"{local.replace(_JOINT, ' ')} {domain}"))
    closed = _words(local.replace(_JOINT, ""))
    if _JOINT not in local or not closed:
        return forms
    return (*forms, *[f"{form} {domain}".rstrip() for form in _collapsed(closed)])


def query_variants(text: str, *, open_ended: bool = False) -> tuple[str, ...]:
    """Return the variants that a query looks for; a query without letters and digits is looked for unchanged.

    Chinese characters are not transliterated, because a transliterated query would find every name that sounds the
    same.

    :param open_ended: whether more letters may follow the text.  An open-ended "mue" is not read as "mu", because "mu"
        would find every "Mustermann".
    """
    return letter_variants(text, open_ended) or _punctuation(_read(text[:MAX_TEXT], stored=False).raw)


def typed_words(text: str, *, open_ended: bool) -> list[tuple[str, ...]]:
    """Return the variants of each word of a query; a word that consists of punctuation is left out.

    Blanks separate words: "O'Brien" and "王小明" are one word each, whose variants may have blanks.
    """
    words = [letter_variants(word, open_ended) for word in text[:MAX_TEXT].split()]
    return [variants for variants in words if variants]


def typed_parts(text: str, *, open_ended: bool) -> list[tuple[str, ...]]:
    """Return the variants of each part of a query's words; hyphens, apostrophes, commas and the like separate parts.

    :returns: the variants; empty if no word has several parts, or if there are more than `MAX_WORDS` parts.
    """
    if _plain_words(text) is not None:
        return []
    shaped = text[:MAX_TEXT].translate(_VISIBLE).translate(_SHAPED)
    parts = shaped.replace(_JOINT, " ").split()
    is_split = any(_JOINT in word.strip(_JOINT) for word in shaped.split())
    return typed_words(" ".join(parts), open_ended=open_ended) if is_split and len(parts) <= MAX_WORDS else []


@lru_cache(maxsize=256)
def letter_variants(text: str, open_ended: bool) -> tuple[str, ...]:  # noqa: FBT001  a key of the cache
    """Return the variants of a query that has letters or digits; no variants for any other text."""
    plain = _plain_words(text)
    if plain is not None:
        return tuple(filter(None, _collapsed(plain, open_ended=open_ended)))
    read = _read(text[:MAX_TEXT], stored=False)
    forms = (
        read.native
        if any(map(_HAN.search, read.native))
        else (*_latin_forms(read, open_ended=open_ended), *read.native)
    )
    return tuple(dict.fromkeys(filter(None, (*forms, *_closed_address(text[:MAX_TEXT], stored=False)))))


def collation_key(text: str) -> str:
    """Return the main variant of a text, by which names are sorted and compared."""
    plain = _plain_words(text)
    return _read(text[:MAX_TEXT], stored=False).latin[0] if plain is None else plain


def has_chinese(text: str) -> bool:
    """Return whether a text has Chinese characters, which may be pronounced in several ways."""
    return not text.isascii() and _HAN.search(text) is not None


def keypad_digits(text: str) -> str:
    """Return the digits that a person may have typed for letters on the telephone keypad.

    The result is empty if the text has other characters than digits, or more than `MAX_KEYS` digits.
    """
    digits = text.strip()
    return digits if digits.isascii() and digits.isdigit() and len(digits) <= MAX_KEYS else ""


def on_keys(text: str) -> str:
    """Replace each letter by its digit on the telephone keypad; characters that are on no key stay unchanged."""
    return text.encode().translate(_ASCII_ON_KEYS).decode() if text.isascii() else text.translate(_ON_KEYS)


def keypad_readings(digits: str) -> tuple[str, ...]:
    """Return the ways to split keypad digits into words: a zero is a blank, or stands for itself.

    If there are several zeros in a row, the first zero or the last zero may be a blank.  For example, a person types
    "Taxi 3000" as 829403000.
    """
    runs = [
        (" ", "0") if run == "0" else (run, " " + run[1:], run[1:] + " ") if run[0] == "0" else (run,)
        for run in _ZEROS.split(digits)
        if run
    ]
    return tuple(dict.fromkeys(["".join(reading) for reading in islice(product(*runs), _MAX_READINGS)] + [digits]))


def _plain_words(text: str) -> str | None:
    """Return the words of a text of ASCII letters, digits and blanks, as most texts are; None for any other text."""
    if not text.isascii() or len(text) > MAX_TEXT:
        return None
    lower = text.lower()
    if lower.isalnum():
        return lower
    words = lower.split()
    return " ".join(words) if "".join(words).isalnum() or not words else None


def _read(text: str, *, stored: bool) -> _Variants:
    """Return the variants of any text.

    :param stored: whether to add the variant with umlauts spelt out.
    """
    simple = text.translate(_SIMPLE)
    if _OTHER in simple:
        return _read_script(text, stored=stored)
    has_spelling = stored and not text.isascii() and _SPELT_LETTER.search(text)
    spelt = _split_joints(text.translate(_SIMPLE_SPELT)) if has_spelling else ()
    return _Variants(_split_joints(simple), spelt, (), _raw(text, simple))


def _read_script(text: str, *, stored: bool) -> _Variants:
    """Return the variants of a text in which the transliteration of a letter depends on its neighbours."""
    # NFKC replaces some characters by a whole phrase (U+FDFA by 18 letters), so the text is cut again.
    folded = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES))[:MAX_TEXT].casefold().translate(_VISIBLE)
    shaped = folded.translate(_SHAPED)
    bare = unicodedata.normalize("NFC", unicodedata.normalize("NFKD", folded).translate(_BARE)).translate(_SHAPED)
    latin = [reading.translate(_LATIN) for reading in readings(shaped, bare)]
    spelt: tuple[str, ...] = ()
    if stored and _SPELT_LETTER.search(shaped):
        spelt_out = "".join(_SPELLINGS.get(char, char) for char in shaped)
        spelt = _split_joints(readings(spelt_out, bare)[0].translate(_LATIN))
    # Nearly all Latin letters without accents come before U+0370.  A text with a later character has letters of a
    # script other than Latin, so people may type the text in its own script or in Latin letters.
    native = _split_joints(_HAN.sub(r" \1 ", bare.translate(_SAME_LETTER))) if max(bare, default="") > "\u036f" else ()
    if stored and _OTHER_KEY.search(shaped):
        # For the keypad, a further variant keeps letters that folding replaces by a letter on another key.  For
        # example, "ة" is on the key 2, but "ة" is folded to "ه", which is on the key 7.
        native += _split_joints(folded.translate(_BARE).translate(_SHAPED))
    return _Variants(
        tuple(form for reading in latin for form in _split_joints(reading)), spelt, native, _raw(text, shaped)
    )


def _latin_forms(read: _Variants, *, open_ended: bool = False) -> tuple[str, ...]:
    """Return the Latin variants, and the same variants with ae, oe, ue and aa reduced to one letter.

    Transliterated text is not reduced, because its "ue" never stands for an umlaut.
    """
    if read.native:
        return read.latin
    return tuple([form for words in read.latin for form in _collapsed(words, open_ended=open_ended)])


def _collapsed(words: str, *, open_ended: bool = False) -> tuple[str, ...]:
    """Return a text and, if the text has ae, oe, ue or aa, the same text with one letter in place of each pair."""
    if not _has_digraph(words):
        return (words,)
    other = words.replace("ae", "a").replace("oe", "o").replace("ue", "u").replace("aa", "a")
    if _has_digraph(other) or (open_ended and words[-1] in "ae"):
        other = (_OPEN_DIGRAPH if open_ended else _DIGRAPH).sub(r"\1\2", words)
    return (words, other) if other != words else (words,)


def _has_digraph(words: str) -> bool:
    return "ae" in words or "oe" in words or "ue" in words or "aa" in words


def _raw(text: str, shaped: str) -> tuple[str, ...]:
    return (_words(text.casefold()),) if _JOINT in shaped else ()


def _split_joints(reading: str) -> tuple[str, ...]:
    if _JOINT not in reading:
        return (_words(reading),)
    return _words(reading.replace(_JOINT, " ")), _words(reading.replace(_JOINT, ""))


def _words(text: str) -> str:
    return " ".join(text.split())


def _shape(char: str) -> str:
    """Return a letter, mark or digit unchanged, a blank for any blank, and `_JOINT` for any other character."""
    kind = unicodedata.category(char)[0]
    return char if kind in "LMN" else " " if kind == "Z" or char.isspace() else _JOINT


def _apostrophe(char: str) -> str:
    """Return an apostrophe for a spacing accent or a trade mark sign, and any other character unchanged.

    People type a spacing accent in place of an apostrophe ("D´Angelo").  A trade mark sign would otherwise become the
    letters TM or SM, which belong to no name.
    """
    accent = len(unicodedata.normalize("NFKC", char)) > 1 and unicodedata.category(char) == "Sk"
    return "'" if accent or char in _TRADE_MARKS else char


def _simple(char: str) -> str:
    """Return the transliteration of a character, or `_OTHER` if the transliteration depends on its neighbours."""
    if char >= "\u0250" and unicodedata.category(char)[0] in "LM":
        return _OTHER
    if not char.translate(_VISIBLE):
        return ""
    shape = _shape(_apostrophe(char))
    if shape in (" ", _JOINT):
        # "№" and "㎡" are no letters, but are transliterated to letters.
        letters = shape == _JOINT and any(map(str.isalnum, unicodedata.normalize("NFKC", _apostrophe(char))))
        return _OTHER if letters else shape
    latin = _read_script(char, stored=False).latin
    return latin[0] if len(latin) == 1 and char.isalnum() else _OTHER


_APOSTROPHES: Final = CharacterMap(_apostrophe)
_SHAPED: Final = CharacterMap(_shape)
_VISIBLE: Final = CharacterMap(lambda char: "" if unicodedata.category(char) == "Cf" or char in _INVISIBLE else char)
# Accents have a combining class of 10 or more; marks of a lower class are letters of their own (kana voicing, Indic
# vowels).
_BARE: Final = CharacterMap(lambda char: "" if unicodedata.combining(char) >= 10 else char)
# Punctuation marks that the transliteration adds to letters ("Igor'" for "Игорь") are removed.
_LATIN: Final = CharacterMap(lambda char: char if char.isalnum() or char in (" ", _JOINT) else "")
_SIMPLE: Final = CharacterMap(_simple)
_ON_KEYS: Final = CharacterMap(lambda char: _KEY_OF.get(char, char))
_ASCII_ON_KEYS: Final = bytes(ord(_KEY_OF.get(chr(octet), chr(octet))) for octet in range(256))
_SIMPLE_SPELT: Final = CharacterMap(lambda char: _SPELLINGS.get(char.lower()) or _simple(char))


# --- sort keys ---

# The beginning of the sort key of a contact whose name has no letters, such as a bare number.  Such a contact is sorted
# last.
NO_LETTERS: Final = "\U0010ffff"
_BARE_KEY: Final = NO_LETTERS.encode()

# The character that ends the name in a sort key.
NAME_END: Final = b"\0"

MAX_SORT_NAME: Final = 96
# The maximum number of characters of the written name in a sort key.  The beginning of the written name is enough,
# because the written name only orders names that have the same collation key.  A character may take four octets.
_MAX_WRITTEN_NAME: Final = 24
# The limits for the names of books and labels.  The limits are lower than for contacts, because the sort key of a label
# begins with the sort key of the label's book.
_MAX_CONTAINER_NAME: Final = 40
_MAX_WRITTEN_CONTAINER_NAME: Final = 10

# The maximum number of books that can precede all other books, because a tiebreaker has two hexadecimal digits for a
# book's position.
MAX_ORDERED_BOOKS: Final = 256

# The number of hexadecimal digits of a tiebreaker.  Two entries of one name share a tiebreaker once in 2.8 * 10**14
# times.  If `NamingContext.book_order` names the contact's book, a "!" and the two digits of the book's position
# replace the first three digits.
TIEBREAKER_LENGTH: Final = 12


def has_letters(text: str) -> bool:
    """Return whether a name has letters, or characters that are transliterated to letters."""
    return any(map(str.isalpha, text)) or any(map(str.isalpha, collation_key(text)))


def contact_sort_key(
    name: str, identity: str, reading: str = "", book_position: int | None = None, *, is_bare: bool = False
) -> bytes:
    """Return the sort key of a contact.

    :param identity: a text that no other entry has, and that stays the same for as long as the contact exists.
    :param reading: the pronunciation of the name, if the name is sorted by its pronunciation; empty if the name is
        sorted as it is written.
    :param book_position: the position of the contact's book in `NamingContext.book_order`; None if `book_order` does
        not name the book.
    :param is_bare: whether the contact's name has no letters.  The kind of a number, such as "mobile", may follow the
        contact's name in `name`, and does not count.
    """
    sort_key = _sort_key(name, identity, MAX_SORT_NAME, _MAX_WRITTEN_NAME, reading or name, is_bare=is_bare)
    if book_position is None:
        return sort_key
    # "!" sorts before all hexadecimal digits.
    at, first = len(sort_key) - TIEBREAKER_LENGTH, b"!%02x" % book_position
    return sort_key[:at] + first + sort_key[at + len(first) :]


def container_sort_key(name: str, identity: str, parent_key: bytes = b"") -> bytes:
    """Return the sort key of a book or a label.

    :param parent_key: for a label, the sort key of its book, so that the label sorts after the book; empty for a book.
    """
    return parent_key + _sort_key(name, identity, _MAX_CONTAINER_NAME, _MAX_WRITTEN_CONTAINER_NAME, name)


def sort_name(sort_key: bytes) -> bytes:
    """Return the name in a contact's sort key: the collation key of name or reading, cut at `MAX_SORT_NAME`.

    If the contact's name has no letters, the result begins with the character `NO_LETTERS`.
    """
    return sort_key.partition(NAME_END)[0]


def is_of_bare_name(sort_key: bytes) -> bool:
    """Return whether a contact's sort key is for a name without letters."""
    return sort_key.startswith(_BARE_KEY)


def _sort_key(
    name: str, identity: str, max_name: int, max_written_name: int, reading: str, *, is_bare: bool = False
) -> bytes:
    tiebreaker = blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=TIEBREAKER_LENGTH // 2).hexdigest()
    sorted_name = (NO_LETTERS if is_bare else "") + collation_key(reading)
    sort_key = f"{sorted_name[:max_name]}\0{name[:max_written_name]}\0{tiebreaker}"
    return sort_key.encode("utf-8", "surrogatepass")
