# SPDX-License-Identifier: MIT
"""The tests cover clean texts."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.google.person_text import LONGEST, clean, lines
from tests.support.examples import examples


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Ada", "Ada"),
        ("  Ada\t Maria \r\n Beispiel\u2028\u00a0\u3000x ", "Ada Maria Beispiel x"),
        ("a\0b\x1b[31mc\x7fd\x85e", "ab[31mcd e"),
        ("\u200fدانا\u200e", "دانا"),
        ("\u202a+972\u202c \u2066x\u2069", "+972 x"),
        ("Strau\u00df\u200b-x\ufeff\u00ad", "Strauß-x"),
        ("Zoe\u0308", "Zoë"),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
        ("👩🏽\u200d🚒 ❤\ufe0f\u200d🔥 🙂\u200d\u2194\ufe0f", "👩🏽\u200d🚒 ❤\ufe0f\u200d🔥 🙂\u200d\u2194\ufe0f"),
        ("a\u200db", "ab"),
        ("👨\u200d", "👨"),
        ("\u200d👨", "👨"),
        ("👨\u200d x", "👨 x"),
        ("\ud800Ada\udfff", "\ufffdAda\ufffd"),
        ("\ufffd", "\ufffd"),
        ("\u200b\u200e \t", ""),
        ("", ""),
        (None, ""),
        (5, ""),
        (["Ada"], ""),
    ],
    ids=ascii,
)
def test_clean(text, cleaned):
    """A clean text is a single line of visible, composed signs. Joiners stay only inside an emoji."""
    assert clean(text) == cleaned


def test_longest():
    """A cut text ends without a blank or a joiner. A huge text costs no more time."""
    assert clean("a" * 5000) == "a" * LONGEST
    assert clean("a" * (LONGEST - 1) + " b") == "a" * (LONGEST - 1)
    assert clean("👨\u200d👩", 2) == "👨"
    assert clean("x" * 50_000_000, 10) == "x" * 10
    assert (clean("\0" * 39 + "x", 10), clean("\0" * 40 + "x", 10)) == ("x", "")


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Musterstraße 1\nHinterhaus\r\n\n 10115  Berlin\n", ("Musterstraße 1", "Hinterhaus", "10115 Berlin")),
        ("\n".join(map(str, range(20))), tuple(map(str, range(8)))),
        ("", ()),
        (None, ()),
        ({}, ()),
    ],
    ids=str,
)
def test_lines(text, cleaned):
    """Lines stay apart, empty lines are dropped, and their number is limited."""
    assert lines(text) == cleaned


@settings(max_examples=examples(200), deadline=None)
@given(st.text(st.characters(), max_size=40) | st.text("a \u200d👨🏽\u0308\u2066\n\0", max_size=40))
def test_any_text(text):
    """A cleaned text can be encoded, has no invisible sign, and does not change in a second cleaning."""
    cleaned = clean(text)
    cleaned.encode()
    assert cleaned == cleaned.strip()
    assert not {unicodedata.category(sign) for sign in cleaned.replace("\u200d", "")} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert clean(cleaned) == cleaned
