# SPDX-License-Identifier: MIT
"""One book, searched as its owner would: through the very search that phones use."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from ldapgw.directory.book import Book
from ldapgw.directory.dit import Directory, Dit, Features
from ldapgw.directory.dn import Dn
from ldapgw.directory.entry import Entry
from ldapgw.directory.filters import Filter, Scope, SearchRequest, Substrings
from ldapgw.directory.naming import NamingContext
from ldapgw.directory.search import search
from ldapgw.directory.viewer import Access, Viewer

# Bounds what one filter can cost in one book.
MOST_CANDIDATES = 2000


class OneBook:
    """A book of a tenant, alone."""

    def __init__(self, context: NamingContext, features: Features, book: Book) -> None:
        self.name = book.name
        self._context = context
        self._dit = Dit((Directory(context, (book,)),), features)
        self._access = (Access(context.name, book.key),)

    def ask(self, sought: Filter, *, per_number: bool = False) -> Iterator[Entry]:
        """The contacts that match, in their order; no more than `MOST_CANDIDATES`."""
        viewer = Viewer(access=self._access, per_number=per_number)
        request = SearchRequest(str(self._context.base), Scope.WHOLE_SUBTREE, sought)
        found = (entry for entry in search(self._dit, viewer, request) if entry and entry.attribute("uid"))
        return islice(found, MOST_CANDIDATES)

    def has(self, entry: Entry, sought: Filter) -> bool:
        """Whether one of its contacts fulfils a filter."""
        request = SearchRequest(entry.dn, Scope.BASE_OBJECT, sought)
        return any(search(self._dit, Viewer(access=self._access), request))

    def singles(self, uid: str) -> tuple[Entry, ...]:
        """The entries of a contact's numbers, for phones that get one for each."""
        start = f"{uid}-".encode()
        found = self.ask(Substrings("uid", start, (), None), per_number=True)
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
