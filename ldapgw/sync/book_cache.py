# SPDX-License-Identifier: MIT
"""A cache of built books on disk, so that a start reads the books instead of building the books again.

The gateway never depends on a cached book.  A cached book is used only if the file is intact and the book was built by
the same code from the same inputs; otherwise the gateway builds the book from the stored contacts.  A cached book
contains contacts, so the gateway deletes the book when its account is removed.
"""

from __future__ import annotations

import gc
import os
import sys
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

import msgspec
from twisted.logger import Logger

from ldapgw.contact import Sharing
from ldapgw.directory.book import FILE_FORMAT, Book, max_changes, read_book, write_book
from ldapgw.directory.index import DamagedFile, RecordReader, RecordWriter, verified_records
from ldapgw.directory.naming_context import NamingContext
from ldapgw.store.accounts import Account
from ldapgw.store.changes import NO_HISTORY, History
from ldapgw.store.contacts import KEPT_GENERATIONS

log = Logger()

FOLDER = "images"
_ENDING = ".image"
# A file with this ending is being written, and is renamed when the file is complete.
_UNFINISHED = ".new"

# The inputs of an account's book except contacts: context, account id, sub, address, whether each number has an entry.
# The book of a file has other inputs of the same types (`ldapgw.sync.book_builder.FileTask`).
BuildKey = tuple[NamingContext, int, str, str, bool]

# The number of generations by which a cached book may lag behind.  The store keeps the changes of twice as many
# generations.
_MAX_CACHE_LAG = KEPT_GENERATIONS // 2

# A book with at least this number of contacts is flushed to the disk, because building the book anew would take longer
# than flushing the book's file.
_MIN_FLUSHED = 500

# Libraries whose version decides the content of a built book.
LIBRARIES = ("anyascii", "msgspec", "phonenumbers")


@dataclass(frozen=True, slots=True)
class BuiltBook:
    """A book, and its inputs.

    :ivar history: the history of the database to which the generation refers; the book is valid only in this history.
    :ivar generation: generation of the account's contacts; the book has at least the changes up to this generation.
    :ivar build_key: the other inputs; the book is built anew when these inputs change.
    :ivar cached_generation: the generation of the book in the cache, or None if the book is not in the cache.
    :ivar uncached_changes: the number of contacts that have changed since the cached generation.
    """

    history: History
    generation: int
    build_key: BuildKey
    book: Book
    cached_generation: int | None = None
    uncached_changes: int = 0

    @property
    def is_cache_current(self) -> bool:
        """Return whether the next start can revise the cached book, even after many more syncs."""
        if self.cached_generation is None or self.uncached_changes > max_changes(self.book) // 2:
            return False
        return self.generation - self.cached_generation <= _MAX_CACHE_LAG

    def is_of(self, account: Account) -> bool:
        """Return whether the book is of this account, and not of a former account with the same id."""
        context, _, sub, *_ = self.build_key
        return (context.name, sub) == account.identity

    def shares_entries(self, after: BuiltBook | None) -> bool:
        """Return whether a newer version of the book shares a segment, and so most entries, with this book."""
        kept = {id(segment.entries) for segment in after.book.segments.contacts} if after is not None else set()
        return any(id(segment.entries) in kept for segment in self.book.segments.contacts)


