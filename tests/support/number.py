# SPDX-License-Identifier: MIT
"""Stored telephone numbers, and whether a caller's number finds them."""

from __future__ import annotations

from ldapgw.numbers import Number
from ldapgw.numbers.phone_number import matches_any_reading, number_query, parse, readings, stored_tails


def number_of(text: str, region: str = "DE") -> Number:
    """Read a text that is a number."""
    number = parse(text, region)
    assert number is not None
    return number


def is_found(stored: Number, asked: str, region: str = "DE", outside_line: str = "", area_code: str = "") -> bool:
    """Return whether an asked number is the stored one.

    The index finds the stored number by one of its ends, so an asked number that is the stored one has such an end.
    """
    is_same = matches_any_reading(stored, readings(asked, region, outside_line, area_code))
    ends, _ = number_query(asked, region, outside_line, area_code)
    assert not is_same or set(ends) & set(stored_tails(stored))
    return is_same
