# SPDX-License-Identifier: MIT
"""Reads the configuration again at SIGHUP: the process executes itself anew, and its TCP ports stay open meanwhile.

What the new configuration needs is tried first; with a problem the gateway goes on as it is.  Then the gateway stops as
at its end, which answers outstanding searches and writes what is to be stored, and the same process, with the same
number, starts with the new configuration.  From the first moment on, new connections wait in the queues of the
listening sockets, which the process keeps; a client that has just connected has a second to ask.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.errors import UserError
from ldapgw.server.config import Config
from ldapgw.server.listener import ListenAddress, configured_endpoints
from ldapgw.server.tls import load_certificate

log = Logger()

# For clients that have connected and not asked yet.
GRACE_SECONDS = 1.0

# The variable that names the kept sockets to the process that is executed: descriptors by endpoint, as JSON.
_KEPT_PORTS = "_LDAPGW_KEPT_PORTS"


def take_ports(environment: MutableMapping[str, str]) -> dict[str, socket.socket]:
    """The listening sockets that this process kept when it executed itself, by endpoint; none at the first start."""
    kept = json.loads(environment.pop(_KEPT_PORTS, "{}"))
    ports = {endpoint: socket.socket(fileno=descriptor) for endpoint, descriptor in kept.items()}
    for port in ports.values():
        port.set_inheritable(False)
    return ports


def examine(config: Config, former: Config) -> None:
    """Try what a changed configuration needs.

    :raises UserError: when the running gateway cannot go on with it.
    """
    for key in ("state_dir", "database", "database_password_file"):
        if getattr(config, key) != getattr(former, key):
            raise UserError(f"{key}: cannot change while the gateway runs; restart the gateway", is_setting=True)
    if config.tls:
        load_certificate(config.tls)
    served = {endpoint for _, endpoint in configured_endpoints(former)}
    for setting, endpoint in configured_endpoints(config):
        address = ListenAddress.parse(endpoint) if endpoint not in served else None
        if address is not None:
            family = socket.AF_INET6 if address.ipv6 else socket.AF_INET
            try:
                socket.create_server((address.interface, address.port), family=family).close()
            except OSError as error:
                text = os.strerror(error.errno or 0)
                raise UserError(f'{setting} "{endpoint}": cannot listen: {text}', is_setting=True) from None


class Reload:
    """What SIGHUP asks for.

    Mutable: whether the configuration is being read, and the sockets to keep once it is good.

    :param file: the configuration file, for messages.
    :param former: the configuration that is served.
    :param read: reads the configuration again.
    :param keep_ports: accepts no more connections, and returns the listening sockets by endpoint.
    """

    def __init__(
        self,
        reactor: Any,
        file: str,
        former: Config,
        read: Callable[[], Config],
        keep_ports: Callable[[], Mapping[str, socket.socket]],
    ) -> None:
        self._reactor = reactor
        self._file = file
        self._former = former
        self._read = read
        self._keep_ports = keep_ports
        self._is_reading = False
        self._ports: Mapping[str, socket.socket] | None = None

    def begin(self) -> None:
        """Read the configuration, and stop the reactor if it is good; `finish` comes then.  The reactor calls it."""
        if self._is_reading or self._ports is not None:
            return
        self._is_reading = True
        reading = deferToThreadPool(self._reactor, self._reactor.getThreadPool(), self._try_to_read)
        reading.addCallbacks(self._stop, self._refuse)

    def finish(self) -> None:
        """Execute the program anew, if the configuration was read and is good; else do nothing."""
        if self._ports is None:
            return
        # A second SIGHUP must not end the program before it has set a handler.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for port in self._ports.values():
            port.set_inheritable(True)
        os.environ[_KEPT_PORTS] = json.dumps({endpoint: port.fileno() for endpoint, port in self._ports.items()})
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - the same program

    def _try_to_read(self) -> None:
        examine(self._read(), self._former)

    def _stop(self, _result: None) -> None:
        self._is_reading = False
        self._ports = self._keep_ports()
        log.info("SIGHUP: the configuration is read again")
        self._reactor.callLater(GRACE_SECONDS, self._reactor.stop)

    def _refuse(self, failure: Failure) -> None:
        self._is_reading = False
        error = failure.value
        if not isinstance(error, UserError):
            log.failure("SIGHUP: reading the configuration failed", failure)
            return
        for line in error.lines(self._file):
            log.error("SIGHUP: {problem}; the gateway goes on with the former configuration", problem=line)
