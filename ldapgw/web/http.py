# SPDX-License-Identifier: MIT
"""HTTP requests and responses as values, with cookies, security headers and the public URL.

Handlers work on `HttpRequest` and `HttpResponse` and need no Twisted.  All addresses of pages come from ``public_url``,
never from a request's own headers.  The cookies are valid for this host alone, and no script can read them (RFC 6265).
Each tenant has its own session cookie, so that a person can be signed in to two tenants.  The session cookies differ by
name, because the prefix ``__Host-`` allows no path but ``/``.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from io import BytesIO
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as NoResultInTime
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.web.iweb import IRequest
from werkzeug.datastructures import Accept
from werkzeug.exceptions import HTTPException
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_accept_header, parse_options_header
from zope.interface import implementer

from ldapgw.directory.clients import is_loopback, normalize_address
from ldapgw.google.endpoints import is_redirect_uri_refused
from ldapgw.web.dependencies import WebDependencies
from ldapgw.web.i18n import LANGUAGES

# The maximum number of octets of a form's body.  A form of the gateway has a token, a few fields, and a field for each
# selected row of a table; Google's redirect has eight parameters.
MAX_FORM_SIZE = 8 * 1024
# The maximum number of octets of a request's body, unless the method is REPORT.  Forms without long lists and without
# files may have only `MAX_FORM_SIZE` octets (`Route.max_body_size`).
MAX_BODY_SIZE = 64 * 1024
# The maximum number of octets of the body of a request that names many contacts by their addresses (the method REPORT
# of CardDAV).
MAX_REPORT_SIZE = 512 * 1024
# The maximum number of fields of a form.  A form that names selected rows has a field for each row, and the form with
# the most rows approves the removal of 200 people (`ldapgw.web.admin_people.MAX_APPROVED`).
MAX_FORM_FIELDS = 240

# The policy allows no inline scripts, no frames, and nothing from other origins.  No form is sent to Google, and no
# answer to a form redirects to Google: a consent begins with a link, or with a page that has the header ``Refresh``.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)

# The headers of every response, errors and redirects included (OWASP ASVS 5.0, chapter 3).  A response may replace the
# header ``Cache-Control``.
SECURITY_HEADERS = (
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    # The callback's address contains the authorization code.
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
    # A consent may run in a pop-up, which must reach the page that opened it.
    ("Cross-Origin-Opener-Policy", "same-origin-allow-popups"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)

# The header tells browsers to use nothing but HTTPS (RFC 6797).  Half a year is long enough to protect browsers, and
# short enough to return to plain HTTP one day.
HSTS = ("Strict-Transport-Security", "max-age=15768000")

# The paths below a tenant's page to which a sign-in may lead back: pages that a browser can open without an effect.  No
# address of another site matches.
_PAGE_PATH = re.compile(
    r"(account|contacts|phones|troubleshoot|explain|admin)(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}){0,2}"
)
# 256 random bits in base64url.
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
_DEFAULT_PORTS = {"https": 443, "http": 80}

# The maximum number of seconds for which a client may take nothing of a body that is written in chunks.
STALLED_SECONDS = 60.0

Headers = tuple[tuple[str, str], ...]
WriteBody = Callable[[bytes], None]


# The value that stands for a client's address if a trusted proxy wrote something other than an address.  No network
# contains this value.
UNKNOWN_ADDRESS = "unknown"


def client_address(peer: str, forwarded_for: Iterable[str], is_trusted_proxy: Callable[[str], bool]) -> str:
    """Return the client's address for logs and rate limits: the nearest address that is not a trusted proxy's.

    Each proxy appends the address from which the proxy got the request.  So ``X-Forwarded-For`` is read from the end,
    up to the first address that is not a trusted proxy's.  Entries that an untrusted client may have forged are never
    read.  An entry that is no address counts as `UNKNOWN_ADDRESS`, and not as the proxy's address, because a list of
    allowed networks may contain the proxy but not the client.

    :param peer: the address at the other end of the connection; empty for a Unix socket.
    :param forwarded_for: the ``X-Forwarded-For`` headers, each a comma-separated list.
    """
    address = normalize_address(peer)  # a listener for IPv4 and IPv6 has IPv4-mapped addresses
    hops = [hop.strip() for header in forwarded_for for hop in header.split(",")]
    hops = [hop for hop in hops if hop]  # RFC 9110 5.6.1: empty elements do not count
    while hops and is_trusted_proxy(address):
        address = _read_hop(hops.pop())
    return address


# An entry of X-Forwarded-For; some proxies add the client's port.
_HOP = re.compile(r"(?:\[([^\]]*)\]|([^:]*))(?::\d{1,5})?", re.ASCII)


def request_address(request: IRequest, is_trusted_proxy: Callable[[str], bool]) -> str:
    """Return the address of the client that sent a Twisted request (`client_address`)."""
    peer = getattr(request.getClientAddress(), "host", "")
    headers = request.requestHeaders.getRawHeaders(b"X-Forwarded-For", [])
    return client_address(peer, map(_text, headers), is_trusted_proxy)


def _is_private(request: IRequest, is_trusted_proxy: Callable[[str], bool]) -> bool:
    """Return whether a request came by TLS or from this machine.

    A trusted proxy says in ``X-Forwarded-Proto`` whether the client used TLS.  A proxy without this header is taken
    for a proxy that ends TLS, as the documentation of `trusted_proxies` demands.
    """
    peer = getattr(request.getClientAddress(), "host", "")
    if peer and is_trusted_proxy(peer) and request.requestHeaders.hasHeader(b"X-Forwarded-For"):
        schemes = request.requestHeaders.getRawHeaders(b"X-Forwarded-Proto", [])
        return all(_text(scheme).strip().lower() in ("", "https") for scheme in schemes)
    return request.isSecure() or not peer or is_loopback(normalize_address(peer))


def came_by_plain_http(request: IRequest, is_trusted_proxy: Callable[[str], bool]) -> bool:
    """Return whether a client sent a request by HTTP to the gateway itself, and not through a trusted proxy."""
    peer = getattr(request.getClientAddress(), "host", "")
    is_proxied = is_trusted_proxy(peer) and request.requestHeaders.hasHeader(b"X-Forwarded-For")
    return not request.isSecure() and not is_proxied


def _read_hop(hop: str) -> str:
    match = _HOP.fullmatch(hop)
    address = (match[1] or match[2] or "") if match else hop
    try:
        # The zone of an IPv6 address is removed, because a zone may be any text.
        return normalize_address(str(ipaddress.ip_address(address.partition("%")[0])))
    except ValueError:
        return UNKNOWN_ADDRESS


@dataclass(frozen=True, slots=True)
class PublicUrl:
    """The parts of ``public_url``.

    :ivar url: the URL without a trailing slash.
    :ivar origin: scheme, host and port as browsers write them in ``Origin`` (RFC 6454 6.1).
    :ivar path: the prefix of all paths of the gateway; empty unless a proxy serves the gateway below a path.
    """

    url: str
    origin: str
    path: str
    secure: bool

    @classmethod
    def parse(cls, public_url: str) -> Self:
        """Split a ``public_url`` into its parts.

        :param public_url: https, or http on a loopback address.
        """
        parts = urlsplit(public_url.rstrip("/"))
        host = parts.hostname or ""
        host = f"[{host}]" if ":" in host else host
        if parts.port is not None and parts.port != _DEFAULT_PORTS.get(parts.scheme):
            host += f":{parts.port}"
        return cls(parts.geturl(), f"{parts.scheme}://{host}", parts.path, parts.scheme == "https")

    @property
    def host(self) -> str:
        """Return the host's name or address, without a port."""
        return urlsplit(self.url).hostname or ""

    @property
    def redirect_uri(self) -> str:
        """Return the redirect URI, which must be registered at Google letter for letter."""
        return f"{self.url}/oauth/callback"

    @property
    def is_refused_by_google(self) -> bool:
        """Return whether Google refuses to register the redirect URI."""
        return is_redirect_uri_refused(self.redirect_uri)

    def tenant_url(self, tenant: str) -> str:
        """Return the absolute URL of a tenant's page, for messages."""
        return f"{self.url}/{tenant}/"

    def tenant_path(self, tenant: str) -> str:
        """Return the path of a tenant's page, for links and redirects."""
        return f"{self.path}/{tenant}/"


