# SPDX-License-Identifier: MIT
"""Access: who sees which books, and which part of a book.

Everything that answers a phone, a page, a command or a replica asks this module.  `TenantViewer.access_to` is the rule,
and `BookAccess` says what the rule grants.  `ReplicaAccess.branches_of` is the rule for replicas.  If a book is hidden
from a viewer, neither a search nor a name finds the book.

A viewer who does not own a book sees at most the shared part of the book (`Book.shared_branch`).  The shared part is
the whole book, unless the book's settings name a shared label.  With a shared label, the shared part is the contacts
with the label.  If the account lacks the label, nothing is shared.

`Viewer` and `Access` are named tuples because named tuples are compared and hashed fast: each search looks up cached
results by its viewer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, NamedTuple

from ldapgw.contact import Sharing
from ldapgw.directory.book import DIRECTORY, Book, Label
from ldapgw.directory.dn import folded
from ldapgw.directory.entry import NumberFormatter
from ldapgw.directory.naming_context import NamingContext


class BookAccess(StrEnum):
    """The way in which a viewer sees a book.

    * ``OWN``: The book belongs to an account of the viewer.  The viewer sees all of the book.
    * ``SHARED``: The book is shared with the tenant.  The viewer sees the shared part.
    * ``GROUP``: The book is shared with a group of the viewer's first account.  The viewer sees the shared part.
    * ``DIRECTORY``: The book is the Workspace directory.  The viewer sees all of the book.
    * ``CALLERS``: The book is open for caller ID.  Only a search for a complete number finds contacts in the shared
      part, and the search shows only the contacts' names and the number (`ldapgw.directory.caller_id`).
    * ``PRIVATE``, ``OTHER_GROUP``: The viewer sees nothing.
    """

    OWN = "own"
    SHARED = "shared"
    GROUP = "group"
    DIRECTORY = "directory"
    CALLERS = "callers"
    PRIVATE = "private"
    OTHER_GROUP = "other_group"

    @property
    def is_hidden(self) -> bool:
        """Return whether the viewer sees nothing of the book."""
        return self in (BookAccess.PRIVATE, BookAccess.OTHER_GROUP)

    def is_searched(self, *, for_number: bool) -> bool:
        """Return whether a search may find something in the book.

        :param for_number: whether the search is for a complete number.
        """
        return for_number if self is BookAccess.CALLERS else not self.is_hidden


# `TenantViewer.seen` sorts books by the viewer's access to each book: an access with a lower number comes first.  An
# access that is missing from the table has the number 1.
_ORDER: Final = {BookAccess.OWN: 0, BookAccess.DIRECTORY: 2, BookAccess.CALLERS: 3}


class SeenBook(NamedTuple):
    """A book that a viewer sees in whole or in part.

    :ivar book: a `Book` with only the contacts that the viewer sees.
    """

    book: Book
    access: BookAccess

    @property
    def is_browsed(self) -> bool:
        """Return whether the viewer may list and read the contacts.

        If the result is false, a search for a complete number finds at most the name of a contact.
        """
        return self.access is not BookAccess.CALLERS

    @property
    def is_label(self) -> bool:
        """Return whether the viewer sees only the branch of the shared label."""
        return self.access is not BookAccess.OWN and self.book.shared_label != ""


class TenantViewer(NamedTuple):
    """A viewer within one tenant.

    :ivar books: the keys of the viewer's own books in order; empty if the viewer has no book.
    :ivar groups: the groups to which the viewer's first account belongs.  The groups of further accounts do not count,
        because several people may use one phone.  Contacts that are shared with one person's group must not be shown to
        other people.
    """

    books: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    @classmethod
    def of_accounts(cls, context: NamingContext, books: tuple[str, ...], address: str) -> TenantViewer:
        """Return the viewer of a phone with one account or with several accounts.

        :param books: the keys of the accounts' books in order.
        :param address: the address of the first account.  The address is also the name of the account's book.
        """
        # For a configured group, `groups` holds the addresses of the accounts.  For a Google Group, `groups` holds the
        # keys of the accounts' books.
        names = {folded(address), *books[:1]} - {""}
        return cls(books, tuple(group for group, members in context.groups.items() if not names.isdisjoint(members)))

    def access_to(self, book: str, sharing: Sharing) -> BookAccess:
        """Return the viewer's access to a book.

        :param book: the key of the book.
        """
        if book in self.books:
            return BookAccess.OWN
        if sharing.group:
            return BookAccess.GROUP if sharing.group in self.groups else BookAccess.OTHER_GROUP
        return BookAccess(sharing.value)

    def access_to_rest(self, book: Book) -> BookAccess:
        """Return the viewer's access to the contacts of another owner's book that the viewer does not see.

        If the viewer sees only the contacts with the shared label, all other contacts are private, so the result is
        `BookAccess.PRIVATE`.  If the whole book is hidden from the viewer, the result is the same as from `access_to`.
        """
        access = self.access_to(book.key, book.sharing)
        return access if access.is_hidden else BookAccess.PRIVATE

    @property
    def browsed(self) -> tuple[Sharing, ...]:
        """Return the kinds of sharing that let the viewer browse other accounts' books."""
        return (Sharing.SHARED, *(Sharing(f"group:{group}") for group in self.groups))

    def group_branches(self, books: Iterable[Book]) -> Iterator[Book | Label]:
        """Yield the branches that are shared with a group to which the viewer's first account belongs."""
        for book in books if self.groups else ():
            branch = book.shared_branch
            if book.sharing.group in self.groups and branch is not None:
                yield branch

    def part_of(self, book: Book) -> SeenBook | None:
        """Return the part of a book that the viewer sees, or None if the viewer sees nothing."""
        access = self.access_to(book.key, book.sharing)
        if access is BookAccess.OWN:
            return SeenBook(book, access)
        branch = book.shared_branch
        if branch is None or access.is_hidden:
            return None
        if isinstance(branch, Label):
            book = replace(book, containers=book.shared_containers, segments=branch.segments, labels=(branch,))
        return SeenBook(book, BookAccess.DIRECTORY if book.name == DIRECTORY else access)

    def seen(self, books: Iterable[Book]) -> tuple[SeenBook, ...]:
        """Return the viewer's books in order: own books, shared books, the Workspace directory, caller-ID books."""
        parts = [part for book in books if (part := self.part_of(book)) is not None]
        return tuple(sorted(parts, key=self._position))

    def _position(self, part: SeenBook) -> tuple[int, int]:
        own = self.books.index(part.book.key) if part.access is BookAccess.OWN else 0
        return _ORDER.get(part.access, 1), own


