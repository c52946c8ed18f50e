# SPDX-License-Identifier: MIT
"""Telephone numbers: read as people type them, compared as people mean them, written as phones dial them.

A `Number` is worked out once, when a contact is stored; a search reads only the one number that it was asked for.
Everything here is linear in its input, which is cut at `LONGEST`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult

# Python keeps 512 patterns, and the numbering plans have thousands: without this most would be compiled each time.
phonenumbers.enable_pattern_cache()

# ITU-T E.164 allows 15 digits; with blanks, brackets, an extension and a scheme, nothing real is longer than this.
LONGEST = 64

# Below this many digits a number without "+" is an internal one: it is compared exactly and belongs to no country.
SHORTEST_PUBLIC = 7

# "*31#0301234567": a service code (hide my number) in front of the number itself.
_SERVICE_CODE = re.compile(r"[*#]\d{1,3}[*#](?=\d{3})")
_SCHEME = re.compile(r"(?:tel|sips?|callto):", re.IGNORECASE)
_E164 = re.compile(r"\+\d{3,15}")
# Words for an extension that `phonenumbers` does not know.
_EXTENSION = re.compile(r"\b(?:durchwahl|dw|nebenstelle|poste)\b[ .:]{0,3}(?=\d)", re.IGNORECASE)

_BEFORE_EXTENSION = "".join(set(" .,;:=#~-–extnEXTN"))


class NumberFormat(StrEnum):
    """How numbers are written into entries: the setting ``number_format``."""

    E164 = "e164"
    INTERNATIONAL = "international"
    NATIONAL = "national"
    TYPED = "typed"
    DIAL = "dial"


@dataclass(frozen=True, slots=True)
class Number:
    """One telephone number in the forms that it is compared by.

    :ivar typed: as the contact's owner typed it, without invisible signs and runs of blanks.
    :ivar e164: ``+`` and digits; empty where the country is not known (short, internal or local numbers).
    :ivar national: as dialled within the country, trunk prefix included; empty where the country is not known.
    :ivar digits: what was typed, reduced to ``0-9*#``, with letters turned into keypad digits.
    :ivar extension: digits behind the number proper; does not take part in comparisons.
    """

    typed: str
    e164: str = ""
    national: str = ""
    digits: str = ""
    extension: str = ""

    def __repr__(self) -> str:
        """Without the number: a log must not hold one."""
        return f"<Number {'public' if self.e164 else 'internal'}, {len(self.digits)} digits>"


def parse(text: str, region: str, canonical: str = "") -> Number | None:
    """Read a telephone number.

    :param text: as typed, stored or signalled: any writing, ``tel:`` and ``sip:`` around it, an extension behind it.
    :param region: ISO 3166-1 code of the country for numbers without one, such as ``DE``.
    :param canonical: Google's ``canonicalForm``, believed where it is E.164.
    :returns: None where the text holds no digit to dial.
    """
    typed = clean(text)
    if not typed or len(typed) > LONGEST:
        return None
    core, parsed = _parsed(typed, region)
    digits = _dialled(core)
    if not any(map(str.isdigit, digits)):
        return None
    extension = (parsed.extension or "") if parsed else ""
    if parsed is not None and not _has_country(core, digits, parsed):
        parsed = None
    if _E164.fullmatch(canonical):
        parsed = _read(canonical, region)
        if parsed is None:
            return Number(typed, e164=canonical, digits=digits, extension=extension)
    if parsed is None:
        return Number(typed, digits=digits, extension=extension)
    return Number(
        typed,
        e164=phonenumbers.format_number(_plain(parsed), PhoneNumberFormat.E164),
        national=_national(_plain(parsed)),
        digits=digits,
        extension=extension,
    )


@lru_cache(maxsize=256)
def readings(text: str, region: str, outside_line: str = "") -> tuple[Number, ...]:
    """What a phone or a PBX may have meant by a number: as it stands, without the outside line, with its "+" back.

    A word in front of the digits makes it a text and no number: it has no readings.

    :param outside_line: digits dialled for an outside line, which some PBX leave in front of a caller's number.
    """
    core = _strip_scheme(clean(text))
    first = next(filter(str.isalnum, core), "")
    plain = parse(text, region) if first.isdigit() else None
    if plain is None:
        return ()
    found: dict[Number | None, None] = {plain: None}
    digits = plain.digits
    dialled = not core.lstrip("( ").startswith("+")
    if dialled and outside_line and digits.startswith(outside_line):
        behind = digits.removeprefix(outside_line)
        found[parse(behind, region) if len(behind) >= SHORTEST_PUBLIC else None] = None
    if dialled and len(digits) > SHORTEST_PUBLIC and digits[0] in "123456789":
        plus = parse("+" + digits, region)
        if plus is not None and plus.e164 and phonenumbers.is_valid_number(phonenumbers.parse(plus.e164)):
            found[plus] = None
    return tuple(number for number in found if number is not None)


def load() -> None:
    """Read all numbering plans now: they are files, and whoever asks for a number later waits for none of them."""
    phonenumbers.PhoneMetadata.load_all()
    for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
        readings(f"{code}234567890", "")


def same(stored: Number, asked: Number) -> bool:
    """Whether two numbers are the same telephone number.

    Two numbers with known countries are compared by E.164 alone.  Where a country is not known, the longer one has
    to end in the shorter one, and that has to have the seven digits of a public number; short ones match exactly.
    """
    if stored.e164 and asked.e164:
        return stored.e164 == asked.e164
    if stored.digits == asked.digits:
        return True
    first, second = _significant(stored), _significant(asked)
    shorter, longer = sorted((first, second), key=len)
    return len(shorter) >= SHORTEST_PUBLIC and longer.endswith(shorter)


def tails(asked: Number) -> tuple[str, ...]:
    """Ends of which any number that is the same as this one has one in its writings: a quick way to rule others out."""
    return tuple(dict.fromkeys(form[-SHORTEST_PUBLIC:] for form in (_significant(asked), asked.digits) if form))


def beginnings(text: str, region: str, outside_line: str = "") -> tuple[str, ...]:
    """The forms that a stored number's writing may begin with to match ``(telephoneNumber=text*)``.

    The international prefix of the region ("00") is read as "+"; the outside line in front may be left out.
    """
    core = _strip_scheme(clean(text[:LONGEST]))
    if any(map(str.isalpha, core)):
        return ()
    digits = dial_text(core)
    forms = [digits]
    if outside_line and digits.startswith(outside_line):
        forms.append(digits.removeprefix(outside_line))
    prefix = _international_prefix(region)
    if prefix:
        forms += ["+" + form.removeprefix(prefix) for form in forms if form.startswith(prefix)]
    return tuple(dict.fromkeys(filter(None, forms)))


def dial_text(text: str) -> str:
    """A part of a number as typed, reduced to ``+0-9*#``; empty where nothing of it can be dialled."""
    cleaned = clean(text[:LONGEST])
    return ("+" if cleaned.lstrip("( ").startswith("+") else "") + _dialled(cleaned)


