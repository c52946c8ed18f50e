# SPDX-License-Identifier: MIT
"""CardDAV (RFC 6352), read-only, for phones and programs with a phone's login (`ldapgw.phones.carddav`).

The home ``/{tenant}/dav/`` is also the login's principal.  Below the home, there is one address book for each book that
the login may browse, but none for a book that is shared only for caller ID.  A client that knows only the host begins
at ``/.well-known/carddav`` (RFC 6764).  If there is only one tenant, this address leads to the home.  Otherwise, the
address leads to ``/dav/``, which names the home of the login.

A client that looks for changes reads the sync token of a book, which costs little if nothing has changed.  All requests
of a login run one after another, off the reactor's thread where the work is long (`ReadQueue`).  A long answer is sent
in pieces.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from wsgiref.handlers import format_date_time

from twisted.internet.task import deferLater

from ldapgw.directory.access import Viewer
from ldapgw.directory.dit import Directory
from ldapgw.phones.carddav import answers
from ldapgw.phones.carddav.answers import CardResponses, Paths
from ldapgw.phones.carddav.books import (
    AddressBook,
    AddressBookNames,
    BookVersion,
    BookVersions,
    RunOffThread,
    address_books,
    card_name,
    card_of_path,
    sync_token,
)
from ldapgw.phones.carddav.requests import (
    AddressData,
    DavRefusal,
    Multiget,
    SyncCollection,
    WantedProperties,
    dav,
    directory_filter,
    read_propfind,
    read_report,
)
from ldapgw.phones.vcards import VCardVersion
from ldapgw.web.book_clients import ReadQueue, TooManyReads, log_in, too_many_reads
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.http import (
    MAX_BODY_SIZE,
    MAX_REPORT_SIZE,
    BodyWriter,
    Headers,
    HttpRequest,
    HttpResponse,
    redirect,
    text_response,
)
from ldapgw.web.layout import Layout, RequiredRole, Route

_XML = "application/xml; charset=utf-8"
_VCARD = "text/vcard; charset=utf-8"
_READING = ("OPTIONS", "GET", "HEAD", "PROPFIND", "REPORT")
# The methods that would change something (RFC 4918, RFC 3744, RFC 5995, RFC 5789).
_WRITING = ("PUT", "DELETE", "POST", "PATCH", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "ACL")
# RFC 6352 6.1: a server with address books also has WebDAV's access control.
_DAV = ("DAV", "1, 3, access-control, addressbook")
_ALLOW = ("Allow", ", ".join(_READING))
# An answer of at most this many octets is sent as a whole; a longer answer is sent in pieces of about this size.
_PIECE = 128 << 10
# The number of books whose tokens are looked up in one turn of the reactor, and the number of books in one piece of an
# answer.
_TOKENS, _BOOKS = 200, 100
_NO_BOOK, _NO_CARD = "There is no such address book.", "There is no such contact."


class _Turn(NamedTuple):
    """A request whose login has its turn (`ReadQueue`).

    :ivar run: calls functions off the reactor's thread.
    """

    request: HttpRequest
    viewer: Viewer
    run: RunOffThread


class CardDav:
    """The address books of phones' logins.

    Mutable: the queue of reads, and the names and versions of the address books.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._dependencies = layout.dependencies.book_clients
        self._reads = ReadQueue(self._dependencies.run_off_thread)
        self._names, self._versions = AddressBookNames(), BookVersions()

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of the address books, and the routes that lead to them."""
        homes = ("/<tenant>/dav", "/<tenant>/dav/")
        books = ("/<tenant>/dav/<book>", "/<tenant>/dav/<book>/")
        card = "/<tenant>/dav/<book>/<card>"
        entrances = ("/dav", "/dav/")
        return (
            *(_route("PROPFIND", path, partial(self._answer, self.read_home)) for path in homes),
            *(_route("REPORT", path, partial(self._answer, self.report_on_other)) for path in (*homes, card)),
            *(_route("PROPFIND", path, partial(self._answer, self.read_book)) for path in books),
            *(_route("REPORT", path, partial(self._answer, self.report)) for path in books),
            _route("PROPFIND", card, partial(self._answer, self.read_card)),
            _route("GET", card, partial(self._answer, self.card)),
            *(_route("OPTIONS", path, self.options) for path in (*homes, *books, card)),
            *(_route(method, path, self.refuse) for method in _WRITING for path in (*homes, *books, card)),
            *(
                Route(method, "/.well-known/carddav", self.well_known, RequiredRole.PUBLIC, MAX_BODY_SIZE)
                for method in ("GET", "PROPFIND", "OPTIONS")
            ),
            *(
                Route(method, path, handler, RequiredRole.PUBLIC, MAX_BODY_SIZE)
                for method, handler in (("PROPFIND", self.read_entrance), ("OPTIONS", self.entrance_options))
                for path in entrances
            ),
        )

    async def well_known(self, _request: HttpRequest) -> HttpResponse:
        """``/.well-known/carddav``: redirect to the home of the only tenant, or to ``/dav/`` (RFC 6764 5)."""
        tenants = self._layout.dependencies.tenants
        path = f"/{next(iter(tenants))}/dav/" if len(tenants) == 1 else "/dav/"
        return redirect(self._layout.public_url.path + path, status=301)

    async def entrance_options(self, _request: HttpRequest) -> HttpResponse:
        """Name the methods that ``/dav/`` allows; the client has not logged in yet."""
        return HttpResponse(200, b"", "text/plain; charset=utf-8", (_DAV, ("Allow", "OPTIONS, PROPFIND")))

    async def read_entrance(self, request: HttpRequest) -> HttpResponse:
        """``/dav/``: send the path of the client's home, which depends on the tenant of the client's login."""
        gateway = self._layout.dependencies
        viewer = await log_in(request, None, None, gateway.book_clients, gateway.clock)
        return await self._answer(self._entrance, request, None, viewer)

    async def _entrance(self, turn: _Turn) -> HttpResponse:
        wanted = await turn.run(partial(read_propfind, turn.request.body))
        path = self._layout.public_url.path + "/dav/"
        properties = answers.entrance_properties(self._paths(turn.viewer))
        return _document(turn.request, (_resource(turn.request, path, properties, wanted),))

    async def read_home(self, turn: _Turn) -> HttpResponse:
        """``/{tenant}/dav/``: send the properties of the login's principal and, with depth 1, of its address books."""
        request, viewer, run = turn
        paths, tenant = self._paths(viewer), self._layout.dependencies.tenants[viewer.access[0].tenant]
        wanted = await run(partial(read_propfind, request.body))
        home = _resource(request, paths.home, answers.home_properties(paths, tenant.heading), wanted)
        directory = self._directory(viewer) if _depth(request) else None
        books = await run(partial(address_books, directory, viewer)) if directory is not None else ()
        tokens = {}
        if answers.needs_token(wanted):
            for count, book in enumerate(books, start=1):
                tokens[book.name] = await self._token(book, run)
                if not count % _TOKENS:
                    await deferLater(self._layout.dependencies.clock, 0.0)  # the reactor can serve phones now
        responses = (
            _resource(
                request, paths.book(book), answers.book_properties(paths, book, tokens.get(book.name, "")), wanted
            )
            for book in books
        )
        return await self._in_pieces(turn, answers.pieces((home,), responses, (), _BOOKS))

    async def read_book(self, turn: _Turn, book: str) -> HttpResponse:
        """``/{tenant}/dav/{book}/``: send the properties of an address book and, with depth 1, of its cards."""
        request, viewer, run = turn
        found = self._find(viewer, book)
        if found is None:
            return text_response(_NO_BOOK, 404)
        wanted, paths, depth = await run(partial(read_propfind, request.body)), self._paths(viewer), _depth(request)
        needs_token = answers.needs_token(wanted)
        if needs_token or depth:
            await self._dependencies.reader.log_whole(viewer, request.address, found)
        token = await self._token(found, run) if needs_token else ""
        properties = answers.book_properties(paths, found, token)
        own = _resource(request, paths.book(found), properties, wanted)
        if not depth:
            return _document(request, (own,))
        version = await self._versions.read(found, run)
        cards = CardResponses(paths, found, version, wanted, is_minimal=_is_minimal(request))
        responses = (cards.of(name, tag) for name, tag in version.tags.items())
        return await self._in_pieces(turn, answers.pieces((own,), responses, (), cards.slice_size))

    async def report(self, turn: _Turn, book: str) -> HttpResponse:
        """``/{tenant}/dav/{book}/``: send the contacts that a report asks for."""
        request, viewer, run = turn
        found = self._find(viewer, book)
        if found is None:
            return text_response(_NO_BOOK, 404)
        asked = await run(partial(read_report, request.body))
        reader, tail = self._dependencies.reader, tuple[str, ...]()
        if isinstance(asked, SyncCollection):
            token = self._versions.token(found)
            if token and asked.token == sync_token(token):
                tail = (answers.token_element(asked.token),)
                return await self._in_pieces(turn, answers.pieces((), iter(()), tail, 1))
            await reader.log_whole(viewer, request.address, found)
        version = await self._versions.read(found, run)
        tags, paths = version.tags, self._paths(viewer)
        cards = CardResponses(paths, found, version, asked.wanted, is_minimal=_is_minimal(request))
        truncated = (answers.truncated_response(paths.book(found)),)
        if isinstance(asked, SyncCollection):
            changes = self._versions.changes(found, version, asked.token, asked.limit)
            responses: Iterator[str] = (_changed(cards, version, name) for name in changes.names)
            tail = (*(truncated if changes.is_part else ()), answers.token_element(changes.token))
        elif isinstance(asked, Multiget):
            responses = _by_address(cards, version, asked, self._layout.public_url.path, paths.book(found))
        else:
            wanted = directory_filter(asked)
            entries, has_more = await reader.entries(viewer, request.address, found, wanted, asked.limit)
            responses = (cards.of(name, tags[name]) for entry in entries if (name := card_name(entry.uid)) in tags)
            tail = truncated if has_more else ()
        return await self._in_pieces(turn, answers.pieces((), responses, tail, cards.slice_size))

    async def report_on_other(self, _turn: _Turn, **_path_values: str) -> HttpResponse:
        """Refuse a report on a resource that is no address book."""
        raise DavRefusal(403, dav("supported-report"))

    async def read_card(self, turn: _Turn, book: str, card: str) -> HttpResponse:
        """``/{tenant}/dav/{book}/{card}``: send the properties of a card."""
        request, viewer, run = turn
        found = self._find(viewer, book)
        wanted = await run(partial(read_propfind, request.body))
        version = None if found is None else await self._versions.read(found, run)
        if found is None or version is None or card not in version.tags:
            return text_response(_NO_CARD, 404)
        cards = CardResponses(self._paths(viewer), found, version, wanted, is_minimal=_is_minimal(request))
        return _document(request, (cards.of(card, version.tags[card]),))

    async def card(self, turn: _Turn, book: str, card: str) -> HttpResponse:
        """``/{tenant}/dav/{book}/{card}``: send a vCard, in version 4.0 if the client accepts only this version."""
        request, viewer, run = turn
        found = self._find(viewer, book)
        version = None if found is None else await self._versions.read(found, run)
        entry = None if found is None else found.entry(card)
        if found is None or version is None or entry is None or card not in version.tags:
            return text_response(_NO_CARD, 404)
        tag = answers.etag(version.tags[card])
        headers: Headers = (("ETag", tag), ("Vary", "Accept"), _DAV)
        if entry.updated > 0:
            headers = (*headers, ("Last-Modified", format_date_time(entry.updated)))
        if request.has_current(tag):
            return HttpResponse(304, b"", _VCARD, headers)
        asked = AddressData(VCardVersion.V4 if "version=4.0" in request.header("Accept") else VCardVersion.V3)
        octets = answers.card_octets(found, entry, version, asked)
        return HttpResponse(200, octets, _VCARD, headers)

    async def options(
        self, _request: HttpRequest, _tenant: WebTenant, _viewer: Viewer, **_path_values: str
    ) -> HttpResponse:
        """Name the methods that a resource allows (RFC 4918 10.1)."""
        return HttpResponse(200, b"", _XML, (_DAV, _ALLOW))

    async def refuse(
        self, _request: HttpRequest, _tenant: WebTenant, _viewer: Viewer, **_path_values: str
    ) -> HttpResponse:
        """Refuse a request that would change something, because contacts are changed at Google."""
        return _refusal(DavRefusal(403, dav("need-privileges")))

    async def _answer(
        self,
        handle: Callable[..., Awaitable[HttpResponse]],
        request: HttpRequest,
        _tenant: WebTenant | None,
        viewer: Viewer,
        **path_values: str,
    ) -> HttpResponse:
        """Wait for the login's turn, and answer a request."""
        try:
            async with self._reads.place(viewer.login) as run:
                return await handle(_Turn(request, viewer, run), **path_values)
        except DavRefusal as refusal:
            return _refusal(refusal)
        except TooManyReads:
            return too_many_reads(request, self._layout.dependencies)

    async def _in_pieces(self, turn: _Turn, pieces: Iterator[bytes]) -> HttpResponse:
        """Return a response with an answer; each piece after the first two pieces is made when the piece is sent."""
        request, viewer, run = turn
        first = await run(partial(_next_piece, pieces))
        second = await run(partial(_next_piece, pieces))
        if not second:
            return HttpResponse(207, first, _XML, _headers(request))

        async def send(write: BodyWriter) -> None:
            piece = second
            while piece:
                write(piece)
                # While the gateway waits for a slow client, other reads can run.
                await write.drained()
                async with self._reads.place(viewer.login, goes_on=True) as run_next:
                    piece = await run_next(partial(_next_piece, pieces))

        return HttpResponse(207, first, _XML, _headers(request), send)

    async def _token(self, book: AddressBook, run: RunOffThread) -> str:
        return self._versions.token(book) or (await self._versions.read(book, run)).token

    def _directory(self, viewer: Viewer) -> Directory | None:
        directory = self._dependencies.reader.directory(viewer)
        if directory is not None:
            self._versions.forget_gone(directory)
        return directory

    def _find(self, viewer: Viewer, name: str) -> AddressBook | None:
        directory = self._directory(viewer)
        return None if directory is None else self._names.find(directory, viewer, name)

    def _paths(self, viewer: Viewer) -> Paths:
        return Paths(f"{self._layout.public_url.path}/{viewer.access[0].tenant}/dav/")


