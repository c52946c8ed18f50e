# SPDX-License-Identifier: MIT
"""The tests read every country's numbers, in every writing, in the phones of every other country."""

from __future__ import annotations

import re
from collections.abc import Iterator

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneNumber, PhoneNumberFormat, PhoneNumberType

from ldapgw.numbers import numbering_plan, phone_number
from ldapgw.numbers.phone_number import NumberFormat
from tests.support.examples import examples as number_of_examples
from tests.support.number import is_found, number_of

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
OUTSIDE_LINES = ("", "0", "9", "00")


def examples() -> Iterator[str]:
    """Yield the example of each type of number of each country in `phonenumbers`."""
    for region in REGIONS:
        for kind in PhoneNumberType.values():
            example = phonenumbers.example_number_for_type(region, kind)
            if example:
                yield phonenumbers.format_number(example, PhoneNumberFormat.E164)


EXAMPLES = sorted(set(examples()))

_ENDS = ("", "0", "12", "2345678", "8123456789", "15223456789")


def without_signs(text: str) -> str:
    return re.sub(r"\D", "", text)


def dialled_abroad(example: PhoneNumber, region: str) -> Iterator[str]:
    """Yield the ways to dial a number from a region, if a single prefix serves everybody."""
    prefix = numbering_plan.dialling(region).international_prefix
    # In Hong Kong, "1" behind "00" may be a carrier or the beginning of a country code. A search tries both, but a
    # stored number can have only one reading.
    if prefix and region != "HK":
        international = phonenumbers.format_number(example, PhoneNumberFormat.INTERNATIONAL)
        yield prefix + without_signs(international)
        yield f"{prefix} {international[1:]}"


def dialled_at_home(example: PhoneNumber, region: str) -> Iterator[str]:
    """Yield the writings of a number in its own country."""
    if phonenumbers.country_code_for_region(region) != example.country_code:
        return
    national = phonenumbers.format_number(example, PhoneNumberFormat.NATIONAL)
    digits = without_signs(national)
    # Short numbers are left out, because the reader takes them for internal numbers: in a country with a trunk 0,
    # fewer than seven digits, or fewer than six with the 0 (some of Kiribati, Iran, the Netherlands and Uruguay).
    # Seven digits on a Caribbean island are left out, because the reader takes them for a number of the island.
    if numbering_plan.dialling(region).is_public(digits) and (len(digits), example.country_code) != (7, 1):
        yield from (national, digits, f"{digits[:3]}/{digits[3:]}", f"{national} ext. 12")


def with_both(example: PhoneNumber) -> Iterator[str]:
    """Yield the writing with country code and trunk prefix, as on letterheads."""
    main = phonenumbers.region_code_for_country_code(example.country_code or 0)
    # Colombia is left out, because mobile numbers with the 0 have as many digits as other numbers without.
    if numbering_plan.dialling(main).has_zero_trunk and main != "CO":
        yield phonenumbers.format_number(example, PhoneNumberFormat.INTERNATIONAL).replace(" ", " (0) ", 1)


def writings(e164: str, region: str) -> list[str]:
    """Return every writing of a number in a region."""
    example = phonenumbers.parse(e164)
    international = phonenumbers.format_number(example, PhoneNumberFormat.INTERNATIONAL)
    return [
        e164,
        international,
        international.replace(" ", "-").replace("-", "\u2011", 1),
        f"\u202a{international}\u202c",
        f"{international} x204",
        f"{international} Durchwahl 3",
        f"{international},,12#",
        f"{international} (office)",
        phonenumbers.format_number(example, PhoneNumberFormat.RFC3966),
        f"tel:{e164};ext=12",
        f"sip:{e164}@pbx.example;user=phone",
        f"<sip:%2B{e164[1:]}@pbx.example:5060>",
        *dialled_abroad(example, region),
        *dialled_at_home(example, region),
        *with_both(example),
    ]


def without_plus(e164: str, region: str) -> list[str]:
    """Return the number without its "+", unless the digits are a local number in the region."""
    as_it_stands = phone_number.parse(e164[1:], region)
    is_local = len(e164[1:]) <= numbering_plan.SHORTEST_PUBLIC and as_it_stands is not None and bool(as_it_stands.e164)
    return [] if is_local else [e164[1:]]


def test_seven_digits_are_a_local_number_before_a_foreign_one() -> None:
    """A short Norwegian number without its "+" is read as a local number in Bermuda, and is found in Germany."""
    norwegian, local = number_of("+4702000", "BM"), number_of("+14414702000", "BM")
    assert is_found(local, "4702000", "BM")
    assert not is_found(norwegian, "4702000", "BM")
    assert is_found(norwegian, "4702000", "DE")


@st.composite
def several(draw: st.DrawFn) -> tuple[str, str, str, str]:
    """Draw a region, an outside line, and two writings of a number there, the second as sent by a PBX."""
    e164 = draw(st.sampled_from(EXAMPLES))
    own = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[phonenumbers.parse(e164).country_code or 0]
    region = draw(
        st.one_of(st.sampled_from(REGIONS), st.sampled_from([one for one in own if one in REGIONS] or REGIONS))
    )
    ways = writings(e164, region)
    outside_line = draw(st.sampled_from(OUTSIDE_LINES))
    example = phonenumbers.parse(e164)
    dialled = [e164, *dialled_abroad(example, region), *dialled_at_home(example, region)]
    sent = [*ways, *(outside_line + one for one in dialled), *without_plus(e164, region)]
    return region, outside_line, draw(st.sampled_from(ways)), draw(st.sampled_from(sent))


