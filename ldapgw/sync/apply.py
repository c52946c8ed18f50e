# SPDX-License-Identifier: MIT
"""The transactions of a sync: a sync begins from the stored state of an account, and its result is applied as a whole.

To apply a result is to plan the fetched sources, and to write them in one transaction with the new sync tokens.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection
from twisted.logger import Logger

from ldapgw.contact import Source
from ldapgw.errors import (
    ConsentRevoked,
    GoogleError,
    ScopeMissing,
    SourceUnavailable,
    SuspiciousShrink,
    SyncOutdated,
)
from ldapgw.google.people import PAGE_SIZE
from ldapgw.store import accounts, contacts, directory_accounts, sync_history, sync_state
from ldapgw.store.accounts import Account, ListingWarnings, SourceState, Tokens
from ldapgw.store.contacts import RecordSummary
from ldapgw.store.database import keeping_alive
from ldapgw.store.secrets import SecretBox
from ldapgw.store.sync_history import NO_FIGURES, SyncFigures
from ldapgw.store.sync_state import DIRECTORY_SHRUNK, INCOMPLETE, NO_SYNC_TOKEN, LabelState, SyncState
from ldapgw.sync import retry
from ldapgw.sync.fetch import (
    DueSync,
    FetchedSource,
    SourceQuery,
    SyncedTenant,
    choose_directory_account,
    is_directory_kept,
    resolve_label_filter,
)
from ldapgw.sync.plan import SyncPlan, is_suspicious, make_plan, planned_records

log = Logger()

# The sources of an account's book; the Workspace directory has a book of its own.
_BOOK_SOURCES = frozenset({Source.CONTACTS, Source.OTHER_CONTACTS})
# Above this many changes, reading the summaries of all stored persons is quicker than reading only the summaries of the
# changed persons.
MAX_KEYED_READ = 2000
# Google reports no total for a directory, so a full listing gets a warning if more than this fraction of the stored
# contacts is missing.
MAX_DIRECTORY_LOSS = 0.1


# The state of a source after a refusal by Google; a refusal does not count as a failure.
REFUSAL_STATES: Mapping[type[GoogleError], SourceState] = {
    SourceUnavailable: SourceState.UNAVAILABLE,
    ScopeMissing: SourceState.NOT_GRANTED,
}


@dataclass(frozen=True, slots=True, repr=False)
class StoredState:
    """The stored state of an account before a sync (`ldapgw.store.sync_state.read_start`).

    :ivar tokens: the tokens for the first call, or None if the tokens have to be read again.
    """

    generation: tuple[str, int]
    states: Mapping[Source, SyncState]
    labels: LabelState
    tokens: Tokens | None

    def token(self, source: Source, due: DueSync) -> str | None:
        """Return the sync token of a source if an incremental sync is due."""
        return self.states[source].sync_token if due is DueSync.INCREMENTAL else None

    def query(self, tenant: SyncedTenant, source: Source, labels: LabelState | None = None) -> SourceQuery:
        """Return the parameters of a fetch.

        :param labels: the account's labels, or None for the stored labels.
        """
        labels = labels or self.labels
        page_size = (self.states[source].page_size if source in self.states else None) or PAGE_SIZE
        if source is not Source.CONTACTS:
            return SourceQuery(source, tenant.region, page_size=page_size, photos=tenant.photos)
        included = resolve_label_filter(tenant.labels, labels.names)
        excluded = resolve_label_filter(tenant.excluded_labels, labels.names)
        if excluded is not None and not labels.is_known:
            included = frozenset()  # serve no contact: any contact may have an excluded label
        return SourceQuery(source, tenant.region, included, page_size, excluded or frozenset(), tenant.photos)

    def changed_queries(self, tenant: SyncedTenant) -> list[Source]:
        """Return the sources whose last sync used another configuration or version of ldapgw.

        Labels that were renamed at Google since then do not count.
        """
        fingerprints = {source: state.fingerprint for source, state in self.states.items()}
        return [
            source for source, text in fingerprints.items() if text not in ("", self.query(tenant, source).fingerprint)
        ]


@dataclass(frozen=True, slots=True, repr=False)
class BegunSync:
    """A sync whose beginning is recorded: the account with its pending sync, and its stored state."""

    account: Account
    stored: StoredState


@dataclass(frozen=True, slots=True)
class SyncEnd:
    """The end of a sync, which the store records if the sync succeeds.

    :ivar begun_at: when the sync began, in seconds since the epoch.
    :ivar wait: the seconds from the end of this sync to the next sync.
    """

    begun_at: float
    wait: float


@dataclass(frozen=True, slots=True, repr=False)
class SyncResult:
    """The result of one sync, to be written in one transaction.

    :ivar generation: the epoch and the account's generation when the sync began.
    :ivar failed: the errors of sources, if other sources could be fetched.  An error of the labels has the key
        `Source.CONTACTS`.
    :ivar removed_sources: sources whose stored contacts are deleted.
    :ivar labels: all labels of the account, or None if the labels are unchanged.
    :ivar changed_queries: the sources whose last sync used another configuration.
    :ivar max_loss: the number of contacts that may vanish even if the loss is suspicious.
    :ivar hands_over_directory: whether another account of the tenant takes over the directory, which this account can
        no longer fetch.
    """

    generation: tuple[str, int]
    fetched: Collection[FetchedSource]
    states: Mapping[Source, SourceState]
    requested: Collection[Source] = ()
    failed: Mapping[Source, GoogleError] = field(default_factory=dict)
    removed_sources: Collection[Source] = ()
    labels: LabelState | None = None
    changed_queries: Collection[Source] = field(default=(), kw_only=True)
    max_loss: float = field(default=0, kw_only=True)
    hands_over_directory: bool = field(default=False, kw_only=True)


def begin_sync(connection: Connection, secret_box: SecretBox, account_id: int) -> BegunSync | None:
    """Record that a sync begins, and read all that the sync starts from; return None if the account is not connected.

    :raises StoreError: if the tokens were encrypted with an unknown key.
    """
    accounts.lock(connection, account_id)
    rows = accounts.read_rows(connection, account_id)
    account = None if rows is None else sync_state.begin(connection, account_id, rows)
    if rows is None or account is None:
        return None
    return BegunSync(account, StoredState(*sync_state.read_start(connection, secret_box, rows)))


def read_stored_state(connection: Connection, secret_box: SecretBox, account_id: int) -> StoredState:
    """Read the state from which a sync starts.

    :raises ConsentRevoked: if there is no such account any more.
    :raises StoreError: if the tokens were encrypted with an unknown key.
    """
    rows = accounts.read_rows(connection, account_id)
    if rows is None:
        raise ConsentRevoked("the account is gone")
    return StoredState(*sync_state.read_start(connection, secret_box, rows))


def source_state(account: Account, source: Source) -> SourceState:
    """Return the stored state of a granted source; a source without a state is assumed to be on."""
    return account.sources.get(source, SourceState.ON)


def apply_and_end(
    connection: Connection,
    account: Account,
    result: SyncResult,
    now: float,
    end: SyncEnd | None,
    *,
    may_fetch_directory: bool,
) -> tuple[SyncFigures | None, bool]:
    """Write the result of a sync; if nothing has changed and no other step follows, also record the end of the sync.

    :returns: the figures of `apply_sync_result`, and whether the end is recorded.
    """
    figures = apply_sync_result(connection, account, result, now)
    if end is None or figures is not None:
        return figures, False
    if may_fetch_directory and is_directory_account(connection, account, now):
        return figures, False
    return figures, sync_state.end(connection, account, now, now + end.wait, begun_at=end.begun_at)


def is_directory_account(connection: Connection, account: Account, now: float, own_error: str = "") -> bool:
    """Return whether a tenant's directory is fetched through an account now; see `SyncJob.sync_directory`.

    The function first looks only at the directory account.  Otherwise each sync of each account of a large Workspace
    would read all accounts, only to find that the directory account stays the same.
    """
    if is_directory_kept(directory_accounts.read_current_candidates(connection, account.tenant), account.id, now):
        return False
    stored = directory_accounts.read_candidates(connection, account.tenant)
    # Until this sync ends, the store has the error of the previous sync.
    candidates = [
        replace(candidate, account_error=own_error) if candidate.account_id == account.id else candidate
        for candidate in stored
    ]
    requested_id = account.id if account.pending_sync is not None else None
    return choose_directory_account(candidates, now, requested_id) == account.id


def record_directory_failure(
    connection: Connection, account: Account, error: GoogleError, now: float, next_try: float
) -> None:
    """Record that the directory could not be fetched through an account, unless somebody has changed its consent.

    After a refusal (`REFUSAL_STATES`), another account of the tenant takes over the directory.

    :param next_try: when to try again after a failure, in seconds since the epoch.
    """
    current = accounts.read(connection, account.id)
    if current is None or current.connected_at != account.connected_at or Source.DIRECTORY in current.switched_off:
        return
    refusal_state = REFUSAL_STATES.get(type(error))
    state = refusal_state or source_state(account, Source.DIRECTORY)
    sync_state.write_source_states(connection, account.id, {Source.DIRECTORY: state})
    if refusal_state is None:
        directory_accounts.record_failure(connection, account.id, Source.DIRECTORY, error, now, next_try)
        return
    sync_state.set_asked_at(connection, account.id, [Source.DIRECTORY], now)
    directory_accounts.clear_failure(connection, account.id, Source.DIRECTORY)
    directory_accounts.hand_over_directory(connection, account.id)


def apply_sync_result(connection: Connection, account: Account, result: SyncResult, now: float) -> SyncFigures | None:
    """Write the result of a sync, unless the account was disconnected or connected anew meanwhile.

    :returns: the numbers of changed contacts, or None if nothing has changed.
    :raises SuspiciousShrink: when so many contacts would vanish that a person has to accept the loss first.
    :raises SyncOutdated: when the stored contacts have changed since the sync began, or a person has meanwhile switched
        one of the account's sources on or off.

    After an error nothing is written: the caller rolls the transaction back.
    """
    accounts.lock(connection, account.id)
    present = sync_state.read_present(connection, account)
    if present is None:
        return None
    generation, before = present
    switched_off = {source for source, stored in before.items() if stored.state is SourceState.OFF}
    if switched_off != account.switched_off or generation != result.generation:
        raise SyncOutdated
    if any(fetched.query.source is Source.DIRECTORY for fetched in result.fetched):
        directory_accounts.take_over_directory(connection, account)
    plans = [_plan(connection, account, fetched, result.changed_queries) for fetched in result.fetched]
    _check_shrink(connection, account, plans, result.max_loss)
    changed = _write(connection, account, result, plans, before, now)
    figures = sum((plan.figures for plan in plans), NO_FIGURES)
    if result.hands_over_directory:
        directory_accounts.hand_over_directory(connection, account.id)
    is_full = any(fetched.is_full for fetched in result.fetched)
    # A removed source can have contacts only if the table ``source`` has a row for the source, or if this sync is full.
    # A new consent deletes the rows but keeps the contacts, and requests a full sync.
    if is_full or before.keys() & result.removed_sources:
        removed = contacts.delete_sources(connection, account.id, result.removed_sources)
        changed = removed is not None or changed
        figures += SyncFigures(removed=removed or 0)
        for source in _failing(before).intersection(result.removed_sources):
            directory_accounts.clear_failure(connection, account.id, source)
    if result.labels is not None:
        changed = sync_state.write_label_state(connection, account.id, result.labels) or changed
    if changed:
        sync_state.increment_generation(connection, account.id)
    if is_full or figures != NO_FIGURES:  # a sync without changes writes nothing before its end
        sync_history.add_figures(connection, account.id, account.attempts, figures, now, is_full=is_full)
    return figures if changed else None


def _write(
    connection: Connection,
    account: Account,
    result: SyncResult,
    plans: Collection[SyncPlan],
    before: Mapping[Source, SyncState],
    now: float,
) -> bool:
    """Write the fetched persons, source states, failures and tokens; return whether contacts have changed.

    Most syncs find no changes, and such a sync must not write stored values again.
    """
    sync_state.write_source_states(connection, account.id, result.states, before)
    for plan, fetched in zip(plans, result.fetched, strict=True):
        if not plan.is_empty:
            records = planned_records(plan, keeping_alive(connection, fetched.pages))
            contacts.apply_changes(connection, account.id, plan.source, records, plan.deleted_uids)
        contacts.mark_missing(connection, account.id, plan.source, plan.missing_uids, now)
        state = _sync_state(fetched, plan, before.get(plan.source), now)
        _log_new_warnings(account, plan.source, before.get(plan.source), state)
        sync_state.set_sync_state(connection, account.id, plan.source, state)
        if plan.source is Source.DIRECTORY:
            directory_accounts.clear_directory_failures(connection, account.tenant)
    _record_failures(connection, account, result, _failing(before), now)
    unfetched = set(result.requested) - {plan.source for plan in plans}
    if unfetched:
        sync_state.set_asked_at(connection, account.id, unfetched, now)
    changed = not all(plan.is_empty for plan in plans)
    if changed:
        contacts.delete_duplicates(connection, account.id)
    return changed


def _failing(states: Mapping[Source, SyncState]) -> set[Source]:
    """Return the sources for which a failure is recorded."""
    return {source for source, state in states.items() if state.next_try is not None}


def _record_failures(
    connection: Connection, account: Account, result: SyncResult, failing: Collection[Source], now: float
) -> None:
    """Record the failures of the account's own sources; clear the failures of sources that were fetched or are off."""
    for source in set(result.states) - {Source.DIRECTORY}:
        error = result.failed.get(source)
        if error is not None:
            since = directory_accounts.failing_since(connection, account.id, source)
            failing_seconds = max(now - since, 0.0) if since is not None else 0.0
            if source is Source.CONTACTS:
                directory_accounts.record_failure(connection, account.id, source, error, now, now, failed_part="labels")
                continue
            next_try = now + retry.after_source_failure(error, failing_seconds)
            directory_accounts.record_failure(connection, account.id, source, error, now, next_try)
        elif source in failing and (source in result.requested or result.states[source] is not SourceState.ON):
            directory_accounts.clear_failure(connection, account.id, source)


