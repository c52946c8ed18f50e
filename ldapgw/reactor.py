# SPDX-License-Identifier: MIT
"""The reactor of ``ldapgw run``: Twisted's own for epoll, without a log context around every event.

That context serves Twisted's former way of logging (`twisted.python.log`), which nothing here uses, and to set it up
takes a tenth of the time of a phone's search (docs/decisions/0049).  It is for Linux, which has epoll.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.main import installReactor
from twisted.logger import Logger

log = Logger()


class PhoneReactor(EPollReactor):
    """Calls what is readable or writable, and nothing around it; first who was not served in the turn before.

    Then it calls what is to be called `at_end`, before anything that waits for a time.
    """

    # Who was served in the turn before: the descriptor, and its place in the order.
    _turn: Mapping[int, int] = MappingProxyType({})
    _ending: list[Callable[[], None]] | None = None  # what is called at the end of a turn; None: there is no turn

    def at_end(self, call: Callable[[], None]) -> None:
        """Call something as soon as all is served that came in this turn; between two turns, as a call that is due."""
        if self._ending is None:
            self.callLater(0, call)
        else:
            self._ending.append(call)

    def doPoll(self, timeout: float | None) -> None:  # noqa: N802 - Twisted's name
        """One turn.

        :param timeout: seconds to wait for events; None: until there are any.
        """
        selectables = self._selectables
        events = self._poller.poll(-1 if timeout is None else timeout, len(selectables))
        # The kernel lists last who came too late for the turn before, and also who was served first in it for that.
        turn = self._turn
        events.sort(key=lambda event: turn.get(event[0], -1))
        self._turn = {descriptor: place for place, (descriptor, _) in enumerate(events)}
        ending: list[Callable[[], None]] = []
        self._ending = ending
        try:
            for descriptor, event in events:
                selectable = selectables.get(descriptor)
                if selectable is not None:  # what came before it in this turn may have closed it
                    try:
                        self._doReadOrWrite(selectable, descriptor, event)
                    except Exception:  # noqa: BLE001  what is wrong with one connection ends there
                        log.failure("internal error while a connection was served")
        finally:
            self._ending = None
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
