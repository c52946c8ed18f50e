# SPDX-License-Identifier: MIT
"""The doubles of Google are a resource with given answers, and sockets that misbehave."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IPullProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from zope.interface import implementer

from ldapgw.google.endpoints import Client, Endpoints

NOW = 1790000100.0

ENDPOINTS = Endpoints(
    authorization_endpoint="https://accounts.google.com/o/oauth2/v2/auth",
    token_endpoint="https://oauth2.googleapis.com/token",
    revocation_endpoint="https://oauth2.googleapis.com/revoke",
    people_api="https://people.googleapis.com",
    admin_api="https://admin.googleapis.com",
    issuer="https://accounts.google.com",
)

CLIENT = Client("123456789012-exampleexampleexample.apps.googleusercontent.com", "GOCSPX-EXAMPLE")

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Request:
    """A request has the form of a POST in place of a query."""

    method: str
    url: str
    args: dict[str, list[str]]
    headers: dict[str, str]


class Google(Resource):
    """The double gives its answers in order, repeats the last answer, and keeps the requests."""

    def __init__(self, *answers: Answer) -> None:
        super().__init__()
        self.isLeaf = True
        self.answers = list(answers)
        self.requests: list[Request] = []

    def render(self, request: Any) -> bytes:
        url = f"https://{request.getRequestHostname().decode()}{request.path.decode()}"
        args = {name.decode(): [value.decode() for value in values] for name, values in request.args.items()}
        headers = {
            name.decode().lower(): values[0].decode() for name, values in request.requestHeaders.getAllRawHeaders()
        }
        self.requests.append(Request(request.method.decode(), url, args, headers))
        status, answer_headers, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        request.setResponseCode(status)
        for name, value in answer_headers.items():
            request.setHeader(name, value)
        return body

    @property
    def http(self) -> Any:
        """Return a client for which this double is the whole internet."""
        return StubTreq(self)


def ok(body: object) -> Answer:
    """Return a JSON answer."""
    return 200, {"Content-Type": "application/json"}, json.dumps(body).encode()


def clock_at(now: float) -> Clock:
    """Return a clock that stands still."""
    clock = Clock()
    clock.advance(now)
    return clock


@implementer(IPullProducer)
class Endless:
    """The producer writes the same octets without end, as fast as the other side reads."""

    def __init__(self, transport: Any, chunk: bytes) -> None:
        self.transport = transport
        self.chunk = chunk

    def resumeProducing(self) -> None:
        self.transport.write(self.chunk)

    def stopProducing(self) -> None:
        pass


class Rude(Protocol):
    """The protocol answers any request with the given octets, and possibly with more octets without end."""

    factory: RudeServer

    def dataReceived(self, data: bytes) -> None:
        self.factory.received += data
        if b"\r\n\r\n" not in self.factory.received:
            return
        self.transport.write(self.factory.answer)
        if self.factory.endless:
            # The protocol stops reading here, so the other side cannot end TLS in agreement.
            self.transport.pauseProducing()
            self.transport.registerProducer(Endless(self.transport, self.factory.endless), streaming=False)
        elif self.factory.hang_up:
            self.transport.loseConnection()
        if not self.factory.asked.called:
            self.factory.asked.callback(None)

    def connectionLost(self, reason: Any = None) -> None:
        if not self.factory.lost.called:
            self.factory.lost.callback(None)


class RudeServer(Factory):
    """The server listens on a loopback address, and tells when a client asks and leaves."""

    protocol = Rude
    noisy = False

    def __init__(self, answer: bytes = b"", *, endless: bytes = b"", hang_up: bool = False) -> None:
        self.answer = answer
        self.endless = endless
        self.hang_up = hang_up
        self.received = b""
        self.asked: Deferred[None] = Deferred()
        self.lost: Deferred[None] = Deferred()

    async def listen(self, reactor: Any, endpoint: Callable[..., Any] = TCP4ServerEndpoint, **options: Any) -> Any:
        return await endpoint(reactor, 0, interface="127.0.0.1", **options).listen(self)
