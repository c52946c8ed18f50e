# SPDX-License-Identifier: MIT
"""The pages for phones and PBXs: callers' names and photos, and phone books (`ldapgw.phones.book_formats`).

A caller's name is plain text, or a JSON object where the client accepts ``application/json``; if no contact has the
number, the answer is 404 without a body.

A phone reads its book again and again, by GET or POST, and hundreds of phones read at the same minute.  Therefore each
book has an entity tag, and an unchanged book is not sent again (RFC 9110 13.1.2).  `KeptBooks` has the books that were
written last; other phones with the same access get the same books.

Phones and PBXs log in with Basic (RFC 7617), Bearer with ``NAME.PASSWORD`` (RFC 6750), or a secret address.  Digest
(RFC 7616) is not supported, because Digest needs a stored equivalent of the password.  A login that came unencrypted
over the network is refused.  The answer to a wrong login is delayed; wrong logins over HTTP and LDAP count together.

`ReadQueue` limits how many books and photos are read at a time, so that reads do not take much memory, and do not delay
the reads of other logins.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, NamedTuple, TypeVar
from weakref import WeakValueDictionary

from twisted.internet.defer import CancelledError, Deferred, DeferredLock, DeferredSemaphore, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from werkzeug.http import parse_accept_header

from ldapgw.directory.access import Viewer
from ldapgw.errors import DirectoryError
from ldapgw.phones.book_formats import CONTACT_FEED, XML_BOOKS, BookFormat, ListAddress
from ldapgw.phones.book_reader import Caller, ListLength, ListSearch, initials_png, photo_png
from ldapgw.phones.contact_list import ListQuery
from ldapgw.web import error_pages
from ldapgw.web.dependencies import BookClientDependencies, WebDependencies, WebTenant
from ldapgw.web.error_pages import PageError
from ldapgw.web.http import Headers, HttpRequest, HttpResponse, json_response, text_response
from ldapgw.web.layout import Handler, Layout, RequiredRole, Route

T = TypeVar("T")

_TEXT, _JSON, _PNG = "text/plain", "application/json", "image/png"
# At most this many reads run at a time, because each read has all contacts of its book in memory.
_MAX_READS = 4
# At most this many feeds are read at a time, because the number of contacts in a feed is not limited: a read of 100,000
# contacts takes some 150 MB of memory.
_MAX_FEED_READS = 1
# At most this many reads of one login wait behind another read of the login.  A phone sends one request at a time, but
# asks again if no answer comes.
_MAX_WAITING = 8
_TOO_MANY = "Too many requests at once from this login."
# The realm of a login that may be of any tenant.
_ANY_TENANT = "ldapgw"
# A book with at most this many contacts, such as the answer to a search, is written in less time than another thread
# takes to begin.
_FEW = 50
# Seconds after which a refused client may ask again.
_RETRY_AFTER = 2
# Grandstream's phones append this file name to the address that is entered in the phone.
_GRANDSTREAM_FILE = "phonebook"

# The largest number of octets of all kept books together, and of a single kept book.
_MAX_KEPT, _MAX_KEPT_BOOK = 32 << 20, 8 << 20
# A kept book counts as at least this many octets, so that there are at most some thousand kept books.
_LEAST_KEPT = 4 << 10

_NEEDS_TLS = "A login needs HTTPS; a proxy that ends TLS has to be in [web] trusted_proxies."
# The seconds for which the answer to a wrong login is delayed if an answer to the same network and login name already
# waits.
LONGEST_DELAY = 8.0


class HttpCredentials(NamedTuple):
    """A login's name and password."""

    name: str
    password: bytes

    def __repr__(self) -> str:
        return "<HttpCredentials>"


