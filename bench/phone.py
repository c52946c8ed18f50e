# SPDX-License-Identifier: MIT
"""A phone that searches: its connection, the words that it searches for, and how long the answers take."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Self

from bench.asking import NUMBERS, WORKLOADS, any_of, search
from bench.people import Person
from bench.report import percentile
from tests.support import pdu
from tests.support.pdu import whole_messages

# Seconds after which a phone gives up.
PATIENCE = 5.0
# Seconds between two searches: a person types no faster, and the bench must not compete with the server.
PAUSE = 0.004
_REQUESTS = 300
# One search in so many asks whether something has happened.
_ASKS_EVERY = 10
# A measured time has at least so many searches.
_LEAST = 10
_ROUNDS = 3


@dataclass(frozen=True)
class Target:
    """The address of a server, and a login that the server knows."""

    port: int
    tls_port: int
    base: str
    login: str
    password: str

    def connect(self, address: str = "127.0.0.1", *, tls: bool = False) -> socket.socket:
        made = socket.create_connection(
            ("127.0.0.1", self.tls_port if tls else self.port), PATIENCE, source_address=(address, 0)
        )
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def bind(self, password: str | None = None) -> bytes:
        return pdu.message(1, pdu.bind(self.login, (self.password if password is None else password).encode()))


class Phone:
    """A connection that logs in, and then sends a request after each answer.

    :raises ConnectionError: if the server refuses the login or closes the connection; the methods raise this too.
    """

    def __init__(self, target: Target, address: str = "127.9.9.9") -> None:
        self._socket = target.connect(address)
        [bound] = self.ask(target.bind())
        if bound.code:
            self._socket.close()
            raise ConnectionError(f"bind: {bound.code}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, request: bytes) -> list[pdu.Response]:
        """Send a message, and return all answers; the last one is the result."""
        return pdu.responses(self.octets(request))

    def octets(self, request: bytes) -> bytes:
        """Send a message, and return all answers as they came."""
        self._socket.sendall(request)
        data, end = bytearray(), 0
        while True:
            received = self._socket.recv(1 << 18)
            if not received:
                self._socket.close()
                raise ConnectionResetError("closed")
            data += received
            # Only new messages are read: the answers for a whole book come in many pieces.
            behind = bytes(data[end:])
            whole = whole_messages(behind)
            end += whole
            if whole == len(behind) and pdu.responses(behind)[-1].code is not None:
                return bytes(data)


@dataclass(frozen=True)
class Sign:
    """A search that shows whether a sync is in effect: the search finds two people.

    :ivar given: the given name of both people once the sync is in effect; empty: any name will do.
    """

    first: Person
    last: Person
    given: str = ""

    def request(self, base: str) -> bytes:
        numbers = (any_of(NUMBERS, one.phones[0][1]) for one in (self.first, self.last))
        return search(base, f"(|{''.join(numbers)})", attributes=("givenName", "uid"))

    def seen(self, answers: Sequence[pdu.Response]) -> int:
        """Return how many of the two people an answer shows."""
        uids = {self.first.uid.encode(), self.last.uid.encode()}
        found = [dict(answer.attributes) for answer in answers if answer.code is None]
        return sum(
            one["uid"][0] in uids and self.given in ("", one.get("givenName", (b"",))[0].decode()) for one in found
        )


@dataclass
class Watch:
    """The searches of a phone during some time.

    Mutable: the values grow while the phone searches.

    :ivar begun: like `ended`, seconds of the monotonic clock.
    :ivar waits: milliseconds of each search; a search that was given up counts as infinite.
    :ivar halves: how many searches found only one of a sign's two people.
    """

    begun: float
    ended: float = 0.0
    waits: list[float] = field(default_factory=list)
    halves: int = 0

    @property
    def seconds(self) -> float:
        return self.ended - self.begun

    def milliseconds(self, part: float) -> float:
        """Return the time that so many percent of the searches did not exceed."""
        return percentile(sorted(self.waits), part)


class Watcher:
    """A phone that searches for people by name and by number, with a short pause after each answer.

    :param people: the people from whose names and numbers the words of the searches come.
    :param fresh_every: one search in so many binds on a connection of its own, as a phone does that comes anew; 0: no
        search does.
    """

    def __init__(self, target: Target, people: Sequence[Person], fresh_every: int = 0) -> None:
        self._target = target
        self._fresh_every = fresh_every
        filters = [text for name in ("prefix", "reverse") for text in WORKLOADS[name].filters(people)]
        self._requests = [search(target.base, text) for text in random.Random(1).sample(filters, _REQUESTS)]

    def watch(self, seconds: float, sign: Sign | None = None) -> Watch:
        """Search for so many seconds, or until a sign is seen.

        :raises TimeoutError: if the sign is not seen.
        """
        watch = Watch(time.monotonic())
        with Phone(self._target) as phone:
            while time.monotonic() < watch.begun + seconds or len(watch.waits) < _LEAST:
                at = len(watch.waits) + 1
                is_asked = sign is not None and at % _ASKS_EVERY == 0
                request = sign.request(self._target.base) if sign and is_asked else self._requests[at % _REQUESTS]
                begun = time.monotonic()
                if self._fresh_every and at % self._fresh_every == 0:
                    with Phone(self._target) as fresh:
                        answers = fresh.ask(request)
                else:
                    answers = phone.ask(request)
                watch.ended = time.monotonic()
                watch.waits.append((watch.ended - begun) * 1000)
                if sign and is_asked:
                    seen = sign.seen(answers)
                    watch.halves += seen == 1
                    if seen == 2:
                        return watch
                time.sleep(PAUSE)
        if sign:
            raise TimeoutError(f"not in effect after {seconds:g} s")
        return watch

    def best(self, seconds: float, rounds: int = _ROUNDS) -> tuple[float, float, float]:
        """Return the median, the 99th percentile and the longest time of searches, in milliseconds.

        The phone searches in rounds, and of each figure the best one counts: a load that matters shows in all rounds,
        while other work of the machine shows in one.  If the phone gives up, the figures of the round are infinite.
        """
        found = []
        for _ in range(rounds):
            try:
                watch = self.watch(seconds / rounds)
                found.append((watch.milliseconds(50), watch.milliseconds(99), watch.milliseconds(100)))
            except TimeoutError:
                found.append((inf, inf, inf))
        median, p99, longest = map(min, zip(*found, strict=True))
        return median, p99, longest
