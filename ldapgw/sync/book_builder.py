# SPDX-License-Identifier: MIT
"""Builds books from stored contacts, and revises them by what has changed, on a thread or in another process."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, Connection

from ldapgw.contact import STARRED, Contact, Sharing, Source
from ldapgw.directory.book import DIRECTORY, FAVOURITES, Book, build_book, update_book, with_sharing
from ldapgw.directory.naming_context import NamingContext
from ldapgw.errors import StoreError
from ldapgw.store import accounts, contacts
from ldapgw.store.accounts import Account
from ldapgw.store.contact_changes import Delta
from ldapgw.store.engines import database_at
from ldapgw.sync.book_cache import BookCache, CachedBook, cache_name


def revise_books(context: NamingContext, books: Iterable[Book], delta: Delta) -> tuple[Book, ...] | None:
    """Update the books of an account by the changes of its contacts; None when a book has to be built anew."""
    revised_books = []
    for book in books:
        directory = book.key == DIRECTORY
        changed = [contact for contact in delta.changed if (contact.source is Source.DIRECTORY) is directory]
        removed = [uid for source, uid in delta.removed if (source is Source.DIRECTORY) is directory]
        labels = {} if directory else _with_favourites(context, delta.labels)
        revised = update_book(book, context, changed, removed, labels)
        if revised is None:
            return None
        revised_books.append(revised)
    return tuple(revised_books)


def build_books(
    context: NamingContext,
    account: Account,
    all_contacts: Iterable[Contact],
    labels: Mapping[str, str],
    per_number: bool,  # noqa: FBT001  called through a thread, by position
    with_directory: bool,  # noqa: FBT001
) -> tuple[Book, ...]:
    """Build the account's book, and the directory's book when the directory is stored with the account.

    :param all_contacts: the account's contacts of all sources; iterated twice with a directory.
    :param labels: names of the account's labels by resource name.
    :param per_number: whether to build an entry per number too, for phones that need them.
    :param with_directory: whether to build the directory's book.
    """
    personal = (contact for contact in all_contacts if contact.source is not Source.DIRECTORY)
    labels = _with_favourites(context, labels)
    book = build_book(context, account.sub, account.address, account.sharing, personal, labels, per_number=per_number)
    book = with_sharing(book, account.sharing, account.shared_label)
    if not with_directory:
        return (book,)
    colleagues = (contact for contact in all_contacts if contact.source is Source.DIRECTORY)
    return book, build_book(context, DIRECTORY, DIRECTORY, Sharing.SHARED, colleagues, {}, per_number=per_number)


def _with_favourites(context: NamingContext, labels: Mapping[str, str]) -> Mapping[str, str]:
    """The labels of a book, with one for Google's star where the tenant has it."""
    return {**labels, STARRED: FAVOURITES} if context.favourites else labels


@dataclass(frozen=True, slots=True)
class _StoredContacts:
    """An account's contacts, read anew in each iteration: a million contacts would take more memory than their book."""

    connection: Connection
    account_id: int

    def __iter__(self) -> Iterator[Contact]:
        return contacts.iterate(self.connection, self.account_id)


def build_cached_books(
    url: URL,
    folder: Path,
    context: NamingContext,
    account: Account,
    build_key: object,
    per_number: bool,  # noqa: FBT001  called in a process, by position
    with_directory: bool,  # noqa: FBT001
) -> None:
    """Build an account's books from the stored contacts and write them to the book cache; called in another process.

    On an error of the database nothing is written, and the caller has to build the books itself.  Nothing is written
    either when the account was disconnected during the build.

    :param url: URL of the database.
    :param folder: folder of the book cache.
    """
    gateway = os.getppid()
    database = database_at(url)
    try:
        with database.begin_read() as connection:
            stored, labels = _StoredContacts(connection, account.id), contacts.read_labels(connection, account.id)
            books = build_books(context, account, stored, labels, per_number, with_directory)
        book_cache = BookCache(folder)
        for book in books:
            with database.begin_read() as connection:
                present = accounts.read(connection, account.id)
            # After the gateway's end nobody would delete the file when the account goes.
            if os.getppid() == gateway and present is not None and present.is_connected:
                name = cache_name(account.id, directory=book.key == DIRECTORY)
                book_cache.save(name, build_key, CachedBook(account.generation, book), account.tenant)
    except StoreError:
        return
    finally:
        database.close()
