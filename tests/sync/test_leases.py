# SPDX-License-Identifier: MIT
"""Which gateway may sync which tenant, and until when it believes so; what a gateway without a lease cannot write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import update
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.task import Clock

from ldapgw.errors import LeaseLost, StoreError
from ldapgw.store import gateways, tables
from ldapgw.store.database import Database
from ldapgw.store.gateways import HANDOVER_SECONDS, LEASE_SECONDS, GatewayInfo
from ldapgw.store.worker import StoreWorker
from ldapgw.sync.leases import BEAT_SECONDS, CHECK_SECONDS, MARGIN_SECONDS, PASS_ON_SECONDS, AllTenants, TenantLeases
from tests.support.postgresql import needs_postgresql, open_new
from tests.support.results import result_of

TENANTS = ("acme", "beta")


@pytest.fixture(name="database")
def _database() -> Iterator[Database]:
    with open_new() as database:
        yield database


class Gateway:
    """The leases of one gateway, on a clock of its own."""

    def __init__(self, database: Database, name: str) -> None:
        self.database = database
        self.name = name
        self.clock = Clock()
        self.asleep = 0.0
        self.told: list[tuple[set[str], set[str]]] = []
        self.away = False
        self.described = 0
        self.revision = ""
        self.waiting: list[Deferred[Any]] | None = None
        self.leases = TenantLeases(
            clock=self.clock,
            seconds=lambda: self.clock.seconds() + self.asleep,
            beat=self.beat,
            store=StoreWorker(database, maybeDeferred, maybeDeferred),
            gateway_id=name,
            describe=self.describe,
            tenants=TENANTS,
            changed=lambda gained, lost: self.told.append((set(gained), set(lost))),
        )

    def beat(self, function: Any, *args: Any, **kw: Any) -> Deferred[Any]:
        if self.away:
            return fail(StoreError("away"))
        found = maybeDeferred(self.database.run_beside, function, *args, **kw)
        if self.waiting is not None:
            late: Deferred[Any] = Deferred()
            found.addCallback(lambda result: self.waiting.append(late.addCallback(lambda _: result)))  # type: ignore[union-attr]
            return late
        return found

    def describe(self) -> GatewayInfo:
        self.described += 1
        return GatewayInfo(self.name, f"{self.name}.example", "1.0", revision=self.revision)

    def held(self) -> set[str]:
        return {tenant for tenant in TENANTS if self.leases.holds(tenant)}


def pass_time(database: Database, seconds: float) -> None:
    """On the clock of the database server."""
    with database.begin() as connection:
        connection.execute(update(tables.sync_lease).values(expires_at=tables.sync_lease.c.expires_at - seconds))
        connection.execute(update(tables.gateway).values(seen_at=tables.gateway.c.seen_at - seconds))


def test_the_only_gateway_may_sync_all() -> None:
    """Without any lease, as with SQLite."""
    store: Any = object()
    rights = AllTenants(store)
    assert rights.holds("acme")
    assert rights.store_of("acme") is store
    assert rights.share(["acme"]) == 1.0


@needs_postgresql
def test_a_lease_is_held_as_long_as_it_is_renewed(database: Database) -> None:
    """Its end gives it to others at once."""
    one, two = Gateway(database, "one"), Gateway(database, "two")
    assert one.held() == set()
    one.leases.startService()
    assert one.told == [({"acme", "beta"}, set())]
    two.leases.startService()
    for _ in range(10):
        one.clock.advance(BEAT_SECONDS)
        two.clock.advance(BEAT_SECONDS)
        assert (one.held(), two.held()) == ({"acme", "beta"}, set())
    result_of(one.leases.stopService())
    assert one.told[1:] == [(set(), {"acme", "beta"})]
    two.clock.advance(BEAT_SECONDS)
    assert two.held() == {"acme", "beta"}
    result_of(two.leases.stopService())


@needs_postgresql
def test_a_gateway_counts_what_it_serves_for_heartbeats_alone(database: Database) -> None:
    """Not for each write of a sync: there may be thousands of books."""
    one = Gateway(database, "one")
    one.leases.startService()
    one.clock.advance(BEAT_SECONDS)
    result_of(one.leases.store_of("acme").run(gateways.read_all))
    assert (one.leases.share(["acme"]), one.described) == (1.0, 2)
    result_of(one.leases.stopService())
    assert one.described == 2


@needs_postgresql
def test_a_gateway_that_missed_an_upgrade_says_so_once(database: Database, caplog_twisted: list[str]) -> None:
    """It may not sync, and somebody has to upgrade it."""
    one = Gateway(database, "one")
    one.leases.startService()
    one.revision = "0010"
    for _ in range(2):
        one.clock.advance(BEAT_SECONDS)
        assert one.held() == set()
    assert caplog_twisted == [
        "tenants that this gateway syncs: acme, beta",
        "tenants that this gateway syncs: none",
        "this gateway does not sync any more, because a newer version of ldapgw upgraded the database "
        "while this gateway sent no heartbeat; upgrade this gateway, or stop it",
    ]
    result_of(one.leases.stopService())


@needs_postgresql
def test_who_has_too_many_passes_one_on(database: Database) -> None:
    """One a minute."""
    one, two = Gateway(database, "one"), Gateway(database, "two")
    one.leases.startService()
    two.leases.startService()
    passed = 0.0
    while two.held() == set():
        passed += BEAT_SECONDS
        assert passed <= PASS_ON_SECONDS + 2 * BEAT_SECONDS
        one.clock.advance(BEAT_SECONDS)
        if one.held() == {"acme"}:  # the former holder's calls have ended, on the database's clock
            with database.begin() as connection:
                lease = tables.sync_lease
                connection.execute(update(lease).values(expires_at=lease.c.expires_at - HANDOVER_SECONDS))
        two.clock.advance(BEAT_SECONDS)
    assert passed >= PASS_ON_SECONDS
    assert (one.held(), two.held()) == ({"acme"}, {"beta"})
    assert one.leases.share(["acme"]) == one.leases.share([]) == 1.0
    one.clock.advance(BEAT_SECONDS)
    assert one.leases.share(TENANTS) == 0.5
    for gateway in (one, two):
        result_of(gateway.leases.stopService())


@needs_postgresql
def test_without_the_database_a_lease_ends_by_itself(database: Database) -> None:
    """Before the database thinks so."""
    one = Gateway(database, "one")
    one.leases.startService()
    one.away = True
    while one.held():
        one.clock.advance(CHECK_SECONDS)
    assert one.clock.seconds() <= LEASE_SECONDS - MARGIN_SECONDS + CHECK_SECONDS
    assert one.told[1:] == [(set(), {"acme", "beta"})]
    one.away = False
    one.clock.advance(BEAT_SECONDS)
    assert one.held() == {"acme", "beta"}
    result_of(one.leases.stopService())


@needs_postgresql
def test_a_gateway_that_was_stopped_knows_that_its_leases_are_over(database: Database) -> None:
    """At its first step, before any timer; what it wrote nevertheless would be refused."""
    one, two = Gateway(database, "one"), Gateway(database, "two")
    one.leases.startService()
    store = one.leases.store_of("acme")
    assert result_of(store.run(lambda _: "written")) == "written"
    fence = one.leases.fence("acme")
    one.asleep = 2 * LEASE_SECONDS
    assert one.held() == set()
    with pytest.raises(LeaseLost, match="acme"):
        result_of(store.run(lambda _: "written"))
    pass_time(database, LEASE_SECONDS + 1)
    two.leases.startService()
    assert two.held() == {"acme", "beta"}
    # Its clock may be wrong: then the database decides.
    one.asleep = 0.0
    assert one.leases.fence("acme") == fence
    with pytest.raises(LeaseLost, match="acme"):
        result_of(store.run(lambda _: "written"))
    assert result_of(store.read(lambda _: "read")) == "read"
    one.clock.advance(BEAT_SECONDS)
    assert one.told[-1] == (set(), {"acme", "beta"})
    for gateway in (one, two):
        result_of(gateway.leases.stopService())


@needs_postgresql
def test_a_renewal_counts_from_when_it_was_sent(database: Database) -> None:
    """Its answer may come late; meanwhile there is no second one."""
    one = Gateway(database, "one")
    one.leases.startService()
    one.waiting = []
    one.clock.advance(BEAT_SECONDS)
    sent = one.clock.seconds()
    one.clock.pump([BEAT_SECONDS] * 3)
    [late] = one.waiting
    late.callback(None)
    one.asleep = sent + LEASE_SECONDS - MARGIN_SECONDS - one.clock.seconds()
    assert one.held() == set()
    one.asleep -= 0.1
    assert one.held() == {"acme", "beta"}
    one.waiting = None
    result_of(one.leases.stopService())


@needs_postgresql
def test_a_lease_that_was_elsewhere_begins_anew(database: Database) -> None:
    """What this gateway knows of the tenant is old."""
    one, two = Gateway(database, "one"), Gateway(database, "two")
    one.leases.startService()
    pass_time(database, LEASE_SECONDS + 1)
    database.run_beside(gateways.beat, GatewayInfo("two", "two.example", "1.0"), ("acme",))
    database.run(gateways.leave, "two")
    one.clock.advance(BEAT_SECONDS)
    assert one.told[1:] == [({"acme"}, {"acme"})]
    result_of(one.leases.stopService())
    result_of(two.leases.stopService())
