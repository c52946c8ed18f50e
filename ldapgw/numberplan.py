# SPDX-License-Identifier: MIT
"""The numbering plans of the world, as `phonenumbers` knows them: the one door to that library."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat, ValidationResult

# Python keeps 512 patterns, and the numbering plans have thousands: without this most would be compiled each time.
phonenumbers.enable_pattern_cache()

Parsed = PhoneNumber

# ITU-T E.164: country codes begin with 1 to 9, and 15 digits are the most.
_E164 = re.compile(r"\+[1-9]\d{2,14}", re.ASCII)

# Below this many digits a number without "+" is an internal one: it is compared exactly and belongs to no country.
SHORTEST_PUBLIC = 7

_NEVER = re.compile("(?!)")


@dataclass(frozen=True, slots=True)
class Dialling:
    """How numbers are dialled in a region.

    :ivar country: the country code; empty where the region is not known.
    :ivar abroad: what is dialled in front of a country code, as a pattern ("00", "011", carriers).
    :ivar within: what may stand before a number within the country, as a pattern ("0", carriers).
    :ivar out: one way to dial abroad; empty where there is none, or none that serves everybody.
    :ivar zero: whether the trunk prefix is "0": then a number in full begins with it.
    :ivar shortest: the fewest digits of a number that is no internal one.
    """

    country: str
    abroad: re.Pattern[str]
    within: re.Pattern[str]
    out: str
    zero: bool
    shortest: int


def load() -> tuple[int, ...]:
    """Read all plans now, which are files; the country codes of the world."""
    phonenumbers.PhoneMetadata.load_all()
    return tuple(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)


@cache
def dialling(region: str) -> Dialling:
    """How numbers are dialled in a region (ISO 3166-1)."""
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
    if metadata is None:
        return Dialling("", _NEVER, _NEVER, "", zero=False, shortest=SHORTEST_PUBLIC)
    abroad = metadata.international_prefix or ""
    zero = metadata.national_prefix == "0"
    lengths = metadata.general_desc.possible_length if metadata.general_desc else ()
    return Dialling(
        str(metadata.country_code),
        re.compile(abroad) if abroad else _NEVER,
        re.compile(metadata.national_prefix_for_parsing) if metadata.national_prefix_for_parsing else _NEVER,
        abroad if abroad.isdigit() else metadata.preferred_international_prefix or "",
        zero=zero,
        # Where nothing stands in front of a number, those of a small country have as many digits as it needs.
        shortest=SHORTEST_PUBLIC if zero else min(SHORTEST_PUBLIC, *lengths),
    )


def known_region(region: str) -> bool:
    """Whether a region is one that numbers can be read in."""
    return region in phonenumbers.SUPPORTED_REGIONS


def is_e164(text: str) -> bool:
    """Whether a text is a "+" and digits, as many as E.164 allows."""
    return _E164.fullmatch(text) is not None


def country_of(digits: str) -> tuple[str, str] | None:
    """The country code that digits begin with, and its main region; None where it is not assigned."""
    for length in (1, 2, 3):
        regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(digits[:length] or 0))
        if regions and digits[0] != "0":
            return digits[:length], regions[0]
    return None


def parse(text: str, region: str) -> Parsed | None:
    """What a text is in a region; None where it is no number.  It may be one that nobody can have."""
    try:
        return phonenumbers.parse(text, region)
    except NumberParseException:
        return None


def is_settled(parsed: Parsed) -> bool:
    """Whether a number's E.164 is read as itself; it is not where a trunk prefix was there twice."""
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(parsed.country_code or 0, ("",))
    match = dialling(regions[0]).within.match(phonenumbers.national_significant_number(parsed))
    if not match or not match.end():
        return True
    again = parse(e164(parsed), "")
    return again is not None and e164(again) == e164(parsed)


def made(country: str, digits: str) -> Parsed:
    """A number by its country code and what stands behind it; nothing of it is checked."""
    zeros = min(len(digits) - len(digits.lstrip("0")), len(digits) - 1)
    return PhoneNumber(
        country_code=int(country),
        national_number=int(digits),
        italian_leading_zero=True if zeros else None,
        number_of_leading_zeros=zeros if zeros > 1 else None,
    )


def e164(parsed: Parsed) -> str:
    """A number as ``+`` and digits, without its extension."""
    return f"+{parsed.country_code}{phonenumbers.national_significant_number(parsed)}"


def is_possible(parsed: Parsed) -> bool:
    """Whether a number has as many digits as its country's numbers in full can have."""
    return phonenumbers.is_possible_number_with_reason(parsed) == ValidationResult.IS_POSSIBLE


def is_valid(parsed: Parsed) -> bool:
    """Whether a number lies in a range that its country has given out."""
    return phonenumbers.is_valid_number(parsed)


def national(parsed: Parsed) -> str:
    """A number as people write it within its country."""
    return phonenumbers.format_number(_without_extension(parsed), PhoneNumberFormat.NATIONAL)


def international(parsed: Parsed) -> str:
    """A number as people write it for those abroad."""
    return phonenumbers.format_number(_without_extension(parsed), PhoneNumberFormat.INTERNATIONAL)


def _without_extension(parsed: Parsed) -> Parsed:
    if not parsed.extension:
        return parsed
    plain = PhoneNumber()
    plain.merge_from(parsed)
    plain.extension = None
    return plain
