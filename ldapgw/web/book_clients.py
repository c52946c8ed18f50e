# SPDX-License-Identifier: MIT
"""What phones and PBXs read over HTTP: callers' names and photos, and XML phone books (`ldapgw.phones.xml_books`).

A caller's name is plain text, or a JSON object where the client accepts ``application/json``; where nobody has the
number, the answer is 404 without a body.

A phone reads its book by GET or POST, again and again: an answer has an entity tag, and an unchanged one is not sent
again (RFC 9110 13.1.2).
"""

from __future__ import annotations

import gzip
import hashlib
from functools import partial

from twisted.internet.defer import DeferredLock
from werkzeug.http import parse_accept_header

from ldapgw.directory.access import Viewer
from ldapgw.phones.book_reader import Caller, ListLength, ListQuery
from ldapgw.phones.photos import initials_png, photo_png
from ldapgw.phones.xml_books import XML_BOOKS, Elements, ListAddress, XmlBook
from ldapgw.web import error_pages
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.error_pages import PageError
from ldapgw.web.http import HttpRequest, HttpResponse, json_response, text_response
from ldapgw.web.layout import Layout, RequiredRole, Route

_TEXT, _JSON, _XML, _PNG = "text/plain", "application/json", "text/xml; charset=utf-8", "image/png"
# Grandstream's phones ask for a file of this name below the address that they are given.
_GRANDSTREAM_FILE = "phonebook"


class BookClients:
    """The look-up of callers, their photos, and the phone books of all vendors.

    Mutable: whose turn it is.  One phone book is read at a time, so that many do not fill the reactor's turns.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._dependencies = layout.dependencies.book_clients
        self._turn = DeferredLock()

    def routes(self) -> tuple[Route, ...]:
        """The routes of the look-up, of the photos and of the phone books."""
        phone = RequiredRole.PHONE
        photos = ("/<tenant>/photo/<number>.png", "/<tenant>/photo/<secret>/<number>.png")
        books = ("/<tenant>/book/<vendor>.xml", "/<tenant>/book/<secret>/<vendor>.xml")
        return (
            *(Route("GET", path, self.photo, phone) for path in photos),
            *(Route(method, "/<tenant>/caller", self.caller, phone, is_direct=True) for method in ("GET", "POST")),
            *(Route(method, path, self.book, phone) for method in ("GET", "POST") for path in books),
        )

    async def caller(self, request: HttpRequest, _tenant: WebTenant, viewer: Viewer) -> HttpResponse:
        """``/{tenant}/caller``: the first contact with a number, as a phone's search for the number finds it.

        Some PBXs can only post the number.
        """
        parameters = {**request.query, **request.form}
        if "number" not in parameters:
            return text_response("The number is missing: …/caller?number=+4930…", 400)
        number = caller_number(parameters["number"])
        found = await self._dependencies.reader.find_caller(viewer, request.address, number)
        if found is None:
            return HttpResponse(404, b"", f"{_TEXT}; charset=utf-8")
        if prefers_json(request.accept):
            return json_response(caller_object(found))
        return HttpResponse(200, found.name.encode(), f"{_TEXT}; charset=utf-8")

    async def photo(
        self,
        request: HttpRequest,
        _tenant: WebTenant,
        viewer: Viewer,
        number: str,
        secret: str = "",  # noqa: ARG002  the viewer is known by it
    ) -> HttpResponse:
        """``/{tenant}/photo/{number}.png``, with a secret before the number too: the photo of a caller, or initials."""
        reader, run = self._dependencies.reader, self._dependencies.run_off_thread
        found = await reader.find_caller(viewer, request.address, number, may_be_for_callers=False)
        if found is None or not found.directory.context.photos:
            return HttpResponse(404, b"", _PNG)
        # Pixels take longer than phones should wait for the reactor.
        made = run(photo_png, found.photo) if found.photo else run(initials_png, found.name)
        return HttpResponse(200, await made, _PNG)

    async def book(
        self, request: HttpRequest, tenant: WebTenant, viewer: Viewer, vendor: str, secret: str = ""
    ) -> HttpResponse:
        """``/{tenant}/book/{vendor}.xml``, with a secret before the vendor too: the phone book of a phone.

        :param secret: as the address has it; empty: the phone has sent its login.
        """
        book = XML_BOOKS.get("grandstream" if vendor == _GRANDSTREAM_FILE else vendor)
        if book is None:
            raise PageError(error_pages.NOT_FOUND, tenant)
        tenant_url = self._layout.public_url.tenant_url(tenant.name)
        parameters = {**request.query, **request.form}
        kept = {name: value for name, value in parameters.items() if name == "book"}
        address = ListAddress(f"{tenant_url}book/{secret}{'/' if secret else ''}{vendor}.xml", kept)
        query = book.read(parameters, address)
        if isinstance(query, str):
            return _response(request, *_packed(query, takes_gzip=request.takes_gzip))
        length = ListLength()
        await self._turn.acquire()
        try:
            contacts = [
                book.contact(contact)
                async for contact in self._dependencies.reader.contacts(viewer, request.address, query, length)
            ]
        finally:
            self._turn.release()
        # Half a megabyte takes longer than phones should wait for the reactor.
        write = partial(_written, book, contacts, query, length, address, takes_gzip=request.takes_gzip)
        return _response(request, *await self._dependencies.run_off_thread(write))


def caller_number(value: str) -> str:
    """The number in a query; most PBXs send "+" as it is, which stands for a space there."""
    return "+" + value[1:] if value[:1] == " " and value[1:2].isdigit() else value


def prefers_json(accept: str) -> bool:
    """Whether a client prefers JSON to text; who takes all gets text."""
    return parse_accept_header(accept).best_match([_TEXT, _JSON], default=_TEXT) == _JSON if accept else False


def caller_object(caller: Caller) -> dict[str, object]:
    """The JSON object of a caller; null where something is not known, or not for this login."""
    number, kind = caller.number
    flags = caller.flags
    return {
        "name": caller.name,
        "first_name": caller.text("givenName") or None,
        "last_name": caller.text("sn") or None,
        "company": caller.text("o") or None,
        "number": number,
        "kind": kind,
        "book": caller.book or None,
        "label": next(iter(flags.labels), None),
        "favourite": flags.favourite,
        "blocked": flags.blocked,
    }


def _written(
    book: XmlBook,
    contacts: Elements,
    query: ListQuery,
    length: ListLength,
    address: ListAddress,
    *,
    takes_gzip: bool,
) -> tuple[bytes, str]:
    """The body of a phone book, and its entity tag."""
    return _packed(book.write(contacts, query, length, address), takes_gzip=takes_gzip)


def _packed(text: str, *, takes_gzip: bool) -> tuple[bytes, str]:
    body = text.encode()
    # Weak, because it is the same for the compressed body.
    etag = f'W/"{hashlib.sha256(body).hexdigest()[:20]}"'
    # Without a time, so that the same phone book has the same octets.
    return gzip.compress(body, mtime=0) if takes_gzip else body, etag


def _response(request: HttpRequest, body: bytes, etag: str) -> HttpResponse:
    headers = (("ETag", etag), ("Vary", "Accept-Encoding"))
    if etag.removeprefix("W/") in request.if_none_match:
        return HttpResponse(304, b"", _XML, headers)
    return HttpResponse(200, body, _XML, (*headers, ("Content-Encoding", "gzip")) if request.takes_gzip else headers)
