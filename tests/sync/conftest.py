# SPDX-License-Identifier: MIT
"""Tests that write to the store run on each engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.postgresql import needs_postgresql
from tests.support.stage.databases import on_postgresql

# The modules whose tests write as syncs do.  What they tell of syncs is quick to see on SQLite; on PostgreSQL it takes
# longer, so only some of them run there each time.
QUICK = {"test_account_state", "test_labels"}
ALL = QUICK | {"test_directory_account", "test_job", "test_job_faults", "test_odd_listings", "test_photos"}
ALL |= {"test_book_updater", "test_publisher", "test_scheduler", "test_sync_history", "test_tokens"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    module = metafunc.module.__name__.rpartition(".")[2]
    # What Hypothesis calls a hundred times would make a hundred databases.
    if module in ALL and not getattr(metafunc.function, "is_hypothesis_test", False):
        marks = [needs_postgresql, *([] if module in QUICK else [pytest.mark.long])]
        metafunc.parametrize("engine", ["sqlite", pytest.param("postgresql", marks=marks)], indirect=True)


@pytest.fixture(autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """The engine of the test's databases."""
    name: str = getattr(request, "param", "sqlite")
    if name == "sqlite":
        yield name
        return
    with on_postgresql():
        yield name
