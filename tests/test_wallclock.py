# SPDX-License-Identifier: MIT
"""The time of day may be set; what was to be called later is called when that much time has passed."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock, LoopingCall
from zope.interface.verify import verifyObject

from ldapgw.server.reactor import WallClock, steady

NOW = 1_800_000_000.0
DAY = 86400.0


class Machine:
    """A machine whose clock can be set."""

    def __init__(self) -> None:
        self.timers = Clock()
        self.ahead = NOW
        self.wall = WallClock(self.timers, lambda: self.timers.seconds() + self.ahead)


def test_it_is_a_reactors_clock() -> None:
    """With the time of day for its seconds."""
    machine = Machine()
    assert verifyObject(IReactorTime, machine.wall)
    machine.timers.advance(5)
    assert machine.wall.seconds() == NOW + 5


@pytest.mark.parametrize("jump", [DAY, -DAY, -NOW], ids=["a day on", "a day back", "to 1970"])
def test_a_timer_goes_on_when_the_clock_is_set(jump: float) -> None:
    """Once each interval, neither at once for all that seems to have passed, nor a day late."""
    machine = Machine()
    called: list[float] = []
    loop = LoopingCall(lambda: called.append(machine.timers.seconds()))
    loop.clock = machine.wall
    loop.start(10.0)
    machine.timers.advance(4)
    machine.ahead += jump
    for _ in range(30):
        machine.timers.advance(1)
    gaps = [later - sooner for sooner, later in pairwise(called)]
    assert len(called) in (4, 5)
    assert all(0 < gap <= 10 for gap in gaps)
    loop.stop()
    assert machine.wall.getDelayedCalls() == []


def test_a_real_reactor_runs_by_the_time_since_boot() -> None:
    """From the moment on when an entry point says so."""
    reactor = Clock()
    wall = steady(reactor)
    assert abs(reactor.seconds() - time.monotonic()) < 60
    assert abs(wall.seconds() - time.time()) < 60  # noqa: TID251  it is the one to compare with
