# SPDX-License-Identifier: MIT
"""The local web server on which ``ldapgw connect`` waits for the browser to come back from Google."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from ldapgw.web.error_pages import PAGES, PageError
from ldapgw.web.http import Cookie, HttpRequest, PublicUrl, security_headers

_DONE = "Connected. You may close this window and go back to the terminal."
# Time for the last response to be sent before the port is closed.
_FLUSH_SECONDS = 0.1


def callback_request(query: Mapping[str, str], redirect: AuthorizationRedirect) -> HttpRequest:
    """The request of the redirect URI, with the cookie of the browser for which the consent was begun."""
    return HttpRequest(query=query, cookies={Cookie.BROWSER: redirect.browser_secret}, address="the command line")


def describe_page_error(error: PageError) -> str:
    """The text of an error page in one line."""
    page = error.error_page
    return " ".join((f"{page.title}: {page.explanation}", *map(str, page.advice)))


async def wait_for_browser(
    reactor: Any,
    flow: AuthorizationCodeFlow,
    url: str,
    redirect: AuthorizationRedirect,
    announce: Callable[[], None],
) -> ConsentResult:
    """Listen on the port of a URL until the browser comes back.

    :param url: an http URL of a loopback address; the command listens on loopback addresses only.
    :param announce: called once the browser can come back.
    :raises PageError: as on the page.
    :raises UserError: when the port is not free, or the browser does not come back in time.
    """
    page = _Callback(flow, redirect, urlsplit(PublicUrl.parse(url).redirect_uri).path)
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
                        f"cannot listen on port {port} of localhost: {reason}; choose another one with --port, or "
                        "use --paste"
                    ) from None
        announce()
        try:
            return await page.result.addTimeout(FLOW_SECONDS, reactor)
        except defer.TimeoutError:
            raise UserError(f"nobody came back within {FLOW_SECONDS // 60} minutes") from None
    finally:
        if page.result.called:
            await deferLater(reactor, _FLUSH_SECONDS)
        for listening_port in ports:
            await listening_port.stopListening()


class _Callback(Resource):
    """The page at the redirect URI.

    :param path: of the redirect URI.
    :ivar result: fires once with the result of the consent, or with its error.
    """

    def __init__(self, flow: AuthorizationCodeFlow, redirect: AuthorizationRedirect, path: str) -> None:
        super().__init__()
        self._path = path.encode()
        self.isLeaf = True
        self._flow = flow
        self._redirect = redirect
        self.result: Deferred[ConsentResult] = Deferred()

    def render(self, request: Any) -> Any:
        for name, value in security_headers(secure=False):
            request.setHeader(name.encode(), value.encode())
        request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
        if (request.method, request.path) != (b"GET", self._path):
            request.setResponseCode(404)
            return b"Nothing is here but the way back from Google.\n"
        query = {name.decode("latin-1"): values[0].decode("latin-1") for name, values in request.args.items()}
        finished = Deferred.fromCoroutine(self._flow.finish(callback_request(query, self._redirect)))
        finished.addCallbacks(self._succeeded, self._failed, callbackArgs=(request,), errbackArgs=(request,))
        return NOT_DONE_YET

    def _succeeded(self, result: ConsentResult, request: Any) -> None:
        _respond(request, 200, _DONE)
        if not self.result.called:
            self.result.callback(result)

    def _failed(self, failure: Failure, request: Any) -> None:
        error = failure.value
        if isinstance(error, PageError):
            _respond(request, error.error_page.status, describe_page_error(error))
            if error.error_page is PAGES.expired:
                return  # the request of another or an earlier consent: the awaited one may still come
        else:
            _respond(request, 500, "Something went wrong; the terminal says more.")
        if not self.result.called:
            self.result.errback(failure)


def _respond(request: Any, status: int, message: str) -> None:
    if request.channel is None:  # the browser has closed the connection
        return
    request.setResponseCode(status)
    request.write(f"{message}\n".encode())
    request.finish()
