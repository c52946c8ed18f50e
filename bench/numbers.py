# SPDX-License-Identifier: MIT
"""Compares how stored numbers are read with how libphonenumber reads them, over made numbers of many regions.

``python -m bench.numbers [COUNT]`` prints, for each writing and each rule, how often the two differ, with examples.
Where they differ without a rule, either libphonenumber or the reader is wrong.
"""

from __future__ import annotations

import random
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from ldapgw.numbers import stored_numbers
from ldapgw.numbers.number import Number

REGIONS = (
    *("DE", "AT", "CH", "FR", "IT", "ES", "PT", "NL", "BE", "LU", "GB", "IE", "DK", "SE", "NO", "FI", "PL", "CZ", "SK"),
    *("HU", "RO", "GR", "TR", "RU", "UA", "US", "CA", "MX", "BR", "AR", "CL", "CO", "ZA", "MA", "NG", "CI", "IN", "CN"),
    *("JP", "AU", "NZ", "IL"),
)
_TYPES = (PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE)
_SHOWN = 3


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))


def _national(number: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)


def _international(number: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)


# How people write a number of their own country.
WRITINGS: Mapping[str, Callable[[phonenumbers.PhoneNumber], str]] = {
    "international": _international,
    "E.164": lambda number: "+" + _digits(_international(number)),
    "national": _national,
    "national digits": lambda number: _digits(_national(number)),
    "without +": lambda number: _international(number).removeprefix("+"),
    "digits without +": lambda number: _digits(_international(number)),
    "with (0)": lambda number: f"+{number.country_code} (0) {phonenumbers.national_significant_number(number)}",
    "with 00": lambda number: "00" + _digits(_international(number)),
    "without trunk prefix": phonenumbers.national_significant_number,
    "with pauses": lambda number: f"{_international(number)},,12#",
    "twice": lambda number: f"{_international(number)} / {_national(number)}",
}


def made_number(region: str, source: random.Random) -> phonenumbers.PhoneNumber:
    """A valid number of a region, which probably nobody has."""
    while True:
        example = phonenumbers.example_number_for_type(region, source.choice(_TYPES))
        if example is None:
            continue
        digits = list(phonenumbers.national_significant_number(example))
        for at in range(2, len(digits)):
            digits[at] = source.choice("0123456789")
        number = phonenumbers.parse(f"+{example.country_code}{''.join(digits)}")
        if phonenumbers.is_valid_number_for_region(number, region):
            return number


def by_library(text: str, region: str) -> str:
    """The number in E.164 that libphonenumber reads; empty if it reads no valid one."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return ""
    if not phonenumbers.is_valid_number(number):
        return ""
    return f"+{number.country_code}{phonenumbers.national_significant_number(number)}"


def main() -> None:
    """Compare and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    source = random.Random(1)
    total: Counter[str] = Counter()
    right: Counter[tuple[str, str]] = Counter()
    differences: dict[tuple[str, str], list[str]] = defaultdict(list)
    for at in range(count):
        region = REGIONS[at % len(REGIONS)]
        writing = list(WRITINGS)[at // len(REGIONS) % len(WRITINGS)]
        number = made_number(region, source)
        meant = f"+{number.country_code}{phonenumbers.national_significant_number(number)}"
        text = WRITINGS[writing](number)
        read = stored_numbers.read(text, region)
        first: Number | None = read[0] if read else None
        ours, library = (first.e164 if first else ""), by_library(text, region)
        total[writing] += 1
        right["reader", writing] += ours == meant
        right["libphonenumber", writing] += library == meant
        if ours != meant:
            differences[writing, "not as meant"].append(f"{region} {text!r}: reader {ours or '-'}, meant {meant}")
        if ours != library:
            rules = ", ".join(first.rules) if first and first.rules else "no rule"
            differences[writing, rules].append(f"{region} {text!r}: reader {ours or '-'}, library {library or '-'}")
    _write(f"{'writing':<24}{'numbers':>8}{'reader right':>14}{'library right':>15}")
    for writing, numbers in total.items():
        _write(f"{writing:<24}{numbers:>8}{right['reader', writing]:>14}{right['libphonenumber', writing]:>15}")
    for (writing, rules), examples in sorted(differences.items(), key=lambda item: -len(item[1])):
        _write(f"\n{len(examples)} differ: {writing}, {rules}")
        _write("\n".join(f"    {example}" for example in examples[:_SHOWN]))


if __name__ == "__main__":
    main()
