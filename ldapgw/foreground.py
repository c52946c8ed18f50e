# SPDX-License-Identifier: MIT
"""The gateway in the foreground: what ``ldapgw run`` does.  An entry point: it takes the reactor and hands it on."""

from __future__ import annotations

import sys

from twisted.internet import reactor

from ldapgw.config import Config
from ldapgw.logs import begin_logging
from ldapgw.service import makeService


def run(config: Config) -> int:
    """Serve until SIGTERM or SIGINT.

    :returns: the exit status.
    :raises UserError: before anything is served, when something that is needed cannot be had.
    """
    gateway = makeService(config, reactor)
    begin_logging(sys.stderr, config.log_format)
    gateway.begin()
    reactor.addSystemEventTrigger("before", "shutdown", gateway.stopService)
    reactor.run()
    return 0
