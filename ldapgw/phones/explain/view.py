# SPDX-License-Identifier: MIT
"""The views of a directory in which explanations search: a phone's view, and the view of a single book."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from ldapgw.directory import name_folding
from ldapgw.directory.access import Access, SeenBook, TenantViewer, Viewer
from ldapgw.directory.book import Book
from ldapgw.directory.dedup import is_same_person
from ldapgw.directory.dit import ContactFlags, Directory, Dit
from ldapgw.directory.dn import Dn
from ldapgw.directory.entry import Entry, NumberFormatter
from ldapgw.directory.filter import Filter, Scope, SearchRequest, Substrings
from ldapgw.directory.naming_context import NamingContext, at_site
from ldapgw.directory.search import search
from ldapgw.directory.segment import Segment
from ldapgw.directory.special_entries import Features
from ldapgw.errors import DirectoryError, ResultCode

# At most this many candidates are read from one book for one filter, so that an explanation does not take too long.
MAX_CANDIDATES = 2000


class PhoneSearchResult:
    """The result of a phone's search.

    :ivar complete: false if a limit has cut the result.
    """

    def __init__(self, entries: tuple[Entry, ...], context: NamingContext, *, complete: bool, per_number: bool) -> None:
        self.entries = entries
        self.complete = complete
        identities = [(book_of(entry, context), text_of(entry, "uid")) for entry in entries]
        self._contacts = frozenset((book, uid.rpartition("-")[0] if per_number else uid) for book, uid in identities)
        self._callers = _by_name(entry for entry, (_, uid) in zip(entries, identities, strict=True) if not uid)
        self._entries_by_name = _by_name(entries)

    def has_contact(self, book: str, uid: str) -> bool:
        """Return whether the result has a contact: as one entry, or as entries for the contact's numbers."""
        return (book, uid) in self._contacts

    def has_caller(self, entry: Entry) -> bool:
        """Return whether the result has an entry from a caller-ID book that is the same person as `entry`."""
        return any(is_same_person(entry, caller) for caller in self._callers.get(_name_key(entry), ()))

    def find_duplicate(self, entry: Entry) -> Entry | None:
        """Return the result's entry from another book that is the same person as `entry`, or None."""
        book = entry.parent.uuid_namespace
        of_name = self._entries_by_name.get(_name_key(entry), ())
        others = (other for other in of_name if other.parent.uuid_namespace != book)
        return next((other for other in others if is_same_person(other, entry)), None)


@dataclass(frozen=True, slots=True)
class PhoneView:
    """The directory as one phone sees it.

    :ivar dit: the tree of all books that the phone sees, including caller-ID books.
    :ivar tenant: name of a tenant to which the viewer has access.
    """

    dit: Dit
    viewer: Viewer
    tenant: str

    @property
    def context(self) -> NamingContext:
        """Return the tenant's naming context, with the area code of the phone's site."""
        context = self._directory.context
        return at_site(context, self.viewer.area_code) if self.viewer.area_code else context

    @property
    def tenant_viewer(self) -> TenantViewer:
        """Return the phone as a viewer within the tenant."""
        return self._directory.viewer(self._access)

    def flags(self, entry: Entry) -> ContactFlags:
        """Return the flags of an entry that the phone finds."""
        return self._directory.flags(entry, self._access)

    def books(self) -> tuple[SeenBook, ...]:
        """Return the books that the phone sees."""
        return self._directory.seen_books(self._access)

    def segments(self) -> Iterator[Segment]:
        """Yield the segments of the books that the phone can browse."""
        for seen in self.books():
            if seen.is_browsed:
                yield from seen.book.segments.form(per_number=self.viewer.per_number)

    def hidden_books(self) -> Iterator[Book]:
        """Yield the tenant's books that the phone does not see, or sees only in part (a label's contacts)."""
        whole = {seen.book.key for seen in self.books() if not seen.is_label}
        return (book for book in self._directory.books if book.key not in whole)

    def search(self, search_filter: Filter, base: str, size_limit: int) -> PhoneSearchResult:
        """Search the subtree of a base as the phone does.

        :raises DirectoryError: if the base is no DN, or the phone sees no such entry.
        """
        request = SearchRequest(base, Scope.WHOLE_SUBTREE, search_filter, size_limit=size_limit)
        entries: list[Entry] = []
        complete = True
        try:
            entries.extend(entry for entry in search(self.dit, self.viewer, request) if entry is not None)
        except DirectoryError as error:
            if error.code is not ResultCode.SIZE_LIMIT_EXCEEDED:
                raise
            complete = False
        return PhoneSearchResult(tuple(entries), self.context, complete=complete, per_number=self.viewer.per_number)

    @property
    def _directory(self) -> Directory:
        directory = self.dit.directory(self.tenant)
        if directory is None:
            raise KeyError(self.tenant)
        return directory

    @property
    def _access(self) -> Access:
        return next(access for access in self.viewer.access if access.tenant == self.tenant)


