# SPDX-License-Identifier: MIT
"""A browser that signs in at the sandbox, and weighs what it gets.

Mutable: its cookies.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from html.parser import HTMLParser
from http.client import HTTPConnection, HTTPResponse
from statistics import median
from urllib.parse import urlencode, urljoin, urlsplit
from urllib.request import HTTPCookieProcessor, Request, build_opener

from tests.support.site.visitor import connect_one


@dataclass(frozen=True)
class Weight:
    """What a page costs.

    :ivar html: octets of its HTML, before any packing.
    :ivar sent: the same as they went over the wire to a browser that takes gzip.
    :ivar besides: octets of each address that it has the browser fetch, by address.
    :ivar first: milliseconds until its first octet came: the median.
    """

    html: int
    sent: int
    besides: dict[str, int]
    first: float


class Visitor:
    """A person's browser, with the cookies of one."""

    def __init__(self) -> None:
        self._cookies = HTTPCookieProcessor()
        self._opener = build_opener(self._cookies)

    def open(self, url: str, fields: list[tuple[str, str]] | None = None) -> tuple[str, str]:
        """The address where it ends, and its page.

        :raises HTTPError: when it refuses.
        """
        data = None if fields is None else urlencode(fields).encode()
        with self._opener.open(Request(url, data), timeout=30) as answer:
            return answer.url, answer.read().decode()

    def connect(self, page: str, account: str) -> str:
        """Connect an account on a tenant's page; the HTML of the page afterwards."""
        return connect_one(self._cookies.cookiejar, page, account).body

    def weigh(self, url: str, times: int, status: int = 200) -> Weight:
        """Ask for a page so many times on one connection, and once for each thing that it needs.

        :param status: that the page has to come with.
        """
        first, body, sent = [], b"", b""
        connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
        connection.connect()
        for _ in range(times):
            begun = time.perf_counter()
            connection.request("GET", _path(url), headers=self._headers(url))
            assert isinstance(connection.sock, socket.socket)
            connection.sock.recv(1, socket.MSG_PEEK)
            first.append(time.perf_counter() - begun)
            body = _read(connection.getresponse(), status)
        connection.request("GET", _path(url), headers={**self._headers(url), "Accept-Encoding": "gzip"})
        sent = _read(connection.getresponse(), status)
        needed = dict.fromkeys(urljoin(url, one) for one in _needed(body.decode()))
        besides = {}
        for one in needed:
            connection.request("GET", _path(one), headers={"Accept-Encoding": "gzip"})
            besides[one] = len(_read(connection.getresponse(), 200))
        connection.close()
        return Weight(len(body), len(sent), besides, median(first) * 1000)

    def _headers(self, url: str) -> dict[str, str]:
        asked = Request(url)
        self._cookies.cookiejar.add_cookie_header(asked)
        return {"Cookie": asked.get_header("Cookie", "") or "none=none"}


def _path(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _read(answer: HTTPResponse, status: int) -> bytes:
    body = answer.read()
    assert answer.status == status, (answer.status, answer.getheaders())
    return body


def _needed(html: str) -> list[str]:
    """What a browser fetches for a page, in the page's order."""
    reader = _Needs()
    reader.feed(html)
    reader.close()
    return reader.found


class _Needs(HTMLParser):
    """Collects addresses of style sheets, icons, scripts and pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "link" and given.get("rel") in ("stylesheet", "icon"):
            self.found.append(given.get("href") or "")
        elif tag in ("script", "img") and given.get("src"):
            self.found.append(given["src"] or "")
