# SPDX-License-Identifier: MIT
"""The numbering plans of all countries; the only module that imports `phonenumbers`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import cache, lru_cache
from typing import Final, TypeAlias

import phonenumbers
from phonenumbers import (
    NumberParseException,
    PhoneNumber,
    PhoneNumberFormat,
    PhoneNumberType,
    ValidationResult,
    shortnumberinfo,
)

from ldapgw.numbers import dial_string, renumbering

# The numbering plans have thousands of patterns, and Python's own cache holds only 512 patterns.  The library's cache
# holds all patterns, so that no pattern is compiled again and again.
phonenumbers.enable_pattern_cache()

Parsed: TypeAlias = PhoneNumber

# The main region of each country code.
_REGIONS: Final = {str(code): regions[0] for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items()}

# ITU-T E.164: a country code begins with 1 to 9, and a number has at most 15 digits.
_E164: Final = re.compile(r"\+[1-9]\d{2,14}", re.ASCII)

# The minimum number of digits of a public number without a "+".  A shorter number is internal: the number has no
# country, and comparisons need equal digits.  Where the trunk prefix is "0", an assigned number may have one digit
# fewer.
SHORTEST_PUBLIC: Final = 7

# The minimum number of digits of a full national number without the trunk prefix "0" in most countries; a shorter
# number is local.
SHORTEST_WITHOUT_TRUNK: Final = 9

# If the fixed-line numbers of a country have at least `_FEWEST_LENGTHS` different lengths, companies in this country
# are assumed to have extensions behind their numbers.
_FEWEST_LENGTHS: Final = 3

# The length of the European numbers of social value, such as 116117.
_SOCIAL_LENGTH: Final = 6

_NEVER: Final = re.compile("(?!)")

# The size of each cache.  Caches help because the numbers of a field are read in several ways.
_CACHED: Final = 64

# Mobile numbers that Ofcom reserves for fiction.  Many examples contain numbers for fiction, so these numbers count as
# assigned.
_FICTION_COUNTRY: Final = 44
_FICTION: Final = r"7700900\d{3}"

# Codes that are dialled in front of a number, and that look like a part of the number.  The codes hide or show the
# caller's number, or choose a carrier.  The sources are Ofcom (141, 1470), ComReg (141, 142), ACMA (1831, 1832), NZ
# Telecom (0197, 0196), OFCA (133), NTT (184, 186) and the Bundesnetzagentur (010xy, 0100yy).
_DIALLED_CODES: Final = {
    "AU": re.compile("183[12]"),
    "DE": re.compile(r"010 ?(?:[1-9]\d|0\d\d)"),
    "GB": re.compile("141|1470"),
    "HK": re.compile("133"),
    "IE": re.compile("14[12]"),
    "JP": re.compile("18[46]"),
    "NZ": re.compile("019[67]"),
}


@dataclass(frozen=True, slots=True)
class Dialling:
    """The dialling rules of a region.

    :ivar country: the country code; empty if the region is unknown.
    :ivar international_prefix: the digits for calls abroad ("00", "011"); empty if no such digits work for all callers.
    :ivar national_prefix: the trunk prefix, which is dialled in front of national numbers; empty if the region has no
        trunk prefix.
    :ivar omits_trunk: whether people write national numbers without the trunk prefix: all numbers, as in North America,
        or some numbers, such as mobile numbers in China.
    :ivar has_zero_trunk: whether the trunk prefix is "0", so that full national numbers begin with "0".
    :ivar rewrites_trunk: whether numbers that are dialled within the country can have extra digits in the middle, such
        as the 15 behind the area code of Argentine mobile numbers.  A number with extra digits includes the area code.
    :ivar has_direct_dialling: whether extensions can continue a company's number, so that fixed-line numbers have
        several lengths.
    :ivar zero_from: the minimum number of digits of numbers that are always dialled with just a "0" in front; None if
        the region has no such numbers.
    :ivar shortest: the minimum number of digits of a public number; shorter numbers are internal.
    """

    _international_pattern: re.Pattern[str]
    _trunk_pattern: re.Pattern[str]
    # The trunk prefix; "" if the region has no trunk prefix; None if the region has several trunk prefixes, which only
    # `_trunk_pattern` recognizes.
    _trunk_prefix: str | None = None
    country: str = ""
    international_prefix: str = ""
    national_prefix: str = ""
    omits_trunk: bool = False
    has_zero_trunk: bool = False
    rewrites_trunk: bool = False
    has_direct_dialling: bool = False
    zero_from: int | None = None
    shortest: int = SHORTEST_PUBLIC

    def strip_international_prefix(self, digits: str) -> tuple[str, ...]:
        """Return the digits behind the international prefix; these digits begin with a country code.

        There may be two results, because the end of the prefix can be ambiguous.  In Hong Kong, "001" is the prefix of
        a carrier, or "00" and a country code that begins with 1.  The result is empty if the digits do not begin with
        the prefix.
        """
        match = self._international_pattern.match(digits)
        if not match:
            return ()
        numbers = (
            digits[match.end() :],
            digits[len(self.international_prefix) :] if digits.startswith(self.international_prefix) else "0",
        )
        return tuple(dict.fromkeys(number for number in numbers if not number.startswith("0")))

    def is_public(self, digits: str) -> bool:
        """Return whether there are enough digits for a public number.

        The minimum is `shortest`, or one digit fewer for a number that begins with the trunk prefix "0".
        """
        least = self.shortest - 1 if self.has_zero_trunk and digits.startswith("0") else self.shortest
        return len(digits) >= least

    def strip_trunk_prefix(self, digits: str) -> str:
        """Remove the trunk prefix, which is dialled only within the country."""
        if self._trunk_prefix is not None:
            return digits.removeprefix(self._trunk_prefix)
        match = self._trunk_pattern.match(digits)
        return digits[match.end() :] if match else digits

    def area_code(self, text: str) -> str:
        """Return an area code without the trunk prefix that people may write in front of the code."""
        return text.removeprefix(self.national_prefix) if self.has_zero_trunk else text

    def with_area_code(self, area_code: str, digits: str) -> str:
        """Return local digits with the area code, as dialled within the country; "" for digits with a trunk prefix."""
        if self.begins_with_trunk_prefix(digits):
            return ""
        return self.national_prefix + area_code + digits

    def begins_with_trunk_prefix(self, digits: str) -> bool:
        """Return whether digits begin with the trunk prefix, such as 8 in Russia."""
        return bool(self.national_prefix) and digits.startswith(self.national_prefix)

    def is_whole(self, digits: str) -> bool:
        """Return whether a number has no trunk prefix, or at least seven digits behind the trunk prefix."""
        rest = self.strip_trunk_prefix(digits)
        return rest == digits or len(rest) >= SHORTEST_PUBLIC


def load() -> tuple[int, ...]:
    """Load the files of all plans, and return all country codes."""
    phonenumbers.PhoneMetadata.load_all()
    return tuple(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)


@cache
def dialling(region: str) -> Dialling:
    """Return the dialling rules of a region (ISO 3166-1)."""
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
    if metadata is None:
        return Dialling(_international_pattern=_NEVER, _trunk_pattern=_NEVER, _trunk_prefix="")
    abroad, trunk_prefix = metadata.international_prefix or "", metadata.national_prefix_for_parsing or ""
    has_zero_trunk = metadata.national_prefix == "0"
    lengths = metadata.general_desc.possible_length if metadata.general_desc else ()
    return Dialling(
        re.compile(abroad) if abroad else _NEVER,
        re.compile(trunk_prefix) if trunk_prefix else _NEVER,
        trunk_prefix if trunk_prefix.isdigit() or not trunk_prefix else None,
        country=str(metadata.country_code),
        international_prefix=abroad if abroad.isdigit() else metadata.preferred_international_prefix or "",
        national_prefix=metadata.national_prefix or "",
        omits_trunk=_omits_trunk(region, metadata.national_prefix or ""),
        has_zero_trunk=has_zero_trunk,
        has_direct_dialling=len(metadata.fixed_line.possible_length if metadata.fixed_line else ()) >= _FEWEST_LENGTHS,
        rewrites_trunk=bool(metadata.national_prefix_transform_rule),
        zero_from=_zero_from(metadata),
        # A small country whose trunk prefix is not 0 may have numbers with fewer digits.
        shortest=SHORTEST_PUBLIC if has_zero_trunk else min(SHORTEST_PUBLIC, *lengths),
    )


def _omits_trunk(region: str, trunk_prefix: str) -> bool:
    """Return whether the national format of a fixed-line or mobile number of a region lacks the trunk prefix."""
    kinds = (PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE)
    samples = [phonenumbers.example_number_for_type(region, kind) for kind in kinds]
    written = [dial_string.dialled(national(sample)) for sample in samples if sample is not None]
    return any(not digits.startswith(trunk_prefix) for digits in written)


def _zero_from(metadata: phonenumbers.PhoneMetadata) -> int | None:
    trunk_prefix = metadata.national_prefix_for_parsing or ""
    is_plain_zero = metadata.national_prefix == "0" and (trunk_prefix == "0" or trunk_prefix.startswith("0|"))
    if not is_plain_zero or metadata.national_prefix_transform_rule:
        return None
    formats = [rule for rule in metadata.number_format if "0" not in (rule.national_prefix_formatting_rule or "")]
    return max((_longest_match(rule.pattern or "") for rule in formats), default=0) + 1


def _longest_match(pattern: str) -> int:
    r"""Return the length of the longest number that a pattern such as ``(\d{3})(\d{3,4})`` can match."""
    return sum(int(maximum or 1) for maximum in re.findall(r"\\d(?:\{(?:\d+,)?(\d+)\})?", pattern))


def known_region(region: str) -> bool:
    """Return whether `phonenumbers` has a numbering plan for a region (ISO 3166-1)."""
    return region in phonenumbers.SUPPORTED_REGIONS


def is_e164(text: str) -> bool:
    """Return whether a text is "+" and a number of digits that E.164 allows."""
    return _E164.fullmatch(text) is not None


def is_whole(digits: str) -> bool:
    """Return whether a number has at least seven digits.

    If the number has a trunk prefix, at least seven digits have to follow the trunk prefix.

    :param digits: the number in E.164 without its "+".  Some numbers have a trunk prefix behind the country code by
        mistake.
    """
    country = _country_of(digits[:3])
    return len(digits) >= SHORTEST_PUBLIC and (country is None or country[1].is_whole(digits[len(country[0]) :]))


def parse(text: str, region: str) -> Parsed | None:
    """Parse a text as a number of a region; return None if the text is not a number.

    The length of the result may be impossible (`is_possible`).

    :param text: the number without an extension.
    """
    try:
        parsed = phonenumbers.parse(text, region)
    except NumberParseException:
        return None
    parsed.extension = None
    return parsed


def read(digits: str, region: str, *, international: bool) -> Parsed | None:
    """Parse plain digits as `parse` does, but faster if only a "0" has to be removed.

    :param international: whether a "+" precedes the digits.
    """
    if international:
        text = "+" + digits
        return canonical(text) if is_e164(text) else parse(text, region)
    plan = dialling(region)
    if (
        plan.zero_from is not None
        and len(digits) > 3
        and digits[0] == "0" != digits[1]
        and not plan.strip_international_prefix(digits)
    ):
        return _from_parts(plan.country, digits[1:])
    return parse(digits, region)


def canonical(text: str) -> Parsed | None:
    """Parse a number in E.164; return None if its country code is not assigned, or if the result is ambiguous.

    A result is ambiguous if parsing the E.164 form of the result gives a different number (`_is_unambiguous`).

    The function calls `phonenumbers` only if a number is short or may contain a trunk prefix, because the library is
    slow.
    """
    country = country_of(text[1:])
    if country is None:
        return None
    code, plan = country
    digits = text[1 + len(code) :]
    if len(digits) < 3 or plan.strip_trunk_prefix(digits) != digits:
        parsed = parse(text, "")
        return parsed if parsed and _is_unambiguous(parsed) else None
    return _from_parts(code, digits)


def e164(parsed: Parsed) -> str:
    """Format a number as ``+`` and digits, without its extension."""
    return f"+{parsed.country_code}{phonenumbers.national_significant_number(parsed)}"


def is_possible(parsed: Parsed) -> bool:
    """Return whether the length of a number is possible in its country's numbering plan, present or former."""
    possible = phonenumbers.is_possible_number_with_reason(parsed) == ValidationResult.IS_POSSIBLE
    return (possible and _is_unambiguous(parsed)) or (not possible and bool(renumbering.other_forms(e164(parsed))))


