# SPDX-License-Identifier: MIT
"""From the client: octets read from a plain socket as soon as there are any.

It does what a transport of Twisted's does (`twisted.internet.tcp.Connection.doRead`), with three calls less and
compiled; on the way of each search, that is one part in twenty.

From an answer to the client: written at once where that is possible, and never more than the client takes.

Twisted writes when the reactor comes around to it, which costs an answer four system calls more.  So what is written to
a plain socket is sent at once, under three rules:

* Never while the transport holds octets of ours: they come first.
* What the socket does not take is the transport's to write.  It tells as soon as it has; until then we are `blocked`.
* An error of the socket is the transport's to find: it gets the octets and meets the same error.

Blocks of a whole list are written several at a time, and as they are (writev(2)): each time costs some five
microseconds to wake who reads, and a copy of ours as much as the kernel's.

Under TLS, and over whatever is no socket, the transport writes everything, and says itself when it has enough.  After
StartTLS Twisted would also collect what is small, up to 64 KB, which it does not count; ours is joined already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IPushProducer
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.protocol import connectionDone
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import classImplements

from ldapgw.directory.segment import MAX_PAGE_OCTETS
from ldapgw.ldap.limits import GATHERED


class SocketReader:
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


# Pieces that are not joined; the kernel takes 1,024, and joins few octets more slowly than we.
_FEW: Final = 8


class SocketWriter:
    """Writes to one transport.

    :param plain: whether what is written goes over the wire as it is, so that it may be sent past the transport.
    :param stalled: called when the client takes no more.
    :param taken: called when it has taken all, or enough to go on.
    :ivar blocked: whether to write no more for now; what is written all the same is kept and comes in order.
    :ivar most: octets of blocks of entries that may be written together.
    """

    __slots__ = ("_gather", "_send", "_stalled", "_taken", "_tls", "_transport", "blocked", "max_octets")

    def __init__(self, transport: Any, *, plain: bool, stalled: Callable[[], None], taken: Callable[[], None]) -> None:
        self.blocked = False
        self._transport = transport
        self._stalled = stalled
        self._taken = taken
        protocol = getattr(transport, "protocol", None)
        self._tls = protocol if isinstance(protocol, TLSMemoryBIOProtocol) else None
        # TLS passes this on to what it runs on; a transport in memory has none.
        handle = getattr(transport, "socket", None) if plain else None
        self._send: Any = None if handle is None else handle.send
        self._gather: Any = None if handle is None else handle.sendmsg
        self.max_octets = MAX_PAGE_OCTETS if handle is None else GATHERED
        # A pull producer is told whenever the transport has written all, a push producer when it has too much.
        transport.registerProducer(self, self._send is None)

    def write(self, octets: bytes) -> None:
        """Write, at once if the client takes it."""
        if self._tls is not None:
            TLSMemoryBIOProtocol.write(self._tls, octets)  # not what StartTLS puts in front of it
            return
        if self._send is None or self.blocked:
            self._transport.write(octets)
            return
        try:
            sent = self._send(octets)
        except OSError:
            sent = 0
        if sent < len(octets):
            self._buffer_in_transport(octets[sent:])

    def write_pieces(self, pieces: list[bytes]) -> None:
        """Write one behind the other, without joining what is large: a large copy costs as much as the kernel's own."""
        if self._gather is None or self.blocked or len(pieces) > _FEW:
            self.write(b"".join(pieces))
            return
        try:
            sent = self._gather(pieces)
        except OSError:
            sent = 0
        if sent < sum(map(len, pieces)):
            self._buffer_in_transport(b"".join(pieces)[sent:])

    def _buffer_in_transport(self, octets: bytes) -> None:
        """Leave to the transport what the socket does not take."""
        self.blocked = True
        self._transport.write(octets)
        self._stalled()

    def end(self) -> None:
        """Write no more; what was written still goes."""
        self.stopProducing()
        self._transport.unregisterProducer()

    def close(self) -> None:
        """Close the connection, once all is written."""
        transport, nothing_waits = self._transport, self._send is not None and not self.blocked
        self.end()
        # Twisted would come around once more, only to see that there is nothing to write.  A wrapper is no descriptor:
        # what it is told does not reach the socket.
        if nothing_waits and isinstance(transport, FileDescriptor):
            transport.connectionLost(connectionDone)
        else:
            transport.loseConnection()

    # --- what the transport tells us --------------------------------------------------------------------------------

    def pauseProducing(self) -> None:
        """The transport has enough."""
        if not self.blocked:
            self.blocked = True
            self._stalled()

    def resumeProducing(self) -> None:
        """The transport has written what it had."""
        if self.blocked:
            self.blocked = False
            self._taken()

    def stopProducing(self) -> None:
        """The connection is lost; its protocol is told."""
        self._send = self._gather = None
        self._stalled = self._taken = _nobody  # no cycle is left to the garbage collector


# A decorator would keep the class from being compiled.
classImplements(SocketWriter, IPushProducer)


def _nobody() -> None:
    """Nobody is told any more."""
