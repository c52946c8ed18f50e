# SPDX-License-Identifier: MIT
"""What the store holds of some tenants but for the contacts: accounts, logins, and whom a directory comes through.

Books out of the store: the work behind `ldapgw.sync.publisher`, done on a thread or in another process.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy import Connection

from ldapgw.contact import Contact, Sharing, Source
from ldapgw.directory.access import NamingContext
from ldapgw.directory.book import DIRECTORY, Book, build_book, update_book
from ldapgw.directory.entry import Entry
from ldapgw.errors import StoreError
from ldapgw.store import accounts, contacts, phones
from ldapgw.store.accounts import Account, SourceState
from ldapgw.store.database import Database
from ldapgw.store.phones import PhoneLogin
from ldapgw.sync.book_cache import BookCache, CachedBook, cache_name


@dataclass(frozen=True, slots=True)
class AccountState:
    """What the store holds, but for the contacts: those of configured tenants.

    :ivar accounts: connected ones, with addresses of which a tenant has none twice.
    :ivar feeds: by tenant, the account that its Workspace directory is taken from.
    """

    accounts: tuple[Account, ...] = ()
    logins: tuple[PhoneLogin, ...] = ()
    directory_accounts: Mapping[str, Account] = field(default_factory=dict)


def read_account_state(connection: Connection, tenants: Collection[str]) -> AccountState:
    """What is stored of some tenants, but for the contacts."""
    found = accounts.read_all(connection, counted=False)
    connected = _with_unique_addresses(
        account for account in found if account.is_connected and account.tenant in tenants
    )
    colleagues = contacts.accounts_with_source(connection, Source.DIRECTORY)
    feeds: dict[str, Account] = {}
    for account in sorted(connected, key=lambda account: account.id):
        if account.sources.get(Source.DIRECTORY) is SourceState.ON and account.id in colleagues:
            feeds.setdefault(account.tenant, account)
    return AccountState(
        connected, tuple(login for login in phones.read_all(connection) if login.tenant in tenants), feeds
    )


def _with_unique_addresses(found: Iterable[Account]) -> tuple[Account, ...]:
    """Accounts with addresses that tell their books apart: an address can change hands while its former owner is there.

    Who came first keeps it; the others' have a number behind it.
    """
    told_apart: dict[tuple[str, str], int] = {}
    named: dict[int, Account] = {}
    everyone = tuple(found)
    for account in sorted(everyone, key=lambda account: account.id):
        holds = account.tenant, account.address.casefold()
        number = told_apart[holds] = told_apart.get(holds, 0) + 1
        named[account.id] = account if number == 1 else replace(account, address=f"{account.address} ({number})")
    return tuple(named[account.id] for account in everyone)


# Entries that are freed in one go.
_FREED_AT_ONCE = 500


@dataclass(frozen=True, slots=True, repr=False)
class Delta:
    """What has changed of an account's contacts; and all of its labels."""

    changed: tuple[Contact, ...]
    removed: tuple[tuple[Source, str], ...]
    labels: Mapping[str, str]


def read_contacts(connection: Connection, account_id: int) -> tuple[tuple[tuple[Contact, ...], int], Mapping[str, str]]:
    """An account's contacts, how many could not be read, and its labels."""
    return contacts.read(connection, account_id), contacts.read_labels(connection, account_id)


def read_delta(connection: Connection, account_id: int, since: int, limit: int) -> Delta | None:
    """What has changed of an account's contacts since a generation; None: that is not known, or is more than most."""
    changes = contacts.read_changes(connection, account_id, since, limit)
    return changes and Delta(*changes, contacts.read_labels(connection, account_id))


def revise_books(context: NamingContext, books: Iterable[Book], delta: Delta) -> tuple[Book, ...] | None:
    """Books of an account, with what has changed; None where one has to be built anew."""
    found = []
    for book in books:
        directory = book.key == DIRECTORY
        stored = [contact for contact in delta.changed if (contact.source is Source.DIRECTORY) is directory]
        gone = [uid for source, uid in delta.removed if (source is Source.DIRECTORY) is directory]
        revised = update_book(book, context, stored, gone, {} if directory else delta.labels)
        if revised is None:
            return None
        found.append(revised)
    return tuple(found)


def build_books(
    context: NamingContext,
    account: Account,
    all_contacts: Iterable[Contact],
    labels: Mapping[str, str],
    per_number: bool,  # noqa: FBT001  called through a thread, by position
    with_directory: bool,  # noqa: FBT001
) -> tuple[Book, ...]:
    """The account's book, and the directory's where the account feeds it.

    :param everything: looked through twice where the account feeds the directory.
    """
    personal = (contact for contact in all_contacts if contact.source is not Source.DIRECTORY)
    own = build_book(context, account.sub, account.address, account.sharing, personal, labels, per_number=per_number)
    if not with_directory:
        return (own,)
    colleagues = (contact for contact in all_contacts if contact.source is Source.DIRECTORY)
    return own, build_book(context, DIRECTORY, DIRECTORY, Sharing.SHARED, colleagues, {}, per_number=per_number)


def free_slowly(books: list[Book]) -> None:
    """Free the memory of books that nobody needs any more, bit by bit: at once, it would stop everybody for 0.2 s.

    :param books: empty afterwards.
    """
    entries: list[Entry] = []
    while books:
        book = books.pop()
        for shelves in (book.segments, *(label.segments for label in book.labels)):
            for shelf in (*shelves.contacts, *shelves.numbers):
                entries += shelf.entries
        # The last reference to them must be ours.
        del book, shelves, shelf
    while entries:
        del entries[-_FREED_AT_ONCE:]


@dataclass(frozen=True, slots=True)
class _StoredContacts:
    """An account's contacts, read each time that they are looked through: a million would take more than their book."""

    connection: Connection
    account_id: int

    def __iter__(self) -> Iterator[Contact]:
        return contacts.iterate(self.connection, self.account_id)


def build_cached_books(
    url: str,
    folder: Path,
    context: NamingContext,
    account: Account,
    build_key: object,
    per_number: bool,  # noqa: FBT001  called in a process, by position
    with_directory: bool,  # noqa: FBT001
) -> None:
    """Write down an account's books as images, of what the database holds; called in a process of its own.

    What cannot be done is left undone: whoever looks for the images has to do without them.

    :param url: the database's.
    :param folder: the images'.
    """
    gateway = os.getppid()
    database = Database(url)
    try:
        with database.begin_read() as connection:
            stored, labels = _StoredContacts(connection, account.id), contacts.read_labels(connection, account.id)
            books = build_books(context, account, stored, labels, per_number, with_directory)
    except StoreError:
        return
    finally:
        database.close()
    images = BookCache(folder)
    for book in books:
        # Once the gateway has ended, nobody looks after what is written.
        if os.getppid() == gateway:
            name = cache_name(account.id, directory=book.key == DIRECTORY)
            images.save(name, build_key, CachedBook(account.generation, book))