def _plan(
    connection: Connection, account: Account, fetched: FetchedSource, changed_queries: Collection[Source]
) -> SyncPlan:
    source = fetched.query.source
    if not fetched.is_full and not fetched.person_count:
        return SyncPlan(source)
    persons = None if fetched.is_full or fetched.person_count > MAX_KEYED_READ else _persons(fetched)
    stored: Mapping[str, RecordSummary] = contacts.read_summaries(connection, account.id, source, persons)
    return make_plan(
        source,
        stored,
        keeping_alive(connection, fetched.pages),
        full=fetched.is_full,
        total=fetched.total,
        is_query_changed=source in changed_queries,
    )


def _persons(fetched: FetchedSource) -> tuple[frozenset[str], frozenset[str]]:
    """Return the uids and source ids of all persons in a listing."""
    persons = list(fetched.pages)
    uids = {uid for person in persons for uid in (person.uid, *person.previous_uids)}
    return frozenset(uids), frozenset(person.source_id for person in persons if person.source_id)


def _check_shrink(connection: Connection, account: Account, plans: Collection[SyncPlan], max_loss: float) -> None:
    """Refuse a suspicious loss, of a single source or of the book as a whole, even when not all sources were listed.

    :raises SuspiciousShrink: when more than `max_loss` contacts would vanish and the loss is suspicious.
    """
    lost = sum(plan.lost_count for plan in plans)
    if lost <= max_loss:
        return
    listed = {plan.source for plan in plans if plan.served_count}
    unlisted = frozenset() if Source.DIRECTORY in listed else _BOOK_SOURCES - listed
    before = sum(plan.served_count for plan in plans) + contacts.count_served(connection, account.id, unlisted)
    if any(plan.is_suspicious for plan in plans) or is_suspicious(before, lost):
        raise SuspiciousShrink(before, lost)


