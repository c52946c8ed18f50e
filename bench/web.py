# SPDX-License-Identifier: MIT
"""The load over HTTP: callers' names, XML phone books, the contact feed, and an address book by CardDAV.

The load's client reads only the length and the status of an answer, so that it costs far less than the gateway.
"""

from __future__ import annotations

import re
import selectors
import socket
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import cycle
from urllib.parse import quote

from bench.asking import called_numbers
from bench.load import CONNECTIONS, WARMUP
from bench.people import Person
from bench.phone import Watcher
from bench.report import Figure, judged
from bench.seed import HTTP_PHONE, SECRET, TENANT
from bench.servers import Server

# The contacts of a first sync by CardDAV, and how often a client then looks for changes.
_DAV_CONTACTS = 5_000
_LOOKS = 500
# A client of CardDAV asks for so many contacts in one report.
_BATCH = 50
# Books of up to 5,000 contacts, and the rows for them: read, read again unchanged, and written anew.
_BOOKS = {
    "book/yealink.xml": (
        "XML phone book (Yealink), its first 5,000",
        "the same, as a phone has it",
        "the same, written anew",
    ),
    "book/contacts.json?count=5000": (
        "contact feed, its first 5,000",
        "the feed, as a softphone has it",
        "the feed, written anew",
    ),
}
# The gateway keeps fewer phone books than this.
_MANY_BOOKS = 500
_LENGTH = b"\r\nContent-Length: "
_LOGIN = b64encode(f"{HTTP_PHONE}:{SECRET}".encode()).decode()


def over_http(load: str, server: Server, people: Sequence[Person], seconds: float) -> Iterator[Figure]:
    """Measure everything that a gateway serves over HTTP.

    :param people: people of the gateway's book.
    :param seconds: of each part.
    """
    callers = [f"caller?number={quote(number)}" for number in called_numbers(people)]
    typed = quote(people[0].family[:2].lower())
    rows: list[tuple[str, str, Sequence[bytes], tuple[int, ...]]] = [
        ("a caller's name", "≥ 1,500", [*map(_request, callers)], (200, 404)),
        ("the same as JSON", "≥ 1,500", [_request(one, "Accept: application/json") for one in callers], (200, 404)),
        ("XML phone book (Cisco), a page", "≥ 1,500", [_request("book/cisco.xml?letter=m")], (200,)),
        ("XML phone book (Snom), two letters", "≥ 1,500", [_request(f"book/snom.xml?q={typed}&count=50")], (200,)),
    ]
    for path, (whole, unchanged, anew) in _BOOKS.items():
        known = _request(path, f"If-None-Match: {_entity_tag(server.web_port, path)}")
        rows += [(whole, "≥ 40", [_request(path)], (200,)), (unchanged, "≥ 3,000", [known], (304,))]
        rows += [(anew, "", _new_books(path), (200,))]
    for what, goal, requests, statuses in rows:
        rate = _answers_a_second(server.web_port, requests, statuses, seconds)
        yield judged(load, what, rate, goal, text=f"{rate:,.{0 if goal else 1}f} answers a second")
    yield from _address_book(load, server, server.web_port)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(_answers_a_second, server.web_port, _new_books("book/yealink.xml"), (200,), 2 * seconds)
        _, p99, _ = Watcher(server.target, people, fresh_every=10).best(seconds)
        reading.result()
    yield judged(load, "search over LDAP meanwhile, p99", p99, "< 50 ms")


def _new_books(path: str) -> list[bytes]:
    """Return requests for so many different books of up to 5,000 contacts that each book is written anew."""
    return [_request(f"{path.partition('?')[0]}?count={5_000 - at}") for at in range(_MANY_BOOKS)]


def _request(path: str, *headers: str) -> bytes:
    lines = (f"GET /{TENANT}/{path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Basic {_LOGIN}", *headers, "", "")
    return "\r\n".join(lines).encode()


