# SPDX-License-Identifier: MIT
"""Phones of a few models, each with its own attributes: their entries are encoded once, and those of rare ones not."""

from __future__ import annotations

from itertools import cycle, islice

import pytest

from ldapgw.directory.entry import Selection
from ldapgw.directory.segment import Encodings

MODELS = [Selection.parse((name,)) for name in ("cn", "sn", "o", "mail", "mobile", "title", "l")]


def asked(encodings: Encodings, models: list[int]) -> list[bool]:
    """Whether each of these finds its entries encoded."""
    return [encodings.of(MODELS[at]) is not None for at in models]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_models_that_take_turns_are_kept(count: int) -> None:
    """From the second request of each on."""
    turns = list(islice(cycle(range(count)), 5 * count))
    assert asked(Encodings(9), turns) == [False] * count + [True] * 4 * count


def test_a_fifth_that_takes_turns_does_not_push_the_others_out() -> None:
    """Four are kept, whoever came first."""
    encodings = Encodings(9)
    asked(encodings, [0, 1, 2, 3] * 2)
    kept = [encodings.of(model) for model in MODELS[:4]]
    assert asked(encodings, [4, 0, 1, 2, 3] * 3) == [False, True, True, True, True] * 3
    assert all(encodings.of(model) is one for model, one in zip(MODELS[:4], kept, strict=True))


def test_who_is_not_asked_for_any_more_gives_way() -> None:
    """It is the one that was asked for least lately; what was asked for once does not count."""
    encodings = Encodings(9)
    asked(encodings, [0, 1, 2, 3] * 2)
    assert asked(encodings, [0, 2, 3, 4, 5, 6, 4]) == [True, True, True, False, False, False, True]
    assert asked(encodings, [0, 2, 3, 4, 1]) == [True, True, True, True, False]


def test_what_is_remembered_is_bounded() -> None:
    """Whoever asks for something else each time leaves what is kept as it is."""
    encodings = Encodings(9)
    asked(encodings, [0, 1] * 2)
    for _ in range(100):
        assert encodings.of(Selection.parse(("cn",))) is None
    assert asked(encodings, [0, 1, 2]) == [True, True, False]
    assert len(encodings._asked) == 16
