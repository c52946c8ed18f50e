# SPDX-License-Identifier: MIT
"""A stopped process ends in time, timers survive a changed clock, and the reactor of ``ldapgw run`` serves fairly.

Only a new process has no reactor yet.
"""

from __future__ import annotations

import ast
import inspect
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from twisted.application.reactors import getReactorTypes
from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock, LoopingCall  # noqa: TID251  LoopingCall shows the effect of a clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from ldapgw.server.reactor import (
    LAG_SECONDS,
    LagMeter,
    PhoneReactor,
    WallClock,
    limit_shutdown_time,
    use_monotonic_clock,
)
from ldapgw.server.reactor import __doc__ as module_docstring


def test_what_waits_longer_is_left_behind() -> None:
    """The time limit begins with the stop of the reactor, and no thread runs before."""
    reactor, left = MemoryReactorClock(), threading.Event()
    statuses: list[int] = []

    def leave(status: int) -> None:
        statuses.append(status)
        left.set()

    before = threading.active_count()
    limit_shutdown_time(reactor, seconds=0.01, exit_process=leave)
    assert threading.active_count() == before
    [begin] = reactor.triggers["before"]["shutdown"]
    begin[0]()
    assert left.wait(30)
    assert statuses == [0]


NOW = 1_800_000_000.0
DAY = 86400.0


class Machine:
    """The machine has a clock that the test can set."""

    def __init__(self) -> None:
        self.timers = Clock()
        self.ahead = NOW
        self.wall = WallClock(self.timers, lambda: self.timers.seconds() + self.ahead)


def test_it_is_a_reactors_clock() -> None:
    """The clock's seconds are the time of day."""
    machine = Machine()
    assert verifyObject(IReactorTime, machine.wall)
    machine.timers.advance(5)
    assert machine.wall.seconds() == NOW + 5


@pytest.mark.parametrize("jump", [DAY, -DAY, -NOW], ids=["a day on", "a day back", "to 1970"])
def test_a_timer_goes_on_when_the_clock_is_set(jump: float) -> None:
    """The timer runs once in each interval, without a burst of calls and without a long pause."""
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
    """The reactor uses the monotonic clock after the call."""
    reactor = Clock()
    wall = use_monotonic_clock(reactor)
    assert abs(reactor.seconds() - time.monotonic()) < 60
    assert abs(wall.seconds() - time.time()) < 60  # noqa: TID251  it is the one to compare with


CONFIG = """
state_dir = "state"
[ldap]
listen = ["tcp:1389:interface=192.0.2.1"]
[web]
public_url = "http://127.0.0.1:8080"
[[tenant]]
name = "acme"
base_dn = "dc=acme,dc=example"
client_id = "nobody"
client_secret = "nothing"
allowed_users = ["@acme.example"]
"""
RUN = """
import atexit, runpy, sys
atexit.register(lambda: print(type(sys.modules["twisted.internet.reactor"]).__name__))
sys.argv = ["ldapgw", "--config", "ldapgw.toml", "run"]
runpy.run_module("ldapgw", run_name="__main__")
"""


class End(FileDescriptor):
    """A readable end of a socket pair calls a function."""

    def __init__(
        self, reactor: PhoneReactor, end: socket.socket, act: Callable[[], Any], *, stubborn: bool = False
    ) -> None:
        super().__init__(reactor)
        self._stubborn = stubborn
        self._end = end
        self._act = act
        self.lost: list[object] = []
        self.startReading()

    def fileno(self) -> int:
        return self._end.fileno()

    def doRead(self) -> Any:  # noqa: N802 - Twisted's name
        return self._act()

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        self.lost.append(type(reason.value))
        if self._stubborn:
            raise BrokenPipeError


@pytest.fixture(name="reactor")
def _reactor(ends: list[socket.socket]) -> Iterator[PhoneReactor]:
    """The reactor is separate from the process's reactor, and closes its own pipe at the end."""
    reactor = PhoneReactor()
    yield reactor
    reactor.removeAll()
    for waker in (*reactor._internalReaders,):
        waker.connectionLost(Failure(ConnectionDone()))
    reactor._poller.close()


@pytest.fixture(name="ends")
def _ends() -> Iterator[list[socket.socket]]:
    """Both sockets have an octet to read."""
    with ExitStack() as stack:
        ready = []
        for _ in range(2):
            ours, theirs = map(stack.enter_context, socket.socketpair())
            theirs.send(b"x")
            ready.append(ours)
        yield ready


def _read(end: socket.socket, read: list[bytes]) -> None:
    read.append(end.recv(9))


def test_what_is_ready_is_read(reactor: PhoneReactor, ends: list[socket.socket]) -> None:
    """The same turn serves all ready sockets, and the next turn does not wait."""
    read: list[bytes] = []
    for end in ends:
        End(reactor, end, partial(_read, end, read))
    reactor.doIteration(None)
    reactor.doIteration(0)
    assert read == [b"x", b"x"]


def test_who_came_too_late_for_a_turn_is_first_in_the_next(reactor: PhoneReactor) -> None:
    """A socket that is always ready is not served twice while another socket waits."""
    served: list[str] = []
    with ExitStack() as stack:
        (eager, to_eager), (late, to_late) = (tuple(map(stack.enter_context, socket.socketpair())) for _ in range(2))

        def serve() -> None:
            served.append("eager")
            to_late.send(b"x")

        End(reactor, eager, serve)
        End(reactor, late, partial(served.append, "late"))
        to_eager.send(b"x")
        reactor.doIteration(0)
        reactor.doIteration(0)
        reactor.removeAll()
    assert served == ["eager", "late", "eager"]