def _entity_tag(port: int, path: str) -> str:
    """Return the entity tag of an answer, which a phone sends that has the answer already."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=30.0)) as connection:
        connection.request("GET", f"/{TENANT}/{path}", headers={"Authorization": f"Basic {_LOGIN}"})
        return connection.getresponse().headers["ETag"]


@dataclass
class _Connection:
    """A connection that stays open.

    Mutable: the received part of the answer, and the length of the whole answer; 0: the length is not known yet.
    """

    socket: socket.socket
    received: bytes = b""
    expected: int = 0

    def has_answer(self) -> bool:
        """Receive, and return whether the answer is complete."""
        self.received += self.socket.recv(1 << 18)
        if not self.expected:
            head = self.received.find(b"\r\n\r\n")
            if head < 0:
                return False
            at = self.received.index(_LENGTH) + len(_LENGTH)
            self.expected = head + 4 + int(self.received[at : self.received.index(b"\r", at)])
        return len(self.received) >= self.expected


def _answers_a_second(port: int, requests: Sequence[bytes], statuses: Sequence[int], seconds: float) -> float:
    """Return how many requests a server on loopback answers.

    :param statuses: the statuses that answers may have.
    :raises ValueError: if an answer has another status, or no answer comes.
    """
    expected = tuple(f"HTTP/1.1 {status} ".encode() for status in statuses)
    following = cycle(requests)
    with selectors.DefaultSelector() as selector:
        for _ in range(CONNECTIONS):
            one = _Connection(socket.create_connection(("127.0.0.1", port), timeout=30.0))
            selector.register(one.socket, selectors.EVENT_READ, one)
            one.socket.sendall(next(following))
        begun, answered = time.monotonic() + WARMUP, 0
        while (now := time.monotonic()) < begun + seconds:
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


# --- CardDAV ---

_SPACES = 'xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav"'
_HREF = re.compile(rb"<D:response><D:href>([^<]+\.vcf)</D:href>")
_TOKEN = re.compile(rb"<D:sync-token>([^<]+)</D:sync-token>")
_BOOK = re.compile(rb"<D:href>(/[^<]+/)</D:href><D:propstat><D:prop><D:resourcetype><D:collection/><C:addressbook/>")


def _address_book(load: str, server: Server, port: int) -> Iterator[Figure]:
    """Measure the gateway's processor time for a first sync, and for looks that find nothing changed."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        asked = f"<D:propfind {_SPACES}><D:prop><D:resourcetype/></D:prop></D:propfind>"
        [book] = _found(_BOOK, _ask(connection, "PROPFIND", f"/{TENANT}/dav/", asked, depth="1"))[:1]
        before = server.worked
        paths, token = _changes(connection, book)
        read = sum(_contacts(connection, book, paths[start : start + _BATCH]) for start in range(0, len(paths), _BATCH))
        spent = (server.worked - before) * _DAV_CONTACTS / read
        what = f"CardDAV, the first sync of {_DAV_CONTACTS:,}, the gateway's time"
        yield judged(load, what, spent, "≤ 2 s", digits=2)
        before = server.worked
        for _ in range(_LOOKS):
            changed, token = _changes(connection, book, token)
            assert not changed
        spent = (server.worked - before) / _LOOKS * 1000
        yield judged(load, "the same, nothing has changed", spent, "≤ 5 ms")


def _changes(connection: HTTPConnection, book: str, token: str = "") -> tuple[list[str], str]:
    """Return the paths of the contacts that have changed since a token, and the next token."""
    asked = f"<D:sync-token>{token}</D:sync-token><D:sync-level>1</D:sync-level><D:prop><D:getetag/></D:prop>"
    answer = _ask(connection, "REPORT", book, f"<D:sync-collection {_SPACES}>{asked}</D:sync-collection>")
    [following] = _found(_TOKEN, answer)
    return _found(_HREF, answer), following


def _contacts(connection: HTTPConnection, book: str, paths: Sequence[str]) -> int:
    """Read contacts in one report, and return their number."""
    hrefs = "".join(f"<D:href>{path}</D:href>" for path in paths)
    asked = f"<D:prop><D:getetag/><C:address-data/></D:prop>{hrefs}"
    report = f"<C:addressbook-multiget {_SPACES}>{asked}</C:addressbook-multiget>"
    return _ask(connection, "REPORT", book, report).count(b"BEGIN:VCARD")


def _found(pattern: re.Pattern[bytes], answer: bytes) -> list[str]:
    return [found.decode() for found in pattern.findall(answer)]


def _ask(connection: HTTPConnection, method: str, path: str, body: str, depth: str = "0") -> bytes:
    headers = {"Authorization": f"Basic {_LOGIN}", "Depth": depth, "Content-Type": "application/xml"}
    connection.request(method, path, body.encode(), headers)
    answer = connection.getresponse()
    octets = answer.read()
    assert answer.status == 207, answer.status
    return octets
