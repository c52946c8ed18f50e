# SPDX-License-Identifier: MIT
"""Calls are paced by Google project: never more in a minute than allowed, and those for a person first."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from twisted.internet.base import DelayedCall
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from ldapgw.errors import QuotaExceeded
from ldapgw.google.endpoints import Client
from ldapgw.sync.pacing import CallPacer

# Twenty seconds into a minute.
NOW = 1_800_000_020.0
ACME = Client("1-acme.apps.googleusercontent.com", "GOCSPX-A")
SAME_PROJECT = Client("1-other.apps.googleusercontent.com", "GOCSPX-B")
GLOBEX = Client("2-globex.apps.googleusercontent.com", "GOCSPX-C")
OF_PROJECT = QuotaExceeded("429", limit="ReadsPerMinutePerProject", metric="people.googleapis.com/read_requests")
OF_USER = QuotaExceeded("429", limit="CriticalReadsPerMinutePerProjectPerUser")


class Calls:
    """Calls that were let through: who, and when."""

    def __init__(self, calls_per_minute: int | None) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.pacer = CallPacer(clock=self.clock, calls_per_minute=calls_per_minute)
        self.made: list[tuple[str, float]] = []

    def ask(self, who: str, client: Client = ACME, *, is_requested: bool = False) -> Callable[[], None]:
        """Ask for a turn; returns what cancels it."""
        turn = self.pacer.of(client.project).turn(is_requested=is_requested)
        turn.addCallback(lambda _: self.made.append((who, self.clock.seconds() - NOW)))
        turn.addErrback(lambda failure: failure.trap(CancelledError))
        return turn.cancel

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds * 20)):
            self.clock.advance(0.05)

    def names(self) -> list[str]:
        return [who for who, _ in self.made]


@pytest.mark.parametrize("limit", [1, 5, 12, 120, 600])
def test_no_minute_has_more_calls_than_allowed(limit: int) -> None:
    """Wherever the minute begins; and hardly fewer."""
    calls = Calls(limit)
    for number in range(3 * limit + 1):
        calls.ask(f"{number}")
    calls.wait(240)
    times = [at for _, at in calls.made]
    assert len(times) == 3 * limit + 1
    # A limit of 1 lets one call through at once and one a minute later.
    assert max(sum(start <= at < start + 60 for at in times) for start in times) <= limit
    assert times[-1] <= 60 * (len(times) / max(limit * 11 / 12 - 1, 1) + 1)


class CountingClock(Clock):
    """Counts the timers that are set, and gives up where they are too many."""

    timers = 0

    def callLater(self, when: float, what: Callable[..., object], *args: object, **kw: object) -> DelayedCall:
        self.timers += 1
        assert self.timers < 1000
        return super().callLater(when, what, *args, **kw)


def test_a_wait_too_short_for_the_clock_is_no_timer_that_runs_again_and_again() -> None:
    """Seconds since the epoch have steps of a quarter of a microsecond."""
    clock = CountingClock()
    clock.advance(NOW)
    pacer, made = CallPacer(clock=clock, calls_per_minute=120), []
    for number in range(300):
        pacer.of(ACME.project).turn(is_requested=False).addCallback(lambda _, number=number: made.append(number))
    for _ in range(200):
        clock.advance(1)
    assert made == list(range(300))


def test_without_a_limit_nobody_waits() -> None:
    """As with a sandbox on the same machine."""
    calls = Calls(None)
    for number in range(1000):
        calls.ask(f"{number}")
    assert calls.names() == [f"{number}" for number in range(1000)]


def test_people_go_first() -> None:
    """A thousand syncs that wait do not hold them up; the others keep their order, and who has gone takes no turn."""
    calls = Calls(12)
    calls.ask("first")
    cancels = [calls.ask(f"timed {number}") for number in range(1000)]
    calls.ask("person", is_requested=True)
    cancels[1]()
    calls.wait(17)
    assert calls.names() == ["first", "person", "timed 0", "timed 2"]


def test_a_used_up_quota_of_a_project_stops_its_calls_until_the_next_minute() -> None:
    """Of all its clients, also of a person's; other projects go on.  Google counts anew with each minute."""
    calls = Calls(600)
    calls.ask("before")
    calls.pacer.of(ACME.project).report(7, OF_PROJECT)
    for who, client in (("same", SAME_PROJECT), ("own", ACME), ("other", GLOBEX)):
        calls.ask(who, client)
    calls.ask("person", is_requested=True)
    calls.wait(39.9)
    assert calls.names() == ["before", "other"]
    calls.wait(1)
    assert calls.names() == ["before", "other", "person", "same", "own"]


def test_three_accounts_within_a_minute_show_it_too() -> None:
    """Google may name another limit or none; one account's quota is its own."""
    calls = Calls(None)
    for _ in range(5):
        calls.pacer.of(ACME.project).report(1, OF_USER)
    calls.pacer.of(ACME.project).report(2, OF_USER)
    calls.wait(61)
    calls.pacer.of(ACME.project).report(3, QuotaExceeded())
    calls.ask("still")
    assert calls.names() == ["still"]
    calls.pacer.of(ACME.project).report(4, QuotaExceeded())
    calls.pacer.of(ACME.project).report(5, OF_USER)
    calls.ask("in the next minute")
    calls.wait(39)
    assert calls.names() == ["still"]
    calls.wait(2)
    calls.pacer.of(ACME.project).report(6, OF_USER)  # the earlier refusals no longer count
    calls.ask("at once")
    assert calls.names() == ["still", "in the next minute", "at once"]


def test_it_is_told_once(caplog_twisted: list[str]) -> None:
    """With Google's own word for the limit."""
    calls = Calls(None)
    for account_id in range(5):
        calls.pacer.of(ACME.project).report(account_id, OF_PROJECT)
    assert caplog_twisted == [
        "Google project 1: its quota is used up (429); the gateway makes no call for it until the next minute"
    ]


def test_a_clock_that_was_ahead_does_not_stop_calls() -> None:
    """It was set back by two minutes; refusals from the time before do not count."""
    calls = Calls(120)
    calls.clock.advance(120)
    calls.ask("ahead")
    for account_id in (1, 2):
        calls.pacer.of(ACME.project).report(account_id, OF_USER)
    calls.clock.rightNow -= 120
    calls.ask("now")
    calls.wait(2)
    calls.pacer.of(ACME.project).report(3, OF_USER)
    calls.ask("next")
    assert calls.names() == ["ahead", "now", "next"]


def test_a_pause_of_a_clock_that_was_ahead_does_not_return() -> None:
    """The pause is over for good, also when the clock reaches the time at which the pause began."""
    calls = Calls(120)
    calls.clock.advance(3600)
    calls.pacer.of(ACME.project).report(1, OF_PROJECT)
    calls.clock.rightNow -= 3600
    calls.ask("now")
    calls.clock.rightNow += 3610
    calls.ask("then")
    assert calls.names() == ["now", "then"]


def test_a_clock_that_is_set_back_a_little_does_not_stop_calls() -> None:
    """The tokens that the project had before are still there."""
    calls = Calls(120)
    calls.ask("before")
    calls.clock.rightNow -= 30
    for number in range(9):
        calls.ask(f"{number}")
    assert calls.names() == ["before", *map(str, range(9))]
    calls.ask("without a token")
    calls.wait(1)
    assert calls.names() == ["before", *map(str, range(9)), "without a token"]
