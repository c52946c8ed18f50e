# SPDX-License-Identifier: MIT
"""What people are shown."""

from __future__ import annotations

import pytest

from ldapgw.cli.output import clean, local_time
from tests.support.site.command_line import THEN, Gateway


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(None, "–"), (THEN, "09:30"), (THEN - 86400, "2026-01-30 09:30"), (THEN + 86400, "2026-02-01 09:30")],
    ids=["none", "today", "yesterday", "tomorrow"],
)
def test_local_time(gateway: Gateway, seconds: float | None, expected: str) -> None:
    """Today's times are short."""
    assert local_time(seconds, THEN + 3600) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Jörg Müller", "Jörg Müller"),
        ("محمد", "محمد"),
        ("\x1b]0;title\x07", "\ufffd]0;title\ufffd"),
        ("a\nb\u2028c", "a\ufffdb\ufffdc"),
        ("exe.\u202efdp", "exe.\ufffdfdp"),
        ("a\u200f\u061c\udcff", "a\ufffd\ufffd\ufffd"),
        ("\x9b2J", "\ufffd2J"),
    ],
    ids=["latin", "arabic", "escape", "lines", "turned", "marks and half a sign", "C1"],
)
def test_clean(text: str, expected: str) -> None:
    """What steers a terminal is replaced; names in any script stay."""
    assert clean(text) == expected
