# SPDX-License-Identifier: MIT
"""A TCP proxy between a gateway and its database, which can go silent or break off."""

from __future__ import annotations

import selectors
import socket
import struct
from contextlib import suppress
from threading import Event, Thread

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST


class Proxy:
    """Passes octets between a port of loopback and another one, on a thread.

    While it is silent, it takes connections and octets as a network does that loses packets: nobody gets any of them,
    and nobody is told.  What was sent meanwhile arrives afterwards.
    """

    def __init__(self, port: int, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", port), backlog=50)
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._is_silent = Event()
        self._over = Event()
        self._waker, self._wakened = socket.socketpair()
        self._todo: list[str] = []
        self._done = Event()
        self._thread = Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    def go_silent(self) -> None:
        self._do("silent")

    def go_on(self) -> None:
        self._do("on")

    def reset(self) -> None:
        """Break off all connections, as a firewall does that has forgotten them."""
        self._do("reset")

    def close(self) -> None:
        self._do("close")
        self._thread.join()
        self._waker.close()
        self._wakened.close()

    def _do(self, what: str) -> None:
        self._done.clear()
        self._todo.append(what)
        self._waker.send(b"x")
        self._done.wait()

    def _run(self) -> None:
        with selectors.DefaultSelector() as self._selector:
            for one in (self._wakened, self._listener):
                self._selector.register(one, selectors.EVENT_READ)
            while not self._over.is_set():
                for key, _ in self._selector.select():
                    ready = key.fileobj
                    assert isinstance(ready, socket.socket)
                    if ready is self._wakened:
                        self._wakened.recv(1)
                        self._turn(self._todo.pop(0))
                    elif self._is_silent.is_set():
                        continue
                    elif ready is self._listener:
                        self._connect()
                    elif ready in self._pairs:
                        self._pass_on(ready)
            self._break_off()
            self._listener.close()
        self._done.set()

    def _turn(self, what: str) -> None:
        watched = (self._listener, *self._pairs)
        if what == "silent" and not self._is_silent.is_set():
            self._is_silent.set()
            for one in watched:
                self._selector.unregister(one)
        elif what == "on" and self._is_silent.is_set():
            self._is_silent.clear()
            for one in watched:
                self._selector.register(one, selectors.EVENT_READ)
        elif what == "reset":
            self._break_off()
        elif what == "close":
            self._over.set()
            return
        self._done.set()

    def _connect(self) -> None:
        gateway, _ = self._listener.accept()
        try:
            database = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            self._close(gateway)
            return
        self._pairs |= {gateway: database, database: gateway}
        for one in (gateway, database):
            self._selector.register(one, selectors.EVENT_READ)

    def _pass_on(self, ready: socket.socket) -> None:
        other = self._pairs[ready]
        try:
            octets = ready.recv(1 << 16)
            other.sendall(octets)
        except OSError:
            octets = b""
        if not octets:
            self._forget(ready)

    def _forget(self, one: socket.socket) -> None:
        other = self._pairs[one]
        for end in (one, other):
            del self._pairs[end]
            with suppress(KeyError):
                self._selector.unregister(end)
            self._close(end)

    def _break_off(self) -> None:
        while self._pairs:
            self._forget(next(iter(self._pairs)))

    def _close(self, one: socket.socket) -> None:
        with suppress(OSError):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        one.close()
