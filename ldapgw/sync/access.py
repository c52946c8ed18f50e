# SPDX-License-Identifier: MIT
"""Access tokens: kept while they are good, renewed before they end, and once when Google rejects one early."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from twisted.logger import Logger

from ldapgw.errors import AccessTokenRejected, ConsentRevoked, GoogleUnavailable
from ldapgw.google.endpoints import Client
from ldapgw.google.identity import Identity
from ldapgw.google.oauth import OAuth
from ldapgw.store import accounts
from ldapgw.store.accounts import Account, Tokens
from ldapgw.store.vault import Vault
from ldapgw.store.worker import Store

# An access token is renewed this early, so that it does not end between two pages.
EARLY_SECONDS = 60.0

T = TypeVar("T")

log = Logger()


class Access:
    """Calls Google for accounts.

    :param now: seconds since the epoch.
    """

    def __init__(self, *, store: Store, vault: Vault, oauth: OAuth, now: Callable[[], float]) -> None:
        self._store = store
        self._vault = vault
        self._oauth = oauth
        self._now = now

    async def call(self, account: Account, client: Client, call: Callable[[str], Awaitable[T]]) -> T:
        """Make a call with an access token that is good; once more with a new one when Google rejects it.

        :raises GoogleError: as the call or the token endpoint has it.
        :raises StoreError: when the database cannot be used.
        """
        held = await self._tokens(account)
        access_token = held.access_token
        if held.access_expires_at - EARLY_SECONDS <= self._now():
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

    async def renew(self, account: Account, client: Client) -> None:
        """Get a new access token, though the old one may be good: that shows whether Google takes the client.

        :raises GoogleError: as the token endpoint has it.
        """
        await self._refresh(account, client, await self._tokens(account))

    async def _tokens(self, account: Account) -> Tokens:
        held = await self._store.run(accounts.tokens, self._vault, account.id)
        if held is None:
            raise ConsentRevoked("the account was disconnected meanwhile")
        return held

    async def _refresh(self, account: Account, client: Client, held: Tokens) -> str:
        """A new access token, stored before it is used."""
        grant = await self._oauth.refresh(client, held.refresh_token)
        await self._store.run(
            accounts.refreshed, self._vault, account, grant.access_token, grant.expires_at, grant.refresh_token
        )
        if grant.identity is not None and _is_renamed(account, grant.identity):
            log.info("account {account} has another address now", account=account.id)
            await self._store.run(accounts.rename, account, grant.identity.email)
        return grant.access_token


def _is_renamed(account: Account, identity: Identity) -> bool:
    """Whether Google knows the very same user by another address."""
    known = identity.sub == account.sub and identity.email_verified and identity.email != ""
    return known and identity.email != account.address
