# SPDX-License-Identifier: MIT
"""Books out of the store: the work behind `ldapgw.publisher`, done on a thread or in another process."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from ldapgw.contact import Contact, Sharing, Source
from ldapgw.directory.book import DIRECTORY, Book, build_book, revise
from ldapgw.directory.entry import Entry
from ldapgw.directory.naming import NamingContext
from ldapgw.errors import StoreError
from ldapgw.images import Image, Images, name_of
from ldapgw.store import contacts
from ldapgw.store.accounts import Account
from ldapgw.store.database import Database

# Entries that are freed in one go.
_BIT = 500


@dataclass(frozen=True, slots=True, repr=False)
class News:
    """What has changed of an account's contacts; and all of its labels."""

    stored: tuple[Contact, ...]
    gone: tuple[tuple[Source, str], ...]
    labels: Mapping[str, str]


def read_contacts(connection: Connection, account_id: int) -> tuple[tuple[tuple[Contact, ...], int], Mapping[str, str]]:
    """An account's contacts, how many could not be read, and its labels."""
    return contacts.read(connection, account_id), contacts.read_labels(connection, account_id)


def read_news(connection: Connection, account_id: int, since: int, most: int) -> News | None:
    """What has changed of an account's contacts since a generation; None: that is not known, or is more than most."""
    changes = contacts.changes(connection, account_id, since, most)
    return changes and News(*changes, contacts.read_labels(connection, account_id))


def revised_books(context: NamingContext, books: Iterable[Book], news: News) -> tuple[Book, ...] | None:
    """Books of an account, with what has changed; None where one has to be built anew."""
    found = []
    for book in books:
        directory = book.key == DIRECTORY
        stored = [contact for contact in news.stored if (contact.source is Source.DIRECTORY) is directory]
        gone = [uid for source, uid in news.gone if (source is Source.DIRECTORY) is directory]
        revised = revise(book, context, stored, gone, {} if directory else news.labels)
        if revised is None:
            return None
        found.append(revised)
    return tuple(found)


def books_of(
    context: NamingContext,
    account: Account,
    everything: Iterable[Contact],
    labels: Mapping[str, str],
    per_number: bool,  # noqa: FBT001  called through a thread, by position
    feeds: bool,  # noqa: FBT001
) -> tuple[Book, ...]:
    """The account's book, and the directory's where the account feeds it.

    :param everything: looked through twice where the account feeds the directory.
    """
    personal = (contact for contact in everything if contact.source is not Source.DIRECTORY)
    own = build_book(context, account.sub, account.address, account.sharing, personal, labels, per_number=per_number)
    if not feeds:
        return (own,)
    colleagues = (contact for contact in everything if contact.source is Source.DIRECTORY)
    return own, build_book(context, DIRECTORY, DIRECTORY, Sharing.SHARED, colleagues, {}, per_number=per_number)


def let_go(books: list[Book]) -> None:
    """Free the memory of books that nobody needs any more, bit by bit: at once, it would stop everybody for 0.2 s.

    :param books: empty afterwards.
    """
    entries: list[Entry] = []
    while books:
        book = books.pop()
        for shelves in (book.shelves, *(label.shelves for label in book.labels)):
            for shelf in (*shelves.contacts, *shelves.numbers):
                entries += shelf.entries
        # The last reference to them must be ours.
        del book, shelves, shelf
    while entries:
        del entries[-_BIT:]


@dataclass(frozen=True, slots=True)
class _Stored:
    """An account's contacts, read each time that they are looked through: a million would take more than their book."""

    connection: Connection
    account_id: int

    def __iter__(self) -> Iterator[Contact]:
        return contacts.each(self.connection, self.account_id)


def build_images(
    url: str,
    folder: Path,
    context: NamingContext,
    account: Account,
    made_of: object,
    per_number: bool,  # noqa: FBT001  called in a process, by position
    feeds: bool,  # noqa: FBT001
) -> None:
    """Write down an account's books as images, of what the database holds; called in a process of its own.

    What cannot be done is left undone: whoever looks for the images has to do without them.

    :param url: the database's.
    :param folder: the images'.
    """
    gateway = os.getppid()
    database = Database(url)
    try:
        with database.look() as connection:
            stored, labels = _Stored(connection, account.id), contacts.read_labels(connection, account.id)
            books = books_of(context, account, stored, labels, per_number, feeds)
    except StoreError:
        return
    finally:
        database.close()
    images = Images(folder)
    for book in books:
        # Once the gateway has ended, nobody looks after what is written.
        if os.getppid() == gateway:
            name = name_of(account.id, directory=book.key == DIRECTORY)
            images.save(name, made_of, Image(account.generation, book))
