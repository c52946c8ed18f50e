# SPDX-License-Identifier: MIT
"""A telephone system that calls by click, as the gateway's HTTP client sees it."""

from __future__ import annotations

from typing import Any

from treq.testing import StubTreq
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from ldapgw.web.dialing import Dialer


class TelephoneSystem(Resource):
    """A telephone system.

    :ivar status: of its next answer; 0: it does not answer.
    :ivar body: of its next answer.
    :ivar asked: the method and the URL of each request.
    """

    isLeaf = True  # noqa: N815  the name that Twisted looks for

    def __init__(self) -> None:
        super().__init__()
        self.status, self.body = 200, b"Ringing +49..."
        self.asked: list[tuple[str, str]] = []

    def render(self, request: Any) -> Any:
        self.asked.append((request.method.decode(), str(request.uri.decode())))
        if not self.status:
            return NOT_DONE_YET
        request.setResponseCode(self.status)
        if 300 <= self.status < 400:
            request.setHeader("Location", "https://elsewhere.example/")
        return self.body

    def dialer(self, clock: IReactorTime) -> Dialer:
        """A client whose requests all come here."""
        http: Any = StubTreq(self)
        return Dialer(http, http, clock)
