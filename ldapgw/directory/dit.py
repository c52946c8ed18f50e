# SPDX-License-Identifier: MIT
"""The Directory Information Tree (RFC 4512 2.1): everything that is served, and who may see which book of it."""

from __future__ import annotations

from dataclasses import dataclass

from ldapgw.contact import Sharing
from ldapgw.directory.book import DIRECTORY, Book
from ldapgw.directory.naming import NamingContext
from ldapgw.directory.rootdse import Features
from ldapgw.directory.viewer import Access

__all__ = ["Directory", "Dit", "Features", "NamingContext"]


@dataclass(frozen=True, slots=True)
class Directory:
    """A tenant's part of the tree."""

    context: NamingContext
    books: tuple[Book, ...] = ()

    def visible(self, access: Access) -> tuple[Book, ...]:
        """The books that exist for somebody: one's own, then the shared ones, then the Workspace directory."""
        seen = [book for book in self.books if _is_own(book, access) or book.sharing is Sharing.SHARED]
        return tuple(sorted(seen, key=lambda book: (not _is_own(book, access), book.name == DIRECTORY)))

    def callers(self, access: Access) -> tuple[Book, ...]:
        """Other people's books that tell a caller's name."""
        return tuple(book for book in self.books if book.sharing is Sharing.CALLERS and not _is_own(book, access))


@dataclass(frozen=True, slots=True)
class Dit:
    """All tenants' directories, and what the server can do; replaced as a whole, never changed."""

    directories: tuple[Directory, ...]
    features: Features

    def directory(self, tenant: str) -> Directory | None:
        """The directory of a tenant by its name."""
        return next((one for one in self.directories if one.context.name == tenant), None)


def _is_own(book: Book, access: Access) -> bool:
    return book.key == access.book
