# SPDX-License-Identifier: MIT
"""Runs the gateway in the foreground, for ``ldapgw run``: signals, the service manager, and reloads at SIGHUP.

This module is an entry point, which imports the reactor and passes the reactor on.

A reload first reads and checks the new configuration.  If there is a problem, the gateway continues as before.
Otherwise the gateway answers outstanding searches, stores pending data and stops.  The same process then executes the
program anew with the checked configuration, even if the file has changed since the check.  The process keeps the
listening sockets open, and new connections wait in the queues of the sockets.  A client that has just connected has a
second to send a request.

After another SIGHUP during the check, the result of the check is dropped, and the file is read again.  A SIGHUP after
the check is passed on to the program that the process executes.

`ServiceManager` tells systemd of each step, and that the gateway is alive.  Only the main process of the service sends
messages, so that the unit needs no ``NotifyAccess=``.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NoReturn

from twisted.internet import reactor as installed
from twisted.internet.error import ReactorNotRunning
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.errors import UserError
from ldapgw.server.check_result import Moment, Subject
from ldapgw.server.config import Config
from ldapgw.server.config.load import hand_over, keep
from ldapgw.server.counters import ReloadStatus
from ldapgw.server.gateway import Gateway, makeService
from ldapgw.server.logging import begin_logging
from ldapgw.server.preflight import require, require_start
from ldapgw.server.reactor import limit_shutdown_time, use_monotonic_clock
from ldapgw.server.state_dir import StateDir
from ldapgw.store.periodic import PeriodicService

log = Logger()

# Twisted declares the reactor without the methods that every real reactor has.
reactor: Any = installed

# Seconds that a reload waits for the requests of clients that have just connected.
GRACE_SECONDS: Final = 1.0

# The environment variable with the sockets that stay open for the executed program: descriptors by endpoint, as JSON.
_KEPT_PORTS = "_LDAPGW_KEPT_PORTS"

# Seconds that systemd waits for a sign of life while the process executes the program again and loads the contacts.
RELOAD_SECONDS: Final = 3600

_MICROSECONDS: Final = 1_000_000


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
    # The reactor sets handlers of its own when it starts, so the gateway's handlers are installed once the reactor
    # runs.
    reactor.callLater(0, install_handlers)


# --- the service manager ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ServiceManager:
    """The service manager that has started this process, in general systemd (the protocol of ``sd_notify(3)``).

    If the service manager has no address, no message is sent.

    :ivar address: the path of a Unix datagram socket; with ``@`` in front, an abstract socket.
    :ivar watchdog_seconds: the seconds without a sign of life after which the process is killed, or None for never.
    """

    address: str = ""
    watchdog_seconds: float | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str], pid: int) -> ServiceManager:
        """Return the service manager that the environment of the process `pid` names."""
        microseconds = environment.get("WATCHDOG_USEC", "")
        is_watched = microseconds.isdecimal() and environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        seconds = int(microseconds) / _MICROSECONDS if is_watched else 0
        return cls(environment.get("NOTIFY_SOCKET", ""), seconds or None)

    def ready(self) -> None:
        """Report that the gateway serves, after a start or a reload."""
        self._send("READY=1")
        if self.watchdog_seconds is not None:
            self._send(f"WATCHDOG_USEC={int(self.watchdog_seconds * _MICROSECONDS)}")

    def reloading(self, seconds: float) -> None:
        """Report that the configuration is read again; `ready` reports the end.

        :param seconds: the time of the monotonic clock, in seconds.
        """
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(seconds * _MICROSECONDS)}")

    def executing(self) -> None:
        """Extend the watchdog's limit, because the process executes its program anew and `ready` may take minutes."""
        if self.watchdog_seconds is not None:
            self._send(f"WATCHDOG_USEC={RELOAD_SECONDS * _MICROSECONDS}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Send a sign of life; to be called at least every `watchdog_seconds`."""
        self._send("WATCHDOG=1", socket.MSG_DONTWAIT)

    def _send(self, state: str, flags: int = 0) -> None:
        if not self.address:
            return
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.sendto(state.encode(), flags, address)
        except OSError as error:
            log.warn(
                "NOTIFY_SOCKET: {state} cannot be sent: {reason}",
                event="service_manager_unreachable",
                state=state,
                reason=error.strerror,
            )


# --- reloads ----------------------------------------------------------------------------------------------------------


def take_ports(environment: MutableMapping[str, str]) -> dict[str, socket.socket]:
    """Return, by endpoint, the sockets that this process kept when the process executed the program again.

    The result is empty at the first start.
    """
    kept: dict[str, int] = json.loads(environment.pop(_KEPT_PORTS, "{}"))
    ports = {endpoint: socket.socket(fileno=descriptor) for endpoint, descriptor in kept.items()}
    for port in ports.values():
        port.set_inheritable(False)
    return ports


def execute_anew(
    ports: Mapping[str, socket.socket], config: int, manager: ServiceManager, *, is_asked: bool
) -> NoReturn:
    """Execute the program with the same arguments in this process, which keeps the listening sockets.

    SIGHUP is blocked, and waits until the program has set a handler.

    :param config: the descriptor of the file with the checked configuration.
    :param is_asked: whether another SIGHUP has come since the check.
    """
    hand_over(config, os.environ)
    if is_asked:
        signal.raise_signal(signal.SIGHUP)
    for port in ports.values():
        port.set_inheritable(True)
    os.environ[_KEPT_PORTS] = json.dumps({endpoint: port.fileno() for endpoint, port in ports.items()})
    sys.stdout.flush()
    sys.stderr.flush()
    manager.executing()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - the same program


class Reload:
    """The handling of SIGHUP, which reads the configuration again.

    Mutable: whether SIGHUP has come, whether the configuration is being read, the sockets and the configuration to
    keep, and whether the gateway is to end.

    :param file: the configuration file, for messages.
    :param current: the configuration in use.
    :param read: reads the configuration again.
    :param status: the object in which to note the outcome, for the metrics.
    :param keep_ports: accepts no more connections, and returns the listening sockets by endpoint.
    :param manager: the service manager, which gets the state of the reload.
    """

    def __init__(
        self,
        reactor: Any,
        file: str,
        current: Config,
        read: Callable[[], Config],
        status: ReloadStatus,
        keep_ports: Callable[[], Mapping[str, socket.socket]],
        manager: ServiceManager,
    ) -> None:
        self._reactor = reactor
        self._file = file
        self._current = current
        self._keys = frozenset(StateDir.of(current).key_source.read())
        self._read = read
        self._status = status
        self._keep_ports = keep_ports
        self._manager = manager
        self._is_asked = False
        self._is_reading = False
        self._is_over = False
        self._kept: tuple[Mapping[str, socket.socket], int] | None = None

    def cancel(self) -> None:
        """Abandon a reload, and begin no other, because the gateway is going to end."""
        if not self._is_over:
            self._manager.stopping()
        self._is_over = True

    def ask(self) -> None:
        """Begin to read the configuration; if the configuration is good, stop the reactor, so that `finish` is called.

        The handler of SIGHUP calls this method.
        """
        self._is_asked = True
        self._reactor.callFromThread(self._begin)

    def finish(self) -> None:
        """Execute the program anew if there is a good configuration; else do nothing."""
        if self._kept is None or self._is_over:
            return
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        ports, config = self._kept
        execute_anew(ports, config, self._manager, is_asked=self._is_asked)

    def _begin(self) -> None:
        if not self._is_asked or self._is_reading or self._is_over or self._kept is not None:
            return
        self._is_asked = False
        self._is_reading = True
        self._manager.reloading(self._reactor.seconds())
        reading = deferToThreadPool(self._reactor, self._reactor.getThreadPool(), self._try_to_read)
        reading.addBoth(self._end_reading)

    def _try_to_read(self) -> int:
        """Read and check the configuration, and write it to a file for the program that this process executes next.

        :returns: the descriptor of this file.
        """
        config = self._read()
        require(Subject(Moment.RELOAD, config, current=self._current, keys=self._keys))
        return keep(config)

    def _end_reading(self, result: int | Failure) -> None:
        self._is_reading = False
        self._status.note(is_good=isinstance(result, int))
        if isinstance(result, Failure):
            _log_refusal(result, self._file)
        if self._is_over:
            return
        if self._is_asked:
            if isinstance(result, int):
                os.close(result)
            self._begin()
        elif isinstance(result, Failure):
            self._manager.ready()
        else:
            self._kept = self._keep_ports(), result
            log.info("SIGHUP: the new configuration is good; the gateway starts anew", event="reload_started")
            self._reactor.callLater(GRACE_SECONDS, self._end_grace)

    def _end_grace(self) -> None:
        if not self._is_over:
            self._reactor.stop()


def _log_refusal(failure: Failure, file: str) -> None:
    error = failure.value
    if not isinstance(error, UserError):
        log.failure("SIGHUP: reading the configuration failed", failure, event="reload_failed")
        return
    for line in error.lines(file):
        log.error(
            "SIGHUP: {problem}; the gateway continues with the previous configuration",
            event="reload_refused",
            problem=line,
        )
