# SPDX-License-Identifier: MIT
"""One account's sync: fetch every source, plan, apply all of it in one transaction.

Whole or not at all: until that transaction nothing is written but a fresh access token, and when anything fails before
it, the contacts and the sync tokens stay what they were.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from zlib import crc32

from sqlalchemy import Connection

from ldapgw.contact import SYSTEM_LABELS, Source
from ldapgw.errors import (
    AccessTokenRejected,
    BadResponse,
    ConsentRevoked,
    GoogleUnavailable,
    ScopeMissing,
    SourceUnavailable,
    StoreError,
    SuspiciousShrink,
    SyncTokenExpired,
)
from ldapgw.google.endpoints import Client
from ldapgw.google.oauth import OAuth, sources_of
from ldapgw.google.people import People, fingerprint
from ldapgw.google.person import Reading, read_person
from ldapgw.store import accounts, contacts
from ldapgw.store.accounts import Account, SourceState, Tokens
from ldapgw.store.contacts import Record, SyncState
from ldapgw.store.vault import Vault
from ldapgw.store.worker import Store
from ldapgw.sync.plan import Plan, make_plan

# An access token is renewed this early, so that it does not end between two pages.
EARLY_SECONDS = 60.0

# A full listing that holds less than this part of Google's own total was cut; reports speak of one in fifty missing.
LEAST_OF_TOTAL = 0.9

DAY = 86400
# Full syncs are done this early, and up to a day earlier; Google's tokens last seven.
TOKEN_DAYS = 6

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SyncedTenant:
    """What a sync must know of a tenant."""

    client: Client
    sources: tuple[Source, ...]
    labels: tuple[str, ...]
    region: str


@dataclass(frozen=True, slots=True, repr=False)
class _Fetched:
    """What Google said of one source."""

    readings: tuple[Reading, ...]
    sync_token: str
    bound_to: str
    full: bool


@dataclass(frozen=True, slots=True, repr=False)
class _Change:
    """All that one sync writes."""

    plans: tuple[Plan, ...]
    sync_states: Mapping[Source, SyncState]
    source_states: Mapping[Source, SourceState]
    forgotten: Collection[Source]
    labels: Mapping[str, str]


class SyncJob:
    """Syncs accounts, one at a time each.

    :param run_off_thread: calls a function with its arguments off the reactor's thread.
    :param now: seconds since the epoch.
    """

    def __init__(
        self,
        *,
        store: Store,
        vault: Vault,
        oauth: OAuth,
        people: People,
        tenants: Mapping[str, SyncedTenant],
        run_off_thread: Callable[..., Awaitable[Any]],
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._vault = vault
        self._oauth = oauth
        self._people = people
        self._tenants = tenants
        self._run_off_thread = run_off_thread
        self._now = now

    def serves(self, tenant: str) -> bool:
        """Whether the configuration knows a tenant; accounts of one that was taken out of it rest."""
        return tenant in self._tenants

    async def sync(self, account: Account, *, full: bool, accept_shrink: bool) -> bool:
        """Sync an account.

        :returns: whether its contacts have changed.
        :raises GoogleError: as Google has it, `SuspiciousShrink`, or `ScopeMissing` when no source is granted.
        :raises StoreError: when the database cannot be used.
        """
        tenant = self._tenants[account.tenant]
        granted = [source for source in tenant.sources if source in sources_of(account.scopes)]
        states = dict.fromkeys(tenant.sources, SourceState.NOT_GRANTED)
        before = {} if full else await self._store.run(contacts.sync_states, account.id)
        stored_labels = await self._store.run(contacts.read_labels, account.id)
        labels = await self._labels(account, tenant) if tenant.labels and Source.CONTACTS in granted else None
        wanted = _wanted_labels(tenant, labels or {})
        fetched: dict[Source, _Fetched] = {}
        for source in granted:
            bound_to = _fingerprint(tenant, source, wanted)
            token = _token(before.get(source), bound_to, account, self._now())
            try:
                fetched[source] = await self._fetch(account, tenant, source, bound_to, token)
                states[source] = SourceState.ON
            except SourceUnavailable:
                states[source] = SourceState.UNAVAILABLE
            except ScopeMissing:
                states[source] = SourceState.NOT_GRANTED
        if set(states.values()) == {SourceState.NOT_GRANTED}:
            raise ScopeMissing("none of the tenant's sources is granted")
        if labels is None:
            unheard = fetched.get(Source.CONTACTS)
            outdated = unheard is not None and (unheard.full or not _labels_of(unheard) <= stored_labels.keys())
            labels = await self._labels(account, tenant) if outdated else stored_labels
        plans = [await self._plan(account, source, found, wanted) for source, found in fetched.items()]
        if not accept_shrink and any(plan.is_suspicious for plan in plans):
            raise SuspiciousShrink
        sync_states = {
            source: SyncState(
                found.sync_token,
                found.bound_to,
                self._now() if found.full else before[source].full_sync_at,
            )
            for source, found in fetched.items()
        }
        forgotten = frozenset(Source) - set(granted)
        return await self._store.run(_apply, account, _Change(tuple(plans), sync_states, states, forgotten, labels))

    async def _labels(self, account: Account, tenant: SyncedTenant) -> Mapping[str, str]:
        """The account's labels; not asked for when nothing speaks of a new one: an idle round is one call a source."""
        return await self._with_access(account, tenant, self._people.labels)

    async def _fetch(
        self, account: Account, tenant: SyncedTenant, source: Source, bound_to: str, token: str | None
    ) -> _Fetched:
        """All pages of a source: what changed since a sync token was given, or everything.

        :raises BadResponse: when a full listing held far less than Google's own total: who was not listed is not gone.
        """

        async def pages(access_token: str) -> _Fetched:
            readings: list[Reading] = []
            last = ""
            total = 0
            async for page in self._people.pages(source, access_token, token):
                readings += await self._run_off_thread(_read_page, page.persons, source, tenant.region)
                last = page.next_sync_token or last
                total = page.total or total
            if token is None and len(readings) < total * LEAST_OF_TOTAL:
                raise BadResponse("the listing is shorter than its total")
            return _Fetched(tuple(readings), last, bound_to, full=token is None)

        try:
            return await self._with_access(account, tenant, pages)
        except SyncTokenExpired:
            if token is None:
                raise
            return await self._fetch(account, tenant, source, bound_to, None)

    async def _with_access(self, account: Account, tenant: SyncedTenant, call: Callable[[str], Awaitable[T]]) -> T:
        """Call Google with an access token that is good; once more with a new one when Google rejects it."""
        held = await self._tokens(account)
        access_token = held.access_token
        if held.access_expires_at - EARLY_SECONDS <= self._now():
            access_token = await self._refresh(account, tenant, held)
        try:
            return await call(access_token)
        except AccessTokenRejected:
            access_token = await self._refresh(account, tenant, held)
        try:
            return await call(access_token)
        except AccessTokenRejected:
            # Only the token endpoint says that a consent is gone.
            raise GoogleUnavailable("a new access token was rejected") from None

    async def _tokens(self, account: Account) -> Tokens:
        held = await self._store.run(accounts.tokens, self._vault, account.id)
        if held is None:
            raise ConsentRevoked("the account was disconnected meanwhile")
        return held

    async def _refresh(self, account: Account, tenant: SyncedTenant, held: Tokens) -> str:
        """A new access token, stored before it is used."""
        grant = await self._oauth.refresh(tenant.client, held.refresh_token)
        await self._store.run(
            accounts.refreshed, self._vault, account, grant.access_token, grant.expires_at, grant.refresh_token
        )
        return grant.access_token

    async def _plan(self, account: Account, source: Source, fetched: _Fetched, labels: Collection[str] | None) -> Plan:
        if not fetched.full and not fetched.readings:
            return Plan(source)
        persons = None if fetched.full else _persons(fetched.readings)
        stored = await self._store.run(contacts.records, account.id, source, persons)
        plan: Plan = await self._run_off_thread(_make_plan, source, stored, fetched, labels)
        return plan


