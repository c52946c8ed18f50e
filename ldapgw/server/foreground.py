# SPDX-License-Identifier: MIT
"""Runs the gateway in the foreground, for ``ldapgw run``; an entry point that imports the reactor and passes it on."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from socket import socket
from types import MappingProxyType
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.error import ReactorNotRunning
from twisted.internet.task import LoopingCall

from ldapgw.errors import UserError
from ldapgw.server.config import Config
from ldapgw.server.config.kept import KeptConfig
from ldapgw.server.counters import ReloadStatus
from ldapgw.server.gateway import Gateway, load_gateway, make_process, makeService
from ldapgw.server.listener import open_shared_ports
from ldapgw.server.logging import begin_logging
from ldapgw.server.process_link import Lifeline
from ldapgw.server.reactor import PhoneReactor, limit_shutdown_time, use_monotonic_clock
from ldapgw.server.reload import Reload, execute_anew, is_good, take_ports
from ldapgw.server.service_manager import ServiceManager
from ldapgw.server.supervisor import DRAIN_SIGNAL, GRACE_SECONDS, Seat, Supervisor

# Twisted declares the reactor without the methods that every real reactor has.
reactor: Any = installed


def run(
    config: Config,
    file: str,
    read: Callable[[], Config],
    begun: Callable[[], None] = lambda: None,
    processes: int = 1,
) -> int:
    """Serve until SIGTERM or SIGINT; at SIGHUP, read the configuration again.

    :param file: the configuration file, for messages.
    :param read: reads the configuration again.
    :param begun: called once the gateway serves.
    :param processes: how many processes serve LDAP.
    :returns: the exit status.
    :raises UserError: before anything is served, when the state directory, a certificate or a port cannot be used.
    """
    if not sys.stderr.isatty():
        # Until there is a handler: a daemon does not end because somebody wants it to read its configuration.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    manager = ServiceManager.of(os.environ, os.getpid())
    if manager.watchdog_seconds is not None:
        # A process that hangs is ended by SIGABRT; the log then says where it hung.
        faulthandler.enable()
    kept = take_ports(os.environ)
    status = ReloadStatus(time.time())
    if processes > 1:
        examine = partial(is_good, file, config, read, status)
        return _run_processes(config, examine, begun, processes, kept, manager, status)
    ports = {endpoint: sockets[0] for endpoint, sockets in kept.items()}
    gateway = makeService(config, reactor, use_monotonic_clock(reactor), ports, status)
    begin_logging(sys.stderr, config.log_format, config.log_level)
    reload = Reload(reactor, file, config, read, status, gateway.keep_ports, manager)

    def serving() -> None:
        manager.ready()
        _show_life(manager.alive, manager.watchdog_seconds)

    return _serve(gateway, begun, serving, reload, ports)


def _show_life(alive: Callable[[], None], watchdog_seconds: float | None) -> None:
    """Call `alive` twice in the time after which a process without a sign of life is ended."""
    if watchdog_seconds is not None:
        signs = LoopingCall(alive)
        signs.clock = reactor
        signs.start(watchdog_seconds / 2, now=False)


def _run_processes(
    config: Config,
    examine: Callable[[KeptConfig], bool],
    begun: Callable[[], None],
    count: int,
    kept: Mapping[str, Sequence[socket]],
    manager: ServiceManager,
    status: ReloadStatus,
) -> int:
    """Load the gateway and fork its processes; returns in each of them, and here when all have ended.

    :param examine: see `Supervisor`.
    :param kept: sockets that listen already, by endpoint.
    :param status: how the last reload has gone.
    """
    if not isinstance(reactor, PhoneReactor):
        raise UserError("--processes: only Linux can spread connections over processes; leave it out")
    clock = use_monotonic_clock(reactor)
    loaded = load_gateway(config, reactor, clock)
    try:
        sockets = open_shared_ports(config, count, kept)
        _close_unused(kept, sockets)
        supervisor = Supervisor(sockets, time.monotonic, examine, manager, ends_at_hangup=sys.stderr.isatty())
        seat: Seat | int = 0  # until a process of the gateway has one
        begin_logging(
            sys.stderr, config.log_format, config.log_level, lambda: seat.number if isinstance(seat, Seat) else 0
        )
        seat = supervisor.run()
    except BaseException:
        loaded.state.close()
        raise
    if isinstance(seat, int):
        loaded.state.close()
        if supervisor.is_reload:
            opened = {endpoint for process in sockets for endpoint in process}
            kept = {name: [process[name] for process in sockets if name in process] for name in opened}
            execute_anew(kept, supervisor.kept, manager, is_asked=supervisor.is_asked)
        return seat
    reactor.renew()
    gateway = make_process(loaded, reactor, clock, seat, status)

    def started() -> None:
        Lifeline(reactor, seat.lifeline, _stop)
        if seat.is_first and seat.is_first_start:
            begun()

    def serving() -> None:
        seat.alive()
        _show_life(seat.alive, manager.watchdog_seconds)
        _drain_on_signal(gateway)

    return _serve(gateway, started, serving)


def _close_unused(kept: Mapping[str, Sequence[socket]], used: Sequence[Mapping[str, socket]]) -> None:
    """Close the sockets of endpoints that are no longer configured."""
    for endpoint, sockets in kept.items():
        if endpoint not in used[0]:
            for one in sockets:
                one.close()


def _stop() -> None:
    with suppress(ReactorNotRunning):
        reactor.stop()


def _serve(
    gateway: Gateway,
    begun: Callable[[], None],
    serving: Callable[[], None],
    reload: Reload | None = None,
    ports: Mapping[str, socket] = MappingProxyType({}),
) -> int:
    """Run the gateway until it ends.

    :param begun: called once the gateway listens, before the reactor runs.
    :param serving: called by the reactor once the handlers of signals are installed.
    """
    gateway.begin()
    # Those that the gateway has not taken over are of endpoints that are no longer configured.
    for port in ports.values():
        port.close()
    begun()
    stop_on_signals(gateway, reload)
    reactor.callLater(0, serving)
    reactor.run()
    if reload is not None:
        reload.finish()
    return 0


def _drain_on_signal(gateway: Gateway) -> None:
    """At the supervisor's signal, accept no more connections, and stop when clients have had time to ask."""

    def drain() -> None:
        gateway.keep_ports()
        reactor.callLater(GRACE_SECONDS, _stop)

    signal.signal(DRAIN_SIGNAL, lambda *_: reactor.callFromThread(drain))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {DRAIN_SIGNAL})


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
