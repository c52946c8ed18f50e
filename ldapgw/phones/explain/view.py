# SPDX-License-Identifier: MIT
"""A phone before the directory of its tenant: which books it sees, and what it is answered.

One book, searched as its owner would: through the very search that phones use.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from ldapgw.directory import name_folding
from ldapgw.directory.access import Access, NamingContext, Viewer
from ldapgw.directory.book import DIRECTORY, Book
from ldapgw.directory.dedup import is_same_person
from ldapgw.directory.dit import Directory, Dit, Features
from ldapgw.directory.dn import Dn
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import Filter, Scope, SearchRequest, Substrings
from ldapgw.directory.search import search
from ldapgw.directory.segment import Segment
from ldapgw.errors import DirectoryError, ResultCode
from ldapgw.phones.explain.model import BookAccess


class PhoneSearchResult:
    """What a phone is answered.

    :ivar entries: in their order.
    :ivar complete: false where a limit has cut them.
    """

    def __init__(self, entries: tuple[Entry, ...], context: NamingContext, *, complete: bool, per_number: bool) -> None:
        self.entries = entries
        self.complete = complete
        found = [(book_of(entry, context), uid_of(entry)) for entry in entries]
        self._contacts = frozenset((book, uid.rpartition("-")[0] if per_number else uid) for book, uid in found)
        self._callers = _by_name(entry for entry, (_, uid) in zip(entries, found, strict=True) if not uid)
        self._entries_by_name = _by_name(entries)

    def has_contact(self, book: str, uid: str) -> bool:
        """Whether a contact is among them, whole or by one of its numbers."""
        return (book, uid) in self._contacts

    def has_caller(self, entry: Entry) -> bool:
        """Whether the name of a contact is told as a caller's."""
        return any(is_same_person(entry, caller) for caller in self._callers.get(_name_key(entry), ()))

    def find_duplicate(self, entry: Entry) -> Entry | None:
        """An entry among them that is the same person, for whose sake another is left out."""
        return next(
            (other for other in self._entries_by_name.get(_name_key(entry), ()) if is_same_person(other, entry)), None
        )


@dataclass(frozen=True, slots=True)
class PhoneView:
    """A phone and its tenant.

    :ivar dit: with all books that the phone sees, the callers' books among them.
    :ivar tenant: the tenant's name; the viewer has access to it.
    """

    dit: Dit
    viewer: Viewer
    tenant: str

    @property
    def context(self) -> NamingContext:
        """The tenant as the directory knows it."""
        return self._directory.context

    def books(self) -> Iterator[tuple[Book, BookAccess]]:
        """The books that the phone sees, and how."""
        access = self._access
        for book in self._directory.visible_books(access):
            shared = BookAccess.DIRECTORY if book.name == DIRECTORY else BookAccess.SHARED
            yield book, BookAccess.OWN if book.key == access.book else shared
        for book in self._directory.caller_id_books(access):
            yield book, BookAccess.CALLERS

    def segments(self) -> Iterator[Segment]:
        """The contacts of the books that the phone can browse, as they stand in the books' indexes."""
        for book in self._directory.visible_books(self._access):
            yield from book.segments.form(per_number=self.viewer.per_number)

    def hidden_books(self) -> Iterator[Book]:
        """The tenant's other books, as far as they are in the tree."""
        seen = {book.key for book, _ in self.books()}
        return (book for book in self._directory.books if book.key not in seen)

    def search(self, search_filter: Filter, base: str, size_limit: int) -> PhoneSearchResult:
        """What the phone is answered.

        :raises DirectoryError: when the base is no DN, or there is no such entry for this phone.
        """
        request = SearchRequest(base, Scope.WHOLE_SUBTREE, search_filter, size_limit=size_limit)
        found: list[Entry] = []
        complete = True
        try:
            found.extend(entry for entry in search(self.dit, self.viewer, request) if entry is not None)
        except DirectoryError as error:
            if error.code is not ResultCode.SIZE_LIMIT_EXCEEDED:
                raise
            complete = False
        return PhoneSearchResult(tuple(found), self.context, complete=complete, per_number=self.viewer.per_number)

    @property
    def _directory(self) -> Directory:
        found = self.dit.directory(self.tenant)
        if found is None:
            raise KeyError(self.tenant)
        return found

    @property
    def _access(self) -> Access:
        return next(access for access in self.viewer.access if access.tenant == self.tenant)


def _by_name(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Entries by what two for the same person share."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(_name_key(entry), []).append(entry)
    return found


def _name_key(entry: Entry) -> str:
    return name_folding.collation_key(name_of(entry))


# Bounds what one filter can cost in one book.
MAX_CANDIDATES = 2000


class BookSearch:
    """A book of a tenant, alone."""

    def __init__(self, context: NamingContext, features: Features, book: Book) -> None:
        self.name = book.name
        self._context = context
        self._dit = Dit((Directory(context, (book,)),), features)
        self._access = (Access(context.name, book.key),)

    def candidates(self, search_filter: Filter, *, per_number: bool = False) -> Iterator[Entry]:
        """The contacts that match, in their order; no more than `MOST_CANDIDATES`."""
        viewer = Viewer(access=self._access, per_number=per_number)
        request = SearchRequest(str(self._context.base), Scope.WHOLE_SUBTREE, search_filter)
        found = (entry for entry in search(self._dit, viewer, request) if entry and entry.attribute("uid"))
        return islice(found, MAX_CANDIDATES)

    def matches(self, entry: Entry, search_filter: Filter) -> bool:
        """Whether one of its contacts fulfils a filter."""
        request = SearchRequest(entry.dn, Scope.BASE_OBJECT, search_filter)
        return any(search(self._dit, Viewer(access=self._access), request))

    def number_entries(self, uid: str) -> tuple[Entry, ...]:
        """The entries of a contact's numbers, for phones that get one for each."""
        start = f"{uid}-".encode()
        found = self.candidates(Substrings("uid", start, (), None), per_number=True)
        return tuple(entry for entry in found if uid_of(entry).rpartition("-")[0] == uid)


def uid_of(entry: Entry) -> str:
    """The uid of an entry; empty for one that tells a caller's name alone."""
    return next((value.decode() for value in entry.attribute("uid")), "")


def name_of(entry: Entry) -> str:
    """What an entry is called; one of the tree itself by the value of its RDN."""
    return next((value.decode() for value in entry.attribute("cn")), "") or Dn.parse(entry.dn).rdns[0][0][1]


def book_of(entry: Entry, context: NamingContext) -> str:
    """The name of the book that an entry is in; empty for the tenant's own entry, and for a caller's."""
    above = Dn.parse(entry.dn).rdns[: -len(context.base.rdns)]
    kind, name = above[-1][0] if above else ("", "")
    return name if kind == "ou" else ""
