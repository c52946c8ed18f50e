# SPDX-License-Identifier: MIT
"""The sync of one account: fetch every source, then plan and apply the result in one transaction.

A sync is applied as a whole or not at all: before the transaction only a refreshed access token is written, and after a
failure the contacts and the sync tokens are unchanged.  A failure of the "other contacts" does not prevent the sync of
the contacts.  The tenant's Workspace directory is synced afterwards in a separate sync; a failure of one sync does not
affect the other sync.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ldapgw.contact import Source
from ldapgw.errors import (
    BadResponse,
    GoogleError,
    GoogleUnavailable,
    NetworkFailure,
    PageTooLarge,
    QuotaExceeded,
    ScopeMissing,
    SyncTokenExpired,
)
from ldapgw.google.endpoints import Client
from ldapgw.google.oauth import OAuth, sources_of
from ldapgw.google.people import SMALL_PAGE_SIZE, Authorized, People, fingerprint
from ldapgw.peers.leadership import Leader
from ldapgw.store import directory_accounts
from ldapgw.store.accounts import Account, SourceState, Tokens
from ldapgw.store.secrets import SecretBox
from ldapgw.store.sync_state import LabelState, SyncProgress, SyncState
from ldapgw.sync.apply import (
    REFUSAL_STATES,
    BegunSync,
    StoredState,
    SyncEnd,
    SyncResult,
    apply_and_end,
    begin_sync,
    is_directory_account,
    read_stored_state,
    record_directory_failure,
    source_state,
)
from ldapgw.sync.fetch import (
    DAY,
    UNLIMITED,
    DueSync,
    FetchedSource,
    Fetcher,
    FullSyncLimits,
    SourceQuery,
    SyncedTenant,
    choose_directory_account,
    due_sync,
    has_passed,
    is_resting,
)
from ldapgw.sync.pacing import CallPacer
from ldapgw.sync.tokens import AccessTokenProvider
from ldapgw.sync.workspace import DelegatedTokens

log = Logger()

# An account that fetches nothing gets a new access token after this time, because Google ends a consent that was not
# used for six months.
UNUSED_SECONDS = 14 * DAY

# Errors that can affect a single source; all other errors affect the account or the tenant.
_SOURCE_ERRORS = (BadResponse, GoogleUnavailable, NetworkFailure, QuotaExceeded)


@dataclass(frozen=True, slots=True)
class Applied:
    """The outcome of a sync of an account's own sources, once the sync's result is written.

    :ivar changed: whether the account's contacts have changed.
    :ivar is_ended: whether the transaction that wrote the result has also recorded the end of the sync.  The end is
        recorded only if nothing has changed and the account is not the directory account.
    :ivar has_called: whether the sync has called Google; without a source to fetch, a sync makes no call.  A request
        for a new access token does not count if its only purpose is that Google does not end an unused consent, because
        this request does not show that Google answers other calls.
    """

    changed: bool
    is_ended: bool = False
    has_called: bool = True


class SyncJob:
    """The syncs of accounts; the caller runs at most one sync of an account at a time.

    :param interval: seconds between syncs of an account.
    :ivar tenants: the tenants by name; accounts of other tenants are not synced.
    :ivar pacer: limits the rate of the calls to the People API.
    :param delegated: gets the access tokens of users who have not consented.
    :ivar access_tokens: gets the access tokens for the calls to the People API.
    :param full_syncs: the limits of full syncs.
    :param folder: folder for the files of large listings.
    :param now: returns seconds since the epoch.
    :param on_progress: called with the account's id and the progress of its sync, or None at the end of the sync.
    """

    def __init__(
        self,
        *,
        leader: Leader,
        secret_box: SecretBox,
        oauth: OAuth,
        delegated: DelegatedTokens,
        people: People,
        tenants: Mapping[str, SyncedTenant],
        interval: float,
        pacer: CallPacer,
        full_syncs: FullSyncLimits,
        run_off_thread: Callable[..., Deferred[Any]],
        folder: Path,
        now: Callable[[], float],
        on_progress: Callable[[int, SyncProgress | None], None] = lambda _account_id, _progress: None,
    ) -> None:
        self._leader = leader
        self._secret_box = secret_box
        self._people = people
        self.tenants = tenants
        self._interval = interval
        self.pacer = pacer
        self._full_syncs = full_syncs
        self.access_tokens = AccessTokenProvider(
            leader=leader, secret_box=secret_box, oauth=oauth, delegated=delegated, now=now
        )
        self._fetcher = Fetcher(people, folder, run_off_thread)
        self._now = now
        self._on_progress = on_progress

    def client(self, account: Account) -> Client:
        """Return the present OAuth client of an account's tenant."""
        return self.tenants[account.tenant].client

    def project(self, tenant: str, *, uses_delegation: bool) -> str:
        """Return the Google project whose quota the calls for a tenant's accounts use."""
        delegation = self.access_tokens.delegated.delegation(tenant) if uses_delegation else None
        return self.tenants[tenant].client.project if delegation is None else delegation.service_account.project_id

    async def begin(self, account_id: int) -> BegunSync | None:
        """Record that a sync of an account begins, and return what the sync starts from.

        :returns: None if the account is not connected.
        """
        return await self._leader.store.run(begin_sync, self._secret_box, account_id)

    async def sync(
        self,
        begun: BegunSync,
        *,
        full: bool,
        max_loss: float = 0,
        account_count: int = 1,
        end: SyncEnd | None = None,
        tries_client: bool = False,
    ) -> Applied:
        """Sync an account's own sources, without the directory; see `sync_directory`.

        A source that a person has switched off is not fetched and stays off, even if the source is granted.

        :param max_loss: the number of contacts that may vanish even if the loss is suspicious.
        :param account_count: the number of synced accounts; full syncs for changed parameters are spread over more time
            if there are more accounts.
        :param end: the end that the transaction of the result records if no other step follows, or None to record no
            end.
        :param tries_client: whether Google has rejected the OAuth client.  A new access token is then the first call,
            because an old access token would hide that Google still rejects the client.
        :raises GoogleError: Google's error, `SuspiciousShrink`, or `ScopeMissing` when no source is granted.
        """
        account, stored = begun.account, begun.stored
        tenant = self.tenants[account.tenant]
        granted = sources_of(account.scopes).intersection(tenant.sources)
        states = _states_before(account, tenant, granted)
        due_sync_of = partial(self._due_sync, account, stored, full=full, account_count=account_count)
        due = self._due_sources(begun, granted, states, due_sync_of, full=full)
        if tries_client or (not due and self._is_unused(account, stored)):
            await self.access_tokens.refresh(account, self.client(account))
            stored = replace(stored, tokens=None)
        failed: dict[Source, GoogleError] = {}
        with self._listings(account) as fetched:
            labels = await self._labels(account, stored, failed, due_sync_of) if Source.CONTACTS in due else None
            queries = [stored.query(tenant, source, labels) for source in due]
            sync_tokens = [stored.token(query.source, due_sync_of(query)) for query in queries]
            # The tokens in `stored` were read a moment ago, so the first call of a sync uses these tokens; later calls
            # read the tokens again.
            first_tokens = stored.tokens if labels is None else None
            states |= await self._fetch_sources(account, queries, sync_tokens, first_tokens, fetched, failed)
            if set(states.values()) == {SourceState.NOT_GRANTED}:
                missing = "" if Source.CONTACTS in tenant.sources else tenant.sources[0].value
                raise ScopeMissing("none of the tenant's sources is granted", source=missing)
            labels = await self._fetch_unknown_labels(account, stored, labels, fetched, failed)
            not_granted = frozenset(Source) - granted
            result = SyncResult(
                stored.generation,
                fetched,
                states,
                due,
                failed,
                not_granted,
                labels,
                changed_queries=stored.changed_queries(tenant),
                max_loss=max_loss,
                hands_over_directory=Source.DIRECTORY in not_granted and Source.DIRECTORY in tenant.sources,
            )
            return replace(await self._apply(account, result, end), has_called=bool(due) or tries_client)

    def _due_sources(
        self,
        begun: BegunSync,
        granted: Collection[Source],
        states: Mapping[Source, SourceState],
        due_sync_of: Callable[[SourceQuery], DueSync],
        *,
        full: bool,
    ) -> list[Source]:
        """Return the account's own sources that a sync has to fetch."""
        account, stored = begun.account, begun.stored
        is_requested = account.pending_sync is not None or full
        return [
            source
            for source in Source
            if source in states
            and source in granted
            and source is not Source.DIRECTORY
            and (is_requested or not self._is_resting(states[source], stored.states.get(source)))
            and due_sync_of(stored.query(self.tenants[account.tenant], source)) is not DueSync.NONE
        ]

    async def _fetch_sources(
        self,
        account: Account,
        queries: Sequence[SourceQuery],
        sync_tokens: Sequence[str | None],
        tokens: Tokens | None,
        fetched: list[FetchedSource],
        failed: dict[Source, GoogleError],
    ) -> Mapping[Source, SourceState]:
        """Fetch sources one after another.

        :param sync_tokens: for each source, the sync token of the last sync; None when a full sync is due.
        :param tokens: the account's tokens for the first call, or None to read the tokens.
        :param fetched: the listings so far.  The function adds the listings of the sources.
        :param failed: the errors so far.  The function adds the error of a source if another source was fetched before.
        :returns: the new states of the sources that Google sent or refused.
        :raises GoogleError: the error of a source if no other source was fetched before.
        """
        states: dict[Source, SourceState] = {}
        for step, (query, token) in enumerate(zip(queries, sync_tokens, strict=True), start=1):
            try:
                fetched.append(await self._fetch(account, query, token, (step, len(queries)), tokens))
                states[query.source] = SourceState.ON
            except tuple(REFUSAL_STATES) as refusal:
                states[query.source] = REFUSAL_STATES[type(refusal)]
            except _SOURCE_ERRORS as error:
                if not fetched:
                    raise
                log.warn(
                    "source {source} of account {account} cannot be fetched: {code} {detail}",
                    event="source_failed",
                    tenant=account.tenant,
                    source=query.source.value,
                    account=account.id,
                    code=error.code,
                    detail=error.detail,
                )
                failed[query.source] = error
            tokens = None
        return states

    async def sync_directory(
        self, account: Account, *, full: bool, max_loss: float = 0, own_error: str = ""
    ) -> bool | None:
        """Sync the tenant's Workspace directory if the account is the directory account now.

        The caller has to record a failure (`record_directory_failure`), so that another account is chosen next time.

        :param own_error: the error code of the sync of the account's own sources, which has just ended; empty if that
            sync succeeded.
        :returns: whether the directory has changed, or None if the directory was not fetched.
        :raises GoogleError: as `sync`.
        """
        tenant = self.tenants[account.tenant]
        if not self._may_fetch_directory(account):
            return None
        if not await self._leader.store.read(is_directory_account, account, self._now(), own_error):
            return None
        stored = await self._leader.store.read(read_stored_state, self._secret_box, account.id)
        query = stored.query(tenant, Source.DIRECTORY)
        due = self._due_sync(account, stored, query, full=full)
        if due is DueSync.NONE:
            return None
        with self._listings(account) as fetched:
            fetched.append(await self._fetch(account, query, stored.token(Source.DIRECTORY, due)))
            result = SyncResult(
                stored.generation,
                fetched,
                {Source.DIRECTORY: SourceState.ON},
                (Source.DIRECTORY,),
                changed_queries=stored.changed_queries(tenant),
                max_loss=max_loss,
            )
            return (await self._apply(account, result)).changed

    @contextmanager
    def _listings(self, account: Account) -> Iterator[list[FetchedSource]]:
        """Yield a list to which a sync adds its listings; at the end of the block, close their page buffers."""
        fetched: list[FetchedSource] = []
        try:
            yield fetched
        finally:
            self._on_progress(account.id, None)
            for listing in fetched:
                listing.pages.close()

    async def _apply(self, account: Account, result: SyncResult, end: SyncEnd | None = None) -> Applied:
        """Write the result of a sync, and record the end of the sync if no other step has to follow.

        Most syncs find no changes, and need no other transaction.
        """
        may_fetch_directory = self._may_fetch_directory(account)
        figures, is_ended = await self._leader.store.run(
            apply_and_end, account, result, self._now(), end, may_fetch_directory=may_fetch_directory
        )
        if figures is not None and figures.changes:
            log.info(
                "sync of account {account}: {added} contacts added, {changed} changed, {removed} removed",
                event="sync_changed",
                tenant=account.tenant,
                account=account.id,
                added=figures.added,
                changed=figures.changed,
                removed=figures.removed,
            )
        return Applied(figures is not None, is_ended)

    def _may_fetch_directory(self, account: Account) -> bool:
        is_granted = Source.DIRECTORY in sources_of(account.scopes)
        return is_granted and Source.DIRECTORY in self.tenants[account.tenant].sources

    async def record_directory_failure(self, account: Account, error: GoogleError, next_try: float) -> None:
        """Record that the directory could not be fetched through an account.

        :param next_try: when to try again, in seconds since the epoch.
        """
        await self._leader.store.run(record_directory_failure, account, error, self._now(), next_try)

    async def next_directory_account(self, tenant: str) -> int | None:
        """Return the id of the account through which a tenant's directory is fetched next, or None."""
        return choose_directory_account(
            await self._leader.store.run(directory_accounts.read_candidates, tenant), self._now()
        )

    def _due_sync(
        self, account: Account, stored: StoredState, query: SourceQuery, *, full: bool, account_count: int = 1
    ) -> DueSync:
        """Return the fetch that is due for a source.

        If a person has requested a sync, neither the interval nor the limits of full syncs delay the fetch.
        """
        if full:
            return DueSync.FULL
        is_requested = account.pending_sync is not None
        return due_sync(
            query,
            stored.states.get(query.source),
            account.sub,
            self._now(),
            interval=0.0 if is_requested else self._interval,
            limits=UNLIMITED if is_requested else self._full_syncs,
            account_count=account_count,
        )

    def _is_unused(self, account: Account, stored: StoredState) -> bool:
        """Return whether the gateway has not used the user's consent for weeks, so that Google may end the consent."""
        tokens = stored.tokens
        is_old = tokens is not None and tokens.access_expires_at + UNUSED_SECONDS <= self._now()
        return is_old and not account.uses_delegation

    def _is_resting(self, state: SourceState, stored: SyncState | None) -> bool:
        """Return whether a source has failed or was refused so recently that the source is not requested now."""
        if stored is None:
            return False
        asked_at, next_try = stored.asked_at, stored.next_try
        failed_lately = next_try is not None and (asked_at or 0.0) <= self._now() < next_try
        return failed_lately or is_resting(state, asked_at, self._now())

    async def _fetch(
        self,
        account: Account,
        query: SourceQuery,
        token: str | None,
        step: tuple[int, int] = (1, 1),
        tokens: Tokens | None = None,
    ) -> FetchedSource:
        """Fetch the changes of a source since the last sync, or everything.

        :param token: the sync token of the last sync; None when a full sync is due.
        :param step: the position of the source in this sync, counted from 1, and the number of sources.
        :param tokens: the account's tokens for the first call, or None to read the tokens.
        """
        authorized = self._authorized(account, tokens)
        fetch = partial(self._fetcher.fetch, quota_user=_quota_user(account))

        def on_progress(progress: SyncProgress) -> None:
            self._on_progress(account.id, replace(progress, step=step[0], step_count=step[1]))

        try:
            if token is not None:
                with suppress(SyncTokenExpired):
                    return await fetch(query, token, authorized)
            return await fetch(query, None, authorized, on_progress)
        except PageTooLarge:
            if query.page_size == SMALL_PAGE_SIZE:
                raise
        # Page tokens and sync tokens are valid for one page size, so the listing begins again.
        return await fetch(replace(query, page_size=SMALL_PAGE_SIZE), None, authorized, on_progress)

    async def _labels(
        self,
        account: Account,
        stored: StoredState,
        failed: dict[Source, GoogleError],
        due_sync_of: Callable[[SourceQuery], DueSync],
    ) -> LabelState | None:
        """Fetch the account's labels if a fetch of labels is due; otherwise return None.

        A fetch is due in a full sync, after a failed fetch of labels, once a day, and if a person has requested a sync.
        If the account has no labels and the tenant does not filter by labels, neither a new day nor a request is a
        reason to fetch labels: no label can have been renamed, and a new label is noticed when a contact has the label.
        """
        tenant = self.tenants[account.tenant]
        query = stored.query(tenant, Source.CONTACTS)
        is_full = due_sync_of(query) is DueSync.FULL
        # A full sync fetches all labels too, to remove labels whose deletion Google has not reported.
        before = stored.labels.outdated() if is_full else stored.labels
        has_failed = before.fingerprint != fingerprint(None)
        is_day_over = has_passed(crc32(f"{account.sub}/labels".encode()), DAY, account.last_sync, self._now())
        is_checked = account.pending_sync is not None or is_day_over
        if not (is_full or has_failed or ((tenant.has_label_filter or before.names) and is_checked)):
            return None
        return await self._fetch_labels(account, before, failed)

    async def _fetch_labels(
        self, account: Account, before: LabelState, failed: dict[Source, GoogleError]
    ) -> LabelState | None:
        """Fetch the labels of an account; return None if Google refuses the labels.

        If the failure possibly concerns only the labels, the sync goes on: contacts are synced with the labels that
        were known before.  A tenant that filters contacts by labels, or excludes labels, therefore serves no contact of
        an account whose labels were never fetched.

        :param before: the labels before the sync.
        :param failed: the errors so far.  The function adds a failure to fetch the labels.  A refusal is added only if
            the tenant filters by labels.
        """
        try:
            return await self._list_labels(account, before)
        except tuple(REFUSAL_STATES) as refusal:
            if self.tenants[account.tenant].has_label_filter:
                failed[Source.CONTACTS] = refusal
            return None
        except (GoogleUnavailable, BadResponse) as error:
            log.warn(
                "labels of account {account} cannot be fetched: {code} {detail}",
                event="labels_failed",
                tenant=account.tenant,
                account=account.id,
                code=error.code,
                detail=error.detail,
            )
            failed[Source.CONTACTS] = error
            return before.outdated()

    async def _fetch_unknown_labels(
        self,
        account: Account,
        stored: StoredState,
        labels: LabelState | None,
        fetched: list[FetchedSource],
        failed: dict[Source, GoogleError],
    ) -> LabelState | None:
        """Fetch the labels again if a fetched contact has a label that is newer than the known labels.

        :param labels: the labels that this sync has fetched, or None.
        :param fetched: the listings; a listing that is fetched again is replaced.
        :param failed: as in `_fetch_labels`.
        :returns: the labels that this sync has fetched, or None.
        """
        known = labels or stored.labels
        if Source.CONTACTS in failed or all(listing.labels <= known.names.keys() for listing in fetched):
            return labels
        labels = await self._fetch_labels(account, known, failed) or labels
        await self._exclude_new_labels(account, fetched, labels or stored.labels, stored)
        return labels

    async def _exclude_new_labels(
        self, account: Account, fetched: list[FetchedSource], labels: LabelState, stored: StoredState
    ) -> None:
        """Fetch contacts again if the contacts have an excluded label that is newer than the fetched labels.

        Otherwise these contacts would be served until the next full sync.

        :param fetched: the listings; a listing that is fetched again is replaced.
        """
        for number, listing in enumerate(fetched):
            source = listing.query.source
            query = stored.query(self.tenants[account.tenant], source, labels)
            if query.excluded_labels != listing.query.excluded_labels:
                token = None if listing.is_full else stored.states[source].sync_token
                query = replace(query, page_size=listing.query.page_size)
                fetched[number] = await self._fetch(account, query, token)
                listing.pages.close()

    async def _list_labels(self, account: Account, before: LabelState) -> LabelState:
        current = fingerprint(None)
        token = before.sync_token if before.fingerprint == current else None
        if token is not None:
            try:
                delta = await self._people.labels(self._authorized(account), token, quota_user=_quota_user(account))
                kept = {key: name for key, name in before.names.items() if key not in delta.deleted}
                return LabelState(kept | dict(delta.names), delta.next_sync_token or None, current)
            except SyncTokenExpired:
                pass
        listing = await self._people.labels(self._authorized(account), None, quota_user=_quota_user(account))
        if not listing.is_complete:
            log.warn(
                "labels of account {account}: Google sent fewer labels than the total that it reported; "
                "the stored labels are kept",
                event="labels_incomplete",
                tenant=account.tenant,
                account=account.id,
            )
        names = listing.names if listing.is_complete else {**before.names, **listing.names}
        return LabelState(names, listing.next_sync_token or None, current)

    def _authorized(self, account: Account, tokens: Tokens | None = None) -> Authorized:
        """Return a function that makes an account's calls: each call waits for its turn and gets an access token.

        :param tokens: the account's tokens for the first call, or None to read the tokens.
        """
        known = [tokens]
        client, pacer = (
            self.client(account),
            self.pacer.of(self.project(account.tenant, uses_delegation=account.uses_delegation)),
        )

        async def paced(call: Callable[[str], Awaitable[Any]], access_token: str) -> Any:
            await pacer.turn(is_requested=account.pending_sync is not None)
            await self._leader.check_lead()
            try:
                return await call(access_token)
            except QuotaExceeded as error:
                pacer.report(account.id, error)
                raise

        async def authorized(call: Callable[[str], Awaitable[Any]]) -> Any:
            return await self.access_tokens.call(account, client, partial(paced, call), known.pop() if known else None)

        return authorized


def _states_before(account: Account, tenant: SyncedTenant, granted: Collection[Source]) -> dict[Source, SourceState]:
    """Return the states of the tenant's sources that a person has not switched off, before a sync."""
    states = {
        source: source_state(account, source) if source in granted else SourceState.NOT_GRANTED
        for source in tenant.sources
        if source not in account.switched_off
    }
    if account.hd == "" and Source.DIRECTORY in granted and Source.DIRECTORY in states:
        states[Source.DIRECTORY] = SourceState.UNAVAILABLE  # a consumer account has no directory
    return states


def _quota_user(account: Account) -> str:
    """Return the user to whom Google charges a call, or an empty text for the owner of the access token.

    Without such a user, Google would charge all calls of a service account to a single user.
    """
    return account.sub if account.uses_delegation else ""
