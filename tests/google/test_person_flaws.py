# SPDX-License-Identifier: MIT
"""The tests cover flaws of persons."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from ldapgw.contact import Flaw
from ldapgw.google.person import MOST_VALUES, repair
from ldapgw.google.person_text import LONGEST, LONGEST_LINES
from tests.support.examples import examples

from .test_person import JSON

VALUE = {"value": "A"}


@pytest.mark.parametrize(
    ("field", "items", "repaired", "flaws"),
    [
        ("nicknames", [VALUE, {"value": None, "type": 5}], [VALUE, {"value": None, "type": 5}], []),
        ("shoes", [5, None], [5, None], []),
        ("nicknames", [{"value": 5}, {"value": -1}], [{"value": "5"}, {"value": "-1"}], [Flaw.VALUES]),
        ("nicknames", [{"value": 10**40}, {"value": 1.5}, {"value": True}], [{"value": ""}] * 3, [Flaw.VALUES]),
        ("nicknames", [{"value": [VALUE]}], [{"value": ""}], [Flaw.VALUES]),
        ("nicknames", [None, VALUE, "B", []], [VALUE], [Flaw.VALUES]),
        ("nicknames", [VALUE] * MOST_VALUES, [VALUE] * MOST_VALUES, []),
        ("nicknames", [VALUE] * (MOST_VALUES + 1), [VALUE] * MOST_VALUES, [Flaw.COUNT]),
        ("nicknames", [None] * 5000, [], [Flaw.COUNT, Flaw.VALUES]),
        ("names", [{"givenName": "x" * LONGEST}], [{"givenName": "x" * LONGEST}], []),
        ("names", [{"givenName": "x" * (LONGEST + 1)}], [{"givenName": "x" * (LONGEST + 1)}], [Flaw.LENGTH]),
        ("phoneNumbers", [{"value": "1" * LONGEST_LINES}], [{"value": "1" * LONGEST_LINES}], []),
        ("urls", [{"value": "x" * 100_000}], [{"value": "x" * 100_000}], []),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_repair(field: str, items: Any, repaired: Any, flaws: list[Flaw]) -> None:
    """Unknown fields may have any value. Numbers become texts, other wrong values are removed, and long texts stay."""
    assert repair({field: items, "etag": "E"}) == ({field: repaired, "etag": "E"}, set(flaws))


@pytest.mark.parametrize("value", [None, "person", 5, [], [VALUE]], ids=repr)
def test_no_person(value: object) -> None:
    """A value other than an object has no field."""
    assert repair(value) == ({}, {Flaw.VALUES})


@settings(max_examples=examples(300), deadline=None)
@given(JSON)
def test_a_repaired_person_has_only_long_texts(person: object) -> None:
    """The repair leaves no other flaw for the check of good persons."""
    assert repair(repair(person)[0])[1] <= {Flaw.LENGTH}
