# SPDX-License-Identifier: MIT
"""Tests that use the store run on each engine, as each engine has faults of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.postgresql import needs_postgresql
from tests.support.stage.databases import on_postgresql

# The modules whose tests use a database.  What they tell of syncs is quick to see on SQLite; on PostgreSQL it takes
# longer, so only some of them run there each time.  The rest use none (backoff, fetch, pacing, plan, records), or are
# about PostgreSQL alone (failover).
QUICK = {"test_account_state", "test_labels", "test_restore"}
SLOW = {"test_day", "test_job_faults"}
ALL = QUICK | SLOW | {"test_account_books", "test_book_builder", "test_book_cache", "test_book_updates"}
ALL |= {"test_change_feed", "test_directory_account"}
ALL |= {"test_fewer_calls", "test_follower", "test_job", "test_logins_keeper", "test_odd_listings"}
ALL |= {"test_outage", "test_own_trouble", "test_photos", "test_publisher", "test_scheduler", "test_sync_history"}
ALL |= {"test_spoilt_persons", "test_tokens"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    module = metafunc.module.__name__.rpartition(".")[2]
    # What Hypothesis calls a hundred times would make a hundred databases.
    if module in ALL and not getattr(metafunc.function, "is_hypothesis_test", False):
        marks = [needs_postgresql, *([] if module in QUICK else [pytest.mark.long])]
        marks += [pytest.mark.soak] if module in SLOW else []
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
