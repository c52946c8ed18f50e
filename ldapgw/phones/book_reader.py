# SPDX-License-Identifier: MIT
"""The reader of the directory for phones and PBXs that ask over HTTP, with the same search as for LDAP clients.

A request is answered, limited and logged like the same search over LDAP.  Each login has slices of the reactor's turns
(`ldapgw.ldap.turns`); the login's requests over HTTP and the login's requests over LDAP share these slices.

A phone may also fetch a picture by the caller's number: the contact's photo, or the contact's initials.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from ldapgw.directory.access import Access, Viewer
from ldapgw.directory.book import DIRECTORY
from ldapgw.directory.caller_id import CallerIdBudget, matching_numbers
from ldapgw.directory.dit import ContactFlags, Directory, Dit, FlagReader, own_scopes, search_scopes, shared_scopes
from ldapgw.directory.entry import Entry, NumberFormatter
from ldapgw.directory.filter import (
    Filter,
    Scope,
    SearchKind,
    SearchRequest,
    search_kind,
)
from ldapgw.directory.filter_matcher import NamedNumber, PreparedFilter, prepare
from ldapgw.directory.name_folding import collation_key
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.search import SearchCursor
from ldapgw.directory.segment import SearchScope
from ldapgw.errors import DirectoryError, ResultCode
from ldapgw.ldap.encoder import encode_search
from ldapgw.ldap.messages import FinishedSearch
from ldapgw.ldap.session import Observer
from ldapgw.ldap.turns import TurnOf
from ldapgw.phones.carddav.books import AddressBook
from ldapgw.phones.contact_browser import contact_id
from ldapgw.phones.contact_list import (
    KINDS,
    LIST_ATTRIBUTES,
    NO_FLAGS,
    BookChoice,
    ListedContact,
    ListQuery,
    list_filter,
    listed_contact,
    number_filter,
)
from ldapgw.phones.explain.query import PERSON
from ldapgw.phones.explain.view import book_of, text_of

if TYPE_CHECKING:
    from PIL import Image

# The maximum number of characters of a telephone number that is looked up.  The limit leaves room for SIP addresses.
MAX_NUMBER = 256

# The number of contacts that are read in one turn of the reactor, which takes about a millisecond.
_SLICE = 64
# The number of contacts that are read in one turn if telephone numbers are converted to the phone's format.  A
# conversion takes 50 µs.
_SLOW_SLICE = 16
# The number of contacts that are counted in one turn of the reactor after the list is full.  These contacts are not
# read.
_COUNTED = 1000

# The width and the height, in pixels, of a picture with initials; a photo keeps its size.
PICTURE_SIZE = 160
_FONT_SIZE = 72
_WHITE = (255, 255, 255)
# White letters are readable on each colour (contrast of at least 4.5:1, WCAG 2.1).
_COLOURS: Sequence[tuple[int, int, int]] = (
    (26, 95, 180),
    (38, 115, 77),
    (145, 65, 172),
    (165, 29, 45),
    (154, 82, 10),
    (61, 90, 108),
)


class ListSearch(NamedTuple):
    """A search that has found the contacts of a list, the contacts of a book, or the contact of a caller.

    :ivar edition: the edition of the directory that was searched (`Directory.edition`), or the book that was read.
    :ivar message: the LDAP message of a search that would find the same contacts.
    :ivar found: the number of contacts that were found.
    :ivar total: the number of matching contacts, as in `ListLength`.
    :ivar end: the key of the last contact that was found (`Match.key`); empty if no contact was found.
    """

    edition: object
    message: bytes
    found: int
    kind: SearchKind
    total: int = 0
    end: bytes = b""

    def __repr__(self) -> str:
        return "<ListSearch>"


@dataclass(slots=True)
class ListLength:
    """The length of a list, which is known once all contacts of the list were read.

    The object is mutable.

    :ivar total: the number of matching contacts that were found, including the contacts that precede the requested part
        of the list.  If the reader of the list has not asked to count all contacts, the search may end before all
        matching contacts are found.
    :ivar has_more: whether more contacts follow the last contact that was read.
    :ivar search: the list's search; None if the search names a complete number.  A search for a complete number draws
        on the budget for caller-ID books, so its result may change with the budget.
    """

    total: int = 0
    has_more: bool = False
    search: ListSearch | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, repr=False)
class Caller:
    """The contact that a look-up of a number found.

    Most PBXs need only the name, so all other values are read on demand.

    :param numbers: the number that was looked up, as in `PreparedFilter.numbers`.
    :param access: the access of the login that has looked the number up.
    :param formatter: formats numbers for the login, or None if the login uses the tenant's format.
    """

    entry: Entry
    numbers: Sequence[NamedNumber]
    directory: Directory
    access: Access
    formatter: NumberFormatter | None = None

    @property
    def name(self) -> str:
        return self.text("cn")

    def text(self, attribute: str) -> str:
        """Return the first value of an attribute; empty if the login sees no value."""
        return text_of(self.entry, attribute, self.formatter)

    @property
    def photo(self) -> bytes:
        """Return the photo as JPEG; empty if the contact has no photo."""
        return next(iter(self.entry.attribute("jpegPhoto")), b"")

    @property
    def number(self) -> tuple[str, str]:
        """Return the number in the format for phones, and its kind: mobile, home, fax, pager or work.

        If the contact is a company to which the caller perhaps belongs, the number is the number of the switchboard.
        """
        numbers = matching_numbers(self.entry, self.numbers, self.formatter)
        if not numbers:
            return next((number, kind) for attribute, kind in KINDS.items() if (number := self.text(attribute)))
        return next((numbers[attribute][0], kind) for attribute, kind in KINDS.items() if attribute in numbers)

    @property
    def book(self) -> str:
        """Return the name of the contact's book; empty for a caller-ID book, which reveals only names."""
        return book_of(self.entry, self.directory.context)

    @property
    def flags(self) -> ContactFlags:
        return self.directory.flags(self.entry, self.access)


