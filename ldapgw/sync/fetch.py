# SPDX-License-Identifier: MIT
"""A place for a listing between its first page and its last.

A delta stays in memory.  What is larger waits in a file that has no name: nothing of it is left, however the process
ends, and it is as private as the folder that it lies in.

All pages of a source, kept on a spool until the last has come: of a listing that is not whole nothing is taken.
"""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any
from zlib import crc32

from ldapgw.contact import SYSTEM_LABELS, Source
from ldapgw.errors import BadResponse, StoreError
from ldapgw.google.people import Authorized, People, fingerprint
from ldapgw.google.person import PARSER_VERSION
from ldapgw.store.account_status import SyncProgress
from ldapgw.store.contacts import SyncState
from ldapgw.sync.plan import is_truncated
from ldapgw.sync.records import FetchedPerson, decode_persons, encode_page

MAX_IN_MEMORY = 1 << 20

_LENGTH = struct.Struct(">I")


class PageBuffer:
    """The items of one listing, page after page.  Its methods may wait for the disk.

    :param folder: where the file would be.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = SpooledTemporaryFile(MAX_IN_MEMORY, dir=str(folder))  # noqa: SIM115  closed by `close`

    def append_page(self, encoded_persons: bytes) -> None:
        """Keep what came of a page.

        :raises StoreError: when the disk is full.
        """
        try:
            self._file.write(_LENGTH.pack(len(encoded_persons)) + encoded_persons)
        except OSError as error:
            raise StoreError(f"{self._folder}: cannot be written to: {error.strerror}") from None

    def __iter__(self) -> Iterator[FetchedPerson]:
        """All items, in the order in which they came; a page of them is in memory at a time."""
        try:
            self._file.seek(0)
            while head := self._file.read(_LENGTH.size):
                yield from decode_persons(self._file.read(_LENGTH.unpack(head)[0]))
        except OSError as error:
            raise StoreError(f"{self._folder}: cannot be read: {error.strerror}") from None

    def close(self) -> None:
        """Forget all of it."""
        # What a full disk did not take is not missed.
        with suppress(OSError):
            self._file.close()


DAY = 86400
# Full syncs are done this early, and up to a day earlier; Google's tokens last seven.
FULL_SYNC_DAYS = 6


@dataclass(frozen=True, slots=True)
class SourceQuery:
    """What is wanted of a source: all that the stored contacts and the sync token depend on.

    :ivar labels: resource names, one of which a contact needs to be served; None: all are.
    """

    source: Source
    region: str
    labels: frozenset[str] | None = None

    @property
    def fingerprint(self) -> str:
        """Of Google's parameters and our reading of persons.

        When a setting changes, a label gets the name that the configuration names, or another ldapgw reads otherwise,
        all persons are read anew.
        """
        return "|".join((fingerprint(self.source), f"{PARSER_VERSION}", self.region, *sorted(self.labels or ())))


@dataclass(frozen=True, slots=True, repr=False)
class FetchedSource:
    """What Google said of one source, all of it.

    :ivar persons: how many it spoke of.
    :ivar total: how many there are by Google's own count; 0 where it does not say.
    :ivar labels: resource names of the user's labels that they have.
    """

    query: SourceQuery
    pages: PageBuffer
    sync_token: str
    is_full: bool
    person_count: int
    total: int
    labels: frozenset[str]


def token_for(query: SourceQuery, state: SyncState | None, sub: str, now: float) -> str | None:
    """The sync token to go on with; None when a full sync is due.

    Google's tokens end after seven days.  A full one is done before, spread over the last of the days by account and
    source, so that those who connected on one day do not use up Google's small quota of full syncs together.

    :param sub: Google's key of the account.
    """
    if state is None or state.fingerprint != query.fingerprint or state.full_sync_at is None:
        return None
    spread = crc32(f"{sub}/{query.source}".encode()) % DAY
    return state.sync_token if now - state.full_sync_at < FULL_SYNC_DAYS * DAY - spread else None


def resolve_label_filter(configured: Iterable[str], names: Mapping[str, str]) -> frozenset[str] | None:
    """Resource names of the labels that a tenant's configuration names; None: all contacts are wanted.

    :param names: the account's labels by resource name.
    """
    folded = {name.casefold() for name in configured}
    if not folded:
        return None
    known = {**names, **{label: label.rpartition("/")[2] for label in SYSTEM_LABELS}}
    return frozenset(resource for resource, name in known.items() if name.casefold() in folded)


class Fetcher:
    """Fetches listings.

    :param folder: where those wait that are too large for memory.
    :param run_off_thread: calls a function with its arguments where it may wait for the disk.
    """

    def __init__(self, people: People, folder: Path, run_off_thread: Callable[..., Awaitable[Any]]) -> None:
        self._people = people
        self._folder = folder
        self._run_off_thread = run_off_thread

    async def fetch(
        self,
        query: SourceQuery,
        sync_token: str | None,
        authorized: Authorized,
        on_progress: Callable[[SyncProgress], None] = lambda _: None,
    ) -> FetchedSource:
        """All pages of a source: what changed since a sync token was given, or everything.

        Whoever gets it closes its spool.

        :param authorized: makes each of the calls to Google.
        :param note: is told how far it is.
        :raises GoogleError: as `People.pages`; `BadResponse` when a full listing held far less than Google's own
            total: who was not listed is not gone.
        """
        spool = PageBuffer(self._folder)
        try:
            return await self._fetch(query, sync_token, authorized, on_progress, spool)
        except BaseException:
            spool.close()
            raise

    async def _fetch(
        self,
        query: SourceQuery,
        sync_token: str | None,
        authorized: Authorized,
        on_progress: Callable[[SyncProgress], None],
        buffer: PageBuffer,
    ) -> FetchedSource:
        reader = partial(encode_page, source=query.source, region=query.region, labels=query.labels)
        last = ""
        persons = total = 0
        labels: set[str] = set()
        async for page in self._people.pages(query.source, authorized, sync_token, reader):
            await self._run_off_thread(buffer.append_page, page.content.encoded_persons)
            persons += page.content.person_count
            labels |= page.content.labels
            last = page.next_sync_token or last
            total = page.total or total
            on_progress(SyncProgress(query.source, persons, total or None))
        if sync_token is None and is_truncated(persons, total):
            raise BadResponse("the listing is shorter than its total")
        return FetchedSource(query, buffer, last, sync_token is None, persons, total, frozenset(labels))


def close_all(fetched: Collection[FetchedSource]) -> None:
    """Forget listings."""
    for one in fetched:
        one.pages.close()
