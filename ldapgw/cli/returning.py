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
from ldapgw.web.consent import Arrival, Consent, Departure
from ldapgw.web.error_pages import EXPIRED, Ended
from ldapgw.web.http import Call, Cookie, Place, security_headers

_DONE = "Connected. You may close this window and go back to the terminal."
# For the last answer to get out before the port is closed.
_FLUSH_SECONDS = 0.1


def call_of(query: Mapping[str, str], departure: Departure) -> Call:
    """What has come back, as the browser would bring it that the consent was begun for."""
    return Call(query=query, cookies={Cookie.BROWSER: departure.browser}, address="the command line")


def words(ended: Ended) -> str:
    """How a consent has ended, in a line."""
    ending = ended.ending
    return " ".join((f"{ending.title}: {ending.happened}", *map(str, ending.advice)))


async def wait_for_browser(reactor: Any, consent: Consent, url: str, departure: Departure) -> Arrival:
    """Listen until somebody comes back.

    :param url: http on a loopback address; its port is listened on, on this machine alone.
    :raises Ended: as on the page.
    :raises UserError: when the port is not free, or nobody comes in time.
    """
    page = _Callback(consent, departure, urlsplit(Place.of(url).redirect_uri).path)
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

    def __init__(self, consent: Consent, departure: Departure, path: str) -> None:
        super().__init__()
        self._path = path.encode()
        self.isLeaf = True
        self._consent = consent
        self._departure = departure
        self.arrived: Deferred[Arrival] = Deferred()

    def render(self, request: Any) -> Any:
        """See `Resource`."""
        for name, value in security_headers(secure=False):
            request.setHeader(name.encode(), value.encode())
        request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
        if (request.method, request.path) != (b"GET", self._path):
            request.setResponseCode(404)
            return b"Nothing is here but the way back from Google.\n"
        query = {name.decode("latin-1"): values[0].decode("latin-1") for name, values in request.args.items()}
        arriving = Deferred.fromCoroutine(self._consent.finish(call_of(query, self._departure)))
        arriving.addCallbacks(self._come, self._gone, callbackArgs=(request,), errbackArgs=(request,))
        return NOT_DONE_YET

    def _come(self, arrival: Arrival, request: Any) -> None:
        _answer(request, 200, _DONE)
        if not self.arrived.called:
            self.arrived.callback(arrival)

    def _gone(self, failure: Failure, request: Any) -> None:
        error = failure.value
        if isinstance(error, Ended):
            _answer(request, error.ending.status, words(error))
            if error.ending is EXPIRED:
                return  # somebody else's, or an old one: ours may still come
        else:
            _answer(request, 500, "Something went wrong; the terminal says more.")
        if not self.arrived.called:
            self.arrived.errback(failure)


def _answer(request: Any, status: int, said: str) -> None:
    """Say how it ended to a browser that may have gone meanwhile."""
    if request.channel is None:
        return
    request.setResponseCode(status)
    request.write(f"{said}\n".encode())
    request.finish()
