# SPDX-License-Identifier: MIT
"""OAuth tokens of accounts: access tokens for calls to Google, and the revocation of disconnected accounts' grants.

An access token is refreshed before it expires, and once more when Google rejects the token early.  A revocation that
failed is repeated for a day; after that the user has to revoke the grant at Google.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ldapgw.errors import AccessTokenRejected, BadResponse, ClientRejected, ConsentRevoked, GoogleError, GoogleRefused
from ldapgw.google.endpoints import Client
from ldapgw.google.identity import Identity
from ldapgw.google.oauth import OAuth
from ldapgw.peers.leadership import Leader
from ldapgw.store import accounts, revocations, tenants
from ldapgw.store.accounts import Account, Tokens
from ldapgw.store.periodic import PeriodicService
from ldapgw.store.revocations import Revocation
from ldapgw.store.secrets import SecretBox
from ldapgw.store.worker import Store
from ldapgw.sync.workspace import REFRESH_EARLY_SECONDS, DelegatedTokens

POLL_SECONDS = 60.0

T = TypeVar("T")

log = Logger()


class AccessTokenProvider:
    """The provider of access tokens, which makes the calls to Google for accounts.

    :ivar delegated: gets the tokens of users who have not consented.
    :param now: returns seconds since the epoch.
    """

    def __init__(
        self,
        *,
        leader: Leader,
        secret_box: SecretBox,
        oauth: OAuth,
        delegated: DelegatedTokens,
        now: Callable[[], float],
    ) -> None:
        self._leader = leader
        self._secret_box = secret_box
        self._oauth = oauth
        self.delegated = delegated
        self._now = now

    async def call(
        self, account: Account, client: Client, call: Callable[[str], Awaitable[T]], tokens: Tokens | None = None
    ) -> T:
        """Make a call with a valid access token, and once more with a new token when Google rejects the first token.

        :param tokens: the account's tokens if the caller has just read the tokens, or None to read the tokens.
        :raises GoogleError: the error of the call or of the token endpoint.
        """
        await self._check_client(account, client)
        tokens = tokens or await self._tokens(account)
        access_token = tokens.access_token
        if tokens.access_expires_at - REFRESH_EARLY_SECONDS <= self._now():
            access_token = await self._refresh(account, client, tokens)
        try:
            return await call(access_token)
        except AccessTokenRejected:
            access_token = await self._refresh(account, client, await self._tokens(account))
        try:
            return await call(access_token)
        except AccessTokenRejected as error:
            # A rejected call does not mean that the consent is revoked; only the token endpoint reports a revoked
            # consent.
            raise BadResponse(f"a new access token was rejected: {error.detail}") from None

    async def refresh(self, account: Account, client: Client) -> None:
        """Get a new access token even if the old token is valid, to see whether Google accepts the OAuth client.

        :raises GoogleError: the error of the token endpoint.
        """
        await self._check_client(account, client)
        await self._refresh(account, client, await self._tokens(account))

    async def _check_client(self, account: Account, client: Client) -> None:
        """Refuse an account whose grant belongs to another OAuth client.

        :raises ConsentRevoked: if the grant belongs to another client.
        """
        if account.client_id not in (None, client.client_id):
            await self._end_consent(account)
            raise ConsentRevoked("the tenant has another OAuth client now", by="client")

    async def _tokens(self, account: Account) -> Tokens:
        """Return the stored tokens.

        :raises ConsentRevoked: when the account was disconnected.
        """
        tokens = await self._leader.store.read(accounts.read_tokens, self._secret_box, account.id)
        if tokens is None:
            raise ConsentRevoked("the account was disconnected meanwhile")
        return tokens

    async def _refresh(self, account: Account, client: Client, tokens: Tokens) -> str:
        """Get a new access token, and store the token before its first use."""
        if account.uses_delegation:
            return await self._get_delegated(account)
        try:
            grant = await self._oauth.refresh(client, tokens.refresh_token)
        except ConsentRevoked:
            await self._end_consent(account)
            raise
        except ClientRejected as error:
            if not error.detail.startswith("unauthorized_client"):
                raise
            # Google gives this answer if the refresh token belongs to another client, not if the client itself is
            # rejected.
            raise GoogleRefused(error.detail, by="client") from None
        await self._leader.store.run(
            accounts.store_refreshed_tokens,
            self._secret_box,
            account,
            grant.access_token,
            grant.expires_at,
            grant.refresh_token,
            client.client_id,
        )
        if grant.identity is not None and _is_renamed(account, grant.identity):
            log.info(
                "account {account} has another address now",
                event="address_changed",
                tenant=account.tenant,
                account=account.id,
            )
            await self._leader.store.run(accounts.set_address, account, grant.identity.email)
        return grant.access_token

    async def _get_delegated(self, account: Account) -> str:
        """Get an access token with the tenant's service account, and store the token before its first use."""
        grant = await self.delegated.get(account)
        await self._leader.store.run(
            accounts.store_refreshed_tokens,
            self._secret_box,
            account,
            grant.access_token,
            grant.expires_at,
            None,
            None,
        )
        return grant.access_token

    async def _end_consent(self, account: Account) -> None:
        """Let the service account read the contacts from now on, if the tenant has delegated the account.

        The sync that has found the end of the consent fails, and the next sync begins at once.
        """
        if account.delegated:
            await self._leader.store.run(tenants.use_delegation, account, self._now())