class Cookie(StrEnum):
    """The gateway's cookies; a value is the cookie's name without the prefix for https (`HttpCookies`)."""

    SESSION = "ldapgw"  # the name is followed by a dot and the tenant's name
    BROWSER = "ldapgw-consent"  # binds a consent to the browser that began the consent
    FLASH_MESSAGE = "ldapgw-note"  # the message that the next page shows, a key of `layout.FLASH_MESSAGES`
    LANGUAGE = "ldapgw-language"  # the language that the person has chosen
    RETURN = "ldapgw-return"  # the page that a sign-in leads back to: tenant and path (`is_page_path`)


@dataclass(frozen=True, slots=True)
class HttpCookies:
    """The reader and writer of the gateway's cookies.

    On https the cookies' names have the prefix ``__Host-``, so that no other host can set the cookies.  Browsers accept
    the prefix only for the path ``/``.  If the gateway is served below a path, other programs on the host must not get
    the cookies: the cookies then have this path and the prefix ``__Secure-`` (RFC 6265bis 4.1.3).

    :param secure: whether ``public_url`` has https.  On http, browsers refuse the prefixes.
    :param path: `PublicUrl.path`.
    """

    secure: bool
    path: str = ""

    def set(self, cookie: Cookie, value: str, *, tenant: str = "", seconds: int | None = None) -> tuple[str, str]:
        """Return the header that sets a cookie.

        :param tenant: the session's tenant, for `Cookie.SESSION` only.
        :param seconds: the cookie's lifetime, or None if the cookie lasts until the browser is closed.
        """
        age = "" if seconds is None else f"; Max-Age={seconds}"
        secure = "; Secure" if self.secure else ""
        return (
            "Set-Cookie",
            f"{self._name(cookie, tenant)}={value}; Path={self.path or '/'}; HttpOnly; SameSite=Lax{age}{secure}",
        )

    def clear(self, cookie: Cookie, *, tenant: str = "") -> tuple[str, str]:
        """Return the header that removes a cookie."""
        return self.set(cookie, "", tenant=tenant, seconds=0)

    def read(self, headers: Iterable[str]) -> Mapping[Cookie, str]:
        """Return the gateway's cookies in a request, except session cookies."""
        cookies = _parse_cookies(headers)
        if not cookies:
            return {}
        names = {cookie: self._name(cookie) for cookie in Cookie if cookie is not Cookie.SESSION}
        return {cookie: cookies[name] for cookie, name in names.items() if name in cookies}

    def sessions(self, headers: Iterable[str], tenants: Iterable[str]) -> Mapping[str, str]:
        """Return the session cookies in a request, by tenant name."""
        cookies = _parse_cookies(headers)
        if not cookies:  # phones send no cookies, and making the names of the cookies of many tenants takes time
            return {}
        names = {tenant: self._name(Cookie.SESSION, tenant) for tenant in tenants}
        return {tenant: cookies[name] for tenant, name in names.items() if name in cookies}

    def _name(self, cookie: Cookie, tenant: str = "") -> str:
        name = f"{cookie}.{tenant}" if tenant else cookie.value
        if not self.secure:
            return name
        return f"__Secure-{name}" if self.path else f"__Host-{name}"


