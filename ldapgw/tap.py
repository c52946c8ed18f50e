# SPDX-License-Identifier: MIT
"""``twistd ldapgw --config FILE``: what the plugin names.  An entry point: it takes the reactor and hands it on."""

from __future__ import annotations

import os

from twisted.internet import reactor
from twisted.python.usage import Options as UsageOptions
from twisted.python.usage import UsageError

from ldapgw.config import DEFAULT_FILE, Config, load
from ldapgw.errors import UserError
from ldapgw.service import Gateway
from ldapgw.service import makeService as make_gateway


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


def makeService(options: Options) -> Gateway:
    """The gateway, for twistd.

    :raises SystemExit: with a plain line, when something that is needed cannot be had.
    """
    try:
        return make_gateway(options.config, reactor)
    except UserError as error:
        raise SystemExit("\n".join(f"ldapgw: {problem}" for problem in error.problems)) from None
