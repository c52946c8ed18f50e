# SPDX-License-Identifier: MIT
"""Each requester has a slice in each turn, whatever its connections; who asks little never waits for who asks much.

The clock is the test's: it moves only while a member answers or works.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from twisted.internet.defer import CancelledError, Deferred

from ldapgw.ldap.fast_path import FastAnswer
from ldapgw.ldap.limits import SLICE, TURN
from ldapgw.ldap.turns import TurnScheduler

MS = 0.001


class Reactor:
    """A reactor whose turns the test makes.

    :ivar done: what members did, in order.
    :ivar slices: how long each requester was worked for, and how often it was answered, in the current turn.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.done: list[str] = []
        self.seconds: Counter[str] = Counter()
        self._ends: list[Callable[[], None]] = []
        self._soon: list[Callable[[], None]] = []
        self.turns = TurnScheduler(lambda: self.now, self._ends.append, self._soon.append)

    def turn(self, *members: Member) -> list[str]:
        """Make one turn in which these members receive something; what was done in it."""
        self.done.clear()
        self.seconds.clear()
        self._call(self._soon)
        for member in members:
            self.turns.add(member)
        self._call(self._ends)
        return [*self.done]

    @property
    def rests(self) -> bool:
        """Return True if nothing is left to do."""
        return not self._soon and not self._ends

    @staticmethod
    def _call(calls: list[Callable[[], None]]) -> None:
        due = [*calls]
        calls.clear()
        for call in due:
            call()


class Member:
    """A connection that needs time.

    :param cost: seconds of the fast path's answer; 0: it has none.
    :param work: seconds of work on the slow path.
    :param step: seconds of that work that cannot be divided.
    """

    def __init__(
        self,
        reactor: Reactor,
        requester: str,
        name: str = "",
        cost: float = 0.0,
        work: float = 0.0,
        step: float = MS / 4,
    ) -> None:
        self.requester = requester
        self.is_queued = False
        self._name = name or requester
        self._reactor = reactor
        self._cost = cost
        self._left = work
        self._step = step

    def answer(self) -> FastAnswer | None:
        if not self._cost:
            return None
        self._take("find", self._cost)
        return FastAnswer(b"answer", b"asked", 1)

    def send(self, octets: bytes) -> None:
        self._reactor.done.append(f"send {self._name} {octets.decode()}")

    def record(self, answer: FastAnswer, now: float, seconds: float) -> None:
        self._reactor.done.append(f"note {self._name} {answer.search.decode()} {seconds / MS:g}")

    def work(self, seconds: float) -> bool:
        end = self._reactor.now + seconds
        self._reactor.done.append(f"work {self._name}")
        while True:
            self._left -= self._step
            self._reactor.now += self._step
            self._reactor.seconds[self.requester] += self._step
            if self._left < self._step / 2 or self._reactor.now > end - self._step / 2:
                return self._left > self._step / 2

    def _take(self, what: str, seconds: float) -> None:
        self._reactor.done.append(f"{what} {self._name}")
        self._reactor.now += seconds
        self._reactor.seconds[self.requester] += seconds


@pytest.fixture(name="reactor")
def _reactor() -> Reactor:
    return Reactor()


def found(done: list[str]) -> list[str]:
    """Return the requests answered on the fast path, in order."""
    return [one.removeprefix("find ") for one in done if one.startswith("find ")]


def worked(done: list[str]) -> list[str]:
    """Return the requests that were worked on, in order."""
    return [one.removeprefix("work ") for one in done if one.startswith("work ")]


# --- what comes in one turn -------------------------------------------------------------------------------------------


def test_a_turn_does_one_thing_after_the_other(reactor: Reactor) -> None:
    """Answers are found, then sent, then recorded; the slow path comes last."""
    a, b, c = (Member(reactor, name, cost=cost, work=MS / 4) for name, cost in (("a", MS / 8), ("b", 0), ("c", MS / 8)))
    assert reactor.turn(a, b, c) == [
        *("find a", "find c", "send a answer", "send c answer"),
        *("note a asked 0.25", "note c asked 0.25", "work b"),
    ]
    assert reactor.rests
    assert reactor.turn() == []


def test_nobody_waits_for_more_than_fifteen_others(reactor: Reactor) -> None:
    """Neither for what is found, nor for the end of what took longer."""
    done = reactor.turn(*(Member(reactor, str(at), cost=MS / 100) for at in range(17)))
    assert [one.split()[0] for one in done] == [
        word for n in (16, 1) for word in ("find", "send", "note") for _ in range(n)
    ]
    reactor.done.clear()
    for at in range(17):
        reactor.turns.enqueue(Member(reactor, str(at)), b"late")
    assert reactor.done == [f"send {at} late" for at in range(16)]
    reactor.turns.flush()
    assert reactor.done[16:] == ["send 16 late"]
    reactor.turns.flush()
    assert len(reactor.done) == 17


