# SPDX-License-Identifier: MIT
"""What people and telephone systems write around a number: ``sip:``, extensions, remarks, letters of the keypad.

Text in, text out: nothing here knows a numbering plan.  Everything is linear in its input, which is cut at `LONGEST`.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

# ITU-T E.164 allows 15 digits; with blanks, brackets, an extension and a scheme, nothing real is longer than this.
LONGEST = 64
# Of a text, as much is looked at: invisible signs may stand among those that count.
LONGEST_TYPED = 4 * LONGEST

# With so many digits, what stands before a remark is a whole number by itself.
_WHOLE = 7

_DIALLED = re.compile("[0-9*#]")
_SILENT = re.compile("[^+0-9*#]+")
_SILENT_OR_PLUS = re.compile("[^0-9*#]+")
_LETTER = re.compile("[A-Za-z]")

# What a phone or a PBX sends nearly always: digits, perhaps behind a "+".  No extension can hide in it, and no letter.
_PLAIN = re.compile(r"[ (]*(\+?)([0-9() ./-]*)")
_PUNCTUATION = str.maketrans("", "", "() ./-")

# RFC 3966, RFC 3261 19.1.
_SCHEME = re.compile(r"(?:tel|sips?|callto):/*", re.IGNORECASE)
_CONTEXT = "phone-context="
# "*31#0301234567": a service code (hide my number) in front of the number itself.
_SERVICE_CODE = re.compile(r"[*#]\d{1,3}[*#](?=\d{3})")
# Words for an extension; `phonenumbers` knows some of them, but not how long they are.
_EXTENSION_WORDS = (
    *("extension", "extensión", "extn", "ext", "xtn", "anexo", "int", "interno", "interne", "poste"),
    *("durchwahl", "durchw", "dw", "nebenstelle", "nst", "apparat", "app", "klappe", "kl", "toestel"),
    *("wewnętrzny", "wewn", "wew", "linka", "klapka", "доб", "добавочный"),
)
_EXTENSION = re.compile(
    r"(?<![^\W\d_])(?:tel[ .:]{0,3})?(?:" + "|".join(_EXTENSION_WORDS) + r")[ .:]{0,3}(?=\d)", re.IGNORECASE
)
# A word behind a blank or in brackets, with a small letter: one that is spelt on the keys has capitals or a hyphen.
_REMARK = re.compile(r"[ (][^\W\d_]*[^\W\d_A-Z]")
_BEFORE_EXTENSION = "".join(set(" .,;:=#~-–extnEXTN"))

# ITU-T E.161: the letters on the keys.
_KEYS = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "22233344455566677778889999")


def clean(text: str) -> str:
    """Text with compatibility forms folded (full-width and Arabic digits too) and invisible signs taken out."""
    text = text[:LONGEST_TYPED]
    if not (text.isascii() and text.isprintable()):
        # Some signs stand for a whole phrase (U+FDFA for 18 letters), so what they come to is cut too.
        folded = unicodedata.normalize("NFKC", text)[:LONGEST_TYPED]
        text = "".join(_visible(sign) for sign in folded)
    return " ".join(text.split())


def plain(text: str) -> tuple[bool, str] | None:
    """Whether a "+" stands in front, and the digits, of a text that holds nothing else; None for any other text."""
    digits = text.removeprefix("+")
    if digits.isdecimal() and digits.isascii() and len(text) <= LONGEST:
        return digits != text, digits
    match = _PLAIN.fullmatch(text) if len(text) <= LONGEST else None
    return (match[1] == "+", match[2].translate(_PUNCTUATION)) if match else None


def is_international(text: str) -> bool:
    """Whether a number begins with "+", in brackets or not."""
    return text.lstrip("( ").startswith("+")


def unwrapped(text: str) -> str:
    """A clean text without the URI around the number; an extension among the URI's parameters stays.

    A local number gets the country or area in front that a ``phone-context`` gives it (RFC 3966 5.1.5).
    """
    text = _addressed(text)
    match = _SCHEME.match(text)
    if match:
        text = unquote(text[match.end() :])
    number, *parameters = text.partition("@")[0].split(";")
    if not parameters:
        return number.strip("<> ")
    kept = [one for one in parameters if "=" not in one or one.lower().startswith("ext=")]
    contexts = [one[len(_CONTEXT) :] for one in parameters if one.lower().startswith(_CONTEXT + "+")]
    if contexts and not is_international(number):
        number = contexts[0] + number
    return ";".join((number, *kept))


def _addressed(text: str) -> str:
    """What stands between "<" and ">", behind a caller's name, where it is a URI or the only digits (RFC 3261 25.1)."""
    name, _, address = text.rpartition("<")
    address = address.partition(">")[0].strip()
    if _SCHEME.match(address) or (_DIALLED.search(address) and not _DIALLED.search(name)):
        return address
    return text


def bare(text: str) -> str:
    """An unwrapped text without service code and remark, its extension announced as `phonenumbers` knows it."""
    text = _SERVICE_CODE.sub("", text, count=1)
    number = _DIALLED.search(text)
    # In front of all digits it is a remark.
    start = number.start() if number else len(text)
    return text[:start] + _EXTENSION.sub("ext. ", text[start:])


def is_spelt(text: str) -> bool:
    """Whether a number has letters among its digits."""
    return _LETTER.search(text) is not None


def without_extension(text: str, extension: str) -> str:
    """What stands before an extension that was found in a text."""
    return text[: text.rindex(extension)].rstrip(_BEFORE_EXTENSION)


def without_remark(text: str) -> str:
    """What stands before a remark: "0171 2345678 privat", "204 (Empfang)"; but not before "0800 FLOWERS"."""
    first = next((at for at, sign in enumerate(text) if sign.isdigit()), len(text))
    letter = next((at for at in range(first, len(text)) if text[at].isalpha()), len(text))
    whole = sum(map(str.isdigit, text[:letter])) >= _WHOLE or _REMARK.match(text, letter - 1)
    return text[:letter].rstrip("( ") if whole else text


def dialled(text: str, *, plus: bool = False) -> str:
    """The signs that are dialled, from the first one on; letters behind three digits or more become keypad digits.

    :param plus: a "+" behind the first of them stays too.
    """
    first = _DIALLED.search(text)
    if first is None:
        return ""
    text = text[first.start() :]
    if _LETTER.search(text) and sum(map(str.isdigit, text)) >= 3:
        text = text.upper().translate(_KEYS)
    return (_SILENT if plus else _SILENT_OR_PLUS).sub("", text)


def dial_text(text: str) -> str:
    """A part of a number as typed, reduced to ``+0-9*#``; empty where nothing of it can be dialled."""
    cleaned = clean(text)[:LONGEST]
    return ("+" if is_international(cleaned) else "") + dialled(cleaned)


def _visible(sign: str) -> str:
    """A sign as it counts; any script's digit as ASCII has it."""
    if sign.isspace():
        return " "
    digit = unicodedata.digit(sign, -1)
    if digit >= 0:
        return str(digit)
    # Cc and Cf: control and format; Cs: half a pair; Mn: marks above letters, which no number has.
    return "" if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Mn") else sign
