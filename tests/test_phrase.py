# SPDX-License-Identifier: MIT
"""Messages with values, in English."""

from __future__ import annotations

import pytest

from ldapgw.phrase import Phrase, joined


@pytest.mark.parametrize(
    ("messages", "text"), [(["one"], "one"), (["one", "two"], "one, two"), (["one", "two", "three"], "one, two, three")]
)
def test_phrases_are_joined_to_a_list(messages: list[str], text: str) -> None:
    assert str(joined([Phrase(message) for message in messages])) == text