def is_valid(parsed: Parsed) -> bool:
    """Return whether a number lies in a range that its country has assigned; faster than the library's check."""
    return _assigned(parsed.country_code or 0).fullmatch(phonenumbers.national_significant_number(parsed)) is not None


@cache
def _assigned(country_code: int) -> re.Pattern[str]:
    """Return a pattern that matches all assigned numbers behind a country code, in each of its regions."""
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(country_code, ())
    plans = [phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(country_code, region) for region in regions]
    patterns = {
        description.national_number_pattern
        for plan in plans
        if plan is not None
        for description in map(plan.__getattribute__, _TYPES)
        if description is not None and description.national_number_pattern
    } | ({_FICTION} if country_code == _FICTION_COUNTRY else set())
    return re.compile("|".join(f"(?:{pattern})" for pattern in sorted(patterns)) or "(?!)", re.ASCII)


# The types of numbers: the names of the attributes that a numbering plan has in `phonenumbers`.
_TYPES: Final = (
    *("fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number", "voip", "pager", "uan"),
    "voicemail",
)


_SHORT_TYPES: Final = (PhoneNumberType.SHARED_COST, PhoneNumberType.UAN, PhoneNumberType.TOLL_FREE)


class Quality(IntEnum):
    """The degree to which a number fits the numbering plan of its country."""

    IMPOSSIBLE = 0
    POSSIBLE = 1  # the number has a possible length, but lies in no assigned range
    VALID = 2  # the number lies in a range that is assigned