class Access(NamedTuple):
    """Access to one tenant: to its shared books, its Workspace directory, and the viewer's own books.

    The first of the viewer's own books decides to which groups the viewer belongs
    (`ldapgw.directory.dit.Directory.viewer`).

    :ivar books: the keys of the viewer's own books in order; empty if the viewer has no book.  An empty key stands for
        the book of an account that is not connected.
    """

    tenant: str
    books: tuple[str, ...] = ()


class ReplicatedBranch(NamedTuple):
    """A branch of the tree that a replica holds: a book, or the shared label of a book.

    :ivar has_contacts: true if the replica holds the branch's contacts; false if the replica holds only the branch's
        own entry.
    :ivar sharing: the value of the contacts' `Sharing`; a replica that holds all books derives access rules from the
        value.  The value is empty if the contacts are not shared, or if the replica holds only books that everybody
        sees.
    """

    branch: Book | Label
    has_contacts: bool
    sharing: str


class ReplicaAccess(NamedTuple):
    """The part of a tenant's tree that a replica holds.

    :ivar private: true if the replica holds all books; false if the replica holds only the books that are shared with
        everybody.
    :ivar extra_values: whether entries have further values for a server that compares values literally: the numbers in
        formats other than the tenant's format, and the folded names.
    """

    tenant: str
    private: bool = False
    extra_values: bool = True

    def branches_of(self, book: Book) -> Iterator[ReplicatedBranch]:
        """Yield the branches of a book that the replica holds, the book first."""
        is_shared = book.sharing is Sharing.SHARED or (self.private and book.sharing.group != "")
        branch, sharing = book.shared_branch, book.sharing.value if self.private and is_shared else ""
        if self.private or (is_shared and branch is not None):
            yield ReplicatedBranch(book, self.private or branch is book, "" if book.shared_label else sharing)
        if is_shared and isinstance(branch, Label):
            yield ReplicatedBranch(branch, has_contacts=True, sharing=sharing)


class Viewer(NamedTuple):
    """A login or an anonymous client, with its access to the directory.

    :ivar login: the phone's DN, for "Who am I?" (RFC 4532); empty for an anonymous client.
    :ivar per_number: whether a contact is shown as one entry for each of its numbers.
    :ivar number_formatter: converts numbers to the viewer's format; None if numbers stay in the tenant's format.
    :ivar area_code: the area code of the phone's site; empty if the tenant's area code applies.
    :ivar replica: for the login of a replica, the part of the tree that the replica holds; None for other logins.  The
        login of a replica may read only by content synchronization (RFC 4533).
    """

    login: str = ""
    access: tuple[Access, ...] = ()
    per_number: bool = False
    number_formatter: NumberFormatter | None = None
    replica: ReplicaAccess | None = None
    area_code: str = ""

    @property
    def tenant(self) -> str:
        """Return the viewer's tenant; empty for an anonymous client that sees no tenant or several tenants."""
        tenants = (self.replica,) if self.replica is not None else self.access
        return tenants[0].tenant if len(tenants) == 1 else ""


# The viewer who sees only the root DSE and the subschema.
NOBODY = Viewer()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A client that asked for too many unknown numbers.

    The client is *left out*: the gateway answers further searches of the client without the caller-ID books.  Such a
    search may still find contacts in other books.

    :ivar login: the phone's DN; empty for the anonymous clients of a network.
    :ivar tenants: the names of the tenants whose books the client may see.
    :ivar address: the address from which the last such search came.
    :ivar count: the number of such searches; a search for several numbers counts once.
    :ivar last: the time of the last such search, in the clock's seconds.
    """

    login: str
    tenants: tuple[str, ...]
    address: str
    count: int
    last: float