@dataclass(frozen=True, slots=True, repr=False)
class BookReader:
    """The reader of the published directory for logins of phones.

    :ivar budget: returns the budget of a login at a client address (`ldapgw.ldap.admission.CallerIdLimits`).
    :ivar observers: functions that are called after each search, like after a search over LDAP.
    :ivar first_turn_of: waits until a request of a login may begin (`ldapgw.ldap.turns.TurnScheduler`).
    :ivar turn_of: waits for the next turn of a login.
    """

    dit: Callable[[], Dit]
    budget: Callable[[Viewer, str], CallerIdBudget]
    observers: Sequence[Observer]
    seconds: Callable[[], float]
    first_turn_of: TurnOf
    turn_of: TurnOf

    def directory(self, viewer: Viewer) -> Directory | None:
        """Return the directory that a login reads now, or None if there is no directory for the login's tenant."""
        return self.dit().directory(viewer.access[0].tenant)

    def edition(self, viewer: Viewer) -> object | None:
        """Return the edition of the directory that a login reads now, or None if there is no directory."""
        directory = self.directory(viewer)
        return None if directory is None else directory.edition

    async def entries(
        self, viewer: Viewer, address: str, book: AddressBook, asked: Filter, limit: int = 0
    ) -> tuple[list[Entry], bool]:
        """Return the entries of a book that match a filter, and whether further entries match.

        :param limit: the maximum number of entries to return; 0 if there is no limit.
        """
        started = self.seconds()
        await self.first_turn_of(viewer.login)
        cursor = SearchCursor((book.scope,), (prepare(asked, book.scope.context),))
        found: list[Entry] = []
        while not cursor.finished and not (limit and len(found) > limit):
            for batch in cursor.next(_SLICE):
                found += batch.entries()
            if not cursor.finished:
                await self.turn_of(viewer.login)
        has_more = bool(limit) and len(found) > limit
        found = found[:limit] if has_more else found
        self._log(viewer, address, _book_search(book, asked, len(found)), started)
        return found, has_more

    async def log_whole(self, viewer: Viewer, address: str, book: AddressBook) -> None:
        """Wait for the login's turn, then log that the login has read a whole book."""
        await self.repeat(viewer, address, _book_search(book, PERSON, len(book)))

    async def find_caller(
        self, viewer: Viewer, address: str, number: str, *, may_be_for_callers: bool = True
    ) -> Caller | None:
        """Return the first contact that a phone's search for a complete number finds, or None for no contact.

        :param may_be_for_callers: whether a contact of a caller-ID book is returned too.
        """
        started, access = self.seconds(), viewer.access[0]
        await self.first_turn_of(viewer.login)
        directory = self.dit().directory(access.tenant)
        if directory is None or len(number) > MAX_NUMBER:
            return None
        asked = number_filter(number, directory.context)
        request = SearchRequest(
            str(directory.context.base), Scope.WHOLE_SUBTREE, asked, size_limit=1, attributes=LIST_ATTRIBUTES
        )
        scopes = self.dit().tenant_scopes(viewer, directory.context)
        prepared = prepare(asked, scopes[0].context)  # this context has the area code of the phone's site
        cursor = self._cursor(viewer, address, scopes, prepared)
        found: Caller | None = None
        while found is None and not cursor.finished:
            batches = cursor.next(1)
            for batch in batches:
                entry = batch.segment.entries[batch.documents[0]]
                caller = Caller(entry, prepared.numbers, directory, access, viewer.number_formatter)
                found = caller if may_be_for_callers or caller.book else None
            if not batches and not cursor.finished:
                await self.turn_of(viewer.login)
        self._log(viewer, address, _search(directory, request, int(found is not None)), started)
        return found

    async def contacts(
        self,
        viewer: Viewer,
        address: str,
        query: ListQuery,
        length: ListLength,
        *,
        has_flags: bool = False,
        has_origin: bool = False,
        counts_all: bool = False,
        before: ListSearch | None = None,
    ) -> AsyncIterator[list[ListedContact]]:
        """Yield the contacts of a list in the phones' order, in parts; each turn of the reactor reads one part.

        :param length: the length of the list, which is set when the last contact has been read.
        :param has_flags: whether to look up the flags of contacts, which takes a while for a long list.
        :param has_origin: whether to look up the ids, books and labels of contacts, which takes even longer.
        :param counts_all: whether to count also the matching contacts behind the list's end.
        :param before: the search that has found the contacts directly in front of the list, or None.  If the directory
            is still the same, the search continues behind the last contact of `before`, and the total of `before` stays
            valid.
        """
        started, access = self.seconds(), viewer.access[0]
        await self.first_turn_of(viewer.login)
        dit = self.dit()
        directory = dit.directory(access.tenant)
        if directory is None or len(query.number) > MAX_NUMBER:
            return
        context, login = directory.context, viewer.login
        own = directory.own_books(access) if query.book is BookChoice.OWN else ()
        # A search over LDAP covers either one book or the whole tenant.  So the request for several own books names the
        # tenant.
        name = DIRECTORY if query.book is BookChoice.DIRECTORY else own[0].name if len(own) == 1 else ""
        base = str(context.base.child("ou", name) if name else context.base)
        asked = list_filter(query, context)
        request = SearchRequest(base, Scope.WHOLE_SUBTREE, asked, query.count, attributes=LIST_ATTRIBUTES)
        scopes = _scopes(dit, viewer, context, query.book, base)
        if not scopes:
            return
        prepared = prepare(asked, scopes[0].context)  # this context has the area code of the phone's site
        end = before.end if before is not None and before.edition is directory.edition else b""
        total = before.total if before is not None and end else 0
        length.total = query.first if end else 0
        cursor = self._cursor(viewer, address, scopes, prepared, end)
        given, flags = 0, FlagReader(directory, access)
        part_size = _SLOW_SLICE if viewer.number_formatter else _SLICE
        while not cursor.finished:
            for batch in cursor.next(_COUNTED if counts_all and given == query.count else part_size):
                start = max(0, query.first - length.total)
                length.total += len(batch)
                entries = batch.part(start, start + query.count - given).entries() if given < query.count else ()
                part: list[ListedContact] = []
                for entry in entries:
                    if has_origin:
                        for _ in flags.read_names(entry):
                            await self.turn_of(login)
                        listed = listed_contact(entry, flags.flags(entry), viewer.number_formatter)
                        listed = listed._replace(id=contact_id(entry, context, ""), book=book_of(entry, context))
                    else:
                        marks = flags.marks(entry) if has_flags else NO_FLAGS
                        listed = listed_contact(entry, marks, viewer.number_formatter)
                    part.append(listed)
                if entries:
                    given += len(part)
                    end = batch.key_prefix + entries[-1].sort_key
                yield part
            if length.total > query.first + query.count:
                length.has_more = True
                if not counts_all or total:
                    length.total = max(length.total, total)
                    break
            if not cursor.finished:
                await self.turn_of(login)
        search = _search(directory, request, given)._replace(total=length.total, end=end)
        self._log(viewer, address, search, started)
        length.search = None if prepared.numbers else search

    async def repeat(self, viewer: Viewer, address: str, search: ListSearch) -> None:
        """Wait until a request of the login may begin, then log a search whose result the caller already has.

        The result is the former answer to the same search, or all contacts of a book.
        """
        started = self.seconds()
        await self.first_turn_of(viewer.login)
        self._log(viewer, address, search, started)

    def _cursor(
        self, viewer: Viewer, address: str, scopes: Sequence[SearchScope], prepared: PreparedFilter, after: bytes = b""
    ) -> SearchCursor:
        return SearchCursor(scopes, [prepared] * len(scopes), after, self.budget(viewer, address))

    def _log(self, viewer: Viewer, address: str, search: ListSearch, started: float) -> None:
        seconds = self.seconds() - started
        finished = FinishedSearch(
            viewer.login, address, search.message, search.found, ResultCode.SUCCESS, seconds, search.kind
        )
        for observe in self.observers:
            observe(finished)