def _parse_cookies(headers: Iterable[str]) -> Mapping[str, str]:
    """Return all cookies of a request, except names that were sent twice: an attacker may have planted a cookie."""
    cookies: dict[str, list[str]] = {}
    for header in headers:
        for pair in header.split(";"):
            name, _, value = pair.strip().partition("=")
            cookies.setdefault(name, []).append(value)
    return {name: values[0] for name, values in cookies.items() if len(values) == 1}


def new_secret(random: Callable[[int], bytes]) -> str:
    """Return 256 random bits for a cookie, a state, a nonce or a code verifier (RFC 7636 4.1)."""
    return base64.urlsafe_b64encode(random(32)).decode().rstrip("=")


def is_secret(value: str) -> bool:
    """Return whether a value has the form of a secret made by `new_secret`."""
    return _SECRET.fullmatch(value) is not None


@dataclass(frozen=True, slots=True, repr=False)
class HttpRequest:
    """An HTTP request as handlers see it.

    :ivar query: the query parameters, without parameters sent twice.
    :ivar has_repeated_parameters: whether a query parameter was sent twice.
    :ivar form: the form fields of the body, without fields sent twice.
    :ivar files: the octets of the form's files, by field, for files that may be in another encoding than UTF-8.
    :ivar cookies: the gateway's cookies, except session cookies.
    :ivar sessions: the session cookies, by tenant name.
    :ivar address: the client's IP address (`client_address`).
    :ivar is_private: whether the request came by TLS or from this machine, so that nobody on the way could read the
        request.
    :ivar headers: the headers that were sent exactly once, by their names in lower case; ``Authorization`` is secret.
    :ivar takes_gzip: whether the body may be compressed with gzip.
    :ivar language: the tag of the response's language.
    :ivar is_live: whether page.js, rather than the browser, fetches the page.
    :ivar is_background: whether page.js sent the request to keep a page up to date, rather than a person.
    :ivar is_head: whether the client wants only the headers of the answer (RFC 9110 9.3.2).
    :ivar body: the octets of the body.
    """

    query: Mapping[str, str] = field(default_factory=dict)
    has_repeated_parameters: bool = False
    form: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    cookies: Mapping[Cookie, str] = field(default_factory=dict)
    sessions: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    is_private: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    takes_gzip: bool = False
    language: str = "en"
    is_live: bool = False
    is_background: bool = False
    is_head: bool = False
    body: bytes = b""

    def header(self, name: str) -> str:
        """Return the value of a header; empty if the header was not sent, or was sent twice."""
        return self.headers.get(name.lower(), "")

    def session(self, tenant: str) -> str:
        """Return the session cookie of a tenant; empty if not sent."""
        return self.sessions.get(tenant, "")

    def has_current(self, etag: str) -> bool:
        """Return whether the client has the representation with an entity tag already (RFC 9110 13.1.2).

        The comparison is weak, because a proxy that compresses answers makes their entity tags weak.
        """
        tags = [tag.strip().removeprefix("W/") for tag in self.header("If-None-Match").split(",")]
        return etag.removeprefix("W/") in tags or tags == ["*"]


