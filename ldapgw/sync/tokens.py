# SPDX-License-Identifier: MIT
"""Access tokens: kept while they are good, renewed before they end, and once when Google rejects one early.

Tells Google of those who have left when it did not listen at first; for a day, then it is their own affair.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.errors import AccessTokenRejected, ConsentRevoked, GoogleError, GoogleUnavailable, StoreError
from ldapgw.google.endpoints import Client
from ldapgw.google.identity import Identity
from ldapgw.google.oauth import OAuth
from ldapgw.store import accounts, revocations
from ldapgw.store.accounts import Account, Tokens
from ldapgw.store.revocations import Revocation
from ldapgw.store.secrets import SecretBox
from ldapgw.store.worker import Store

# An access token is renewed this early, so that it does not end between two pages.
REFRESH_EARLY_SECONDS = 60.0

T = TypeVar("T")

log = Logger()


class AccessTokenProvider:
    """Calls Google for accounts.

    :param now: seconds since the epoch.
    """

    def __init__(self, *, store: Store, secret_box: SecretBox, oauth: OAuth, now: Callable[[], float]) -> None:
        self._store = store
        self._secret_box = secret_box
        self._oauth = oauth
        self._now = now

    async def call(self, account: Account, client: Client, call: Callable[[str], Awaitable[T]]) -> T:
        """Make a call with an access token that is good; once more with a new one when Google rejects it.

        :raises GoogleError: as the call or the token endpoint has it.
        :raises StoreError: when the database cannot be used.
        """
        held = await self._tokens(account)
        access_token = held.access_token
        if held.access_expires_at - REFRESH_EARLY_SECONDS <= self._now():
            access_token = await self._refresh(account, client, held)
        try:
            return await call(access_token)
        except AccessTokenRejected:
            access_token = await self._refresh(account, client, await self._tokens(account))
        try:
            return await call(access_token)
        except AccessTokenRejected:
            # Only the token endpoint says that a consent is gone.
            raise GoogleUnavailable("a new access token was rejected") from None

    async def refresh(self, account: Account, client: Client) -> None:
        """Get a new access token, though the old one may be good: that shows whether Google takes the client.

        :raises GoogleError: as the token endpoint has it.
        """
        await self._refresh(account, client, await self._tokens(account))

    async def _tokens(self, account: Account) -> Tokens:
        held = await self._store.run(accounts.read_tokens, self._secret_box, account.id)
        if held is None:
            raise ConsentRevoked("the account was disconnected meanwhile")
        return held

    async def _refresh(self, account: Account, client: Client, held: Tokens) -> str:
        """A new access token, stored before it is used."""
        grant = await self._oauth.refresh(client, held.refresh_token)
        await self._store.run(
            accounts.store_refreshed_tokens,
            self._secret_box,
            account,
            grant.access_token,
            grant.expires_at,
            grant.refresh_token,
        )
        if grant.identity is not None and _is_renamed(account, grant.identity):
            log.info("account {account} has another address now", account=account.id)
            await self._store.run(accounts.set_address, account, grant.identity.email)
        return grant.access_token


def _is_renamed(account: Account, identity: Identity) -> bool:
    """Whether Google knows the very same user by another address."""
    known = identity.sub == account.sub and identity.email_verified and identity.email != ""
    return known and identity.email != account.address


POLL_SECONDS = 60.0
MAX_RETRY_SECONDS = 3600.0


class TokenRevoker(Service):
    """Gives grants back.

    :param clock: its seconds are those since the epoch.
    :param clients: of the tenants, by name.
    """

    def __init__(
        self, *, clock: IReactorTime, store: Store, secret_box: SecretBox, oauth: OAuth, clients: Mapping[str, Client]
    ) -> None:
        self._clock = clock
        self._store = store
        self._secret_box = secret_box
        self._oauth = oauth
        self._clients = clients
        self._timer = LoopingCall(self._quietly)
        self._timer.clock = clock
        self._run: Deferred[None] = succeed(None)

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        self._timer.start(POLL_SECONDS)

    def stopService(self) -> Deferred[None]:
        """Abandon what is under way; it is tried again after the next start."""
        super().stopService()
        if self._timer.running:
            self._timer.stop()
        self._run.cancel()
        return self._run

    async def revoke_pending(self) -> None:
        """Try what is due."""
        for one in await self._store.run(revocations.read_due, self._secret_box, self._clock.seconds()):
            await self._try(one)

    async def _try(self, one: Revocation) -> None:
        if one.is_expired(self._clock.seconds()):
            log.warn("tenant {tenant}: a grant could not be revoked for a day; it is given up", tenant=one.tenant)
            await self._store.run(revocations.remove, one.id)
            return
        client = self._clients.get(one.tenant)
        sharers = [name for name, other in self._clients.items() if client and client.shares_grants_with(other)]
        if not await self._store.run(revocations.is_shared, sharers, one.sub):
            try:
                await self._oauth.revoke(one.token)
            except GoogleError as error:
                now = self._clock.seconds()
                # Twice as long after it was asked for as before.
                wait = min(max(now - one.since, POLL_SECONDS), MAX_RETRY_SECONDS)
                log.warn("a grant could not be revoked yet: {code} {detail}", code=error.code, detail=error.detail)
                await self._store.run(revocations.postpone, one.id, now + wait)
                return
            log.info("a grant of tenant {tenant} was revoked", tenant=one.tenant)
        await self._store.run(revocations.remove, one.id)

    def _quietly(self) -> Deferred[None]:
        self._run = Deferred.fromCoroutine(self.revoke_pending()).addErrback(_failed)
        return self._run


def _failed(failure: Failure) -> None:
    if not failure.check(CancelledError, StoreError):
        log.failure("giving grants back failed", failure)
