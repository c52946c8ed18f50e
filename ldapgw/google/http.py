# SPDX-License-Identifier: MIT
"""HTTP calls to Google with a time limit and a size limit.

One deadline covers the whole call, from the DNS lookup to the last octet of the body, so even a body that trickles in
endlessly reaches the deadline.  The size of a body is counted during decompression, so neither a large answer nor a
gzip bomb is ever in memory as a whole.  The connection of a body that is too large is closed at once.  Redirects are
not followed, because requests carry credentials.
"""

from __future__ import annotations

import email.utils
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC
from http.cookiejar import DefaultCookiePolicy
from typing import Any, NoReturn, cast
from urllib.parse import quote, urlencode, urlsplit

from OpenSSL import SSL
from treq.client import HTTPClient
from treq.cookies import IndexableCookieJar
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError, ConnectionClosed, DNSLookupError
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import VerificationError
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.url import URL
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
from twisted.web.iweb import IPolicyForHTTPS, IResponse

from ldapgw import __version__
from ldapgw.errors import (
    BadResponse,
    GoogleError,
    GoogleUnavailable,
    NetworkFailure,
    NetworkStep,
    PageTooLarge,
    QuotaExceeded,
)
from ldapgw.google.connections import GoogleEndpointFactory, InspectedConnection
from ldapgw.google.endpoints import CallSource, Proxy

log = Logger()

# The time limit of a call in seconds.  A page of 1000 persons has 1 to 3 MB and arrives within some seconds; Google
# ends requests after 60 s.
TIMEOUT = 60.0

# The seconds after which an idle connection is closed.  The time is short, because a call on a connection that a router
# has forgotten would wait for the whole time limit.
IDLE_SECONDS = 40

# The maximum number of octets of a body: five times the largest known page of 1000 persons.
LARGEST_BODY = 16 * 1024 * 1024
# The maximum number of octets of a photo; a photo of 240 by 240 pixels has a tenth of this size.
LARGEST_PHOTO = 1024 * 1024
# The maximum number of octets of a token answer; an answer has some 2 KiB, and most of its octets are the id_token.
LARGEST_TOKEN = 64 * 1024

# The longest wait before another call, in seconds, even if Google asks for a longer wait.
LONGEST_WAIT = 86400.0

# Google compresses answers only if the User-Agent contains "gzip" too.  ``Accept-Language`` decides the language of
# ``formattedName``.
_HEADERS = {"User-Agent": f"ldapgw/{__version__} (gzip)", "Accept-Language": "en", "Accept": "application/json"}

_NETWORK = (
    OSError,
    ConnectError,
    ConnectionClosed,
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
)


# The statuses of temporary errors: Request Timeout, Conflict (ABORTED), and Client Closed Request (CANCELLED).
_TEMPORARY = frozenset((408, 409, 499))

# The maximum number of characters of Google's description of an error in the log.
_EXCERPT = 120
# An e-mail address, or a word that may be a token, an id or a number.
_PRIVATE = re.compile(r"\S+@\S+|[\w.~+/=-]*\d[\w.~+/=-]{6,}|[\w.~+/=-]{25,}")


# A function that is called at the end of each call, with the kind of data that the call was for, the HTTP status (None
# without a complete answer), and the duration in seconds.
CallObserver = Callable[[CallSource, int | None, float], None]


def ignore_call(_source: CallSource, _status: int | None, _seconds: float) -> None:
    """Ignore a call: this `CallObserver` does nothing."""


@dataclass(frozen=True, slots=True)
class GoogleResponse:
    """A response of any status, with its body decompressed.

    :ivar retry_after: seconds to wait according to the header ``Retry-After``, or None without a readable header.
    :ivar max_age: seconds for which the response may be cached according to the header ``Cache-Control``, or 0 without
        this header.
    :ivar media_type: the media type in the header ``Content-Type``, in lower case and without parameters, or empty
        without this header.
    :ivar date: the time of the response by the server's clock, in seconds since the epoch, or None if the response has
        no readable date or comes from a cache.
    """

    status: int
    body: bytes = field(repr=False)
    retry_after: float | None = None
    max_age: float = field(default=0.0, repr=False)
    media_type: str = field(default="", repr=False)
    date: float | None = field(default=None, repr=False, compare=False)

    @property
    def error(self) -> GoogleError | None:
        """Return the error if the status alone shows an error (3xx, 408, 409, 429, 499, 5xx), or else None."""
        if self.status >= 500 or self.status in _TEMPORARY:
            return GoogleUnavailable(f"HTTP {self.status}", retry_after=self.retry_after)
        if self.status == 429:
            return QuotaExceeded("HTTP 429", retry_after=self.retry_after)
        return BadResponse(f"HTTP {self.status}") if 300 <= self.status < 400 else None


