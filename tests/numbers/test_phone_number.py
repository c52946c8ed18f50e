# SPDX-License-Identifier: MIT
"""The tests read telephone numbers as typed, compare them by meaning, and write them for dialling."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.numbers import dial_string, numbering_plan, phone_number
from ldapgw.numbers.phone_number import NumberFormat
from tests.support import work
from tests.support.examples import examples
from tests.support.number import is_found, number_of

# People and telephone systems type such texts, and the strategy adds a little of everything else.
TYPED = st.one_of(
    st.text(alphabet="0123456789+*#()-/ .x;,ext=tel:sip@A\u0663\u202a", max_size=80),
    st.text(max_size=40),
    st.from_regex(r"\+?[0-9]{1,16}", fullmatch=True),
)


@pytest.mark.parametrize(
    ("typed", "e164", "national", "digits", "extension"),
    [
        ("+49 (0)30 1234567", "+49301234567", "0301234567", "490301234567", ""),
        ("+49 (030) 7654321", "+49307654321", "0307654321", "490307654321", ""),
        ("0049 30 1234567", "+49301234567", "0301234567", "0049301234567", ""),
        ("(030) 123 45-67", "+49301234567", "0301234567", "0301234567", ""),
        ("30 1234567", "+49301234567", "0301234567", "301234567", ""),
        ("\u202a+49 30 6677889\u202c", "+49306677889", "0306677889", "49306677889", ""),
        ("٠٣٠١٢٣٤٥٦٧", "+49301234567", "0301234567", "0301234567", ""),
        ("０３０ １２３４５６７", "+49301234567", "0301234567", "0301234567", ""),
        ("Tel. 030 1234567", "+49301234567", "0301234567", "0301234567", ""),
        ("030 1234567 (privat)", "+49301234567", "0301234567", "0301234567", ""),
        ("+49301234567 or 0171 2345678", "+49301234567", "0301234567", "49301234567", ""),
        ("*31#0301234567", "+49301234567", "0301234567", "0301234567", ""),
        ("tel:+49-30-1234567;ext=12", "+49301234567", "0301234567", "49301234567", "12"),
        ("sip:+49301234567@pbx.example;user=phone", "+49301234567", "0301234567", "49301234567", ""),
        ("+1 415-555-0123 x204", "+14155550123", "", "14155550123", "204"),
        ("030 1234567 DW 12", "+49301234567", "0301234567", "0301234567", "12"),
        ("030 1234567 Durchwahl 3", "+49301234567", "0301234567", "0301234567", "3"),
        ("030/1234567,,12#", "+49301234567", "0301234567", "0301234567", "12"),
        ("0301234*12", "+49301234", "0301234", "0301234", "12"),
        ("112A", "", "", "1122", ""),
        ("+1-800-FLOWERS", "+18003569377", "", "18003569377", ""),
        ("0800 FLOWERS", "+498003569377", "08003569377", "08003569377", ""),
        ("+39 06 6982 1234", "+390669821234", "", "390669821234", ""),
        ("112", "", "", "112", ""),
        ("204", "", "", "204", ""),
        ("1234567", "", "", "1234567", ""),
        ("7654321", "", "", "7654321", ""),
        ("1-800-FLOWERS", "+18003569377", "", "18003569377", ""),
        ("001-800-FLOWERS", "+18003569377", "", "0018003569377", ""),
        ("0800flowers", "+498003569377", "08003569377", "08003569377", ""),
        ("204 (Empfang)", "", "", "204", ""),
        ("204 Empfang", "", "", "204", ""),
        ("+49 30 1234567, Zentrale", "+49301234567", "0301234567", "49301234567", ""),
        ("030 1234567 Nebenstelle 4", "+49301234567", "0301234567", "0301234567", "4"),
        ("030 1234567 DW12", "+49301234567", "0301234567", "0301234567", "12"),
        ("0+49 30 1234567", "", "", "049301234567", ""),
        ("tel:1234567;phone-context=+4930", "+49301234567", "0301234567", "49301234567", ""),
        ("sip:0301234567;phone-context=+49@pbx.example", "+49301234567", "0301234567", "490301234567", ""),
        ("tel:204;phone-context=pbx.example", "", "", "204", ""),
        ("<sip:%2B49301234567@pbx.example:5060>", "+49301234567", "0301234567", "49301234567", ""),
        ('"Müller" <sip:0301234567@x>', "+49301234567", "0301234567", "0301234567", ""),
        ('"2. Stock" <sips:+49301234567@x;user=phone>;tag=1', "+49301234567", "0301234567", "49301234567", ""),
        ('"a<b" <tel:204>', "", "", "204", ""),
        ("Müller <030 1234567>", "+49301234567", "0301234567", "0301234567", ""),
        ("030 1234567 <privat>", "+49301234567", "0301234567", "0301234567", ""),
        ("sips:+49301234567;ext=12@pbx.example", "+49301234567", "0301234567", "49301234567", "12"),
        ("+49301234567@pbx.example", "+49301234567", "0301234567", "49301234567", ""),
        ("*100#", "", "", "*100#", ""),
        ("sip:205@pbx.example", "", "", "205", ""),
        ("+999 123456789", "", "", "999123456789", ""),
        ("12345678901234567890", "", "", "12345678901234567890", ""),
    ],
)
def test_numbers_are_read_as_typed(typed: str, e164: str, national: str, digits: str, extension: str) -> None:
    """The rows are awkward numbers in a German tenant, in every form for comparison."""
    read = number_of(typed)
    assert read.typed == dial_string.clean(typed)
    assert (read.e164, read.national, read.digits, read.extension) == (e164, national, digits, extension)
    assert read.code == ("*31#" if typed.startswith("*31#") else "")


@pytest.mark.parametrize(
    "word",
    [
        *("ext", "ext.", "Ext:", "extn", "extension", "Extension", "EXTENSION", "extensión", "extensio\u0301n", "x"),
        *("anexo", "int", "int.", "Int. ", "interno", "tel. int.", "poste", "Durchwahl", "Durchw.", "DW", "-DW", "DW:"),
        *("Nebenstelle", "Nst.", "Apparat", "App.", "Klappe", "Kl.", "toestel", "wew.", "linka", "доб", "доб."),
        *("xtn", "#", "~", ",,"),
    ],
)
def test_words_for_an_extension_are_not_dialled(word: str) -> None:
    """The dialled number ends before the word, behind internal, local and public numbers."""
    typed = [f"{one} {word} 7" for one in ("204", "5550123", "030 1234567", "+49 30 1234567")]
    read = [phone_number.parse(one, "DE") for one in (*typed, f"030 1234567{word}12")]

    assert [(one.e164, one.digits, one.extension) for one in read if one] == [
        ("", "204", "7"),
        ("", "5550123", "7"),
        ("+49301234567", "0301234567", "7"),
        ("+49301234567", "49301234567", "7"),
        ("+49301234567", "0301234567", "12"),
    ]


@pytest.mark.parametrize("typed", ["", " ", "+", "Büro", "*#", "\u200b", "0" * 65], ids=repr)
def test_texts_without_a_number_are_none(typed: str) -> None:
    """A text without a digit to dial, or a text that is far too long, is no number."""
    assert phone_number.parse(typed, "DE") is None
    assert phone_number.readings(typed, "DE") == ()


@pytest.mark.parametrize(
    ("asked", "outside_line", "e164s"),
    [
        ("00301234567", "0", ["", "+49301234567"]),
        ("00033142685300", "0", ["", "+33142685300"]),
        ("33142685300", "", ["+4933142685300", "+33142685300"]),
        ("90301234567", "9", ["", "+49301234567"]),
        ("0112", "0", [""]),
        ("+49301234567", "4", ["+49301234567"]),
        ("(+49) 30 1234567", "4", ["+49301234567"]),
        ("0+49301234567", "0", ["", "+49301234567"]),
        ("9+49301234567", "9", ["", "+49301234567"]),
        ("00049301234567", "0", ["", "+49301234567"]),
        ("(030) 123 45-67", "0", ["+49301234567", "+49301234567"]),
        ("1-800-FLOWERS", "", ["+18003569377"]),
        ("01-800-FLOWERS", "0", ["+4918003569377", "+18003569377"]),
        ("204", "2", [""]),
        ("+999555", "", ["", "+999555"]),
        ("2 Müller", "", []),
        ("2b", "", []),
        ("foo 0301234567", "", []),
        ('"Müller" <sip:0301234567@x>', "", ["+49301234567"]),
        ('"Müller" <sip:anonymous@x>', "", []),
        ("sip:alice@example.org", "", []),
    ],
)
def test_readings_undo_what_a_pbx_adds(asked: str, outside_line: str, e164s: list[str]) -> None:
    """Readings remove an outside line and restore a lost "+". A word in front of the digits gives no reading."""
    assert [reading.e164 for reading in phone_number.readings(asked, "DE", outside_line)] == e164s


@settings(max_examples=examples(200), deadline=None)
@given(TYPED, TYPED, st.sampled_from(["DE", "US", "GB", "IT"]), st.sampled_from(["", "0", "9"]))
def test_sameness_is_reflexive_and_symmetric(first: str, second: str, region: str, outside_line: str) -> None:
    """The tails of a search never rule out a number that is the same."""
    a, b = phone_number.parse(first, region), phone_number.parse(second, region)
    if a is not None:
        assert phone_number.is_same_number(a, a)
    for one in phone_number.readings(first, region, outside_line):
        for other in (b, *phone_number.readings(second, region, outside_line)):
            if other is not None:
                assert phone_number.is_same_number(one, other) == phone_number.is_same_number(other, one)
                asked = phone_number.number_query(first, region, outside_line)[0]
                assert not phone_number.is_same_number(one, other) or set(asked) & set(phone_number.stored_tails(other))


@pytest.mark.parametrize(
    ("stored", "asked", "expected"),
    [
        ("+49301234567", "+43301234567", False),
        ("+49301234567", "1234567", True),
        ("1234567", "+49301234567", True),
        ("204", "+4930204", False),
        ("112", "112", True),
        ("112", "+49301234112", False),
        ("000", "00", False),
        ("+14155550123 x204", "+14155550123", True),
    ],
)
def test_ends_count_where_a_country_is_not_known(stored: str, asked: str, expected: bool) -> None:
    """Seven equal digits are enough if the country of a side is unknown. Short numbers match exactly."""
    assert phone_number.is_same_number(number_of(stored), number_of(asked)) is expected


@pytest.mark.parametrize(
    ("stored", "asked", "expected"),
    [
        ("059133", "+4359133", True),
        ("+4359133", "059133", True),
        ("+43 59 133", "0059133", True),
        ("059133", "0004359133", True),
        ("059133", "+4959133", False),
        ("059133", "59133", False),
        ("021234", "+4321234", False),
        ("05913", "+435913", False),
    ],
)
def test_six_digits_behind_a_trunk_prefix_may_be_public(stored: str, asked: str, expected: bool) -> None:
    """The numbering plan has given out such numbers, for example to the Austrian police.

    Other short numbers are internal.
    """
    assert is_found(number_of(stored, "AT"), asked, "AT", "0") is expected


@pytest.mark.parametrize(
    ("text", "outside_line", "forms"),
    [
        ("030", "0", ("030", "30")),
        ("0049 30", "", ("004930", "+4930")),
        ("+49 30", "0", ("+4930",)),
        ("00049 30", "0", ("0004930", "004930", "+4930")),
        ("tel:+49 30", "", ("+4930",)),
        ("(+49) 30", "", ("+4930",)),
        ("> +49 30", "", ("+4930",)),
        ("+49 (0)30", "", ("+49030", "+4930")),
        ("0049 (0)30", "", ("0049030", "004930", "+49030", "+4930")),
        ("0+49 30", "0", ("04930", "+4930")),
        ("00", "", ("00", "+")),
        ("4930", "", ("4930",)),
        ("4930123456", "", ("4930123456", "+4930123456", "+494930123456")),
        ("30 123 45 67", "", ("301234567", "+49301234567")),
        ("30 123 45 6", "", ("30123456",)),
        ("sip:030@pbx.example", "", ("030",)),
        ("*31#0301234567", "", ("0301234567",)),
        ("#31# +49 30 1234567", "", ("+49301234567",)),
        ("*31#030", "", ("*31#030",)),
        ("*31#00301234567", "0", ("00301234567", "0301234567", "+301234567")),
        ("mull", "", ()),
        ("-", "", ()),
    ],
)
def test_beginnings(text: str, outside_line: str, forms: tuple[str, ...]) -> None:
    """A beginning is national, international by 00 or "+", or behind the outside line. Letters begin no number."""
    assert phone_number.prefix_forms(text, "DE", outside_line) == forms
    assert phone_number.prefix_forms("0049 30", "ZZ") == ("004930",)


@pytest.mark.parametrize(
    ("text", "region", "outside_line", "forms"),
    [
        ("1 (212) 55", "US", "9", ("121255", "+121255")),
        ("9-1-212", "US", "9", ("91212", "1212", "+1212")),
        ("12", "US", "", ("12",)),
        ("0", "CN", "", ("0",)),
        ("003", "BR", "", ("003",)),
        ("12125550199", "US", "", ("12125550199", "+12125550199")),
        ("212555", "US", "", ("212555",)),
        ("011 49 30", "US", "", ("0114930", "+4930")),
        ("011 9876", "BR", "", ("0119876", "+55119876")),
        ("0131 23", "CN", "", ("013123", "+8613123")),
        ("0086 131", "CN", "", ("0086131", "+86131")),
        ("0055 11 9", "BR", "", ("0055119", "+119", "+55119")),
        ("001 212", "US", "", ("001212", "+1212")),
        ("0049 30", "US", "", ("004930",)),
        ("8 495", "RU", "", ("8495",)),
    ],
)
def test_a_beginning_with_a_trunk_prefix_finds_numbers_that_are_written_without_this_prefix(
    text: str, region: str, outside_line: str, forms: tuple[str, ...]
) -> None:
    """North Americans dial a 1 that no national form has. German and Russian forms have the trunk prefix."""
    assert phone_number.prefix_forms(text, region, outside_line) == forms


@pytest.mark.parametrize(
    ("text", "region", "area_code", "forms"),
    [
        ("5550171", "DE", "30", ("5550171", "+49305550171")),
        ("555 01", "DE", "30", ("55501", "+493055501")),
        ("5550", "DE", "30", ("5550",)),
        ("0711555", "DE", "30", ("0711555",)),
        ("03055501", "DE", "30", ("03055501", "55501")),
        ("+493055501", "DE", "30", ("+493055501", "55501")),
        ("0305550", "DE", "30", ("0305550",)),
        ("5550123", "US", "212", ("5550123", "+12125550123")),
    ],
)
def test_beginnings_at_a_site(text: str, region: str, area_code: str, forms: tuple[str, ...]) -> None:
    """Local digits are also the beginning of a number with the site's area code. Few digits are internal."""
    assert phone_number.prefix_forms(text, region, "", area_code) == forms