def test_who_asks_once_does_not_wait_for_who_asks_often(reactor: Reactor) -> None:
    """A desk that asks once goes first; the others have a slice in each turn, and are answered in their order."""
    flood = [Member(reactor, "flood", f"flood{at}", cost=0.105 * MS) for at in range(40)]
    done = reactor.turn(*flood, Member(reactor, "desk", cost=0.105 * MS))
    assert "desk" in found(done)[:2]
    turns = [[name for name in found(done) if name != "desk"]]
    for _ in range(3):
        turns.append(found(reactor.turn(Member(reactor, "desk", cost=0.105 * MS))))
        assert turns[-1].pop() == "desk"
    assert [len(each) for each in turns] == [10, 10, 10, 10]
    assert [name for each in turns for name in each] == [f"flood{at}" for at in range(40)]
    assert reactor.rests


def test_dear_answers_are_counted_one_by_one(reactor: Reactor) -> None:
    """An answer that takes more than a slice is the only one of its requester in the turn."""
    flood = [Member(reactor, "flood", f"flood{at}", cost=3 * MS) for at in range(3)]
    assert found(reactor.turn(*flood, Member(reactor, "desk", cost=MS))) == ["flood0", "desk"]
    assert [found(reactor.turn()), found(reactor.turn())] == [["flood1"], ["flood2"]]


def test_a_dear_answer_takes_one_slice_of_the_turn(reactor: Reactor) -> None:
    """However long it took, others are answered in the same turn."""
    members = [Member(reactor, "dear", cost=4 * TURN), *(Member(reactor, f"desk{at}", cost=MS / 4) for at in range(20))]
    assert found(reactor.turn(*members)) == ["dear", *(f"desk{at}" for at in range(16))]
    assert found(reactor.turn()) == [f"desk{at}" for at in range(16, 20)]


def test_sending_counts_too(reactor: Reactor) -> None:
    """It takes as long as finding, and is shared out among those who were sent to."""

    class Talkative(Member):
        def send(self, octets: bytes) -> None:
            self._reactor.now += MS / 2

    flood = [Talkative(reactor, "flood", f"flood{at}", cost=MS / 100) for at in range(32)]
    assert len(found(reactor.turn(*flood))) == 16  # a group, which takes more than a slice


def test_many_requesters_share_the_budget_of_a_turn(reactor: Reactor) -> None:
    """Each is answered before any of them is answered again; those who had no turn come first in the next one."""
    members = [Member(reactor, f"desk{at}", f"desk{at}.{n}", cost=MS / 4) for n in range(2) for at in range(30)]
    turns = [found(reactor.turn(*members)), found(reactor.turn()), found(reactor.turn())]
    assert [len(each) for each in turns] == [20, 20, 20]
    answered = [name for each in turns for name in each]
    assert sorted(answered[:30]) == sorted(f"desk{at}.0" for at in range(30))
    assert sorted(answered[30:]) == sorted(f"desk{at}.1" for at in range(30))
    assert answered[:30] == [f"desk{at}.0" for at in range(30)]


def test_what_comes_in_several_parts_of_one_turn_has_one_slice(reactor: Reactor) -> None:
    """As over TLS, where requests are answered as soon as they were received."""
    for at in range(20):
        reactor.turns.add(Member(reactor, "flood", f"flood{at}", cost=0.105 * MS))
        reactor.turns.end()
    reactor.turns.end()  # nothing came
    assert len(found(reactor.done)) == 10
    assert len(found(reactor.turn())) == 10


# --- the slow path ----------------------------------------------------------------------------------------------------


def test_the_first_slices_of_a_turn_have_a_budget(reactor: Reactor) -> None:
    """Of many who ask for much at once, some have their first slice in that turn, and the others in the next ones."""
    greedy = [Member(reactor, f"replica{at}", work=100 * MS) for at in range(30)]
    first = reactor.turn(*greedy)
    assert worked(first) == [f"replica{at}" for at in range(5)]
    seen = Counter(worked(first))
    for _ in range(5):
        done = reactor.turn(Member(reactor, "desk", cost=0.105 * MS))
        assert found(done) == ["desk"]
        seen += Counter(worked(done))
        assert sum(reactor.seconds.values()) <= TURN + MS
    assert set(seen.values()) == {1}
    assert len(seen) == 30


def test_one_login_has_one_slice_of_unfinished_work(reactor: Reactor) -> None:
    """Its connections take turns within it; another login has as much."""
    flood = [Member(reactor, "flood", f"flood{at}", work=3 * MS) for at in range(4)]
    reactor.turn(*flood)
    served = []
    while not reactor.rests:
        done = worked(reactor.turn())
        served += done
        assert reactor.seconds["flood"] <= SLICE + 1e-9
    assert len(served) == 11  # a slice was the first one's in the turn in which it came
    assert served[:4] == ["flood1", "flood2", "flood3", "flood0"]
    reactor.turn(*flood_of(reactor, "a", 3), *flood_of(reactor, "b", 1))
    reactor.turn()
    assert reactor.seconds == {"a": pytest.approx(MS), "b": pytest.approx(MS)}


