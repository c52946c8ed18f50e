# SPDX-License-Identifier: MIT
"""Runs the gateway in the foreground, for ``ldapgw run``; an entry point that imports the reactor and passes it on."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as installed

from ldapgw.server.config import Config
from ldapgw.server.gateway import Gateway, makeService
from ldapgw.server.logging import begin_logging
from ldapgw.server.reactor import limit_shutdown_time, use_monotonic_clock

# Twisted declares the reactor without the methods that every real reactor has.
reactor: Any = installed


def run(config: Config, begun: Callable[[], None] = lambda: None) -> int:
    """Serve until SIGTERM or SIGINT.

    :param begun: called once the gateway serves.
    :returns: the exit status.
    :raises UserError: before anything is served, when the state directory, a certificate or a port cannot be used.
    """
    gateway = makeService(config, reactor, use_monotonic_clock(reactor))
    begin_logging(sys.stderr, config.log_format)
    gateway.begin()
    begun()
    stop_on_signals(gateway)
    reactor.run()
    return 0


def stop_on_signals(gateway: Gateway) -> None:
    """Stop the gateway in good order at the first SIGTERM or SIGINT; further signals are ignored."""
    received: list[int] = []

    def stop(number: int) -> None:
        received.append(number)
        if len(received) == 1:
            reactor.stop()

    def install_handlers() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            # The next signal may interrupt a handler; calls that the reactor makes run one after another.
            signal.signal(number, lambda number, _: reactor.callFromThread(stop, number))

    limit_shutdown_time(reactor)
    reactor.addSystemEventTrigger("before", "shutdown", gateway.stopService)
    # The reactor sets handlers of its own when it starts, so ours are installed once the reactor runs.
    reactor.callLater(0, install_handlers)
