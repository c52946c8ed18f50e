# SPDX-License-Identifier: MIT
"""Values normalized for comparison (RFC 4517 4.2, RFC 4518), and the search texts made from these values.

For each `Family` of matching rules, a function converts a value to a *line*: a string without line breaks.  Two values
match if, and only if, their lines are equal.

The *search text* of an attribute's values is one string, which is made when a book is built.  Most assertions are
answered by a single test with ``in``, for all values at once.  A search text is a sequence of lines, each between two
line breaks:

* In lenient matching, a text has a line for each of its variants (`name_folding`).  A line has a blank at each end, so
  that every word follows a blank.  The main variants come first, one for each value.  A form feed separates the main
  variants from all other variants.
* In lenient matching, a telephone number has one line with three forms (E.164, national, as typed) between tabs, and
  then the number's other E.164 forms.  A form that the number does not have is empty.  The form as typed is also empty
  if the number was typed in E.164.
* Any other value has one line, in which the value is normalized by its matching rule.
"""

from __future__ import annotations

import re
import unicodedata
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from ldapgw.directory import name_folding
from ldapgw.directory.dn import Dn, InvalidDn
from ldapgw.directory.schema import Family, oid_of
from ldapgw.directory.transliteration import CharacterMap
from ldapgw.numbers import Number, renumbering
from ldapgw.numbers.phone_number import split_code, tails_of, typed_digits

# RFC 4517 3.3.13: the last given element (hour, minute or second) may have a fraction, and every value has a time zone.
_TIME: Final = re.compile(
    r"(\d{4})(\d\d)(\d\d)(\d\d)(?:(\d\d)(?:(\d\d))?)?(?:[.,](\d{1,9})\d*)?(?:Z|([+-])(\d\d)(\d\d)?)", re.ASCII
)

_OID: Final = re.compile(r"\d{1,40}(?:\.\d{1,40}){1,40}", re.ASCII)

# RFC 4518 2.2: the control characters that are mapped to a blank; all other control characters are mapped to nothing.
_BLANK_CONTROLS: Final = frozenset("\t\n\v\f\r\x85")

# RFC 4518 2.2: variation selectors and fillers outside category Cf, mapped to nothing.
_INVISIBLE: Final = frozenset("\u034f\u180b\u180c\u180d\ufffc") | frozenset(map(chr, range(0xFE00, 0xFE10)))

# The mark at the end of an incomplete number.  An incomplete number is the common beginning of all extension numbers of
# a company (`ldapgw.directory.caller_id`).
SWITCHBOARD_MARK: Final = "?"

# The character between two lines of one postal address.
NORMALIZED_END: Final = "\v"


def mapped(text: str) -> str:
    """Map the characters of a string as in RFC 4518 2.2, but keep upper and lower case."""
    return text.translate(_MAPPED)


def words(text: str, *, exact: bool = False) -> tuple[str, ...]:
    """Return the words of a string, prepared as in RFC 4518; keep upper and lower case if `exact`."""
    text = mapped(text)
    if text.isascii():
        return tuple((text if exact else text.lower()).split())
    if exact:
        return tuple(unicodedata.normalize("NFKC", text).split())
    # NFKC replaces some characters by capitals, such as a trade mark sign by "TM", so the result is case-folded again.
    folded = unicodedata.normalize("NFKC", text.casefold()).casefold()
    return tuple(unicodedata.normalize("NFKC", folded).split())


def string(text: str, *, exact: bool = False) -> str:
    """Prepare a string by RFC 4518 2.6.1: a blank at each end, two blanks between words."""
    return f" {'  '.join(words(text, exact=exact))} "


def listing(text: str) -> str:
    """Prepare each line of a postal address (RFC 4517 3.3.28) by `string`, without the blanks at both ends of a line.

    The lines are separated by a character that no substring assertion contains, so that no substring matches across two
    lines (RFC 4517 4.2.12).  The text may already have the form that `string` returns.
    """
    lines = [line.replace("\\24", "$").replace("\\5C", "\\").replace("\\5c", "\\") for line in text.split("$")]
    return f" {NORMALIZED_END.join(string(line).strip() for line in lines)} "


def telephone(text: str) -> str:
    """Prepare a telephone number by RFC 4518 2.6.3: without blanks and hyphens."""
    return "".join(words(text)).translate(_WITHOUT_HYPHENS)


def identifier(text: str) -> str | None:
    """Return the OID for a known name, or an OID unchanged; None for any other text (RFC 4517 4.2.26)."""
    text = text.strip()
    return oid_of(text) or (text if _OID.fullmatch(text) else None)


def definition(text: str) -> str | None:
    """Return the OID of a definition in the subschema, or the OID of an assertion value (RFC 4517 4.2.25)."""
    return text[1:].split()[0] if text.startswith("( ") else identifier(text)


def distinguished_name(text: str) -> str | None:
    """Return the comparable form of a DN; None if the text is no DN."""
    try:
        key = Dn.parse(text).key
    except InvalidDn:
        return None
    if text and not key:  # phones send blanks as a base, but blanks are no value (RFC 4514 3)
        return None
    return ",".join("+".join(sorted(map(repr, rdn))) for rdn in key)


