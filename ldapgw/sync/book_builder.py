# SPDX-License-Identifier: MIT
"""Builds the books of accounts and of configured files, on a thread or in another process; revises and frees books."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

from sqlalchemy import URL, Connection

from ldapgw.contact import STARRED, Contact, Sharing, Source
from ldapgw.directory.book import (
    DIRECTORY,
    FAVOURITES,
    FILE_PREFIX,
    Book,
    build_book,
    max_changes,
    update_book,
    with_sharing,
)
from ldapgw.directory.dedup import forget_contact_points
from ldapgw.directory.entry import Entry
from ldapgw.directory.naming_context import NamingContext
from ldapgw.errors import DamagedStore, StoreError
from ldapgw.files import reading
from ldapgw.files.card import TEXTS
from ldapgw.files.reading import FileReading, FileReport, read_contacts
from ldapgw.numbers import stored_numbers
from ldapgw.phrase import Phrase
from ldapgw.store import accounts, changes, contacts, tables
from ldapgw.store.accounts import Account
from ldapgw.store.changes import NO_HISTORY, Delta, History
from ldapgw.store.engines import database_at
from ldapgw.sync.account_state import AccountState
from ldapgw.sync.book_cache import BookCache, BuildKey, BuiltBook, cache_name

# The key of a book: an account's id, or a tenant's name for the book of its Workspace directory.
BookId = int | str

# The folder of the cached books of files.
FILES_FOLDER = "file-images"

# The version of a missing file.
MISSING = 0

# The contacts of small accounts are read together in one transaction.  These are the largest numbers of contacts and of
# accounts whose contacts are read together.
CONTACTS_AT_ONCE = 3000
ACCOUNTS_AT_ONCE = 50

# The number of entries that `free_slowly` frees at a time.
_FREED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class BuildTask:
    """The task to bring the books of an account up to date.

    :ivar history: the history to which the account's generation refers; with `NO_HISTORY`, cached books of any history
        are used.
    :ivar book_ids: the keys of the account's books.
    :ivar books: the present books, maybe of an older generation.
    """

    account: Account
    context: NamingContext
    build_key: BuildKey
    history: History
    book_ids: Sequence[BookId]
    books: Sequence[BuiltBook] = ()

    @classmethod
    def of(cls, account: Account, context: NamingContext, state: AccountState) -> BuildTask:
        """Return the task of an account, with the keys and the inputs of its books, but without books yet."""
        # Neither groups nor blocked contacts change the content of a book.
        has_others = context.groups or context.block_label
        built_from = replace(context, groups={}, block_label="") if has_others else context
        per_number = state.needs_numbers(account.tenant)
        book_ids: list[BookId] = [account.id]
        if state.has_directory(account):
            book_ids.append(account.tenant)
        build_key = (built_from, account.id, account.sub, account.address, per_number)
        return cls(account, context, build_key, state.history, book_ids)

    @property
    def forms(self) -> tuple[bool, bool]:
        """Return whether to build an entry for each number too, and whether to build the Workspace directory's book."""
        *_, per_number = self.build_key
        return per_number, len(self.book_ids) > 1

    def built(self, book: Book) -> BuiltBook:
        """Return a record of a book and of the inputs from which this task has built the book."""
        return BuiltBook(self.history, self.account.generation, self.build_key, book)

    @property
    def is_complete(self) -> bool:
        return len(self.books) == len(self.book_ids)

    @property
    def is_done(self) -> bool:
        """Return whether all books are of the account's generation."""
        return self.is_complete and all(built.generation == self.account.generation for built in self.books)

    @property
    def generation(self) -> int:
        """Return the oldest generation of the books."""
        return min(built.generation for built in self.books)

    @property
    def max_changes(self) -> int:
        """Return the number of changes above which a new build is quicker than a revision."""
        return sum(max_changes(built.book) for built in self.books)


def load_book(cache: BookCache, task: BuildTask, key: BookId) -> BuiltBook | None:
    """Read a book of a task from the cache; return None if no cached book fits the task.

    A cached book fits if the book was built from the inputs of the task; the contacts may have changed since.
    """
    sharing = task.account.sharing if isinstance(key, int) else Sharing.SHARED
    name = cache_name(task.account.id, directory=isinstance(key, str))
    return cache.load(name, task.build_key, task.context, sharing, task.history)