class LoginRefused(Exception):
    """Raised when a phone did not log in."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__()
        self.response = response


def read_credentials(authorization: str) -> HttpCredentials | None:
    """Return the credentials in the header ``Authorization``, or None if there are no readable credentials."""
    scheme, _, value = authorization.strip().partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer":
        name, dot, password = value.rpartition(".")
        return HttpCredentials(name, password.encode()) if dot else None
    if scheme.lower() != "basic":
        return None
    try:
        octets = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    user, colon, secret = octets.partition(b":")
    return HttpCredentials(user.decode("utf-8", "replace"), secret) if colon else None


async def log_in(
    request: HttpRequest,
    tenant: WebTenant | None,
    secret: str | None,
    dependencies: BookClientDependencies,
    clock: IReactorTime,
) -> Viewer:
    """Check the login of the phone that sent a request, and return the phone as a viewer.

    :param tenant: None if the login may be of any tenant.
    :param secret: the secret in the request's path, which takes the place of a login, or None if the path has no
        secret.
    :param clock: delays the answer to a wrong login.
    :raises LoginRefused: when the login is missing, wrong or another tenant's, or came unencrypted over the network.
    """
    if not request.is_private:
        raise LoginRefused(text_response(_NEEDS_TLS, 403))
    try:
        viewer, name, refusal = _authenticate(request, tenant, secret, dependencies)
    except DirectoryError as error:
        raise LoginRefused(text_response(f"Not now: {error.diagnostic}.", 503)) from None
    if viewer is None or not any(tenant is None or access.tenant == tenant.name for access in viewer.access):
        delay = dependencies.login_delay(request.address, name)
        await deferLater(clock, LONGEST_DELAY if delay is None else delay)
        raise LoginRefused(refusal)
    return viewer


def _authenticate(
    request: HttpRequest, tenant: WebTenant | None, secret: str | None, dependencies: BookClientDependencies
) -> tuple[Viewer | None, str, HttpResponse]:
    """Return the viewer (None if the login is wrong), the login's name, and the response to send if the login is wrong.

    :raises LoginRefused: when there is no login.
    :raises DirectoryError: when the login is unknown, but the gateway could not read all logins from the database.
    """
    if secret is not None:
        viewer = dependencies.authenticate_secret(secret, request.address)
        name, refusal = secret.rpartition(".")[0], text_response("There is no such phone book.", 404)
    else:
        credentials = read_credentials(request.header("Authorization"))
        if credentials is None:
            raise LoginRefused(_unauthorized(tenant, "This needs the login of a phone."))
        viewer = dependencies.authenticate(credentials.name, credentials.password, request.address)
        name, refusal = credentials.name, _unauthorized(tenant, "Name or password is wrong.")
        if viewer is None:
            dependencies.login_refused(name, request.address)
    return viewer, name, refusal


def _unauthorized(tenant: WebTenant | None, message: str) -> HttpResponse:
    """Return the answer that asks for a login (RFC 9110 15.5.2)."""
    challenge = f'Basic realm="{_ANY_TENANT if tenant is None else tenant.name}", charset="UTF-8"'
    return text_response(message, 401, (("WWW-Authenticate", challenge),))


class TooManyReads(Exception):
    """Raised when too many reads of a login wait already."""


class ReadQueue:
    """The queue of reads.

    At most one read of each login runs at a time, and a limited number of reads in all.  The other reads wait, and
    their logins take turns.

    A cancelled read leaves the queue.  If a thread works for a cancelled read, the read counts as running until the
    thread has finished.

    Mutable: the running and the waiting reads.

    :param max_reads: the maximum number of reads at a time.
    """

    def __init__(
        self, run_off_thread: Callable[[Callable[[], Any]], Deferred[Any]], max_reads: int = _MAX_READS
    ) -> None:
        self._run_off_thread = run_off_thread
        self._reads = DeferredSemaphore(max_reads)
        # A login's lock exists as long as a read for the login runs or waits.
        self._logins: WeakValueDictionary[str, DeferredLock] = WeakValueDictionary()

    @asynccontextmanager
    async def place(
        self, login: str, *, goes_on: bool = False
    ) -> AsyncIterator[Callable[[Callable[[], T]], Deferred[T]]]:
        """Wait until a read of books for a login may run; at the end of the ``with`` block, let the next read run.

        :param goes_on: whether the read continues an answer that was sent in part; such a read is never refused.
        :returns: a function that calls functions on another thread.
        :raises TooManyReads: when too many reads for the login wait already.
        """
        lock = self._logins.setdefault(login, DeferredLock())
        if len(lock.waiting) >= _MAX_WAITING and not goes_on:
            raise TooManyReads
        await lock.acquire()
        try:
            # Only one read for each login waits here, so the logins take turns.
            await self._reads.acquire()
        except CancelledError:
            lock.release()
            raise
        thread = succeed(None)

        def run(function: Callable[[], T]) -> Deferred[T]:
            nonlocal thread
            result: Deferred[T] = Deferred()
            thread = self._run_off_thread(function).addBoth(result.callback)
            return result

        def end(_: None) -> None:
            self._reads.release()
            lock.release()

        try:
            yield run
        finally:
            thread.addCallback(end)


class WrittenBook(NamedTuple):
    """A phone book as it is sent."""

    body: bytes
    etag: str


class KeptBook(NamedTuple):
    """A phone book, and the search that is logged whenever the book is sent again."""

    written: WrittenBook
    search: ListSearch


class BookKey(NamedTuple):
    """The values, besides the directory, on which a phone book depends.

    :ivar viewer: the viewer without its login, so that all phones with the same access share a book.
    :ivar address: the address to which links in the book lead, which may hold a secret; empty if there are no links.
    """

    viewer: Viewer
    format: str
    query: ListQuery
    address: str
    takes_gzip: bool

    def __repr__(self) -> str:
        return "<BookKey>"


class KeptBooks:
    """The phone books that were written last.

    A book is kept until the first request after a change of the tenant's directory, or until there is no room for the
    book.  If there is no room, the books that were not sent for the longest time are removed first.

    Mutable: the kept books, and for each tenant the edition of the directory from which its books were read.
    """

    def __init__(self, max_octets: int = _MAX_KEPT, max_book: int = _MAX_KEPT_BOOK) -> None:
        self._max_octets = max_octets
        self._max_book = max_book
        self._octets = 0
        self._editions: dict[str, object | None] = {}
        # The books are in the order in which the gateway last sent them.
        self._books: dict[BookKey, KeptBook] = {}

    def find(self, key: BookKey, edition: object | None) -> KeptBook | None:
        """Return a kept book, or None if the book is not kept; first forget books of the directory's former editions.

        :param edition: the edition of the directory that the viewer reads now.
        """
        tenant = key.viewer.tenant
        if self._editions.get(tenant) is not edition:
            for old in [kept for kept in self._books if kept.viewer.tenant == tenant]:
                self._remove(old)
            self._editions[tenant] = edition
        book = self._books.pop(key, None)
        if book is not None:
            self._books[key] = book
        return book

    def before(self, key: BookKey) -> ListSearch | None:
        """Return the search that read the preceding part of a list; None if the preceding part is not kept."""
        query = key.query
        book = self._books.get(key._replace(query=replace(query, first=query.first - query.count)))
        return book.search if book is not None and book.search.found == query.count else None

    def keep(self, key: BookKey, book: KeptBook) -> None:
        """Keep a book, unless the book is too large, or its directory has changed since."""
        if len(book.written.body) > self._max_book or book.search.edition is not self._editions.get(key.viewer.tenant):
            return
        self._remove(key)
        self._books[key] = book
        self._octets += _kept_octets(book)
        while self._octets > self._max_octets:
            self._remove(next(iter(self._books)))

    def _remove(self, key: BookKey) -> None:
        book = self._books.pop(key, None)
        if book is not None:
            self._octets -= _kept_octets(book)


def _kept_octets(book: KeptBook) -> int:
    return max(len(book.written.body), _LEAST_KEPT)


class BookClients:
    """The look-up of callers, their photos, the phone books of all vendors, and the contact feed.

    Mutable: the queues of reads, and the kept books.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._dependencies = layout.dependencies.book_clients
        run_off_thread = self._dependencies.run_off_thread
        self._books = ReadQueue(run_off_thread)
        self._feeds = ReadQueue(run_off_thread, _MAX_FEED_READS)
        self._photos = ReadQueue(run_off_thread)
        self._kept = KeptBooks()

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of the look-up, of the photos, of the phone books and of the feed."""
        phone = RequiredRole.PHONE
        photos = ("/<tenant>/photo/<number>.png", "/<tenant>/photo/<secret>/<number>.png")
        books: dict[str, Handler] = {
            "/<tenant>/book/<vendor>.xml": self.book,
            "/<tenant>/book/<secret>/<vendor>.xml": self.book,
            "/<tenant>/book/contacts.json": self.feed,
            "/<tenant>/book/<secret>/contacts.json": self.feed,
        }
        return (
            *(Route("GET", path, self.photo, phone, over_http=True) for path in photos),
            *(Route(method, "/<tenant>/caller", self.caller, phone, over_http=True) for method in ("GET", "POST")),
            *(
                Route(method, path, handler, phone, over_http=True)
                for method in ("GET", "POST")
                for path, handler in books.items()
            ),
        )

    async def caller(self, request: HttpRequest, _tenant: WebTenant, viewer: Viewer) -> HttpResponse:
        """``/{tenant}/caller``: send the name of the first contact that a phone's search for the number finds.

        The number also comes by POST, because some PBXs can only post.
        """
        parameters = {**request.query, **request.form}
        if "number" not in parameters:
            return text_response("The number is missing: …/caller?number=+4930…", 400)
        number = caller_number(parameters["number"])
        found = await self._dependencies.reader.find_caller(viewer, request.address, number)
        if found is None:
            return HttpResponse(404, b"", f"{_TEXT}; charset=utf-8")
        if prefers_json(request.header("Accept")):
            return json_response(caller_object(found))
        return HttpResponse(200, found.name.encode(), f"{_TEXT}; charset=utf-8")

    async def photo(
        self,
        request: HttpRequest,
        _tenant: WebTenant,
        viewer: Viewer,
        number: str,
        secret: str = "",  # noqa: ARG002  the secret has identified the viewer already
    ) -> HttpResponse:
        """``/{tenant}/photo/[{secret}/]{number}.png``: send a caller's photo, or a picture with the initials."""
        found = await self._dependencies.reader.find_caller(viewer, request.address, number, may_be_for_callers=False)
        if found is None or not found.directory.context.photos:
            return HttpResponse(404, b"", _PNG)
        # Drawing takes longer than phones should wait for the reactor.
        make = partial(photo_png, found.photo) if found.photo else partial(initials_png, found.name)
        try:
            async with self._photos.place(viewer.login) as run:
                return HttpResponse(200, await run(make), _PNG)
        except TooManyReads:
            return too_many_reads(request, self._layout.dependencies)

    async def book(
        self, request: HttpRequest, tenant: WebTenant, viewer: Viewer, vendor: str, secret: str = ""
    ) -> HttpResponse:
        """``/{tenant}/book/[{secret}/]{vendor}.xml``: send the phone book of a phone.

        :param secret: the secret in the address; empty if the phone has sent a login.
        """
        book = XML_BOOKS.get("grandstream" if vendor == _GRANDSTREAM_FILE else vendor)
        if book is None:
            raise PageError(error_pages.PAGES.not_found, tenant)
        return await self._send(request, tenant, viewer, book, f"{secret}{'/' if secret else ''}{vendor}.xml")

    async def feed(self, request: HttpRequest, tenant: WebTenant, viewer: Viewer, secret: str = "") -> HttpResponse:
        """``/{tenant}/book/[{secret}/]contacts.json``: send the contact feed of a phone.

        :param secret: the secret in the address; empty if the client has sent a login.
        """
        return await self._send(request, tenant, viewer, CONTACT_FEED, f"{secret}{'/' if secret else ''}contacts.json")

    async def _send(
        self, request: HttpRequest, tenant: WebTenant, viewer: Viewer, book: BookFormat, path: str
    ) -> HttpResponse:
        """Send a phone book.

        :param path: the path of the book's address below ``/{tenant}/book/``, which may contain a secret.
        """
        tenant_url = self._layout.public_url.tenant_url(tenant.name)
        parameters = {**request.query, **request.form}
        for_links = {name: value for name, value in parameters.items() if name == "book"}
        address = ListAddress(f"{tenant_url}book/{path}", for_links)
        query = book.read(parameters, address)
        if isinstance(query, str):
            return _response(request, book, _packed(query, takes_gzip=request.takes_gzip))
        links_to = address.link() if book.has_links else ""
        key = BookKey(viewer._replace(login=""), book.name, query, links_to, request.takes_gzip)
        kept = await self._kept_book(request, viewer, book, key)
        if kept is not None:
            return kept
        try:
            async with (self._feeds if book is CONTACT_FEED else self._books).place(viewer.login) as run:
                # While this phone waited, another phone may have asked for the same book.
                kept = await self._kept_book(request, viewer, book, key)
                if kept is not None:
                    return kept
                reader, length = self._dependencies.reader, ListLength()
                reading = reader.contacts(
                    viewer,
                    request.address,
                    query,
                    length,
                    has_flags=book.has_flags,
                    has_origin=book.has_origin,
                    counts_all=book.has_total,
                    before=self._kept.before(key),
                )
                contacts = [book.contact(contact) async for part in reading for contact in part]

                def write() -> WrittenBook:
                    return _packed(book.write(contacts, query, length, address), takes_gzip=request.takes_gzip)

                # Writing half a megabyte takes longer than phones should wait for the reactor.
                written = write() if len(contacts) <= _FEW else await run(write)
                if length.search is not None:
                    self._kept.keep(key, KeptBook(written, length.search))
        except TooManyReads:
            return too_many_reads(request, self._layout.dependencies)
        return _response(request, book, written)

    async def _kept_book(
        self, request: HttpRequest, viewer: Viewer, book: BookFormat, key: BookKey
    ) -> HttpResponse | None:
        """Return the answer with a kept book, in the login's turn; return None if the book is not kept."""
        reader = self._dependencies.reader
        kept = self._kept.find(key, reader.edition(viewer))
        if kept is None:
            return None
        await reader.repeat(viewer, request.address, kept.search)
        return _response(request, book, kept.written)