def quality(parsed: Parsed | None) -> Quality:
    """Return the quality of a number in today's plan of its country; `Quality.IMPOSSIBLE` for None."""
    if parsed is None:
        return Quality.IMPOSSIBLE
    if is_valid(parsed):
        return Quality.VALID
    possible = phonenumbers.is_possible_number_with_reason(parsed) == ValidationResult.IS_POSSIBLE
    return Quality.POSSIBLE if possible and _is_unambiguous(parsed) else Quality.IMPOSSIBLE


def quality_of(number: str) -> Quality:
    """Return the quality of a number in E.164 in today's plan of its country."""
    return quality(canonical(number)) if is_e164(number) else Quality.IMPOSSIBLE


def is_mobile(number: str) -> bool:
    """Return whether a number in E.164 lies in a range that has only mobile numbers."""
    is_fiction = re.fullmatch(rf"\+{_FICTION_COUNTRY}{_FICTION}", number, re.ASCII) is not None
    return is_fiction or _type_of(number) == PhoneNumberType.MOBILE


def is_toll_free(number: str) -> bool:
    """Return whether calls to a number in E.164 are free or have shared costs, like calls to most conferences."""
    return _type_of(number) in (PhoneNumberType.TOLL_FREE, PhoneNumberType.SHARED_COST)


