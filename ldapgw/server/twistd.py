# SPDX-License-Identifier: MIT
"""``twistd ldapgw --config FILE``: what the plugin names.  An entry point: it takes the reactor and hands it on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext

from twisted.application.service import MultiService
from twisted.internet import reactor
from twisted.python.usage import Options as UsageOptions

from ldapgw.errors import UserError
from ldapgw.server.config import DEFAULT_FILE, Config, load
from ldapgw.server.gateway import makeService as makeGateway
from ldapgw.server.reactor import limit_shutdown_time, use_monotonic_clock


class Options(UsageOptions):
    """Reads and checks the configuration, so that a mistake in it is told before anything starts."""

    optParameters = (("config", "c", os.environ.get("LDAPGW_CONFIG", DEFAULT_FILE), "The configuration file."),)
    config: Config

    def postOptions(self) -> None:
        """:raises SystemExit: once all problems of the file are told."""
        twistd: Mapping[str, object] = self.parent or {}
        with _exit_on_user_error():
            if twistd.get("uid") is not None or twistd.get("gid") is not None:
                raise UserError("--uid and --gid come too late for state_dir; start twistd as the user who owns it")
            self.config = load(self["config"])

    @property
    def is_daemon(self) -> bool:
        """Whether twistd goes into the background."""
        twistd: Mapping[str, object] = self.parent or {}
        return not twistd.get("nodaemon")


class TwistdService(MultiService):
    """A gateway behind twistd, which would print a traceback where a plain line is enough.

    :param is_daemon: whether twistd has gone into the background, and passes on to its parent what is raised.
    """

    def __init__(self, *, is_daemon: bool) -> None:
        super().__init__()
        self._is_daemon = is_daemon

    def privilegedStartService(self) -> None:
        """Listen.

        :raises SystemExit: in the foreground, when an endpoint cannot be listened on, once that is told.
        :raises UserError: in the background; the parent would wait for ever for a process that just exits.
        """
        with nullcontext() if self._is_daemon else _exit_on_user_error():
            super().privilegedStartService()


def makeService(options: Options) -> TwistdService:
    """The gateway, for twistd.

    :raises SystemExit: when something that is needed cannot be had, once that is told.
    """
    door = TwistdService(is_daemon=options.is_daemon)
    limit_shutdown_time(reactor)
    with _exit_on_user_error():
        makeGateway(options.config, reactor, use_monotonic_clock(reactor)).setServiceParent(door)
    return door


@contextmanager
def _exit_on_user_error() -> Iterator[None]:
    """What an operator has to mend is told in plain lines, and ends the program."""
    try:
        yield
    except UserError as error:
        lines = "".join(f"ldapgw: {problem}\n" for problem in error.problems)
        # By now twistd may have sent sys.stderr to the log.
        os.write(2, lines.encode())
        raise SystemExit(1) from None
