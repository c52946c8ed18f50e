# SPDX-License-Identifier: MIT
"""Tells the other gateways on the database that this gateway lives, and learns which others live.

A heartbeat decides nothing: which gateway syncs is decided by a lock (`ldapgw.peers.leadership`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.errors import StoreError
from ldapgw.store import gateways
from ldapgw.store.gateways import GatewayInfo, Peers

BEAT_SECONDS: Final = 3.0

log = Logger()


class Heartbeat(Service):
    """The service that writes the row of this gateway.

    Mutable: the heartbeat under way.

    :param run_beside: calls a function with a connection and arguments in a transaction, on a thread of the database.
    :param gateway_id: of this gateway.
    :param describe: returns what the gateway tells of itself; called once for each heartbeat.
    :param on_beat: called after each heartbeat with what is known of the other gateways.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        run_beside: Callable[..., Deferred[Any]],
        gateway_id: str,
        describe: Callable[[], GatewayInfo],
        on_beat: Callable[[Peers], object],
    ) -> None:
        self._run_beside = run_beside
        self._gateway_id = gateway_id
        self._describe = describe
        self._on_beat = on_beat
        self._running: Deferred[Any] | None = None
        self._timer = LoopingCall(self.beat)
        self._timer.clock = clock

    def startService(self) -> None:
        super().startService()
        self._timer.start(BEAT_SECONDS)

    def stopService(self) -> Deferred[Any]:
        """Delete the row of this gateway, which lists then leave out."""
        super().stopService()
        if self._timer.running:
            self._timer.stop()
        running = self._running if self._running is not None else succeed(None)
        return running.addBoth(lambda _: self._run_beside(gateways.leave, self._gateway_id)).addErrback(_log_failure)

    def beat(self) -> None:
        """Write the row now, unless that is under way."""
        if self._running is None:
            self._running = self._run_beside(gateways.beat, self._describe())
            self._running.addCallback(self._heard).addErrback(_log_failure)
            self._running.addBoth(self._ended)

    def _heard(self, peers: Peers) -> None:
        if self.running:
            self._on_beat(peers)

    def _ended(self, _result: object) -> None:
        self._running = None


def _log_failure(failure: Failure) -> None:
    # While the database is away, the store says so, once.
    if not failure.check(StoreError, CancelledError):
        log.failure("a heartbeat failed", failure, event="heartbeat_failed")
