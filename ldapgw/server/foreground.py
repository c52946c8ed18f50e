# SPDX-License-Identifier: MIT
"""Runs the gateway in the foreground, for ``ldapgw run``; an entry point that imports the reactor and passes it on."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from socket import socket
from types import MappingProxyType
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.error import ReactorNotRunning

from ldapgw.errors import UserError
from ldapgw.server.config import Config
from ldapgw.server.gateway import Gateway, load_gateway, make_process, makeService
from ldapgw.server.listener import open_shared_ports
from ldapgw.server.logging import begin_logging
from ldapgw.server.process_link import Lifeline
from ldapgw.server.reactor import PhoneReactor, limit_shutdown_time, use_monotonic_clock
from ldapgw.server.reload import Reload, take_ports
from ldapgw.server.supervisor import Supervisor

# Twisted declares the reactor without the methods that every real reactor has.
reactor: Any = installed


def run(
    config: Config,
    file: str,
    read: Callable[[], Config],
    begun: Callable[[], None] = lambda: None,
    processes: int = 1,
) -> int:
    """Serve until SIGTERM or SIGINT; at SIGHUP, read the configuration again (one process only).

    :param file: the configuration file, for messages.
    :param read: reads the configuration again.
    :param begun: called once the gateway serves.
    :param processes: how many processes serve LDAP.
    :returns: the exit status.
    :raises UserError: before anything is served, when the state directory, a certificate or a port cannot be used.
    """
    if processes > 1:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    elif not sys.stderr.isatty():
        # Until there is a handler: a daemon does not end because somebody wants it to read its configuration.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    if processes > 1:
        return _run_processes(config, begun, processes)
    ports = take_ports(os.environ)
    gateway = makeService(config, reactor, use_monotonic_clock(reactor), ports)
    begin_logging(sys.stderr, config.log_format, config.log_level)
    return _serve(gateway, begun, Reload(reactor, file, config, read, gateway.keep_ports), ports)


def _run_processes(config: Config, begun: Callable[[], None], count: int) -> int:
    """Load the gateway and fork its processes; returns in each of them, and here when all have ended."""
    if not isinstance(reactor, PhoneReactor):
        raise UserError("--processes: only Linux can spread connections over processes; leave it out")
    clock = use_monotonic_clock(reactor)
    loaded = load_gateway(config, reactor, clock)
    try:
        supervisor = Supervisor(open_shared_ports(config, count), time.monotonic)
        begin_logging(sys.stderr, config.log_format, config.log_level)
        seat = supervisor.run()
    except BaseException:
        loaded.state.close()
        raise
    if isinstance(seat, int):
        loaded.state.close()
        return seat
    reactor.renew()
    gateway = make_process(loaded, reactor, clock, seat)

    def started() -> None:
        seat.started()
        Lifeline(reactor, seat.lifeline, _stop)
        if seat.is_first and seat.is_first_start:
            begun()

    return _serve(gateway, started)


def _stop() -> None:
    with suppress(ReactorNotRunning):
        reactor.stop()


def _serve(
    gateway: Gateway,
    begun: Callable[[], None],
    reload: Reload | None = None,
    ports: Mapping[str, socket] = MappingProxyType({}),
) -> int:
    gateway.begin()
    # Those that the gateway has not taken over are of endpoints that are no longer configured.
    for port in ports.values():
        port.close()
    begun()
    stop_on_signals(gateway, reload)
    reactor.run()
    if reload is not None:
        reload.finish()
    return 0


def stop_on_signals(gateway: Gateway, reload: Reload | None = None) -> None:
    """Stop the gateway in good order at the first SIGTERM or SIGINT; further signals are ignored.

    :param reload: what SIGHUP asks for, unless it says that a terminal was closed; None: nothing.
    """
    received: list[int] = []

    def stop(number: int) -> None:
        received.append(number)
        if reload is not None:
            reload.cancel()
        if len(received) == 1:
            _stop()

    def install_handlers() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            # The next signal may interrupt a handler; calls that the reactor makes run one after another.
            signal.signal(number, lambda number, _: reactor.callFromThread(stop, number))
        if sys.stderr.isatty():
            # The terminal was closed.
            signal.signal(signal.SIGHUP, lambda number, _: reactor.callFromThread(stop, number))
        elif reload is not None:
            signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(reload.begin))
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
