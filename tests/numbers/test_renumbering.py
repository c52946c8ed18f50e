# SPDX-License-Identifier: MIT
"""The tests cover former and present forms of numbers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.numbers import renumbering
from tests.support.examples import examples
from tests.support.number import number_of

# The former form no longer connects, so the gateway dials the present form.
FORMER = [
    ("+5215512345678", "+525512345678"),
    ("+551181234567", "+5511981234567"),
    ("+559961234567", "+5599961234567"),
    ("+22997123456", "+2290197123456"),
    ("+841201234567", "+84701234567"),
    ("+841691234567", "+84391234567"),
    ("+841991234567", "+84591234567"),
    ("+84438234567", "+842438234567"),
    ("+5715552400", "+576015552400"),
    ("+5785552400", "+576085552400"),
    ("+23722234567", "+237222234567"),
    ("+23733421234", "+237233421234"),
    ("+23795123456", "+237695123456"),
    ("+23755123456", "+237655123456"),
    ("+5622345678", "+56222345678"),
    ("+5655234567", "+56552234567"),
    ("+5632234567", "+56322234567"),
    ("+22501020304", "+2250101020304"),
    ("+22544123456", "+2250544123456"),
    ("+22507080911", "+2250707080911"),
    ("+22520823456", "+2252120823456"),
    ("+22536012345", "+2252536012345"),
    ("+22520304050", "+2252720304050"),
    ("+24101761234", "+24111761234"),
    ("+24106123456", "+24166123456"),
    ("+2417123456", "+24177123456"),
    ("+23412270000", "+2342012270000"),
    ("+23482123456", "+2342082123456"),
    ("+21222255070", "+212522255070"),
    ("+21261234567", "+212661234567"),
]
# Both forms are in use.
EITHER = [
    ("+541123456789", "+5491123456789"),
    ("+542966123456", "+5492966123456"),
    ("+551178123456", "+5511978123456"),
    ("+3780549882345", "+390549882345"),
]


@pytest.mark.parametrize(("former", "present"), FORMER + EITHER)
def test_numbers_with_two_forms(former: str, present: str) -> None:
    """Each form leads to the other form, and only a former form is replaced."""
    assert present in renumbering.other_forms(former)
    assert former in renumbering.other_forms(present)
    assert renumbering.present_forms(former) == ((present,) if (former, present) in FORMER else ())
    assert renumbering.present_forms(present) == ()
    if (former, present) in EITHER:
        assert renumbering.key(former) == renumbering.key(present) == former
    else:
        assert (renumbering.key(former), renumbering.key(present)) == (former, present)


@pytest.mark.parametrize(("former", "present"), FORMER + EITHER)
def test_both_forms_are_signalled(former: str, present: str) -> None:
    """A caller in either form, in E.164 or behind the prefix for calls abroad, is read in this form."""
    for text in (former, present, "00" + former[1:], "00" + present[1:]):
        assert number_of(text).e164 == "+" + text.lstrip("+0")


@pytest.mark.parametrize(
    "number",
    [
        *("+5211234567890", "+52155123456", "+52551234567", "+549912345678", "+54911234567890", "+541412345678"),
        *("+551131234567", "+5511931234567", "+551081234567", "+5511881234567", "+22917123456", "+2290117123456"),
        *("+841301234567", "+84711234567", "+8470123456", "+49301234567", "+1", "", "0301234567"),
        *("+573005550100", "+56987654321", "+22598123", "+22520123456", "+2348021234567", "+2128123456"),
    ],
)
def test_numbers_with_one_form(number: str) -> None:
    """The numbers have other lengths, unchanged ranges, or other countries."""
    assert renumbering.other_forms(number) == ()
    assert renumbering.present_forms(number) == ()


@settings(max_examples=examples(500), deadline=None)
@given(st.from_regex(r"\A\+(52|54|55|56|57|84|212|225|229|234|237|241)[0-9]{7,12}\Z"))
def test_the_other_form_of_the_other_form_is_the_number(number: str) -> None:
    for other in renumbering.other_forms(number):
        assert other != number
        assert number in renumbering.other_forms(other)
