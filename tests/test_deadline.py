# SPDX-License-Identifier: MIT
"""A process that was told to end does so, whatever it waits for."""

from __future__ import annotations

import threading

from twisted.internet.testing import MemoryReactorClock

from ldapgw.server.reactor import end_in_time


def test_what_waits_longer_is_left_behind() -> None:
    """The time runs from when the reactor is told to stop; before, there is none."""
    reactor, left = MemoryReactorClock(), threading.Event()
    statuses: list[int] = []

    def leave(status: int) -> None:
        statuses.append(status)
        left.set()

    before = threading.active_count()
    end_in_time(reactor, seconds=0.01, leave=leave)
    assert threading.active_count() == before
    [begin] = reactor.triggers["before"]["shutdown"]
    begin[0]()
    assert left.wait(30)
    assert statuses == [0]
