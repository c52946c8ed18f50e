# SPDX-License-Identifier: MIT
"""A conversation in memory whose cost is measured: how long the reactor was kept in any one turn."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ParamSpec

from twisted.internet.task import Clock

from ldapgw.ldap.server import LdapFactory
from ldapgw.ldap.session import DirectoryPort
from tests.support import pdu
from tests.support.phonebook.wire import DESK1, LOCAL_NET, SECRET, Client, LiveClock, make_factory, turn

# Seconds of work in one reactor turn: two slices are 10 ms; the rest is for the machine.
MOMENT = 0.05
NOTICE = "1.3.6.1.4.1.1466.20036"


P = ParamSpec("P")


class TooLong(AssertionError):
    """A turn took longer than it may."""


def in_a_moment(*turns: float) -> None:
    """Hold seconds of work against what a turn may take.

    :raises TooLong: when one is longer.
    """
    if max(turns) >= MOMENT:
        raise TooLong(f"{max(turns):.3f} s in one turn")


def best_of_three(test: Callable[P, None]) -> Callable[P, None]:
    """Try again what was `TooLong`: a machine that stands still makes one turn long, what is slow makes each."""

    @functools.wraps(test)
    def tried(*args: P.args, **kw: P.kwargs) -> None:
        for _ in range(2):
            with suppress(TooLong):
                return test(*args, **kw)
        return test(*args, **kw)

    return tried


class Talk:
    """One connection that gets octets as a client may send them.

    :param clock: the factory's.
    :ivar longest: seconds of work in one turn.
    :ivar replies: all that came so far.
    """

    def __init__(self, factory: LdapFactory, clock: Clock, host: str = "192.0.2.1") -> None:
        self.client = Client(factory, host)
        self.longest = 0.0
        self.replies: list[pdu.Response] = []
        self._clock = clock

    def say(self, octets: bytes) -> None:
        """Send in one segment, and let the server do what there is to do."""
        self.begin(octets)
        self.settle()

    def begin(self, octets: bytes) -> None:
        """Send in one segment; only the turn in which it arrives."""
        self._timed(self.client.deliver, octets)
        self.replies += self.client.received()

    def settle(self) -> None:
        """Let the reactor turn until there is nothing to do now."""
        for _ in range(100_000):
            now = self._clock.seconds()
            if not any(call.getTime() <= now for call in self._clock.calls):
                break
            self.turn()
        self.replies += self.client.received()

    def turn(self) -> None:
        """One turn."""
        self._timed(turn, self._clock)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self._timed(self._clock.advance, seconds)
        self.settle()

    @property
    def closed(self) -> bool:
        return self.client.closed

    @property
    def ended_with_a_notice(self) -> bool:
        """Return True if the last word was a Notice of Disconnection, and the connection is closed."""
        return self.closed and bool(self.replies) and self.replies[-1].name == NOTICE

    def _timed(self, do: Callable[[Any], object], argument: Any) -> None:
        begun = time.process_time()
        do(argument)
        self.longest = max(self.longest, time.process_time() - begun)


class Server:
    """A server on a clock that runs with the work, and those who talk to it."""

    def __init__(self, gate: DirectoryPort, **limits: int) -> None:
        self._clock = LiveClock()
        self._factory = make_factory(gate, self._clock, **limits)

    def talk(self, *, bound: bool = False) -> Talk:
        """A connection, of a phone that is logged in or of anybody."""
        talk = Talk(self._factory, self._clock, LOCAL_NET + "9")
        if bound:
            talk.say(pdu.message(1, pdu.bind(DESK1, SECRET)))
            assert [one.code for one in talk.replies] == [0]
            talk.replies.clear()
        return talk
