# SPDX-License-Identifier: MIT
"""Reads a configured file and builds its book, on a thread or in another process."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

from ldapgw.contact import Contact, Sharing
from ldapgw.directory.book import FILE_PREFIX, Book, build_book
from ldapgw.directory.naming_context import NamingContext
from ldapgw.files import reading
from ldapgw.files.card import TEXTS
from ldapgw.files.reading import FileReading, FileReport, read_contacts
from ldapgw.numbers import stored_numbers
from ldapgw.phrase import Phrase
from ldapgw.store.changes import NO_HISTORY
from ldapgw.sync.book_cache import BookCache, BuildKey, BuiltBook

# The folder of the cached books of files.
FOLDER = "file-images"

# The version of a missing file.
MISSING = 0


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
        """Return the inputs of the book besides the file."""
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
        return _version(path.stat())
    except OSError:
        return MISSING


def _version(status: os.stat_result) -> int:
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
                return _version(status), FileReading.refused(TEXTS.not_file)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                octets = file.read((reading.MOST_MIB << 20) + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        reason = Phrase(TEXTS.no_access, {"error": error.strerror or "I/O error"})
        return file_version(path), FileReading.refused(reason)
    return _version(status), read_contacts(octets, region)


def examine(path: Path, region: str) -> FileReport:
    """Read a file without building its book."""
    return _report(*read_file(path, region))


def build_file_book(task: FileTask) -> tuple[FileReport, BuiltBook | None]:
    """Read a file; return the report, and the book unless the file has problems."""
    version, found = read_file(task.path, task.region)
    if found.problem_count:
        return _report(version, found), None
    book = _build(task, found)
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
    """Return the contacts of a good file and the names of their labels; nothing for a file with problems."""
    _, found = read_file(task.path, task.context.region)
    return ((), {}) if found.problem_count else (found.contacts, dict(found.labels))


def _build(task: FileTask, found: FileReading) -> Book:
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
    contacts = 0 if found.problem_count else len(found.contacts)
    return FileReport(version, contacts, found.problems, found.problem_count, found.ignored)
