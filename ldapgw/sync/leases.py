# SPDX-License-Identifier: MIT
"""The leases of tenants, if several gateways share a database: only the holder of a tenant's lease syncs the tenant.

`TenantLeases` renews the leases with each heartbeat.  It believes in a lease for less time than the database does,
counted from the moment when the renewal was sent, on a clock that goes on while the machine sleeps: a gateway that was
stopped and goes on knows before its next step that its leases may be over.  `LeasedStore` lets the database refuse what
such a gateway would write nevertheless.

Mutable: `TenantLeases`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.errors import LeaseLost, StoreError
from ldapgw.store import gateways
from ldapgw.store.gateways import LEASE_SECONDS, GatewayInfo, Leases
from ldapgw.store.worker import Store

# The tenants of a gateway that died are synced again within LEASE_SECONDS and this time.
BEAT_SECONDS: Final = 3.0
# How much earlier than the database a gateway thinks that its lease is over.
MARGIN_SECONDS: Final = 2.0
CHECK_SECONDS: Final = 1.0
# A gateway with more than its share lets go of one tenant a minute: the next one has to read all of its accounts.
PASS_ON_SECONDS: Final = 60.0

P = ParamSpec("P")
T = TypeVar("T")

log = Logger()


class SyncRights(Protocol):
    """Which tenants this gateway may sync."""

    def holds(self, tenant: str) -> bool:
        """Whether this gateway may sync a tenant now."""

    def store_of(self, tenant: str) -> Store:
        """The store for what syncs of a tenant write."""

    def share(self, tenants: Collection[str]) -> float:
        """The part of a quota of some tenants that this gateway may use."""


class AllTenants:
    """The rights of the only gateway on a database.

    :param store: for syncs.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def holds(self, tenant: str) -> bool:  # noqa: ARG002
        return True

    def store_of(self, tenant: str) -> Store:  # noqa: ARG002
        return self._store

    def share(self, tenants: Collection[str]) -> float:  # noqa: ARG002
        return 1.0


