# SPDX-License-Identifier: MIT
"""The reactor of ``ldapgw run``, its lag, its monotonic clock, and a time limit for its shutdown.

`PhoneReactor` is Twisted's epoll reactor, for Linux, without the log context around every event.  The context serves
Twisted's former logging (`twisted.python.log`), which ldapgw does not use.  Setting up the context takes a tenth of the
time of a phone's search (docs/decisions/0051).  The class uses four private names of Twisted: ``_poller``,
``_selectables``, ``_doReadOrWrite`` and ``_disconnectSelectable``.

Twisted's reactor times everything by the wall clock, so setting the machine's clock back by a day would stop every
timer for a day.  `use_monotonic_clock` makes the reactor run on the monotonic clock; code that needs the date gets a
`WallClock`.

`limit_shutdown_time` ends the process while threads still wait for a name server, a lock or a long calculation, because
no thread can be ended from outside.  No data is lost, because everything is written in transactions.

`LagMeter` measures the delay of the reactor's calls, which is also the delay of phones' requests.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.main import installReactor
from twisted.logger import Logger
from zope.interface import implementer

# If the process has not ended by itself this many seconds after the reactor was stopped, the process is ended by force.
# The documentation promises an end within 5 s of SIGTERM.
SHUTDOWN_SECONDS: Final = 4.5
_STDERR: Final = 2
# Seconds between two measurements of the lag; a measurement takes hardly any time.
LAG_SECONDS: Final = 0.25

log = Logger()


def limit_shutdown_time(
    reactor: Any, *, seconds: float = SHUTDOWN_SECONDS, exit_process: Callable[[int], object] = os._exit
) -> None:
    """End the process at most `seconds` after the reactor was stopped.

    :param exit_process: ends the process with a status, at once.
    """

    def late() -> None:
        # Writing to a pipe that nobody reads would block.
        stderr = select.poll()
        stderr.register(_STDERR, select.POLLOUT)
        if stderr.poll(0):
            log.warn(
                "stopping took more than {seconds} s; the work that was still running was abandoned",
                event="stop_timed_out",
                seconds=seconds,
            )
        exit_process(0)

    def begin() -> None:
        timer = threading.Timer(seconds, late)
        timer.daemon = True
        timer.start()

    reactor.addSystemEventTrigger("before", "shutdown", begin)


@implementer(IReactorTime)
class WallClock:
    """A clock that tells the time of day; setting the machine's clock does not change the delays of calls.

    :param timers: schedules delayed calls.
    :param now: returns seconds since the epoch.
    :ivar seconds: see `IReactorTime`; an attribute instead of a method, because every search reads the time.
    """

    def __init__(self, timers: IReactorTime, now: Callable[[], float]) -> None:
        self._timers = timers
        self.seconds = now

    def callLater(self, delay: float, callable: Callable[..., Any], *args: object, **kw: object) -> IDelayedCall:  # noqa: A002  Twisted's name
        return self._timers.callLater(delay, callable, *args, **kw)

    def getDelayedCalls(self) -> list[IDelayedCall]:
        return list(self._timers.getDelayedCalls())


def use_monotonic_clock(reactor: Any) -> WallClock:
    """Make a reactor run on the monotonic clock; no call may have been scheduled on the reactor before.

    :returns: the clock for the time of day.
    """
    reactor.seconds = time.monotonic
    return WallClock(reactor, time.time)


class LagMeter(Service):
    """A service that schedules a call every `LAG_SECONDS`, and measures how late the reactor makes the call.

    The meter has a timer of its own, because a run of a `PeriodicService` does not learn when the run was due.

    :param observe: called with the lag in seconds.
    """

    def __init__(self, clock: IReactorTime, observe: Callable[[float], None]) -> None:
        self._clock = clock
        self._observe = observe
        self._call: IDelayedCall | None = None

    def startService(self) -> None:
        super().startService()
        self._schedule()

    def stopService(self) -> None:
        super().stopService()
        if self._call is not None and self._call.active():
            self._call.cancel()

    def _schedule(self) -> None:
        self._call = self._clock.callLater(LAG_SECONDS, self._measure, self._clock.seconds() + LAG_SECONDS)

    def _measure(self, due: float) -> None:
        self._observe(self._clock.seconds() - due)
        self._schedule()


class PhoneReactor(EPollReactor):
    """An epoll reactor that is fair to connections and makes calls at the end of each tick.

    A tick is one turn of the reactor.  Connections that were not served in the previous tick are served first.  At the
    end of a tick, the reactor makes the calls that were passed to `at_end`, before any delayed call.  The class makes
    reverse look-ups 14 % faster (``scripts/bench parts``).
    """

    # The descriptors served in the previous tick, with their position in the order.
    _previous_order: Mapping[int, int] = MappingProxyType({})
    # The calls for the end of the current tick; None between two ticks.
    _tick_end_calls: list[Callable[[], None]] | None = None

    def at_end(self, call: Callable[[], None]) -> None:
        """Call a function at the end of this tick; between two ticks, call the function as soon as possible."""
        if self._tick_end_calls is None:
            self.callLater(0, call)
        else:
            self._tick_end_calls.append(call)

    def doPoll(self, timeout: float | None) -> None:  # noqa: N802 - Twisted's name
        """Handle the events of one tick.

        :param timeout: the maximum number of seconds to wait for events, or None without a limit.
        """
        selectables = self._selectables
        events = self._poller.poll(-1 if timeout is None else timeout, len(selectables))
        # Two kinds of connections are at the end of the kernel's list:
        # * connections whose event came too late for the previous tick;
        # * connections that were served at the beginning of the previous tick.
        # The sort moves the first kind of connections to the front.
        previous = self._previous_order
        events.sort(key=lambda event: previous.get(event[0], -1))
        self._previous_order = {descriptor: position for position, (descriptor, _) in enumerate(events)}
        tick_end_calls: list[Callable[[], None]] = []
        self._tick_end_calls = tick_end_calls
        try:
            for descriptor, event in events:
                selectable = selectables.get(descriptor)
                if selectable is None:  # an earlier event of this tick has closed the connection
                    continue
                try:
                    if event == select.EPOLLIN:
                        self._read(selectable)
                    else:
                        self._doReadOrWrite(selectable, descriptor, event)
                except Exception:  # noqa: BLE001  a fault in one connection must not affect others
                    log.failure("internal error while a connection was served", event="connection_failed")
        finally:
            self._tick_end_calls = None
            for call in tick_end_calls:
                try:
                    call()
                except Exception:  # noqa: BLE001  a fault in one call must not affect others
                    log.failure("internal error at the end of a tick", event="tick_failed")

    def _read(self, selectable: Any) -> None:
        """Handle input as `_doReadOrWrite` does, in fewer steps."""
        try:
            reason = selectable.doRead()
        except Exception as error:  # noqa: BLE001  ends this connection
            log.failure("internal error while a connection was served", event="connection_failed")
            reason = error
        if reason:
            self._disconnectSelectable(selectable, reason, isRead=True)

    doIteration = doPoll  # noqa: N815 - Twisted's name


def install() -> None:
    """Install a `PhoneReactor` as the reactor of this process.

    :raises twisted.internet.error.ReactorAlreadyInstalledError: when a reactor is installed already.
    """
    installReactor(PhoneReactor())