def write(number: Number, form: NumberFormat, region: str, outside_line: str = "") -> str:
    """A number as an entry shows it and a phone dials it.

    :param form: ``dial`` is what a phone of this tenant must dial: outside line, and national within `region`.
    """
    if form is NumberFormat.TYPED:
        return number.typed
    if not number.e164:
        return number.digits
    if form is NumberFormat.E164:
        return number.e164
    parsed = phonenumbers.parse(number.e164)
    if form is NumberFormat.INTERNATIONAL:
        return phonenumbers.format_number(parsed, PhoneNumberFormat.INTERNATIONAL)
    home = parsed.country_code == phonenumbers.country_code_for_region(region)
    if form is NumberFormat.NATIONAL:
        return phonenumbers.format_number(
            parsed, PhoneNumberFormat.NATIONAL if home else PhoneNumberFormat.INTERNATIONAL
        )
    abroad = (_international_prefix(region) or "+") + number.e164[1:]
    return outside_line + (number.national if home else abroad)


def known_region(region: str) -> bool:
    """Whether a region is one that numbers can be read in."""
    return region in phonenumbers.SUPPORTED_REGIONS


def clean(text: str) -> str:
    """Text with compatibility forms folded (full-width and Arabic digits too) and invisible signs taken out."""
    folded = unicodedata.normalize("NFKC", text[: LONGEST * 4])
    visible = (sign for sign in folded if unicodedata.category(sign) not in ("Cf", "Cc") or sign in "\t\n")
    return " ".join("".join(map(_ascii_digit, visible)).split())


