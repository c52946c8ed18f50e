# SPDX-License-Identifier: MIT
"""The HTTP server under the pages: bounded in time and size, and silent about addresses.

There is no access log: the address of the callback holds Google's code.  What matters is logged by the handlers.
"""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.http import HTTPChannel
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from ldapgw.web.http import MAX_BODY_SIZE

# A browser sends a whole request at once; half a minute is for one on a bad line.
REQUEST_SECONDS = 30.0
# Between two requests on a connection.
IDLE_SECONDS = 60.0
# What is read, and thrown away, of a body that is too large, so that its sender can read our refusal: browsers that are
# cut off show an error of their own.
MAX_READ_SIZE = 16 * 1024 * 1024


class WebRequest(Request):
    """A request whose body is kept only as far as the handlers will look."""

    _received = 0

    def gotLength(self, length: int | None) -> None:
        """See `Request`; Twisted would open a temporary file for a long body."""
        super().gotLength(0 if length is None else min(length, MAX_BODY_SIZE))

    def handleContentChunk(self, data: bytes) -> None:
        """See `Request`."""
        room = max(MAX_BODY_SIZE + 1 - self._received, 0)
        self._received += len(data)
        super().handleContentChunk(data[:room])
        if self._received > MAX_READ_SIZE:
            self.channel.forceAbortClient()

    def process(self) -> None:
        """See `Request`; ``OPTIONS *`` is a path that we do not have."""
        if self.path == b"*":
            self.path = b"/*"
        super().process()


class WebChannel(HTTPChannel):
    """A connection that has to bring each request whole in time, however steadily it trickles."""

    _deadline: IDelayedCall | None = None
    _busy = False

    def connectionMade(self) -> None:
        """See `Protocol`."""
        super().connectionMade()
        self._start_deadline()

    def dataReceived(self, data: bytes) -> None:
        """See `Protocol`."""
        if self._deadline is None and not self._busy:
            self._start_deadline()
        super().dataReceived(data)

    def allContentReceived(self) -> None:
        """See `HTTPChannel`: a request is whole."""
        self._busy = True
        self._cancel_deadline()
        super().allContentReceived()

    def requestDone(self, request: Any) -> None:
        """See `HTTPChannel`: its answer was written."""
        self._busy = False
        super().requestDone(request)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See `Protocol`."""
        self._cancel_deadline()
        super().connectionLost(reason)

    def _start_deadline(self) -> None:
        self._deadline = self.callLater(REQUEST_SECONDS, self._on_deadline)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None

    def _on_deadline(self) -> None:
        self._deadline = None
        self.forceAbortClient()


class WebSite(Site):
    """The factory of such connections."""

    protocol = cast("Any", WebChannel)  # Twisted's own is a proxy that may become HTTP/2

    def log(self, request: http.Request) -> None:
        """See `HTTPFactory`: nothing is logged."""


def web_site(resource: IResource, clock: IReactorTime) -> WebSite:
    """A server of pages, to listen with.

    :param clock: measures the time-outs.
    """
    return WebSite(
        resource, requestFactory=WebRequest, timeout=IDLE_SECONDS, reactor=clock, parsePOSTFormSubmission=False
    )
