# SPDX-License-Identifier: MIT
"""Removes text that is no telephone number from a field for numbers: addresses of other services, and remarks.

People write a SIP address (RFC 3261 19.1), a link or a messenger's user name in the place of a number, beside a number,
or behind a name.  A SIP address counts as a number if the user in the address is a public number.

Remarks with digits are times, dates, prices, addresses, and labels with a number.  Without its remark, "030 5550171
8-17 Uhr" is one number.  Without the 2 of its label, "Handy2: 0171 5550171" is the number that begins with 0171.  The
patterns match remarks that people write in address books; a remark that matches no pattern is left in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import unquote

from ldapgw.numbers import dial_string
from ldapgw.numbers.numbering_plan import SHORTEST_PUBLIC

# --- addresses of other services --------------------------------------------------------------------------------------

# The maximum number of characters of a field that are read.  Nobody writes a number behind so many characters.
LONGEST_FIELD: Final = 1024

# A pattern for links, user names of messengers, and SIP addresses.  A user name may be a number.  The pattern captures
# no password of a SIP address (RFC 3261 19.1.1).
_ADDRESS: Final = re.compile(
    r"<?(?:"
    r"(?:https?://wa\.me/|whatsapp:|skype:|facetime(?:-audio)?:)(?P<name>[^\s<>,;|?]*)[^\s<>,;|]*"
    r"|(?:viber://chat\?number=)(?P<number>[^\s<>,;|&]+)"
    r"|(?:(?:xmpp|mailto|live|im|iax2?|h323|tg|teams|https?):|t\.me/|(?<![a-z])(?!tel|callto|sip)[a-z][a-z0-9+.-]+://)[^\s<>,;|]+"
    r"|(?:(?P<scheme>sips?:)/*)?(?P<user>[^\s@<>(),|/:]{1,64})(?::[^\s@<>(),|/:]{1,64})?@(?P<host>[^\s@<>(),|/]{1,190})"
    r")>?",
    re.IGNORECASE,
)
# Two patterns for mistyped SIP addresses: blanks behind the scheme, and blanks around the "@".
_BEHIND_SCHEME: Final = re.compile(r"\b(sips?)[: ]+(?=[^\s@]{1,64} ?@)", re.IGNORECASE)
_AROUND_AT: Final = re.compile(r" ?@ ?")
# Characters that separate an address from a number beside the address.
_AROUND_ADDRESS: Final = " ,;:/|&\n"
# The minimum number of digits of a number beside an address; fewer digits belong to a name or a remark.
_SHORTEST_BESIDE: Final = 3


class SplitField(NamedTuple):
    """The parts of a field.

    :ivar sip_addresses: SIP URIs, such as ``sip:501@pbx.example``.
    :ivar numbers: the text of the numbers; line breaks stand in the places of the addresses.
    """

    sip_addresses: tuple[str, ...]
    numbers: str


def split_field(text: str) -> SplitField:
    """Separate the addresses in a field from the numbers; a field without an address stays unchanged."""
    text = text[:LONGEST_FIELD]
    if not any(sign in text for sign in ("@", ":", "%40", "t.me/")):
        return SplitField((), text)
    cleaned = "\n".join(map(dial_string.clean, text.splitlines()))
    cleaned = cleaned.replace("%40", "@")
    cleaned = _AROUND_AT.sub("@", _BEHIND_SCHEME.sub(r"\1:", cleaned))
    addresses = [found for found in _ADDRESS.finditer(cleaned) if not _is_public(found["user"])]
    if not addresses:
        return SplitField((), text)
    sip_addresses = [
        (found["scheme"] or "sip:").lower() + found["user"] + "@" + found["host"].rstrip(".;")
        for found in addresses
        if found["host"]
    ]
    numbers = [part.strip(_AROUND_ADDRESS) for part in _between(cleaned, addresses)]
    return SplitField(
        tuple(dict.fromkeys(sip_addresses)),
        "\n".join(part for part in numbers if sum(map(str.isdigit, part)) >= _SHORTEST_BESIDE),
    )


def _between(text: str, addresses: list[re.Match[str]]) -> Iterator[str]:
    """Yield the texts between the addresses, and each user name (of a messenger) that is a public number."""
    position = 0
    for found in addresses:
        yield text[position : found.start()]
        name = found["name"] or found["number"]
        if _is_public(name):
            yield unquote(name)
        position = found.end()
    yield text[position:]


def _is_public(user: str | None) -> bool:
    """Return True if the user in an address is a public number; parameters behind the number are ignored."""
    number = dial_string.plain(unquote(user or "").partition(";")[0])
    return number is not None and (number[0] or len(number[1]) >= SHORTEST_PUBLIC)


# --- remarks ----------------------------------------------------------------------------------------------------------

# Patterns for opening hours in a remark: a time of day, and the words that may follow a time.  Behind a blank, an "h"
# does not belong to a time, but means a telephone at home.
_TIME: Final = r"(?:[01]?\d|2[0-4])(?:[:.h]\d{2})?"
_OCLOCK: Final = r"(?:h|\s?(?:uhr|uur|hrs|std|óra|saat)|am|pm)(?![^\W_])"
_TO: Final = r"\s?(?:-|\u2013|\u2014|bis|to|until|à|al?)\s?"
_RANGE: Final = rf"{_TIME}\s?[-\u2013]\s?{_TIME}"
# A position at which opening hours may begin.  Two digits that follow a short group of digits are the last digits of a
# telephone number, not opening hours.
_NO_END: Final = r"(?:(?<=\d{4}\s)|(?<=\d\s)(?=\d(?!\d))|(?<!\d\s)(?<![\d.,:/-]))"
_DAY: Final = r"(?:mo|di|mi|do|fr|sa|so|mon|tue|wed|thu|fri|sat|sun|lun|mar|mer|jeu|gio|ven|sam|sab|dim|dom|ma|wo|vr)"
_YEAR: Final = r"(?:19|20)\d{2}"
_MONEY: Final = r"(?:€|\$|£|(?:euro?|ct|cent)(?![^\W_]))"
# The position behind digits that stand alone.  No digit, dot, slash or hyphen follows.  A digit from 1 to 9 or a
# parenthesis may not follow behind blanks either, because such a character may continue the same number.  A "0" or "+"
# may follow behind blanks, because a "0" or "+" begins a telephone number.
_ALONE: Final = r"(?![\d./-])(?!\s*[1-9(])"

# Words in front of digits that are not a telephone number.
_NUMBERED: Final = "kunden|kd|vertrags?|rechnungs?|auftrags?|mitglieds?|account|acct|contract|invoice|case|ticket"
_COUNTED: Final = "vertrag|iban|blz|digicode|code porte"
_FIGURE: Final = r"[\d./-]*(?:[a-z]\d*)?(?![^\W_])"
_PLACES: Final = "raum|zimmer|room|suite|apt|plz|etage|stock|haus"
_STREETS: Final = "str\\.|straße|strasse|weg|platz|allee|gasse|street|road|avenue|rue"
# Words that follow an ordinal such as "2." in a remark ("2. Stock").
_ORDINAL: Final = "stock|etage|og|ug|handy|nummer|nr|telefon|tel|mobil|anschluss|leitung|apparat|floor|line|num|núm|tür"
# Words that may follow digits and that are no names of towns, so that the digits are no postcode.
_NO_TOWN: Final = "fax|tel|mob|handy|priv|büro|ext|home|work|zentr|durchw|office"

_REMARK: Final = re.compile(
    "|".join(
        (
            # Opening hours: "8:00-17:30", "9-17 Uhr", "9 am to 5 pm", "bis 18 Uhr", "18h", "24h/24", "7/24".
            rf"{_NO_END}{_TIME}(?:{_OCLOCK})?{_TO}{_TIME}{_OCLOCK}",
            rf"{_NO_END}{_TIME}\s(?:am|pm){_TO}{_TIME}\s(?:am|pm)(?![^\W_])",
            rf"(?<=\s)(?:-|\u2013|bis|to|until|à|al?|ab|from|de)\s?(?:{_TIME}{_OCLOCK}|\d{{1,2}}h\d{{2}})(?:/24|{_TO}{_TIME}{_OCLOCK})?",
            rf"(?<!\d)\d{{1,2}}:\d{{2}}(?:{_TO}\d{{1,2}}(?::\d{{2}})?)?(?:{_OCLOCK})?(?!\d)",
            rf"{_NO_END}{_TIME}{_OCLOCK}",
            r"(?<![\d.,:/-])24\s?(?:h(?:rs?|ours|oras)?|stunden)(?:/24|\s?/\s?7)?(?![^\W_])|(?<!\d)7\s?j(?:ours)?\s?/\s?7(?!\d)",
            r"(?<![\d/])(?:24\s?/\s?7|7\s?/\s?24)(?![\d/])",
            # Opening hours that no word such as "Uhr" follows: "(9-17)", "(Mo-Fr 8-12, 14-17)", "Mo-Fr 8-12",
            # "9.00-17.00".
            rf"(?<=\d)\s?\((?!0)(?:[^()\d]*{_RANGE})+[^()\d]*\)(?!\s*\d)",
            rf"(?<![^\W_])kl\.?\s{_RANGE}(?!\d)",
            rf"(?<![^\W_]){_DAY}\.?(?:\s?[-\u2013/]\s?{_DAY}\.?)?\s{_RANGE}(?:\s?[,/;&]\s?{_RANGE})*(?!\d)",
            r"(?<![\d.])[0-2]?\d\.\d{2}\s?[-\u2013]\s?[0-2]?\d\.\d{2}(?![\d.])",
            # Dates: "31.12.2024", "2024-03-01", "01/02/2024", "(01/2024)", "until 12/31/19".
            rf"(?<![\d.])\d{{1,2}}\.\s?\d{{1,2}}\.\s?{_YEAR}(?![\d.])",
            rf"(?<![\d-]){_YEAR}-\d{{2}}-\d{{2}}(?![\d-])",
            rf"(?<![\d/])\d{{1,2}}/\d{{1,2}}/{_YEAR}(?![\d/])",
            rf"(?<=[(a-z])\s?\d{{1,2}}/{_YEAR}(?=\s?(?:[),;]|$))",
            r"(?<![^\W_])(?:bis|until|till?|seit|since)\s\d{1,2}[./]\d{1,2}(?:[./]\d{2,4})?(?![\d./])",
            rf"(?<![^\W\d_])(?:seit|since|depuis|desde|stand|as of)\s{_YEAR}(?!\d)",
            # A price: "0,14 €/min", "14 ct/min".
            rf"(?<![\d.,])\d{{1,3}}(?:[.,]\d{{1,2}}\s?{_MONEY}|\s?{_MONEY}\s?/\s?min)(?:\s?/\s?[^\W\d_]+)?",
            # Counts: "2. Stock", "3x klingeln", "2nd".
            rf"(?<=\s)[1-9]\.\s?(?={_ORDINAL})|(?<=\s)[1-9]x(?![^\W_])(?!\s?\d)|(?<![^\W_])[1-9](?:st|nd|rd|th)(?![^\W_]):?",
            # Other figures: "Kundennr. 4711", "Raum 204", "Hauptstr. 5", ", 10117 Berlin", ", NY 10001".
            rf"(?<![^\W\d_])(?:{_NUMBERED})[ .-]{{0,2}}(?:nr|nummer|no|number|id|(?=#))[.:#\s]*[a-z]{{0,2}}\d{_FIGURE}",
            rf"(?<![^\W\d_])(?:{_COUNTED})[.:#\s]*[1-9]{_FIGURE}",
            rf"(?<![^\W\d_])(?:{_PLACES})[.:#\s]*[1-9]\d{{0,4}}{_ALONE}",
            rf"[^\W\d_-]*(?:{_STREETS})\s?[1-9]\d{{0,2}}[a-z]?(?![^\W_]){_ALONE}",
            rf"(?<=,)\s*(?:(?:[a-z]{{1,2}}-)?\d{{4,5}}|\d{{3}}\s\d{{2}}|\d{{2}}-\d{{3}}|\d{{5}}-\d{{3}}|\d{{4}}\s[a-z]{{2}})\s(?=[^\W\d_]{{3}})(?!{_NO_TOWN})",
            r"(?<=,)\s*[a-z]{2}\s\d{5}(?![\d-])",
        )
    ),
    re.IGNORECASE,
)
# A label with a number in front of a telephone number: "Handy2: 0171 …", "Tel. 2 030 …", "O2: 0176 …".
_LABELLED: Final = (
    "tel|tél|telefon|telephone|téléphone|telefono|teléfono|fon|phone|ph|mob|mobil|mobile|handy|natel|cell?|celular|"
    "cellulare|móvil|movil|gsm|fax|line|ligne|linea|línea|sim|nummer|number|numéro|nr|n°|büro|office|home|work|privat|tlf"
)
_LABEL: Final = re.compile(
    r"(?<![^\W_])([^\W\d_]{2,})(?:\.?\s?\d{1,2}\s?(?=[:=](?!\d))|\.?\s?[1-9]\s?(?=:\+?\(?\d{3})|[1-9](?=\s+[+(\d]))"
    rf"|(?<![^\W_])({_LABELLED})\.?[\s-]?[#(]?[1-9]\)?\s?(?:[:.)-]\s?|\s)(?=\+?\(?\d)"
    r"|(?<![^\W_])(?:o2|d1|d2|a1|1&1)[:\s]+(?=\+?\(?\d)|^[1-9]:\s?(?=\+?\(?\d{2})",
    re.IGNORECASE,
)
# A text that has only the characters of a telephone number, without a date ("2024-03-01") or opening hours ("(9-17)").
# No pattern for remarks matches such a text.
_NO_REMARK: Final = re.compile(r"(?!.*(?:\d{4}-\d|\([^)]*-))[+()\d -]*")
# Empty brackets, which are left after a remark was removed.
_EMPTY: Final = re.compile(r"\(\W*\)")
_AROUND_REMARK: Final = " ,;-\u2013"
# A telephone number that a spreadsheet has written as a decimal fraction ("4930123456.0").
_FRACTION: Final = re.compile(r"(\+?\d{7,})\.0")


def without_remarks(text: str) -> str:
    """Remove remarks with digits from a cleaned text; a text without such remarks is returned unchanged."""
    if _NO_REMARK.fullmatch(text):
        return text
    fraction = _FRACTION.fullmatch(text)
    if fraction:
        return fraction[1]
    found = _REMARK.sub(" ", _LABEL.sub(_label, text))
    return text if found == text else " ".join(_EMPTY.sub("", found).split()).strip(_AROUND_REMARK)


def _label(found: re.Match[str]) -> str:
    """Return the word of a label without the ordinal number: "Handy2" becomes "Handy".

    A number ("1:") or the name of a network ("O2:") becomes a blank.  A label that is a word for an extension is
    returned unchanged.
    """
    label = found[1] or found[2] or ""
    return found[0] if label and dial_string.leads_afterwards(f" {label} ") else f"{label} "
