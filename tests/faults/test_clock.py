# SPDX-License-Identifier: MIT
"""A machine's clock that is set by a day, in either direction, while the gateway runs and while it does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.postgresql import needs_postgresql
from tests.support.stage.edited_books import NOW, PHONES, Books, BooksOnPostgresql
from tests.support.stage.paths import CONNECTIONS, DAY, HOUR

pytestmark = pytest.mark.long  # starts gateways

JUMPS = {"a day on": DAY, "a day back": -DAY, "to 1970": -NOW, "ten years on": 3650 * DAY}
jumps = pytest.mark.parametrize("jump", JUMPS.values(), ids=JUMPS)


@pytest.fixture(
    params=[Books, pytest.param(BooksOnPostgresql, marks=[needs_postgresql, pytest.mark.soak])],
    ids=["sqlite", "postgresql"],
)
def books(request: pytest.FixtureRequest) -> Iterator[Books]:
    books: Books = request.param()
    books.begin()
    yield books
    books.patch.undo()
    books.teardown()


def calls(books: Books) -> Counter[str]:
    """Since the last time."""
    made = Counter(books.world.calls)
    books.world.calls.clear()
    return made


@jumps
def test_while_it_runs(books: Books, jump: float) -> None:
    """Neither a storm of syncs nor a sync that never comes: each account goes on as if nothing had been."""
    calls(books)
    books.set_clock(jump)
    for _ in range(6):
        books.machine.run(HOUR / 2)
    # An interval of an hour, a tenth more or less: two or three syncs in three hours, of two accounts.
    assert 4 <= calls(books)[CONNECTIONS] <= 8
    books.sync_everybody()


@jumps
def test_while_it_does_not_run(books: Books, jump: float) -> None:
    """A plan that another clock made is not waited for."""
    books.machine.stop()
    books.set_clock(jump)
    books.machine.start()
    calls(books)
    for _ in range(5):
        books.machine.run(HOUR / 4)
    assert 2 <= calls(books)[CONNECTIONS] <= 4


@jumps
def test_tokens(books: Books, jump: float) -> None:
    """Tokens that seem to be dead are renewed once, as are dead tokens that seem to be good."""
    books.set_clock(jump)
    books.machine.run(2 * HOUR)  # now they are dead
    books._settle()
    calls(books)
    books.sync_everybody()
    renewed = calls(books)["/token"]
    books.sync_everybody()
    assert renewed <= len(PHONES)
    assert calls(books)["/token"] == 0
