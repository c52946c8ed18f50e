# SPDX-License-Identifier: MIT
"""Phones that search all the time, or bind once; the first remember each search that did not find who was asked for."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event, Lock, Thread

from ldapgw.ber import octets, tlv
from tests.support import pdu
from tests.support.descriptors import find_readable
from tests.support.site.line import Phone
from tests.support.site.running import PATIENCE

PERIOD = 0.01  # seconds between two searches
SEARCHES = 10  # on each connection


@dataclass(frozen=True)
class Login:
    """A phone's login, and a number that one contact of its tenant has."""

    name: str
    password: str
    base: str
    number: str


class Caller(Thread):
    """Searches at one gateway, with the login of one tenant after the other."""

    def __init__(self, port: int, logins: Sequence[Login]) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._logins = itertools.cycle(logins)
        self._over = Event()
        self._lock = Lock()
        self._failures: list[str] = []
        self._durations: list[float] = []

    def run(self) -> None:
        while not self._over.is_set():
            try:
                self._bind_and_search(next(self._logins))
            except (OSError, AssertionError) as error:
                with self._lock:
                    self._failures.append(repr(error))
                self._over.wait(PERIOD)

    def _bind_and_search(self, login: Login) -> None:
        began = time.monotonic()
        phone = Phone(self._port, login.name, login.password)
        try:
            for _ in range(SEARCHES):
                found = phone.find(login.base, equal("telephoneNumber", login.number))
                assert len(found) == 1, f"{len(found)} found"
                with self._lock:
                    self._durations.append(time.monotonic() - began)
                if self._over.wait(PERIOD):
                    return
                began = time.monotonic()
        finally:
            phone.close()

    def take(self) -> tuple[list[str], list[float]]:
        """Return the failures and the times of the good searches since the last call; a bind's time counts too."""
        with self._lock:
            taken = self._failures, self._durations
            self._failures, self._durations = [], []
        return taken

    def end(self) -> None:
        self._over.set()
        self.join()


class Attempt:
    """A bind, whose answer need not be waited for.

    :param address: from which it comes.
    """

    def __init__(self, port: int, name: str, password: str, address: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE, (address, 0))
        self._socket.sendall(pdu.message(1, pdu.bind(name, password.encode())))
        self._code: int | None = None

    def fileno(self) -> int:
        return self._socket.fileno()

    def answer(self) -> int | None:
        """The result code, once it has come."""
        if self._code is None and find_readable([self]):
            # After a login that ends at this moment, a notice of disconnection may follow.
            answer, *_ = pdu.responses(self._socket.recv(1 << 16))
            self._code = answer.code
        return self._code

    def close(self) -> None:
        self._socket.close()


def first_answers(attempts: Sequence[Attempt], seconds: float) -> set[int]:
    """The result codes of those attempts that are answered first; empty: none is within some seconds."""
    if all(one.answer() is None for one in attempts):
        find_readable(attempts, seconds)
    return {code for one in attempts if (code := one.answer()) is not None}


def equal(attribute: str, value: str) -> bytes:
    """An equality filter (RFC 4511 4.5.1)."""
    return tlv(0xA3, octets(attribute.encode()) + octets(value.encode()))


def begins(attribute: str, value: str) -> bytes:
    """A filter for values with a beginning (RFC 4511 4.5.1)."""
    return tlv(0xA4, octets(attribute.encode()) + tlv(0x30, tlv(0x80, value.encode())))