def _read_page(persons: Iterable[Mapping[str, Any]], source: Source, region: str) -> list[Reading]:
    return [read_person(person, source, region) for person in persons]


def _make_plan(source: Source, stored: Mapping[str, Record], fetched: _Fetched, labels: Collection[str] | None) -> Plan:
    filtered = labels if source is Source.CONTACTS else None
    return make_plan(source, stored, fetched.readings, full=fetched.full, labels=filtered)


def _persons(readings: Iterable[Reading]) -> tuple[frozenset[str], frozenset[str]]:
    """The uids and source ids that readings speak of."""
    uids = {uid for reading in readings for uid in (reading.uid, *reading.previous_uids)}
    return frozenset(uids), frozenset(reading.source_id for reading in readings if reading.source_id)


def _labels_of(fetched: _Fetched) -> set[str]:
    """The user's labels that persons were said to have."""
    read = (reading.contact for reading in fetched.readings if reading.contact)
    return {label for contact in read for label in contact.labels} - SYSTEM_LABELS


def _wanted_labels(tenant: SyncedTenant, labels: Mapping[str, str]) -> Collection[str] | None:
    """Resource names of the labels that the tenant's configuration names; None: all contacts are wanted."""
    if not tenant.labels:
        return None
    names = {name.casefold() for name in tenant.labels}
    known = {**labels, **{label: label.rpartition("/")[2] for label in SYSTEM_LABELS}}
    return {resource for resource, name in known.items() if name.casefold() in names}


