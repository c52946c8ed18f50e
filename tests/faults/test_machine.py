# SPDX-License-Identifier: MIT
"""Address books that are edited while everything fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from twisted.internet.testing import MemoryReactorClock

from ldapgw.google.sandbox.world import World
from tests.support.postgresql import needs_postgresql
from tests.support.stage.edited_books import Books, BooksOnPostgresql
from tests.support.stage.machine import GOOGLE, NOW, Machine

# Each starts gateways, and starves, kills or ends them.  The quick test of tests/journeys/test_provisioning kills one.
pytestmark = pytest.mark.long

QUIET = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)


def run(books: type[Books], examples: int) -> None:
    chosen = settings(
        max_examples=examples, stateful_step_count=40, deadline=None, database=None, suppress_health_check=QUIET
    )
    run_state_machine_as_test(books, settings=chosen)


@pytest.mark.parametrize("examples", [pytest.param(8, id="8"), pytest.param(40, id="40", marks=pytest.mark.soak)])
def test_whatever_happens_phones_find_what_was_synced_last(examples: int) -> None:
    """Whole: what the books hold when a sync went well, and what was there before when it did not."""
    run(Books, examples)


@needs_postgresql
@pytest.mark.parametrize("examples", [pytest.param(2, id="2"), pytest.param(40, id="40", marks=pytest.mark.soak)])
def test_it_does_so_with_the_database_on_a_server(examples: int) -> None:
    run(BooksOnPostgresql, examples)


@pytest.mark.parametrize("end", [Machine.stop, Machine.lose], ids=["stopped", "killed"])
def test_a_gateway_in_memory_leaves_no_thread(tmp_path: Path, end: Callable[[Machine], None]) -> None:
    """A thread that is left would keep the process of the tests from ending."""
    threads = threading.enumerate()
    world = World(now=lambda: NOW, random=Random(1).randbytes, issuer=GOOGLE)
    machine = Machine(tmp_path, world, MemoryReactorClock())
    machine.start()
    end(machine)
    machine.scrap()
    assert threading.enumerate() == threads
