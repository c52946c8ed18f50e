# SPDX-License-Identifier: MIT
"""Somebody who just wants to search, and how long that takes."""

from __future__ import annotations

import random
import socket
import time
from dataclasses import astuple, dataclass
from math import inf
from types import TracebackType
from typing import Self

from tests.support import pdu
from tests.support.filter_text import encode, read_filter
from tests.support.pdu import whole_messages

# Seconds after which a phone gives up.
PATIENCE = 5.0
# Seconds between two searches: a person types no faster, and the load process is not to compete with the server.
PAUSE = 0.004
_BINDS_EVERY = 10
_ROUNDS = 3


@dataclass(frozen=True)
class Target:
    """Where a server is, and a login that it knows."""

    port: int
    tls_port: int
    base: str
    login: str
    password: str

    def connect(self, address: str = "127.0.0.1", *, tls: bool = False) -> socket.socket:
        """A connection from an address of loopback's."""
        made = socket.create_connection(
            ("127.0.0.1", self.tls_port if tls else self.port), PATIENCE, source_address=(address, 0)
        )
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def bind(self, password: str | None = None) -> bytes:
        """The request to bind."""
        return pdu.message(1, pdu.bind(self.login, (self.password if password is None else password).encode()))


class Phone:
    """A connection that asks one thing after the other."""

    def __init__(self, target: Target, address: str = "127.9.9.9") -> None:
        self._target = target
        self._socket = target.connect(address)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def bind(self) -> None:
        """Log in.

        :raises ConnectionError: when that fails.
        """
        [bound] = self.ask(self._target.bind())
        if bound.code:
            raise ConnectionError(f"bind: {bound.code}")

    def search(self, digits: str) -> int:
        """How many people are found by the beginning of a name or number.

        :raises ConnectionError: when the search fails.
        """
        filter_ = encode(read_filter(f"(|(cn={digits}*)(sn={digits}*)(telephoneNumber=+49301{digits}*))"))
        request = pdu.search(self._target.base, 2, filter_, ("cn", "telephoneNumber"), size=50)
        *entries, done = self.ask(pdu.message(2, request))
        if done.code not in (0, 4):
            raise ConnectionError(f"search: {done.code}")
        return len(entries)

    def ask(self, request: bytes) -> list[pdu.Response]:
        """Send a message; all answers to it, the last one its result.

        :raises ConnectionError: when the server closes the connection.
        """
        return self._exchange(request)[1]

    def octets(self, request: bytes) -> bytes:
        """Send a message; all answers to it, as they came.

        :raises ConnectionError: when the server closes the connection.
        """
        return self._exchange(request)[0]

    def _exchange(self, request: bytes) -> tuple[bytes, list[pdu.Response]]:
        self._socket.sendall(request)
        data = b""
        while True:
            received = self._socket.recv(1 << 16)
            if not received:
                raise ConnectionResetError("closed")
            data += received
            if whole_messages(data) == len(data):
                answers = pdu.responses(data)
                if answers[-1].code is not None:
                    return data, answers


@dataclass(frozen=True)
class Latency:
    """How long searches took, in milliseconds; one that was given up counts as infinite."""

    median: float
    p99: float
    longest: float


def measure(target: Target, seconds: float) -> Latency:
    """Search for so long, every tenth time as a phone that comes anew.

    That is done in three rounds, and of each figure the best counts: a load that matters shows in all of them, while
    what else the machine does shows in one.
    """
    rounds = [measure_once(target, seconds / _ROUNDS) for _ in range(_ROUNDS)]
    return Latency(*(min(figures) for figures in zip(*map(astuple, rounds), strict=True)))


def measure_once(target: Target, seconds: float) -> Latency:
    """Search for so long, every tenth time as a phone that comes anew."""
    taken: list[float] = []
    choice = random.Random(1)
    until = time.perf_counter() + seconds
    try:
        with Phone(target) as lasting:
            lasting.bind()
            while time.perf_counter() < until or len(taken) < _BINDS_EVERY:
                digits = f"{choice.randrange(1000):03}"
                begun = time.perf_counter()
                if len(taken) % _BINDS_EVERY:
                    lasting.search(digits)
                else:
                    with Phone(target) as fresh:
                        fresh.bind()
                        fresh.search(digits)
                taken.append((time.perf_counter() - begun) * 1000)
                time.sleep(PAUSE)
    except TimeoutError:
        return Latency(inf, inf, inf)
    taken.sort()
    return Latency(taken[len(taken) // 2], taken[int(len(taken) * 0.99)], taken[-1])
