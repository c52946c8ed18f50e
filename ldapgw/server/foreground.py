# SPDX-License-Identifier: MIT
"""The gateway in the foreground: what ``ldapgw run`` does.  An entry point: it takes the reactor and hands it on."""

from __future__ import annotations

import signal
import sys
from typing import Any

from twisted.internet import reactor as installed

from ldapgw.server.config import Config
from ldapgw.server.gateway import Gateway, makeService
from ldapgw.server.logging import begin_logging
from ldapgw.server.reactor import limit_shutdown_time, use_monotonic_clock

# Twisted's declaration of it lacks what every real one has.
reactor: Any = installed


def run(config: Config) -> int:
    """Serve until SIGTERM or SIGINT.

    :returns: the exit status.
    :raises UserError: before anything is served, when something that is needed cannot be had.
    """
    gateway = makeService(config, reactor, use_monotonic_clock(reactor))
    begin_logging(sys.stderr, config.log_format)
    gateway.begin()
    stop_on_signals(gateway)
    reactor.run()
    return 0


def stop_on_signals(gateway: Gateway) -> None:
    """Have SIGTERM and Ctrl-C end the gateway in good order, once: impatience changes nothing."""
    asked: list[int] = []

    def stop(number: int) -> None:
        asked.append(number)
        if len(asked) == 1:
            reactor.stop()

    def take_over() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            # A handler may be interrupted by the next signal; what the reactor is asked to call waits its turn.
            signal.signal(number, lambda number, _: reactor.callFromThread(stop, number))

    limit_shutdown_time(reactor)
    reactor.addSystemEventTrigger("before", "shutdown", gateway.stopService)
    # Once the reactor runs: it sets handlers of its own when it starts.
    reactor.callLater(0, take_over)
