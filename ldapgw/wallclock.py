# SPDX-License-Identifier: MIT
"""The time of day, kept apart from the time that passes.

Twisted's reactor times everything by the time of day, so a machine's clock that is set back a day would stop every
timer for a day.  The entry points make it run by the time since boot; whoever has to know the date gets a `WallClock`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer


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


def steady(reactor: Any) -> WallClock:
    """Have a real reactor run by the time since boot; nothing may be timed by it yet.

    :returns: the time of day.
    """
    reactor.seconds = time.monotonic
    return WallClock(reactor, time.time)