@pytest.mark.parametrize(
    ("stored", "asked", "outside_line", "expected"),
    [
        ("+43301234567", "0301234567", "0", False),
        ("+43301234567", "00301234567", "0", False),
        ("+33142685300", "0142685300", "0", False),
        ("+49301234567", "01234567", "0", True),
        ("+43301234567", "01234567", "0", False),
        ("00301234567", "00301234567", "0", True),
        ("00301234567", "+49301234567", "0", True),
        ("90301234567", "+49301234567", "9", True),
        ("90301234567", "0301234567", "9", True),
        ("+912015550123", "9+12015550123", "9", False),
        ("+49301234567", "0+49301234567", "0", True),
        ("+49301234567", "000049301234567", "0", True),
        ("116117", "0116117", "0", True),
        ("116117", "0116116", "0", False),
        ("115", "0115", "0", False),
        ("+999555", "+999555", "", True),
        ("+49301234567", "mull", "", False),
    ],
)
def test_a_number_is_meant_in_one_country(stored: str, asked: str, outside_line: str, expected: bool) -> None:
    """An outside line may stand before any writing. The rest is no end of a number abroad."""
    assert is_found(number_of(stored), asked, "DE", outside_line) is expected


@pytest.mark.parametrize(
    ("asked", "tails", "writings"),
    [
        ("+49301234567", ("1234567",), {"+49301234567"}),
        ("030 1234567", ("1234567",), {"0301234567", "301234567"}),
        ("00301234567", ("1234567",), {"+301234567", "0301234567"}),
        ("0049301234567", ("1234567",), {"+49301234567", "049301234567"}),
        ("204", ("204",), set()),
        ("030 1234", ("9301234", "0301234"), {"0301234"}),
        ("x", (), set()),
        ("-", (), set()),
    ],
)
def test_what_can_be_told_without_reading(asked: str, tails: tuple[str, ...], writings: set[str]) -> None:
    """A search needs the tail to find candidates, and the exact forms to confirm them."""
    found, exact_forms = phone_number.number_query(asked, "DE", "0")

    assert (found, {*exact_forms}) == (tails, writings)


