# SPDX-License-Identifier: MIT
"""Address books that are edited while everything fails."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.faults.machine import Books

QUIET = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)


def run(examples: int, steps: int) -> None:
    chosen = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, database=None, suppress_health_check=QUIET
    )
    run_state_machine_as_test(Books, settings=chosen)


def test_whatever_happens_phones_find_what_was_synced_last() -> None:
    """Whole: what the books hold when a sync went well, and what was there before when it did not."""
    run(8, 20)


@pytest.mark.long
def test_whatever_happens_for_long() -> None:
    """The same, many times more."""
    run(40, 40)
