# SPDX-License-Identifier: MIT
"""The thread that hears of changes: with many open files, after any error, and when the thread has ended.

Only PostgreSQL notifies a connection that waits.
"""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from ldapgw.store.changes import CHANGES_CHANNEL
from ldapgw.store.database import Database
from tests.support.postgresql import needs_postgresql

pytestmark = [needs_postgresql, pytest.mark.parametrize("database", ["postgresql"], indirect=True)]

# Seconds until a test gives up.
PATIENCE = 30.0


class Scene:
    """A listener on a real server, whose clock stands still, so that only notifications tell of changes.

    :param connected: called with each new connection.
    """

    def __init__(self, database: Database, connected: Callable[[], object] = lambda: None) -> None:
        from ldapgw.store.postgresql_connection import ChangeListener

        self.database = database
        self.rings = threading.Semaphore(0)
        self.listener = ChangeListener(database.url, connected=lambda _line: connected(), seconds=lambda: 0.0)
        self.listener.listen(self.rings.release, lambda _bulletin: None)

    def hears(self) -> bool:
        """Return True if the listener rings within `PATIENCE` and then reports a change."""
        return self.rings.acquire(timeout=PATIENCE) and self.listener.has_changed()

    def change(self) -> None:
        with self.database.begin() as connection:
            connection.exec_driver_sql(f"NOTIFY {CHANGES_CHANNEL}")


@pytest.fixture
def scenes() -> Iterator[Callable[..., Scene]]:
    made: list[Scene] = []

    def make(*arguments: Any) -> Scene:
        made.append(Scene(*arguments))
        return made[-1]

    yield make
    for scene in made:
        scene.listener.close()


def test_a_gateway_with_many_open_files_hears_of_changes(
    database: Database, scenes: Callable[..., Scene], caplog_twisted: list[str]
) -> None:
    """Its connection to the database may have a descriptor above 1023, as if a thousand phones were connected."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        taken = [os.open(os.devnull, os.O_RDONLY)]
        while taken[-1] < 1100:
            taken.append(os.dup(taken[0]))
        for descriptor in taken:
            stack.callback(os.close, descriptor)
        scene = scenes(database)
        scene.listener.has_changed()
        assert scene.hears()
        scene.change()
        assert scene.hears()
    assert caplog_twisted == []


def test_any_error_begins_a_new_connection(
    database: Database, scenes: Callable[..., Scene], caplog_twisted: list[str]
) -> None:
    """An error that is not the database's is logged once until there is a connection again."""
    errors = [ValueError("one"), ValueError("two"), None]

    def connected() -> None:
        error = errors.pop(0)
        if error is not None:
            raise error

    scene = scenes(database, connected)
    scene.listener.has_changed()
    assert scene.hears()
    scene.change()
    assert scene.hears()
    assert (errors, caplog_twisted) == ([], ["listening for changes failed; the gateway listens again"])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_has_ended_is_begun_anew(database: Database, scenes: Callable[..., Scene]) -> None:
    """By the next question; a thread ends only in a way that no code expects."""
    ends = [SystemExit(), None]

    def connected() -> None:
        end = ends.pop(0)
        if end is not None:
            raise end

    scene = scenes(database, connected)
    scene.listener.has_changed()
    [first] = [thread for thread in threading.enumerate() if thread.name == "listen"]
    first.join(PATIENCE)
    assert (first.is_alive(), scene.rings.acquire(blocking=False)) == (False, False)
    scene.listener.has_changed()
    assert scene.hears()
