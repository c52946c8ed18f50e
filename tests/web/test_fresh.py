# SPDX-License-Identifier: MIT
"""Passwords that were just made."""

from __future__ import annotations

import pytest
from markupsafe import Markup

from ldapgw.web import phone_pages
from ldapgw.web.phone_pages import SECONDS, FreshPasswords


def test_it_is_there_for_its_session_and_for_some_minutes() -> None:
    """By the phone's name in whichever case."""
    kept = FreshPasswords()
    kept.put("session", "Desk1", "secret", 100.0)
    assert kept.of("session", "desk1", 100.0 + SECONDS - 1) == "secret"
    assert kept.of("other", "desk1", 100.0) == ""
    assert kept.of("session", "desk1", 100.0 + SECONDS) == ""
    assert not kept._kept


def test_the_newer_counts() -> None:
    """And lasts as long as if it were the first."""
    kept = FreshPasswords()
    kept.put("session", "desk1", "old", 0.0)
    kept.put("session", "desk2", "other", 1.0)
    kept.put("session", "desk1", "new", 2.0)
    assert kept.of("session", "desk1", SECONDS + 1.5) == "new"
    assert kept.of("session", "desk2", SECONDS + 1.5) == ""


def test_it_can_be_forgotten() -> None:
    """In all sessions."""
    kept = FreshPasswords()
    for session in ("a", "b"):
        kept.put(session, "desk1", "secret", 0.0)
        kept.put(session, "desk2", "other", 0.0)
    kept.forget("DESK1")
    assert [kept.of(session, name, 0.0) for session in "ab" for name in ("desk1", "desk2")] == ["", "other"] * 2


def test_there_are_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest goes."""
    monkeypatch.setattr(phone_pages, "MOST", 2)
    kept = FreshPasswords()
    for number in range(3):
        kept.put("session", f"desk{number}", "secret", 0.0)
    assert [kept.of("session", f"desk{number}", 0.0) for number in range(3)] == ["", "secret", "secret"]


def test_its_code_is_drawn_once_for_each_language() -> None:
    """And goes with it; without a password there is none."""
    kept = FreshPasswords()
    drawn: list[str] = []

    def draw() -> Markup:
        drawn.append("code")
        return Markup(str(len(drawn)))

    assert kept.drawn("session", "desk1", "en", draw) == ""
    kept.put("session", "desk1", "secret", 0.0)
    assert [kept.drawn("session", "Desk1", tag, draw) for tag in ("en", "en", "de", "en")] == ["1", "1", "2", "1"]
    kept.put("session", "desk1", "other", 1.0)
    assert kept.drawn("session", "desk1", "en", draw) == "3"
    assert kept.of("session", "desk1", SECONDS + 1.0) == ""
    assert kept.drawn("session", "desk1", "en", draw) == ""
