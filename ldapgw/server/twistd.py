# SPDX-License-Identifier: MIT
"""The twistd plugin ``twistd ldapgw --config FILE``.

This module is an entry point, which imports the reactor and passes the reactor on.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import msgspec
from twisted.application.service import MultiService
from twisted.internet import reactor as installed
from twisted.logger import ILogObserver, Logger
from twisted.python.logfile import LogFile
from twisted.python.usage import Options as UsageOptions

from ldapgw.errors import UserError
from ldapgw.server.config import DEFAULT_FILE, Config, LogLevels, load
from ldapgw.server.gateway import makeService as makeGateway
from ldapgw.server.logging import log_observer, observe_libraries
from ldapgw.server.preflight import require_start
from ldapgw.server.reactor import limit_shutdown_time, use_monotonic_clock
from ldapgw.server.state_dir import accept_lost_accounts

# Twisted declares the reactor without the methods that every real reactor has.
reactor: Any = installed

log = Logger()


class Options(UsageOptions):
    """The plugin's options; parsing also reads the configuration, and reports problems before the start."""

    optParameters = (("config", "c", os.environ.get("LDAPGW_CONFIG", DEFAULT_FILE), "The configuration file."),)
    optFlags = (("accept", None, "Start even if accounts are missing from the database, and build all books anew."),)
    config: Config

    def __init__(self) -> None:
        super().__init__()
        self._log_levels: list[str] = []

    def opt_log_level(self, level: str) -> None:
        """Log from this level on, for all parts or one part: --log-level warning --log-level sync=debug."""
        try:
            self._log_levels += LogLevels.read(level)
        except ValueError:
            _exit(UserError(f"--log-level {level!r}: expected {LogLevels.form}"), "")

    def postOptions(self) -> None:
        """Read the configuration file.

        :raises SystemExit: after all problems of the configuration file are printed.
        """
        twistd: Mapping[str, object] = self.parent or {}
        with _exit_on_user_error(""):
            if twistd.get("uid") is not None or twistd.get("gid") is not None:
                raise UserError("--uid and --gid take effect too late; start twistd as the owner of state_dir")
            self.config = load(self["config"])
        levels = self.config.log_level.followed_by(LogLevels(self._log_levels))
        self.config = msgspec.structs.replace(self.config, log_level=levels)

    @property
    def is_daemon(self) -> bool:
        twistd: Mapping[str, object] = self.parent or {}
        return not twistd.get("nodaemon")


class TwistdService(MultiService):
    """A service around the gateway, so that twistd prints plain messages, not tracebacks, for errors of the operator.

    :param file: the configuration file.
    :param is_daemon: whether twistd has gone to the background, and passes exceptions on to its parent process.
    :param make_observer: opens the log, or None if twistd's own log is used.
    """

    def __init__(self, file: str, *, is_daemon: bool, make_observer: Callable[[], ILogObserver] | None = None) -> None:
        super().__init__()
        self._file = file
        self._is_daemon = is_daemon
        self._make_observer = make_observer

    def setServiceParent(self, parent: Any) -> None:  # noqa: N802 - Twisted's name
        """Join twistd's application, and set the application's observer of the log."""
        if self._make_observer is not None:
            parent.setComponent(ILogObserver, self._make_observer())
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Listen on all endpoints.

        :raises SystemExit: in the foreground, after printing the problem of an endpoint.
        :raises UserError: in the background, because after a mere exit, the parent process would wait for ever.
        """
        try:
            super().privilegedStartService()
        except UserError as error:
            if self._is_daemon:
                # Twisted prints the first 100 characters only; the log has the whole message.
                raise UserError(f"{problem} (in {self._file})" for problem in error.problems) from None
            _exit(error, self._file)


def makeService(options: Options) -> TwistdService:
    """Build the gateway for twistd.

    :raises SystemExit: after the problem is printed, when the state directory or the certificate cannot be used.
    """
    service = TwistdService(
        options["config"], is_daemon=options.is_daemon, make_observer=_log_maker(options.parent or {}, options.config)
    )
    if options.is_daemon or not os.isatty(2):  # at a terminal, SIGHUP says that the terminal was closed
        signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(_refuse_reload))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # the parent process may have blocked SIGHUP
    limit_shutdown_time(reactor)
    with _exit_on_user_error(options["config"]):
        if options["accept"]:
            accept_lost_accounts(Path(options.config.state_dir))
        require_start(options.config)
        clock = use_monotonic_clock(reactor)
        makeGateway(options.config, reactor, clock, file=options["config"]).setServiceParent(service)
    return service


def _log_maker(twistd: Mapping[str, Any], config: Config) -> Callable[[], ILogObserver] | None:
    """Return the function that opens twistd's log with the configured format and levels.

    :returns: None if twistd's options name another log, or a log that twistd refuses.
    """
    file = twistd.get("logfile")
    is_foreground = bool(twistd.get("nodaemon"))
    if not twistd or twistd.get("logger") or twistd.get("syslog") or (file == "-" and not is_foreground):
        return None

    def make() -> ILogObserver:
        observe_libraries()
        if is_foreground and file in (None, "", "-"):
            return log_observer(sys.stdout, config.log_format, config.log_level)
        log_file: Any = LogFile.fromFullPath(file or "twistd.log")
        if not signal.getsignal(signal.SIGUSR1):  # as in twistd, SIGUSR1 rotates the log
            signal.signal(signal.SIGUSR1, lambda *_: reactor.callFromThread(log_file.rotate))
        return log_observer(log_file, config.log_format, config.log_level)

    return make


def _refuse_reload() -> None:
    # twistd, executed anew, would again write the file of the process id and go to the background.
    log.error(
        "SIGHUP: twistd cannot read the configuration again; restart twistd, or use ldapgw run",
        event="reload_impossible",
    )


@contextmanager
def _exit_on_user_error(file: str) -> Iterator[None]:
    """Print the problems of a `UserError` as plain lines and exit.

    :param file: the configuration file.
    """
    try:
        yield
    except UserError as error:
        _exit(error, file)


def _exit(error: UserError, file: str) -> NoReturn:
    # Write to descriptor 2, because twistd may have redirected sys.stderr to the log by now.
    os.write(2, "".join(f"ldapgw: {line}\n" for line in error.lines(file)).encode())
    raise SystemExit(1) from None
