# SPDX-License-Identifier: MIT
"""A phone that searches all the time, and remembers each search that did not find who was asked for."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event, Lock, Thread

from ldapgw.ber import octets, tlv
from tests.faults.phone import Phone

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
        """What failed, and how long the good searches took, since the last call; those after a bind with the bind."""
        with self._lock:
            taken = self._failures, self._durations
            self._failures, self._durations = [], []
        return taken

    def end(self) -> None:
        self._over.set()
        self.join()


def equal(attribute: str, value: str) -> bytes:
    """An equality filter (RFC 4511 4.5.1)."""
    return tlv(0xA3, octets(attribute.encode()) + octets(value.encode()))