def test_unfinished_work_that_had_no_slice_comes_first(reactor: Reactor) -> None:
    """Behind it, the others keep their order."""
    greedy = [Member(reactor, name, work=10 * MS) for name in ("first", "second", "late")]
    reactor.turn(*greedy[:2])
    assert worked(reactor.turn(greedy[2])) == ["first", "second", "late"]
    assert worked(reactor.turn()) == ["late", "first", "second"]


def flood_of(reactor: Reactor, requester: str, count: int) -> list[Member]:
    return [Member(reactor, requester, work=10 * MS) for _ in range(count)]


def test_what_is_left_of_a_slice_is_the_next_connections(reactor: Reactor) -> None:
    """Two that need half a slice have one together."""
    members = [Member(reactor, "desk", f"desk{at}", work=MS / 2) for at in range(5)]
    assert [worked(reactor.turn(*members)), worked(reactor.turn())] == [["desk0", "desk1"], ["desk2", "desk3"]]
    assert worked(reactor.turn()) == ["desk4"]
    assert reactor.rests


def test_new_requests_do_not_wait_for_unfinished_ones_of_the_same_login(reactor: Reactor) -> None:
    """A phone is answered at once although forty others with the same login list the whole directory."""
    reactor.turn(*flood_of(reactor, "all", 40))
    done = reactor.turn(Member(reactor, "all", "phone", cost=0.105 * MS))
    assert found(done) == ["phone"]
    assert len(worked(done)) == 1


def test_of_many_requests_of_a_login_few_have_begun(reactor: Reactor) -> None:
    """The others hold no filter: hundreds of filters would make garbage collections long.  All are answered."""
    reactor.turn(*(Member(reactor, "all", f"all{at}", work=3 * MS) for at in range(20)))
    slices = Counter({"all0": 1})
    most = 0
    while not reactor.rests:
        # One more comes later, and waits too.
        slices.update(worked(reactor.turn(*([Member(reactor, "all", "late", work=3 * MS)] if most == 0 else []))))
        most = max(most, sum(0 < count < 3 for count in slices.values()))
    assert most == 8
    assert slices == dict.fromkeys([*(f"all{at}" for at in range(20)), "late"], 3)


def test_who_is_resumed_while_it_works_is_queued_once(reactor: Reactor) -> None:
    """As a connection whose client takes the output at that moment."""

    class Resumed(Member):
        def work(self, seconds: float) -> bool:
            more = super().work(seconds)
            if more:
                reactor.turns.resume(self)
            return more

    reactor.turn(Resumed(reactor, "desk", work=3 * MS))
    assert [worked(reactor.turn()), worked(reactor.turn()), reactor.rests] == [["desk"], ["desk"], True]


# --- other work -------------------------------------------------------------------------------------------------------


def test_own_work_has_a_slice_too(reactor: Reactor) -> None:
    """The gateway's: it is done step by step, beside those who ask."""
    steps: list[int] = []

    def work() -> Iterator[None]:
        for at in range(5):
            reactor.now += MS / 2
            steps.append(at)
            yield

    reactor.turns.run(work())
    reactor.turn(*flood_of(reactor, "flood", 2))
    counts = [len(steps)]
    while len(steps) < 5:
        assert worked(reactor.turn()) == ["flood"]
        counts.append(len(steps))
    assert counts == [2, 4, 5]


def test_a_coroutine_waits_for_its_requesters_turn(reactor: Reactor) -> None:
    """A coroutine's work until it waits again counts; another requester has its slice in the same turn.

    A request that begins has the slice for new requests, in the turn that it came in.
    """
    read: list[str] = []

    async def reader(requester: str, name: str, parts: int) -> None:
        for part in range(parts):
            await (reactor.turns.turn_of(requester) if part else reactor.turns.first_turn_of(requester))
            reactor.now += MS
            read.append(name)

    readers = [Deferred.fromCoroutine(reader("flood", f"flood{at}", 2)) for at in range(3)]
    readers.append(Deferred.fromCoroutine(reader("desk", "desk", 2)))
    turns = []
    while not reactor.rests:
        read.clear()
        reactor.turn()
        turns.append([*read])
    assert turns == [["flood0", "desk"], ["flood0", "desk"], ["flood1"], ["flood2"], ["flood1"], ["flood2"]]
    assert all(each.called for each in readers)


def test_who_has_gone_waits_no_more(reactor: Reactor) -> None:
    """A coroutine that is cancelled takes no slice, nor does it keep others from theirs."""
    read: list[str] = []

    async def reader(name: str) -> None:
        await reactor.turns.turn_of("desk")
        reactor.now += MS
        read.append(name)

    gone, there = (Deferred.fromCoroutine(reader(name)) for name in ("gone", "there"))
    ended: list[type[BaseException]] = []
    gone.addErrback(lambda failure: ended.append(failure.type))
    gone.cancel()
    reactor.turn()
    assert (read, ended, there.called, reactor.rests) == (["there"], [CancelledError], True, True)