def _type_of(number: str) -> int:
    parsed = canonical(number)
    return PhoneNumberType.UNKNOWN if parsed is None else phonenumbers.number_type(parsed)


def has_direct_dialling(number: str) -> bool:
    """Return whether, in the country of a number in E.164, extensions can be dialled behind a company's number."""
    country = country_of(number[1:])
    return country is not None and country[1].has_direct_dialling


@lru_cache(maxsize=_CACHED)
def in_area_of(number: str, digits: str) -> str:
    """Return the number, in E.164, that has the given local digits and the area code of another number.

    :param number: the other number, in E.164.
    :param digits: the digits that are dialled behind the area code; for a mobile number in Argentina, these digits
        begin with "15".
    :returns: the number; empty if the other number has no area code.
    """
    parsed = canonical(number)
    if parsed is None:
        return ""
    code = phonenumbers.national_significant_number(parsed)[: phonenumbers.length_of_national_destination_code(parsed)]
    area_code = code.removeprefix(phonenumbers.country_mobile_token(parsed.country_code or 0))
    region = region_of(parsed)
    text = dialling(region).with_area_code(area_code, digits) if area_code else ""
    dialled = read(text, region, international=False) if text else None
    return e164(dialled) if dialled is not None else ""


def region_of(parsed: Parsed) -> str:
    """Return the region (ISO 3166-1) of a valid number; empty if the number belongs to no region."""
    region: str | None = phonenumbers.region_code_for_number(parsed)
    return region if region is not None and known_region(region) else ""


def dialled_code(text: str, region: str) -> str:
    """Return the code in front of a number, if the networks of a region know this code (141 in the United Kingdom).

    The code may be the beginning of the number itself, so the caller of this function has to check that a complete
    number follows.

    :returns: the code; empty if the number has no code.
    """
    pattern = _DIALLED_CODES.get(region)
    match = pattern.match(text) if pattern else None
    return match[0] if match else ""


