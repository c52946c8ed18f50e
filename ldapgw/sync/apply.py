# SPDX-License-Identifier: MIT
"""Carrying a sync out: plans are made and done in one transaction, with the new sync tokens in it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection

from ldapgw.contact import Source
from ldapgw.errors import GoogleError, StoreError, SuspiciousShrink
from ldapgw.store import accounts, contacts, directory_accounts, sync_state
from ldapgw.store.accounts import Account, SourceState
from ldapgw.store.contacts import RecordSummary, SyncState
from ldapgw.store.sync_state import LabelState
from ldapgw.sync import backoff
from ldapgw.sync.fetch import FetchedSource
from ldapgw.sync.plan import SyncPlan, is_suspicious, make_plan, planned_records

# These are one book; the directory is one of its own.
_BOOK_SOURCES = frozenset({Source.CONTACTS, Source.OTHER_CONTACTS})
# Above so many changes it is quicker to look at all that is stored.
MAX_KEYED_READ = 2000


@dataclass(frozen=True, slots=True, repr=False)
class SyncResult:
    """All that one sync writes.

    :ivar generation: of the account, when its sync began.
    :ivar states: of the sources that this sync is about.
    :ivar asked: of those, the ones that Google was asked for.
    :ivar failed: of those, the ones that could not be had, while the others could; of the contacts it is their labels.
    :ivar forgotten: sources that are no longer to be had.
    :ivar labels: all of the account's; None: they are as they were.
    :ivar may_lose: as many contacts may vanish though that is suspicious.
    :ivar leaves_directory: the directory is a source still, though not by this account: another one is to have it.
    """

    generation: int
    fetched: Collection[FetchedSource]
    states: Mapping[Source, SourceState]
    requested: Collection[Source] = ()
    failed: Mapping[Source, GoogleError] = field(default_factory=dict)
    removed_sources: Collection[Source] = ()
    labels: LabelState | None = None
    max_loss: float = field(default=0, kw_only=True)
    hands_over_directory: bool = field(default=False, kw_only=True)


def apply_sync_result(connection: Connection, account: Account, result: SyncResult, now: float) -> bool:
    """Write all of a sync; nothing when the account was disconnected or connected anew meanwhile.

    :returns: whether contacts have changed.
    :raises SuspiciousShrink: when so much would vanish that a person has to accept it first; nothing is written then.
    :raises BadResponse: when a listing turns out to be none, as its pages are the same; nothing is written then.
    :raises StoreError: when the contacts are not those any more that the listings continue.
    """
    current = accounts.read(connection, account.id, counted=False)
    if current is None or current.connected_at != account.connected_at:
        return False
    if current.generation != result.generation:
        raise StoreError("a backup was restored while the account was syncing, or it got the directory; it syncs anew")
    if any(one.query.source is Source.DIRECTORY for one in result.fetched):
        directory_accounts.take_over_directory(connection, account)
    plans = [_plan(connection, account, one, now) for one in result.fetched]
    _check_shrink(connection, account, plans, result.max_loss)
    changed = _write(connection, account, result, plans, now)
    if result.hands_over_directory:
        directory_accounts.hand_over_directory(connection, account.id)
    for source in result.removed_sources:
        changed = contacts.delete_source(connection, account.id, source) or changed
        directory_accounts.clear_failure(connection, account.id, source)
    if result.labels is not None:
        changed = sync_state.write_label_state(connection, account.id, result.labels) or changed
    if changed:
        sync_state.increment_generation(connection, account.id)
    return changed


def _write(
    connection: Connection, account: Account, result: SyncResult, plans: Collection[SyncPlan], now: float
) -> bool:
    """Write what was fetched: persons, states and tokens; whether contacts have changed."""
    before = contacts.read_sync_states(connection, account.id)
    sync_state.write_source_states(connection, account.id, result.states)
    for plan, one in zip(plans, result.fetched, strict=True):
        if not plan.is_empty:
            contacts.apply_changes(
                connection, account.id, plan.source, planned_records(plan, one.pages), plan.deleted_uids
            )
        contacts.mark_missing(connection, account.id, plan.source, plan.missing_uids, now)
        contacts.set_sync_state(connection, account.id, plan.source, _state(one, before, now))
        if plan.source is Source.DIRECTORY:
            directory_accounts.clear_directory_failures(connection, account.tenant)
    _note_failures(connection, account, result, now)
    contacts.set_asked_at(connection, account.id, result.requested, now)
    changed = not all(plan.is_empty for plan in plans)
    if changed:
        contacts.delete_duplicates(connection, account.id)
    return changed


def _note_failures(connection: Connection, account: Account, result: SyncResult, now: float) -> None:
    """Note which of the account's own sources could not be had; those that could, or need not, are well."""
    for source in set(result.states) - {Source.DIRECTORY}:
        error = result.failed.get(source)
        if error is not None:
            since = directory_accounts.failing_since(connection, account.id, source)
            lasted = max(now - since, 0.0) if since is not None else 0.0
            if source is Source.CONTACTS:
                directory_accounts.record_failure(connection, account.id, source, error, now, now, failed_part="labels")
                continue
            directory_accounts.record_failure(
                connection, account.id, source, error, now, now + backoff.after_source_failure(error, lasted)
            )
        elif source in result.requested or result.states[source] is not SourceState.ON:
            directory_accounts.clear_failure(connection, account.id, source)


def _plan(connection: Connection, account: Account, fetched: FetchedSource, now: float) -> SyncPlan:
    source = fetched.query.source
    if not fetched.is_full and not fetched.person_count:
        return SyncPlan(source)
    persons = None if fetched.is_full or fetched.person_count > MAX_KEYED_READ else _persons(fetched)
    stored: Mapping[str, RecordSummary] = contacts.read_summaries(connection, account.id, source, persons)
    return make_plan(source, stored, fetched.pages, full=fetched.is_full, total=fetched.total, now=now)


def _persons(fetched: FetchedSource) -> tuple[frozenset[str], frozenset[str]]:
    """The uids and source ids that a listing speaks of."""
    items = list(fetched.pages)
    uids = {uid for item in items for uid in (item.uid, *item.previous_uids)}
    return frozenset(uids), frozenset(item.source_id for item in items if item.source_id)


def _check_shrink(connection: Connection, account: Account, plans: Collection[SyncPlan], max_loss: float) -> None:
    """Doubt a source that shrinks, and a book that does, whichever of its sources were listed in full."""
    lost = sum(plan.lost_count for plan in plans)
    if lost <= max_loss:
        return
    listed = {plan.source for plan in plans if plan.served_count}
    unlisted = frozenset() if Source.DIRECTORY in listed else _BOOK_SOURCES - listed
    before = sum(plan.served_count for plan in plans) + contacts.count_served(connection, account.id, unlisted)
    if any(plan.is_suspicious for plan in plans) or is_suspicious(before, lost):
        raise SuspiciousShrink(before, lost)


def _state(fetched: FetchedSource, before: Mapping[Source, SyncState], now: float) -> SyncState:
    held = before.get(fetched.query.source)
    if fetched.is_full or held is None:
        return SyncState(fetched.sync_token, fetched.query.fingerprint, now, now)
    # A token that was taken away meanwhile stays away: stored contacts were found to be damaged, and all are due.
    return SyncState(held.sync_token and fetched.sync_token, fetched.query.fingerprint, held.full_sync_at, now)
