# SPDX-License-Identifier: MIT
"""Pacing: limits the calls per minute that the gateway makes to the People API for each Google project.

Google counts the calls of all accounts of a project together, and refuses calls above the project's quota.  So each
project has a token bucket: calls wait for their turn, calls that a person waits for go first, and after an outage the
syncs of a thousand accounts take as long as the quota requires.  When Google reports that a project's quota is used up,
the project makes no call until the next minute, when Google counts anew.

Calls to the token endpoint are not paced, because these calls have no such quota.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from ldapgw.directory.clients import TokenBuckets
from ldapgw.errors import QuotaExceeded

MINUTE = 60.0
# A bucket holds the calls of a twelfth of a minute, so that the first pages of a person's first sync need not wait.
_BURST_PART = 12
# The shortest wait in seconds.  A shorter wait may be rounded to nothing, and the timer would then run again and again.
_SHORTEST_WAIT = 0.001
# Google has quotas for each user and for the whole project.  If Google reports a used-up quota to this many accounts of
# a project within a minute, the gateway concludes that the project's quota is used up.
ACCOUNTS_OF_PROJECT_QUOTA = 3

log = Logger()


class CallPacer:
    """The pacers of all Google projects; each pacer lets calls through at a steady rate.

    Mutable: the pacers and the token buckets by project.

    :param clock: ``seconds()`` returns the seconds since the epoch.
    :param calls_per_minute: the limit of each project, or None if there is no limit.
    """

    def __init__(self, *, clock: IReactorTime, calls_per_minute: int | None) -> None:
        self._clock = clock
        # The buckets of the projects, or None without a limit.  Even a minute that begins with a full bucket has no
        # more calls than the limit.
        self._buckets: TokenBuckets | None = None
        if calls_per_minute is not None:
            burst = max(calls_per_minute // _BURST_PART, 1)
            self._buckets = TokenBuckets(burst, MINUTE / max(calls_per_minute - burst, 1), clock.seconds)
        self._projects: dict[str, ProjectPacer] = {}

    def of(self, project: str) -> ProjectPacer:
        """Return the pacer of a Google project.

        :param project: the number of an OAuth client's project, or the id of a service account's project.
        """
        found = self._projects.get(project)
        if found is None:
            found = self._projects[project] = ProjectPacer(project, self._clock, self._buckets)
        return found


class ProjectPacer:
    """The turns of one project's calls; each call takes a token from the project's bucket.

    Mutable: the end of a pause, the calls that wait, and the accounts to which Google has recently reported a used-up
    quota.
    """

    def __init__(self, project: str, clock: IReactorTime, buckets: TokenBuckets | None) -> None:
        self._project = project
        self._clock = clock
        self._buckets = buckets
        self._paused_until = 0.0
        # The calls that wait, as ordered sets: after an outage many calls wait, and each call can be cancelled.
        self._requested: dict[Deferred[None], None] = {}
        self._others: dict[Deferred[None], None] = {}
        self._timer: IDelayedCall | None = None
        self._refused: dict[int, float] = {}

    def turn(self, *, is_requested: bool) -> Deferred[None]:
        """Wait for the turn of one call.

        :param is_requested: whether a person waits for the call.
        :returns: a Deferred that fires when the call may be made; the Deferred can be cancelled.
        """
        if not (self._requested or self._others):
            if not (wait := self._take()):
                return succeed(None)
            self._set_timer(wait)
        calls = self._requested if is_requested else self._others
        forget: Callable[[Deferred[None]], None] = lambda call: calls.pop(call, None)  # noqa: E731  a typed canceller
        waiting: Deferred[None] = Deferred(forget)
        calls[waiting] = None
        return waiting

    def wait_for_quota(self) -> Deferred[None]:
        """Wait while the project's quota is used up; the Deferred can be cancelled."""
        wait = self._pause()
        return deferLater(self._clock, wait) if wait else succeed(None)

    def report(self, account_id: int, error: QuotaExceeded) -> None:
        """Record that Google refused an account's call; if the project's quota is used up, wait for the next minute."""
        now = self._clock.seconds()
        self._refused = {refused: at for refused, at in self._refused.items() if 0 <= now - at < MINUTE} | {
            account_id: now
        }
        if not (error.is_of_project or len(self._refused) >= ACCOUNTS_OF_PROJECT_QUOTA) or self._pause():
            return
        self._paused_until = (now // MINUTE + 1) * MINUTE
        self._refused.clear()
        log.warn(
            "Google project {project}: its quota is used up ({detail}); the gateway makes no call for it until the "
            "next minute",
            event="quota_used_up",
            project=self._project,
            detail=error.detail,
        )

    def _pause(self) -> float:
        """Return the seconds until the project may make a call, or 0 if the project may make a call now."""
        wait = max(self._paused_until - self._clock.seconds(), 0.0)
        if wait > MINUTE:  # the clock was ahead when the pause began
            wait = self._paused_until = 0.0
        return wait

    def _take(self) -> float:
        """Take the turn of one call.

        :returns: 0 if the call may be made now.  Otherwise the result is the time in seconds until the next attempt.
        """
        if (wait := self._pause()) or self._buckets is None:
            return wait
        return self._buckets.take(self._project)

    def _set_timer(self, wait: float) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = self._clock.callLater(max(wait, _SHORTEST_WAIT), self._let_through)

    def _let_through(self) -> None:
        while calls := self._requested or self._others:
            if wait := self._take():
                self._set_timer(wait)
                return
            call = next(iter(calls))
            del calls[call]
            call.callback(None)
