# SPDX-License-Identifier: MIT
"""A certificate that is renewed is used, without a restart; one that ends is spoken of.

The files are looked at off the reactor's thread: a network file system may take its time.  What cannot be used changes
nothing; it is told once it is still so at the next look, because a pair is replaced file by file.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.errors import UserError
from ldapgw.tls import ServerContext, Stamp, read_pair, stamp

# Somebody who has just renewed a certificate tries it after some seconds.
LOOK_SECONDS = 5.0

log = Logger()


class Renewal(Service):
    """Looks at the files of ``[tls]`` every few seconds.

    :param clock: its seconds are those since the epoch.
    :param run_off_thread: calls a function with its arguments where it may wait.
    """

    def __init__(
        self, *, clock: IReactorTime, contexts: ServerContext, run_off_thread: Callable[..., Awaitable[Any]]
    ) -> None:
        self._clock = clock
        self._contexts = contexts
        self._run_off_thread = run_off_thread
        self._timer = LoopingCall(self._quietly)
        self._timer.clock = clock
        self._failed: Stamp | None = None  # files that could not be used
        self._told: Stamp | None = None  # those of which that was said
        self._urgency = 0

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        self._timer.start(LOOK_SECONDS)

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()
        if self._timer.running:
            self._timer.stop()

    async def look(self) -> None:
        """Use the files if they have changed, and say when the certificate ends soon."""
        found: Stamp = await self._run_off_thread(stamp, self._contexts.tls)
        if found == self._contexts.pair.stamp:
            self._back()
        elif found != self._told:
            await self._read(found)
        self._warn()

    async def _read(self, found: Stamp) -> None:
        try:
            pair = await self._run_off_thread(read_pair, self._contexts.tls)
        except UserError as error:
            if found == self._failed:
                self._told = found
                log.error("{problem}; the one that was read before stays in use", problem=str(error))
            self._failed = found
            return
        self._contexts.pair = pair
        self._urgency = 0
        self._failed = self._told = None
        log.info(
            "tls.certificate = {file}: has changed and is in use, valid until {ends}",
            file=self._contexts.tls.certificate,
            ends=f"{pair.lifetime.ends:%Y-%m-%d}",
        )

    def _back(self) -> None:
        if self._told is not None:
            log.info("tls.certificate = {file}: is as it was before", file=self._contexts.tls.certificate)
        self._failed = self._told = None

    def _warn(self) -> None:
        now = self._clock.seconds()
        lifetime = self._contexts.pair.lifetime
        urgency = lifetime.urgency(now)
        if urgency > self._urgency:
            log.warn(
                "tls.certificate = {file}: {what} on {ends}; renew it",
                file=self._contexts.tls.certificate,
                what="has expired" if lifetime.ends.timestamp() <= now else "expires",
                ends=f"{lifetime.ends:%Y-%m-%d %H:%M} UTC",
            )
        self._urgency = urgency

    def _quietly(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.look()).addErrback(_unexpected)


def _unexpected(failure: Failure) -> None:
    log.failure("looking at the certificate failed", failure)