def too_many_reads(request: HttpRequest, dependencies: WebDependencies) -> HttpResponse:
    """Count a request that is refused because too many reads of the same login wait, and return the answer."""
    dependencies.count_misuse("too many requests at once", request.address)
    return text_response(_TOO_MANY, 429, (("Retry-After", str(_RETRY_AFTER)),))


def caller_number(value: str) -> str:
    """Return the number in a query; a space at its beginning counts as "+", which most PBXs do not encode."""
    return "+" + value[1:] if value[:1] == " " and value[1:2].isdigit() else value


@lru_cache(maxsize=64)
def prefers_json(accept: str) -> bool:
    """Return whether a client prefers JSON to text; a client that accepts all types gets text."""
    return parse_accept_header(accept).best_match([_TEXT, _JSON], default=_TEXT) == _JSON if accept else False


def caller_object(caller: Caller) -> dict[str, object]:
    """Return the JSON object of a caller; a value that is unknown, or hidden from this login, is null."""
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


def _packed(text: str, *, takes_gzip: bool) -> WrittenBook:
    body = text.encode()
    # The entity tag is weak, because the compressed body has the same tag.
    etag = f'W/"{hashlib.sha256(body).hexdigest()[:20]}"'
    # The compressed body contains no time, so that equal phone books have equal octets.
    return WrittenBook(gzip.compress(body, mtime=0) if takes_gzip else body, etag)


def _response(request: HttpRequest, book: BookFormat, written: WrittenBook) -> HttpResponse:
    headers: Headers = (("ETag", written.etag), ("Vary", "Accept-Encoding"))
    if request.has_current(written.etag):
        return HttpResponse(304, b"", book.media_type, headers)
    if request.takes_gzip:
        headers = (*headers, ("Content-Encoding", "gzip"))
    return HttpResponse(200, written.body, book.media_type, headers)
