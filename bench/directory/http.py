# SPDX-License-Identifier: MIT
"""The load over HTTP: so many connections that stay open, each with one request outstanding.

It looks for no more in an answer than its length and its status, so that it costs far less than what it measures.
"""

from __future__ import annotations

import selectors
import socket
import time
import tomllib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from urllib.parse import quote

from bench.asking import called_numbers
from bench.load import CONNECTIONS, WARMUP
from bench.people import Person
from bench.phone import Target
from bench.seed import HTTP_PHONE, TENANT

# What phones read of an XML phone book, and the least answers a second.
PAGE, SEARCH, WHOLE_BOOK = (
    ("XML phone book (Cisco), a page", 1500),
    ("XML phone book (Snom), two letters", 1500),
    ("XML phone book (Yealink), its first 5,000", 40),
)
# What softphones read, and the least answers a second.
WHOLE_FEED = ("contact feed, its first 5,000", 40)
# The gateway keeps fewer books than this.
_MANY_BOOKS = 500
_LENGTH = b"\r\nContent-Length: "


@dataclass
class _Connection:
    """One connection.

    Mutable: what was received of the answer, and how many octets the whole has; 0: not known yet.
    """

    socket: socket.socket
    received: bytes = b""
    expected: int = 0

    def has_answer(self) -> bool:
        """Receive; whether the answer is complete."""
        self.received += self.socket.recv(1 << 18)
        if not self.expected:
            head = self.received.find(b"\r\n\r\n")
            if head < 0:
                return False
            at = self.received.index(_LENGTH) + len(_LENGTH)
            self.expected = head + 4 + int(self.received[at : self.received.index(b"\r", at)])
        return len(self.received) >= self.expected


def answers_a_second(port: int, requests: Sequence[bytes], statuses: Sequence[int], seconds: float) -> float:
    """How many requests a server on loopback answers.

    :param statuses: of the answers that may come; another one is an error.
    :raises ValueError: when another answer came, or none.
    """
    expected = tuple(f"HTTP/1.1 {status} ".encode() for status in statuses)
    following = cycle(requests)
    with selectors.DefaultSelector() as selector:
        for _ in range(CONNECTIONS):
            one = _Connection(socket.create_connection(("127.0.0.1", port), timeout=30.0))
            selector.register(one.socket, selectors.EVENT_READ, one)
            one.socket.sendall(next(following))
        begun, answered = time.monotonic() + WARMUP, 0
        end = begun + seconds
        while (now := time.monotonic()) < end:
            ready = selector.select(30.0)
            if not ready:
                raise ValueError("no answer")
            for key, _ in ready:
                one = key.data
                if not one.has_answer():
                    continue
                if not one.received.startswith(expected):
                    raise ValueError(one.received.partition(b"\r\n")[0].decode("ascii", "replace"))
                answered += now >= begun
                one.received, one.expected = b"", 0
                one.socket.sendall(next(following))
        for key in list(selector.get_map().values()):
            key.data.socket.close()
    return answered / seconds


def web_port(configuration: Path) -> int:
    """The port of a gateway's page."""
    return int(tomllib.loads(configuration.read_text())["web"]["public_url"].rpartition(":")[2])


def caller_requests(target: Target, people: Sequence[Person]) -> list[bytes]:
    """Who calls, as over LDAP (`bench.asking.reverse`)."""
    return [_request(target, f"caller?number={quote(number)}") for number in called_numbers(people)]


def accepting(request: bytes, media_type: str) -> bytes:
    """The request with a header ``Accept``; without one if the type is empty."""
    return request.replace(b"\r\n\r\n", f"\r\nAccept: {media_type}\r\n\r\n".encode()) if media_type else request


def book_requests(target: Target, people: Sequence[Person]) -> dict[tuple[str, int], bytes]:
    """What phones read of an XML phone book that has not changed since it was read before."""
    typed = people[0].family[:2].lower()
    return {
        PAGE: _request(target, "book/cisco.xml?letter=m"),
        SEARCH: _request(target, f"book/snom.xml?q={quote(typed)}&count=50"),
        WHOLE_BOOK: _request(target, "book/yealink.xml"),
    }


def feed_request(target: Target) -> bytes:
    """What softphones read of the contact feed."""
    return _request(target, "book/contacts.json?count=5000")


def new_books(target: Target, file: str = "yealink.xml") -> list[bytes]:
    """Whole books of up to 5,000 contacts, so many different ones that each is written anew."""
    return [_request(target, f"book/{file}?count={5_000 - at}") for at in range(_MANY_BOOKS)]


def conditional(port: int, request: bytes) -> bytes:
    """The request with the entity tag of its answer, as a phone sends it that has the answer already."""
    with socket.create_connection(("127.0.0.1", port), timeout=30.0) as connection:
        connection.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += connection.recv(1 << 16)
    tag = answer.partition(b"\r\nETag: ")[2].partition(b"\r\n")[0]
    return request.replace(b"\r\n\r\n", b"\r\nIf-None-Match: " + tag + b"\r\n\r\n")


def _request(target: Target, path: str) -> bytes:
    login = b64encode(f"{HTTP_PHONE}:{target.password}".encode()).decode()
    return f"GET /{TENANT}/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic {login}\r\n\r\n".encode()