def is_short(digits: str, region: str) -> bool:
    """Return whether digits are a short number that the networks of a region connect, such as 112 or 116117."""
    if not digits.isdigit() or len(digits) >= SHORTEST_PUBLIC:
        return False
    number = _from_parts(dialling(region).country or "0", digits)
    if shortnumberinfo.is_valid_short_number_for_region(number, region):
        return True
    # Some numbers of companies have no area code and no trunk prefix, such as "13 12 13" in Australia.
    return phonenumbers.number_type(number) in _SHORT_TYPES and phonenumbers.region_code_for_number(number) == region


def is_of_social_value(digits: str, region: str) -> bool:
    """Return whether digits are a number of social value, such as 116117 for doctors (EU decision 2007/116/EC).

    Nobody uses a number of social value as an internal number, so these short numbers are public.
    """
    return len(digits) == _SOCIAL_LENGTH and digits.startswith("116") and is_short(digits, region)


def is_in_full(parsed: Parsed, digits: str, region: str) -> bool:
    """Return whether a number, which was parsed from digits without a "+", is complete: neither internal nor local."""
    plan = dialling(region)
    if not plan.is_public(digits) or not is_possible(parsed):
        return False
    if len(digits) < plan.shortest:
        return is_valid(parsed)
    if (plan.has_zero_trunk and digits.startswith("0")) or any(plan.strip_international_prefix(digits)):
        return True
    if plan.rewrites_trunk and plan.strip_trunk_prefix(digits) != digits:
        return True
    # A number without a trunk prefix may be local ("1234567"), so the number has to be valid.
    if not is_valid(parsed):
        return False
    is_complete = not plan.has_zero_trunk or len(digits) >= SHORTEST_WITHOUT_TRUNK
    return is_complete or dial_string.dialled(national(parsed)) == digits


def dialled_within(parsed: Parsed, region: str) -> str:
    """Return the digits that reach a number within a region; empty if unknown, as for a foreign number."""
    plan = dialling(region)
    if str(parsed.country_code) != plan.country:
        return ""
    subscriber = phonenumbers.national_significant_number(parsed)
    if plan.zero_from is not None and len(subscriber) >= max(plan.zero_from, SHORTEST_PUBLIC) and subscriber[0] != "0":
        return "0" + subscriber
    digits = dial_string.dialled(national(parsed))
    is_same = plan.strip_trunk_prefix(digits) == subscriber and plan.is_public(digits)
    if is_same and is_valid(parsed):
        return digits
    # The numbering plan has no format for this number.  So the digits are tried without a "0" and with a "0".
    for written in (digits, "0" + digits):
        candidate = parse(written, region)
        if candidate is not None and e164(candidate) == e164(parsed) and is_in_full(candidate, written, region):
            return written
    return ""


def national(parsed: Parsed) -> str:
    """Format a number in the national format."""
    return phonenumbers.format_number(parsed, PhoneNumberFormat.NATIONAL)


def international(parsed: Parsed) -> str:
    """Format a number in the international format."""
    return phonenumbers.format_number(parsed, PhoneNumberFormat.INTERNATIONAL)


def _from_parts(country: str, digits: str) -> Parsed:
    zeros = min(len(digits) - len(digits.lstrip("0")), len(digits) - 1)
    return PhoneNumber(
        country_code=int(country),
        national_number=int(digits),
        italian_leading_zero=True if zeros else None,
        number_of_leading_zeros=zeros if zeros > 1 else None,
    )


def country_of(digits: str) -> tuple[str, Dialling] | None:
    """Return the country code at the beginning of digits, and its dialling rules; None if no such code is assigned."""
    return _country_of(digits[:3])


@cache
def _country_of(beginning: str) -> tuple[str, Dialling] | None:
    for length in (1, 2, 3):
        region = _REGIONS.get(beginning[:length])
        if region:
            return beginning[:length], dialling(region)
    return None


def _is_unambiguous(parsed: Parsed) -> bool:
    """Return whether parsing the E.164 form of a number gives the same number again.

    The result is False if the E.164 form contains a trunk prefix.  Parsing removes only one trunk prefix, so a number
    that was typed with two trunk prefixes keeps a trunk prefix.
    """
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(parsed.country_code or 0, ("",))
    digits = phonenumbers.national_significant_number(parsed)
    plan = dialling(regions[0])
    if plan.strip_trunk_prefix(digits) == digits:
        return True
    if plan.zero_from is not None:
        return False
    reparsed = parse(e164(parsed), "")
    return reparsed is not None and e164(reparsed) == e164(parsed)
