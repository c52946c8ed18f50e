# SPDX-License-Identifier: MIT
"""Listens on a thread to PostgreSQL's notifications: changes of the database, and bulletins of other gateways.

The notification of a change has no content.  Notifications may be lost with a connection, so each new connection counts
as a change.  In addition, every `LOOK_SECONDS` the database counts as changed.

Mutable: `ChangeListener`.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import closing, suppress
from selectors import EVENT_READ, DefaultSelector
from threading import Event, Thread
from typing import Any, Final

import psycopg
from sqlalchemy import URL
from twisted.logger import Logger

from ldapgw.store.postgresql_connection import connect_arguments
from ldapgw.store.postgresql_schema import BULLETIN_CHANNEL, CHANGES_CHANNEL

# Without a notification, the changes are read after this time, because notifications may be lost.
LOOK_SECONDS: Final = 5.0
# Notifications within this time count as one change.
RING_SECONDS: Final = 0.05
# A connection that has been silent for this time is tested with a statement.
SILENCE_SECONDS: Final = 30.0
RECONNECT_SECONDS: Final = 0.25

log = Logger()


class ChangeListener:
    """The `ldapgw.store.database.ChangeDetector` of a PostgreSQL database.

    :param connected: called with each new connection, on the listening thread.
    :param seconds: a monotonic clock.
    """

    def __init__(
        self,
        url: URL,
        *,
        connected: Callable[[psycopg.Connection[Any]], object] = lambda _line: None,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._connected = connected
        self._seconds = seconds
        self._looked_at: float | None = None
        self._on_change: Callable[[], object] = lambda: None
        self._on_bulletin: Callable[[str], object] = lambda _bulletin: None
        self._rung = Event()
        self._stopped = Event()
        self._is_interrupted = False
        self._thread: Thread | None = None
        self._waker: socket.socket | None = None

    def has_changed(self) -> bool:
        now = self._seconds()
        is_due = self._looked_at is None or now - self._looked_at >= LOOK_SECONDS
        has_changed = self._rung.is_set() or is_due
        if has_changed:
            self._rung.clear()
            self._looked_at = now
        # The thread starts here and not earlier, because twistd may fork until the gateway runs, and a thread does not
        # survive a fork.  If the new thread notifies a change at once, the next call returns True.
        if not self._stopped.is_set() and (self._thread is None or not self._thread.is_alive()):
            self._start()
        return has_changed

    def listen(self, on_change: Callable[[], object], on_bulletin: Callable[[str], object]) -> None:
        self._on_change = on_change
        self._on_bulletin = on_bulletin

    def close(self) -> None:
        """Make the thread end, without waiting for its end, because the server may not answer the thread."""
        self._stopped.set()
        if self._waker is not None:
            self._waker.close()
        self._thread = self._waker = None

    def _start(self) -> None:
        if self._waker is not None:  # the waker belongs to a thread that has ended
            self._waker.close()
        self._waker, wakened = socket.socketpair()
        self._thread = Thread(target=self._listen, args=(wakened,), name="listen", daemon=True)
        self._thread.start()

    def _listen(self, wakened: socket.socket) -> None:
        """Listen on one connection after another, until the gateway stops."""
        with wakened:
            while not self._stopped.is_set():
                try:
                    with closing(psycopg.connect(**connect_arguments(self._url), autocommit=True)) as line:
                        for channel in (BULLETIN_CHANNEL, CHANGES_CHANNEL):
                            line.execute(f"LISTEN {channel}".encode())
                        self._connected(line)
                        self._is_interrupted = False
                        self._ring()
                        self._wait(line, wakened)
                except Exception as error:  # noqa: BLE001  after any error, the gateway has to listen again
                    self._log(error)
                self._stopped.wait(RECONNECT_SECONDS)

    def _log(self, error: Exception) -> None:
        """Log an interruption, but only once until there is a new connection."""
        if self._is_interrupted or self._stopped.is_set():
            return
        self._is_interrupted = True
        if isinstance(error, psycopg.Error):
            log.warn(
                "the connection that reports changes has ended; until there is a new connection, the gateway looks for "
                "changes every {seconds} seconds",
                event="listening_interrupted",
                seconds=int(LOOK_SECONDS),
            )
        else:
            log.failure("listening for changes failed; the gateway listens again", event="listening_failed")

    def _wait(self, line: psycopg.Connection[Any], wakened: socket.socket) -> None:
        """Pass on notifications until the connection ends."""
        # select() cannot be used, because a gateway with many phones has descriptors above 1023.
        with DefaultSelector() as selector:
            selector.register(wakened, EVENT_READ)
            selector.register(line.fileno(), EVENT_READ)
            while not self._stopped.is_set():
                ready = selector.select(SILENCE_SECONDS)
                if any(key.fileobj is wakened for key, _ in ready):
                    return
                if not ready:
                    line.execute("SELECT 1")  # the server of a dead connection does not answer
                if self._take(line):
                    self._stopped.wait(RING_SECONDS)
                    self._take(line)
                    self._ring()

    def _take(self, line: psycopg.Connection[Any]) -> bool:
        """Pass on the received bulletins, and return whether a notification of a change was received."""
        has_changed = False
        for notification in line.notifies(timeout=0):
            if notification.channel == BULLETIN_CHANNEL:
                self._on_bulletin(notification.payload)
            else:
                has_changed = True
        return has_changed

    def _ring(self) -> None:
        self._rung.set()
        # The reactor may have ended, so that `callFromThread` fails.
        with suppress(RuntimeError):
            self._on_change()