def _by_name(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Return the entries grouped by the collation key of the name, which all entries of one person share."""
    entries_by_name: dict[str, list[Entry]] = {}
    for entry in entries:
        entries_by_name.setdefault(_name_key(entry), []).append(entry)
    return entries_by_name


def _name_key(entry: Entry) -> str:
    return name_folding.collation_key(name_of(entry))


class BookSearch:
    """A single book, searched as the phones of the book's owner search it."""

    def __init__(self, context: NamingContext, features: Features, book: Book) -> None:
        self.name = book.name
        self._context = context
        self._dit = Dit((Directory(context, (book,)),), features)
        self._access = (Access(context.name, (book.key,)),)

    def candidates(self, search_filter: Filter, *, per_number: bool = False) -> Iterator[Entry]:
        """Yield the contacts that match, in the order of the search, at most `MAX_CANDIDATES`."""
        viewer = Viewer(access=self._access, per_number=per_number)
        request = SearchRequest(str(self._context.base), Scope.WHOLE_SUBTREE, search_filter)
        contacts = (entry for entry in search(self._dit, viewer, request) if entry and entry.attribute("uid"))
        return islice(contacts, MAX_CANDIDATES)

    def matches(self, entry: Entry, search_filter: Filter) -> bool:
        """Return whether an entry of the book fulfils a filter."""
        request = SearchRequest(entry.dn, Scope.BASE_OBJECT, search_filter)
        return any(search(self._dit, Viewer(access=self._access), request))

    def number_entries(self, uid: str) -> tuple[Entry, ...]:
        """Return the entries of a contact for phones that get one entry per number."""
        prefix = f"{uid}-".encode()
        entries = self.candidates(Substrings("uid", prefix, (), None), per_number=True)
        return tuple(entry for entry in entries if text_of(entry, "uid").rpartition("-")[0] == uid)


def texts_of(entry: Entry, attribute: str, formatter: NumberFormatter | None = None) -> list[str]:
    """Return the values of an attribute.

    :param formatter: converts numbers to another format than the tenant's format.
    """
    return [value.decode("utf-8", "replace") for value in entry.attribute(attribute, formatter)]


def text_of(entry: Entry, attribute: str, formatter: NumberFormatter | None = None) -> str:
    """Return the first value of an attribute (`texts_of`); empty if the entry has no value."""
    return next(iter(texts_of(entry, attribute, formatter)), "")


def name_of(entry: Entry) -> str:
    """Return the name of an entry; for a container the value of its RDN."""
    return text_of(entry, "cn") or Dn.parse(entry.dn).rdns[0][0][1]


def book_of(entry: Entry, context: NamingContext) -> str:
    """Return the name of an entry's book; empty for the tenant's own entry, and for an entry from a caller-ID book."""
    rdns_below_base = Dn.parse(entry.dn).rdns[: -len(context.base.rdns)]
    attribute_name, value = rdns_below_base[-1][0] if rdns_below_base else ("", "")
    return value if attribute_name == "ou" else ""
