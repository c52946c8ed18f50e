# SPDX-License-Identifier: MIT
"""Tells Google of those who have left when it did not listen at first; for a day, then it is their own affair."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.errors import GoogleError, StoreError
from ldapgw.google.endpoints import Client
from ldapgw.google.oauth import OAuth
from ldapgw.store import revocations
from ldapgw.store.revocations import Revocation
from ldapgw.store.vault import Vault
from ldapgw.store.worker import Store

LOOK_SECONDS = 60.0
LONGEST_WAIT = 3600.0

log = Logger()


class Revoker(Service):
    """Gives grants back.

    :param clock: its seconds are those since the epoch.
    :param clients: of the tenants, by name.
    """

    def __init__(
        self, *, clock: IReactorTime, store: Store, vault: Vault, oauth: OAuth, clients: Mapping[str, Client]
    ) -> None:
        self._clock = clock
        self._store = store
        self._vault = vault
        self._oauth = oauth
        self._clients = clients
        self._timer = LoopingCall(self._quietly)
        self._timer.clock = clock
        self._run: Deferred[None] = succeed(None)

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        self._timer.start(LOOK_SECONDS)

    def stopService(self) -> Deferred[None]:
        """Abandon what is under way; it is tried again after the next start."""
        super().stopService()
        if self._timer.running:
            self._timer.stop()
        self._run.cancel()
        return self._run

    async def look(self) -> None:
        """Try what is due."""
        for one in await self._store.run(revocations.due, self._vault, self._clock.seconds()):
            await self._try(one)

    async def _try(self, one: Revocation) -> None:
        if one.is_over(self._clock.seconds()):
            log.warn("tenant {tenant}: a grant could not be revoked for a day; it is given up", tenant=one.tenant)
            await self._store.run(revocations.done, one.id)
            return
        client = self._clients.get(one.tenant)
        sharers = [name for name, other in self._clients.items() if client and client.shares_grants_with(other)]
        if not await self._store.run(revocations.is_shared, sharers, one.sub):
            try:
                await self._oauth.revoke(one.token)
            except GoogleError as error:
                now = self._clock.seconds()
                # Twice as long after it was asked for as before.
                wait = min(max(now - one.since, LOOK_SECONDS), LONGEST_WAIT)
                log.warn("a grant could not be revoked yet: {code} {detail}", code=error.code, detail=error.detail)
                await self._store.run(revocations.again, one.id, now + wait)
                return
            log.info("a grant of tenant {tenant} was revoked", tenant=one.tenant)
        await self._store.run(revocations.done, one.id)

    def _quietly(self) -> Deferred[None]:
        self._run = Deferred.fromCoroutine(self.look()).addErrback(_failed)
        return self._run


def _failed(failure: Failure) -> None:
    if not failure.check(CancelledError, StoreError):
        log.failure("giving grants back failed", failure)