@pytest.mark.parametrize(
    ("typed", "region", "written"),
    [
        ("0301234567", "DE", ("+49301234567", "+49 30 1234567", "030 1234567", "0301234567", "00301234567")),
        ("+41446681800", "DE", ("+41446681800", *["+41 44 668 18 00"] * 2, "+41446681800", "00041446681800")),
        ("204", "DE", ("204", "204", "204", "204", "204")),
        ("1234567", "DE", (*["1234567"] * 4, "01234567")),
        ("0012", "DE", ("0012",) * 5),
        ("+999 123456789", "DE", (*["+999123456789"] * 3, "+999 123456789", "+999123456789")),
        ("+4930123", "DE", ("+4930123", "+49 30 123", "030 123", "+4930123", "0030123")),
        ("+4921234", "DE", ("+4921234", *["+49 21234"] * 2, "+4921234", "0004921234")),
        ("+49301234567", "ZZ", ("+49301234567", "+49 30 1234567", "+49 30 1234567", "+49301234567", "0+49301234567")),
        ("+49301234567", "US", ("+49301234567", "+49 30 1234567", "+49 30 1234567", "+49301234567", "001149301234567")),
    ],
)  # fmt: skip
def test_numbers_are_written_as_the_tenant_wants(typed: str, region: str, written: tuple[str, ...]) -> None:
    """The rows have the five forms of `number_format`. The form "dial" has the outside line in front."""
    read = number_of(typed)
    assert tuple(phone_number.format_number(read, form, region, "0") for form in NumberFormat) == written