def _ascii_digit(sign: str) -> str:
    digit = unicodedata.digit(sign, -1)
    return sign if digit < 0 else str(digit)


def _parsed(typed: str, region: str) -> tuple[str, phonenumbers.PhoneNumber | None]:
    """The text without scheme, service code and extension, and what `phonenumbers` reads in it."""
    core = _EXTENSION.sub("ext. ", _SERVICE_CODE.sub("", _strip_scheme(typed), count=1))
    parsed = _read(core, region)
    if parsed is not None and parsed.extension:
        return core[: core.rindex(parsed.extension)].rstrip(_BEFORE_EXTENSION), parsed
    bare = _without_remark(core)
    return bare, parsed if bare == core else _read(bare, region)


def _read(core: str, region: str) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(core, region)
    except NumberParseException:
        return None


def _without_remark(text: str) -> str:
    """What stands before the first letter, if that is a whole number by itself: "0171 2345678 (private)"."""
    letter = next((at for at, sign in enumerate(text) if sign.isalpha() and any(map(str.isdigit, text[:at]))), None)
    before = text[:letter]
    return before.rstrip("( ") if sum(map(str.isdigit, before)) >= SHORTEST_PUBLIC else text


def _strip_scheme(text: str) -> str:
    match = _SCHEME.match(text)
    return text[match.end() :].partition("@")[0] if match else text


def _dialled(text: str) -> str:
    """Digits, stars and hashes from the first one on; letters behind three digits or more become keypad digits."""
    start = min((at for at, sign in enumerate(text) if sign in "0123456789*#"), default=len(text))
    text = text[start:]
    if sum(map(str.isdigit, text)) >= 3 and any(map(str.isalpha, text)):
        text = phonenumbers.convert_alpha_characters_in_number(text)
    return "".join(sign for sign in text if sign in "0123456789*#")


def _has_country(core: str, digits: str, parsed: phonenumbers.PhoneNumber) -> bool:
    if phonenumbers.is_possible_number_with_reason(parsed) != ValidationResult.IS_POSSIBLE:
        return False
    if core.startswith("+"):
        return True
    if len(digits) < SHORTEST_PUBLIC:
        return False
    # Without a trunk prefix it may be a local number ("1234567"), unless the numbering plan knows it in full.
    return digits.startswith("0") or phonenumbers.is_valid_number(parsed)


def _national(parsed: phonenumbers.PhoneNumber) -> str:
    """The digits dialled within the country; a trunk prefix "0" also where no rule of the numbering plan adds it."""
    digits = _dialled(phonenumbers.format_number(parsed, PhoneNumberFormat.NATIONAL))
    region = phonenumbers.region_code_for_country_code(parsed.country_code or 0)
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
    trunk = metadata is not None and metadata.national_prefix == "0" and not digits.startswith("0")
    return "0" + digits if trunk and not phonenumbers.is_valid_number(parsed) else digits


def _plain(parsed: phonenumbers.PhoneNumber) -> phonenumbers.PhoneNumber:
    """The number without its extension."""
    if not parsed.extension:
        return parsed
    plain = phonenumbers.PhoneNumber()
    plain.merge_from(parsed)
    plain.extension = None
    return plain


def _significant(number: Number) -> str:
    """The digits that two writings of a number share at their end."""
    return (number.e164[1:] or number.digits).lstrip("0")


def _international_prefix(region: str) -> str:
    """The digits dialled before a country code, where the region has just one form of them ("00", "011")."""
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
    prefix = (metadata.international_prefix or "") if metadata else ""
    return prefix if prefix.isdigit() else (metadata.preferred_international_prefix or "") if metadata else ""
