# SPDX-License-Identifier: MIT
"""Work off the reactor's thread: at once before the start and after the end, on a thread of its own in between."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import pytest_twisted
from twisted.internet import reactor  # noqa: TID251  tests are an entry point
from twisted.internet.defer import CancelledError

from ldapgw.server.workers import WorkerThread
from tests.support.results import result_of


@pytest_twisted.ensureDeferred
async def test_where_work_is_done() -> None:
    """The caller's thread while nothing is served; otherwise another, the same each time."""
    off = WorkerThread(reactor, "test")
    ours = threading.get_ident()
    assert await off(threading.get_ident) == ours
    off.startService()
    theirs = await off(threading.get_ident)
    assert theirs != ours
    assert await off(threading.get_ident) == theirs
    off.stopService()
    assert await off(threading.get_ident) == ours


def test_what_is_raised_comes_back() -> None:
    """As from a call."""
    with pytest.raises(ZeroDivisionError):
        result_of(WorkerThread(reactor, "test")(divmod, 1, 0))


@pytest_twisted.ensureDeferred
async def test_calls_that_wait_are_counted() -> None:
    """All but the one that runs; how long each had waited is told when it has ended, unless it never began."""
    off = WorkerThread(reactor, "test")
    off.startService()
    go_on = threading.Event()
    try:
        wait: Callable[[], bool] = lambda: go_on.wait(30)  # noqa: E731
        *calls, cancelled = [off(wait) for _ in range(4)]
        cancelled.cancel()
        with pytest.raises(CancelledError):
            await cancelled
        assert (off.waiting, sum(off.waits.counts)) == (2, 0)
        go_on.set()
        assert [await call for call in calls] == [True] * 3
        assert (off.waiting, sum(off.waits.counts)) == (0, 3)
    finally:
        go_on.set()
        await off.stopService()


@pytest_twisted.ensureDeferred
async def test_a_call_that_fails_waits_no_more() -> None:
    """It has waited like any other."""
    off = WorkerThread(reactor, "test")
    off.startService()
    try:
        with pytest.raises(ZeroDivisionError):
            await off(divmod, 1, 0)
        assert (off.waiting, sum(off.waits.counts)) == (0, 1)
    finally:
        await off.stopService()