def test_who_was_served_longest_ago_is_first(reactor: PhoneReactor) -> None:
    """The last socket of a turn misses the next turn, so each socket waits for one turn."""
    served: list[int] = []
    with ExitStack() as stack:
        pairs = [tuple(map(stack.enter_context, socket.socketpair())) for _ in range(4)]
        for at, (ours, _) in enumerate(pairs):
            End(reactor, ours, partial(_serve, at, ours, served))
        for _, theirs in pairs:
            theirs.send(b"x")
        late: int | None = None
        for _ in range(8):
            before = len(served)
            reactor.doIteration(0)
            turn = served[before:]
            for at in turn[:-1] if late is None else [*turn[:-1], late]:
                pairs[at][1].send(b"x")
            late = turn[-1]
        reactor.removeAll()
    assert served[:24] == [0, 1, 2, 3] * 6


def _serve(at: int, end: socket.socket, served: list[int]) -> None:
    served.append(at)
    end.recv(9)


def test_who_is_new_is_served_in_the_order_of_coming(reactor: PhoneReactor) -> None:
    """Sockets that become ready together are served in the order of their octets."""
    served: list[int] = []
    with ExitStack() as stack:
        pairs = [tuple(map(stack.enter_context, socket.socketpair())) for _ in range(5)]
        for at, (ours, _) in enumerate(pairs):
            End(reactor, ours, partial(served.append, at))
        order = [3, 1, 4, 0, 2]
        for at in order:
            pairs[at][1].send(b"x")
        reactor.doIteration(0)
        reactor.removeAll()
    assert served == order


def test_what_is_closed_by_another_is_left_alone(reactor: PhoneReactor, ends: list[socket.socket]) -> None:
    """The first served socket stops the other socket, which is then not served."""
    served: list[int] = []
    both: list[End] = []

    def serve(at: int) -> None:
        served.append(at)
        both[1 - at].stopReading()

    both += [End(reactor, end, partial(serve, at)) for at, end in enumerate(ends)]
    reactor.doIteration(0)
    assert len(served) == 1


@pytest.mark.parametrize("stubborn", [False, True], ids=["at work", "and at its end"])
def test_a_fault_ends_its_own_connection_alone(
    reactor: PhoneReactor, ends: list[socket.socket], *, stubborn: bool
) -> None:
    """Errors at work or at the end are logged. The other connection is served in the same turn."""
    read: list[bytes] = []
    broken = End(reactor, ends[0], lambda: 1 // 0, stubborn=stubborn)
    whole = End(reactor, ends[1], partial(_read, ends[1], read))
    with capturedLogs() as logged:
        reactor.doIteration(0)
    failures = [event["failure"] if "failure" in event else event["log_failure"] for event in logged]
    assert [type(one.value) for one in failures] == [ZeroDivisionError] + [BrokenPipeError] * stubborn
    assert (broken.lost, whole.lost, read) == ([ZeroDivisionError], [], [b"x"])


def test_what_waits_for_the_end_of_a_turn_is_called_when_all_are_served(
    reactor: PhoneReactor, ends: list[socket.socket]
) -> None:
    """The calls run once and in order, despite an error. A call outside a turn runs in the next turn."""
    read: list[bytes] = []

    def serve(end: socket.socket) -> None:
        _read(end, read)
        reactor.at_end(partial(read.append, b"end"))
        reactor.at_end(lambda: 1 // 0)

    for end in ends:
        End(reactor, end, partial(serve, end))
    with capturedLogs() as logged:
        reactor.doIteration(0)
        reactor.doIteration(0)
    assert read == [b"x", b"x", b"end", b"end"]
    assert [event["log_failure"].type for event in logged] == [ZeroDivisionError] * 2
    reactor.at_end(partial(read.append, b"no turn"))
    assert len(read) == len(ends) * 2
    reactor.runUntilCurrent()
    assert read[-1] == b"no turn"


def test_a_run_in_the_foreground_has_it(tmp_path: Path) -> None:
    """The command must install the reactor before any import of another reactor. A bad address ends the run soon."""
    (tmp_path / "ldapgw.toml").write_text(CONFIG)
    ended = subprocess.run([sys.executable, "-c", RUN], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.stdout == "PhoneReactor\n", ended.stderr


def test_twisted_has_the_private_names_that_the_reactor_uses(reactor: PhoneReactor) -> None:
    """The module's docstring lists exactly these names."""
    names = {
        node.attr
        for node in ast.walk(ast.parse(inspect.getsource(PhoneReactor)))
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and node.attr not in vars(PhoneReactor)
    }
    assert sorted(names) == sorted(re.findall("``(_[A-Za-z]+)``", module_docstring or ""))
    assert [name for name in sorted(names) if not hasattr(reactor, name)] == []


def test_twistd_finds_it() -> None:
    """The command ``twistd --reactor ldapgw`` needs the name."""
    assert "ldapgw" in {one.shortName for one in getReactorTypes()}


def test_the_lag_is_how_late_a_call_is() -> None:
    """The lag is measured repeatedly until the stop."""
    clock, found = Clock(), list[float]()
    meter = LagMeter(clock, found.append)
    meter.startService()
    for late in (0.0, 0.5, 0.0):
        clock.advance(LAG_SECONDS + late)
    assert found == [0.0, 0.5, 0.0]
    meter.stopService()
    assert clock.getDelayedCalls() == []
