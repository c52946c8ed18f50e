# SPDX-License-Identifier: MIT
"""The numbering plans of the world, as `phonenumbers` knows them: the one door to that library."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat, ValidationResult

from ldapgw.numbers import dial_string

# Python keeps 512 patterns, and the numbering plans have thousands: without this most would be compiled each time.
phonenumbers.enable_pattern_cache()

Parsed: TypeAlias = PhoneNumber

# The main region of each country code.
_REGIONS = {str(code): regions[0] for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items()}

# ITU-T E.164: country codes begin with 1 to 9, and 15 digits are the most.
_E164 = re.compile(r"\+[1-9]\d{2,14}", re.ASCII)

# Below this many digits a number without "+" is an internal one: it is compared exactly and belongs to no country.
# Only behind a trunk prefix "0" there may be one less, where the numbering plan has given out that number.
SHORTEST_PUBLIC = 7

# Without its trunk prefix "0" a number in full has nine digits in most countries; a shorter one is a local one.
_SHORTEST_WITHOUT_TRUNK = 9

_NEVER = re.compile("(?!)")


@dataclass(frozen=True, slots=True)
class Dialling:
    """How numbers are dialled in a region.

    :ivar country: the country code; empty where the region is not known.
    :ivar out: one way to dial abroad ("00", "011"); empty where there is none, or none that serves everybody.
    :ivar zero: whether the trunk prefix is "0": then a number in full begins with it.
    :ivar zero_from: from so many digits on, every number is dialled behind a "0" and nothing else; None: not so here.
    :ivar shortest: the fewest digits of a number that is no internal one.
    """

    _international_pattern: re.Pattern[str]
    _trunk_pattern: re.Pattern[str]
    _trunk_prefix: str | None = None  # what `_within` stands for, where that is always the same digits or nothing
    country: str = ""
    international_prefix: str = ""
    has_zero_trunk: bool = False
    zero_from: int | None = None
    shortest: int = SHORTEST_PUBLIC

    def strip_international_prefix(self, digits: str) -> tuple[str, ...]:
        """What stands behind the digits that are dialled in front of a country code, as some take them or others.

        In Hong Kong "001" may be a carrier, or "00" and a country code that begins with 1.
        """
        match = self._international_pattern.match(digits)
        if not match:
            return ()
        behind = (
            digits[match.end() :],
            digits[len(self.international_prefix) :] if digits.startswith(self.international_prefix) else "0",
        )
        return tuple(dict.fromkeys(one for one in behind if not one.startswith("0")))

    def is_public(self, digits: str) -> bool:
        """Whether there are enough digits for a number that is no internal one; behind a trunk "0" six are."""
        least = self.shortest - 1 if self.has_zero_trunk and digits.startswith("0") else self.shortest
        return len(digits) >= least

    def strip_trunk_prefix(self, digits: str) -> str:
        """A number without what is dialled in front of it within the country."""
        if self._trunk_prefix is not None:
            return digits.removeprefix(self._trunk_prefix)
        match = self._trunk_pattern.match(digits)
        return digits[match.end() :] if match else digits

    def is_whole(self, digits: str) -> bool:
        """Whether seven digits are left of a number without its trunk prefix, or it has none."""
        left = self.strip_trunk_prefix(digits)
        return left == digits or len(left) >= SHORTEST_PUBLIC


def load() -> tuple[int, ...]:
    """Read all plans now, which are files; the country codes of the world."""
    phonenumbers.PhoneMetadata.load_all()
    return tuple(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)


@cache
def dialling(region: str) -> Dialling:
    """How numbers are dialled in a region (ISO 3166-1)."""
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
    if metadata is None:
        return Dialling(_international_pattern=_NEVER, _trunk_pattern=_NEVER, _trunk_prefix="")
    abroad, within = metadata.international_prefix or "", metadata.national_prefix_for_parsing or ""
    zero = metadata.national_prefix == "0"
    lengths = metadata.general_desc.possible_length if metadata.general_desc else ()
    return Dialling(
        re.compile(abroad) if abroad else _NEVER,
        re.compile(within) if within else _NEVER,
        within if within.isdigit() or not within else None,
        country=str(metadata.country_code),
        international_prefix=abroad if abroad.isdigit() else metadata.preferred_international_prefix or "",
        has_zero_trunk=zero,
        zero_from=_zero_from(metadata),
        # Where nothing stands in front of a number, those of a small country have as many digits as it needs.
        shortest=SHORTEST_PUBLIC if zero else min(SHORTEST_PUBLIC, *lengths),
    )


def _zero_from(metadata: phonenumbers.PhoneMetadata) -> int | None:
    within = metadata.national_prefix_for_parsing or ""
    zero = metadata.national_prefix == "0" and (within == "0" or within.startswith("0|"))
    if not zero or metadata.national_prefix_transform_rule:
        return None
    others = (one for one in metadata.number_format if "0" not in (one.national_prefix_formatting_rule or ""))
    return max((_longest(one.pattern or "") for one in others), default=0) + 1


def _longest(pattern: str) -> int:
    r"""How many digits a pattern such as ``(\d{3})(\d{3,4})`` can match."""
    return sum(int(most or 1) for most in re.findall(r"\\d(?:\{(?:\d+,)?(\d+)\})?", pattern))


def known_region(region: str) -> bool:
    """Whether a region is one that numbers can be read in."""
    return region in phonenumbers.SUPPORTED_REGIONS


def is_e164(text: str) -> bool:
    """Whether a text is a "+" and digits, as many as E.164 allows."""
    return _E164.fullmatch(text) is not None


def is_whole(digits: str) -> bool:
    """Whether a "+" and digits are seven at least, and that many are left without a trunk prefix among them."""
    country = country_of(digits)
    return len(digits) >= SHORTEST_PUBLIC and (country is None or country[1].is_whole(digits[len(country[0]) :]))


def parse(text: str, region: str) -> Parsed | None:
    """What a text is in a region; None where it is no number.  It may be one that nobody can have."""
    try:
        return phonenumbers.parse(text, region)
    except NumberParseException:
        return None


def read(digits: str, region: str, *, international: bool) -> Parsed | None:
    """What plain digits are in a region; the same as `parse`, and quicker where no more than a "0" has to be taken off.

    :param international: a "+" stood in front.
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
        return _made(plan.country, digits[1:])
    return parse(digits, region)


