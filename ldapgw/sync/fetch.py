# SPDX-License-Identifier: MIT
"""Decides which fetch is due for a source, fetches the source from Google, and stores the progress.

The pages of a listing are buffered until the last page has arrived, so that no partial listing is used.  A small
listing is buffered in memory, a large listing in a file without a name.  The operating system deletes the file when the
process ends, even if the process is killed, and the file is as private as its folder.

One account at a time fetches a tenant's Workspace directory.  When this account fails, another account takes over; when
all accounts fail, the accounts take turns, so that the gateway notices when the directory is available again.

Mutable: `PageBuffer` and `ProgressWriter`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any
from zlib import crc32

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.contact import SYSTEM_LABELS, Source
from ldapgw.errors import BadResponse, ConsentRevoked, LeadLost, StoreError, SuspiciousShrink, UnwritableStore
from ldapgw.google.endpoints import Client
from ldapgw.google.oauth import sources_of
from ldapgw.google.people import PAGE_SIZE, Authorized, People, fingerprint
from ldapgw.google.person import PARSER_VERSION
from ldapgw.store import sync_state
from ldapgw.store.accounts import SourceState
from ldapgw.store.directory_accounts import DirectoryCandidate
from ldapgw.store.sync_state import NO_SYNC_TOKEN, SyncProgress, SyncState
from ldapgw.store.worker import Store
from ldapgw.sync.fetched_page import FetchedPerson, decode_persons, encode_page

log = Logger()

DAY = 86400
HOUR = 3600.0
# A full sync is due after this many days, or up to a day earlier; Google's sync tokens last seven days.
FULL_SYNC_DAYS = 6
# A source without a sync token needs a full sync each time, and Google allows few full syncs.  So the source waits
# for this many intervals, at least for the minimum and at most for the maximum.
INTERVALS_WITHOUT_TOKEN = 6
MIN_SECONDS_WITHOUT_TOKEN = 3600.0
MAX_SECONDS_WITHOUT_TOKEN = 6 * 3600.0
# A listing larger than this many octets is buffered in a file.
MAX_IN_MEMORY = 1 << 20

# After a change of parameters that all accounts share, all full syncs take place within this time.
MAX_SPREAD_SECONDS = 4 * HOUR

# A source that Google refuses is requested again after this time, because administrators may change the settings.
UNAVAILABLE_RETRY_SECONDS = 86400.0
# When this many accounts have recently failed to fetch the directory, no further account is tried.
MAX_FAILING_ACCOUNTS = 3
# The seconds between two writes of a sync's progress; a shorter sync writes no progress.
WRITE_SECONDS = 1.0

_LENGTH = struct.Struct(">I")

# The text that stands for the labels in a fingerprint if none of the configured labels exists.  No contact is served
# then.
_NO_LABEL = "none"


@dataclass(frozen=True, slots=True)
class SyncedTenant:
    """The configuration of a tenant that a sync needs.

    :ivar labels: names of labels; a contact without any of these labels is not served.
        Empty if there is no such limit.
    :ivar region: the region for telephone numbers without a country code.
    :ivar excluded_labels: names of labels; a contact with one of these labels is not served.
    :ivar photos: whether contacts' photos are fetched.
    :ivar remove_leavers: the seconds after which the account of a person who has left is removed; 0 for never.
    """

    client: Client
    sources: tuple[Source, ...]
    labels: tuple[str, ...]
    region: str
    excluded_labels: tuple[str, ...] = ()
    photos: bool = False
    remove_leavers: float = 0.0

    @property
    def has_label_filter(self) -> bool:
        """Return whether labels decide which contacts are served."""
        return bool(self.labels or self.excluded_labels)


@dataclass(frozen=True, slots=True)
class SourceQuery:
    """The parameters of a fetch, on which the stored contacts and the sync token depend.

    :ivar region: the region for telephone numbers without a country code.
    :ivar labels: resource names of labels; a contact without any of these labels is not served.  None if there is no
        such limit.
    :ivar excluded_labels: resource names of labels; a contact with one of these labels is not served.
    :ivar photos: whether the addresses of photos are requested.
    """

    source: Source
    region: str
    labels: frozenset[str] | None = None
    page_size: int = PAGE_SIZE
    excluded_labels: frozenset[str] = frozenset()
    photos: bool = False

    @property
    def fingerprint(self) -> str:
        """Return the parameters sent to Google and the parameters of the conversion, as text.

        All persons are fetched anew when a setting changes, when a label gets a name that the configuration names, or
        when another version of ldapgw converts persons differently.
        """
        request = fingerprint(self.source, self.page_size, photos=self.photos)
        labels = [] if self.labels is None else sorted(self.labels) or [_NO_LABEL]
        excluded = [f"-{label}" for label in sorted(self.excluded_labels)]
        return "|".join((request, f"{PARSER_VERSION}", self.region, *labels, *excluded))

    def is_token_valid(self, state: SyncState) -> bool:
        """Return whether Google accepts a stored sync token with these parameters.

        Only the parameters that are sent to Google have to be equal.  The parameters by which the gateway converts
        persons to contacts may differ.
        """
        return self._parts(self.fingerprint)[0] == self._parts(state.fingerprint)[0]

    def is_changed_for_all(self, state: SyncState) -> bool:
        """Return whether a parameter that all accounts share has changed; labels do not count."""
        return self._parts(self.fingerprint) != self._parts(state.fingerprint)

    @staticmethod
    def _parts(text: str) -> list[str]:
        return text.split("|")[:3]


class DueSync(Enum):
    """The fetch that is due for a source: none yet, the changes since its sync token, or a full listing."""

    NONE = "none"
    INCREMENTAL = "incremental"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class FullSyncLimits:
    """The limits of full syncs that neither a person nor Google has asked for.

    :ivar pause: seconds between two full syncs of a source.
    :ivar seconds_per_account: if parameters of all accounts have changed (such as the region), full syncs are spread
        over this many seconds for each account, at most `MAX_SPREAD_SECONDS` altogether.
    """

    pause: float = HOUR
    seconds_per_account: float = 15.0

    def spread(self, account_count: int) -> float:
        """Return the seconds over which the full syncs of some accounts are spread."""
        return min(self.seconds_per_account * account_count, MAX_SPREAD_SECONDS)


UNLIMITED = FullSyncLimits(0.0, 0.0)


@dataclass(frozen=True, slots=True, repr=False)
class FetchedSource:
    """The listing of one source, from the first page to the last.

    :ivar sync_token: the token for the next incremental sync, or None if Google sent no token.
    :ivar is_full: whether the listing has all persons of the source, and not only the changes since a sync token.
    :ivar total: the number of persons in the source by Google's count, or 0 if Google does not say.
    :ivar labels: resource names of the user's labels that persons of the listing have.
    """

    query: SourceQuery
    pages: PageBuffer
    sync_token: str | None
    is_full: bool
    person_count: int
    total: int
    labels: frozenset[str]


def due_sync(
    query: SourceQuery,
    state: SyncState | None,
    sub: str,
    now: float,
    *,
    interval: float = 0.0,
    limits: FullSyncLimits = UNLIMITED,
    account_count: int = 1,
) -> DueSync:
    """Return the fetch that is due for a source.

    Google's sync tokens expire after seven days.  The full sync comes earlier, within the sixth day.  The time depends
    on account and source, because accounts that were connected on the same day would otherwise use up Google's small
    quota of full syncs together.  If `FullSyncLimits` do not allow a full sync yet, the full sync waits; until
    then, incremental syncs use the old token if Google accepts the token.

    :param sub: Google's key of the user (id_token claim ``sub``).
    :param interval: seconds between syncs; a source without a sync token is fetched less often.
    :param account_count: the number of accounts whose full syncs would be due at the same time after a change of
        parameters of all accounts.
    """
    if state is None or state.full_sync_at is None:
        return DueSync.FULL
    age, phase = now - state.full_sync_at, crc32(f"{sub}/{query.source}".encode())
    is_changed = state.fingerprint != query.fingerprint
    if state.sync_token is not None and not is_changed:
        return DueSync.INCREMENTAL if age < FULL_SYNC_DAYS * DAY - phase % DAY else DueSync.FULL
    spread = limits.spread(account_count) if is_changed and query.is_changed_for_all(state) else 0.0
    pause = limits.pause
    if state.sync_token is None and NO_SYNC_TOKEN in state.warnings and interval and not is_changed:
        pause = min(max(INTERVALS_WITHOUT_TOKEN * interval, MIN_SECONDS_WITHOUT_TOKEN), MAX_SECONDS_WITHOUT_TOKEN)
    if not 0 <= age < pause and has_passed(phase, spread, state.asked_at, now):
        return DueSync.FULL
    return DueSync.INCREMENTAL if state.sync_token is not None and query.is_token_valid(state) else DueSync.NONE


def has_passed(phase: int, period: float, since: float | None, now: float) -> bool:
    """Return whether a moment that recurs once in each period lies between `since` and `now`.

    Callers spread work with this function: each account does its work at its own moment of the period.  So no record is
    needed of the accounts that have done the work.

    :param phase: determines the moment within the period, and differs from account to account.
    :param period: seconds; if 0, the result is always True.
    :param since: seconds since the epoch; if None, the result is always True.
    """
    if not period or since is None or since > now:
        return True
    offset = phase % period
    return (now - offset) // period > (since - offset) // period


def is_resting(state: SourceState | None, asked_at: float | None, now: float) -> bool:
    """Return whether Google has refused a source so recently that the source is not requested now.

    :param asked_at: the time of the last request for the source, in seconds since the epoch; ignored if in the future.
    """
    is_refused = state in (SourceState.UNAVAILABLE, SourceState.NOT_GRANTED)
    return is_refused and asked_at is not None and 0 <= now - asked_at < UNAVAILABLE_RETRY_SECONDS


def choose_directory_account(
    candidates: Iterable[DirectoryCandidate], now: float, requested_account_id: int | None = None
) -> int | None:
    """Return the id of the account through which the directory is fetched now, or None if no account is to be tried.

    :param requested_account_id: an account whose sync a person has requested, and which need not wait after a failure.
    """
    eligible = [candidate for candidate in candidates if _is_eligible(candidate, now)]
    current = next((candidate for candidate in eligible if candidate.is_directory_account), None)
    if current is not None and current.account_id == requested_account_id:
        return requested_account_id
    if current is not None and current.directory_error == SuspiciousShrink.code:
        # The directory has suddenly lost many contacts, and a listing through another account would lack the same
        # contacts.  So no other account is tried until a person has accepted the loss.
        eligible = [current]
    waiting = [
        candidate
        for candidate in eligible
        if candidate.account_id != requested_account_id and _is_backing_off(candidate, now)
    ]
    ready = [candidate for candidate in eligible if candidate not in waiting]
    return min(ready, key=_preference).account_id if ready and len(waiting) < MAX_FAILING_ACCOUNTS else None


def is_directory_kept(current: Collection[DirectoryCandidate], account_id: int, now: float) -> bool:
    """Return whether an account other than `account_id` is sure to stay the directory account.

    `choose_directory_account` prefers an eligible directory account without an error to all other candidates.  If there
    is an account that fulfils these conditions, the caller need not read the other candidates.

    :param current: the result of `ldapgw.store.directory_accounts.read_current_candidates`.
    """
    is_other = all(candidate.account_id != account_id for candidate in current)
    return is_other and any(
        _is_eligible(candidate, now) and not (candidate.directory_error or candidate.account_error)
        for candidate in current
    )


def _is_eligible(candidate: DirectoryCandidate, now: float) -> bool:
    if Source.DIRECTORY not in sources_of(candidate.scopes) or candidate.account_error == ConsentRevoked.code:
        return False
    if candidate.hd == "" or candidate.state is SourceState.OFF:  # a consumer account has no directory
        return False
    return not is_resting(candidate.state, candidate.asked_at, now)


def _is_backing_off(candidate: DirectoryCandidate, now: float) -> bool:
    since, until = candidate.asked_at, candidate.next_try
    return since is not None and until is not None and since <= now < until


def _preference(candidate: DirectoryCandidate) -> tuple[bool, float, bool, int]:
    """Return a key that sorts the best account first.

    Accounts without an error come first, and then the account whose last request is the oldest.  Among equals, the
    directory account comes first, and then the oldest account.
    """
    has_error = bool(candidate.directory_error or candidate.account_error)
    asked_at = (candidate.asked_at or 0.0) if has_error else 0.0
    return has_error, asked_at, not candidate.is_directory_account, candidate.account_id


def resolve_label_filter(configured: Iterable[str], names: Mapping[str, str]) -> frozenset[str] | None:
    """Return the resource names of the labels that the configuration names, or None if no labels are configured.

    :param names: names of the account's labels by resource name.
    """
    folded = {name.casefold() for name in configured}
    if not folded:
        return None
    all_labels = {**names, **{label: label.rpartition("/")[2] for label in SYSTEM_LABELS}}
    return frozenset(resource_name for resource_name, name in all_labels.items() if name.casefold() in folded)


class PageBuffer:
    """The persons of one listing, page after page.  All methods but `close` may wait for the disk.

    :param folder: folder of the file for a large listing.
    :param run_off_thread: calls a function on a thread that may wait for the disk.
    """

    def __init__(self, folder: Path, run_off_thread: Callable[..., Deferred[Any]]) -> None:
        self._folder = folder
        self._run_off_thread = run_off_thread
        self._size = 0
        self._file = SpooledTemporaryFile(MAX_IN_MEMORY, dir=str(folder))  # noqa: SIM115  closed by `close`

    def append_page(self, encoded_persons: bytes) -> None:
        """Append the encoded persons of a page.

        :raises StoreError: when the disk is full.
        """
        self._size += _LENGTH.size + len(encoded_persons)
        try:
            self._file.write(_LENGTH.pack(len(encoded_persons)) + encoded_persons)
        except OSError as error:
            raise UnwritableStore(f"{self._folder}: cannot be written to: {error.strerror}") from None

    def __iter__(self) -> Iterator[FetchedPerson]:
        """Iterate over all persons in order, with one page in memory at a time."""
        try:
            self._file.seek(0)
            while head := self._file.read(_LENGTH.size):
                yield from decode_persons(self._file.read(_LENGTH.unpack(head)[0]))
        except OSError as error:
            raise StoreError(f"{self._folder}: cannot be read: {error.strerror}") from None

    def close(self) -> None:
        """Free the memory or the file of the listing; nobody has to wait until a file is freed."""
        if self._size > MAX_IN_MEMORY:
            # The kernel takes ten milliseconds to free the file of 50,000 persons.
            self._run_off_thread(self._close_file)
        else:
            self._close_file()

    def _close_file(self) -> None:
        # Closing writes buffered octets, which a full disk may refuse; nobody needs these octets any more.
        with suppress(OSError):
            self._file.close()


class Fetcher:
    """The fetcher of complete listings from Google.

    :param folder: folder for the files of large listings.
    :param run_off_thread: calls a function with its arguments on a thread that may wait for the disk.
    """

    def __init__(self, people: People, folder: Path, run_off_thread: Callable[..., Deferred[Any]]) -> None:
        self._people = people
        self._folder = folder
        self._run_off_thread = run_off_thread

    async def fetch(
        self,
        query: SourceQuery,
        sync_token: str | None,
        authorized: Authorized,
        on_progress: Callable[[SyncProgress], None] = lambda _: None,
        *,
        quota_user: str = "",
    ) -> FetchedSource:
        """Fetch all pages of a source: the changes since a sync token, or everything.

        The caller has to close the listing's page buffer.

        :param sync_token: token of the last sync, or None for a full listing.
        :param authorized: makes each call to Google.
        :param quota_user: see `People.pages`.
        :raises GoogleError: as `People.pages`; also `BadResponse` for an empty full listing without a sync token.
        """
        reader = partial(
            encode_page,
            source=query.source,
            region=query.region,
            labels=query.labels,
            excluded_labels=query.excluded_labels,
        )
        next_sync_token = ""
        person_count = total = 0
        labels: set[str] = set()
        pages = self._people.pages(
            query.source, authorized, sync_token, reader, query.page_size, photos=query.photos, quota_user=quota_user
        )
        with ExitStack() as undo:
            buffer = PageBuffer(self._folder, self._run_off_thread)
            undo.callback(buffer.close)
            async for page in pages:
                if page.content.person_count:
                    await self._run_off_thread(buffer.append_page, page.content.encoded_persons)
                person_count += page.content.person_count
                labels |= page.content.labels
                next_sync_token = page.next_sync_token
                total = page.total or total
                on_progress(SyncProgress(query.source, person_count, total or None))
            is_full = sync_token is None
            if is_full and not (person_count or total or next_sync_token):
                # Google sends a sync token even for an account without contacts.  So an empty listing without a sync
                # token may come from another server than Google's.
                raise BadResponse("an empty listing without a sync token")
            undo.pop_all()
        return FetchedSource(query, buffer, next_sync_token or None, is_full, person_count, total, frozenset(labels))


class ProgressWriter:
    """The writer that stores the progress of a running sync, a second after the sync has reported the progress."""

    def __init__(self, clock: IReactorTime, store: Store) -> None:
        self._clock = clock
        self._store = store
        self._latest: dict[int, SyncProgress] = {}
        self._due: dict[int, IDelayedCall] = {}
        self._written: set[int] = set()

    def update(self, account_id: int, progress: SyncProgress | None) -> None:
        """Take the progress of an account's sync, or the end of the sync if the progress is None."""
        if progress is not None:
            self._latest[account_id] = progress
            if account_id not in self._due:
                self._due[account_id] = self._clock.callLater(WRITE_SECONDS, self._write_latest, account_id)
            return
        self._latest.pop(account_id, None)
        if account_id in self._due:
            self._due.pop(account_id).cancel()
        if account_id in self._written:
            self._written.discard(account_id)
            self._write(account_id, None)

    def _write_latest(self, account_id: int) -> None:
        del self._due[account_id]
        self._written.add(account_id)
        self._write(account_id, self._latest[account_id])

    def _write(self, account_id: int, progress: SyncProgress | None) -> None:
        self._store.run(sync_state.write_progress, account_id, progress).addErrback(_log_failure)


def _log_failure(failure: Failure) -> None:
    if not failure.check(StoreError, LeadLost):  # the sync itself fails too, and its failure is logged
        log.failure("storing the progress of a sync failed", failure, event="progress_failed")