def _route(method: str, path: str, handler: Callable[..., Any]) -> Route:
    size = MAX_REPORT_SIZE if method == "REPORT" else MAX_BODY_SIZE
    return Route(method, path, handler, RequiredRole.PHONE, size)


def _depth(request: HttpRequest) -> int:
    """Return the depth of a PROPFIND, 0 or 1; if the client names no depth, the depth is 0.

    :raises DavRefusal: for the depth "infinity", which servers may refuse (RFC 4918 9.1).
    """
    depth = request.header("Depth").strip().lower()  # RFC 4918 10.2
    if depth == "infinity":
        raise DavRefusal(403, dav("propfind-finite-depth"))
    return int(depth == "1")


def _is_minimal(request: HttpRequest) -> bool:
    return "return=minimal" in request.header("Prefer").replace(" ", "")


def _headers(request: HttpRequest) -> Headers:
    return (_DAV, ("Preference-Applied", "return=minimal")) if _is_minimal(request) else (_DAV,)


def _resource(request: HttpRequest, path: str, properties: answers.Properties, wanted: WantedProperties) -> str:
    return answers.resource_response(path, properties, wanted, is_minimal=_is_minimal(request))


def _document(request: HttpRequest, responses: Any) -> HttpResponse:
    return HttpResponse(207, answers.multistatus(responses).encode("utf-8", "replace"), _XML, _headers(request))


