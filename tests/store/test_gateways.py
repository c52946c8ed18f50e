# SPDX-License-Identifier: MIT
"""Several gateways on one PostgreSQL database: heartbeats, and what they tell each other.

Only PostgreSQL has several gateways.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import select, update

from ldapgw.store import gateways, tables
from ldapgw.store.database import Database, Mode, readable_from
from ldapgw.store.gateways import ALIVE_SECONDS, FORGET_SECONDS, GatewayInfo, Peers
from tests.support.postgresql import needs_postgresql

pytestmark = [needs_postgresql, pytest.mark.parametrize("database", ["postgresql"], indirect=True)]

ONE, TWO, THREE = (GatewayInfo(name, f"{name}.example", "1.0") for name in ("one", "two", "three"))


def beat(database: Database, info: GatewayInfo) -> Peers:
    return database.call(Mode.BESIDE, gateways.beat, info)


def pass_time(database: Database, seconds: float, gateway: str = "") -> None:
    """Let the heartbeats of all gateways, or of one, be so much older."""
    with database.begin() as connection:
        beats = update(tables.gateway)
        if gateway:
            beats = beats.where(tables.gateway.c.id == gateway)
        connection.execute(beats.values(seen_at=tables.gateway.c.seen_at - seconds))


def living(database: Database) -> dict[str, bool]:
    """Return for each living gateway if it is the leader."""
    return {one.info.id: one.info.is_leader for one in database.run(gateways.read_all) if one.is_alive}


def test_a_stopped_gateway_keeps_no_lock(database: Database) -> None:
    """It may be in a transaction: the server ends that."""
    for begin in (database.begin, partial(database.begin, exclusively=False)):
        with begin() as connection:
            limit = connection.exec_driver_sql(
                "SELECT extract(epoch FROM current_setting('idle_in_transaction_session_timeout')::interval)"
            ).scalar_one()
            assert 0 < limit < ALIVE_SECONDS


def test_a_gateway_that_ends_is_not_listed(database: Database) -> None:
    """Nor is one listed as living that was silent for too long."""
    beat(database, replace(ONE, is_leader=True))
    beat(database, TWO)
    beat(database, THREE)
    database.run(gateways.leave, "two")
    pass_time(database, ALIVE_SECONDS + 1, "three")
    assert living(database) == {"one": True}


def test_a_lead_begins_with_syncs_that_were_interrupted(database: Database) -> None:
    """Unless the gateway's version cannot use the tables."""
    with database.begin() as connection:
        values = {"tenant": "acme", "sub": "1", "address": "a@acme.example", "sharing": "private", "syncing": True}
        connection.execute(tables.account.insert().values(**values))
    syncing = select(tables.account.c.syncing)
    beat(database, replace(ONE, is_leader=True))
    with database.begin() as connection:
        assert not gateways.begin_lead(connection, "0001")
        assert connection.execute(syncing).scalars().all() == [True]
        assert [one.info.is_leader for one in gateways.read_all(connection)] == [True]
        assert gateways.begin_lead(connection, readable_from())
        assert connection.execute(syncing).scalars().all() == [False]
        assert [one.info.is_leader for one in gateways.read_all(connection)] == [False]


def test_gateways_tell_which_revision_they_know(database: Database) -> None:
    """Dead gateways do not count."""
    for info, revision in ((ONE, "0030"), (TWO, "0028"), (THREE, "0029")):
        beat(database, replace(info, revision=revision))
    found = [database.run(gateways.find_older_gateways, revision) for revision in ("0028", "0029", "0030", "0031")]
    assert found == [
        [],
        ["two.example"],
        ["three.example", "two.example"],
        [f"{each}.example" for each in ("one", "three", "two")],
    ]
    pass_time(database, ALIVE_SECONDS + 1)
    assert database.run(gateways.find_older_gateways, "0031") == []


def test_what_is_known_of_gateways(database: Database) -> None:
    """Living gateways come first, each with its delay; a gateway that was silent for a day is forgotten."""
    with database.begin() as connection:
        gateways.beat(connection, GatewayInfo("old", "a.example", "0.9", position=0))
        gateways.beat(
            connection,
            GatewayInfo("new", "b.example", "1.0", roles=("serve", "sync"), keys=("k1", "k2"), position=10**9),
        )
        values = {"kind": "account", "key": "1", "number": 5, "marked_at": gateways._NOW - 30.0}
        connection.execute(tables.change.insert().values(**values))
    pass_time(database, ALIVE_SECONDS, "old")
    new, old = database.run(gateways.read_all)
    assert (new.info.name, new.is_alive, new.behind, new.info.keys) == ("b.example", True, 0.0, ("k1", "k2"))
    assert new.info.roles == ("serve", "sync")
    assert (old.info.name, old.is_alive, old.behind >= 30.0) == ("a.example", False, True)
    pass_time(database, FORGET_SECONDS, "old")
    beat(database, ONE)
    assert [one.info.id for one in database.run(gateways.read_all)] == ["new", "one"]


def test_who_else_lives_and_which_keys_all_have(database: Database) -> None:
    """A gateway that does not sync learns it too; those that died, and those that tell no keys, do not count."""
    one, two = replace(ONE, keys=("k1", "k2"), roles=("serve", "web")), replace(TWO, keys=("k2", "k3"))
    assert database.run(gateways.read_common_keys) is None
    assert (beat(database, THREE).others, beat(database, THREE).common_keys) == (frozenset(), None)
    found = beat(database, one)
    assert (found.others, found.common_keys) == ({"three"}, {"k1", "k2"})
    found = beat(database, two)
    assert (found.others, found.common_keys) == ({"one", "three"}, {"k2"})
    pass_time(database, ALIVE_SECONDS + 1, "one")
    found = beat(database, two)
    assert (found.others, found.common_keys) == ({"three"}, {"k2", "k3"})
