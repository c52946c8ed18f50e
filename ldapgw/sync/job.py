# SPDX-License-Identifier: MIT
"""One account's sync: fetch every source, then plan and apply all of it in one transaction.

Whole or not at all: until that transaction nothing is written but a fresh access token, and when anything fails before
it, the contacts and the sync tokens stay what they were.  "Other contacts" that cannot be had do not keep the contacts
away.  The Workspace directory, which is the tenant's, is a sync of its own behind that: neither hurts the other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection
from twisted.logger import Logger

from ldapgw.contact import Source
from ldapgw.errors import (
    BadResponse,
    ConsentRevoked,
    GoogleError,
    GoogleUnavailable,
    NetworkFailure,
    QuotaExceeded,
    ScopeMissing,
    SourceUnavailable,
    SyncTokenExpired,
)
from ldapgw.google.endpoints import Client
from ldapgw.google.oauth import OAuth, sources_of
from ldapgw.google.people import Authorized, People, fingerprint
from ldapgw.store import accounts, contacts, directory_accounts, sync_state
from ldapgw.store.account_status import SyncProgress
from ldapgw.store.accounts import Account, SourceState
from ldapgw.store.contacts import SyncState
from ldapgw.store.secrets import SecretBox
from ldapgw.store.sync_state import LabelState
from ldapgw.store.worker import Store
from ldapgw.sync.apply import SyncResult, apply_sync_result
from ldapgw.sync.directory_account import choose_directory_account, is_resting
from ldapgw.sync.fetch import FetchedSource, Fetcher, SourceQuery, close_all, resolve_label_filter, token_for
from ldapgw.sync.tokens import AccessTokenProvider

log = Logger()

# What a source is after Google has refused it; that is no failure.
_REFUSAL_STATES: Mapping[type[GoogleError], SourceState] = {
    SourceUnavailable: SourceState.UNAVAILABLE,
    ScopeMissing: SourceState.NOT_GRANTED,
}

# What one source can have alone; everything else is the account's, or the tenant's.
_SOURCE_ERRORS = (BadResponse, GoogleUnavailable, NetworkFailure, QuotaExceeded)


@dataclass(frozen=True, slots=True)
class SyncedTenant:
    """What a sync must know of a tenant."""

    client: Client
    sources: tuple[Source, ...]
    labels: tuple[str, ...]
    region: str


@dataclass(frozen=True, slots=True, repr=False)
class _StoredState:
    """What is stored of an account before a sync."""

    generation: int
    states: Mapping[Source, SyncState]
    labels: LabelState


class SyncJob:
    """Syncs accounts, one at a time each.

    :param run_off_thread: calls a function with its arguments off the reactor's thread.
    :param folder: where listings wait that are too large for memory.
    :param now: seconds since the epoch.
    :param note_progress: told how far an account's sync is, by its id; None when it has ended.
    """

    def __init__(
        self,
        *,
        store: Store,
        secret_box: SecretBox,
        oauth: OAuth,
        people: People,
        tenants: Mapping[str, SyncedTenant],
        run_off_thread: Callable[..., Awaitable[Any]],
        folder: Path,
        now: Callable[[], float],
        on_progress: Callable[[int, SyncProgress | None], None] = lambda _account_id, _progress: None,
    ) -> None:
        self._store = store
        self._people = people
        self._tenants = tenants
        self._access_tokens = AccessTokenProvider(store=store, secret_box=secret_box, oauth=oauth, now=now)
        self._fetcher = Fetcher(people, folder, run_off_thread)
        self._now = now
        self._on_progress = on_progress

    def has_tenant(self, tenant: str) -> bool:
        """Whether the configuration knows a tenant; accounts of one that was taken out of it rest."""
        return tenant in self._tenants

    async def refresh_access_token(self, account: Account) -> None:
        """Have Google take, or refuse, the tenant's client.

        :raises GoogleError: as the token endpoint has it.
        """
        await self._access_tokens.refresh(account, self._tenants[account.tenant].client)

    async def sync(self, account: Account, *, full: bool, max_loss: float = 0) -> bool:
        """Sync an account's own sources; the directory is left to `sync_directory`.

        :param may_lose: so many contacts may vanish, however suspicious that is.
        :returns: whether its contacts have changed.
        :raises GoogleError: as Google has it, `SuspiciousShrink`, or `ScopeMissing` when no source is granted.
        :raises StoreError: when the database cannot be used.
        """
        tenant = self._tenants[account.tenant]
        granted = sources_of(account.scopes).intersection(tenant.sources)
        held = await self._store.run(_read, account.id)
        states = {one: _state(account, one) if one in granted else SourceState.NOT_GRANTED for one in tenant.sources}
        due = self._sources_to_sync(
            granted - {Source.DIRECTORY}, states, held, is_requested=account.pending_sync is not None or full
        )
        failed: dict[Source, GoogleError] = {}
        fetched: list[FetchedSource] = []
        try:
            known = await self._labels(account, held, failed, full=full) if Source.CONTACTS in due else None
            for place, source in enumerate(due, start=1):
                wanted = _wanted(source, tenant, known or held.labels)
                state = None if full else held.states.get(source)
                try:
                    fetched.append(await self._fetch(account, wanted, state, (place, len(due))))
                    states[source] = SourceState.ON
                except tuple(_REFUSAL_STATES) as refusal:
                    states[source] = _REFUSAL_STATES[type(refusal)]
                except _SOURCE_ERRORS as error:
                    if not fetched:
                        raise
                    log.warn(
                        "{source} of account {account}: {code} {detail}",
                        source=source.value,
                        account=account.id,
                        **_log_fields(error),
                    )
                    failed[source] = error
            if set(states.values()) == {SourceState.NOT_GRANTED}:
                without = "" if Source.CONTACTS in tenant.sources else tenant.sources[0].value
                raise ScopeMissing("none of the tenant's sources is granted", source=without)
            unknown = any(not one.labels <= (known or held.labels).names.keys() for one in fetched)
            if unknown and Source.CONTACTS not in failed:
                known = await self._fetch_labels(account, known or held.labels, failed) or known
            gone = frozenset(Source) - granted
            leaves = Source.DIRECTORY in gone and Source.DIRECTORY in tenant.sources
            change = SyncResult(
                held.generation,
                fetched,
                states,
                due,
                failed,
                gone,
                known,
                max_loss=max_loss,
                hands_over_directory=leaves,
            )
            return await self._store.run(apply_sync_result, account, change, self._now())
        finally:
            self._on_progress(account.id, None)
            close_all(fetched)

    async def sync_directory(self, account: Account, *, full: bool, max_loss: float = 0) -> bool:
        """Sync the tenant's Workspace directory through an account, if it is that account's turn.

        What goes wrong is to be noted (`note_directory`), and it is the next account's turn then.

        :returns: whether the directory has changed.
        :raises GoogleError: as `sync`.
        :raises StoreError: when the database cannot be used.
        """
        tenant = self._tenants[account.tenant]
        if Source.DIRECTORY not in tenant.sources or not await self._is_directory_account(account):
            return False
        held = await self._store.run(_read, account.id)
        state = None if full else held.states.get(Source.DIRECTORY)
        fetched: list[FetchedSource] = []
        try:
            fetched.append(await self._fetch(account, SourceQuery(Source.DIRECTORY, tenant.region), state))
            states = {Source.DIRECTORY: SourceState.ON}
            change = SyncResult(held.generation, fetched, states, (Source.DIRECTORY,), max_loss=max_loss)
            return await self._store.run(apply_sync_result, account, change, self._now())
        finally:
            self._on_progress(account.id, None)
            close_all(fetched)

    async def record_directory_failure(self, account: Account, error: GoogleError, next_try: float) -> None:
        """Take note that the directory could not be had through an account.

        :param next_try: when to try again, in seconds since the epoch.
        """
        await self._store.run(_record_directory_failure, account, error, self._now(), next_try)

    async def next_directory_account(self, tenant: str) -> int | None:
        """The account that a tenant's directory is to be fetched through next."""
        return choose_directory_account(await self._store.run(directory_accounts.read_candidates, tenant), self._now())

    async def _is_directory_account(self, account: Account) -> bool:
        candidates = await self._store.run(directory_accounts.read_candidates, account.tenant)
        asked = account.id if account.pending_sync is not None else None
        return choose_directory_account(candidates, self._now(), asked) == account.id

    def _sources_to_sync(
        self,
        granted: Collection[Source],
        states: Mapping[Source, SourceState],
        held: _StoredState,
        *,
        is_requested: bool,
    ) -> list[Source]:
        """The sources to sync now.

        :param asked: somebody wants it: none of them is left alone.
        """
        return [
            one
            for one in Source
            if one in granted and (is_requested or not self._is_resting(states[one], held.states.get(one)))
        ]

    def _is_resting(self, state: SourceState, held: SyncState | None) -> bool:
        """Whether a source that could not be had is left alone for now."""
        if held is None:
            return False
        failed_lately = held.next_try is not None and (held.asked_at or 0.0) <= self._now() < held.next_try
        return failed_lately or is_resting(state, held.asked_at, self._now())

    async def _fetch(
        self, account: Account, wanted: SourceQuery, state: SyncState | None, at: tuple[int, int] = (1, 1)
    ) -> FetchedSource:
        """What changed of a source since the last sync, or everything when it is time for that.

        :param at: the source's place, and of how many.
        """
        token = token_for(wanted, state, account.sub, self._now())
        if token is not None:
            try:
                return await self._fetcher.fetch(wanted, token, self._authorized(account))
            except SyncTokenExpired:
                pass

        def note(progress: SyncProgress) -> None:
            self._on_progress(account.id, replace(progress, step=at[0], step_count=at[1]))

        return await self._fetcher.fetch(wanted, None, self._authorized(account), note)

    async def _labels(
        self, account: Account, held: _StoredState, failed: dict[Source, GoogleError], *, full: bool
    ) -> LabelState | None:
        """The account's labels, asked for where one may have another name now; None: they are as they were.

        Without labels there is nothing to be renamed: a new one shows when a contact has it.
        """
        tenant = self._tenants[account.tenant]
        wanted = _wanted(Source.CONTACTS, tenant, held.labels)
        listing = full or token_for(wanted, held.states.get(Source.CONTACTS), account.sub, self._now()) is None
        # With all contacts come all labels: one whose end nobody has told of goes then.
        before = LabelState(held.labels.names) if listing else held.labels
        if not (listing or tenant.labels or before.names or before.sync_token is None):
            return None
        return await self._fetch_labels(account, before, failed)

    async def _fetch_labels(
        self, account: Account, held: LabelState, failed: dict[Source, GoogleError]
    ) -> LabelState | None:
        """Ask for labels; None where Google does not give them: contacts come without.

        Labels that cannot be had now are no reason to keep contacts away, unless they decide which are wanted.

        :param failed: takes note of it then.
        """
        try:
            return await self._list_labels(account, held)
        except tuple(_REFUSAL_STATES):
            return None
        except (GoogleUnavailable, BadResponse) as error:
            if self._tenants[account.tenant].labels:
                raise
            log.warn("labels of account {account}: {code} {detail}", account=account.id, **_log_fields(error))
            failed[Source.CONTACTS] = error
            # Without the token, all are asked for at the next sync.
            return LabelState(held.names)

    async def _list_labels(self, account: Account, held: LabelState) -> LabelState:
        bound_to = fingerprint(None)
        token = held.sync_token if held.fingerprint == bound_to else None
        if token is not None:
            try:
                found = await self._people.labels(self._authorized(account), token)
                names = {key: name for key, name in held.names.items() if key not in found.deleted} | dict(found.names)
                return LabelState(names, found.next_sync_token or None, bound_to)
            except SyncTokenExpired:
                pass
        found = await self._people.labels(self._authorized(account), None)
        return LabelState(found.names, found.next_sync_token or None, bound_to)

    def _authorized(self, account: Account) -> Authorized:
        return partial(self._access_tokens.call, account, self._tenants[account.tenant].client)


