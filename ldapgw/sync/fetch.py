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
from ldapgw.google.person import READING
from ldapgw.store.account_status import Progress
from ldapgw.store.contacts import SyncState
from ldapgw.sync.plan import is_cut
from ldapgw.sync.records import Item, read_batch, read_items

IN_MEMORY = 1 << 20

_LENGTH = struct.Struct(">I")


class Spool:
    """The items of one listing, page after page.  Its methods may wait for the disk.

    :param folder: where the file would be.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = SpooledTemporaryFile(IN_MEMORY, dir=str(folder))  # noqa: SIM115  closed by `close`

    def add(self, items: bytes) -> None:
        """Keep what came of a page.

        :raises StoreError: when the disk is full.
        """
        try:
            self._file.write(_LENGTH.pack(len(items)) + items)
        except OSError as error:
            raise StoreError(f"{self._folder}: cannot be written to: {error.strerror}") from None

    def __iter__(self) -> Iterator[Item]:
        """All items, in the order in which they came; a page of them is in memory at a time."""
        try:
            self._file.seek(0)
            while head := self._file.read(_LENGTH.size):
                yield from read_items(self._file.read(_LENGTH.unpack(head)[0]))
        except OSError as error:
            raise StoreError(f"{self._folder}: cannot be read: {error.strerror}") from None

    def close(self) -> None:
        """Forget all of it."""
        # What a full disk did not take is not missed.
        with suppress(OSError):
            self._file.close()


DAY = 86400
# Full syncs are done this early, and up to a day earlier; Google's tokens last seven.
TOKEN_DAYS = 6


@dataclass(frozen=True, slots=True)
class Wanted:
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
        return "|".join((fingerprint(self.source), f"{READING}", self.region, *sorted(self.labels or ())))


@dataclass(frozen=True, slots=True, repr=False)
class Fetched:
    """What Google said of one source, all of it.

    :ivar persons: how many it spoke of.
    :ivar total: how many there are by Google's own count; 0 where it does not say.
    :ivar labels: resource names of the user's labels that they have.
    """

    wanted: Wanted
    spool: Spool
    sync_token: str
    full: bool
    persons: int
    total: int
    labels: frozenset[str]


def token_for(wanted: Wanted, state: SyncState | None, sub: str, now: float) -> str | None:
    """The sync token to go on with; None when a full sync is due.

    Google's tokens end after seven days.  A full one is done before, spread over the last of the days by account and
    source, so that those who connected on one day do not use up Google's small quota of full syncs together.

    :param sub: Google's key of the account.
    """
    if state is None or state.fingerprint != wanted.fingerprint or state.full_sync_at is None:
        return None
    spread = crc32(f"{sub}/{wanted.source}".encode()) % DAY
    return state.sync_token if now - state.full_sync_at < TOKEN_DAYS * DAY - spread else None


def wanted_labels(configured: Iterable[str], names: Mapping[str, str]) -> frozenset[str] | None:
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
        wanted: Wanted,
        sync_token: str | None,
        authorized: Authorized,
        note: Callable[[Progress], None] = lambda _: None,
    ) -> Fetched:
        """All pages of a source: what changed since a sync token was given, or everything.

        Whoever gets it closes its spool.

        :param authorized: makes each of the calls to Google.
        :param note: is told how far it is.
        :raises GoogleError: as `People.pages`; `BadResponse` when a full listing held far less than Google's own
            total: who was not listed is not gone.
        """
        spool = Spool(self._folder)
        try:
            return await self._fetch(wanted, sync_token, authorized, note, spool)
        except BaseException:
            spool.close()
            raise

    async def _fetch(
        self,
        wanted: Wanted,
        sync_token: str | None,
        authorized: Authorized,
        note: Callable[[Progress], None],
        spool: Spool,
    ) -> Fetched:
        reader = partial(read_batch, source=wanted.source, region=wanted.region, labels=wanted.labels)
        last = ""
        persons = total = 0
        labels: set[str] = set()
        async for page in self._people.pages(wanted.source, authorized, sync_token, reader):
            await self._run_off_thread(spool.add, page.content.items)
            persons += page.content.persons
            labels |= page.content.labels
            last = page.next_sync_token or last
            total = page.total or total
            note(Progress(wanted.source, persons, total or None))
        if sync_token is None and is_cut(persons, total):
            raise BadResponse("the listing is shorter than its total")
        return Fetched(wanted, spool, last, sync_token is None, persons, total, frozenset(labels))


def close_all(fetched: Collection[Fetched]) -> None:
    """Forget listings."""
    for one in fetched:
        one.spool.close()
