# SPDX-License-Identifier: MIT
"""The contacts that pages show: all contacts that a phone finds, a single contact by ID, or the result of a search.

A list is the result of a phone's search for all contacts: the list has the contacts that the phone may see, in the
phone's order, without duplicates.  The sections of a list are the first letters of names.  Like a phone's search, a
search for a page lets the reactor do other work at each yield point.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import groupby

from ldapgw.contact import Sharing
from ldapgw.directory.access import Access, Viewer
from ldapgw.directory.book import DIRECTORY, Book, with_sharing
from ldapgw.directory.dit import ContactFlags, Directory, Dit, search_scopes
from ldapgw.directory.dn import Dn
from ldapgw.directory.entry import Entry, number_formatter
from ldapgw.directory.filter import And, Filter, Or, Present, Scope, SearchRequest
from ldapgw.directory.filter_matcher import prepare
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.search import SearchCursor, search
from ldapgw.ldap.turns import TurnOf
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.phones.explain.query import PERSON, typeahead_filter
from ldapgw.phones.explain.view import book_of, text_of, texts_of
from ldapgw.phones.provisioning.settings import NUMBER_ATTRIBUTES

# The number of contacts on a page of the list.
PAGE_SIZE = 50

# Sections besides the letters a to z: starred contacts, if the tenant lists them first; names that begin with a digit;
# and at the end all other names.
STARRED, DIGITS, OTHER = "starred", "digits", "other"
LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
SECTIONS = (STARRED, DIGITS, *LETTERS, OTHER)

# The number of contacts that are read in one turn of the reactor.  A contact takes 50 µs if several books are merged.
_SLICE = 64

# The maximum number of contacts in the result of a search.  People prefer typing another letter to looking through more
# contacts.
MAX_CONTACTS = 20
_SHOWN_NUMBERS = (*NUMBER_ATTRIBUTES, "facsimileTelephoneNumber", "pager")

# In a search with several scopes, starred contacts are the first scope.  Only the keys of the first scope are lower
# than this key (`ldapgw.directory.search`).
_SECOND_SCOPE = b"0001"


@dataclass(frozen=True, slots=True, repr=False)
class BrowsedContact:
    """A contact as the phones of an account see it.

    :ivar id: the contact's id on the pages (`contact_id`); empty for a contact from a caller-ID book, because nobody
        may browse a caller-ID book.
    :ivar book: the key of the contact's book.
    :ivar book_name: the value of the book's ou; empty for a caller-ID book.
    :ivar is_own: whether the book belongs to the reader.
    :ivar section: the contact's section in the list; `STARRED` for a starred contact if the list has starred contacts
        first.
    :ivar flags: the flags from the contact's labels; None in a list.
    """

    id: str
    entry: Entry
    context: NamingContext
    book: str
    book_name: str
    is_own: bool
    section: str
    flags: ContactFlags | None = None

    @property
    def name(self) -> str:
        return text_of(self.entry, "cn")


@dataclass(frozen=True, slots=True, repr=False)
class ContactPage:
    """A page of a list.

    :ivar sections: how many contacts each section has, in the list's order; sections without contacts are left out.
    :ivar section: the section that is listed; empty for all sections.
    :ivar number: the page's number, from 1.
    """

    contacts: tuple[BrowsedContact, ...]
    sections: Mapping[str, int]
    section: str
    number: int

    @property
    def total(self) -> int:
        """Return how many contacts the list has."""
        return sum(self.sections.values())

    @property
    def page_count(self) -> int:
        """Return how many pages the section has, at least 1."""
        count = self.sections.get(self.section, 0) if self.section else self.total
        return max(1, -(-count // PAGE_SIZE))


@dataclass(frozen=True, slots=True)
class BookSizes:
    """The number of contacts that the phones of an account find in each kind of book.

    :ivar own: the number of contacts in the account's own book.
    :ivar directory: the number of contacts in the company directory.
    :ivar shared: the number of contacts that other people share.
    """

    own: int = 0
    directory: int = 0
    shared: int = 0

    @property
    def total(self) -> int:
        """Return the sum; a contact that is in two books counts twice."""
        return self.own + self.directory + self.shared


@dataclass(frozen=True, slots=True, repr=False)
class LookupResult:
    """The contacts that a search has found.

    :ivar complete: false if more contacts match.
    """

    contacts: tuple[BrowsedContact, ...] = ()
    complete: bool = True


def contact_id(entry: Entry, context: NamingContext, own_book: str) -> str:
    """Return a contact's id on the pages: the uid and, unless the book is `own_book`, a digest of the book.

    :param own_book: the key of the reader's first book.
    """
    uid, book = entry.uid.decode(), book_key(entry, context)
    return uid if book == own_book else f"{uid}.{_digest(book)}"


def book_key(entry: Entry, context: NamingContext) -> str:
    return entry.parent.uuid_namespace.removeprefix(f"{context.name}/").partition("/")[0]


def _digest(key: str) -> str:
    return blake2b(key.encode(), digest_size=4).hexdigest()


def section_of(entry: Entry) -> str:
    """Return the section of a contact by its name."""
    first = entry.sort_key[:4].decode("utf-8", "replace")[:1]
    return first if "a" <= first <= "z" else DIGITS if first.isdigit() else OTHER


class ContactBrowser:
    """The browser of the published directory.

    :param turn_of: waits for the next turn of a client (`ldapgw.ldap.turns.TurnScheduler`).
    """

    def __init__(self, dit: Callable[[], Dit], turn_of: TurnOf) -> None:
        self._dit = dit
        self._turn_of = turn_of

    async def page(self, tenant: str, books: Sequence[str], account: str, section: str, number: int) -> ContactPage:
        """Return a page of the contacts that the phones of an account find.

        :param books: the keys (``sub``) of the reader's accounts.
        :param account: the key of the account, which is one of `books`; empty for a phone without an account.
        :param section: one of `SECTIONS`; empty for all sections.
        :param number: the page's number, from 1; a page after the last page is empty.
        """
        dit = self._dit()
        directory = dit.directory(tenant)
        sections: dict[str, int] = {}
        found: list[tuple[Entry, str]] = []
        if directory is None:
            return ContactPage((), sections, section, number)
        start, at = (number - 1) * PAGE_SIZE, 0
        async for name, entries in self._runs(dit, directory, account):
            sections[name] = sections.get(name, 0) + len(entries)
            if section in ("", name):
                found += [(entry, name) for entry in entries[max(0, start - at) : max(0, start + PAGE_SIZE - at)]]
                at += len(entries)
        contacts = tuple(_browsed(entry, directory, books, name) for entry, name in found)
        return ContactPage(contacts, sections, section, number)

    def contact(self, tenant: str, books: Sequence[str], contact: str) -> BrowsedContact | None:
        """Return the contact with an id; None if no phone of the reader's accounts lists the contact.

        :param books: the keys (``sub``) of the reader's accounts; if empty, the books that a phone without an account
            sees.
        :param contact: an id that `contact_id` has made.  If the id has no digest, the contact is in the first book
            that has the uid.
        """
        directory = self._dit().directory(tenant)
        if directory is None:
            return None
        uid, dot, digest = contact.partition(".")
        for account, book in _visible_books(directory, books):
            if dot and _digest(book.key) != digest:
                continue
            for segment in book.segments.contacts:
                document = segment.document_of_uid(uid)
                if document is not None:
                    entry = segment.entries[document]
                    flags = directory.flags(entry, Access(tenant, (account,)))
                    return replace(_browsed(entry, directory, books, section_of(entry)), flags=flags)
        return None

    def sizes(self, tenant: str, account: str) -> BookSizes:
        """Return how many contacts the phones of an account find in each kind of book.

        :param account: the key (``sub``) of the account.
        """
        directory = self._dit().directory(tenant)
        counts: dict[str, int] = {}
        for seen in directory.seen_books(Access(tenant, (account,))) if directory is not None else ():
            if seen.is_browsed:
                kind = {account: "own", DIRECTORY: "directory"}.get(seen.book.key, "shared")
                branch = seen.book.shared_branch if seen.is_label else seen.book
                counts[kind] = counts.get(kind, 0) + (len(branch.segments) if branch is not None else 0)
        return BookSizes(**counts)

    def shared_count(self, tenant: str, book: str, label: str) -> int | None:
        """Return the number of contacts in a book that other people find if the book is shared.

        :param book: the key (``sub``) of the book's account.
        :param label: the name of the label of the shared contacts; empty if all contacts are shared.
        :returns: None when the published directory does not contain the book.
        """
        directory = self._dit().directory(tenant)
        found = directory.book(book) if directory is not None else None
        if found is None:
            return None
        branch = with_sharing(found, Sharing.SHARED, label).shared_branch
        return len(branch.segments) if branch is not None else 0

    async def find(self, tenant: str, books: Sequence[str], text: str) -> LookupResult:
        """Return the contacts that the phones of some accounts find while a name or a number is typed.

        :param books: the keys (``sub``) of the accounts; if empty, the result is what a phone without an account finds.
        """
        query, directory = " ".join(text.split()), self._dit().directory(tenant)
        if not query or directory is None:
            return LookupResult()
        entries: dict[str, Entry] = {}
        base = directory.context.base
        for book in books or ("",):
            for entry in await self._search(tenant, book, base, typeahead_filter(query), MAX_CONTACTS + 1):
                entries.setdefault(entry.dn, entry)
        contacts = tuple(_browsed(entry, directory, books, section_of(entry)) for entry in entries.values())
        return LookupResult(contacts[:MAX_CONTACTS], complete=len(contacts) <= MAX_CONTACTS)

    async def example(self, tenant: str, book: str) -> tuple[str, str] | None:
        """Return the full name and a number of a contact that has a first name, or None if there is no such contact.

        The number has the format of the tenant's phones.

        :param book: the book's key.
        """
        example_filter = And(
            (PERSON, Present("givenName"), Or(tuple(Present(attribute) for attribute in NUMBER_ATTRIBUTES)))
        )
        directory = self._dit().directory(tenant)
        own_book = directory.book(book) if directory is not None else None
        if directory is None or own_book is None:  # the book is not built yet
            return None
        base = directory.context.base.child("ou", own_book.name)
        for entry in await self._search(tenant, book, base, example_filter, 1):
            return text_of(entry, "cn"), next(iter(numbers_of(entry, directory.context, None)))
        return None

    async def _search(self, tenant: str, book: str, base: Dn, search_filter: Filter, limit: int) -> list[Entry]:
        entries: list[Entry] = []
        viewer = Viewer(access=(Access(tenant, (book,)),))
        for entry in search(self._dit(), viewer, SearchRequest(str(base), Scope.WHOLE_SUBTREE, search_filter)):
            if entry is None:  # the search is at a yield point
                await self._turn_of(f"page of {book}")
                continue
            entries.append(entry)
            if len(entries) == limit:
                break
        return entries

    async def _runs(self, dit: Dit, directory: Directory, account: str) -> AsyncIterator[tuple[str, list[Entry]]]:
        """Yield the sections of a list, each with entries of this section."""
        base, viewer = str(directory.context.base), Viewer(access=(Access(directory.context.name, (account,)),))
        scopes = search_scopes(dit, viewer, base, Scope.WHOLE_SUBTREE)
        cursor = SearchCursor(scopes, [prepare(PERSON, directory.context)] * len(scopes))
        while not cursor.finished:
            for batch in cursor.next(_SLICE):
                # A viewer's starred contacts are the first scope of the search, before all other contacts.
                if len(scopes) > 1 and batch.key_prefix < _SECOND_SCOPE:
                    yield STARRED, batch.entries()
                    continue
                for section, run in groupby(batch.entries(), section_of):
                    yield section, [*run]
            if not cursor.finished:
                await self._turn_of(f"page of {account}")


def _visible_books(directory: Directory, books: Sequence[str]) -> Iterator[tuple[str, Book]]:
    """Yield the books that a reader may browse, own books first, each with an account that may see the book."""
    for key in books:
        own_book = directory.book(key)
        if own_book is not None:
            yield key, own_book
    for key in books or ("",):
        for seen in directory.seen_books(Access(directory.context.name, (key,))):
            if seen.is_browsed:
                yield key, seen.book


def _browsed(entry: Entry, directory: Directory, books: Sequence[str], section: str) -> BrowsedContact:
    context = directory.context
    key, name = book_key(entry, context), book_of(entry, context)
    return BrowsedContact(
        id=contact_id(entry, context, books[0] if books else "") if name else "",
        entry=entry,
        context=context,
        book=key,
        book_name=name,
        is_own=key in books,
        section=section,
    )


def numbers_of(
    entry: Entry, context: NamingContext, number_format: NumberFormat | None = NumberFormat.E164
) -> dict[str, str]:
    """Return the numbers of an entry, in E.164 if the country is known, each with the LDAP attribute for its kind.

    :param number_format: another format; None for the format in which the tenant's phones get the numbers.
    """
    numbers: dict[str, str] = {}
    formatter = number_formatter(number_format, context)
    for attribute in _SHOWN_NUMBERS:
        for number in texts_of(entry, attribute, formatter):
            # telephoneNumber may repeat a number of another attribute.  The name of the other attribute then tells the
            # kind.
            if numbers.get(number, "telephoneNumber") == "telephoneNumber":
                numbers[number] = attribute
    return numbers
