# SPDX-License-Identifier: MIT
"""Whose request it is, for the log: the peer, or what a trusted proxy says (``X-Forwarded-For``).

The headers that go with every answer, errors and redirects included (OWASP ASVS 5.0, chapter 3).

Where browsers find the pages: all addresses come from ``public_url``, never from what a request says of itself.

Our cookies: four, each for this host alone, none readable by a script (RFC 6265).

A session has one for each tenant, so that somebody can be signed in to two of them.  They differ by name: ``__Host-``
allows no path but ``/``.

A request and its answer as values, so that handlers need no Twisted.

How often somebody may do what costs us something: a bucket of tokens for each, filled at a steady rate.

Mutable: the buckets.  Those that are full again are forgotten, and there are never more than a few thousand.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from io import BytesIO
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from twisted.internet.defer import Deferred
from twisted.web.iweb import IRequest
from werkzeug.exceptions import HTTPException
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from ldapgw.web.dependencies import WebDependencies
from ldapgw.web.i18n import LANGUAGES, best_language


def client_address(peer: str, forwarded_for: Iterable[str], is_trusted_proxy: Callable[[str], bool]) -> str:
    """The nearest address that is not a trusted proxy's.

    Each proxy appends whom it got the request from, so the list is read from its end, as far as the next one is
    trusted.  Whatever an untrusted client wrote stands before that and is not read.

    :param peer: the address at the other end of the connection; empty for a Unix socket.
    :param forwarded_for: the headers, each a comma-separated list.
    :param trusts: whether an address is a trusted proxy's.
    """
    found = peer
    hops = [hop.strip() for header in forwarded_for for hop in header.split(",")]
    while hops and is_trusted_proxy(found):
        try:
            found = str(ipaddress.ip_address(hops.pop().strip("[]")))
        except ValueError:
            break
    return found


# No inline script, no frame, nothing from elsewhere.  Consent begins with a link, so no form needs to go to Google.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)

_SECURITY_HEADERS = (
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    # The callback's address holds the code.
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
    # A consent may run in a pop-up, which has to reach the page that opened it.
    ("Cross-Origin-Opener-Policy", "same-origin-allow-popups"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)

# Half a year: long enough to count, short enough to come back from.
_HSTS = ("Strict-Transport-Security", "max-age=15768000")


def security_headers(*, secure: bool) -> tuple[tuple[str, str], ...]:
    """Names and values; an answer of its own kind may replace ``Cache-Control``.

    :param secure: whether browsers come by https; a browser would ignore HSTS on http (RFC 6797 8.1).
    """
    return (*_SECURITY_HEADERS, _HSTS) if secure else _SECURITY_HEADERS


_DEFAULT_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class PublicUrl:
    """The parts of ``public_url``.

    :ivar url: without a slash at the end.
    :ivar origin: scheme, host and port as browsers write them in ``Origin`` (RFC 6454 6.1).
    :ivar host: for the header ``Host``.
    :ivar path: what goes before every path of ours; empty unless a proxy serves us below a path and takes it off.
    """

    url: str
    origin: str
    host: str
    path: str
    secure: bool

    @classmethod
    def parse(cls, public_url: str) -> Self:
        """:param public_url: https, or http on a loopback address."""
        parts = urlsplit(public_url.rstrip("/"))
        host = parts.hostname or ""
        host = f"[{host}]" if ":" in host else host
        if parts.port is not None and parts.port != _DEFAULT_PORTS.get(parts.scheme):
            host += f":{parts.port}"
        return cls(parts.geturl(), f"{parts.scheme}://{host}", host, parts.path, parts.scheme == "https")

    @property
    def redirect_uri(self) -> str:
        """Where Google sends browsers back to; registered there letter for letter."""
        return f"{self.url}/oauth/callback"

    def tenant_url(self, tenant: str) -> str:
        """The address of a tenant's page, for messages."""
        return f"{self.url}/{tenant}/"

    def tenant_path(self, tenant: str) -> str:
        """The path of a tenant's page, for links and redirects."""
        return f"{self.path}/{tenant}/"


# 256 random bits in base64url.
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


class Cookie(StrEnum):
    """What a cookie is for; its name, on https behind ``__Host-``."""

    SESSION = "ldapgw"  # and the tenant's name behind a dot
    BROWSER = "ldapgw-consent"  # binds a consent to the browser that began it
    FLASH_MESSAGE = "ldapgw-note"  # what the next page says of what was just done
    LANGUAGE = "ldapgw-language"  # the one that a person has chosen


