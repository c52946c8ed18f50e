# SPDX-License-Identifier: MIT
"""XML phone books over HTTP, with a phone's login or a secret in the address (`ldapgw.phones.xml_books`).

A phone asks by GET or POST, and again and again: an answer has an entity tag, and an unchanged one is not sent again
(RFC 9110 13.1.2).
"""

from __future__ import annotations

import gzip
import hashlib
from functools import partial

from twisted.internet.defer import DeferredLock

from ldapgw.directory.access import Viewer
from ldapgw.phones.book_reader import ListLength, ListQuery
from ldapgw.phones.xml_books import XML_BOOKS, Elements, ListAddress, XmlBook
from ldapgw.web import error_pages
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.error_pages import PageError
from ldapgw.web.http import HttpRequest, HttpResponse
from ldapgw.web.layout import Layout, RequiredRole, Route
from ldapgw.web.phone_login import LoginRefused, log_in, log_in_by_secret

_XML = "text/xml; charset=utf-8"
# Grandstream's phones ask for a file of this name below the address that they are given.
_GRANDSTREAM_FILE = "phonebook"


class PhoneBooks:
    """The phone books of all vendors.

    Mutable: whose turn it is.  One list is read at a time, so that many do not fill the reactor's turns.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._dependencies = layout.dependencies
        self._turn = DeferredLock()

    def routes(self) -> tuple[Route, ...]:
        """The routes of the phone books."""
        phone = RequiredRole.PHONE
        return tuple(
            route
            for method in ("GET", "POST")
            for route in (
                Route(method, "/<tenant>/book/<vendor>.xml", self.book, phone),
                Route(method, "/<tenant>/book/<secret>/<vendor>.xml", self.secret_book, phone),
            )
        )

    async def book(self, request: HttpRequest, tenant: WebTenant, vendor: str) -> HttpResponse:
        """``/{tenant}/book/{vendor}.xml``: the phone book for a phone's login."""
        book = _book(tenant, vendor)
        try:
            viewer = await log_in(request, tenant, self._dependencies)
        except LoginRefused as refused:
            return refused.response
        return await self._answer(request, book, viewer, self._url(tenant, f"{vendor}.xml"))

    async def secret_book(self, request: HttpRequest, tenant: WebTenant, secret: str, vendor: str) -> HttpResponse:
        """``/{tenant}/book/{secret}/{vendor}.xml``: the phone book of the phone whose secret it is."""
        book = _book(tenant, vendor)
        try:
            viewer = await log_in_by_secret(request, tenant, secret, self._dependencies)
        except LoginRefused as refused:
            return refused.response
        return await self._answer(request, book, viewer, self._url(tenant, f"{secret}/{vendor}.xml"))

    def _url(self, tenant: WebTenant, path: str) -> str:
        return f"{self._layout.public_url.tenant_url(tenant.name)}book/{path}"

    async def _answer(self, request: HttpRequest, book: XmlBook, viewer: Viewer, url: str) -> HttpResponse:
        parameters = {**request.query, **request.form}
        kept = {name: value for name, value in parameters.items() if name == "book"}
        address = ListAddress(url, kept)
        query = book.read(parameters, address)
        if isinstance(query, str):
            return _response(request, *_packed(query, takes_gzip=request.takes_gzip))
        length = ListLength()
        reader = self._dependencies.book_clients.reader
        await self._turn.acquire()
        try:
            contacts = [
                book.contact(contact) async for contact in reader.contacts(viewer, request.address, query, length)
            ]
        finally:
            self._turn.release()
        # Half a megabyte takes longer than phones should wait for the reactor.
        write = partial(_written, book, contacts, query, length, address, takes_gzip=request.takes_gzip)
        return _response(request, *await self._dependencies.book_clients.run_off_thread(write))


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


def _book(tenant: WebTenant, vendor: str) -> XmlBook:
    found = XML_BOOKS.get("grandstream" if vendor == _GRANDSTREAM_FILE else vendor)
    if found is None:
        raise PageError(error_pages.NOT_FOUND, tenant)
    return found