@implementer(IPushProducer)
class BodyWriter:
    """The writer of a body in chunks; its users can wait until the client has taken what was written.

    Mutable: whether the client has to take octets first.

    :param request: a request of Twisted whose headers were written.
    """

    def __init__(self, request: Any, clock: IReactorTime) -> None:
        self._request = request
        self._clock = clock
        self._room: Deferred[None] | None = None
        request.registerProducer(self, True)  # noqa: FBT003 - Twisted's streaming

    def __call__(self, octets: bytes) -> None:
        """Write a chunk."""
        self._request.write(octets)

    async def drained(self) -> None:
        """Wait until the client has taken most of what was written.

        :raises TimeoutError: when the client has taken nothing for `STALLED_SECONDS`; the rest of the body can then not
            be sent.
        """
        if self._room is None:
            return
        try:
            await self._room.addTimeout(STALLED_SECONDS, self._clock)
        except NoResultInTime:
            raise TimeoutError from None

    def close(self) -> None:
        """End the body, unless the client has gone."""
        if self._request.channel is not None:
            self._request.unregisterProducer()

    def pauseProducing(self) -> None:
        if self._room is None:
            self._room = Deferred()

    def resumeProducing(self) -> None:
        room, self._room = self._room, None
        if room is not None:
            room.callback(None)

    def stopProducing(self) -> None:
        """Do nothing, because the body is cancelled when the client has gone."""


