# SPDX-License-Identifier: MIT
"""Several telephone numbers in one field."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.google.person import read_numbers
from ldapgw.numbers import phone_number
from tests import work

BOTH = ("+49301234567", "+491712345678")


def read(text: str, canonical: str = "", region: str = "DE") -> tuple[str, ...]:
    return tuple(one.e164 or one.digits for one in read_numbers(text, region, canonical))


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
def test_each_number_of_a_field_is_one(between: str) -> None:
    """Whatever stands between two, in whatever writing they are, and before one more."""
    if between not in (",\n", " /\n"):
        assert read(f"030 1234567{between}0171 2345678{between}040 7654321") == (*BOTH, "+49407654321")
    assert read(f"030 1234567{between}0171 2345678") == BOTH
    assert read(f"+49 30 1234567{between}+49 171 2345678") == BOTH
    assert read(f"030/1234567{between}0171/2345678") == BOTH
    assert read(f"Tel. 030 1234567{between}mobil 0171 2345678") == BOTH


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("030/1234567", ("+49301234567",)),
        ("030 / 123 / 4567", ("+49301234567",)),
        ("+49 (0)30 / 12345678", ("+493012345678",)),
        ("030 1234567 / 68", ("+4930123456768",)),
        ("030 1234567 ext. 12, Zentrale", ("+49301234567",)),
        ("030 1234567,,12#", ("+49301234567",)),
        ("+49301234567;ext=12", ("+49301234567",)),
        ("+49301234567 or ask me", ("+49301234567",)),
        ("ask me, 030 1234567", ("+49301234567",)),
        ("030 1234567 / 7654321", ("+49301234567", "7654321")),
        ("1234567 / 7654321", ("1234567", "7654321")),
        ("+1 415 555 0123 / 0124", ("+14155550123",)),
        ("204, 030 1234567", ("204", "+49301234567")),
        ("204 ::: 205", ("204", "205")),
        ("030 1234567 :::  ::: privat", ("+49301234567",)),
        ("204, 205", ("204",)),
        ("204/205", ("204205",)),
        ("12345678901234567890", ("12345678901234567890",)),
        ("030 1234567 / 0171 2345678 (nur abends nach 18 Uhr, und bitte nicht am Sonntag)", BOTH),
        ("ask me", ()),
        ("", ()),
    ],
    ids=repr,
)
def test_a_field_is_parted_only_between_numbers(text: str, found: tuple[str, ...]) -> None:
    """A slash behind an area code, an extension and a remark part nothing; what is no number is left out."""
    assert read(text) == found


def test_googles_canonical_form_is_of_one_number() -> None:
    """Google has read the field as one, and knows its country."""
    assert read("030 1234567 / 0171 2345678", "+49301234567") == ("+49301234567",)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="0123456789+/,;:|\n oder()-x", max_size=80) | st.text(max_size=40))
def test_what_is_found_can_be_dialled(text: str) -> None:
    """Nothing raises, and each number is read as itself again."""
    for one in read_numbers(text, "DE"):
        assert phone_number.parse(one.typed, "DE") == one


@pytest.mark.parametrize(
    "text", ["0301234567/", "/", "12345678, ", "1 ::: ", "030 1234567 e ", "0301234/567 / "], ids=repr
)
def test_a_long_field_costs_little(text: str) -> None:
    """However many places there are at which a number may end, few are looked at."""
    assert work.calls(lambda: read_numbers(text * 100, "DE")) < 30_000
