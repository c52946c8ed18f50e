# SPDX-License-Identifier: MIT
"""Address books that are edited while everything fails."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.faults.machine import Books

# Each starts gateways, and starves, kills or ends them.  Of the quick tests, tests/journeys/test_serving kills one.
pytestmark = pytest.mark.long

QUIET = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)


def test_whatever_happens_phones_find_what_was_synced_last() -> None:
    """Whole: what the books hold when a sync went well, and what was there before when it did not."""
    chosen = settings(
        max_examples=40, stateful_step_count=40, deadline=None, database=None, suppress_health_check=QUIET
    )
    run_state_machine_as_test(Books, settings=chosen)
