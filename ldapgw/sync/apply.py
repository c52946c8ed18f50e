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
from ldapgw.store.contacts import Mark, SyncState
from ldapgw.store.sync_state import LabelState
from ldapgw.sync import backoff
from ldapgw.sync.fetch import Fetched
from ldapgw.sync.plan import Plan, is_suspicious, make_plan, records

# These are one book; the directory is one of its own.
_OF_A_BOOK = frozenset({Source.CONTACTS, Source.OTHER_CONTACTS})
# Above so many changes it is quicker to look at all that is stored.
FEW = 2000


@dataclass(frozen=True, slots=True, repr=False)
class Change:
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
    fetched: Collection[Fetched]
    states: Mapping[Source, SourceState]
    asked: Collection[Source] = ()
    failed: Mapping[Source, GoogleError] = field(default_factory=dict)
    forgotten: Collection[Source] = ()
    labels: LabelState | None = None
    may_lose: float = field(default=0, kw_only=True)
    leaves_directory: bool = field(default=False, kw_only=True)


def carry_out(connection: Connection, account: Account, change: Change, now: float) -> bool:
    """Write all of a sync; nothing when the account was disconnected or connected anew meanwhile.

    :returns: whether contacts have changed.
    :raises SuspiciousShrink: when so much would vanish that a person has to accept it first; nothing is written then.
    :raises BadResponse: when a listing turns out to be none, as its pages are the same; nothing is written then.
    :raises StoreError: when the contacts are not those any more that the listings continue.
    """
    current = accounts.read(connection, account.id, counted=False)
    if current is None or current.connected_at != account.connected_at:
        return False
    if current.generation != change.generation:
        raise StoreError("a backup was restored while the account was syncing, or it got the directory; it syncs anew")
    if any(one.wanted.source is Source.DIRECTORY for one in change.fetched):
        directory_accounts.take_over(connection, account)
    plans = [_plan(connection, account, one, now) for one in change.fetched]
    _check(connection, account, plans, change.may_lose)
    changed = _write(connection, account, change, plans, now)
    if change.leaves_directory:
        directory_accounts.bequeath(connection, account.id)
    for source in change.forgotten:
        changed = contacts.forget_source(connection, account.id, source) or changed
        directory_accounts.forget_failure(connection, account.id, source)
    if change.labels is not None:
        changed = sync_state.write_label_state(connection, account.id, change.labels) or changed
    if changed:
        sync_state.bump_generation(connection, account.id)
    return changed


def _write(connection: Connection, account: Account, change: Change, plans: Collection[Plan], now: float) -> bool:
    """Write what was fetched: persons, states and tokens; whether contacts have changed."""
    before = contacts.sync_states(connection, account.id)
    sync_state.set_sources(connection, account.id, change.states)
    for plan, one in zip(plans, change.fetched, strict=True):
        if not plan.is_empty:
            contacts.apply(connection, account.id, plan.source, records(plan, one.spool), plan.gone)
        contacts.note_missed(connection, account.id, plan.source, plan.missed, now)
        contacts.set_sync_state(connection, account.id, plan.source, _state(one, before, now))
        if plan.source is Source.DIRECTORY:
            directory_accounts.forget_failures(connection, account.tenant)
    _note_failures(connection, account, change, now)
    contacts.note_asked(connection, account.id, change.asked, now)
    changed = not all(plan.is_empty for plan in plans)
    if changed:
        contacts.drop_doubled(connection, account.id)
    return changed


def _note_failures(connection: Connection, account: Account, change: Change, now: float) -> None:
    """Note which of the account's own sources could not be had; those that could, or need not, are well."""
    for source in set(change.states) - {Source.DIRECTORY}:
        error = change.failed.get(source)
        if error is not None:
            since = directory_accounts.failing_since(connection, account.id, source)
            lasted = max(now - since, 0.0) if since is not None else 0.0
            if source is Source.CONTACTS:
                directory_accounts.note_failure(connection, account.id, source, error, now, now, what="labels")
                continue
            directory_accounts.note_failure(
                connection, account.id, source, error, now, now + backoff.of_source(error, lasted)
            )
        elif source in change.asked or change.states[source] is not SourceState.ON:
            directory_accounts.forget_failure(connection, account.id, source)


def _plan(connection: Connection, account: Account, fetched: Fetched, now: float) -> Plan:
    source = fetched.wanted.source
    if not fetched.full and not fetched.persons:
        return Plan(source)
    persons = None if fetched.full or fetched.persons > FEW else _persons(fetched)
    stored: Mapping[str, Mark] = contacts.marks(connection, account.id, source, persons)
    return make_plan(source, stored, fetched.spool, full=fetched.full, total=fetched.total, now=now)


def _persons(fetched: Fetched) -> tuple[frozenset[str], frozenset[str]]:
    """The uids and source ids that a listing speaks of."""
    items = list(fetched.spool)
    uids = {uid for item in items for uid in (item.uid, *item.previous)}
    return frozenset(uids), frozenset(item.source_id for item in items if item.source_id)


def _check(connection: Connection, account: Account, plans: Collection[Plan], may_lose: float) -> None:
    """Doubt a source that shrinks, and a book that does, whichever of its sources were listed in full."""
    lost = sum(plan.lost for plan in plans)
    if lost <= may_lose:
        return
    listed = {plan.source for plan in plans if plan.before}
    unlisted = frozenset() if Source.DIRECTORY in listed else _OF_A_BOOK - listed
    before = sum(plan.before for plan in plans) + contacts.served(connection, account.id, unlisted)
    if any(plan.is_suspicious for plan in plans) or is_suspicious(before, lost):
        raise SuspiciousShrink(before, lost)


def _state(fetched: Fetched, before: Mapping[Source, SyncState], now: float) -> SyncState:
    held = before.get(fetched.wanted.source)
    if fetched.full or held is None:
        return SyncState(fetched.sync_token, fetched.wanted.fingerprint, now, now)
    # A token that was taken away meanwhile stays away: stored contacts were found to be damaged, and all are due.
    return SyncState(held.sync_token and fetched.sync_token, fetched.wanted.fingerprint, held.full_sync_at, now)
