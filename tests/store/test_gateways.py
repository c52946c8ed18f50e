# SPDX-License-Identifier: MIT
"""Several gateways on one PostgreSQL database: heartbeats, and the leases of tenants."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from threading import Barrier

import pytest
from sqlalchemy import select, update

from ldapgw.errors import LeaseLost
from ldapgw.store import gateways, tables
from ldapgw.store.database import Database, readable_from
from ldapgw.store.gateways import FORGET_SECONDS, HANDOVER_SECONDS, LEASE_SECONDS, NEWS_SECONDS, GatewayInfo, Leases
from tests.support.postgresql import needs_postgresql, open_new

pytestmark = needs_postgresql

TENANTS = ("acme", "beta", "gamma")
ONE, TWO, THREE = (GatewayInfo(name, f"{name}.example", "1.0") for name in ("one", "two", "three"))


@pytest.fixture(name="database")
def _database() -> Iterator[Database]:
    with open_new() as database:
        yield database


def beat(database: Database, info: GatewayInfo, *, may_pass_on: bool = False) -> Leases:
    return database.run_beside(gateways.beat, info, TENANTS, may_pass_on=may_pass_on)


def pass_time(database: Database, seconds: float, gateway: str = "") -> None:
    """Let the leases and the heartbeats of all gateways, or of one, be so much older."""
    with database.begin() as connection:
        leases, beats = update(tables.sync_lease), update(tables.gateway)
        if gateway:
            leases = leases.where(tables.sync_lease.c.gateway == gateway)
            beats = beats.where(tables.gateway.c.id == gateway)
        connection.execute(leases.values(expires_at=tables.sync_lease.c.expires_at - seconds))
        connection.execute(beats.values(seen_at=tables.gateway.c.seen_at - seconds))


def syncing(database: Database) -> dict[str, tuple[str, ...]]:
    with database.begin_read() as connection:
        return {one.info.id: one.tenants for one in gateways.read_all(connection) if one.is_alive}


def test_one_gateway_has_all_tenants(database: Database) -> None:
    """A lease that is renewed keeps its fence."""
    first = beat(database, ONE)
    assert first == Leases(dict.fromkeys(TENANTS, 1), dict.fromkeys(TENANTS, "one"))
    assert beat(database, ONE) == first
    assert syncing(database) == {"one": TENANTS}


def test_others_take_over_from_a_gateway_that_died(database: Database) -> None:
    """As much as their share at once, and the rest a while later where nobody else does; fences grow."""
    beat(database, ONE)
    assert beat(database, TWO).fences == {}
    pass_time(database, LEASE_SECONDS + 1, "one")
    assert beat(database, TWO).fences == dict.fromkeys(TENANTS, 2)
    assert beat(database, ONE).fences == {}


def test_tenants_are_shared_evenly(database: Database) -> None:
    """A gateway that has more than its share lets go of one at a time, and has some time to end its calls."""
    beat(database, ONE)
    beat(database, TWO)
    assert len(beat(database, ONE, may_pass_on=True).fences) == 2
    assert beat(database, TWO) == Leases({}, {"acme": "one", "beta": "one"}, frozenset({"one"}), None)
    pass_time(database, HANDOVER_SECONDS)
    assert beat(database, TWO).fences == {"gamma": 2}
    assert len(beat(database, ONE, may_pass_on=True).fences) == 2
    beat(database, THREE)
    assert len(beat(database, ONE, may_pass_on=True).fences) == 1
    pass_time(database, HANDOVER_SECONDS)
    assert beat(database, THREE).fences == {"beta": 2}
    assert syncing(database) == {"one": ("acme",), "two": ("gamma",), "three": ("beta",)}


def test_a_stopped_gateway_keeps_no_lease(database: Database) -> None:
    """It may be in a transaction that has locked its lease: the server ends that before the lease is over."""
    for begin in (database.begin, partial(database.begin, exclusively=False)):
        with begin() as connection:
            limit = connection.exec_driver_sql(
                "SELECT extract(epoch FROM current_setting('idle_in_transaction_session_timeout')::interval)"
            ).scalar_one()
            assert 0 < limit < LEASE_SECONDS


def test_more_than_a_share_is_taken_where_nobody_else_does(database: Database) -> None:
    """The other gateway may have other tenants in its configuration."""
    beat(database, ONE)
    with database.begin() as connection:
        gateways.beat(connection, TWO, ())
        gateways.leave(connection, "one")
    pass_time(database, -1.0)
    with database.begin() as connection:
        connection.execute(update(tables.sync_lease).values(expires_at=0.0))
    assert len(beat(database, THREE).fences) == 3


def test_a_gateway_that_ends_lets_go(database: Database) -> None:
    """Its row goes too."""
    beat(database, ONE)
    database.run(gateways.leave, "one")
    assert syncing(database) == {}
    assert beat(database, TWO).fences == dict.fromkeys(TENANTS, 2)


def test_gateways_tell_which_revision_they_know(database: Database) -> None:
    """Those that do not tell are of before 0029; those that have died do not count."""
    beat(database, replace(ONE, revision="0030"))
    beat(database, TWO)
    beat(database, replace(THREE, revision="0029"))
    found = [database.run(gateways.find_older_gateways, revision) for revision in ("0028", "0029", "0030", "0031")]
    assert found == [
        [],
        ["two.example"],
        ["three.example", "two.example"],
        [f"{each}.example" for each in ("one", "three", "two")],
    ]
    pass_time(database, LEASE_SECONDS + 1)
    assert database.run(gateways.find_older_gateways, "0031") == []


def test_a_gateway_that_missed_an_upgrade_gets_no_lease(database: Database) -> None:
    """It cannot use the database any more; nor does it count for a share."""
    old, new = replace(ONE, revision="0010"), replace(TWO, revision=readable_from())
    beat(database, ONE)
    assert beat(database, old) == Leases({}, dict.fromkeys(TENANTS, "one"), is_outdated=True)
    pass_time(database, LEASE_SECONDS + 1)
    assert beat(database, old).holders == {}
    assert beat(database, new).fences == dict.fromkeys(TENANTS, 2)
    assert syncing(database) == {"one": (), "two": TENANTS}


def test_who_does_not_sync_has_no_lease(database: Database) -> None:
    """And counts for no share."""
    assert beat(database, GatewayInfo("web", "web.example", "1.0", syncs=False)).fences == {}
    beat(database, ONE)
    assert syncing(database) == {"one": TENANTS, "web": ()}


def test_a_lease_that_is_over_refuses_what_is_written(database: Database) -> None:
    """Another gateway has it, or has had it; one that was not renewed, and that nobody took, is good."""
    fence = beat(database, ONE).fences["acme"]
    database.run_beside(gateways.check_lease, "acme", "one", fence)
    pass_time(database, LEASE_SECONDS + 1)
    database.run_beside(gateways.check_lease, "acme", "one", fence)
    beat(database, TWO)
    with pytest.raises(LeaseLost, match="acme"):
        database.run_beside(gateways.check_lease, "acme", "one", fence)
    pass_time(database, LEASE_SECONDS + 1)
    later = beat(database, ONE).fences["acme"]
    with pytest.raises(LeaseLost):
        database.run_beside(gateways.check_lease, "acme", "one", fence)
    database.run_beside(gateways.check_lease, "acme", "one", later)


def test_a_lease_is_not_taken_while_its_holder_writes(database: Database) -> None:
    """Nor is it waited for: the other leases are taken at once."""
    fence = beat(database, ONE).fences["acme"]
    pass_time(database, LEASE_SECONDS + 1)
    with database.begin(exclusively=False) as connection:
        gateways.check_lease(connection, "acme", "one", fence)
        assert beat(database, TWO).fences.keys() == {"beta", "gamma"}
    assert beat(database, TWO).fences.keys() == set(TENANTS)


def test_many_at_once_share_without_conflict(database: Database) -> None:
    """Each tenant has one holder, whoever comes first."""
    infos = [GatewayInfo(f"g{number}", "example", "1.0") for number in range(6)]
    barrier = Barrier(len(infos))

    def begin(info: GatewayInfo) -> Leases:
        barrier.wait()
        return beat(database, info)

    with ThreadPoolExecutor(len(infos)) as pool:
        found = list(pool.map(begin, infos))
    assert sorted(tenant for leases in found for tenant in leases.fences) == sorted(TENANTS)


def test_syncs_that_a_dead_gateway_had_begun_are_interrupted(database: Database) -> None:
    """Those of other tenants are not."""
    beat(database, ONE)
    with database.begin() as connection:
        for tenant in TENANTS:
            values = {"tenant": tenant, "sub": tenant, "address": f"a@{tenant}.example", "syncing": True}
            defaults = {
                column.name: 0
                for column in tables.account.columns
                if not column.nullable
                and column.name not in values
                and not column.primary_key
                and not column.default
                and not column.server_default
            }
            connection.execute(tables.account.insert().values(**_fitting(defaults), **values))
    pass_time(database, LEASE_SECONDS + 1)
    with database.begin() as connection:
        gateways.beat(connection, TWO, ("beta",))
        rows = connection.execute(select(tables.account.c.tenant, tables.account.c.syncing)).all()
    assert {row.tenant: bool(row.syncing) for row in rows} == {"acme": True, "beta": False, "gamma": True}


def _fitting(defaults: dict[str, object]) -> dict[str, object]:
    """Values of the columns' types."""
    return {name: tables.account.c[name].type.python_type() for name in defaults}


