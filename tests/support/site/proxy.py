# SPDX-License-Identifier: MIT
"""A TCP proxy between a gateway and its database, which can go silent or break off."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from threading import Condition, Thread

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST


class Proxy:
    """Passes octets between a port of loopback and another one, on a thread for each direction of a connection.

    While it is silent, it takes connections and octets as a network does that loses packets: nobody gets any of them,
    and nobody is told.  What was sent meanwhile arrives afterwards.
    """

    def __init__(self, port: int, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", port), backlog=50)
        self._ends: list[socket.socket] = []
        self._is_silent = False
        self._turn = Condition()
        Thread(target=self._accept, name="proxy", daemon=True).start()

    def go_silent(self) -> None:
        """Pass on nothing more, once this returns."""
        with self._turn:
            self._is_silent = True

    def go_on(self) -> None:
        with self._turn:
            self._is_silent = False
            self._turn.notify_all()

    def reset(self) -> None:
        """Break off all connections, as a firewall does that has forgotten them."""
        ends, self._ends = self._ends, []
        for end in ends:
            _break_off(end)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.reset()
        self.go_on()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                gateway, _ = self._listener.accept()
                with self._turn:
                    self._turn.wait_for(lambda: not self._is_silent)
                try:
                    database = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    _break_off(gateway)
                    continue
                self._ends = [end for end in (*self._ends, gateway, database) if end.fileno() >= 0]
                for pair in ((gateway, database), (database, gateway)):
                    Thread(target=self._pass_on, args=pair, name="proxy", daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while octets := one.recv(1 << 16):
                with self._turn:
                    self._turn.wait_for(lambda: not self._is_silent)
                    other.sendall(octets)
        for end in (one, other):
            _break_off(end)


def _break_off(end: socket.socket) -> None:
    """Close a connection with RST; a thread that still reads from the connection is woken first."""
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        end.shutdown(socket.SHUT_RD)
    end.close()