def _is_renamed(account: Account, identity: Identity) -> bool:
    """Return whether Google knows the same user by another verified e-mail address."""
    is_verified = identity.sub == account.sub and identity.email_verified and identity.email != ""
    return is_verified and identity.email != account.address


class TokenRevoker(PeriodicService):
    """The service that revokes, at Google, the grants of disconnected accounts and the grants that were replaced.

    :param clock: ``seconds()`` returns the seconds since the epoch.
    :param leader: knows whether this gateway syncs; only a gateway that syncs revokes grants.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        store: Store,
        leader: Leader,
        secret_box: SecretBox,
        oauth: OAuth,
    ) -> None:
        self._clock = clock
        self._store = store
        self._leader = leader
        self._secret_box = secret_box
        self._oauth = oauth
        # The stop cancels the revocation under way, which is repeated after the next start.
        failed = partial(log.failure, "revoking grants failed", event="revocations_failed")
        super().__init__(clock, POLL_SECONDS, self.revoke_pending, failed)

    async def revoke_pending(self) -> None:
        """Make the revocations that are due."""
        for revocation in await self._store.run(revocations.read_due, self._secret_box, self._clock.seconds()):
            if self._leader.is_leader:
                await self._revoke(revocation)

    async def _revoke(self, revocation: Revocation) -> None:
        tenant = revocation.tenant
        if revocation.is_expired(self._clock.seconds()):
            log.warn(
                "tenant {tenant}: the gateway has tried for a day to revoke a grant, without success; it stops trying",
                event="revocation_abandoned",
                tenant=tenant,
            )
            await self._store.run(revocations.remove, revocation.id)
            return
        if not await self._store.run(revocations.is_shared, revocation.client_id, revocation.sub):
            try:
                await self._oauth.revoke(revocation.token)
            except GoogleError as error:
                now = self._clock.seconds()
                # Each wait is as long as the time that has passed since the account was disconnected, so the waits
                # double.
                wait = min(max(now - revocation.since, POLL_SECONDS), revocations.LONGEST_WAIT)
                log.warn(
                    "a grant could not be revoked yet: {code} {detail}",
                    event="revocation_failed",
                    tenant=tenant,
                    code=error.code,
                    detail=error.detail,
                )
                await self._store.run(revocations.postpone, revocation.id, now + wait)
                return
            log.info("a grant of tenant {tenant} was revoked", event="grant_revoked", tenant=tenant)
        await self._store.run(revocations.remove, revocation.id)
