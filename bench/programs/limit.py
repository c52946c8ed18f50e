# SPDX-License-Identifier: MIT
"""The limit: a server that answers from a table with the same octets as a gateway, without any work: PORT FILE.

The server reads, frames and writes as the gateway does, on the same reactor.  The time that the gateway needs beyond
this server is the cost of finding people and encoding answers.
"""

from __future__ import annotations

import marshal
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet import reactor  # noqa: TID251  an entry point
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from ldapgw.ldap.decoder import Framer
from ldapgw.ldap.socket_io import SocketReader, SocketWriter

_MAX_MESSAGE = 1 << 20


class Connection(Protocol):
    """Answers the requests of the table; any other request, which is an unbind, ends the connection."""

    transport: Any

    def __init__(self, table: Mapping[bytes, bytes]) -> None:
        self._table = table
        self._framer = Framer(_MAX_MESSAGE)

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self._reader = SocketReader(self.transport, self.dataReceived)
        self._writer = SocketWriter(self.transport, plain=True, on_blocked=_ignore, on_drained=_ignore)

    def dataReceived(self, data: bytes) -> None:
        self._framer.feed(data)
        while message := self._framer.take():
            answer = self._table.get(message)
            if answer is None:
                self._writer.close()
                return
            self._writer.write(answer)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._reader.end()


def _ignore() -> None:
    """Do nothing."""


def main(port: str, file: str) -> None:
    """Serve the table in a file."""
    factory = Factory.forProtocol(partial(Connection, marshal.loads(Path(file).read_bytes())))
    reactor.listenTCP(int(port), factory, backlog=1024, interface="127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
