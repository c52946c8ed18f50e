# SPDX-License-Identifier: MIT
"""What phones find, as the pages show it: values, and who looks them up.

Looks up what phones find, for the pages: through the very directory that phones search, in slices as they do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from ldapgw.directory.access import Access, Viewer
from ldapgw.directory.dit import Dit
from ldapgw.directory.dn import Dn
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import And, Equality, Filter, Or, Present, Scope, SearchRequest
from ldapgw.directory.search import search
from ldapgw.phones.explain.query import typeahead_filter


@dataclass(frozen=True, slots=True, repr=False)
class ContactSummary:
    """One entry.

    :ivar numbers: each once, as phones get it, with the LDAP attribute that holds it.
    :ivar book: of whose book it is; empty for a caller of a book that cannot be browsed.
    """

    name: str
    organization: str
    numbers: tuple[tuple[str, str], ...]
    mails: tuple[str, ...]
    book: str


@dataclass(frozen=True, slots=True, repr=False)
class LookupResult:
    """What a search has found.

    :ivar complete: false when there is more.
    """

    contacts: tuple[ContactSummary, ...] = ()
    complete: bool = True


class Finder(Protocol):
    """Looks up the directory as phones do."""

    def find(self, tenant: str, books: Iterable[str], text: str) -> Awaitable[LookupResult]:
        """What the phones of some accounts find for a name or a number, while it is typed.

        :param books: the keys (``sub``) of the accounts.
        """

    def example(self, tenant: str, book: str) -> Awaitable[ContactSummary | None]:
        """A contact of a book with a name and a number, to explain things by; None when there is none.

        :param book: its key.
        """


# As many as a person looks through before they type one more letter.
MAX_CONTACTS = 20

_NUMBERS = ("telephoneNumber", "mobile", "homePhone")
_SHOWN_NUMBERS = (*_NUMBERS, "facsimileTelephoneNumber", "pager")
# Contacts, and not the tree that they stand in.
_CONTACT = Equality("objectClass", b"person")


class DirectoryFinder:
    """Finds what phones would.

    :param dit: the directories as they are now.
    :param bases: by tenant, what its entries stand under.
    :param clock: gives way to others between two slices.
    """

    def __init__(self, dit: Callable[[], Dit], bases: Mapping[str, Dn], clock: IReactorTime) -> None:
        self._dit = dit
        self._bases = bases
        self._clock = clock

    async def find(self, tenant: str, books: Iterable[str], text: str) -> LookupResult:
        """What the phones of some accounts find for a name or a number, while it is typed.

        :param books: the keys of the accounts; without one, what a phone without an account finds.
        """
        sought = " ".join(text.split())
        if not sought:
            return LookupResult()
        base = self._bases[tenant]
        entries: dict[str, Entry] = {}
        for book in tuple(books) or ("",):
            for entry in await self._search(tenant, book, base, typeahead_filter(sought), MAX_CONTACTS + 1):
                entries.setdefault(entry.dn, entry)
        hits = tuple(_contact_summary(entry, base) for entry in entries.values())
        return LookupResult(hits[:MAX_CONTACTS], complete=len(hits) <= MAX_CONTACTS)

    async def example(self, tenant: str, book: str) -> ContactSummary | None:
        """A contact of a book with a name and a number; None when there is none."""
        asked = And((_CONTACT, Present("givenName"), Or(tuple(Present(attribute) for attribute in _NUMBERS))))
        base = self._bases[tenant]
        books = (one for each in self._dit().directories if each.context.name == tenant for one in each.books)
        name = next((one.name for one in books if one.key == book), None)
        if name is None:  # it is not built yet
            return None
        found = await self._search(tenant, book, base.child("ou", name), asked, 1)
        return _contact_summary(found[0], base) if found else None

    async def _search(self, tenant: str, book: str, base: Dn, search_filter: Filter, limit: int) -> list[Entry]:
        found: list[Entry] = []
        viewer = Viewer(access=(Access(tenant, book),))
        for entry in search(self._dit(), viewer, SearchRequest(str(base), Scope.WHOLE_SUBTREE, search_filter)):
            if entry is None:
                await deferLater(self._clock, 0)
                continue
            found.append(entry)
            if len(found) == limit:
                break
        return found


def _contact_summary(entry: Entry, base: Dn) -> ContactSummary:
    numbers: dict[str, str] = {}
    for attribute in _SHOWN_NUMBERS:
        for number in _texts(entry, attribute):
            # The best number stands under telephoneNumber too; what it is for, the other attribute says.
            if numbers.get(number, "telephoneNumber") == "telephoneNumber":
                numbers[number] = attribute
    above = Dn.parse(entry.dn).rdns[: -len(base.rdns)]
    kind, name = above[-1][0]
    return ContactSummary(
        name=next(iter(_texts(entry, "cn")), ""),
        organization=next(iter(_texts(entry, "o")), ""),
        numbers=tuple(numbers.items()),
        mails=tuple(_texts(entry, "mail")),
        book=name if kind == "ou" else "",
    )


def _texts(entry: Entry, attribute: str) -> list[str]:
    return [value.decode("utf-8", "replace") for value in entry.attribute(attribute)]
