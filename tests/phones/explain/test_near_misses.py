# SPDX-License-Identifier: MIT
"""The tests compare numbers and words that nearly agree."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.numbers import phone_number
from ldapgw.phones.explain.model import MissReason
from ldapgw.phones.explain.near_misses import NumberDifference, is_one_edit_apart, number_difference


@pytest.mark.parametrize(
    ("stored", "asked", "expected"),
    [
        ("+49 30 1234567", "0301234567", NumberDifference(MissReason.OTHER_ATTRIBUTE)),
        ("+49 30 1234567", "1234567", NumberDifference(MissReason.OTHER_ATTRIBUTE)),
        ("+43 30 1234567", "030 1234567", NumberDifference(MissReason.OTHER_COUNTRY)),
        ("+49 30 1234567", "030 1234560", NumberDifference(MissReason.LAST_DIGITS, 1)),
        ("+49 30 1234567", "030 1234321", NumberDifference(MissReason.LAST_DIGITS, 3)),
        ("+49 30 1234567", "030 1239567", NumberDifference(MissReason.ONE_DIGIT, 1)),
        ("+49 30 1234567", "030 1324567", NumberDifference(MissReason.ONE_DIGIT, 1)),
        ("+49 30 1234567", "030 123567", NumberDifference(MissReason.ONE_DIGIT, 1)),
        ("+49 30 123456-0", "030 123456-789", NumberDifference(MissReason.LAST_DIGITS, 3)),
        ("+49 30 1234567", "089 1234567", NumberDifference(MissReason.OTHER_BEGINNING, 7)),
        ("+49 30 1234567", "040 9234567", NumberDifference(MissReason.OTHER_BEGINNING, 6)),
        ("+49 30 1234567", "567", NumberDifference(MissReason.SHORT_NUMBER, 3)),
        ("567", "+49 30 1234567", NumberDifference(MissReason.SHORT_NUMBER, 3)),
        ("+49 30 1234567", "67", None),
        ("204", "205", None),
        ("204", "1204", None),
        ("+49 30 1234567", "040 9876543", None),
    ],
)
def test_how_two_numbers_differ(stored: str, asked: str, expected: NumberDifference | None) -> None:
    """The first number is stored, and a phone in Germany searches for the second number."""
    read = phone_number.parse(stored, "DE")
    assert read is not None
    assert number_difference(read, phone_number.readings(asked, "DE", "")) == expected


@pytest.mark.parametrize(
    ("stored", "asked", "expected"),
    [
        ("+49 30 1234560", ("00301234567",), NumberDifference(MissReason.LAST_DIGITS, 1)),
        ("+49 30 1234567", ("040 9234567", "089 1234567"), NumberDifference(MissReason.OTHER_BEGINNING, 7)),
        ("+49 30 1234567", ("567", "4567"), NumberDifference(MissReason.SHORT_NUMBER, 4)),
    ],
)
def test_the_nearest_reading_counts(stored: str, asked: tuple[str, ...], expected: NumberDifference) -> None:
    """An outside line gives a number two readings, and a filter may name several numbers.

    The nearest reading wins in any order.
    """
    read = phone_number.parse(stored, "DE")
    assert read is not None
    readings = [reading for text in asked for reading in phone_number.readings(text, "DE", "0")]
    for ordered in (readings, readings[::-1]):
        assert number_difference(read, ordered) == expected


def test_one_sign_off() -> None:
    """A single edit replaces, adds or removes a sign, or swaps two neighbours."""
    apart = [("meyer", "meier"), ("meier", "meer"), ("meer", "meier"), ("meier", "meire"), ("a", "")]
    farther = [("meier", "mayer"), ("meier", "mr"), ("abcd", "badc")]
    assert [pair for pair in (*apart, *farther) if is_one_edit_apart(*pair)] == apart


@settings(deadline=None)
@given(st.text("0123", max_size=8), st.integers(0, 7), st.sampled_from("0123"))
def test_one_mistake_is_always_seen(text: str, at: int, sign: str) -> None:
    """The place of the mistake and the order of the two words do not matter."""
    for changed in (text[:at] + sign + text[at:], text[:at] + text[at + 1 :], text[:at] + sign + text[at + 1 :]):
        assert is_one_edit_apart(text, changed)
        assert is_one_edit_apart(changed, text)