def canonical(text: str) -> Parsed | None:
    """A number in E.164; None where its country code is not assigned, or it is not read as itself.

    Taken as it stands where nothing in it could be a trunk prefix, which saves most of what reading costs.
    """
    country = country_of(text[1:])
    if country is None:
        return None
    code, plan = country
    digits = text[1 + len(code) :]
    if len(digits) < 3 or plan.strip_trunk_prefix(digits) != digits:
        parsed = parse(text, "")
        return parsed if parsed and _is_settled(parsed) else None
    return _made(code, digits)


def e164(parsed: Parsed) -> str:
    """A number as ``+`` and digits, without its extension."""
    return f"+{parsed.country_code}{phonenumbers.national_significant_number(parsed)}"


def is_possible(parsed: Parsed) -> bool:
    """Whether a number has as many digits as its country's numbers in full can have."""
    possible = phonenumbers.is_possible_number_with_reason(parsed) == ValidationResult.IS_POSSIBLE
    return possible and _is_settled(parsed)


def is_valid(parsed: Parsed) -> bool:
    """Whether a number lies in a range that its country has given out."""
    return phonenumbers.is_valid_number(parsed)


def is_in_full(parsed: Parsed, digits: str, region: str) -> bool:
    """Whether a number that was read of digits without a "+" is no internal or local one."""
    plan = dialling(region)
    if not plan.is_public(digits) or not is_possible(parsed):
        return False
    if len(digits) < plan.shortest:
        return is_valid(parsed)
    if (plan.has_zero_trunk and digits.startswith("0")) or any(plan.strip_international_prefix(digits)):
        return True
    # Without a trunk prefix it may be a local number ("1234567"), unless the numbering plan knows it in full.
    if not is_valid(parsed):
        return False
    whole = not plan.has_zero_trunk or len(digits) >= _SHORTEST_WITHOUT_TRUNK
    return whole or dial_string.dialled(national(parsed)) == digits


def dialled_within(parsed: Parsed, region: str) -> str:
    """The digits dialled within a region, where they are read as the same number; empty for numbers abroad."""
    plan = dialling(region)
    if str(parsed.country_code) != plan.country:
        return ""
    subscriber = phonenumbers.national_significant_number(parsed)
    if plan.zero_from is not None and len(subscriber) >= max(plan.zero_from, SHORTEST_PUBLIC) and subscriber[0] != "0":
        return "0" + subscriber
    digits = dial_string.dialled(national(parsed))
    known = plan.strip_trunk_prefix(digits) == subscriber and plan.is_public(digits)
    if known and is_valid(parsed):
        return digits
    # No rule of the numbering plan says how such a number is written.
    for written in (digits, "0" + digits):
        read = parse(written, region)
        if read is not None and e164(read) == e164(parsed) and is_in_full(read, written, region):
            return written
    return ""


def national(parsed: Parsed) -> str:
    """A number as people write it within its country."""
    return phonenumbers.format_number(_without_extension(parsed), PhoneNumberFormat.NATIONAL)


def international(parsed: Parsed) -> str:
    """A number as people write it for those abroad."""
    return phonenumbers.format_number(_without_extension(parsed), PhoneNumberFormat.INTERNATIONAL)


def _made(country: str, digits: str) -> Parsed:
    zeros = min(len(digits) - len(digits.lstrip("0")), len(digits) - 1)
    return PhoneNumber(
        country_code=int(country),
        national_number=int(digits),
        italian_leading_zero=True if zeros else None,
        number_of_leading_zeros=zeros if zeros > 1 else None,
    )


def country_of(digits: str) -> tuple[str, Dialling] | None:
    """The country code that digits begin with, and how numbers are dialled there; None where it is not assigned."""
    return _country_of(digits[:3])


@cache
def _country_of(beginning: str) -> tuple[str, Dialling] | None:
    for length in (1, 2, 3):
        region = _REGIONS.get(beginning[:length])
        if region:
            return beginning[:length], dialling(region)
    return None


def _is_settled(parsed: Parsed) -> bool:
    """Whether a number's E.164 is read as itself, and holds no trunk prefix: it does where that was there twice."""
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(parsed.country_code or 0, ("",))
    digits = phonenumbers.national_significant_number(parsed)
    plan = dialling(regions[0])
    if plan.strip_trunk_prefix(digits) == digits:
        return True
    if plan.zero_from is not None:
        return False
    again = parse(e164(parsed), "")
    return again is not None and e164(again) == e164(parsed)


def _without_extension(parsed: Parsed) -> Parsed:
    if not parsed.extension:
        return parsed
    plain = PhoneNumber()
    plain.merge_from(parsed)
    plain.extension = None
    return plain