@settings(max_examples=number_of_examples(400), deadline=None)
@given(several())
def test_all_writings_of_a_number_are_the_same(case: tuple[str, str, str, str]) -> None:
    """Every writing finds the stored number, also with an outside line or without the "+"."""
    region, outside_line, one, other = case
    assert is_found(number_of(one, region), other, region, outside_line)


@settings(max_examples=number_of_examples(200), deadline=None)
@given(
    st.sampled_from(EXAMPLES), st.sampled_from(REGIONS), st.sampled_from(NumberFormat), st.sampled_from(OUTSIDE_LINES)
)
def test_what_is_written_is_read_back(e164: str, region: str, form: NumberFormat, outside_line: str) -> None:
    """A phone finds a number by the shown text, in any format."""
    stored = number_of(e164, region)
    written = phone_number.format_number(stored, form, region, outside_line)
    assert is_found(stored, written, region, outside_line)


@settings(max_examples=number_of_examples(200), deadline=None)
@given(st.sampled_from(EXAMPLES), st.sampled_from(EXAMPLES), st.sampled_from(REGIONS))
def test_numbers_of_two_countries_are_never_the_same(one: str, other: str, region: str) -> None:
    """Equal ends do not make numbers the same."""
    assert phone_number.is_same_number(number_of(one, region), number_of(other, region)) is (one == other)


@settings(max_examples=number_of_examples(300), deadline=None)
@given(st.sampled_from(EXAMPLES), st.sampled_from(EXAMPLES), st.sampled_from(OUTSIDE_LINES), st.data())
def test_no_writing_is_another_countrys_number(e164: str, abroad: str, outside_line: str, data: st.DataObject) -> None:
    """A dialled number, also with an outside line, does not mean the same digits in another country."""
    example, other = phonenumbers.parse(e164), phonenumbers.parse(abroad)
    regions = [*phonenumbers.COUNTRY_CODE_TO_REGION_CODE[example.country_code or 0], "DE", "US"]
    region = data.draw(st.sampled_from([one for one in regions if one in REGIONS]))
    dialled = [e164, *dialled_abroad(example, region), *dialled_at_home(example, region)]
    readings = phone_number.readings(outside_line + data.draw(st.sampled_from(dialled)), region, outside_line)
    stored = number_of(f"+{other.country_code}{phonenumbers.national_significant_number(example)}", region)
    meant = {reading.e164 for reading in readings}

    assert (
        not phone_number.matches_any_reading(stored, readings)
        or stored.e164 in meant
        or stored.national
        or not stored.e164
    )


# People may store or send few or many digits, with the beginning of a country or any other.
DIGITS = st.one_of(
    st.from_regex(r"(\+|00|0|9|)[0-9]{1,13}", fullmatch=True),
    st.builds(
        lambda region, front, digits: front.format(numbering_plan.dialling(region).country) + digits,
        st.sampled_from(REGIONS),
        st.sampled_from(["+{}", "00{}", "000{}", "+{}0", "{}", "011{}", "0", "9", ""]),
        st.from_regex(r"[0-9]{2,11}", fullmatch=True),
    ),
)


@settings(max_examples=number_of_examples(500), deadline=None)
@given(DIGITS, DIGITS, st.booleans(), st.sampled_from(REGIONS), st.sampled_from(OUTSIDE_LINES))
def test_ends_and_writings_are_never_wrong(one: str, other: str, alike: bool, region: str, outside_line: str) -> None:
    """Any digits that find a number share an end with the number. Exact forms never name another number."""
    stored = number_of(one, region)
    asked = other[: -len(one[-8:])] + one[-8:] if alike else other
    _, exact_forms = phone_number.number_query(asked, region, outside_line)
    assert is_found(stored, asked, region, outside_line) or not {*exact_forms} & {stored.e164, stored.national}


@pytest.mark.parametrize("region", [*REGIONS, "ZZ"])
def test_what_is_dialled_within_a_country_is_what_its_plan_says(region: str) -> None:
    """Only the trunk prefix is removed, and only once."""
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
    pattern = (metadata.national_prefix_for_parsing if metadata else None) or "(?!)"
    fronts = ("", "0", "00", "1", "8", "06", "01", "3411", "44")
    for digits in (front + behind for front in fronts for behind in _ENDS):
        assert numbering_plan.dialling(region).strip_trunk_prefix(digits) == re.sub(f"^(?:{pattern})", "", digits)


@settings(max_examples=number_of_examples(500), deadline=None)
@given(DIGITS, st.sampled_from(REGIONS))
def test_the_short_way_is_the_long_way(digits: str, region: str) -> None:
    """The shortcut for plain numbers gives the same result as the library."""
    bare = digits.removeprefix("+")
    international = digits.startswith("+")

    def e164(parsed: numbering_plan.Parsed | None) -> str:
        full = parsed is not None and numbering_plan.is_possible(parsed) and len(bare) >= numbering_plan.SHORTEST_PUBLIC
        return numbering_plan.e164(parsed) if full and parsed is not None else ""

    assert e164(numbering_plan.read(bare, region, international=international)) == e164(
        numbering_plan.parse(digits, region)
    )


@pytest.mark.long
def test_the_whole_world() -> None:
    """Every writing of each example finds every other writing, at home, in Germany and in the United States."""
    missed: list[tuple[str, str, str]] = []
    for e164 in EXAMPLES:
        own = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[phonenumbers.parse(e164).country_code or 0]
        for region in {*own, "DE", "US"} & set(REGIONS):
            ways = writings(e164, region)
            stored = [number_of(one, region) for one in ways]
            for asked in ways:
                readings = phone_number.readings(asked, region, "0")
                missed += [
                    (region, one, asked)
                    for one, read in zip(ways, stored, strict=True)
                    if not phone_number.matches_any_reading(read, readings)
                ]
    assert missed == []