def http_client(reactor: Any, policy: IPolicyForHTTPS | None = None, proxy: Proxy | None = None) -> HTTPClient:
    """Return the HTTP client of a gateway, which checks certificates, reuses connections, and stores no cookies.

    :param proxy: the proxy for all connections, or None for the proxy that the environment names, if any.
    """
    pool = HTTPConnectionPool(reactor)
    pool.maxPersistentPerHost = 4
    pool.cachedConnectionTimeout = IDLE_SECONDS
    # The client is shared by many accounts: a cookie set for one account must not be sent for another.
    cookies = IndexableCookieJar(DefaultCookiePolicy(allowed_domains=()))
    return HTTPClient(Agent.usingEndpointFactory(reactor, GoogleEndpointFactory(reactor, policy, proxy), pool), cookies)


class GoogleHttpClient:
    """A client that makes calls with a time limit and a size limit.

    :param http: a client of treq, or `treq.testing.StubTreq`.
    """

    def __init__(self, http: HTTPClient, clock: IReactorTime, observe: CallObserver = ignore_call) -> None:
        self._http = http
        self._clock = clock
        self._observe = observe

    async def get(
        self,
        url: str,
        params: Sequence[tuple[str, str]],
        access_token: str,
        source: CallSource = CallSource.CONTACTS,
        quota_user: str = "",
    ) -> GoogleResponse:
        """Make a GET request with a bearer token (RFC 6750 2.1), and return a response of any status.

        :param quota_user: at most 40 characters that stand for the user in Google's quotas per user, or empty to let
            Google take the owner of the token.  Google may count all calls of a service account as calls of one user.
        :raises GoogleError: `NetworkFailure` or `BadResponse`.
        """
        headers = {"Authorization": f"Bearer {access_token}"}
        if quota_user:
            headers["x-goog-quota-user"] = quota_user
        return await self._call(source, "GET", url, LARGEST_BODY, headers, params=params)

    async def get_public(self, url: str) -> GoogleResponse:
        """Make a GET request for a small public document, and return a response of any status.

        :raises GoogleError: `NetworkFailure` or `BadResponse`.
        """
        return await self._call(CallSource.KEYS, "GET", url, LARGEST_TOKEN, {})

    async def get_photo(self, url: str) -> GoogleResponse:
        """Make a GET request for a contact's photo, without a token, and return a response of any status.

        :raises GoogleError: `NetworkFailure` or `BadResponse`.
        """
        accepted = {"Accept": "image/jpeg, image/png, image/webp"}
        return await self._call(CallSource.PHOTOS, "GET", url, LARGEST_PHOTO, accepted)

    async def post(self, url: str, form: str, source: CallSource = CallSource.TOKENS) -> GoogleResponse:
        """Make a POST request with an encoded form, and return a response of any status.

        :raises GoogleError: `NetworkFailure` or `BadResponse`.
        """
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self._call(source, "POST", url, LARGEST_TOKEN, headers, data=form.encode())

    async def _call(
        self, source: CallSource, method: str, url: str, limit: int, headers: Mapping[str, str], **request: object
    ) -> GoogleResponse:
        began = self._clock.seconds()
        exchange = Deferred.fromCoroutine(self._exchange(method, url, limit, {**_HEADERS, **headers}, request))
        exchange.addTimeout(TIMEOUT, self._clock, onTimeoutCancel=_timed_out)
        try:
            response = await exchange
        except GoogleError:
            self._observe(source, None, self._clock.seconds() - began)
            raise
        self._observe(source, response.status, self._clock.seconds() - began)
        # The path is not logged, because a path may name a person or a photo.
        log.debug(
            "{method} {host}: HTTP {status}",
            event="google_answered",
            method=method,
            host=urlsplit(url).hostname,
            status=response.status,
        )
        return response

    async def _exchange(
        self, method: str, url: str, limit: int, headers: dict[str, str], request: Mapping[str, Any]
    ) -> GoogleResponse:
        with _network_errors():
            response = await _request(self._http, self._clock, method, url, headers, **request)
            body = await _read_body(response.original, limit)
        retry_after = _retry_after(response.headers, self._clock.seconds())
        media_type = response.headers.getRawHeaders("Content-Type", [""])[0].partition(";")[0].strip().lower()
        max_age, date = _max_age(response.headers), _date(response.headers)
        return GoogleResponse(response.code, body, retry_after, max_age, media_type, date)


