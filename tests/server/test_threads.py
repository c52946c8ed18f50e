# SPDX-License-Identifier: MIT
"""Work off the reactor's thread: at once before the start and after the end, on a thread of its own in between."""

from __future__ import annotations

import threading

import pytest
import pytest_twisted
from twisted.internet import reactor  # noqa: TID251  tests are an entry point

from ldapgw.server.threads import WorkerThread
from tests.support.results import result_of


@pytest_twisted.ensureDeferred
async def test_where_work_is_done() -> None:
    """The caller's thread while nothing is served; otherwise another, the same each time."""
    off = WorkerThread(reactor, "test", 1)
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
        result_of(WorkerThread(reactor, "test", 1)(divmod, 1, 0))