def _read(connection: Connection, account_id: int) -> _StoredState:
    current = accounts.read(connection, account_id, counted=False)
    if current is None:
        raise ConsentRevoked("the account is gone")
    return _StoredState(
        current.generation,
        contacts.read_sync_states(connection, account_id),
        sync_state.read_label_state(connection, account_id),
    )


def _log_fields(error: GoogleError) -> dict[str, str]:
    return {"code": error.code, "detail": error.detail}


def _state(account: Account, source: Source) -> SourceState:
    """What is known of a source that was granted; where nobody has asked for it, it is thought to be there."""
    return account.sources.get(source, SourceState.ON)


def _wanted(source: Source, tenant: SyncedTenant, known: LabelState) -> SourceQuery:
    filtered = resolve_label_filter(tenant.labels, known.names) if source is Source.CONTACTS else None
    return SourceQuery(source, tenant.region, filtered)


def _record_directory_failure(
    connection: Connection, account: Account, error: GoogleError, now: float, next_try: float
) -> None:
    if not sync_state.is_grant_current(connection, account):
        return
    refused = _REFUSAL_STATES.get(type(error))
    sync_state.write_source_states(
        connection, account.id, {Source.DIRECTORY: refused or _state(account, Source.DIRECTORY)}
    )
    if refused is None:
        directory_accounts.record_failure(connection, account.id, Source.DIRECTORY, error, now, next_try)
        return
    contacts.set_asked_at(connection, account.id, [Source.DIRECTORY], now)
    directory_accounts.clear_failure(connection, account.id, Source.DIRECTORY)
    directory_accounts.hand_over_directory(connection, account.id)