def time(text: str) -> str | None:
    """Return a Generalized Time as a UTC time that sorts as text; None if the text is no time."""
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
    """Return a UUID in lower case; None if the text is no UUID."""
    try:
        parsed = str(uuid.UUID(text))
    except ValueError:
        return None
    return parsed if parsed == text.lower() else None


def boolean(text: str) -> str | None:
    """Return TRUE or FALSE; None for any other text."""
    return text if text in ("TRUE", "FALSE") else None


def integer(text: str) -> str | None:
    """Return an integer without leading zeros; None if the text is no integer."""
    digits = text.removeprefix("-")
    return str(int(text)) if 0 < len(digits) <= 20 and digits.isascii() and digits.isdigit() else None


_NORMALIZERS: Final[dict[Family, Callable[[str], str | None]]] = {
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
    Family.BINARY: lambda _text: None,
}


def normalized(family: Family, text: str) -> str | None:
    """Return a value in the form that a family's rules compare; None if the value does not fit the syntax."""
    return _NORMALIZERS[family](text)


# --- search texts ---


def text_search_text(values: Iterable[str], reading: str = "") -> str:
    """Return the search text of values that are texts, in lenient matching.

    :param reading: the pronunciation of the value, if there is only one value and this value is sorted by its
        pronunciation.  The pronunciation becomes the main variant.  If the values are sorted as they are written, the
        pronunciation is empty.
    """
    variants = [name_folding.search_variants(value) for value in values]
    if reading:
        variants = [name_folding.search_variants(reading) + variants[0]]
    lines = "".join([f"\n {main} " for main, *_ in variants]) + "\n"
    return lines + _alias_lines(dict.fromkeys([form for _, *forms in variants for form in forms]))


def alias_search_text(values: Iterable[str]) -> str:
    """Return the search text, in lenient matching, of aliases: texts that find an entry but are not its values."""
    return _alias_lines(dict.fromkeys([form for value in values for form in name_folding.search_variants(value)]))


def _alias_lines(forms: Iterable[str]) -> str:
    lines = "".join([f"\n {form} " for form in forms])
    return f"\f{lines}\n" if lines else ""


def number_search_text(numbers: Iterable[Number]) -> str:
    """Return the search text of telephone numbers in lenient matching."""
    return "".join([f"\n{number_line(number)}" for number in numbers]) + "\n"


def number_line(number: Number) -> str:
    """Return the line of a telephone number in lenient matching: its forms, between tabs."""
    typed = typed_digits(number)
    return "\t".join(("", number.e164, number.national, "" if typed == number.e164 else typed, *number.others, ""))


def value_search_text(family: Family, values: Iterable[str]) -> str:
    """Return the search text of any values by the rules of RFC 4517."""
    return "".join(f"\n{normalized(family, value) or ''}" for value in values) + "\n"


def search_text(family: Family, values: Iterable[str], *, lenient: bool) -> str:
    """Return the search text of values.  In lenient matching, the values must not be telephone numbers."""
    return text_search_text(values) if lenient and family is Family.TEXT else value_search_text(family, values)


def lines_of(search_text: str) -> list[str]:
    """Return one line for each value, without the lines of further variants and aliases."""
    return search_text.partition("\f")[0].split("\n")[1:-1]


def is_switchboard(line: str) -> bool:
    """Return whether a line of a search text (lenient matching) holds the number of a switchboard."""
    return line.endswith(f"{SWITCHBOARD_MARK}\t")


def is_number_line(line: str) -> bool:
    """Return whether `number_of` finds a telephone number in a line of a search text (lenient matching)."""
    return line.startswith("\t")


def number_of(line: str) -> Number:
    """Return the telephone number in a line of a search text.

    A line does not keep the text that was typed, so the field `typed` of the returned number has the number's digits.
    """
    e164, national, typed, others = _forms_of(line)
    code = split_code(typed, e164)
    return Number(typed, e164, national, typed.removeprefix(code).removeprefix("+"), "", code, tuple(others))


def number_tails(line: str) -> tuple[str, ...]:
    """Return the index keys of the telephone number in a line of a search text (`phone_number.stored_tails`)."""
    e164, _, typed, others = _forms_of(line)
    return tails_of(e164, typed.removeprefix(split_code(typed, e164)).removeprefix("+"), others)


def _forms_of(line: str) -> tuple[str, str, str, list[str]]:
    """Return a number's fields `e164`, `national`, `typed` and `others` from a line of a search text (`Number`)."""
    _, e164, national, typed, *others, _ = line.split("\t")
    if others and others[-1].endswith(SWITCHBOARD_MARK):
        del others[-1]
    return e164, national, typed or e164, others


def number_key(line: str) -> str:
    """Return a key that is equal for all spellings of a telephone number: the E.164 form, or else the digits.

    :param line: a line of a search text.
    """
    _, e164, _, digits, *_ = line.split("\t")
    return renumbering.key(e164) if e164 else digits.removeprefix("+")


def _mapped(character: str) -> str:
    category = unicodedata.category(character)
    if character in _BLANK_CONTROLS or category in ("Zs", "Zl", "Zp"):
        return " "
    return "" if category in ("Cc", "Cf") or character in _INVISIBLE else character


_MAPPED: Final = CharacterMap(_mapped)
_WITHOUT_HYPHENS: Final = CharacterMap(lambda char: "" if unicodedata.category(char) == "Pd" else char)
