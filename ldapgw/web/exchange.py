# SPDX-License-Identifier: MIT
"""A request and its answer as values, so that handlers need no Twisted."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl

from twisted.internet.defer import Deferred
from twisted.web.iweb import IRequest
from werkzeug.exceptions import HTTPException
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from ldapgw.web.address import client_address
from ldapgw.web.cookies import Cookie, Cookies
from ldapgw.web.gate import WebGate
from ldapgw.web.language import LANGUAGES, best_language

# A form of ours has a token and a choice; Google's answer has eight parameters.
LARGEST_BODY = 8 * 1024
MOST_FIELDS = 30

Headers = tuple[tuple[str, str], ...]
Write = Callable[[bytes], None]


@dataclass(frozen=True, slots=True, repr=False)
class Call:
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
    live: bool = False

    def session(self, tenant: str) -> str:
        """The cookie of whoever is signed in to a tenant; empty where none was sent."""
        return self.sessions.get(tenant, "")


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """What a browser gets, besides the headers that go with every answer.

    :ivar stream: writes the body piece by piece, until what it returns has fired; cancelled when the browser goes.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = "text/html; charset=utf-8"
    headers: Headers = ()
    stream: Callable[[Write], Deferred[None]] | None = None


def page(html: str, status: int = 200, headers: Headers = ()) -> Answer:
    """A page."""
    return Answer(status, html.encode(), headers=headers)


def text(line: str, status: int = 200) -> Answer:
    """A line of plain text."""
    return Answer(status, f"{line}\n".encode(), "text/plain; charset=utf-8")


def document(value: object, status: int = 200, headers: Headers = ()) -> Answer:
    """A JSON document."""
    return Answer(status, json.dumps(value, ensure_ascii=False).encode(), "application/json", headers)


def redirect(location: str, headers: Headers = (), status: int = 303) -> Answer:
    """Go elsewhere, with GET.

    :param location: a path of ours, or Google's consent page; never a part of what was sent.
    """
    return Answer(status, b"", "text/plain; charset=utf-8", (("Location", location), *headers))


def read_call(request: IRequest, gate: WebGate, cookies: Cookies) -> Call:
    """What a request says."""
    _, _, query = request.uri.partition(b"?")
    sent = request.requestHeaders
    body = request.content.read(LARGEST_BODY)
    peer = getattr(request.getClientAddress(), "host", "")
    fields = _fields(query)
    pots = [_text(value) for value in sent.getRawHeaders(b"Cookie", [])]
    ours = cookies.read(pots)
    chosen = [tag for tag in (fields.get("language", ""), ours.get(Cookie.LANGUAGE, "")) if tag in LANGUAGES]
    return Call(
        query=fields,
        form=_form(_header(request, "Content-Type"), body),
        cookies=ours,
        sessions=cookies.sessions(pots, gate.tenants),
        address=client_address(peer, (_text(v) for v in sent.getRawHeaders(b"X-Forwarded-For", [])), gate.trusts),
        origin=_header(request, "Origin"),
        fetch_site=_header(request, "Sec-Fetch-Site"),
        if_none_match=_header(request, "If-None-Match"),
        language=chosen[0] if chosen else best_language(_header(request, "Accept-Language")),
        live=_header(request, "Ldapgw-Live") == "look" or _header(request, "Accept") == "text/event-stream",
    )


def write_answer(request: Any, answer: Answer) -> bytes:
    """Put an answer's status and headers on a request; the body is returned, for klein to write."""
    request.setResponseCode(answer.status)
    headers = request.responseHeaders
    headers.setRawHeaders(b"Content-Type", [answer.content_type.encode()])
    if answer.stream is None:
        headers.setRawHeaders(b"Content-Length", [str(len(answer.body)).encode()])
    for name in {name for name, _ in answer.headers}:
        values = [value.encode() for other, value in answer.headers if other == name]
        headers.setRawHeaders(name.encode(), values)
    return answer.body


def _form(content_type: str, body: bytes) -> Mapping[str, str]:
    """The fields of a form; a file is a field that holds its text."""
    kind, options = parse_options_header(content_type)
    if kind == "application/x-www-form-urlencoded":
        return _fields(body)
    if kind != "multipart/form-data":
        return {}
    parser = FormDataParser(
        stream_factory=_in_memory, max_form_memory_size=LARGEST_BODY, max_form_parts=MOST_FIELDS, silent=False
    )
    try:
        _, form, files = parser.parse(BytesIO(body), kind, len(body), options)
    except (ValueError, HTTPException):
        return {}
    uploaded = ((name, file.read().decode("utf-8", "replace")) for name, file in files.items(multi=True))
    return _once([*form.items(multi=True), *uploaded])


def _in_memory(*_: object, **_options: object) -> BytesIO:
    """Where a file's octets go; a whole request is small (`LARGEST_BODY`)."""
    return BytesIO()


def _fields(octets: bytes) -> Mapping[str, str]:
    """An ``application/x-www-form-urlencoded`` text; nothing where it is malformed or too long."""
    try:
        pairs = parse_qsl(octets.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:
        return {}
    return _once(pairs)


def _once(pairs: Sequence[tuple[str, str]]) -> Mapping[str, str]:
    """Fields without those that come twice: parameters must not be included more than once (RFC 6749 3.1)."""
    names = [name for name, _ in pairs]
    return {name: value for name, value in pairs if names.count(name) == 1}


def _header(request: IRequest, name: str) -> str:
    """A header that is sent once; empty otherwise."""
    values = request.requestHeaders.getRawHeaders(name.encode(), [])
    return _text(values[0]) if len(values) == 1 else ""


def _text(octets: bytes) -> str:
    return octets.decode("latin-1")
