# SPDX-License-Identifier: MIT
"""Takes people through the page and the consent without a reactor, for tests that block and for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import CookieJar
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPCookieProcessor, HTTPRedirectHandler, Request, build_opener

from twisted.web.http_headers import Headers

from tests.support.browser import Visit, consent, switch_on
from tests.support.results import result_of

PATIENCE = 120.0
# The sources that people switch on after the first consent, where their tenant has these sources.
MORE_SOURCES = ("other_contacts", "directory")


@dataclass(frozen=True)
class _Answer:
    """The part of treq's answer that the browser reads."""

    code: int
    headers: Headers
    body: str

    async def text(self, _encoding: str) -> str:
        return self.body


class _NoRedirects(HTTPRedirectHandler):
    """The browser follows redirects itself."""

    def redirect_request(self, *_: object) -> None:
        return None


class _Http:
    """The part of treq's HTTP client that the browser uses; each request blocks."""

    def __init__(self, jar: CookieJar) -> None:
        self._opener = build_opener(HTTPCookieProcessor(jar), _NoRedirects)

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], data: bytes | None, **_: object
    ) -> _Answer:
        request = Request(url, data, dict(headers), method=method)
        try:
            with self._opener.open(request, timeout=PATIENCE) as answer:
                return _read(answer)
        except HTTPError as error:
            with error:
                return _read(error)


def _read(answer: Any) -> _Answer:
    headers = Headers()
    for name, value in answer.headers.items():
        headers.addRawHeader(name, value)
    return _Answer(answer.status, headers, answer.read().decode())


def connect_one(jar: CookieJar, page: str, account: str) -> Visit:
    """Connect an account on a tenant's page, with all of its sources; the page after the first consent.

    :param jar: the cookies of the browser.
    """
    http: Any = _Http(jar)
    visit: Visit = result_of(consent(http, page + "connect", account=account))
    assert (visit.status, visit.url) == (200, page), visit
    for source in MORE_SOURCES:
        result_of(switch_on(http, page, source, account=account))
    return visit


def connect(page: str, *accounts: str) -> str:
    """Connect accounts on a tenant's page, one after the other; the cookie that the last one is signed in with."""
    jar = CookieJar()
    for account in accounts:
        jar.clear()
        connect_one(jar, page, account)
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar)