def test_what_is_known_of_gateways(database: Database) -> None:
    """Who lives comes first; how far behind each is; who was silent for a day is forgotten."""
    with database.begin() as connection:
        gateways.beat(connection, GatewayInfo("old", "a.example", "0.9", position=0), ())
        gateways.beat(
            connection, GatewayInfo("new", "b.example", "1.0", web=False, keys=("k1", "k2"), position=10**9), ()
        )
        values = {"kind": "account", "key": "1", "number": 5, "marked_at": gateways._NOW - 30.0}
        connection.execute(tables.change.insert().values(**values))
    pass_time(database, LEASE_SECONDS, "old")
    with database.begin_read() as connection:
        new, old = gateways.read_all(connection)
    assert (new.info.name, new.is_alive, new.behind, new.info.keys) == ("b.example", True, 0.0, ("k1", "k2"))
    assert (new.info.serves, new.info.syncs, new.info.web) == (True, True, False)
    assert (old.info.name, old.is_alive, old.behind >= 30.0) == ("a.example", False, True)
    pass_time(database, FORGET_SECONDS, "old")
    beat(database, ONE)
    with database.begin_read() as connection:
        assert [one.info.id for one in gateways.read_all(connection)] == ["new", "one"]


def test_who_else_lives_and_which_keys_all_have(database: Database) -> None:
    """A gateway that does not sync learns it too; those that died, and those that tell no keys, do not count."""
    one, two = replace(ONE, keys=("k1", "k2"), syncs=False), replace(TWO, keys=("k2", "k3"))
    with database.begin_read() as connection:
        assert gateways.read_common_keys(connection) is None
    assert (beat(database, THREE).others, beat(database, THREE).common_keys) == (frozenset(), None)
    found = beat(database, one)
    assert (found.others, found.common_keys) == ({"three"}, {"k1", "k2"})
    found = beat(database, two)
    assert (found.others, found.common_keys) == ({"one", "three"}, {"k2"})
    pass_time(database, LEASE_SECONDS + 1, "one")
    found = beat(database, two)
    assert (found.others, found.common_keys) == ({"three"}, {"k2", "k3"})