@dataclass(frozen=True, slots=True)
class HttpCookies:
    """Reads and writes them.

    :param secure: off on http, which is for loopback addresses alone: browsers refuse ``__Host-`` there.
    """

    secure: bool

    def set(self, cookie: Cookie, value: str, *, tenant: str = "", seconds: int | None = None) -> tuple[str, str]:
        """A header that sets a cookie; without `seconds` it lives as long as the browser.

        :param tenant: whose session it is; for `Cookie.SESSION` alone.
        """
        age = "" if seconds is None else f"; Max-Age={seconds}"
        secure = "; Secure" if self.secure else ""
        return "Set-Cookie", f"{self._name(cookie, tenant)}={value}; Path=/; HttpOnly; SameSite=Lax{age}{secure}"

    def clear(self, cookie: Cookie, *, tenant: str = "") -> tuple[str, str]:
        """A header that takes a cookie away."""
        return self.set(cookie, "", tenant=tenant, seconds=0)

    def read(self, headers: Iterable[str]) -> Mapping[Cookie, str]:
        """Our cookies among those of a request, but for sessions."""
        found = _parse_cookies(headers)
        ours = {cookie: self._name(cookie) for cookie in Cookie if cookie is not Cookie.SESSION}
        return {cookie: found[name] for cookie, name in ours.items() if name in found}

    def sessions(self, headers: Iterable[str], tenants: Iterable[str]) -> Mapping[str, str]:
        """The sessions among the cookies of a request, by the names of tenants."""
        found = _parse_cookies(headers)
        ours = {tenant: self._name(Cookie.SESSION, tenant) for tenant in tenants}
        return {tenant: found[name] for tenant, name in ours.items() if name in found}

    def _name(self, cookie: Cookie, tenant: str = "") -> str:
        name = f"{cookie}.{tenant}" if tenant else cookie.value
        return f"__Host-{name}" if self.secure else name


def _parse_cookies(headers: Iterable[str]) -> Mapping[str, str]:
    """All cookies of a request; a name that comes twice may be planted, and counts as not sent."""
    found: dict[str, list[str]] = {}
    for header in headers:
        for pair in header.split(";"):
            name, _, value = pair.strip().partition("=")
            found.setdefault(name, []).append(value)
    return {name: values[0] for name, values in found.items() if len(values) == 1}


def new_secret(random: Callable[[int], bytes]) -> str:
    """256 random bits for a cookie, a state, a nonce or a code verifier (RFC 7636 4.1)."""
    return base64.urlsafe_b64encode(random(32)).decode().rstrip("=")


def is_secret(value: str) -> bool:
    """Whether a text has the form of one."""
    return _SECRET.fullmatch(value) is not None


# A form of ours has a token and a choice; Google's answer has eight parameters.
MAX_BODY_SIZE = 8 * 1024
MAX_FORM_FIELDS = 30

Headers = tuple[tuple[str, str], ...]
WriteBody = Callable[[bytes], None]


@dataclass(frozen=True, slots=True, repr=False)
class HttpRequest:
    """What a handler may know of a request.

    :ivar query: parameters of the address; one that comes twice is left out.
    :ivar form: fields of the body, likewise.
    :ivar sessions: the cookies of whoever is signed in, by tenants' names.
    :ivar address: the client's IP address, for the log.
    :ivar origin: the header ``Origin``; empty where it was not sent.
    :ivar fetch_site: the header ``Sec-Fetch-Site``; empty where it was not sent.
    :ivar language: the tag of the language to answer in.
    :ivar live: fetched by our own script to keep a page up to date, not by a person.
    """

    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[Cookie, str] = field(default_factory=dict)
    sessions: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    origin: str = ""
    fetch_site: str = ""
    if_none_match: str = ""
    language: str = "en"
    is_background: bool = False

    def session(self, tenant: str) -> str:
        """The cookie of whoever is signed in to a tenant; empty where none was sent."""
        return self.sessions.get(tenant, "")


