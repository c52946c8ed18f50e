# SPDX-License-Identifier: MIT
"""A browser that comes back from Google to a port on localhost, where a command waits for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from ldapgw.errors import UserError
from ldapgw.store.sign_ins import FLOW_SECONDS
from ldapgw.web.consent import AuthorizationCodeFlow, AuthorizationRedirect, ConsentResult
from ldapgw.web.error_pages import EXPIRED, PageError
from ldapgw.web.http import Cookie, HttpRequest, PublicUrl, security_headers

_DONE = "Connected. You may close this window and go back to the terminal."
# For the last answer to get out before the port is closed.
_FLUSH_SECONDS = 0.1


def callback_request(query: Mapping[str, str], departure: AuthorizationRedirect) -> HttpRequest:
    """What has come back, as the browser would bring it that the consent was begun for."""
    return HttpRequest(query=query, cookies={Cookie.BROWSER: departure.browser_secret}, address="the command line")


def describe_ending(ended: PageError) -> str:
    """How a consent has ended, in a line."""
    ending = ended.error_page
    return " ".join((f"{ending.title}: {ending.explanation}", *map(str, ending.advice)))


async def wait_for_browser(
    reactor: Any, consent: AuthorizationCodeFlow, url: str, departure: AuthorizationRedirect
) -> ConsentResult:
    """Listen until somebody comes back.

    :param url: http on a loopback address; its port is listened on, on this machine alone.
    :raises Ended: as on the page.
    :raises UserError: when the port is not free, or nobody comes in time.
    """
    page = _Callback(consent, departure, urlsplit(PublicUrl.parse(url).redirect_uri).path)
    port = urlsplit(url).port or 80
    ports = []
    try:
        for interface in ("127.0.0.1", "::1"):
            try:
                ports.append(reactor.listenTCP(port, Site(page), interface=interface))
            except CannotListenError as error:
                if interface == "127.0.0.1":
                    reason = getattr(error.socketError, "strerror", "")
                    raise UserError(
                        f"port {port} of localhost cannot be listened on: {reason}; choose another one with --port, or "
                        "use --paste"
                    ) from None
        try:
            return await page.arrived.addTimeout(FLOW_SECONDS, reactor)
        except defer.TimeoutError:
            raise UserError(f"nobody came back within {FLOW_SECONDS // 60} minutes") from None
    finally:
        if page.arrived.called:
            await deferLater(reactor, _FLUSH_SECONDS)
        for one in ports:
            await one.stopListening()


class _Callback(Resource):
    """The page where Google sends the browser back to.

    :param path: of the redirect URI.
    :ivar arrived: fires once, with who came or why not.
    """

    def __init__(self, consent: AuthorizationCodeFlow, departure: AuthorizationRedirect, path: str) -> None:
        super().__init__()
        self._path = path.encode()
        self.isLeaf = True
        self._consent = consent
        self._departure = departure
        self.arrived: Deferred[ConsentResult] = Deferred()

    def render(self, request: Any) -> Any:
        """See `Resource`."""
        for name, value in security_headers(secure=False):
            request.setHeader(name.encode(), value.encode())
        request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
        if (request.method, request.path) != (b"GET", self._path):
            request.setResponseCode(404)
            return b"Nothing is here but the way back from Google.\n"
        query = {name.decode("latin-1"): values[0].decode("latin-1") for name, values in request.args.items()}
        arriving = Deferred.fromCoroutine(self._consent.finish(callback_request(query, self._departure)))
        arriving.addCallbacks(self._succeeded, self._failed, callbackArgs=(request,), errbackArgs=(request,))
        return NOT_DONE_YET

    def _succeeded(self, arrival: ConsentResult, request: Any) -> None:
        _respond(request, 200, _DONE)
        if not self.arrived.called:
            self.arrived.callback(arrival)

    def _failed(self, failure: Failure, request: Any) -> None:
        error = failure.value
        if isinstance(error, PageError):
            _respond(request, error.error_page.status, describe_ending(error))
            if error.error_page is EXPIRED:
                return  # somebody else's, or an old one: ours may still come
        else:
            _respond(request, 500, "Something went wrong; the terminal says more.")
        if not self.arrived.called:
            self.arrived.errback(failure)


def _respond(request: Any, status: int, message: str) -> None:
    """Say how it ended to a browser that may have gone meanwhile."""
    if request.channel is None:
        return
    request.setResponseCode(status)
    request.write(f"{message}\n".encode())
    request.finish()