@dataclass(frozen=True, slots=True, repr=False)
class HttpResponse:
    """An HTTP response, without the headers that every response has.

    :ivar stream: writes the body, or the rest of the body, in chunks until the returned Deferred fires; the Deferred is
        cancelled when the browser disconnects.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = "text/html; charset=utf-8"
    headers: Headers = ()
    stream: Callable[[BodyWriter], Awaitable[None]] | None = None


def is_page_path(path: str) -> bool:
    """Return whether a sign-in may lead back to a path below a tenant's page."""
    return _PAGE_PATH.fullmatch(path) is not None


def read_number(text: str, default: int, *, digits: int = 8) -> int:
    """Read a whole number from an address or a form.

    :param default: the result for a text that is no number, or has too many digits.
    """
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= digits else default


def html_response(html: str, status: int = 200, headers: Headers = ()) -> HttpResponse:
    return HttpResponse(status, html.encode(), headers=headers)


def text_response(message: str, status: int = 200, headers: Headers = ()) -> HttpResponse:
    """Return a response with one line of plain text."""
    return HttpResponse(status, f"{message}\n".encode(), "text/plain; charset=utf-8", headers)


def json_response(value: object, status: int = 200, headers: Headers = ()) -> HttpResponse:
    return HttpResponse(status, json.dumps(value, ensure_ascii=False).encode(), "application/json", headers)


def redirect(location: str, headers: Headers = (), status: int = 303) -> HttpResponse:
    """Return a redirect; with the default status the browser follows with GET.

    :param location: a path of the gateway, or Google's consent page; never any part of the request.
    """
    return HttpResponse(status, b"", "text/plain; charset=utf-8", (("Location", location), *headers))


def best_language(accept_language: str) -> str:
    """Return the tag of the best language for ``Accept-Language`` (RFC 9110 12.5.4); English where no language fits.

    A language with a region counts as the language: ``de-AT`` is German.
    """
    # The text after 500 characters is ignored, because no browser names more than a handful of languages.
    accepted = parse_accept_header(accept_language[:500], Accept)  # sorted by quality
    tags = (tag.partition("-")[0].lower() for tag, quality in accepted if quality)
    return next((tag for tag in tags if tag in LANGUAGES), next(iter(LANGUAGES)))


def max_body_size(method: bytes) -> int:
    """Return the maximum number of octets of a request's body, by the request's method."""
    return MAX_REPORT_SIZE if method == b"REPORT" else MAX_BODY_SIZE


def read_request(request: IRequest, dependencies: WebDependencies, cookies: HttpCookies) -> HttpRequest:
    """Convert a Twisted request."""
    _, _, query = request.uri.partition(b"?")
    all_headers = request.requestHeaders.getAllRawHeaders()
    headers = {_text(name).lower(): _text(values[0]) for name, values in all_headers if len(values) == 1}
    body = request.content.read(max_body_size(request.method))
    pairs = _parse_urlencoded(query)
    parameters = _without_duplicates(pairs)
    cookie_headers = [_text(value) for value in request.requestHeaders.getRawHeaders(b"Cookie", [])]
    our_cookies = cookies.read(cookie_headers)
    live = headers.get("ldapgw-live", "")
    chosen = [tag for tag in (parameters.get("language", ""), our_cookies.get(Cookie.LANGUAGE, "")) if tag in LANGUAGES]
    form, files = _parse_form(headers.get("content-type", ""), body)
    return HttpRequest(
        query=parameters,
        has_repeated_parameters=len({name for name, _ in pairs}) < len(pairs),
        form=form,
        files=files,
        cookies=our_cookies,
        sessions=cookies.sessions(cookie_headers, dependencies.tenants),
        address=request_address(request, dependencies.is_trusted_proxy),
        is_private=_is_private(request, dependencies.is_trusted_proxy),
        headers=headers,
        takes_gzip=parse_accept_header(headers.get("accept-encoding", "")).quality("gzip") > 0,
        language=chosen[0] if chosen else best_language(headers.get("accept-language", "")),
        is_live=bool(live),
        is_background=live == "look" or headers.get("accept") == "text/event-stream",
        is_head=request.method == b"HEAD",
        body=body,
    )


