# SPDX-License-Identifier: MIT
"""Periodic work: one run at a time, failures that are reported once, and a stop in good order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from ldapgw.errors import LeadLost, StoreError
from ldapgw.store.periodic import PeriodicService


class Scene:
    """A periodic service on a clock that the test turns, what it has done, and what it has reported."""

    def __init__(self, work: Callable[[], Any] | None = None, **settings: Any) -> None:
        self.clock = Clock()
        self.began: list[float] = []
        self.reports: list[str] = []
        self.done: list[str] = []
        self.runs: list[Deferred[None]] = []
        self._work = work
        last = (lambda: self.done.append("last")) if settings.pop("has_last", False) else None
        self.service = PeriodicService(self.clock, 10.0, self._begin, self._report, last=last, **settings)

    def _begin(self) -> Any:
        self.began.append(self.clock.seconds())
        if self._work is not None:
            return self._work()
        return self._wait()

    async def _wait(self) -> None:
        self.runs.append(Deferred())
        try:
            await self.runs[-1]
        except CancelledError:
            self.done.append("cancelled")
            raise
        self.done.append("run")

    def _report(self, failure: Failure) -> None:
        self.reports.append(failure.getErrorMessage())


@pytest.mark.parametrize(("now", "began"), [(True, [0.0, 10.0, 20.0]), (False, [10.0, 20.0])])
def test_work_is_done_again_and_again(now: bool, began: list[float]) -> None:
    """At the start or a period later, and until the stop; a function may be no coroutine."""
    scene = Scene(lambda: None, now=now)
    scene.service.startService()
    for _ in range(25):
        scene.clock.advance(1.0)
    assert scene.service.stopService().called
    scene.clock.advance(100.0)
    assert scene.began == began


def test_one_run_at_a_time() -> None:
    """Runs that are due meanwhile are left out, also a run that somebody asks for; the next one keeps the rhythm."""
    scene = Scene()
    scene.service.startService()
    scene.clock.advance(25.0)
    asked = scene.service.run_now()
    assert (scene.began, asked.called) == ([0.0], False)
    scene.runs[0].callback(None)
    assert asked.called
    scene.clock.advance(5.0)
    assert scene.began == [0.0, 30.0]


def test_a_run_that_somebody_asks_for_begins_at_once() -> None:
    scene = Scene()
    scene.service.startService()
    scene.runs[0].callback(None)
    scene.clock.advance(3.0)
    asked = scene.service.run_now()
    assert (scene.began, asked.called) == ([0.0, 3.0], False)
    scene.runs[1].callback(None)
    assert asked.called


def test_a_failure_is_reported_once() -> None:
    """Until the work has succeeded, or fails in another way; the work is done again nevertheless."""
    errors = [OSError("a"), OSError("a"), None, OSError("a"), OSError("b"), StoreError("away"), LeadLost(), None]
    left = iter(errors)

    def work() -> None:
        error = next(left)
        if error is not None:
            raise error

    scene = Scene(work)
    scene.service.startService()
    for _ in errors[1:]:
        scene.clock.advance(10.0)
    assert (len(scene.began), scene.reports) == (len(errors), ["a", "a", "b"])


def test_other_work_is_reported_by_itself() -> None:
    """A run that succeeds between two failures of it does not have the failure reported again."""

    async def other() -> None:
        raise OSError("other")

    scene = Scene(lambda: None)
    scene.service.startService()
    for _ in range(2):
        assert scene.service.attempt(other).called
        scene.clock.advance(10.0)
    assert scene.reports == ["other"]


@pytest.mark.parametrize(
    ("waits", "at_stop", "in_the_end"), [(False, ["cancelled", "last"], []), (True, [], ["run", "last"])]
)
def test_the_stop_ends_the_run_under_way(waits: bool, at_stop: list[str], in_the_end: list[str]) -> None:
    """It cancels the run or waits for it, and then the last work is done."""
    scene = Scene(waits=waits, has_last=True)
    scene.service.startService()
    ended = scene.service.stopService()
    assert (scene.done, ended.called) == (at_stop, not waits)
    if waits:
        scene.runs[0].callback(None)
        assert (scene.done, ended.called) == (in_the_end, True)
    assert (scene.reports, scene.clock.getDelayedCalls()) == ([], [])