class BookCache:
    """A folder of cached books.  The methods wait for the disk, and log errors instead of raising them.

    :param folder: the folder, which is created when needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(
        self, name: str, build_key: BuildKey, context: NamingContext, sharing: Sharing, history: History = NO_HISTORY
    ) -> BuiltBook | None:
        """Read a cached book; return None if the cache has no book of this name, build key and history.

        :param history: the history that the book must belong to, or `NO_HISTORY` for any history.
        """
        try:
            with _gc_paused(), self._file(name).open("rb") as file:
                source = verified_records(file)
                found_fingerprint, found_history, generation = _read_header(source)
                if found_fingerprint != _fingerprint(build_key) or history not in (NO_HISTORY, found_history):
                    return None
                book = read_book(source, context, sharing)
                return BuiltBook(found_history, generation, build_key, book, generation)
        except FileNotFoundError:
            return None
        except (OSError, DamagedFile) as error:
            log.warn(
                "the cached book {name} cannot be read, and is rebuilt: {kind}",
                event="cached_book_unreadable",
                tenant=context.name,
                account=_account_id(name),
                name=name,
                kind=_kind(error),
            )
            return None

    def save(self, name: str, built: BuiltBook) -> None:
        """Write a book to the cache, in place of the cached book of this name."""
        file = self._file(name)
        new = file.with_suffix(_UNFINISHED)
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            new.unlink(missing_ok=True)
            new.touch(mode=0o600, exist_ok=False)
            with new.open("wb") as opened:
                writer = RecordWriter(opened)
                writer.value((_fingerprint(built.build_key), built.history, built.generation))
                write_book(built.book, writer)
                writer.end()
                # Without a flush a power cut could leave a truncated file, and a large book takes long to build.
                if len(built.book) >= _MIN_FLUSHED:
                    opened.flush()
                    os.fsync(opened.fileno())
            with suppress(FileNotFoundError):  # `delete` deletes the new file if the account is gone
                new.replace(file)
        except OSError as error:
            log.warn(
                "the cached book {name} cannot be written: {kind}; nothing is lost: the next start rebuilds it",
                event="cached_book_unwritable",
                tenant=built.build_key[0].name,
                account=_account_id(name),
                name=name,
                kind=_kind(error),
            )
            with suppress(OSError):
                new.unlink(missing_ok=True)

    def prune(
        self, accounts: Collection[int] = (), directory_accounts: Collection[int] = (), *, unfinished: bool = False
    ) -> None:
        """Delete all cached books except the books of some accounts.

        :param directory_accounts: the ids of the accounts through which a Workspace directory is fetched.
        :param unfinished: whether to keep the unfinished files of these books too, because another thread or process
            may be writing them.
        """
        kept = {self._file(cache_name(each, directory=False)) for each in accounts}
        kept |= {self._file(cache_name(each, directory=True)) for each in directory_accounts}
        if unfinished:
            kept |= {file.with_suffix(_UNFINISHED) for file in kept}
        try:
            found = set(self._folder.iterdir())
        except FileNotFoundError:
            return
        except OSError as error:
            log.warn(
                "{folder} cannot be read: {kind}", event="cache_unreadable", folder=self._folder, kind=_kind(error)
            )
            return
        for file in found - kept:
            self._delete(file)

    def account_ids(self) -> frozenset[int]:
        """Return the ids of the accounts that have cached books; empty if the folder cannot be read."""
        with suppress(OSError):
            found = (_account_id(file.stem) for file in self._folder.glob(f"[0-9]*{_ENDING}"))
            return frozenset(account_id for account_id in found if account_id is not None)
        return frozenset()

    def generations(self) -> Iterator[tuple[int, History, int]]:
        """Yield for each cached book the account's id, and the history and generation that the book was built from."""
        for account_id in sorted(self.account_ids()):
            for directory in (False, True):
                with (
                    suppress(OSError, DamagedFile),
                    self._file(cache_name(account_id, directory=directory)).open("rb") as file,
                ):
                    _, history, generation = _read_header(RecordReader(file))
                    yield account_id, history, generation

    def prune_files(self, names: Collection[str]) -> None:
        """Delete all cached books of files except the books with the given names."""
        kept = {self._file(name) for name in names}
        with suppress(OSError):
            # An administrator may keep other files in the folder.
            found = {*self._folder.glob(f"file-*{_ENDING}"), *self._folder.glob(f"file-*{_UNFINISHED}")}
            for file in found - kept:
                self._delete(file)

    def delete_account(self, account_id: int) -> None:
        self.delete(cache_name(account_id, directory=directory) for directory in (False, True))

    def delete(self, names: Iterable[str]) -> None:
        """Delete cached books, even while another thread or process writes the books."""
        for name in names:
            file = self._file(name)
            # Delete the unfinished file first.  Otherwise a thread could complete and rename the unfinished file after
            # the cached book was deleted.
            with suppress(OSError):
                file.with_suffix(_UNFINISHED).unlink(missing_ok=True)
            self._delete(file)

    def _delete(self, file: Path) -> None:
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            log.warn(
                "{file} cannot be deleted: {kind}; delete it by hand",
                event="cached_book_undeletable",
                file=file,
                kind=_kind(error),
            )

    def _file(self, name: str) -> Path:
        return self._folder / (name + _ENDING)


def _read_header(source: RecordReader) -> tuple[str, History, int]:
    """Read the beginning of a file: the fingerprint of the book's inputs, the history and the generation.

    :raises DamagedFile: when the file begins with something else.
    """
    try:
        fingerprint, history, generation = source.value(tuple[str, tuple[str, str], int])
    except msgspec.MsgspecError:
        raise DamagedFile from None
    return fingerprint, History(*history), generation


@contextmanager
def _gc_paused() -> Iterator[None]:
    """Pause the garbage collector, and exempt the objects that are read meanwhile from later collections.

    None of these objects is garbage, and the books live long.  A collection would visit all books, and stop all threads
    meanwhile.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.freeze()
            gc.enable()


def cache_name(account_id: int, *, directory: bool) -> str:
    """Return the name of the cached book of an account, or of the directory that is fetched through the account."""
    return f"{account_id}-directory" if directory else str(account_id)


def _account_id(name: str) -> int | None:
    """Return the id of the account that a cached book belongs to, or None for the book of a file."""
    account_id = name.partition("-")[0]
    return int(account_id) if account_id.isdecimal() else None


def _fingerprint(build_key: BuildKey) -> str:
    """Return the fingerprint of the code and of a book's inputs except contacts."""
    return blake2b(repr((_code(), build_key)).encode(), digest_size=16).hexdigest()


@cache
def _code() -> str:
    """Return the versions of the code and the libraries that build and write a book."""
    versions = [version(name) for name in LIBRARIES]
    return repr((FILE_FORMAT, versions, unicodedata.unidata_version, sys.byteorder))


def _kind(error: Exception) -> str:
    """Describe an error without any data from the file."""
    return (error.strerror if isinstance(error, OSError) else None) or "the file is damaged"
