# SPDX-License-Identifier: MIT
"""The tests cover the row of a gateway among the gateways of a database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from ldapgw.peers.leadership import BEAT_SECONDS, Heartbeat
from ldapgw.store import gateways
from ldapgw.store.database import Mode
from ldapgw.store.gateways import GatewayInfo, Peers
from ldapgw.store.worker import Store


def test_a_gateway_that_stops_leaves_for_good() -> None:
    """A beat after the stop does not write the row again."""
    clock, calls, told = Clock(), list[str](), list[Peers]()

    def transact(_mode: Mode, function: Callable[..., Any], *_args: Any) -> Deferred[Any]:
        calls.append(function.__name__)
        return succeed(Peers() if function is gateways.beat else None)

    heartbeat = Heartbeat(
        clock=clock,
        store=Store(transact),
        gateway_id="one",
        describe=lambda: GatewayInfo("one", "one.example", "1.0"),
        on_beat=told.append,
    )
    heartbeat.startService()
    clock.advance(BEAT_SECONDS)
    assert heartbeat.run_now().called
    assert heartbeat.stopService().called
    assert heartbeat.run_now().called
    assert (calls, len(told)) == (["beat", "beat", "beat", "leave"], 3)
