# SPDX-License-Identifier: MIT
"""Fetches contacts' photos slowly, after the syncs, so that phones find a new name without waiting for its photo.

A sync stores the address of each photo (`ldapgw.store.photos`).  `PhotoFetcher` looks for photos that are due, fetches
one photo after another at the pace of the tenant's Google project, and stores and publishes the photos in batches.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ldapgw.errors import BadResponse, GoogleError, LdapgwError, ProcessLost
from ldapgw.google.photos import PhotoClient, scale
from ldapgw.peers.leadership import Leader
from ldapgw.store import photos
from ldapgw.store.periodic import PeriodicService
from ldapgw.store.photos import DuePhoto
from ldapgw.sync.fetch import SyncedTenant
from ldapgw.sync.pacing import CallPacer

log = Logger()

# Seconds between two searches for photos that are due.
INTERVAL = 10.0
# The number of photos that are stored and published in one step.
_BATCH = 50
# Seconds until another attempt after Google's image hosts did not answer, doubled each time up to a day.
_FIRST_PAUSE, _LONGEST_PAUSE = 60.0, 86400.0
# Seconds until another attempt for a single photo, doubled each time up to `ldapgw.store.photos.LONGEST_WAIT`.
_FIRST_RETRY = 3600.0
# If the process that scales a photo dies, and the photo has failed this many times before, the photo counts as the
# cause, and the gateway gives the photo up.
_FAILURES_BEFORE_LOSS = 3


class PhotoFetcher(PeriodicService):
    """The service that keeps stored photos up to date.

    Mutable: the pause after failures.

    :param tenants: the tenants by name; photos are fetched for tenants with `SyncedTenant.photos`.
    :param scale_in_process: calls `scale` in another process, because phones must not wait for decoders, and decoders
        must not read strangers' pictures in the gateway's own process.
    :param publish: called with an account's id after its photos have changed; publishes the photos to phones.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        leader: Leader,
        client: PhotoClient,
        tenants: Mapping[str, SyncedTenant],
        pacer: CallPacer,
        scale_in_process: Callable[..., Awaitable[bytes]],
        publish: Callable[[int], Awaitable[None]],
    ) -> None:
        self._clock = clock
        self._leader = leader
        self._client = client
        self._tenants = tenants
        self._pacer = pacer
        self._scale = scale_in_process
        self._publish = publish
        self._paused_until = 0.0
        self._pause = _FIRST_PAUSE
        failed = partial(log.failure, "fetching photos failed", event="photos_failed")
        super().__init__(clock, INTERVAL, self.fetch_due, failed, now=False)

    async def fetch_due(self) -> None:
        """Fetch the photos that are due, until no due photo is left, or Google's image hosts cannot answer."""
        # If the rest of the pause is longer than `_LONGEST_PAUSE`, the clock was ahead when the pause began.  Such a
        # pause does not count.
        while not 0.0 < self._paused_until - self._clock.seconds() <= _LONGEST_PAUSE:
            tenants = [name for name, tenant in self._tenants.items() if tenant.photos]
            if not tenants or not self._leader.is_leader:
                return
            due = await self._leader.store.read(photos.read_due, tenants, self._clock.seconds(), _BATCH)
            if not due or not await self._fetch(due):
                return

    async def _fetch(self, due: Sequence[DuePhoto]) -> bool:
        """Fetch and store some photos; return False if the photos of an account could not be stored now."""
        fetched: list[tuple[DuePhoto, bytes]] = []
        for due_photo in due:
            try:
                await self._pacer.of(self._tenants[due_photo.tenant].client.project).turn(is_requested=False)
                photo = await self._client.fetch(due_photo.url)
            except BadResponse as error:  # only this photo has failed
                await self._postpone(due_photo, error)
                continue
            except GoogleError as error:
                self._rest(error)
                await self._postpone(due_photo, error)
                break
            self._pause = _FIRST_PAUSE
            try:
                fetched.append((due_photo, await self._scale(scale, photo) if photo else b""))
            except ProcessLost as error:
                # The process that scales photos has ended.  The photo need not be the cause: the system may have ended
                # the process because memory was short.
                if due_photo.failures < _FAILURES_BEFORE_LOSS:
                    await self._postpone(due_photo, error)
                else:
                    fetched.append((due_photo, b""))
        is_stored = True
        for account_id in dict.fromkeys(due_photo.account_id for due_photo, _ in fetched):
            of_account = [pair for pair in fetched if pair[0].account_id == account_id]
            store = self._leader.store
            if await store.run(photos.store, account_id, of_account):
                await self._publish(account_id)
            else:
                is_stored = False
        return is_stored

    def _rest(self, error: GoogleError) -> None:
        """Fetch no photos for a while, because Google's image hosts cannot answer."""
        wait = max(error.retry_after or 0.0, self._pause)
        self._paused_until, self._pause = self._clock.seconds() + wait, min(2 * self._pause, _LONGEST_PAUSE)
        log.info(
            "Google's image hosts cannot answer: {code} {detail}; the gateway fetches no photos for a while",
            event="photos_paused",
            code=error.code,
            detail=error.detail,
        )

    async def _postpone(self, due: DuePhoto, error: LdapgwError) -> None:
        """Try a photo again later than the other photos, because this photo may be the cause of the failure."""
        retry = min(_FIRST_RETRY * 2 ** min(due.failures, 10), photos.LONGEST_WAIT)
        log.debug(
            "a photo of account {account} is left for later: {problem}",
            event="photo_postponed",
            tenant=due.tenant,
            account=due.account_id,
            problem=str(error),
        )
        await self._leader.store.run(photos.postpone, due, self._clock.seconds() + retry)