@pytest.mark.parametrize(
    ("typed", "region", "outside_line", "written"),
    [
        ("1234567", "DE", "9", "91234567"),
        ("9234567", "DE", "9", "9234567"),
        ("9234567", "DE", "", "9234567"),
        ("+9727457913", "IL", "9", "907457913"),
        ("116117", "DE", "0", "0116117"),
        ("116117", "US", "9", "116117"),
        ("115", "DE", "0", "115"),
    ],
    ids=[
        "local",
        "with the outside line",
        "no outside line",
        "in no format of its plan",
        "of social value",
        "of no social value here",
        "perhaps internal",
    ],
)
def test_numbers_are_dialled_at_home(typed: str, region: str, outside_line: str, written: str) -> None:
    """An outside line is dialled once. The trunk prefix is dialled even if the plan has no format for a number."""
    read = number_of(typed, region)
    assert phone_number.format_number(read, NumberFormat.DIAL, region, outside_line) == written


@pytest.mark.parametrize(
    ("stored", "asked", "expected"),
    [
        ("12345", "030 12345", True),
        ("123456", "+49 30 123456", True),
        ("12345", "040 12345", False),
        ("1234", "030 1234", False),
        ("+49 30 12345", "12345", True),
        ("+49 30 1234", "1234", False),
    ],
)
def test_neighbours_need_no_area_code(stored: str, asked: str, expected: bool) -> None:
    """A local number of the site's area has at least five digits. Fewer digits are an internal number."""
    assert is_found(number_of(stored), asked, area_code="30") is expected