def present_books(connection: Connection, cache: BookCache, task: BuildTask) -> tuple[Book, ...]:
    """Return the books of a task with the contacts that are stored now: the cached books if possible, else new books.

    :returns: the account's book, and the Workspace directory's book if the directory is stored with the account.
    """
    account = task.account
    task = replace(task, books=[built for key in task.book_ids if (built := load_book(cache, task, key))])
    books: tuple[Book, ...] | None = tuple(built.book for built in task.books) if task.is_done else None
    if task.is_complete and books is None:
        deltas = changes.read_deltas(connection, {account.id: (task.generation, task.max_changes)})
        if account.id in deltas:
            books = revise_books(task.context, (built.book for built in task.books), deltas[account.id])
    if books is None:
        [stored] = contacts.read(connection, [account.id])
        books = build_books(task.context, account, stored.contacts, stored.labels, *task.forms)
    own, *directory = books
    return with_sharing(own, account.sharing, account.shared_label), *directory


def revise_books(context: NamingContext, books: Iterable[Book], delta: Delta) -> tuple[Book, ...] | None:
    """Update the books of an account by the changes of its contacts, or return None if a book has to be built anew."""
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
    """Build an account's book, and the Workspace directory's book if the directory is stored with the account.

    :param all_contacts: the account's contacts of all sources; iterated over twice if `with_directory`.
    :param labels: names of the account's labels by resource name.
    :param per_number: whether to build an entry per number too, for phones that need these entries.
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
    """Return the labels of a book, with Google's star if the tenant uses stars."""
    return {**labels, STARRED: FAVOURITES} if context.favourites else labels


@dataclass(frozen=True, slots=True)
class _StoredContacts:
    """An account's contacts, read anew in each iteration.

    A list of a million contacts would take more memory than their book.
    """

    connection: Connection
    account_id: int

    def __iter__(self) -> Iterator[Contact]:
        return contacts.iterate(self.connection, self.account_id)


def build_cached_books(url: URL, folder: Path, tasks: Sequence[BuildTask]) -> None:
    """Build the books of accounts from the stored contacts, and write them to the book cache.

    The function is called in another process.  The books of an account are not written if one of its contacts cannot
    be read, or if the account is disconnected during the build.  After an error of the database, no further book is
    written.  The caller has to build the missing books itself.

    :param url: URL of the database.
    :param folder: folder of the book cache.
    """
    gateway = os.getppid()
    book_cache, database = BookCache(folder), database_at(url)
    try:
        for batch in _batches(tasks):
            built: list[tuple[BuildTask, Book]] = []
            with suppress(DamagedStore), database.begin_read() as connection:
                for task, stored, labels in _read_batch(connection, batch):
                    books = build_books(task.context, task.account, stored, labels, *task.forms)
                    built += [(task, book) for book in books]
            with database.begin_read() as connection:
                ids = tables.account.c.id.in_([task.account.id for task in batch])
                connected = {account.id for account in accounts.read_some(connection, ids) if account.is_connected}
            for task, book in built:
                # After the end of the gateway nothing is saved, because nobody would delete the file of a removed
                # account.
                if os.getppid() == gateway and task.account.id in connected:
                    book_cache.save(cache_name(task.account.id, directory=book.key == DIRECTORY), task.built(book))
    except StoreError:
        return
    finally:
        database.close()


def _batches(tasks: Iterable[BuildTask]) -> Iterator[list[BuildTask]]:
    """Divide tasks into batches whose books fit into memory together; a large account has a batch of its own."""
    batch: list[BuildTask] = []
    for task in tasks:
        count = sum(each.account.contacts for each in (*batch, task))
        if batch and (len(batch) == ACCOUNTS_AT_ONCE or count > CONTACTS_AT_ONCE):
            yield batch
            batch = []
        batch.append(task)
    yield batch


def _read_batch(
    connection: Connection, batch: Sequence[BuildTask]
) -> Iterator[tuple[BuildTask, Iterable[Contact], Mapping[str, str]]]:
    """Yield each task of a batch with the contacts and labels of its account, if all contacts can be read.

    :raises DamagedStore: when a contact cannot be read, and the batch has only one account.
    """
    ids = [task.account.id for task in batch]
    if len(ids) == 1:  # the account may be large
        yield batch[0], _StoredContacts(connection, *ids), contacts.read_labels(connection, *ids)
        return
    for task, found in zip(batch, contacts.read(connection, ids), strict=True):
        if not found.damaged:
            yield task, found.contacts, found.labels


# --- files ---


