# SPDX-License-Identifier: MIT
"""The HTTP server of the web pages, with limits on the time and size of requests and without an access log.

An access log would contain Google's authorization codes, which are in the callback's address.  The handlers log the
important events.
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

# A browser sends a whole request at once; half a minute allows for a bad line.
REQUEST_SECONDS = 30.0
# Limit between two requests on a connection.
IDLE_SECONDS = 60.0
# A body that is too large is read and discarded up to this size, so that the browser shows our error page: a browser
# whose connection is aborted shows an error of its own.
MAX_READ_SIZE = 16 * 1024 * 1024


class WebRequest(Request):
    """A request that keeps at most `MAX_BODY_SIZE` + 1 octets of the body, so that the excess can be detected."""

    _received = 0

    def gotLength(self, length: int | None) -> None:
        """Limit the length, because Twisted would open a temporary file for a long body."""
        super().gotLength(0 if length is None else min(length, MAX_BODY_SIZE))

    def handleContentChunk(self, data: bytes) -> None:
        remaining = max(MAX_BODY_SIZE + 1 - self._received, 0)
        self._received += len(data)
        super().handleContentChunk(data[:remaining])
        if self._received > MAX_READ_SIZE:
            self.channel.forceAbortClient()

    def process(self) -> None:
        """Route ``OPTIONS *`` to a path that does not exist."""
        if self.path == b"*":
            self.path = b"/*"
        super().process()


class WebChannel(HTTPChannel):
    """A connection that must deliver each request completely within `REQUEST_SECONDS`."""

    _deadline: IDelayedCall | None = None
    _busy = False

    def connectionMade(self) -> None:
        super().connectionMade()
        self._start_deadline()

    def dataReceived(self, data: bytes) -> None:
        if self._deadline is None and not self._busy:
            self._start_deadline()
        super().dataReceived(data)

    def allContentReceived(self) -> None:
        """The request is complete."""
        self._busy = True
        self._cancel_deadline()
        super().allContentReceived()

    def requestDone(self, request: Any) -> None:
        """The response was written."""
        self._busy = False
        super().requestDone(request)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
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
    """The factory of `WebChannel` connections."""

    protocol = cast("Any", WebChannel)  # Twisted's own protocol may switch to HTTP/2

    def log(self, request: http.Request) -> None:
        """Log nothing."""


def web_site(resource: IResource, clock: IReactorTime) -> WebSite:
    """The site to listen with.

    :param clock: measures the time limits.
    """
    return WebSite(
        resource, requestFactory=WebRequest, timeout=IDLE_SECONDS, reactor=clock, parsePOSTFormSubmission=False
    )
