# SPDX-License-Identifier: MIT
"""The limit of what is measured: a server that answers from a table with the same octets, without any work: PORT FILE.

It reads, frames and writes as the gateway does, on the same reactor.  What the gateway takes longer than this server is
what finding people and encoding answers costs.
"""

from __future__ import annotations

import marshal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet import reactor  # noqa: TID251  an entry point
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from ldapgw.ldap.decoder import Framer
from ldapgw.ldap.socket_io import SocketReader, SocketWriter

_MAX_MESSAGE = 1 << 20


class Connection(Protocol):
    """Answers what the table has; anything else, which is an unbind, ends the connection."""

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


class Table(Factory):
    """Holds the table."""

    def __init__(self, table: Mapping[bytes, bytes]) -> None:
        self._table = table

    def buildProtocol(self, addr: Any) -> Connection:
        return Connection(self._table)


def main(port: str, file: str) -> None:
    """Serve what a file has."""
    reactor.listenTCP(int(port), Table(marshal.loads(Path(file).read_bytes())), backlog=1024, interface="127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
