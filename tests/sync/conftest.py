# SPDX-License-Identifier: MIT
"""Tests that use the store run on each engine, as each engine has faults of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.postgresql import needs_postgresql
from tests.support.stage.databases import on_postgresql
from tests.support.stage.sync import Stage

# Tests of syncs are quick on SQLite; on PostgreSQL they take longer, so only some of the tests run
# there each time.
QUICK = {"test_account_state", "test_labels", "test_restore"}
SLOW = {"test_day"}
# These modules use no database, are about PostgreSQL alone, or are the same on each engine.
ONCE = {"test_contact_renewal", "test_failover", "test_fetch", "test_pacing", "test_plan", "test_retry"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    module = metafunc.module.__name__.rpartition(".")[2]
    # A hundred examples of Hypothesis would make a hundred databases.
    if module not in ONCE and not getattr(metafunc.function, "is_hypothesis_test", False):
        marks = [needs_postgresql, *([] if module in QUICK else [pytest.mark.long])]
        marks += [pytest.mark.soak] if module in SLOW else []
        metafunc.parametrize("engine", ["sqlite", pytest.param("postgresql", marks=marks)], indirect=True)


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A stage whose scheduler runs; nothing is left of it when it has stopped."""
    stage = Stage()
    stage.scheduler.startService()
    yield stage
    if stage.scheduler.running:
        stage.scheduler.stopService()
    assert not stage.clock.getDelayedCalls()


@pytest.fixture(autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """The engine of the test's databases."""
    name: str = getattr(request, "param", "sqlite")
    if name == "sqlite":
        yield name
        return
    with on_postgresql():
        yield name
