# SPDX-License-Identifier: MIT
"""Calls to Google: every one ends in time, and none brings more than it may.

One deadline covers the whole call, from the name's look-up to the last octet of the body, so a body that trickles for
ever ends too.  A body is counted as it is unpacked, so neither a large answer nor a gzip bomb is ever held whole; the
connection of one that is too large is dropped at once.  Redirects are not followed: the request carries credentials.
"""

from __future__ import annotations

import email.utils
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from http.cookiejar import DefaultCookiePolicy
from typing import Any, NoReturn, cast

from OpenSSL import SSL
from treq.client import HTTPClient
from treq.cookies import IndexableCookieJar
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError, ConnectionClosed
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import (
    Agent,
    GzipDecoder,
    HTTPConnectionPool,
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from ldapgw import __version__
from ldapgw.errors import BadResponse, GoogleError, GoogleUnavailable, NetworkFailure, QuotaExceeded

# A page of 1000 persons is 1 to 3 MB and arrives in seconds; Google gives up on its own requests after 60 s.
TIMEOUT = 60.0
CONNECT_TIMEOUT = 15.0

# Five times the largest page that 1000 persons have been seen to make.
LARGEST_BODY = 16 * 1024 * 1024
# A token answer has some 2 KiB, most of it the id_token.
LARGEST_TOKEN = 64 * 1024

# A server that asks for more than a day is asked again after a day.
LONGEST_WAIT = 86400.0

# Google compresses only for clients that also have "gzip" in their name.  The language decides ``formattedName``.
_HEADERS = {"User-Agent": f"ldapgw/{__version__} (gzip)", "Accept-Language": "en", "Accept": "application/json"}

_NETWORK = (
    OSError,
    ConnectError,
    ConnectionClosed,
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
)


@dataclass(frozen=True, slots=True)
class GoogleResponse:
    """What came back: any status, the body unpacked.

    :ivar retry_after: seconds to wait that the header ``Retry-After`` asks for; None without a readable one.
    """

    status: int
    body: bytes = field(repr=False)
    retry_after: float | None = None

    @property
    def error(self) -> GoogleError | None:
        """What the status alone tells to have gone wrong: 3xx, 429 and 5xx."""
        if self.status >= 500:
            return GoogleUnavailable(f"HTTP {self.status}", retry_after=self.retry_after)
        if self.status == 429:
            return QuotaExceeded("HTTP 429", retry_after=self.retry_after)
        return BadResponse(f"HTTP {self.status}") if 300 <= self.status < 400 else None


def http_client(reactor: Any) -> HTTPClient:
    """The HTTP client for a gateway: checks certificates, keeps a few connections, keeps no cookies.

    :param reactor: the reactor; provides what `twisted.web.client.Agent` needs of one.
    """
    pool = HTTPConnectionPool(reactor)
    pool.maxPersistentPerHost = 4
    # Calls are made for many accounts: a cookie set in one's call must not be sent in another's.
    cookies = IndexableCookieJar(DefaultCookiePolicy(allowed_domains=()))
    return HTTPClient(Agent(reactor, connectTimeout=CONNECT_TIMEOUT, pool=pool), cookies)


class GoogleHttpClient:
    """Makes bounded calls.

    :param http: sends them; any of treq's clients, or `treq.testing.StubTreq`.
    :param clock: the time that deadlines and ``Retry-After`` dates are measured by.
    """

    def __init__(self, http: HTTPClient, clock: IReactorTime) -> None:
        self._http = http
        self._clock = clock

    async def get(self, url: str, params: Sequence[tuple[str, str]], access_token: str) -> GoogleResponse:
        """GET with a bearer token (RFC 6750 2.1); raises `NetworkTrouble` and `BadResponse`, returns any status."""
        headers = {"Authorization": f"Bearer {access_token}"}
        return await self._call("GET", url, LARGEST_BODY, headers, params=list(params))

    async def post(self, url: str, form: str) -> GoogleResponse:
        """POST a form that is already encoded; raises `NetworkTrouble` and `BadResponse`, returns any status."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self._call("POST", url, LARGEST_TOKEN, headers, data=form.encode())

    async def _call(
        self, method: str, url: str, largest: int, headers: Mapping[str, str], **request: object
    ) -> GoogleResponse:
        exchange = Deferred.fromCoroutine(self._exchange(method, url, largest, {**_HEADERS, **headers}, request))
        exchange.addTimeout(TIMEOUT, self._clock, onTimeoutCancel=_timed_out)
        return await exchange

    async def _exchange(
        self, method: str, url: str, largest: int, headers: dict[str, str], request: Mapping[str, Any]
    ) -> GoogleResponse:
        try:
            response = await self._http.request(
                method,
                url,
                headers=Headers({name: [value] for name, value in headers.items()}),
                allow_redirects=False,
                unbuffered=True,
                # Without one treq would import the global reactor, for a time-out that is not used here.
                reactor=cast("Any", self._clock),
                **request,
            )
            body = await _read(response.original, largest)
        except ConnectingCancelledError as error:
            raise CancelledError from error
        except _NETWORK as error:
            if isinstance(error, ResponseFailed) and any(reason.check(CancelledError) for reason in error.reasons):
                raise CancelledError from error
            raise NetworkFailure(_network_detail(error)) from error
        return GoogleResponse(response.code, body, _retry_after(response.headers, self._clock.seconds()))


async def _read(response: IResponse, largest: int) -> bytes:
    """The body, unpacked by us: treq's own decoder unpacks without a bound, and as often as the header says."""
    layers = 0
    while isinstance(response, GzipDecoder):
        layers += 1
        response = response.original
    body = _Body(largest, packed=layers > 0)
    left = b",".join(response.headers.getRawHeaders(b"Content-Encoding", [])).strip()
    if layers > 1 or left not in (b"", b"identity"):
        body.refuse(BadResponse("content encoding not asked for"))
    response.deliverBody(body)
    return await body.done


class _Body(Protocol):
    """Collects one body up to its bound; the only mutable state of a call."""

    def __init__(self, largest: int, *, packed: bool) -> None:
        self.done: Deferred[bytes] = Deferred(lambda _: self._abort())
        self._left = largest
        # One buffer: millions of tiny parts would take many times their own size.
        self._body = bytearray()
        self._unpack = zlib.decompressobj(16 + zlib.MAX_WBITS) if packed else None

    def connectionMade(self) -> None:
        if self.done.called:
            self._abort()

    def dataReceived(self, data: bytes) -> None:
        if self.done.called:
            return
        try:
            self._take(data)
        except BadResponse as error:
            self.refuse(error)

    def _take(self, data: bytes) -> None:
        if self._unpack is not None:
            try:
                data = self._unpack.decompress(data, self._left + 1)
            except zlib.error:
                raise BadResponse("damaged gzip body") from None
            if self._unpack.unused_data:
                raise BadResponse("octets behind the end of a gzip body")
        self._left -= len(data)
        if self._left < 0:
            raise BadResponse("body too large")
        self._body += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        if not reason.check(ResponseDone, PotentialDataLoss):
            self.done.errback(reason)
        elif self._unpack is not None and self._body and not self._unpack.eof:
            self.done.errback(BadResponse("gzip body cut off"))
        else:
            self.done.callback(bytes(self._body))

    def refuse(self, error: BadResponse) -> None:
        """End the call, and the connection with it."""
        self._body.clear()
        self.done.errback(error)
        self._abort()

    def _abort(self) -> None:
        # A body's transport has no abortConnection, and its loseConnection would wait for the other side of TLS to
        # agree.  stopProducing closes the socket below TLS.
        if self.transport is not None:
            cast("IPushProducer", self.transport).stopProducing()


def _timed_out(_: object, timeout: float) -> NoReturn:
    raise NetworkFailure(f"no whole answer within {timeout:.0f} s")


def _network_detail(error: Exception) -> str:
    """What went wrong, for the log: kinds and OpenSSL's own phrases; other texts may hold addresses of the network."""
    reasons = [reason.value for reason in getattr(error, "reasons", ())] or [error]
    return ", ".join(dict.fromkeys(map(_reason, reasons)))


def _reason(error: BaseException) -> str:
    if isinstance(error, SSL.Error) and error.args and isinstance(error.args[0], list):
        return "TLS: " + ", ".join(phrase for *_, phrase in error.args[0])
    return type(error).__name__


def _retry_after(headers: Headers, now: float) -> float | None:
    """RFC 9110 10.2.3: seconds, or a date; what cannot be read counts as not sent."""
    value = headers.getRawHeaders("Retry-After", [""])[0].strip()[:64]
    if re.fullmatch(r"[0-9]+", value):
        return min(float(value), LONGEST_WAIT)
    try:
        date = email.utils.parsedate_to_datetime(value)
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT)