def _refusal(refusal: DavRefusal) -> HttpResponse:
    if not refusal.condition:
        return text_response("This is no request that CardDAV has.", refusal.status, (_DAV,))
    return HttpResponse(refusal.status, answers.error_document(refusal.condition).encode(), _XML, (_DAV,))


def _next_piece(pieces: Iterator[bytes]) -> bytes:
    """Return the next octets of an answer; empty at the end."""
    made = bytearray()
    for piece in pieces:
        made += piece
        if len(made) >= _PIECE:
            break
    return bytes(made)


def _changed(cards: CardResponses, version: BookVersion, name: str) -> str:
    tag = version.tags.get(name)
    return cards.missing(name) if tag is None else cards.of(name, tag)


def _by_address(
    cards: CardResponses, version: BookVersion, asked: Multiget, prefix: str, book_path: str
) -> Iterator[str]:
    """Yield the responses of the cards that a client names by their addresses, each card once (RFC 4918 14.24)."""
    found: set[str] = set()
    for href in dict.fromkeys(asked.hrefs):
        path = _path_of(href)
        # A proxy may hide the path of the public URL from clients, and then the addresses that clients send lack this
        # path.
        if prefix and not path.startswith(f"{prefix}/"):
            path = prefix + path
        name = card_of_path(path.removeprefix(book_path)) if path.startswith(book_path) else ""
        tag = version.tags.get(name)
        if tag is None:
            yield answers.missing_response(href)
        elif name not in found:
            found.add(name)
            yield cards.of(name, tag)


def _path_of(href: str) -> str:
    """Return the path of an address, which may be a URL or a path; empty if the address is malformed."""
    try:
        return urlsplit(href).path
    except ValueError:
        return ""