def _sync_state(fetched: FetchedSource, plan: SyncPlan, stored: SyncState | None, now: float) -> SyncState:
    """Return the state from which the next sync of a source continues."""
    query = fetched.query
    warnings: ListingWarnings = {NO_SYNC_TOKEN: {}} if fetched.sync_token is None else {}
    if fetched.is_full or stored is None:
        warnings = {**_full_listing_warnings(fetched, plan), **warnings}
        return SyncState(
            fetched.sync_token,
            query.fingerprint,
            now,
            now,
            page_size=query.page_size,
            warnings=warnings,
            total=fetched.total or None,
        )
    # If Google sends no token, the next sync uses the old token once more.  If Google sends no token again, a full sync
    # is due.
    token = fetched.sync_token or (stored.sync_token if NO_SYNC_TOKEN not in stored.warnings else None)
    return SyncState(
        # The stored token is removed during a sync if stored contacts are damaged.  Then no new token is stored, so
        # that the next sync is full.
        stored.sync_token and token,
        # Changed parameters are in effect only after a full sync.
        stored.fingerprint,
        stored.full_sync_at,
        now,
        page_size=query.page_size,
        warnings={**{code: facts for code, facts in stored.warnings.items() if code != NO_SYNC_TOKEN}, **warnings},
        total=stored.total,
    )


def _log_new_warnings(account: Account, source: Source, before: SyncState | None, after: SyncState) -> None:
    for code, figures in after.warnings.items():
        if before is None or code not in before.warnings:
            text = " ".join(f"{name}={figure}" for name, figure in figures.items())
            log.warn(
                "source {source} of account {account} was synced with a warning: {code} {figures}",
                event="sync_warning",
                tenant=account.tenant,
                source=source.value,
                account=account.id,
                code=code,
                figures=text,
            )


def _full_listing_warnings(fetched: FetchedSource, plan: SyncPlan) -> ListingWarnings:
    """Return the warnings about a full listing; a listing with warnings is applied too."""
    warnings: dict[str, Mapping[str, int]] = {}
    if plan.listed_count < fetched.total:
        warnings[INCOMPLETE] = {"listed": plan.listed_count, "total": fetched.total}
    if plan.source is Source.DIRECTORY and plan.lost_count > plan.served_count * MAX_DIRECTORY_LOSS:
        warnings[DIRECTORY_SHRUNK] = {"lost": plan.lost_count, "before": plan.served_count}
    return warnings
