# SPDX-License-Identifier: MIT
"""From the client: octets read from a plain socket as soon as there are any.

It does what a transport of Twisted's does (`twisted.internet.tcp.Connection.doRead`), with three calls less and
compiled; on the way of each search, that is one part in twenty.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST


class Reader:
    """Reads for one transport, until it ends.

    :param receive: takes what is read.
    """

    __slots__ = ("_most", "_receive", "_recv", "_transport")

    def __init__(self, transport: Any, receive: Callable[[bytes], None]) -> None:
        self._receive = receive
        self._transport = transport
        self._most = transport.bufferSize
        self._recv = transport.socket.recv
        transport.doRead = self.read

    def read(self) -> Exception | None:
        """Read what is there; called by the reactor.

        :returns: why the connection, or the client's half of it, is over; None: it is not.
        """
        try:
            octets = self._recv(self._most)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        if not octets:
            return CONNECTION_DONE
        self._receive(octets)
        return None

    def end(self) -> None:
        """Leave it to the transport again, and no cycle to the garbage collector."""
        del self._transport.doRead
