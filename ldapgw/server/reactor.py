# SPDX-License-Identifier: MIT
"""The end of the process has a deadline.

What may still wait then, for a name server, a lock or a long calculation, is left behind: no thread can be ended from
outside, and nothing is lost, because whatever is written is written in one transaction.

The time of day, kept apart from the time that passes.

Twisted's reactor times everything by the time of day, so a machine's clock that is set back a day would stop every
timer for a day.  The entry points make it run by the time since boot; whoever has to know the date gets a `WallClock`.

The reactor of ``ldapgw run``: Twisted's own for epoll, without a log context around every event.

That context serves Twisted's former way of logging (`twisted.python.log`), which nothing here uses, and to set it up
takes a tenth of the time of a phone's search (docs/decisions/0049).  It is for Linux, which has epoll.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.main import installReactor
from twisted.logger import Logger
from zope.interface import implementer

# Whoever sends SIGTERM is promised an end within 5 seconds.
SHUTDOWN_SECONDS: Final = 4.5
_STDERR: Final = 2

log = Logger()


def limit_shutdown_time(
    reactor: Any, *, seconds: float = SHUTDOWN_SECONDS, exit_process: Callable[[int], object] = os._exit
) -> None:
    """Have the process end so long after the reactor was told to stop, whatever it waits for then.

    :param leave: ends the process with a status, at once.
    """

    def late() -> None:
        # A log that nobody reads must not keep us.
        if select.select([], [_STDERR], [], 0)[1]:
            log.warn("the end took more than {seconds} s; what was still running is left behind", seconds=seconds)
        exit_process(0)

    def begin() -> None:
        timer = threading.Timer(seconds, late)
        timer.daemon = True
        timer.start()

    reactor.addSystemEventTrigger("before", "shutdown", begin)


@implementer(IReactorTime)
class WallClock:
    """Seconds since the epoch, and timers that do not mind when the clock is set.

    :param timers: calls later.
    :param now: seconds since the epoch.
    :ivar seconds: see `IReactorTime`: `now` itself, for each search is noted with its time.
    """

    def __init__(self, timers: IReactorTime, now: Callable[[], float]) -> None:
        self._timers = timers
        self.seconds = now

    def callLater(self, delay: float, callable: Callable[..., Any], *args: object, **kw: object) -> IDelayedCall:  # noqa: A002  Twisted's name
        """See `IReactorTime`: after so many seconds have passed, whatever the clock shows then."""
        return self._timers.callLater(delay, callable, *args, **kw)

    def getDelayedCalls(self) -> list[IDelayedCall]:
        """See `IReactorTime`."""
        return list(self._timers.getDelayedCalls())


def use_monotonic_clock(reactor: Any) -> WallClock:
    """Have a real reactor run by the time since boot; nothing may be timed by it yet.

    :returns: the time of day.
    """
    reactor.seconds = time.monotonic
    return WallClock(reactor, time.time)


class PhoneReactor(EPollReactor):
    """Calls what is readable or writable, and nothing around it; first who was not served in the turn before.

    Then it calls what is to be called `at_end`, before anything that waits for a time.
    """

    # Who was served in the turn before: the descriptor, and its place in the order.
    _previous_order: Mapping[int, int] = MappingProxyType({})
    _tick_end_calls: list[Callable[[], None]] | None = (
        None  # what is called at the end of a turn; None: there is no turn
    )

    def at_end(self, call: Callable[[], None]) -> None:
        """Call something as soon as all is served that came in this turn; between two turns, as a call that is due."""
        if self._tick_end_calls is None:
            self.callLater(0, call)
        else:
            self._tick_end_calls.append(call)

    def doPoll(self, timeout: float | None) -> None:  # noqa: N802 - Twisted's name
        """One turn.

        :param timeout: seconds to wait for events; None: until there are any.
        """
        selectables = self._selectables
        events = self._poller.poll(-1 if timeout is None else timeout, len(selectables))
        # The kernel lists last who came too late for the turn before, and also who was served first in it for that.
        turn = self._previous_order
        events.sort(key=lambda event: turn.get(event[0], -1))
        self._previous_order = {descriptor: place for place, (descriptor, _) in enumerate(events)}
        ending: list[Callable[[], None]] = []
        self._tick_end_calls = ending
        try:
            for descriptor, event in events:
                selectable = selectables.get(descriptor)
                if selectable is not None:  # what came before it in this turn may have closed it
                    try:
                        self._doReadOrWrite(selectable, descriptor, event)
                    except Exception:  # noqa: BLE001  what is wrong with one connection ends there
                        log.failure("internal error while a connection was served")
        finally:
            self._tick_end_calls = None
            for call in ending:
                try:
                    call()
                except Exception:  # noqa: BLE001  what is wrong with one call ends there
                    log.failure("internal error at the end of a turn")

    doIteration = doPoll  # noqa: N815 - Twisted's name


def install() -> None:
    """Make it the reactor of this process.

    :raises twisted.internet.error.ReactorAlreadyInstalledError: when there is one.
    """
    installReactor(PhoneReactor())
