# SPDX-License-Identifier: MIT
"""Turns of a reactor in the hands of a test, for those who ask outside of LDAP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from twisted.internet.task import Clock

from ldapgw.ldap.turns import TurnScheduler


class Turns:
    """A scheduler whose turns come with the clock, or at once.

    :param at_once: whether nobody waits for the clock.
    :ivar asked: who has waited for a turn, in order.
    """

    def __init__(self, clock: Clock, *, at_once: bool = False) -> None:
        def call_soon(call: Callable[[], None]) -> None:
            if at_once:
                call()
            else:
                clock.callLater(0, call)

        self._scheduler = TurnScheduler(clock.seconds, call_soon, call_soon)
        self.asked: list[str] = []

    def turn_of(self, requester: str) -> Awaitable[None]:
        self.asked.append(requester)
        return self._scheduler.turn_of(requester)

    def first_turn_of(self, requester: str) -> Awaitable[None]:
        self.asked.append(requester)
        return self._scheduler.first_turn_of(requester)