@pytest.mark.parametrize(
    ("typed", "region", "expected"),
    [
        ("30 1234567", "DE", True),
        ("030 1234567", "DE", False),
        ("+49 30 1234567", "DE", False),
        ("119 49 30 1234567", "CU", False),
        ("202 555 0142", "US", False),
    ],
)
def test_region_that_was_assumed(typed: str, region: str, expected: bool) -> None:
    """The region is assumed without a "+", a prefix for calls abroad, or a trunk prefix "0"."""
    assert phone_number.has_assumed_region(number_of(typed, region), region) is expected


def test_a_number_does_not_show_in_its_repr() -> None:
    """A repr may get into a log."""
    assert [repr(phone_number.parse(text, "DE")) for text in ("0301234567", "204")] == [
        "<Number public, 10 digits>",
        "<Number internal, 3 digits>",
    ]


@pytest.mark.parametrize(
    "sign",
    ["1", "a", "1a", "+", "0+", "\u0663", "\u200b", "(", " ", "\ufdfa", "x1;ext=", ";phone-context=+1"],
    ids=ascii,
)
def test_a_megabyte_costs_nothing(sign: str) -> None:
    """Reading a hostile megabyte looks at the beginning only, and keeps no more."""
    text = sign * (1_000_000 // len(sign))

    def read_all() -> None:
        phone_number.parse(text, "DE")
        phone_number.readings(text, "DE", "0")
        phone_number.number_query(text, "DE", "0")[0]
        phone_number.prefix_forms(text, "DE", "0")
        dial_string.dial_text(text)

    assert work.calls(read_all) < 10_000
    assert work.peak(read_all) < 100_000


def test_known_regions() -> None:
    """A region is known by its code in capital letters."""
    assert [numbering_plan.known_region(region) for region in ("DE", "ZZ", "de")] == [True, False, False]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("+4917604069007", "+49 176 04069007"),
        ("+12025550142", "+1 202-555-0142"),
        ("+390612345678", "+39 06 1234 5678"),
        ("+999123", "+999123"),
        ("0301234567", "0301234567"),
        ("501", "501"),
        ("<b>", "<b>"),
        ("", ""),
    ],
)
def test_a_readable_number(number: str, text: str) -> None:
    """A number in E.164 is written in groups. Any other text stays unchanged."""
    assert phone_number.readable(number) == text