@dataclass(frozen=True, slots=True)
class FileTask:
    """The task to build the book of a file.

    :ivar name: the name of the file in the configuration, which is the ou of the book.
    :ivar per_number: whether to build also one entry for each number.
    """

    context: NamingContext
    name: str
    path: Path
    sharing: Sharing
    per_number: bool = False

    @property
    def region(self) -> str:
        """Return the country of numbers without a country code."""
        return self.context.region

    @property
    def book_key(self) -> str:
        """Return the key of the book."""
        return f"{FILE_PREFIX}{self.name}"

    @property
    def build_key(self) -> BuildKey:
        """Return the inputs of the book except the file."""
        # Neither groups nor blocked contacts change the content of a book.
        built_from = replace(self.context, groups={}, block_label="")
        rules = reading.VERSION * 1000 + stored_numbers.VERSION
        return built_from, rules, self.book_key, self.name, self.per_number

    @property
    def cache_name(self) -> str:
        """Return the name under which the book is in the cache."""
        return f"file-{self.context.name}.{self.name}"


def file_version(path: Path) -> int:
    """Return a number that changes when the file, or the permission to read the file, changes; or `MISSING`."""
    try:
        return _version_of(path.stat())
    except OSError:
        return MISSING


def _version_of(status: os.stat_result) -> int:
    values = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    return int.from_bytes(blake2b(repr(values).encode(), digest_size=7).digest()) + 1


def read_file(path: Path, region: str) -> tuple[int, FileReading]:
    """Return the version of a file, and its contacts or problems.  The function raises no OSError."""
    try:
        # Without O_NONBLOCK, a named pipe would block the thread forever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return _version_of(status), FileReading.refused(TEXTS.not_file)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                octets = file.read((reading.MOST_MIB << 20) + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        reason = Phrase(TEXTS.no_access, {"error": error.strerror or "I/O error"})
        return file_version(path), FileReading.refused(reason)
    return _version_of(status), read_contacts(octets, region)


def examine(path: Path, region: str) -> FileReport:
    """Read a file without building its book."""
    return _report(*read_file(path, region))


def build_file_book(task: FileTask) -> tuple[FileReport, BuiltBook | None]:
    """Read a file; return the report, and the book unless the file has problems."""
    version, found = read_file(task.path, task.region)
    if found.problem_count:
        return _report(version, found), None
    book = _build_from_file(task, found)
    return _report(version, found), BuiltBook(NO_HISTORY, version, task.build_key, book)


def build_cached_file_book(folder: Path, task: FileTask) -> FileReport:
    """Read a file, and write the book to the cache unless the file has problems; called in another process.

    :param folder: the folder of the cache.
    """
    report, built = build_file_book(task)
    if built is not None:
        BookCache(folder).save(task.cache_name, built)
    return report


def load_file_book(cache: BookCache, task: FileTask) -> BuiltBook | None:
    """Read a file's last good book from the cache; None if no cached book fits the present settings and rules."""
    return cache.load(task.cache_name, task.build_key, task.context, task.sharing)


def present_file_book(cache: BookCache, task: FileTask) -> Book | None:
    """Return the book that a gateway serves: the book of the present file, or else the last good book, or else None."""
    cached = load_file_book(cache, task)
    if cached is not None and cached.generation == file_version(task.path):
        return cached.book
    _, built = build_file_book(task)
    found = built or cached
    return found.book if found is not None else None


def present_contacts(task: FileTask) -> tuple[tuple[Contact, ...], dict[str, str]]:
    """Return a file's contacts and the names of their labels; if the file has a problem, return no contacts."""
    _, found = read_file(task.path, task.context.region)
    return ((), {}) if found.problem_count else (found.contacts, dict(found.labels))


def _build_from_file(task: FileTask, found: FileReading) -> Book:
    return build_book(
        task.context,
        task.book_key,
        task.name,
        task.sharing,
        found.contacts,
        found.labels,
        per_number=task.per_number,
    )


def _report(version: int, found: FileReading) -> FileReport:
    count = 0 if found.problem_count else len(found.contacts)
    return FileReport(version, count, found.problems, found.problem_count, found.ignored)


# --- memory ---


def free_slowly(books: list[Book]) -> None:
    """Free the memory of unused books in small steps, because one large step would stop all threads for 0.2 seconds.

    :param books: the books, which are removed from the list.
    """
    forget_contact_points()  # the cache refers to entries
    entries: list[Entry] = []
    while books:
        book = books.pop()
        for segments in (book.segments, *(label.segments for label in book.labels)):
            for segment in (*segments.contacts, *segments.numbers):
                entries += segment.entries
        # Only the list `entries` may still refer to the entries, so that the loop below frees them in small steps.
        del book, segments, segment
    while entries:
        del entries[-_FREED_AT_ONCE:]
