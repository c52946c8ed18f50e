# SPDX-License-Identifier: MIT
"""Periodic work: a service that does a piece of work again and again, one run at a time.

The names of `PeriodicService`'s attributes begin with two underscores, so that they differ from the names in
subclasses.

Mutable: `PeriodicService`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from ldapgw.errors import LeadLost, StoreError

# The work of a run; if the function returns an awaitable, such as a coroutine or a Deferred, the run awaits it.
Work = Callable[[], Awaitable[object] | object]


class PeriodicService(Service):
    """A service that does a piece of work at its start and then periodically, one run at a time.

    A run that fails is reported, and the next run begins on schedule.  If successive runs fail in the same way, only
    the first failure is reported.  Failures of the database and the loss of the lead are not reported here, because the
    store and the leadership report each such event once for all services.

    :param seconds: the time from the beginning of a run to the beginning of the next run; runs that are due during a
        longer run are left out.
    :param report: logs the failure of a run.
    :param now: whether the first run begins at the start of the service, or one period later.
    :param waits: whether the stop waits for the run under way; otherwise the stop cancels the run.
    :param last: work that is done at the stop, after the run under way has ended.
    """

    def __init__(
        self,
        clock: IReactorTime,
        seconds: float,
        work: Work,
        report: Callable[[Failure], object],
        *,
        now: bool = True,
        waits: bool = False,
        last: Work | None = None,
    ) -> None:
        self.__seconds = seconds
        self.__work = work
        self.__report = report
        self.__now = now
        self.__waits = waits
        self.__last = last
        self.__run: Deferred[None] = succeed(None)
        self.__is_busy = False
        self.__waiting: list[Deferred[None]] = []  # these Deferreds fire at the end of the run under way
        self.__reported: dict[Work, str] = {}
        self.__timer = LoopingCall(self.run_now)
        self.__timer.clock = clock

    def startService(self) -> None:
        super().startService()
        self.__timer.start(self.__seconds, now=self.__now)

    def stopService(self) -> Deferred[None]:
        """Begin no more runs; the Deferred fires when the run under way, and then the work `last`, have ended."""
        super().stopService()
        if self.__timer.running:
            self.__timer.stop()
        ended, last = self.__ended(), self.__last
        if not self.__waits:
            self.__run.cancel()
        return ended if last is None else ended.addCallback(lambda _: self.attempt(last))

    def run_now(self) -> Deferred[None]:
        """Begin a run now, unless a run is under way.

        :returns: a Deferred that fires when the run has ended, even if it has failed.
        """
        if not self.__is_busy:
            self.__is_busy = True
            self.__run = self.attempt(self.__work).addCallback(self.__end)
        return self.__ended()

    def attempt(self, work: Work) -> Deferred[None]:
        """Do other work independently of the runs; its failure is reported like the failure of a run.

        :returns: a Deferred that fires when the work has ended, even if it has failed.
        """
        return Deferred.fromCoroutine(self.__attempt(work))

    async def __attempt(self, work: Work) -> None:
        try:
            done = work()
            if isinstance(done, Awaitable):
                await done
        except (StoreError, LeadLost, CancelledError):
            pass
        except Exception as error:  # noqa: BLE001  after any failure, the next run begins on schedule
            if self.__reported.get(work) != repr(error):
                self.__reported[work] = repr(error)
                self.__report(Failure())
        else:
            self.__reported.pop(work, None)

    def __ended(self) -> Deferred[None]:
        if not self.__is_busy:
            return succeed(None)
        ended: Deferred[None] = Deferred()
        self.__waiting.append(ended)
        return ended

    def __end(self, _result: None) -> None:
        self.__is_busy = False
        waiting, self.__waiting = self.__waiting, []
        for ended in waiting:
            ended.callback(None)
