# SPDX-License-Identifier: MIT
"""The tests read the texts that people store as telephone numbers, and give the dialled numbers."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ldapgw.numbers import Number, Rule
from ldapgw.numbers.field_text import SplitField, split_field
from ldapgw.numbers.phone_number import NumberFormat, format_number
from ldapgw.numbers.single_number import MOST_DIGITS
from ldapgw.numbers.stored_numbers import is_understood, read
from tests.support import work
from tests.support.checkout import ROOT
from tests.support.examples import examples
from tests.support.number import is_found


def dialled(text: str, region: str = "DE", canonical: str = "") -> str:
    """Return the dialled number for each number of a field, with the extension behind "~"."""
    return " ".join(
        format_number(number, NumberFormat.E164, region) + (number.extension and f"~{number.extension}")
        for number in read(text, region, canonical)
    )


# Each kind has rows of a region, a field, and the dialled numbers.
FIELDS = tomllib.loads((ROOT / "tests/data/stored_numbers.toml").read_text("utf-8"))


@pytest.mark.parametrize(
    ("region", "text", "expected"),
    [pytest.param(*row, id=f"{kind}-{row[0]}-{row[1]}") for kind, rows in FIELDS.items() for row in rows],
)
def test_what_is_dialled(region: str, text: str, expected: str) -> None:
    """A field is read as a network would connect the number, and every form finds the caller."""
    assert dialled(text, region) == expected
    for number in read(text, region):
        assert missed(number, region) == []


def missed(number: Number, region: str) -> list[str]:
    """Return the forms of a stored number that do not find the number, by the index or by comparison."""
    formats = [form for form in NumberFormat if form is not NumberFormat.TYPED]
    asked = [format_number(number, form, region).removeprefix(number.code) for form in formats]
    return [form for form in (*asked, *number.others) if not is_found(number, form, region)]


BOTH = "+49301234567 +491712345678"


@pytest.mark.parametrize(
    "between",
    [
        " / ",
        "/",
        ", ",
        "; ",
        "\n",
        " ::: ",
        ":::",
        " | ",
        " oder ",
        " und ",
        " or ",
        " and ",
        " ou ",
        " e ",
        ",\n",
        " /\n",
    ],
    ids=repr,
)
def test_each_number_of_a_field_is_read(between: str) -> None:
    """Any separator may stand between numbers in any writing."""
    assert dialled(f"030 1234567{between}0171 2345678{between}040 7654321") == f"{BOTH} +49407654321"
    assert dialled(f"030 1234567{between}0171 2345678") == BOTH
    assert dialled(f"+49 30 1234567{between}+49 171 2345678") == BOTH
    assert dialled(f"030/1234567{between}0171/2345678") == BOTH
    assert dialled(f"Tel. 030 1234567{between}mobil 0171 2345678") == BOTH


@pytest.mark.parametrize(
    ("text", "canonical", "expected"),
    [
        ("(415) 555-0100", "+14155550100", "+14155550100"),
        ("(312) 555-0100", "+13125550100", "+13125550100"),
        ("(312) 555-0100", "", "3125550100"),
        ("020 7946 0958", "+442079460958", "+442079460958"),
        ("0044 20 7946 0958", "+442079460958", "+442079460958"),
        ("+999 555", "+999555", "+999555"),
        ("00 999 555", "+999555", "+999555"),
        ("555", "+999555", "555"),
        ("4711", "+494711", "4711"),
        ("7654321", "+497654321", "7654321"),
        ("030 1234567", "+10301234567", "+49301234567"),
        ("030 1234567", "junk", "+49301234567"),
        ("012 3459999", "+431549999", "+49123459999"),
        ("012 3459999", "+43123459999", "+43123459999"),
        ("491705551442", "+49491705551442", "+491705551442"),
        ("49 7755 55156", "+49775555156", "+49775555156"),
        ("1 55 1234 5678", "+525512345678", "+525512345678"),
        ("32 55 50 12", "+4532555012", "+4532555012"),
        ("030 1234567 / 0171 2345678", "+49301234567", BOTH),
        ("030 1234567 ::: 0171 2345678", "+491712345678", BOTH),
        ("030 1234567 / 0171 2345678", "+33142685300", BOTH),
    ],
)
def test_googles_canonical_form_is_a_witness(text: str, canonical: str, expected: str) -> None:
    """A valid form gives the country of the account, and the number is read from the text."""
    assert dialled(text, "DE", canonical) == expected


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("500@hd-telefonie.example", "sip:500@hd-telefonie.example"),
        ("sip:501@hd-telefonie.example", "sip:501@hd-telefonie.example"),
        ("SIPS:501@pbx.example;transport=tls", "sips:501@pbx.example;transport=tls"),
        ("<sip:501@pbx.example>", "sip:501@pbx.example"),
        ("anna@pbx.example", "sip:anna@pbx.example"),
        ("sip: 501@pbx.example", "sip:501@pbx.example"),
        ("SIP 501@pbx.example", "sip:501@pbx.example"),
        ("501 @ pbx.example", "sip:501@pbx.example"),
        ('"Anna" <sip:501@pbx.example>', "sip:501@pbx.example"),
        ("Anna <sips:anna@pbx.example>", "sips:anna@pbx.example"),
        ("501@pbx.example (Büro)", "sip:501@pbx.example"),
        ("sipgate@pbx.example", "sip:sipgate@pbx.example"),
        ("sip:anna.müller@pbx.example:5060", "sip:anna.müller@pbx.example:5060"),
        ("1001@10.0.0.5", "sip:1001@10.0.0.5"),
        ("**621@fritz.box", "sip:**621@fritz.box"),
        ("Büro: 501@pbx.example", "sip:501@pbx.example"),
        ("Anna 2 <sip:501@pbx.example>", "sip:501@pbx.example"),
        ("sip:501:secret@pbx.example", "sip:501@pbx.example"),
        ("sip:%2B49301234567@pbx.example", ""),
        ("sip:+49301234567@pbx.example", ""),
        ("sip:0301234567@pbx.example;user=phone", ""),
        ("+49301234567@pbx.example", ""),
        ("sip:0301234567", ""),
        ("tel:501", ""),
        ("501", ""),
        ("anna", ""),
    ],
)
def test_sip_addresses_are_no_numbers(text: str, uri: str) -> None:
    """A local extension of another PBX stays a SIP address, and is not dialled."""
    assert split_field(text) == (SplitField((uri,), "") if uri else SplitField((), text))


@pytest.mark.parametrize(
    ("text", "uris", "numbers"),
    [
        ("sip:anna@pbx.example, 501@pbx.example; 502@pbx.example;", ["anna", "501", "502"], ""),
        ("sip:anna@pbx.example / bert@pbx.example\nsip:anna@pbx.example", ["anna", "bert"], ""),
        ("sip:anna@pbx.example 030 5550171", ["anna"], "+49305550171"),
        ("030 5550171, sip:501@pbx.example", ["501"], "+49305550171"),
        ("501@pbx.example ::: 030 5550171 ::: 502@pbx.example", ["501", "502"], "+49305550171"),
        ("030 5550171 501@pbx.example 0171 5550171", ["501"], "+49305550171 +491715550171"),
        ("sip:+49301234567@pbx.example / anna@pbx.example", ["anna"], "+49301234567"),
        ("Anna 2 <anna@pbx.example> 205", ["anna"], "205"),
        ("skype:anna501", [], ""),
        ("t.me/anna501", [], ""),
        ("live:anna_5", [], ""),
        ("facetime:anna@icloud.example", [], ""),
        ("iax:500@pbx.example", [], ""),
        ("500%40pbx.example", ["500"], ""),
        ("viber://chat?number=%2B491715550171", [], "+491715550171"),
        ("callto://+49305550171", [], "+49305550171"),
        ("skype:+49305550171?call / xmpp:anna501@pbx.example", [], "+49305550171"),
        ("mailto:anna501@pbx.example", [], ""),
        ("https://meet.example/501-502-503 030 5550171", [], "+49305550171"),
        ("https://wa.me/491715550171", [], "+491715550171"),
    ],
)
def test_addresses_stand_beside_numbers(text: str, uris: list[str], numbers: str) -> None:
    """Links and names at messengers are no numbers, except for names that are numbers."""
    assert split_field(text).sip_addresses == tuple(f"sip:{user}@pbx.example" for user in uris)
    assert dialled(text) == numbers


@pytest.mark.parametrize(
    ("text", "region", "dialled_first", "caller"),
    [
        ("4533923392", "DE", "+494533923392", "+4533923392"),
        ("4722249090", "DE", "+494722249090", "+4722249090"),
        ("3612345678", "AT", "+433612345678", "+3612345678"),
        ("436641234567", "DE", "+436641234567", "+49436641234567"),
    ],
)
def test_both_readings_find_the_contact(text: str, region: str, dialled_first: str, caller: str) -> None:
    """The likelier reading is dialled, and the other reading finds the contact too.

    American numbers get no reading abroad.
    """
    [number] = read(text, region)
    assert number.e164 == dialled_first
    assert is_found(number, caller, region)
    assert all(form[:3] != "+41" for american in read("4155550123", "US") for form in american.others)


@pytest.mark.parametrize(
    ("text", "region", "caller"),
    [
        ("01/534 36 DW 45", "AT", "015343645"),
        ("01/534 36-0 DW 45", "AT", "+4315343645"),
        ("+49 7736 5559-0, Durchwahl 123", "DE", "+4977365559123"),
        ("07736 5559 Nebenstelle 123", "DE", "077365559123"),
        ("0711 55590 DW 12", "DE", "07115559012"),
    ],
)
def test_an_extension_that_is_dialled_directly_is_recognized(text: str, region: str, caller: str) -> None:
    """The caller's number includes the extension. In North America, no caller's number includes an extension."""
    [number] = read(text, region)
    assert is_found(number, caller, region)
    assert all(form[-2:] != "12" for american in read("212-555-0145 DW 12", "US") for form in american.others)


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("030 5550171", ""),
        ("+49 (0)30 5550171", ""),
        ("491705551442", "plus"),
        ("030 5550171 / 0171 5550171", "several | several"),
        ("030 55501-80/81", "several | several other_ending"),
        ("030 5550171 / 5550172", "several | several same_area"),
        ("030 5550171,,12#", "afterwards"),
        ("030 5550171, 8-17 Uhr", "remark"),
        ("*31#030 5550171,,12#", "code afterwards"),
        ("+030 5550171", "no_plus"),
        ("011 44 20 7946 0991", "foreign_prefix"),
        ("+48 071 373 01 01", "trunk_zero"),
        ("+52 044 55 1234 5678", "former_prefix"),
        ("+39 6 94805123", "zero"),
        ("+49 0049 170 5551442", "repeated_code"),
        ("+49 0049 30 901820", "repeated_code"),
        ("+49 +49 30 901820", "repeated_code"),
        ("+49 116117", "short"),
        ("+55 31 9555-6911", "renumbered"),
    ],
)
def test_the_rules_of_a_number_are_kept(text: str, rules: str) -> None:
    assert " | ".join(" ".join(number.rules) for number in read(text, "DE")) == rules


def test_the_country_of_the_account_is_a_rule() -> None:
    assert [number.rules for number in read("(415) 555-0100", "DE", "+14155550100")] == [(Rule.GOOGLE,)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("030 5550171", True),
        ("0171 55501710172", False),
        ("204", True),
        ("5550171", True),
        ("*100#", True),
        ("+49 116117", True),
        ("+999 123456789", False),
        ("+49 204", False),
        ("99999999999", False),
        ("00 999 123456", False),
    ],
)
def test_numbers_that_no_network_may_connect_are_not_understood(text: str, expected: bool) -> None:
    [number] = read(text, "DE")
    assert is_understood(number) is expected


FORMATS = {
    "*31#0171 5550191": ["*31#" + form for form in ("+491715550191", "+49 171 5550191", "0171 5550191")]
    + ["*31#0171 5550191", "*31#001715550191"],
    "+49 116117": [*["116117"] * 4, "0116117"],
    "491705551442": ["+491705551442", "+49 170 5551442", "0170 5551442", "0170 5551442", "001705551442"],
    "030 5550171,,12#": ["+49305550171", "+49 30 5550171", "030 5550171", "030 5550171", "00305550171"],
    "+57 1 5552400": ["+576015552400", "+57 601 5552400", "+57 601 5552400", "+57 601 5552400", "000576015552400"],
}  # fmt: skip


@pytest.mark.parametrize("text", FORMATS)
def test_formats_write_what_is_dialled(text: str) -> None:
    """Each format keeps the code in front. The format "typed" keeps the text if the text connects."""
    [number] = read(text, "DE")
    assert [format_number(number, form, "DE", "0") for form in NumberFormat] == FORMATS[text]


# Each region has two numbers in the writings of the region and abroad.
PAIRS = {
    "DE": ("030 901820", "0171 5550172", "+49 30 901821", "+49 (0)171/5550172", "0171/5550171"),
    "AT": ("01 5550171", "+43 664 1234567"),
    "CH": ("044 555 01 23", "+41 79 555 01 24"),
    "FR": ("01 43 29 55 55", "+33 6 12 34 56 78"),
    "GB": ("020 7946 0958", "+44 7400 123456"),
    "IT": ("06 55507129", "+39 347 1234567"),
    "ES": ("912 34 56 78", "+34 612 34 56 78"),
    "PL": ("71 373 01 01", "+48 601 555 208"),
    "US": ("(212) 555-0123", "+1 415 555 0100"),
    "BR": ("(11) 2345-6789", "+55 11 98123-4567"),
    "JP": ("03-5555-0171", "+81 90 1234 5678"),
    "CN": ("010 5555 0171", "+86 138 1234 5678"),
    "AU": ("(03) 5550 0171", "+61 412 345 678"),
    "RU": ("8 495 123-45-67", "+7 912 345 67 89"),
}


@settings(max_examples=examples(300), deadline=None)
@given(
    st.sampled_from([(region, one, other) for region, pair in PAIRS.items() for one in pair for other in pair]),
    st.sampled_from(["\n", " / ", "/", ", ", "; ", " | ", " oder ", " ::: ", "  ", " "]),
)
def test_two_numbers_are_read_as_two(pair: tuple[str, str, str], between: str) -> None:
    """The separator does not matter, and a number that is stored twice is one number."""
    region, one, other = pair
    assert dialled(f"{one}{between}{other}", region).split() == dialled(f"{one}\n{other}", region).split()


@settings(max_examples=examples(300), deadline=None)
@given(
    st.text(alphabet="0123456789+/,;:|\n oder()-x*#pw", max_size=60) | st.text(max_size=40),
    st.sampled_from(["DE", "US", "IT", "AR", "BR", "PL", "GB", "MX", "RU", "FR", "JP", "AU", "CN"]),
)
@example("010000d*", "DE")
@example("01:00000*", "DE")
@example("*0120e000000", "DE")
@example("0171 55501710172", "DE")
def test_all_that_is_dialled_is_found(text: str, region: str) -> None:
    """Reading raises no error, a dialled number has at most 15 digits, and each form finds the number."""
    for number in read(text, region):
        value = format_number(number, NumberFormat.E164, region).removeprefix(number.code)
        assert 1 <= sum(map(str.isdigit, value)) <= MOST_DIGITS
        assert missed(number, region) == []


@pytest.mark.parametrize(
    "text",
    ["0301234567/", "/", "12345678, ", "1 ::: ", "030 1234567 e ", "0301234/567 / ", "1 2 ", "030 1234567 0", "(0x"],
    ids=repr,
)
def test_a_long_field_costs_little(text: str) -> None:
    """Few of many possible ends of numbers are looked at."""
    read(text * 3, "DE")  # the first call compiles patterns
    assert work.calls(lambda: read(text * 100, "DE")) < 40_000
    assert work.calls(lambda: split_field(text * 10_000)) < 3_000