async def get_status(http: HTTPClient, clock: IReactorTime, url: str) -> int:
    """Make a GET request to another server than Google's without credentials, and return the status of the response.

    The body is received up to a limit and dropped, because some servers stop working when a client closes the
    connection early.

    :raises GoogleError: `NetworkFailure` or `BadResponse`.
    """
    with _network_errors():
        response = await _request(http, clock, "GET", url, {"User-Agent": f"ldapgw/{__version__}"})
        body = _Body(LARGEST_TOKEN, compressed=False)
        _undecoded(response.original)[0].deliverBody(body)
        with suppress(BadResponse, *_NETWORK):
            await body.done
    return int(response.code)


# The characters of a URL besides letters and digits (RFC 3986 2), and the percent sign of encoded characters.
_URL_CHARACTERS = "-._~:/?#[]@!$&'()*+,;=%"


class _EncodedUrl(URL):
    """A URL that is already encoded; treq would need 0.2 ms for each call to parse and encode the URL."""

    def __init__(self, url: str, params: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._text = f"{quote(url, _URL_CHARACTERS)}?{urlencode(params)}"

    def to_uri(self) -> URL:
        return self

    def to_text(self, with_password: bool = False) -> str:  # noqa: ARG002, FBT001, FBT002  the signature of `URL`
        return self._text


async def _request(
    http: HTTPClient,
    clock: IReactorTime,
    method: str,
    url: str,
    headers: Mapping[str, str],
    params: Sequence[tuple[str, str]] = (),
    **request: Any,
) -> Any:
    return await http.request(
        method,
        _EncodedUrl(url, params) if params else url,
        headers=Headers({name: [value] for name, value in headers.items()}),
        allow_redirects=False,
        unbuffered=True,
        # treq needs a reactor for a timeout that is not used here; without this argument, treq would import the global
        # reactor.
        reactor=cast("Any", clock),
        **request,
    )


@contextmanager
def _network_errors() -> Iterator[None]:
    """Raise the errors of connections as `NetworkFailure` or `BadResponse`."""
    try:
        yield
    except ConnectingCancelledError as error:
        raise CancelledError from error
    except _NETWORK as error:
        if isinstance(error, ResponseFailed):
            for reason in error.reasons:
                if reason.check(CancelledError):
                    raise CancelledError from error
                if reason.check(BadResponse):
                    raise BadResponse(reason.value.detail) from error
        raise NetworkFailure(_network_detail(error), step=_failed_step(error)) from error


async def _read_body(response: IResponse, limit: int) -> bytes:
    """Read and decompress a body."""
    response, layers = _undecoded(response)
    body = _Body(limit, compressed=layers > 0)
    encoding = b",".join(response.headers.getRawHeaders(b"Content-Encoding", [])).strip()
    if layers > 1 or encoding not in (b"", b"identity"):
        body.refuse(BadResponse("content encoding not asked for"))
    response.deliverBody(body)
    return await body.done


def _undecoded(response: IResponse) -> tuple[IResponse, int]:
    """Remove the decoders that treq adds from a response; return the response and the number of decoders.

    The decoders have no size limit, and treq adds a decoder for each encoding in the header.
    """
    layers = 0
    while isinstance(response, GzipDecoder):
        layers += 1
        response = response.original
    return response, layers


class _Body(Protocol):
    """The body of a response, collected up to its size limit.

    Mutable: the octets that have arrived.
    """

    def __init__(self, limit: int, *, compressed: bool) -> None:
        self.done: Deferred[bytes] = Deferred(lambda _: self._abort())
        self._remaining = limit
        # The body is in one buffer, because millions of tiny chunks would take many times their own size.
        self._body = bytearray()
        self._decompressor = zlib.decompressobj(16 + zlib.MAX_WBITS) if compressed else None

    def connectionMade(self) -> None:
        if self.done.called:
            self._abort()

    def dataReceived(self, data: bytes) -> None:
        if self.done.called:
            return
        try:
            self._append(data)
        except BadResponse as error:
            self.refuse(error)

    def _append(self, data: bytes) -> None:
        if self._decompressor is not None:
            try:
                data = self._decompressor.decompress(data, self._remaining + 1)
            except zlib.error:
                raise BadResponse("damaged gzip body") from None
            if self._decompressor.unused_data:
                raise BadResponse("octets behind the end of a gzip body")
        self._remaining -= len(data)
        if self._remaining < 0:
            raise PageTooLarge("body too large")
        self._body += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        if not reason.check(ResponseDone, PotentialDataLoss):
            self.done.errback(reason)
        elif self._decompressor is not None and self._body and not self._decompressor.eof:
            self.done.errback(BadResponse("gzip body cut off"))
        else:
            self.done.callback(bytes(self._body))

    def refuse(self, error: BadResponse) -> None:
        """Fail the call and close its connection."""
        self._body.clear()
        self.done.errback(error)
        self._abort()

    def _abort(self) -> None:
        # The transport of a body has no abortConnection, and its loseConnection would wait for the peer's TLS closure.
        # stopProducing closes the socket below TLS.
        if self.transport is not None:
            cast("IPushProducer", self.transport).stopProducing()


def log_excerpt(text: object) -> str:
    """Shorten Google's description of an error to one line without addresses, tokens and numbers, for the log."""
    if not isinstance(text, str):
        return ""
    words = " ".join("".join(char if char.isprintable() else " " for char in text[: 10 * _EXCERPT]).split())
    return _PRIVATE.sub("…", words)[:_EXCERPT]


def _timed_out(_: object, timeout: float) -> NoReturn:
    raise NetworkFailure(f"no whole answer within {timeout:.0f} s")


def _network_detail(error: Exception) -> str:
    """Describe an error for the log by exception types and OpenSSL's phrases; other texts may contain IP addresses."""
    return ", ".join(dict.fromkeys(map(_error_name, _reasons(error))))


def _failed_step(error: Exception) -> NetworkStep:
    if any(isinstance(reason, DNSLookupError) for reason in _reasons(error)):
        return NetworkStep.NAME
    is_tls = any(isinstance(reason, SSL.Error | VerificationError | InspectedConnection) for reason in _reasons(error))
    return NetworkStep.TLS if is_tls else NetworkStep.CONNECTION


def _reasons(error: Exception) -> list[BaseException]:
    return [reason.value for reason in getattr(error, "reasons", ())] or [error]


def _error_name(error: BaseException) -> str:
    if isinstance(error, SSL.Error) and error.args and isinstance(error.args[0], list):
        return "TLS: " + ", ".join(phrase for *_, phrase in error.args[0])
    return type(error).__name__


def _retry_after(headers: Headers, now: float) -> float | None:
    """Return the seconds to wait (RFC 9110 10.2.3: seconds or a date), or None without a readable header."""
    value = headers.getRawHeaders("Retry-After", [""])[0].strip()[:64]
    if re.fullmatch(r"[0-9]+", value):
        return min(float(value), LONGEST_WAIT)
    date = _timestamp(value)
    return None if date is None else min(max(date - now, 0.0), LONGEST_WAIT)


def _date(headers: Headers) -> float | None:
    """Return the time of a response (RFC 9110 6.6.1); None if there is no time, or a cache sent the response."""
    if headers.hasHeader("Age"):
        return None
    return _timestamp(headers.getRawHeaders("Date", [""])[0].strip()[:64])


def _timestamp(date: str) -> float | None:
    """Return the seconds since the epoch of a date (RFC 9110 5.6.7), or None if the date is unreadable."""
    try:
        parsed = email.utils.parsedate_to_datetime(date)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _max_age(headers: Headers) -> float:
    """Return the seconds for which a response is fresh (RFC 9111 5.2.2.1)."""
    value = ",".join(headers.getRawHeaders("Cache-Control", []))[:256]
    found = re.search(r"(?:^|[\s,])max-age=([0-9]{1,9})(?![0-9])", value, re.IGNORECASE)
    return float(found[1]) if found else 0.0
