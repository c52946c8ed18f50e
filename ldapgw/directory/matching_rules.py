# SPDX-License-Identifier: MIT
"""Values in the form that a matching rule compares (RFC 4517 4.2), strings prepared as RFC 4518 says.

Each function returns a *line*: a string without line breaks that two values share if, and only if, they match.
"""

from __future__ import annotations

import re
import unicodedata
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from ldapgw.directory.dn import Dn, InvalidDn
from ldapgw.directory.schema import Family, oid_of
from ldapgw.directory.transliteration import CharacterMap

# RFC 4517 3.3.13; a fraction belongs to the last element given, and a zone is part of every value.
_TIME = re.compile(
    r"(\d{4})(\d\d)(\d\d)(\d\d)(?:(\d\d)(?:(\d\d))?)?(?:[.,](\d{1,9})\d*)?(?:Z|([+-])(\d\d)(\d\d)?)", re.ASCII
)

_OID = re.compile(r"\d{1,40}(?:\.\d{1,40}){1,40}", re.ASCII)

# RFC 4518 2.2: the controls that are mapped to a blank; all others are mapped to nothing.
_BLANK_CONTROLS = frozenset("\t\n\v\f\r\x85")

# RFC 4518 2.2: variation selectors and fillers that are no Cf, mapped to nothing.
_UNSEEN = frozenset("\u034f\u180b\u180c\u180d\ufffc") | frozenset(map(chr, range(0xFE00, 0xFE10)))


# Stands between two lines of one value.
NORMALIZED_END: Final = "\v"


def words(text: str, *, exact: bool = False) -> tuple[str, ...]:
    """The words of a string after RFC 4518's map, normalize and case folding (not with `exact`)."""
    mapped = text.translate(_MAPPED)
    if mapped.isascii():
        return tuple((mapped if exact else mapped.lower()).split())
    return tuple(unicodedata.normalize("NFKC", mapped if exact else mapped.casefold()).split())


def string(text: str, *, exact: bool = False) -> str:
    """A string as RFC 4518 2.6.1 leaves it: a blank at each end, two between words."""
    return f" {'  '.join(words(text, exact=exact))} "


def listing(text: str) -> str:
    """Lines parted by dollars (RFC 4517 3.3.28), each as `string` leaves it but for the blanks at its ends.

    They are parted by a sign that no part of a substring assertion holds, so that none reaches over two of them
    (RFC 4517 4.2.12).  What `string` has prepared may be given too.
    """
    lines = (line.replace("\\24", "$").replace("\\5C", "\\").replace("\\5c", "\\") for line in text.split("$"))
    return f" {NORMALIZED_END.join(string(line).strip() for line in lines)} "


def telephone(text: str) -> str:
    """A telephone number as RFC 4518 2.6.3 leaves it: without blanks and hyphens."""
    return "".join(words(text)).translate(_WITHOUT_HYPHENS)


def identifier(text: str) -> str | None:
    """The OID that a name or an OID stands for; None where that is not known (RFC 4517 4.2.26)."""
    text = text.strip()
    return oid_of(text) or (text if _OID.fullmatch(text) else None)


def definition(text: str) -> str | None:
    """The OID that a definition in the subschema begins with, or that an assertion on it names (RFC 4517 4.2.25)."""
    return text[1:].split()[0] if text.startswith("( ") else identifier(text)


def distinguished_name(text: str) -> str | None:
    """A DN in the form that all its writings share; None where it is no DN."""
    try:
        key = Dn.parse(text).key
    except InvalidDn:
        return None
    if text and not key:  # blanks alone: a base that phones send, and no value (RFC 4514 3)
        return None
    return ",".join("+".join(sorted(map(repr, rdn))) for rdn in key)


def time(text: str) -> str | None:
    """A Generalized Time as a moment of UTC that sorts as text; None where it is none."""
    match = _TIME.fullmatch(text)
    if not match:
        return None
    year, month, day, hour, minute, second, fraction, sign, hours, minutes = match.groups()
    try:
        moment = datetime(int(year), int(month), int(day), int(hour), int(minute or 0), int(second or 0), tzinfo=UTC)
        unit = timedelta(seconds=1) if second else timedelta(minutes=1) if minute else timedelta(hours=1)
        moment += unit * float("0." + (fraction or "0"))
        moment -= timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
    except (ValueError, OverflowError):
        return None
    return f"{moment:%Y%m%d%H%M%S.%f}".rjust(21, "0")


def unique_id(text: str) -> str | None:
    """A UUID in lower case; None where it is none."""
    try:
        parsed = str(uuid.UUID(text))
    except ValueError:
        return None
    return parsed if parsed == text.lower() else None


def boolean(text: str) -> str | None:
    """TRUE or FALSE; None for anything else."""
    return text if text in ("TRUE", "FALSE") else None


def integer(text: str) -> str | None:
    """An integer without leading zeros; None where it is none."""
    digits = text.removeprefix("-")
    return str(int(text)) if 0 < len(digits) <= 20 and digits.isascii() and digits.isdigit() else None


_LINES: dict[Family, Callable[[str], str | None]] = {
    Family.TEXT: string,
    Family.IDENTIFIER: string,
    Family.EXACT: lambda text: string(text, exact=True),
    Family.LIST: listing,
    Family.NUMBER: telephone,
    Family.OID: identifier,
    Family.DEFINITION: definition,
    Family.DN: distinguished_name,
    Family.TIME: time,
    Family.UUID: unique_id,
    Family.BOOLEAN: boolean,
    Family.INTEGER: integer,
}


def normalized(family: Family, text: str) -> str | None:
    """A value in the form that the family's rules compare; None where it is not of the rule's syntax."""
    return _LINES[family](text)


def _mapped(sign: str) -> str:
    category = unicodedata.category(sign)
    if sign in _BLANK_CONTROLS or category in ("Zs", "Zl", "Zp"):
        return " "
    return "" if category in ("Cc", "Cf") or sign in _UNSEEN else sign


_MAPPED = CharacterMap(_mapped)
_WITHOUT_HYPHENS = CharacterMap(lambda sign: "" if unicodedata.category(sign) == "Pd" else sign)
