# SPDX-License-Identifier: MIT
"""Runs the gateway in the foreground, for ``ldapgw run``.

This module is an entry point: it imports the reactor, and passes the reactor on.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger

from ldapgw.server.config import Config
from ldapgw.server.counters import ReloadStatus
from ldapgw.server.gateway import Gateway, makeService
from ldapgw.server.logging import begin_logging
from ldapgw.server.preflight import require_start
from ldapgw.server.reactor import limit_shutdown_time, use_monotonic_clock
from ldapgw.server.reload import Reload, ServiceManager, take_ports
from ldapgw.store.periodic import PeriodicService

log = Logger()

# Twisted declares the reactor without the methods that every real reactor has.
reactor: Any = installed


def run(config: Config, file: str, read: Callable[[], Config], begun: Callable[[], None] = lambda: None) -> int:
    """Serve until SIGTERM or SIGINT; at SIGHUP, read the configuration again.

    :param file: the configuration file, for messages and the administration's page.
    :param read: reads the configuration again.
    :param begun: called as soon as the gateway serves.
    :returns: the exit status.
    :raises UserError: before anything is served, when the state directory, a certificate or a port cannot be used.
    """
    if not sys.stderr.isatty():
        # Block SIGHUP until there is a handler, because without a handler, SIGHUP would end the process.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    manager = ServiceManager.of(os.environ, os.getpid())
    if manager.watchdog_seconds is not None:
        # The service manager sends SIGABRT to a process that hangs.  faulthandler then writes to the log where the
        # process hung.
        faulthandler.enable()
    ports = take_ports(os.environ)
    require_start(config, ports)
    status = ReloadStatus(time.time())
    gateway = makeService(config, reactor, use_monotonic_clock(reactor), ports, status, file=file)
    begin_logging(sys.stderr, config.log_format, config.log_level)
    reload = Reload(reactor, file, config, read, status, gateway.keep_ports, manager)

    gateway.begin()
    # Close the sockets that the gateway has not taken over, because their endpoints are no longer configured.
    for port in ports.values():
        port.close()
    begun()
    stop_on_signals(gateway, reload)
    reactor.callLater(0, _serving, manager)
    reactor.run()
    reload.finish()
    return 0


def _serving(manager: ServiceManager) -> None:
    """Tell the service manager that the gateway serves, and then regularly that the gateway is alive.

    The manager ends a process that gives no sign of life for `ServiceManager.watchdog_seconds`.
    """
    manager.ready()
    if manager.watchdog_seconds is not None:
        failed = partial(
            log.failure, "telling the service manager that the gateway is alive failed", event="watchdog_failed"
        )
        PeriodicService(reactor, manager.watchdog_seconds / 2, manager.alive, failed, now=False).startService()


def stop_on_signals(gateway: Gateway, reload: Reload | None = None) -> None:
    """Stop the gateway in good order at the first SIGTERM or SIGINT; further signals are ignored.

    :param reload: reloads the configuration at SIGHUP, or None if SIGHUP does not reload.  At a terminal, SIGHUP stops
        the gateway, because the terminal was closed.
    """
    received: list[int] = []

    def stop(number: int) -> None:
        received.append(number)
        if reload is not None:
            reload.cancel()
        if len(received) == 1:
            with suppress(ReactorNotRunning):
                reactor.stop()

    def install_handlers() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            # A signal may interrupt the handler of another signal, but the reactor makes its calls one after another.
            signal.signal(number, lambda number, _: reactor.callFromThread(stop, number))
        if sys.stderr.isatty():
            # In a terminal, SIGHUP says that the terminal was closed.
            signal.signal(signal.SIGHUP, lambda number, _: reactor.callFromThread(stop, number))
        elif reload is not None:
            signal.signal(signal.SIGHUP, lambda *_: reload.ask())
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    def exit_process(status: int) -> None:
        try:
            if reload is not None:
                reload.finish()
        finally:
            os._exit(status)

    limit_shutdown_time(reactor, exit_process=exit_process)
    reactor.addSystemEventTrigger("before", "shutdown", gateway.stopService)
    # The reactor sets handlers of its own when it starts, so ours are installed once the reactor runs.
    reactor.callLater(0, install_handlers)