def _scopes(dit: Dit, viewer: Viewer, context: NamingContext, choice: BookChoice, base: str) -> tuple[SearchScope, ...]:
    """Return the scopes of the search for a list; empty if the phone sees no book of the choice."""
    if choice is BookChoice.ALL:
        return dit.tenant_scopes(viewer, context)
    if choice is BookChoice.OWN:
        return own_scopes(dit, viewer)
    if choice is BookChoice.SHARED:
        return shared_scopes(dit, viewer)
    try:
        return search_scopes(dit, viewer, base, Scope.WHOLE_SUBTREE)
    except DirectoryError:
        return ()


def _book_search(book: AddressBook, asked: Filter, found: int) -> ListSearch:
    request = SearchRequest(str(book.base), Scope.WHOLE_SUBTREE, asked)
    return ListSearch(book, encode_search(request), found, search_kind(request))


def _search(directory: Directory, request: SearchRequest, found: int) -> ListSearch:
    return ListSearch(directory.edition, encode_search(request), found, search_kind(request))


def photo_png(jpeg: bytes) -> bytes:
    from PIL import Image  # the import is here, because most gateways serve no pictures

    with Image.open(BytesIO(jpeg), formats=("JPEG",)) as photo:
        return _png(photo)


def initials_png(name: str) -> bytes:
    """Draw the initials of a name as PNG; the name determines the colour."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("RGB", (PICTURE_SIZE, PICTURE_SIZE), _COLOURS[crc32(name.encode()) % len(_COLOURS)])
    font = ImageFont.load_default(_FONT_SIZE)
    ImageDraw.Draw(picture).text((PICTURE_SIZE / 2, PICTURE_SIZE / 2), initials(name), _WHITE, font, anchor="mm")
    return _png(picture)


def initials(name: str) -> str:
    """Return the first letters of the first and the last word, or "#" if no word begins with a letter.

    The letters are Latin, because the font has no other letters.
    """
    words = [word for word in collation_key(name).split() if word[0].isalpha()]
    return "".join(word[0].upper() for word in (words[0], *words[1:][-1:])) if words else "#"


def _png(picture: Image.Image) -> bytes:
    written = BytesIO()
    picture.save(written, "PNG")
    return written.getvalue()