class TenantLeases(Service):
    """The rights of one of several gateways.

    :param seconds: a monotonic clock that goes on while the machine sleeps (``CLOCK_BOOTTIME``).
    :param beat: calls a function with a connection and arguments in a transaction, on a thread of its own.
    :param store: for syncs.
    :param gateway_id: the id of this gateway.
    :param describe: returns what the gateway tells of itself; called once for each heartbeat.
    :param tenants: of the gateway's configuration.
    :param changed: called with the tenants that were gained and those that were lost.
    :param on_beat: called after each heartbeat with what is known of all gateways.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        seconds: Callable[[], float],
        beat: Callable[..., Deferred[Any]],
        store: Store,
        gateway_id: str,
        describe: Callable[[], GatewayInfo],
        tenants: Collection[str],
        changed: Callable[[frozenset[str], frozenset[str]], None],
        on_beat: Callable[[Leases], object] = lambda _: None,
    ) -> None:
        self._seconds = seconds
        self._beat = beat
        self._store = store
        self._gateway_id = gateway_id
        self._describe = describe
        self._tenants = tuple(tenants)
        self._changed = changed
        self._on_beat = on_beat
        self._fences: Mapping[str, int] = {}
        self._holders: Mapping[str, str] = {}
        self._valid_until = 0.0
        self._told = "none"  # as the log has it
        self._is_outdated = False
        self._may_pass_on_at = seconds() + PASS_ON_SECONDS
        self._running: Deferred[None] | None = None
        self._timers = (
            (LoopingCall(self._start_beat), BEAT_SECONDS),
            (LoopingCall(self._check), CHECK_SECONDS),
        )
        for timer, _ in self._timers:
            timer.clock = clock

    def holds(self, tenant: str) -> bool:
        return tenant in self._fences and self._seconds() < self._valid_until

    def fence(self, tenant: str) -> int:
        """The fence of a tenant's lease.

        :raises LeaseLost: when this gateway does not hold the lease.
        """
        if not self.holds(tenant):
            raise LeaseLost(tenant)
        return self._fences[tenant]

    def store_of(self, tenant: str) -> Store:
        return LeasedStore(self._store, self, tenant, self._gateway_id)

    def share(self, tenants: Collection[str]) -> float:
        """An even part for each gateway that syncs one of the tenants."""
        holders = {self._holders[tenant] for tenant in tenants if tenant in self._holders} | {self._gateway_id}
        return 1.0 / len(holders)

    def startService(self) -> None:
        super().startService()
        for timer, seconds in self._timers:
            timer.start(seconds)

    def stopService(self) -> Deferred[Any]:
        """Let go of the leases, so that other gateways take over at once."""
        super().stopService()
        for timer, _ in self._timers:
            if timer.running:
                timer.stop()
        self._set(Leases())
        running = self._running if self._running is not None else succeed(None)
        return running.addBoth(lambda _: self._beat(gateways.leave, self._gateway_id)).addErrback(_log_failure)

    def _start_beat(self) -> None:
        if self._running is None:
            self._running = Deferred.fromCoroutine(self._renew()).addErrback(_log_failure)
            self._running.addBoth(self._ended)

    def _ended(self, _result: object) -> None:
        self._running = None

    async def _renew(self) -> None:
        sent = self._seconds()
        may_pass_on = sent >= self._may_pass_on_at
        leases: Leases = await self._beat(gateways.beat, self._describe(), self._tenants, may_pass_on=may_pass_on)
        if may_pass_on:
            self._may_pass_on_at = sent + PASS_ON_SECONDS
        if self.running:
            self._valid_until = sent + LEASE_SECONDS - MARGIN_SECONDS
            self._set(leases)
            self._on_beat(leases)
            # While the database is away, the store says so, once.
            names = ", ".join(sorted(leases.fences)) or "none"
            if names != self._told:
                self._told = names
                log.info("tenants that this gateway syncs: {names}", event="leases_changed", names=names)
            if leases.is_outdated and not self._is_outdated:
                log.error(
                    "this gateway does not sync any more, because a newer version of ldapgw upgraded the database "
                    "while this gateway sent no heartbeat; upgrade this gateway, or stop it",
                    event="gateway_outdated",
                )
            self._is_outdated = leases.is_outdated

    def _check(self) -> None:
        """Stop the syncs of all tenants when the leases were not renewed in time."""
        if self._fences and self._seconds() >= self._valid_until:
            self._set(Leases(holders=self._holders))

    def _set(self, leases: Leases) -> None:
        before = self._fences
        self._fences, self._holders = leases.fences, leases.holders
        # Another fence: another gateway has held the lease in between.
        gained = frozenset(tenant for tenant, fence in leases.fences.items() if before.get(tenant) != fence)
        lost = frozenset(tenant for tenant, fence in before.items() if leases.fences.get(tenant) != fence)
        if gained or lost:
            self._changed(gained, lost)


class LeasedStore:
    """The `Store` for the syncs of one tenant; its transactions fail once the lease is over.

    :param store: runs the transactions.
    """

    def __init__(self, store: Store, leases: TenantLeases, tenant: str, gateway_id: str) -> None:
        self._store = store
        self._leases = leases
        self._tenant = tenant
        self._gateway_id = gateway_id

    def run(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs) -> Deferred[T]:
        """As `Store.run`; the Deferred fails with `LeaseLost` when another gateway may sync the tenant."""
        try:
            fence = self._leases.fence(self._tenant)
        except LeaseLost:
            return Deferred.fromCoroutine(_fail(LeaseLost(self._tenant)))

        def while_leased(connection: Connection) -> T:
            gateways.check_lease(connection, self._tenant, self._gateway_id, fence)
            return function(connection, *args, **kw)

        return self._store.run(while_leased)

    def read(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs) -> Deferred[T]:
        return self._store.read(function, *args, **kw)


async def _fail(error: Exception) -> Any:
    raise error


def _log_failure(failure: Failure) -> None:
    if not failure.check(StoreError, CancelledError):
        log.failure("renewing leases failed", failure, event="lease_renewal_failed")
