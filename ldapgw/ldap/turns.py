# SPDX-License-Identifier: MIT
"""Shares the turns of the reactor among clients, so that no client slows others down by sending more requests.

A *requester* is a login, or the network of a client that is not bound.  Time is shared among requesters, and not among
connections.  In each turn, a requester has one slice of time for new requests, and one slice for unfinished work.  All
new requests share one budget of time in a turn, and all unfinished work shares another budget.  Work that does not fit
waits for a later turn.  The scheduler serves one `Worker` of each requester in rotation.  So a client waits longer if
there are more requesters, but not if another requester sends more requests.  At most `_MOST_BEGUN` requests of a
requester are in progress after their first slice.

`TurnScheduler` first computes the answers of the fast path for up to 16 connections, then sends the answers, and then
notifies the observers.  Connections that need the slow path come last.  Repeating one step for several connections
keeps the processor's caches warm.  Sending several answers in a row keeps the client's process awake.  On a virtual
machine, waking a client took longer than computing an answer (docs/decisions/0051).

This module has no clock: callers pass a function that tells the time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred

from ldapgw.ldap.fast_path import FastAnswer
from ldapgw.ldap.limits import SLICE, TURN

# The maximum number of answers that are computed before they are sent.  So an answer waits for at most 15 other
# answers, which take some 0.2 ms.
_MAX_UNSENT: Final = 16
# The maximum number of unfinished requests of a login or network that are continued in rotation.  Other requests wait
# as octets, because hundreds of prepared filters with many terms would be half a million objects, and a garbage
# collection would take 0.2 s.
_MOST_BEGUN: Final = 8
# The least time in seconds that a worker gets.
_LEAST: Final = 0.00005
# The gateway's own work is queued under this name, in place of a login or network.
_OWN: Final = ""

# A function that schedules the call of another function at the end of the current turn, or in the next turn.
CallAtTickEnd = Callable[[Callable[[], None]], object]
# A function that waits for the turn of a login or a network (`TurnScheduler.turn_of`).
TurnOf = Callable[[str], Awaitable[None]]


class Worker(Protocol):
    """A worker, which does its work in slices.

    :ivar requester: the DN of the login, or the network of a client that is not bound.
    :ivar is_queued: whether the worker waits in the scheduler; only the scheduler sets this attribute.
    """

    is_queued: bool

    @property
    def requester(self) -> str: ...

    def work(self, seconds: float) -> bool:
        """Work for at most about `seconds`, and return whether more work can be done now.  Never raise an exception."""


class TurnMember(Worker, Protocol):
    """The part of a connection that the scheduler uses; its methods raise no exceptions."""

    def answer(self) -> FastAnswer | None:
        """Return the answer to the received octets, or None if only the slow path (`work`) can answer."""

    def send(self, octets: bytes) -> None:
        """Send octets now."""

    def record(self, answer: FastAnswer, now: float, seconds: float) -> None:
        """Take note of an answer that was sent.

        :param now: the time at which the answer has been sent.
        :param seconds: the time that was spent on all answers that were sent together.
        """


_W = TypeVar("_W", bound=Worker)


class Lane(Generic[_W]):
    """The workers that wait for a slice, by login or network.

    Mutable: the waiting workers, and the time that each login or network (*requester*) has used in this turn.
    """

    __slots__ = ("_order", "_rested", "_spent", "_used", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[str, deque[_W]] = {}
        # The logins and networks with waiting workers.  `_order` has the logins and networks that are served in this
        # turn, in the order of service.  `_rested` has the logins and networks that have no time left in this turn.
        self._order: deque[str] = deque()
        self._rested: list[str] = []
        self._used: dict[str, float] = {}
        self._spent = 0.0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def begin_turn(self) -> None:
        """Begin a turn with new slices; logins and networks that were not served in the last turn come first."""
        self._order.extend(self._rested)
        self._rested.clear()
        self._used.clear()
        self._spent = 0.0

    def add(self, worker: _W) -> None:
        """Queue a worker behind the other workers of the same login or network."""
        self._place_of(worker).append(worker)

    def put_back(self, worker: _W) -> None:
        """Queue a worker, with at most `_MOST_BEGUN` - 1 workers of the same login or network in front."""
        self._place_of(worker).insert(_MOST_BEGUN - 1, worker)

    def _place_of(self, worker: _W) -> deque[_W]:
        """Mark a worker as queued, and return the queue to which the caller must add the worker."""
        worker.is_queued = True
        requester = worker.requester
        waiting = self._waiting.get(requester)
        if waiting is None:
            waiting = self._waiting[requester] = deque()
            self._order.append(requester)
        return waiting

    def is_full(self, requester: str) -> bool:
        """Return whether `_MOST_BEGUN` workers of a login or network wait, so that no other worker may begin."""
        waiting = self._waiting.get(requester)
        return waiting is not None and len(waiting) >= _MOST_BEGUN

    def take(self) -> Iterator[_W]:
        """Remove and yield workers until no login and no network has time left in this turn.

        Each round yields one worker of each login or network that has time left.
        """
        order = self._order
        while order and TURN - self._spent >= _LEAST:
            requester = order.popleft()
            if not self.time_left(requester):
                self._rested.append(requester)
                continue
            waiting = self._waiting[requester]
            worker = waiting.popleft()
            if waiting:
                order.append(requester)
            else:
                del self._waiting[requester]
            yield worker

    def time_left(self, requester: str) -> float:
        """Return the seconds that a login or network may still use in this turn."""
        if TURN - self._spent < _LEAST:
            return 0.0
        left = SLICE - self._used.get(requester, 0.0)
        return left if left >= _LEAST else 0.0

    def charge(self, requester: str, seconds: float) -> None:
        """Count seconds as used by a login or network.

        The seconds also count against the time of the turn (`TURN`), but at most `SLICE` for each login or network.
        """
        used = self._used.get(requester, 0.0)
        self._used[requester] = used + seconds
        self._spent += min(seconds, max(0.0, SLICE - used))


class TurnScheduler:
    """The scheduler, which decides in which turn a request is served.

    With the scheduler, a gateway answers 21 % more reverse look-ups a second (``scripts/bench parts``).

    Mutable: the waiting workers, and the output that waits to be sent.

    :param call_at_tick_end: calls a function at the end of the reactor's turn, when all sockets have been read.
    :param call_soon: calls a function in the next turn.
    """

    __slots__ = (
        *("_call_at_tick_end", "_call_soon", "_is_end_due", "_is_turn_due", "_new", "_received", "_requests"),
        *("_unfinished", "_unsent", "seconds"),
    )

    def __init__(self, seconds: Callable[[], float], call_at_tick_end: CallAtTickEnd, call_soon: CallAtTickEnd) -> None:
        self.seconds = seconds
        self._call_at_tick_end = call_at_tick_end
        self._call_soon = call_soon
        self._received: list[TurnMember] = []
        # The new requests over HTTP, which have no fast path.
        self._requests: list[Worker] = []
        self._new: Lane[TurnMember] = Lane()
        self._unfinished: Lane[Worker] = Lane()
        self._unsent: list[tuple[TurnMember, bytes]] = []
        self._is_end_due = self._is_turn_due = False

    def add(self, member: TurnMember) -> None:
        """Queue a connection that has received octets; the connection must not be queued yet."""
        member.is_queued = True
        self._received.append(member)
        self._call_end_of_turn()

    def resume(self, worker: Worker) -> None:
        """Queue a worker to continue in a later turn; the worker must not be queued yet."""
        self._unfinished.put_back(worker)
        self._call_next_turn()

    def run(self, slices: Iterator[None]) -> None:
        """Do the gateway's own work in slices, in later turns."""
        self.resume(_Slices(slices, self.seconds))

    def turn_of(self, requester: str) -> Awaitable[None]:
        """Wait for the turn of a login or network.

        The caller's work until the next wait is charged to the slice of the login or network.
        """
        waiter = _Waiter(requester)
        self.resume(waiter)
        return waiter.deferred

    def first_turn_of(self, requester: str) -> Awaitable[None]:
        """Wait until a new request may begin: at the end of this turn, or later if the requester has no time left."""
        waiter = _Waiter(requester)
        waiter.is_queued = True
        self._requests.append(waiter)
        self._call_end_of_turn()
        return waiter.deferred

    def end(self) -> None:
        """Answer the received requests of the logins and networks that have time left in this turn."""
        received, self._received = self._received, []
        if received or self._requests:
            self._serve_new(received)
            self._call_next_turn()

    def end_turn(self) -> None:
        """Answer the received requests at the end of a turn."""
        self._is_end_due = False
        self.end()
        if not self._is_turn_due:
            self._new.begin_turn()

    def enqueue(self, member: TurnMember, octets: bytes) -> None:
        """Queue octets that the slow path has made, so that the octets are sent together with other answers."""
        self._unsent.append((member, octets))
        if len(self._unsent) >= _MAX_UNSENT:
            self.flush()

    def flush(self) -> None:
        """Send the queued output, so that the output does not wait for long work and comes before later output."""
        if self._unsent:
            unsent, self._unsent = self._unsent, []
            for member, octets in unsent:
                member.send(octets)

    def _call_end_of_turn(self) -> None:
        """Schedule `end_turn`, unless it is scheduled already."""
        if not self._is_end_due:
            self._is_end_due = True
            self._call_at_tick_end(self.end_turn)

    def _begin_turn(self) -> None:
        self._is_turn_due = False
        self._new.begin_turn()
        self._unfinished.begin_turn()
        self._serve_new([])
        for worker in self._unfinished.take():
            if self._work(worker, self._unfinished):
                self._unfinished.put_back(worker)
            self.flush()
        self._call_next_turn()

    def _call_next_turn(self) -> None:
        """Schedule the next turn if there is work for the next turn."""
        if (self._new or self._unfinished) and not self._is_turn_due:
            self._is_turn_due = True
            self._call_soon(self._begin_turn)

    def _serve_new(self, received: list[TurnMember]) -> None:
        """Serve the requests received in this turn, and the requests that wait from earlier turns."""
        new, members = self._new, iter(received)
        if new or len(received) > _MAX_UNSENT:
            for member in received:
                new.add(member)
            members = new.take()
        slow: list[Worker] = []
        while self._answer(members, slow):
            pass
        requests, self._requests = self._requests, []
        slow += requests
        unfinished: list[Worker] = []
        for worker in slow:
            if not new.time_left(worker.requester) or self._unfinished.is_full(worker.requester):
                self._unfinished.add(worker)
            elif self._work(worker, new):
                unfinished.append(worker)
        for worker in unfinished:
            self._unfinished.put_back(worker)
        self.flush()

    def _answer(self, members: Iterator[TurnMember], slow: list[Worker]) -> bool:
        """Answer requests of the turn on the fast path, and add the members that need the slow path to the list `slow`.

        :returns: whether there may be more members to answer.
        """
        new, seconds = self._new, self.seconds
        answered: list[tuple[TurnMember, str, FastAnswer]] = []
        began = now = seconds()
        for member in members:
            requester = member.requester
            if not new.time_left(requester):
                new.add(member)
                continue
            answer = member.answer()
            then = seconds()
            new.charge(requester, then - now)
            now = then
            if answer is None:
                slow.append(member)
                continue
            member.is_queued = False
            answered.append((member, requester, answer))
            if len(answered) == _MAX_UNSENT:
                break
        if not answered:
            return False
        for member, _, fast_answer in answered:
            member.send(fast_answer.octets)
        sent = seconds()
        for member, _, fast_answer in answered:
            member.record(fast_answer, sent, sent - began)
        each = (seconds() - now) / len(answered)
        for _, requester, _ in answered:
            new.charge(requester, each)
        return len(answered) == _MAX_UNSENT

    def _work(self, worker: Worker, lane: Lane[Any]) -> bool:
        """Let a worker use the rest of its requester's slice; return whether to queue the worker again."""
        worker.is_queued = False
        requester, began = worker.requester, self.seconds()
        is_unfinished = worker.work(lane.time_left(requester))
        lane.charge(requester, self.seconds() - began)
        return is_unfinished and not worker.is_queued


class _Slices:
    """A `Worker` for the gateway's own work: a generator whose steps take at most a slice each."""

    __slots__ = ("_seconds", "_steps", "is_queued", "requester")

    def __init__(self, steps: Iterator[None], seconds: Callable[[], float]) -> None:
        self.requester = _OWN
        self.is_queued = False
        self._steps = steps
        self._seconds = seconds

    def work(self, seconds: float) -> bool:
        end = self._seconds() + seconds
        return any(self._seconds() >= end for _ in self._steps)  # `any` stops after the first step that reaches `end`


class _Waiter:
    """A `Worker` for a coroutine that waits for the turn of a login or network.

    :ivar deferred: fires in the turn of the login or network; may be cancelled.
    """

    __slots__ = ("deferred", "is_queued", "requester")

    def __init__(self, requester: str) -> None:
        self.requester = requester
        self.is_queued = False
        self.deferred: Deferred[None] = Deferred()

    def work(self, _seconds: float) -> bool:
        if not self.deferred.called:
            self.deferred.callback(None)
        return False
