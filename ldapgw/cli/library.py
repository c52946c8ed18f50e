# SPDX-License-Identifier: MIT
"""The books of a tenant for a command, which are read one by one when the command needs them.

A command takes the books from the gateway's cache, because building a large book takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ldapgw.contact import Contact, Source
from ldapgw.directory.access import Access, BookAccess, TenantViewer, Viewer
from ldapgw.directory.book import DIRECTORY, Book
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import Present, Scope, SearchRequest
from ldapgw.directory.search import search
from ldapgw.directory.special_entries import Features
from ldapgw.server.book_files import file_tasks
from ldapgw.server.config import Tenant
from ldapgw.store import contacts
from ldapgw.store.accounts import Account
from ldapgw.store.contacts import StoredContacts
from ldapgw.store.database import Database
from ldapgw.store.phones import PhoneLogin
from ldapgw.sync.account_state import AccountState
from ldapgw.sync.book_builder import BuildTask, present_books
from ldapgw.sync.book_cache import BookCache
from ldapgw.sync.file_book_builder import FileTask, present_contacts, present_file_book
from ldapgw.sync.publisher import make_login

_NO_FEATURES = Features(vendor_version="", controls=(), extensions=(), features=(), sasl_mechanisms=())


class Library:
    """The books of a tenant, and the directory that a phone sees.

    :param cache: the books that the gateway has built.
    :param file_cache: the books of files that the gateway has built.
    :param phone: the phone, or None for a phone without an account.
    :ivar context: the naming context of the tenant.
    :ivar viewer: the phone as a viewer, for searches.
    :ivar tenant_viewer: the phone within the tenant, for the phone's access to each book.
    :raises StoreError: when the database cannot be used.
    """

    def __init__(
        self, database: Database, cache: BookCache, file_cache: BookCache, tenant: Tenant, phone: PhoneLogin | None
    ) -> None:
        self._database = database
        self._file_cache = file_cache
        self._cache = cache
        with database.begin() as connection:
            self._state = AccountState.read(connection, {tenant.name})
        self.context = tenant.naming_context().with_members(self._state.google_groups.get(tenant.name, {}))
        self._files = file_tasks(tenant, per_number=self._state.needs_numbers(tenant.name))
        self._directory: list[Book] = []
        self._accounts = self._state.accounts_of(tenant.name)
        self._directory_source = self._state.directory_accounts.get(tenant.name)
        own_books = self._state.books_of_phone(phone) if phone else ()
        first = self._state.accounts.get(phone.account_id or 0) if phone else None
        self.tenant_viewer = TenantViewer.of_accounts(self.context, own_books, first.address if first else "")
        self.viewer = (
            make_login(phone, self.context, own_books).viewer if phone else Viewer(access=(Access(tenant.name),))
        )

    def dit(self, *, callers: bool) -> Dit:
        """Return the directory tree that the phone sees.

        :param callers: whether to include the books that are shared for caller ID only, which a search by number finds.
        """
        searched = (account for account in self._accounts if self._access(account).is_searched(for_number=callers))
        files = (task for task in self._files if self._access_to(task).is_searched(for_number=callers))
        books = [*self._books(searched), *self._file_books(files), *self._directory_books()]
        return Dit((Directory(self.context, tuple(books)),), _NO_FEATURES)

    def hidden_books(self) -> Iterator[Book]:
        """Yield the other books that the phone does not see, or of which the phone sees only a label's contacts."""
        others = (account for account in self._accounts if account.sub not in self.tenant_viewer.books)
        yield from self._books(account for account in others if self._access(account).is_hidden or account.shared_label)
        yield from self._file_books(task for task in self._files if self._access_to(task).is_hidden)

    def books(self, owner: int | None) -> Iterator[Book]:
        """Yield the book of the account `owner`, or all books and the Workspace directory if `owner` is None."""
        yield from self._books(self._accounts_of(owner))
        if owner is None:
            yield from self._file_books(self._files)
            yield from self._directory_books()

    def entries(self, book: Book) -> Iterator[Entry]:
        """Return the entries of a book's contacts in directory order."""
        dit = Dit((Directory(self.context, (book,)),), _NO_FEATURES)
        viewer = Viewer(access=(Access(self.context.name, (book.key,)),))
        request = SearchRequest(str(self.context.base), Scope.WHOLE_SUBTREE, Present("uid"))
        return (entry for entry in search(dit, viewer, request) if entry is not None)

    def contacts(self, owner: int | None) -> Iterator[tuple[str, Sequence[Contact], Mapping[str, str]]]:
        """Yield the name, the contacts and the label names of each book that `books` yields."""
        for account in self._accounts_of(owner):
            stored = self._read(account)
            own = [contact for contact in stored.contacts if contact.source is not Source.DIRECTORY]
            yield account.address, own, stored.labels
        for task in self._files if owner is None else ():
            yield task.name, *present_contacts(task)
        if owner is None and self._directory_source is not None:
            yield DIRECTORY, self._colleagues(self._directory_source), {}

    def _access(self, account: Account) -> BookAccess:
        return self.tenant_viewer.access_to(account.sub, account.sharing)

    def _access_to(self, task: FileTask) -> BookAccess:
        return self.tenant_viewer.access_to(task.book_key, task.sharing)

    def _file_books(self, tasks: Iterable[FileTask]) -> Iterator[Book]:
        """Yield the book of each file that has one; a file with problems may have the last good book."""
        return (book for task in tasks if (book := present_file_book(self._file_cache, task)) is not None)

    def _accounts_of(self, owner: int | None) -> Iterator[Account]:
        return (account for account in self._accounts if owner in (None, account.id))

    def _books(self, accounts: Iterable[Account]) -> Iterator[Book]:
        return map(self._book, accounts)

    def _book(self, account: Account) -> Book:
        own, *directory = self._present(account)
        # The book of the Workspace directory is built together with the book of the account that reads the directory.
        self._directory = self._directory or directory
        return own

    def _directory_books(self) -> Iterator[Book]:
        """Yield the book of the Workspace directory, if an account reads the directory."""
        if self._directory_source is not None and not self._directory:
            _, *self._directory = self._present(self._directory_source)
        yield from self._directory

    def _present(self, account: Account) -> tuple[Book, ...]:
        task = BuildTask.of(account, self.context, self._state)
        with self._database.begin_read() as connection:
            return present_books(connection, self._cache, task)

    def _colleagues(self, account: Account) -> list[Contact]:
        return [contact for contact in self._read(account).contacts if contact.source is Source.DIRECTORY]

    def _read(self, account: Account) -> StoredContacts:
        with self._database.begin_read() as connection:
            [stored] = contacts.read(connection, [account.id])
        return stored
