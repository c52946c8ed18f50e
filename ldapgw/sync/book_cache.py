# SPDX-License-Identifier: MIT
"""Books as they were built, on disk: so that a start reads them and does not build them again.

An image is never needed.  It counts only if it is whole and was made by the same code of the same things; whatever else
there is makes the gateway build the book of the stored contacts.  It holds contacts, and goes when they go.
"""

from __future__ import annotations

import gc
import os
import sys
import unicodedata
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

from twisted.logger import Logger

from ldapgw.contact import Sharing
from ldapgw.directory import book_file
from ldapgw.directory.access import NamingContext
from ldapgw.directory.book import Book
from ldapgw.directory.index import DamagedFile, RecordWriter, verified_records

log = Logger()

FOLDER = "images"
_ENDING = ".image"
# What becomes an image when it is whole.
_UNFINISHED = ".new"

# What else decides what a cached book holds.
LIBRARIES = ("anyascii", "msgspec", "phonenumbers")


@dataclass(frozen=True, slots=True)
class CachedBook:
    """A book, and the generation of its account's contacts that it was built of."""

    generation: int
    book: Book


class BookCache:
    """A folder of images.  Its methods wait for the disk, and raise nothing: trouble is a line of the log.

    :param folder: need not be there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, name: str, build_key: object, context: NamingContext, sharing: Sharing) -> CachedBook | None:
        """The book of a name; None where there is none that was made of the same things.

        :param made_of: whatever a book depends on besides contacts; its ``repr`` counts.
        """
        try:
            with _gc_paused(), self._file(name).open("rb") as file:
                source = verified_records(file)
                made, generation = source.value(tuple[str, int])
                if made != _fingerprint(build_key):
                    return None
                return CachedBook(generation, book_file.read(source, context, sharing))
        except FileNotFoundError:
            return None
        except (OSError, DamagedFile) as error:
            log.warn("the image {name} cannot be read, its book is built anew: {kind}", name=name, kind=_kind(error))
            return None

    def save(self, name: str, build_key: object, cached: CachedBook) -> None:
        """Write a book down, in place of the one that there is."""
        file = self._file(name)
        new = file.with_suffix(_UNFINISHED)
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            new.unlink(missing_ok=True)
            new.touch(mode=0o600, exist_ok=False)
            with new.open("wb") as opened:
                to = RecordWriter(opened)
                to.value((_fingerprint(build_key), cached.generation))
                book_file.write(cached.book, to)
                to.end()
                # Else it might be torn when the power fails, and a large book takes long to build.
                opened.flush()
                os.fsync(opened.fileno())
            new.replace(file)
        except OSError as error:
            log.warn("the image {name} cannot be written: {kind}", name=name, kind=_kind(error))
            with suppress(OSError):
                new.unlink(missing_ok=True)

    def prune(self, names: Collection[str], *, unfinished: bool = False) -> None:
        """Delete all others.

        :param unfinished: whether those of these names that somebody may be writing are kept too.
        """
        kept = {self._file(name) for name in names}
        if unfinished:
            kept |= {file.with_suffix(_UNFINISHED) for file in kept}
        try:
            found = set(self._folder.iterdir())
        except FileNotFoundError:
            return
        except OSError as error:
            log.warn("{folder} cannot be read: {kind}", folder=self._folder, kind=_kind(error))
            return
        for file in found - kept:
            self._delete(file)

    def delete(self, account_id: int) -> None:
        """Delete what there is of an account."""
        for feeds in (False, True):
            self._delete(self._file(cache_name(account_id, directory=feeds)))

    def _delete(self, file: Path) -> None:
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            log.warn("{file} cannot be deleted; do that: {kind}", file=file, kind=_kind(error))

    def _file(self, name: str) -> Path:
        return self._folder / (name + _ENDING)


@contextmanager
def _gc_paused() -> Iterator[None]:
    """Nothing that is read is garbage, and looking at all of it again and again would stop everybody."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def cache_name(account_id: int, *, directory: bool) -> str:
    """The name of an account's image, or of the one of the Workspace directory that comes through it."""
    return f"{account_id}-directory" if directory else str(account_id)


def _fingerprint(build_key: object) -> str:
    """What tells apart books that were made of different things, besides contacts."""
    return blake2b(repr((_code(), build_key)).encode(), digest_size=16).hexdigest()


@cache
def _code() -> str:
    """What tells apart versions of what makes and writes a book."""
    known = [version(name) for name in LIBRARIES]
    return repr((book_file.FORMAT, known, unicodedata.unidata_version, sys.byteorder))


def _kind(error: Exception) -> str:
    """What is wrong, without any data."""
    return (error.strerror if isinstance(error, OSError) else None) or "it is not as it was written"