def _fingerprint(tenant: SyncedTenant, source: Source, labels: Collection[str] | None) -> str:
    """Of all that the stored contacts and the sync token depend on: Google's parameters and our reading of persons.

    When a setting changes, or a label gets the name that the configuration names, all persons are read anew.
    """
    filtered = sorted(labels or ()) if source is Source.CONTACTS else []
    return "|".join((fingerprint(source), tenant.region, *filtered))


def _token(state: SyncState | None, bound_to: str, account: Account, now: float) -> str | None:
    """The sync token to go on with; None when a full sync is due.

    Google's tokens end after seven days.  A full one is done before, spread over the last of the days by account, so
    that those who connected on one day do not use up Google's small quota of full syncs together.
    """
    if state is None or state.fingerprint != bound_to or state.full_sync_at is None:
        return None
    spread = crc32(account.sub.encode()) % DAY
    return state.sync_token if now - state.full_sync_at < TOKEN_DAYS * DAY - spread else None


def _apply(connection: Connection, account: Account, change: _Change) -> bool:
    """Write all of a sync; nothing when the account was disconnected or connected anew meanwhile.

    :returns: whether contacts have changed.
    """
    current = accounts.read(connection, account.id)
    if current is None or current.connected_at != account.connected_at:
        return False
    if current.generation != account.generation:
        # What was fetched continues contacts that are not there any more.
        raise StoreError("a backup was restored while the account was syncing")
    accounts.set_sources(connection, account.id, change.source_states)
    changed = False
    for plan in change.plans:
        contacts.apply(connection, account.id, plan.source, plan.stored, plan.gone)
        changed = changed or not plan.is_empty
    for source, state in change.sync_states.items():
        contacts.set_sync_state(connection, account.id, source, state)
    for source in change.forgotten:
        changed = contacts.forget_source(connection, account.id, source) or changed
    if contacts.read_labels(connection, account.id) != change.labels:
        contacts.set_labels(connection, account.id, change.labels)
        changed = True
    if changed:
        accounts.bump_generation(connection, account.id)
    return changed
