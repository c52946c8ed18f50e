# SPDX-License-Identifier: MIT
"""``twistd ldapgw --config FILE``: what the plugin names.  An entry point: it takes the reactor and hands it on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from twisted.application.service import MultiService
from twisted.internet import reactor
from twisted.python.usage import Options as UsageOptions
from twisted.python.usage import UsageError

from ldapgw.config import DEFAULT_FILE, Config, load
from ldapgw.errors import UserError
from ldapgw.service import makeService as makeGateway


class Options(UsageOptions):
    """Reads and checks the configuration, so that a mistake in it is told before anything starts."""

    optParameters = (("config", "c", os.environ.get("LDAPGW_CONFIG", DEFAULT_FILE), "The configuration file."),)
    config: Config

    def postOptions(self) -> None:
        """:raises UsageError: with all problems of the file."""
        try:
            self.config = load(self["config"])
        except UserError as error:
            raise UsageError("\n".join(error.problems)) from None


class FrontDoor(MultiService):
    """A gateway behind twistd, which would print a traceback where a plain line is enough."""

    def privilegedStartService(self) -> None:
        """Listen.

        :raises SystemExit: with the line, when an endpoint cannot be listened on.
        """
        with _plainly():
            super().privilegedStartService()


def makeService(options: Options) -> FrontDoor:
    """The gateway, for twistd.

    :raises SystemExit: with a plain line, when something that is needed cannot be had.
    """
    door = FrontDoor()
    with _plainly():
        makeGateway(options.config, reactor).setServiceParent(door)
    return door


@contextmanager
def _plainly() -> Iterator[None]:
    try:
        yield
    except UserError as error:
        lines = "".join(f"ldapgw: {problem}\n" for problem in error.problems)
        # By now twistd may have sent sys.stderr to the log.
        os.write(2, lines.encode())
        raise SystemExit(1) from None