def write_response(request: Any, response: HttpResponse) -> None:
    """Write a response's status, headers and body; a streamed body follows."""
    request.setResponseCode(response.status)
    headers = request.responseHeaders
    headers.setRawHeaders(b"Content-Type", [response.content_type.encode()])
    if response.stream is None:
        headers.setRawHeaders(b"Content-Length", [str(len(response.body)).encode()])
    for name in {name for name, _ in response.headers}:
        values = [value.encode() for other, value in response.headers if other == name]
        headers.setRawHeaders(name.encode(), values)
    request.write(response.body)


def _parse_form(content_type: str, body: bytes) -> tuple[Mapping[str, str], Mapping[str, bytes]]:
    """Return the fields of a form and the octets of its files; the value of a file's field is the file's text."""
    kind, options = parse_options_header(content_type)
    if kind == "application/x-www-form-urlencoded":
        return _without_duplicates(_parse_urlencoded(body)), {}
    if kind != "multipart/form-data":
        return {}, {}
    parser = FormDataParser(
        stream_factory=_in_memory, max_form_memory_size=MAX_BODY_SIZE, max_form_parts=MAX_FORM_FIELDS, silent=False
    )
    try:
        _, form, uploads = parser.parse(BytesIO(body), kind, len(body), options)
    except (ValueError, HTTPException):
        return {}, {}
    files = [(name, file.read()) for name, file in uploads.items(multi=True)]
    texts = ((name, content.decode("utf-8", "replace")) for name, content in files)
    fields = _without_duplicates([*form.items(multi=True), *texts])
    return fields, {name: content for name, content in files if name in fields}


def _in_memory(*_: object, **_options: object) -> BytesIO:
    """Return a stream in memory for an uploaded file, which is too small (`MAX_BODY_SIZE`) to need a file on disk."""
    return BytesIO()


def _parse_urlencoded(octets: bytes) -> list[tuple[str, str]]:
    """Return the fields of an ``application/x-www-form-urlencoded`` text, in UTF-8 or in ISO 8859-1.

    Old phones send ISO 8859-1, and a telephone system may repeat a caller's name in any encoding.

    :returns: the fields; empty if the text has too many fields.
    """
    try:
        # In ISO 8859-1, each character stands for one octet, so `_field_text` gets the octets that the client has sent.
        pairs = parse_qsl(_text(octets), keep_blank_values=True, encoding="latin-1", max_num_fields=MAX_FORM_FIELDS)
    except ValueError:
        return []
    return [(_field_text(name), _field_text(value)) for name, value in pairs]


def _field_text(octets: str) -> str:
    """Decode the name or the value of a field.

    :param octets: a text with a character for each octet of the field.
    """
    if octets.isascii():  # nearly all fields
        return octets
    try:
        return octets.encode("latin-1").decode()
    except UnicodeDecodeError:
        return octets


def _without_duplicates(pairs: Sequence[tuple[str, str]]) -> Mapping[str, str]:
    """Return the fields sent exactly once: parameters must not be included more than once (RFC 6749 3.1)."""
    counts = Counter(name for name, _ in pairs)
    return {name: value for name, value in pairs if counts[name] == 1}


def _text(octets: bytes) -> str:
    return octets.decode("latin-1")
