# SPDX-License-Identifier: MIT
"""Finds remarks with digits beside telephone numbers: times, dates, prices, addresses, and labels with a number.

Without the remarks, "030 5550171 8-17 Uhr" is one number, and "Handy2: 0171 5550171" begins with a 0.  The patterns are
those that people write in address books; a remark that has no pattern is left in the text.
"""

from __future__ import annotations

import re
from typing import Final

from ldapgw.numbers import dial_string

_TIME = r"\d{1,2}(?:[:.h]\d{2})?"
_TO = r"\s?(?:-|\u2013|\u2014|bis|to|until|à|al?)\s?"
# An "h" behind a blank stands for a telephone at home.
_OCLOCK = r"(?:h|\s?(?:uhr|uur|hrs|std|am|pm))(?![^\W_])"
_YEAR = r"(?:19|20)\d{2}"
# What follows a short figure: neither a digit nor another group of digits.
_ALONE = r"(?![\d-]|\s*[\d(+])"

# Words in front of digits that are no telephone number; of some words, only with "number" behind the word.
_NUMBERED = (
    "kunden|kd|vertrags?|rechnungs?|auftrags?|konto|mitglieds?|personal|"
    "customer|account|acct|contract|member|invoice|case|ticket"
)
_COUNTED = "vertrag|konto|iban|blz|digicode|code porte"
_FIGURE = r"[\d./-]*(?:[a-z]\d*)?(?![^\W_])"
_PLACES = "raum|zimmer|room|suite|apt|plz|etage|stock"
_STREETS = "str\\.|straße|strasse|weg|platz|allee|gasse|street|road|avenue|rue"
# Words behind "2." that are no beginning of a sentence.
_ORDINAL = "stock|etage|og|ug|handy|nummer|nr|telefon|tel|mobil|anschluss|leitung|apparat|floor|line|num|núm|tür"

_REMARK: Final = re.compile(
    "|".join(
        (
            # Hours: "8:00-17:30", "9-17 Uhr", "ab 18h", "9h-12h", "24 h".
            rf"(?<![\d.,:/-]){_TIME}(?:{_OCLOCK})?{_TO}{_TIME}{_OCLOCK}",
            rf"(?<!\d)\d{{1,2}}:\d{{2}}(?:{_TO}\d{{1,2}}(?::\d{{2}})?)?(?:{_OCLOCK})?(?!\d)",
            rf"(?<![\d.,:/-]){_TIME}{_OCLOCK}",
            r"(?<![\d.,:/-])24\s?h(?![^\W_])",
            r"(?<![\d.])[0-2]?\d\.\d{2}\s?[-\u2013]\s?[0-2]?\d\.\d{2}(?![\d.])",
            # Hours without a word: "(9-17)", "24/7".
            r"(?<=[^\s(])\s*\(\s?(?!0)\d{1,2}\s?[-\u2013]\s?\d{1,2}\s?\)",
            r"(?<![\d/])24\s?/\s?7(?![\d/])",
            # Dates: "31.12.2024", "2024-03-01", "01/02/2024", "(01/2024)".
            rf"(?<![\d.])\d{{1,2}}\.\s?\d{{1,2}}\.\s?{_YEAR}(?![\d.])",
            rf"(?<![\d-]){_YEAR}-\d{{2}}-\d{{2}}(?![\d-])",
            rf"(?<![\d/])\d{{1,2}}/\d{{1,2}}/{_YEAR}(?![\d/])",
            rf"(?<=[(a-z])\s?\d{{1,2}}/{_YEAR}(?=\s?(?:[),;]|$))",
            # A price: "0,14 €/min", "14 ct/min".
            r"(?<!\d)\d{1,3}(?:[.,]\d{1,2}\s?(?:€|\$|£|eur|ct)|\s?(?:€|\$|£|eur|ct|cent)\s?/\s?min)(?:\s?/\s?min|[^\W\d_])*",
            # Counts: "2. Stock", "3x klingeln".
            rf"(?<=\s)[1-9]\.\s?(?={_ORDINAL})",
            r"(?<=\s)[1-9]x(?![^\W_])(?!\s?\d)",
            # Other figures: "seit 2020", "Kundennr. 4711", "Raum 204", "Hauptstr. 5", ", 10117 Berlin".
            rf"(?<![^\W\d_])(?:seit|since|depuis|desde|stand|as of)\s{_YEAR}(?!\d)",
            rf"(?<![^\W\d_])(?:{_NUMBERED})[ .-]{{0,2}}(?:nr|nummer|no|number|id|(?=#))[.:#\s]*[a-z]{{0,2}}\d{_FIGURE}",
            rf"(?<![^\W\d_])(?:{_COUNTED})[.:#\s]*[1-9]{_FIGURE}",
            rf"(?<![^\W\d_])(?:{_PLACES})[.:#\s]*[1-9]\d{{0,4}}{_ALONE}",
            rf"[^\W\d_-]*(?:{_STREETS})\s?[1-9]\d{{0,2}}[a-z]?(?![^\W_]){_ALONE}",
            r"(?<=,)\s*(?:[a-z]{1,2}-)?\d{5}\s(?=[^\W\d_]{3})",
        )
    ),
    re.IGNORECASE,
)
# A label with a number in front of a telephone number: "Handy2: 0171 …", "Tel. 2: …", "Tel1 030 …".
_LABEL: Final = re.compile(
    r"(?<![^\W_])([^\W\d_]{2,})(?:\.?\s?\d{1,2}\s?(?=[:=](?!\d))|\d{1,2}(?=\s+[+(\d]))", re.IGNORECASE
)
# What a remark leaves around itself.
_EMPTY: Final = re.compile(r"\(\W*\)")
_SEPARATORS: Final = " ,;-\u2013"
# A whole number that a spreadsheet has written as a fraction.
_FRACTION: Final = re.compile(r"(\+?\d{7,})\.0")


def without_remarks(text: str) -> str:
    """Remove remarks with digits from a cleaned text; the text itself if there are none."""
    if text.isascii() and text.isdigit():
        return text
    fraction = _FRACTION.fullmatch(text)
    if fraction:
        return fraction[1]
    found = _LABEL.sub(_label, _REMARK.sub(" ", text))
    return text if found == text else " ".join(_EMPTY.sub("", found).split()).strip(_SEPARATORS)


def _label(found: re.Match[str]) -> str:
    """Return a label without its number; an extension as it is."""
    return found[0] if dial_string.leads_afterwards(f" {found[1]} ") else found[1]
