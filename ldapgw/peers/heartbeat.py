# SPDX-License-Identifier: MIT
"""Tells the other gateways on the database that this gateway lives, and learns which others live.

Heartbeats tell pages and commands which gateways live, which keys all of these can read, and whether an older version
runs that an upgrade of the database would lock out.  Which gateway syncs is decided by a lock
(`ldapgw.peers.leadership`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.store import gateways
from ldapgw.store.gateways import GatewayInfo, Peers
from ldapgw.store.periodic import PeriodicService
from ldapgw.store.worker import Store

BEAT_SECONDS: Final = 3.0

log = Logger()


class Heartbeat(PeriodicService):
    """The service that writes the row of this gateway.

    :param store: for transactions that run beside those of pages and syncs, and wait for none of them.
    :param gateway_id: of this gateway.
    :param describe: returns what the gateway tells of itself; called once for each heartbeat.
    :param on_beat: called after each heartbeat with what is known of the other gateways.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        store: Store,
        gateway_id: str,
        describe: Callable[[], GatewayInfo],
        on_beat: Callable[[Peers], object],
    ) -> None:
        self._store = store
        self._gateway_id = gateway_id
        self._describe = describe
        self._on_beat = on_beat
        super().__init__(clock, BEAT_SECONDS, self._beat, _report, waits=True, last=self._leave)

    async def _beat(self) -> None:
        if not self.running:  # the end of a lead is told after the stop, too
            return
        peers = await self._store.run(gateways.beat, self._describe())
        if self.running:
            self._on_beat(peers)

    def _leave(self) -> Deferred[Any]:
        """Delete the row of this gateway, which lists then leave out."""
        return self._store.run(gateways.leave, self._gateway_id)


def _report(failure: Failure) -> None:
    log.failure("a heartbeat failed", failure, event="heartbeat_failed")
