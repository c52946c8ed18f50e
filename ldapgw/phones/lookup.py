# SPDX-License-Identifier: MIT
"""Looks up contacts for the pages with the directory search that phones use.

Like a phone's search, a lookup gives way to the reactor at each yield point.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ldapgw.directory.access import Access, Viewer
from ldapgw.directory.dit import Dit
from ldapgw.directory.dn import Dn
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import And, Equality, Filter, Or, Present, Scope, SearchRequest
from ldapgw.directory.naming_context import NamingContext, number_formatter
from ldapgw.directory.number_formatter import NumberFormatter
from ldapgw.directory.search import search
from ldapgw.ldap.turns import TurnOf
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.phones.contact_browser import contact_id
from ldapgw.phones.explain.query import typeahead_filter

# A person looks through this many contacts before they type one more letter.
MAX_CONTACTS = 20

_NUMBERS = ("telephoneNumber", "mobile", "homePhone")
_SHOWN_NUMBERS = (*_NUMBERS, "facsimileTelephoneNumber", "pager")
# Matches contacts only, not the containers above them.
_CONTACT = Equality("objectClass", b"person")


@dataclass(frozen=True, slots=True, repr=False)
class ContactSummary:
    """A contact as a page shows the contact.

    :ivar numbers: pairs of a number, in E.164 where the country is known, and the LDAP attribute that holds the number;
        no number twice.
    :ivar book: name of the contact's book; empty for a contact from a caller-ID book, which cannot be browsed.
    :ivar id: the contact's id on the pages (`contact_id`); empty where there is no book.
    """

    name: str
    organization: str
    numbers: tuple[tuple[str, str], ...]
    mails: tuple[str, ...]
    book: str
    id: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class LookupResult:
    """The contacts that a lookup has found.

    :ivar complete: false if more contacts match.
    """

    contacts: tuple[ContactSummary, ...] = ()
    complete: bool = True


class Finder(Protocol):
    """Looks up contacts as phones do."""

    def find(self, tenant: str, books: Iterable[str], text: str) -> Awaitable[LookupResult]:
        """Return the contacts that the phones of some accounts find while a name or a number is typed.

        :param books: the keys (``sub``) of the accounts; if empty, the lookup is that of a phone without an account.
        """

    def example(self, tenant: str, book: str) -> Awaitable[ContactSummary | None]:
        """Return a contact of a book with a given name and a number, to serve as an example; None if there is none.

        :param book: the book's key.
        """


class DirectoryFinder:
    """Looks up contacts in the served directory.

    :param dit: returns the directory tree that phones are served now.
    :param bases: the base DN of each tenant, by the tenant's name.
    :param turn_of: waits for the turn of who asks (`ldapgw.ldap.turns.TurnScheduler`).
    """

    def __init__(self, dit: Callable[[], Dit], bases: Mapping[str, Dn], turn_of: TurnOf) -> None:
        self._dit = dit
        self._bases = bases
        self._turn_of = turn_of

    async def find(self, tenant: str, books: Iterable[str], text: str) -> LookupResult:
        query = " ".join(text.split())
        if not query:
            return LookupResult()
        base, directory = self._bases[tenant], self._dit().directory(tenant)
        if directory is None:
            return LookupResult()
        entries: dict[str, Entry] = {}
        own_books = tuple(books) or ("",)
        for book in own_books:
            for entry in await self._search(tenant, book, base, typeahead_filter(query), MAX_CONTACTS + 1):
                entries.setdefault(entry.dn, entry)
        contacts = tuple(_contact_summary(entry, directory.context, own_books[0]) for entry in entries.values())
        return LookupResult(contacts[:MAX_CONTACTS], complete=len(contacts) <= MAX_CONTACTS)

    async def example(self, tenant: str, book: str) -> ContactSummary | None:
        example_filter = And((_CONTACT, Present("givenName"), Or(tuple(Present(attribute) for attribute in _NUMBERS))))
        directory = self._dit().directory(tenant)
        own_book = directory.own_book(Access(tenant, book)) if directory is not None else None
        if directory is None or own_book is None:  # the book is not built yet
            return None
        base = self._bases[tenant].child("ou", own_book.name)
        entries = await self._search(tenant, book, base, example_filter, 1)
        return _contact_summary(entries[0], directory.context, book) if entries else None

    async def _search(self, tenant: str, book: str, base: Dn, search_filter: Filter, limit: int) -> list[Entry]:
        entries: list[Entry] = []
        viewer = Viewer(access=(Access(tenant, book),))
        for entry in search(self._dit(), viewer, SearchRequest(str(base), Scope.WHOLE_SUBTREE, search_filter)):
            if entry is None:  # a yield point
                await self._turn_of(f"page of {book}")
                continue
            entries.append(entry)
            if len(entries) == limit:
                break
        return entries


def _contact_summary(entry: Entry, context: NamingContext, own_book: str) -> ContactSummary:
    numbers = numbers_of(entry, context)
    rdns_below_base = Dn.parse(entry.dn).rdns[: -len(context.base.rdns)]
    attribute_name, book = rdns_below_base[-1][0]
    return ContactSummary(
        name=next(iter(texts_of(entry, "cn")), ""),
        organization=next(iter(texts_of(entry, "o")), ""),
        numbers=tuple(numbers.items()),
        mails=tuple(texts_of(entry, "mail")),
        book=book if attribute_name == "ou" else "",
        id=contact_id(entry, context, own_book) if attribute_name == "ou" else "",
    )


def numbers_of(entry: Entry, context: NamingContext) -> dict[str, str]:
    """The numbers of an entry, in E.164 where the country is known, with the LDAP attribute that says their kind."""
    numbers: dict[str, str] = {}
    formatter = number_formatter(NumberFormat.E164, context)
    for attribute in _SHOWN_NUMBERS:
        for number in texts_of(entry, attribute, formatter):
            # telephoneNumber repeats the best number; the other attribute tells the number's type.
            if numbers.get(number, "telephoneNumber") == "telephoneNumber":
                numbers[number] = attribute
    return numbers


def texts_of(entry: Entry, attribute: str, formatter: NumberFormatter | None = None) -> list[str]:
    """The values of an attribute.

    :param formatter: gives numbers another format than the tenant's.
    """
    return [value.decode("utf-8", "replace") for value in entry.attribute(attribute, formatter)]
