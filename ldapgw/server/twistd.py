# SPDX-License-Identifier: MIT
"""The twistd plugin ``twistd ldapgw --config FILE``; an entry point that imports the reactor and passes it on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NoReturn

from twisted.application.service import MultiService
from twisted.internet import reactor
from twisted.python.usage import Options as UsageOptions

from ldapgw.errors import UserError
from ldapgw.server.config import DEFAULT_FILE, Config, load
from ldapgw.server.gateway import makeService as makeGateway
from ldapgw.server.reactor import limit_shutdown_time, use_monotonic_clock


class Options(UsageOptions):
    """The plugin's options; parsing them reads the configuration and reports its problems before anything starts."""

    optParameters = (("config", "c", os.environ.get("LDAPGW_CONFIG", DEFAULT_FILE), "The configuration file."),)
    config: Config

    def postOptions(self) -> None:
        """:raises SystemExit: after all problems of the configuration file are printed."""
        twistd: Mapping[str, object] = self.parent or {}
        with _exit_on_user_error(""):
            if twistd.get("uid") is not None or twistd.get("gid") is not None:
                raise UserError("--uid and --gid come too late for state_dir; start twistd as the user who owns it")
            self.config = load(self["config"])

    @property
    def is_daemon(self) -> bool:
        """Whether twistd goes to the background."""
        twistd: Mapping[str, object] = self.parent or {}
        return not twistd.get("nodaemon")


class TwistdService(MultiService):
    """Wraps the gateway, so that twistd prints plain messages instead of tracebacks for errors of the operator.

    :param file: the configuration file.
    :param is_daemon: whether twistd has gone to the background, and passes exceptions on to its parent process.
    """

    def __init__(self, file: str, *, is_daemon: bool) -> None:
        super().__init__()
        self._file = file
        self._is_daemon = is_daemon

    def privilegedStartService(self) -> None:
        """Listen.

        :raises SystemExit: in the foreground, after the problem of an endpoint is printed.
        :raises UserError: in the background; the parent would wait for ever for a process that just exits.
        """
        try:
            super().privilegedStartService()
        except UserError as error:
            if self._is_daemon:
                # Twisted prints the beginning alone, 100 characters; the log has all.
                raise UserError(f"{problem} (in {self._file})" for problem in error.problems) from None
            _exit(error, self._file)


def makeService(options: Options) -> TwistdService:
    """Build the gateway for twistd.

    :raises SystemExit: after the problem is printed, when the state directory or the certificate cannot be used.
    """
    service = TwistdService(options["config"], is_daemon=options.is_daemon)
    limit_shutdown_time(reactor)
    with _exit_on_user_error(options["config"]):
        makeGateway(options.config, reactor, use_monotonic_clock(reactor)).setServiceParent(service)
    return service


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
    # By now twistd may have sent sys.stderr to the log.
    os.write(2, "".join(f"ldapgw: {line}\n" for line in error.lines(file)).encode())
    raise SystemExit(1) from None
