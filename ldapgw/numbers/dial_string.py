# SPDX-License-Identifier: MIT
"""Removes the text around a telephone number: URI schemes, extensions and remarks; converts keypad letters.

No function needs a numbering plan.  `clean` cuts a long text, so that the other functions read short texts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote

# The maximum number of characters of a number: 15 digits (ITU-T E.164), with blanks, brackets, an extension and a
# scheme.
LONGEST: Final = 64
# The maximum number of characters of a text that are read, invisible characters included.
LONGEST_TYPED: Final = 4 * LONGEST

# The minimum number of digits of a complete number in front of a remark.
_COMPLETE: Final = 7

_DIALLED: Final = re.compile("[0-9*#]")
_SILENT: Final = re.compile("[^0-9*#]+")
_LETTER: Final = re.compile("[A-Za-z]")

# The usual form that phones and PBXs send: digits, perhaps behind a "+", without an extension and without letters.
_PLAIN: Final = re.compile(r"[ (]*(\+?)([0-9() ./-]*)")
_PUNCTUATION: Final = str.maketrans("", "", "() ./-")

# The URI schemes of numbers (RFC 3966, RFC 3261 19.1).
_SCHEME: Final = re.compile(r"(?:tel|sips?|callto):/*", re.IGNORECASE)
_CONTEXT: Final = "phone-context="
# Codes in front of a number: "*31#0301234567" hides the caller's number, as "*67" does in North America.
_SERVICE_CODE: Final = re.compile(r"([*#]{1,2}\d{1,3}[*#])\s*(?=[+(]?\d)")
_VERTICAL_CODE: Final = re.compile(r"([*#]\d\d)\s*(?=[+(]?\d)")
# Words for an extension.  `phonenumbers` knows only some of these words.
_EXTENSION_WORDS: Final = (
    *("extension", "extensión", "extn", "ext", "xtn", "int", "interno", "interne", "poste"),
    *("durchwahl", "durchw", "dw", "nebenstelle", "nst", "apparat", "app", "klappe", "kl", "toestel"),
    *("ramal", "option", "opción", "press", "anexo"),
    *("wewnętrzny", "wewn", "wew", "linka", "klapka", "mellék", "dahili", "dah", "anknytning", "ankn", "alanumero"),
    *("lokal", "lok", "loc", "xt", "ต่อ", "分機", "分机"),
    *("доб", "добавочный", "внутр", "вн", "εσωτ", "שלוחה", "تحويلة", "转", "轉", "內線", "内線", "内线", "내선"),
)
# Words for the number of a meeting or for a PIN, which callers dial after the connection is made.
_CODE_WORDS: Final = (
    *("pin", "id", "meeting[ -]?id", "conference[ -]?id", "konferenz[ -]?id", "participant[ -]?id"),
    *("code", "passcode", "access code", "zugangscode", "teilnehmercode", "kenncode", "kennwort", "passwort"),
    *("code d'accès", "código", "codice", "kod"),
)
_EXTENSION: Final = re.compile(
    r"(?<![^\W\d_])(?:tel[ .:]{0,3})?(?:" + "|".join((*_EXTENSION_WORDS, *_CODE_WORDS)) + r")[ .:#]{0,3}(?=\d)",
    re.IGNORECASE,
)
# The groups of digits behind a word of `_CODE_WORDS`; all these groups together are one code.
_GROUPED_CODE: Final = re.compile(r"(?:" + "|".join(_CODE_WORDS) + r")[ .:#]{0,3}(\d+(?:[ -]\d+)*)", re.IGNORECASE)
# The beginning of the text that is dialled after the connection: a word for an extension, a sign ("x", "~", "#"),
# digits in brackets, the parameter "ext" (RFC 3966), or a pause.  Pauses are "p" and "w" (RFC 3601), and ",," and ";;"
# (smartphones).  The "~" in "(8~5)" is excluded: people in Lithuania and Belarus wrote area codes with this sign for
# the dial tone.
_AFTERWARDS: Final = re.compile(
    r"[ .,;:=/–-]*" + _EXTENSION.pattern + r"|\s*(?<![^\W\d_])x[ .:-]{0,3}(?=\d)"
    r"|\s*(?<![^\W\d_])(?:[pw]|wait|pause)(?=[ .,;]*[\d#*])"
    r"|\s+(?=\([1-9]\d{0,4}\)$)|(?<!\(8)(?<!\(8 )\s*~\s*(?=\d)|\s+#\s*(?=\d)"
    r"|;ext=|\s*[,;]{2,}|[ -]+(?=(?P<group>\d{1,6})#(?P<more>\d?))",
    re.IGNORECASE,
)
# Words for an extension that is dialled directly behind the company's number.
_DIRECT: Final = re.compile(
    r"[ .,;:=/–-]*(?:durchwahl|durchw|dw|nebenstelle|nst|klappe|kl)[ .:-]{0,3}(\d{1,5})", re.IGNORECASE
)
# A text counts as dialled after the connection only if a number with at least this many digits precedes the text.  The
# shortest internal numbers have three digits.
_SHORTEST_BEFORE: Final = 3
# The beginning of a remark: a word that contains a lower-case letter, behind a blank or an opening bracket.  Words
# whose letters are dialled ("FLOWERS") are in capitals or follow a hyphen.
_REMARK: Final = re.compile(r"[ (][^\W\d_]*[^\W\d_A-Z]")

# The opening bracket of a remark that contains a letter.
_BRACKET: Final = re.compile(r"\s*\((?=[^)]*[^\W\d_])")

# Texts that trunks and PBXs put around a long number: "L0#0301234567", "TRUNK1-0301234567", "0301234567_trunk1".
_IN_FRONT: Final = re.compile(r"(?=[!-~]*[A-Za-z])([!-~]{0,32}[!-*,-/:-~])\+?[0-9]{7,}")
_BEHIND: Final = re.compile(r"\+?[0-9]{7,}(?=[!-~]*[A-Za-z])(?!x\d)([!-*,-/:-~][!-~]{0,32})", re.IGNORECASE)

# ITU-T E.161: the digit of each letter on the keypad.
_KEYS: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "22233344455566677778889999")


def clean(text: str) -> str:
    """Return a text in NFKC without invisible characters; digits of all scripts become ASCII digits."""
    text = text[:LONGEST_TYPED]
    if not (text.isascii() and text.isprintable()):
        # NFKC replaces some characters by a whole phrase (U+FDFA by 18 letters), so the text is cut again.
        folded = unicodedata.normalize("NFKC", text)[:LONGEST_TYPED]
        text = "".join(_visible(char) for char in folded)
    return " ".join(text.split())


def plain(text: str) -> tuple[bool, str] | None:
    """Split a text of digits and punctuation into the "+" and the digits; return None for any other text.

    :returns: a boolean, true if the text begins with "+"; and the digits.  None if the text has other characters, or
        more than `LONGEST` characters.
    """
    digits = text.removeprefix("+")
    if digits.isdecimal() and digits.isascii() and len(text) <= LONGEST:
        return digits != text, digits
    match = _PLAIN.fullmatch(text) if len(text) <= LONGEST else None
    return (match[1] == "+", match[2].translate(_PUNCTUATION)) if match else None


def is_international(text: str) -> bool:
    """Return whether a number begins with "+", perhaps in brackets."""
    return text.lstrip("( ").startswith("+")


def unwrapped(text: str) -> str:
    """Remove the URI around the number of a cleaned text; keep an extension in the parameters of the URI.

    A ``phone-context`` with a "+" (RFC 3966 5.1.5) is put in front of a local number.
    """
    text = _address_of(text)
    match = _SCHEME.match(text)
    if match:
        text = unquote(text[match.end() :])
    number, *parameters = text.partition("@")[0].split(";")
    if not parameters:
        return number.strip("<> ")
    kept = [parameter for parameter in parameters if "=" not in parameter or parameter.lower().startswith("ext=")]
    contexts = [parameter[len(_CONTEXT) :] for parameter in parameters if parameter.lower().startswith(_CONTEXT + "+")]
    if contexts and not is_international(number):
        number = contexts[0] + number
    return ";".join((number, *kept))


def _address_of(text: str) -> str:
    """Return the address in "<…>" behind a caller's name (RFC 3261 25.1), or the text if the text has no such address.

    The address has to be a URI, or to contain all digits of the text.
    """
    name, _, address = text.rpartition("<")
    address = address.partition(">")[0].strip()
    if _SCHEME.match(address) or (_DIALLED.search(address) and not _DIALLED.search(name)):
        return address
    return text


def without_affixes(text: str, affixes: Sequence[str]) -> str:
    """Remove texts that a PBX puts in front of a number or behind the number.

    The texts are removed in the given order, each text at most once.

    :param affixes: the texts in lower case; upper and lower case of `text` do not matter.
    """
    for affix in affixes:
        if text[: len(affix)].lower() == affix:
            text = text[len(affix) :]
        elif text[-len(affix) :].lower() == affix:
            text = text[: -len(affix)]
    return text


def affix_of(text: str) -> str:
    """Return the text that a PBX seems to put in front of a long number or behind the number, or an empty text.

    The function ignores parameters (RFC 3966) and the text that is dialled after the connection, as searches do.
    """
    core = split_afterwards(unwrapped(clean(text)))[0].partition(";")[0]
    found = _IN_FRONT.fullmatch(core) or _BEHIND.fullmatch(core)
    return "" if found is None or _EXTENSION.search(core) else found[1]


def code(text: str) -> str:
    """Return the code in front of an unwrapped number, such as ``*31#`` and ``*67``; empty for no code.

    The code may be the beginning of a longer code, so the caller of this function has to check that a complete number
    follows.
    """
    match = _SERVICE_CODE.match(text) or _VERTICAL_CODE.match(text)
    return match[1] if match else ""


def split_afterwards(text: str) -> tuple[str, str]:
    """Split an unwrapped text into the number and the text that is dialled after the connection, which may be empty.

    A word for an extension is a mere remark if fewer than three digits precede the word.
    """
    digits = 0
    position = 0
    for match in _AFTERWARDS.finditer(text):
        digits += sum(map(str.isdigit, text[position : match.start()]))
        position = match.start()
        if digits >= _shortest_before(match["group"], match["more"]):
            return text[:position], text[position:]
    return text, ""


def _shortest_before(group: str | None, more: str | None) -> int:
    """Return the minimum number of digits in front of a text that is dialled after the connection.

    A group of digits in front of a hash belongs either to the number ("212-555-0145#12") or to the dialled text ("030
    5550171 1234#56#").  The group belongs to the dialled text if enough digits precede the group.  In front of a long
    group, fewer digits are enough than in front of a short group.

    :param group: the digits in front of the hash; None if the dialled text does not begin with digits and a hash.
    :param more: a digit behind the hash; empty if no digit follows.
    """
    if group is None:
        return _SHORTEST_BEFORE
    if more:
        return 10 if len(group) >= 4 else 12
    return _COMPLETE if len(group) >= 5 else 10


def direct_extension(afterwards: str) -> str:
    """Return the digits of an extension that is dialled directly behind a company's number, as in Germany; or ""."""
    match = _DIRECT.fullmatch(afterwards)
    return match[1] if match else ""


def leads_afterwards(gap: str) -> bool:
    """Return whether a gap between two groups of digits means that the second group is dialled after the connection."""
    return _AFTERWARDS.search(gap + "0") is not None


def marks(text: str) -> list[int]:
    """Return the positions of the first three pauses, stars or hashes that follow a complete number's digits."""
    positions, digits = [], 0
    for position, char in enumerate(text):
        if char.isdigit():
            digits += 1
        elif char in ",;*#" and digits >= _COMPLETE:
            positions.append(position)
    return positions[:3]


def extension_of(afterwards: str) -> str:
    """Return the characters to dial after the connection: an extension's digits, or a menu's characters ``0-9*#,``."""
    menu = re.sub("[^0-9*#,]", "", afterwards.replace(";", ",")).strip(",")
    if menu.lstrip("*#").rstrip("#").isdigit():
        # A second extension may follow the first extension, as in "x302/x2303".
        first = _GROUPED_CODE.search(afterwards) or re.search(r"(\d+(?:-\d+)*)", afterwards)
        return re.sub("[ -]", "", first[1]) if first else ""
    return menu[:LONGEST]


def is_spelt(text: str) -> bool:
    """Return whether a text contains letters A to Z."""
    return _LETTER.search(text) is not None


def without_remark(text: str) -> str:
    """Remove a remark, as in "0171 2345678 privat" and "204 (Empfang)"; keep the letters of "0800 FLOWERS"."""
    for bracket in _BRACKET.finditer(text):
        if sum(map(str.isdigit, text[: bracket.start()])) >= _COMPLETE:
            text = text[: bracket.start()]
            break
    first = next((index for index, char in enumerate(text) if char.isdigit()), len(text))
    letter = next((index for index in range(first, len(text)) if text[index].isalpha()), len(text))
    has_remark = sum(map(str.isdigit, text[:letter])) >= _COMPLETE or _REMARK.match(text, letter - 1)
    return text[:letter].rstrip("( ") if has_remark else text


def dialled(text: str) -> str:
    """Return the characters to dial (``0-9*#``); in a text with three digits or more, letters become keypad digits."""
    first = _DIALLED.search(text)
    if first is None:
        return ""
    text = text[first.start() :]
    if _LETTER.search(text) and sum(map(str.isdigit, text)) >= 3:
        text = text.upper().translate(_KEYS)
    return _SILENT.sub("", text)


def dial_text(text: str) -> str:
    """Reduce a part of a typed number to ``+0-9*#``; return an empty text if no character can be dialled."""
    cleaned = clean(text)[:LONGEST]
    return ("+" if is_international(cleaned) else "") + dialled(cleaned)


def _visible(char: str) -> str:
    """Return an ASCII digit for any digit, a blank for white space, "" for an invisible character, or else `char`."""
    if char.isspace():
        return " "
    digit = unicodedata.digit(char, -1)
    if digit >= 0:
        return str(digit)
    # Cc and Cf: control and format; Cs: lone surrogates; Mn: combining marks, which no number has.
    return "" if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Mn") else char
