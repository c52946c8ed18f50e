# SPDX-License-Identifier: MIT
"""Messages between the processes of one gateway, over a pair of Unix sockets that the supervisor has made.

The supervisor keeps both sockets of a pair open, so that either process can be replaced by a new one on the same
socket.  A message is pickled and cut into packets (``SOCK_SEQPACKET``), each with a byte in front that says whether it
is the first and whether it is the last; what a process that has died left unfinished is dropped when the next one
begins its first message.

Mutable: `ProcessLink`.
"""

from __future__ import annotations

import io
import pickle
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, Final

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor, IWriteDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

# Octets of a packet; the kernel takes at least twice as many at a time.
PACKET_OCTETS: Final = 32 << 10
# A process that does not read for a while must not fill the memory of the other one.
MAX_PENDING_OCTETS: Final = 8 << 20

_MIDDLE, _FIRST, _LAST = 0, 1, 2

log = Logger()


def make_pair() -> tuple[socket.socket, socket.socket]:
    """A pair of connected sockets, one for either process; they survive a fork, but no other program."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


@implementer(IReadDescriptor)
class Lifeline:
    """A pipe that ends with the supervisor.

    :param file: the end of the pipe to read.
    :param ended: called when nobody holds the other end any more.
    """

    def __init__(self, reactor: IReactorFDSet, file: int, ended: Callable[[], None]) -> None:
        self._reactor = reactor
        self._file = file
        self._ended = ended
        reactor.addReader(self)

    def fileno(self) -> int:
        return self._file

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        self._reactor.removeReader(self)
        self._ended()

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002 - Twisted's name
        """Called in place of `doRead` by a reactor that learns of the end at once, and when the reactor stops."""
        self._ended()

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        return "lifeline"


@implementer(IReadDescriptor, IWriteDescriptor)
class ProcessLink:
    """One process's end of a pair.

    :param reactor: watches the socket between `start` and `stop`.
    :param receive: called with each message from the other process.
    """

    def __init__(self, reactor: IReactorFDSet, end: socket.socket, receive: Callable[[Any], None]) -> None:
        self._reactor = reactor
        self._socket = end
        self._receive = receive
        self._outgoing: deque[bytes] = deque()
        self._pending_octets = 0
        self._incoming: list[bytes] | None = None

    def start(self) -> None:
        self._socket.setblocking(False)  # noqa: FBT003 - the standard library's
        self._reactor.addReader(self)

    def stop(self) -> None:
        """Send what the other process can take at once, and stop watching the socket."""
        self.doWrite()
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)

    def send(self, message: object) -> bool:
        """Send a message.

        :returns: false: the other process has not read for so long that the message was not taken; try it again later.
        """
        octets = _pickled(message)
        if self._pending_octets + len(octets) > MAX_PENDING_OCTETS and self._outgoing:
            return False
        for start in range(0, len(octets), PACKET_OCTETS):
            is_last = start + PACKET_OCTETS >= len(octets)
            flags = (_MIDDLE if start else _FIRST) | (_LAST if is_last else _MIDDLE)
            packet = bytes((flags,)) + octets[start : start + PACKET_OCTETS]
            self._outgoing.append(packet)
            self._pending_octets += len(packet)
        self.doWrite()
        return True

    # --- called by the reactor ---------------------------------------------------------------------------------------

    def fileno(self) -> int:
        return self._socket.fileno()

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        """Take one packet, so that phones are served between two."""
        try:
            packet = self._socket.recv(PACKET_OCTETS + 1)
        except (BlockingIOError, InterruptedError):
            return
        if not packet:
            self._reactor.removeReader(self)  # the supervisor has ended, and this process is about to end
            return
        if packet[0] & _FIRST:
            self._incoming = []
        if self._incoming is None:  # the rest of a message whose beginning another process has read
            return
        self._incoming.append(packet[1:])
        if packet[0] & _LAST:
            octets, self._incoming = b"".join(self._incoming), None
            try:
                self._receive(pickle.loads(octets))  # noqa: S301 - written by a process of this gateway
            except Exception:  # noqa: BLE001 - the link is needed for the next message
                log.failure(
                    "a message of another process of the gateway cannot be used", event="process_message_unusable"
                )

    def doWrite(self) -> None:  # noqa: N802 - Twisted's name
        try:
            while self._outgoing:
                self._socket.send(self._outgoing[0])
                self._pending_octets -= len(self._outgoing.popleft())
        except (BlockingIOError, InterruptedError):
            self._reactor.addWriter(self)
            return
        except OSError:  # the supervisor has ended
            self._outgoing.clear()
            self._pending_octets = 0
        self._reactor.removeWriter(self)

    def connectionLost(self, reason: Failure) -> None:
        """Called when the reactor stops."""

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        return "process link"


class _Pickler(pickle.Pickler):
    """Pickles a dataclass as a call of the class: a frozen one that was compiled cannot be restored otherwise."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, type) or not is_dataclass(value):
            return NotImplemented
        return type(value), tuple(getattr(value, field.name) for field in fields(value))


def _pickled(message: object) -> bytes:
    file = io.BytesIO()
    _Pickler(file, pickle.HIGHEST_PROTOCOL).dump(message)
    return file.getvalue()