def test_news_are_read_once_by_each_other_gateway(database: Database) -> None:
    """In the order in which they were told, from the first one that is kept; not by who has told them."""

    def exchange(name: str, told: tuple[int, str] | None = None, **heard: int) -> list[tuple[str, int, str]]:
        found = database.run_beside(gateways.exchange_news, name, told, heard)
        return [(news.gateway, news.number, news.body) for news in found]

    assert exchange("one", (1, "a")) == []
    assert exchange("one", (2, "b")) == []
    assert exchange("two", (1, "c")) == [("one", 1, "a"), ("one", 2, "b")]
    assert exchange("two", None, one=2) == []
    assert exchange("one", (3, "d"), two=0) == [("two", 1, "c")]
    assert exchange("three", None, one=2) == [("one", 3, "d"), ("two", 1, "c")]
    assert exchange("two", None, one=2, three=7) == [("one", 3, "d")]


def test_news_are_deleted_after_seconds(database: Database) -> None:
    """By the heartbeat of any gateway; those that another one is deleting do not hold it up."""
    for number in (1, 2, 3):
        database.run_beside(gateways.exchange_news, "one", (number, "-"), {})
    with database.begin() as connection:
        old = update(tables.gateway_news).where(tables.gateway_news.c.number < 3)
        connection.execute(old.values(at=tables.gateway_news.c.at - NEWS_SECONDS - 1))
    with database.begin() as holder:
        first = select(tables.gateway_news).where(tables.gateway_news.c.number == 1)
        holder.execute(first.with_for_update()).all()
        beat(database, TWO)
        assert numbers_of_news(database) == [1, 3]
    beat(database, TWO)
    assert numbers_of_news(database) == [3]


def numbers_of_news(database: Database) -> list[int]:
    with database.begin_read() as connection:
        return list(connection.execute(select(tables.gateway_news.c.number).order_by("number")).scalars())
