# SPDX-License-Identifier: MIT
"""The tests cover the additions of a PBX around a number, which are removed by rule or recognised without a rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldapgw.numbers.dial_string import LONGEST_TYPED, affix_of, without_affixes

RULES = ("l0#", "trunk-", "_trunk1")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("L0#0301234567", "0301234567"),
        ("l0#+49301234567", "+49301234567"),
        ("0301234567_TRUNK1", "0301234567"),
        ("Trunk-0301234567_trunk1", "0301234567"),
        ("L0#trunk-0301234567", "0301234567"),
        ("L0#L0#0301234567", "L0#0301234567"),
        ("0301234567", "0301234567"),
        ("L0#", ""),
        ("", ""),
    ],
)
def test_affixes_are_removed(text: str, number: str) -> None:
    """A rule removes an affix once in front and once behind, in any case."""
    assert without_affixes(text, RULES) == number


@pytest.mark.parametrize(
    ("text", "affix"),
    [
        ("L0#0301234567", "L0#"),
        ("TRUNK1-0301234567", "TRUNK1-"),
        ("sip:L0#+49301234567@pbx.example", "L0#"),
        ("0301234567_trunk1", "_trunk1"),
        ("ext0301234567", ""),
        ("0301234567 ext. 204", ""),
        ("0301234567x204", ""),
        ("sip:+49301234567;ext=204@pbx.example", ""),
        ("+12125550199;npdi;rn=+12125550000", ""),
        ("L0#0301234567;npdi", "L0#"),
        ("0301234567p123", ""),
        ("0301234567", ""),
        ("+49 (0)30 1234567", ""),
        ("tel:+49301234567;phone-context=example.com", ""),
        ("*31#0301234567", ""),
        ("0800 FLOWERS", ""),
        ("0171 2345678 privat", ""),
        ("anonymous", ""),
        ("L0#204", ""),
        ("Anna 0301234567", ""),
        ("", ""),
    ],
)
def test_affixes_are_recognised(text: str, affix: str) -> None:
    """A word beside a long number is an affix. Extensions, remarks, service codes, key letters and names are none."""
    assert affix_of(text) == affix


@given(st.text(max_size=2 * LONGEST_TYPED))
def test_an_affix_is_a_part_of_the_text(text: str) -> None:
    """A recognised affix can be removed by a rule, for any text."""
    affix = affix_of(text)
    assert without_affixes(affix, (affix.lower(),)) == ""
