# SPDX-License-Identifier: MIT
"""The Directory Information Tree (RFC 4512 2.1): everything that is served, and who may see which book of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ldapgw.contact import Sharing
from ldapgw.directory.book import DIRECTORY, Book
from ldapgw.directory.dn import folded
from ldapgw.directory.entry import Entry
from ldapgw.directory.naming import NamingContext
from ldapgw.directory.rootdse import Features, root_dse
from ldapgw.directory.union import Union, unite
from ldapgw.directory.viewer import Access, Viewer

__all__ = ["Directory", "Dit", "Features", "NamingContext"]


@dataclass(frozen=True, slots=True)
class Directory:
    """A tenant's part of the tree.

    The union of its shared books is made when it is first asked for, unless `unite` has done it before.

    :ivar shared: how many of the books are shared.
    """

    context: NamingContext
    books: tuple[Book, ...] = ()
    shared: int = field(init=False, repr=False, compare=False)
    _union: list[Union] = field(default_factory=list, init=False, repr=False, compare=False)
    _by_key: dict[str, Book] = field(default_factory=dict, init=False, repr=False, compare=False)
    _by_name: dict[str, list[Book]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Count and sort once what each search asks for: there may be a thousand books."""
        object.__setattr__(self, "shared", sum(book.sharing is Sharing.SHARED for book in self.books))
        self._by_key.update({book.key: book for book in reversed(self.books)})

    @property
    def union(self) -> Union:
        """What phones see of other people's books."""
        self.unite(None)
        return self._union[0]

    def unite(self, before: Directory | None, *, at_once: bool = False) -> None:
        """Make the union if it is not there yet.

        :param before: the one that was served until now, of whose union as much is taken over as can be.
        :param at_once: take no time for it; what is missing is to be made up for later, by another directory.
        """
        if not self._union:
            self._union.append(unite(self.books, before.union if before else Union(), at_once=at_once))

    def own(self, access: Access) -> Book | None:
        """The viewer's own book."""
        return self._by_key.get(access.book)

    def visible(self, access: Access) -> tuple[Book, ...]:
        """The books that exist for somebody: one's own, then the shared ones, then the Workspace directory."""
        return _visible(self.books, access)

    def named(self, name: str, access: Access) -> Book | None:
        """The first one of these with that name; folded (`ldapgw.directory.dn.folded`)."""
        if not self._by_name:
            for book in self.books:
                self._by_name.setdefault(folded(book.name), []).append(book)
        return next(iter(_visible(self._by_name.get(name, ()), access)), None)

    def callers(self, access: Access) -> tuple[Book, ...]:
        """Other people's books that tell a caller's name."""
        return tuple(book for book in self.books if book.sharing is Sharing.CALLERS and book.key != access.book)


def _visible(books: Iterable[Book], access: Access) -> tuple[Book, ...]:
    seen = [book for book in books if book.key == access.book or book.sharing is Sharing.SHARED]
    return tuple(sorted(seen, key=lambda book: (book.key != access.book, book.name == DIRECTORY)))


@dataclass(frozen=True, slots=True)
class Dit:
    """All tenants' directories, and what the server can do; replaced as a whole, never changed.

    What is worked out of it once, because clients ask for it at each connection, is kept beside it.
    """

    directories: tuple[Directory, ...]
    features: Features
    _in_clear: list[Dit] = field(default_factory=list, init=False, repr=False, compare=False)
    _root_dses: dict[frozenset[str], Entry] = field(default_factory=dict, init=False, repr=False, compare=False)

    def directory(self, tenant: str) -> Directory | None:
        """The directory of a tenant by its name."""
        return next((one for one in self.directories if one.context.name == tenant), None)

    @property
    def in_clear(self) -> Dit:
        """The same for a connection without TLS."""
        if not (self.features.sasl_mechanisms or self.features.before_tls):
            return self
        if not self._in_clear:
            self._in_clear.append(replace(self, features=self.features.in_clear()))
        return self._in_clear[0]

    def root_dse(self, viewer: Viewer) -> Entry:
        """The root DSE; its default naming context is the viewer's own, or the only one."""
        names = frozenset(access.tenant for access in viewer.access)
        found = self._root_dses.get(names)
        if found is None:
            contexts = tuple(directory.context for directory in self.directories)
            likely = [context for context in contexts if context.name in names] or contexts
            found = root_dse(self.features, contexts, likely[0] if len(likely) == 1 else None)
            self._root_dses[names] = found
        return found