@dataclass(frozen=True, slots=True, repr=False)
class HttpResponse:
    """What a browser gets, besides the headers that go with every answer.

    :ivar stream: writes the body piece by piece, until what it returns has fired; cancelled when the browser goes.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = "text/html; charset=utf-8"
    headers: Headers = ()
    stream: Callable[[WriteBody], Deferred[None]] | None = None


def html_response(html: str, status: int = 200, headers: Headers = ()) -> HttpResponse:
    """A page."""
    return HttpResponse(status, html.encode(), headers=headers)


def text_response(message: str, status: int = 200) -> HttpResponse:
    """A line of plain text."""
    return HttpResponse(status, f"{message}\n".encode(), "text/plain; charset=utf-8")


def json_response(value: object, status: int = 200, headers: Headers = ()) -> HttpResponse:
    """A JSON document."""
    return HttpResponse(status, json.dumps(value, ensure_ascii=False).encode(), "application/json", headers)


def redirect(location: str, headers: Headers = (), status: int = 303) -> HttpResponse:
    """Go elsewhere, with GET.

    :param location: a path of ours, or Google's consent page; never a part of what was sent.
    """
    return HttpResponse(status, b"", "text/plain; charset=utf-8", (("Location", location), *headers))


def read_request(request: IRequest, dependencies: WebDependencies, cookies: HttpCookies) -> HttpRequest:
    """What a request says."""
    _, _, query = request.uri.partition(b"?")
    sent = request.requestHeaders
    body = request.content.read(MAX_BODY_SIZE)
    peer = getattr(request.getClientAddress(), "host", "")
    fields = _parse_urlencoded(query)
    pots = [_text(value) for value in sent.getRawHeaders(b"Cookie", [])]
    ours = cookies.read(pots)
    chosen = [tag for tag in (fields.get("language", ""), ours.get(Cookie.LANGUAGE, "")) if tag in LANGUAGES]
    return HttpRequest(
        query=fields,
        form=_parse_form(_header(request, "Content-Type"), body),
        cookies=ours,
        sessions=cookies.sessions(pots, dependencies.tenants),
        address=client_address(
            peer, (_text(v) for v in sent.getRawHeaders(b"X-Forwarded-For", [])), dependencies.is_trusted_proxy
        ),
        origin=_header(request, "Origin"),
        fetch_site=_header(request, "Sec-Fetch-Site"),
        if_none_match=_header(request, "If-None-Match"),
        language=chosen[0] if chosen else best_language(_header(request, "Accept-Language")),
        is_background=_header(request, "Ldapgw-Live") == "look" or _header(request, "Accept") == "text/event-stream",
    )


def write_response(request: Any, response: HttpResponse) -> bytes:
    """Put an answer's status and headers on a request; the body is returned, for klein to write."""
    request.setResponseCode(response.status)
    headers = request.responseHeaders
    headers.setRawHeaders(b"Content-Type", [response.content_type.encode()])
    if response.stream is None:
        headers.setRawHeaders(b"Content-Length", [str(len(response.body)).encode()])
    for name in {name for name, _ in response.headers}:
        values = [value.encode() for other, value in response.headers if other == name]
        headers.setRawHeaders(name.encode(), values)
    return response.body


def _parse_form(content_type: str, body: bytes) -> Mapping[str, str]:
    """The fields of a form; a file is a field that holds its text."""
    kind, options = parse_options_header(content_type)
    if kind == "application/x-www-form-urlencoded":
        return _parse_urlencoded(body)
    if kind != "multipart/form-data":
        return {}
    parser = FormDataParser(
        stream_factory=_in_memory, max_form_memory_size=MAX_BODY_SIZE, max_form_parts=MAX_FORM_FIELDS, silent=False
    )
    try:
        _, form, files = parser.parse(BytesIO(body), kind, len(body), options)
    except (ValueError, HTTPException):
        return {}
    uploaded = ((name, file.read().decode("utf-8", "replace")) for name, file in files.items(multi=True))
    return _without_duplicates([*form.items(multi=True), *uploaded])


def _in_memory(*_: object, **_options: object) -> BytesIO:
    """Where a file's octets go; a whole request is small (`LARGEST_BODY`)."""
    return BytesIO()


def _parse_urlencoded(octets: bytes) -> Mapping[str, str]:
    """An ``application/x-www-form-urlencoded`` text; nothing where it is malformed or too long."""
    try:
        pairs = parse_qsl(
            octets.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FORM_FIELDS
        )
    except ValueError:
        return {}
    return _without_duplicates(pairs)


def _without_duplicates(pairs: Sequence[tuple[str, str]]) -> Mapping[str, str]:
    """Fields without those that come twice: parameters must not be included more than once (RFC 6749 3.1)."""
    names = [name for name, _ in pairs]
    return {name: value for name, value in pairs if names.count(name) == 1}


def _header(request: IRequest, name: str) -> str:
    """A header that is sent once; empty otherwise."""
    values = request.requestHeaders.getRawHeaders(name.encode(), [])
    return _text(values[0]) if len(values) == 1 else ""


def _text(octets: bytes) -> str:
    return octets.decode("latin-1")


# More at once than this, and the one that was used longest ago is taken for a full one.
MAX_BUCKETS = 10_000


@dataclass(frozen=True, slots=True)
class _Bucket:
    tokens: float
    updated_at: float


class RateLimiter:
    """A limit for each of many.

    :param burst: how often one may do it at once.
    :param every: seconds until once more is allowed.
    """

    def __init__(self, burst: int, interval: float) -> None:
        self._burst = burst
        self._interval = interval
        self._buckets: dict[str, _Bucket] = {}

    def take(self, key: str, now: float) -> float:
        """Count one time more.

        :param now: in seconds, of any clock that goes on.
        :returns: 0, or how many seconds are to be waited: then it was not counted.
        """
        bucket = self._buckets.pop(key, None)
        tokens = (
            min(self._burst, bucket.tokens + (now - bucket.updated_at) / self._interval)
            if bucket
            else float(self._burst)
        )
        allowed = tokens >= 1
        # Behind all others: the first one is always the one that was used longest ago.
        self._buckets[key] = _Bucket(tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > MAX_BUCKETS:
            del self._buckets[next(iter(self._buckets))]
        return 0.0 if allowed else (1 - tokens) * self._interval


def client_network(address: str) -> str:
    """Whom an address stands for: of IPv6 a whole network of 64 bits, which one customer has to himself."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4 or parsed.ipv4_mapped is not None:
        return str(getattr(parsed, "ipv4_mapped", None) or parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
