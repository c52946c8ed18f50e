# SPDX-License-Identifier: MIT
"""Only one of several gateways syncs, and a gateway without the lead cannot write.

Only PostgreSQL has the lock of the leader, and ends the sessions that hold it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select, text
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.task import Clock

from ldapgw.errors import LeadLost, StoreError
from ldapgw.peers.leadership import SILENT_SECONDS, TURN_SECONDS, Leadership, OnlyGateway
from ldapgw.store import tables
from ldapgw.store.database import Database
from ldapgw.store.engines import database_at
from ldapgw.store.leader_session import IDLE_SECONDS, IN_TRANSACTION_SECONDS
from ldapgw.store.worker import Store, on_threads
from tests.support.pgbouncer import needs_pgbouncer, pgbouncer
from tests.support.postgresql import listening, needs_postgresql, open_new
from tests.support.results import result_of
from tests.support.site.running import wait_until


class Gateway:
    """The gateway has a leadership and its own clock.

    :ivar told: whether the gateway was the leader after each change.
    """

    def __init__(self, database: Database, *, may_lead: bool = True) -> None:
        self.clock = Clock()
        self.told: list[bool] = []
        self.begun = 0
        self.may_lead = may_lead
        session = database.leader_session()
        assert session is not None
        self.session = session
        self.leadership = Leadership(
            clock=self.clock,
            seconds=self.clock.seconds,
            session=session,
            in_thread=maybeDeferred,
            write_in_thread=maybeDeferred,
            store=Store(on_threads(database, maybeDeferred, maybeDeferred)),
            begin=self._begin,
            changed=lambda: self.told.append(self.leadership.is_leader),
        )

    def _begin(self, connection: Connection) -> bool:
        assert connection.execute(select(tables.schema_version.c.revision)).scalar()
        self.begun += 1
        return self.may_lead

    def write(self, name: str = "acme") -> Any:
        return result_of(self.leadership.store.run(write, name))

    def turn(self) -> None:
        self.clock.advance(TURN_SECONDS)


def write(connection: Connection, name: str) -> str:
    connection.execute(tables.alarm.insert().values(tenant=name, code="x", since=0.0))
    return name


def pid_of(gateway: Gateway) -> int:
    pid: int = result_of(
        gateway.leadership.store.run(lambda connection: connection.scalar(text("SELECT pg_backend_pid()")))
    )
    return pid


def settings(connection: Connection, *names: str) -> list[str]:
    return [connection.execute(text("SELECT current_setting(:name)"), {"name": name}).scalar_one() for name in names]


def wait_for_lock(database: Database) -> None:
    """Wait until the server has freed the lock of a session that its gateway has closed."""

    def is_free() -> bool:
        with database.begin_read() as connection:
            return not connection.scalar(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"))

    wait_until(is_free, "the lock is free")


def written(database: Database) -> set[str]:
    with database.begin_read() as connection:
        return set(connection.execute(select(tables.alarm.c.tenant)).scalars())


@pytest.fixture(name="database")
def _database() -> Iterator[Database]:
    with open_new() as database:
        yield database


@pytest.fixture(name="gateways")
def _gateways(database: Database) -> Iterator[list[Gateway]]:
    gateways = [Gateway(database), Gateway(database)]
    wait_for_lock(database)  # the leader of an earlier test on the database may have just ended
    for gateway in gateways:
        gateway.leadership.startService()
    yield gateways
    for gateway in gateways:
        if gateway.leadership.running:
            result_of(gateway.leadership.stopService())


def test_the_only_gateway_leads() -> None:
    """A gateway on SQLite always leads."""
    store: Any = object()
    leader = OnlyGateway(store)
    result_of(leader.check_lead())
    assert (leader.is_leader, leader.store is store) == (True, True)


@needs_postgresql
def test_one_leads_until_it_ends(gateways: list[Gateway], database: Database) -> None:
    """The other gateway cannot write, and takes the lead at its next turn."""
    one, two = gateways
    assert (one.told, two.told, one.begun, two.begun) == ([True], [], 1, 0)
    assert one.write() == "acme"
    with pytest.raises(LeadLost):
        two.write()
    for _ in range(3):
        one.turn()
        two.turn()
    assert (one.told, two.told, one.begun) == ([True], [], 1)
    result_of(one.leadership.stopService())
    with pytest.raises(LeadLost):
        one.write()
    wait_for_lock(database)
    two.turn()
    assert (one.told, two.told, two.begun) == ([True, False], [True], 1)
    assert two.write("beta") == "beta"
    assert written(database) == {"acme", "beta"}


@needs_postgresql
@pytest.mark.parametrize("notices_by", ["turn", "write", "write before a turn"])
def test_a_leader_whose_session_ended_writes_nothing(
    gateways: list[Gateway], database: Database, notices_by: str, caplog_twisted: list[str]
) -> None:
    """Another gateway may already lead. The former leader stops its syncs at once and stands by."""
    one, two = gateways
    waiting: Deferred[None] = Deferred()
    with database.begin() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid, 1000)"), {"pid": pid_of(one)})
    two.turn()
    assert two.leadership.is_leader
    if notices_by == "write before a turn":  # the turn waits for the session's thread
        one.leadership._in_thread = lambda function, *args: waiting.addCallback(lambda _: function(*args))
    if notices_by != "write":
        one.turn()
    if notices_by != "turn":
        with pytest.raises(LeadLost):
            one.write()
    waiting.callback(None)
    one.leadership._in_thread = maybeDeferred
    assert one.told == [True, False]
    one.turn()
    assert not one.leadership.is_leader
    assert (written(database), [line for line in caplog_twisted if "failed" in line]) == (set(), [])


@needs_postgresql
def test_what_a_sync_had_begun_is_rolled_back(gateways: list[Gateway], database: Database) -> None:
    """The session ends in the middle of a transaction, and the transaction fails as a whole."""
    one, _ = gateways

    def write_and_lose(connection: Connection) -> None:
        write(connection, "acme")
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
        with database.begin() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid, 1000)"), {"pid": pid})
        write(connection, "beta")

    with pytest.raises(LeadLost):
        result_of(one.leadership.store.run(write_and_lose))
    assert (one.told, written(database)) == ([True, False], set())


@needs_postgresql
def test_a_transaction_that_another_one_comes_between_is_tried_again(
    gateways: list[Gateway], database: Database
) -> None:
    """The transaction fails after five tries, and the gateway keeps the lead."""
    one, _ = gateways
    tries: list[int] = []

    def write_late(connection: Connection) -> str:
        tries.append(1)
        if len(tries) == 1:
            connection.execute(text("SET LOCAL TRANSACTION ISOLATION LEVEL SERIALIZABLE"))
            connection.execute(text("DO $$ BEGIN RAISE serialization_failure; END $$"))
        return write(connection, "acme")

    assert result_of(one.leadership.store.run(write_late)) == "acme"
    with pytest.raises(StoreError):
        result_of(one.leadership.store.run(write_late))
    assert (len(tries), one.told, written(database)) == (2 + 5, [True], {"acme"})


@needs_postgresql
def test_the_server_ends_the_session_of_a_leader_that_hangs(gateways: list[Gateway]) -> None:
    """The session has time limits at the server, between transactions and within."""
    one, _ = gateways
    names = ("idle_session_timeout", "idle_in_transaction_session_timeout")
    found = result_of(one.leadership.store.run(settings, *names))
    assert found == [f"{IDLE_SECONDS}s", f"{IN_TRANSACTION_SECONDS}s"]
    assert TURN_SECONDS < IDLE_SECONDS


@needs_postgresql
def test_a_leader_whose_session_is_silent_calls_nobody(database: Database) -> None:
    """Google gets no call while another gateway may lead already: after a stop, a sleep, or without a network.

    The call is made when the session answers late, as behind a long transaction, or when a sync has written; and never
    when the lead has ended.
    """
    gateway = Gateway(database)
    late: list[Deferred[None]] = []

    def in_thread(function: Any, *args: Any) -> Deferred[Any]:
        waiting: Deferred[None] = Deferred()
        late.append(waiting)
        return waiting.addCallback(lambda _: function(*args))

    gateway.leadership.startService()
    gateway.leadership._in_thread = in_thread
    gateway.clock.advance(SILENT_SECONDS)
    result_of(gateway.leadership.check_lead())
    gateway.clock.advance(0.5)
    call, given_up = (Deferred.fromCoroutine(gateway.leadership.check_lead()) for _ in range(2))
    given_up.addErrback(lambda failure: failure.trap(CancelledError) and None).cancel()
    assert not call.called
    late.pop().callback(None)
    result_of(call)
    gateway.clock.advance(SILENT_SECONDS + 0.5)
    call = Deferred.fromCoroutine(gateway.leadership.check_lead())
    assert not call.called
    gateway.write()
    result_of(call)
    late.pop().callback(None)
    assert gateway.told == [True]
    gateway.clock.advance(SILENT_SECONDS + 0.5)
    call = Deferred.fromCoroutine(gateway.leadership.check_lead())
    assert not call.called
    stopped = gateway.leadership.stopService()
    for refused in (call, gateway.leadership.check_lead()):
        with pytest.raises(LeadLost):
            result_of(refused)
    while late:
        late.pop().callback(None)
    result_of(stopped)


@needs_postgresql
def test_a_gateway_of_an_older_version_stands_by(database: Database, caplog_twisted: list[str]) -> None:
    """The gateway cannot use the newer tables. The gateway logs a single line, and lets another gateway lead."""
    old, new = Gateway(database, may_lead=False), Gateway(database)
    old.leadership.startService()
    old.turn()
    assert (old.leadership.is_leader, old.begun, len(caplog_twisted)) == (False, 2, 1)
    assert "this gateway cannot sync: a newer version" in caplog_twisted[0]
    assert not old.session.is_held
    wait_for_lock(database)
    new.leadership.startService()
    assert new.leadership.is_leader
    for gateway in (old, new):
        result_of(gateway.leadership.stopService())


@needs_postgresql
def test_a_turn_that_is_under_way_at_the_end_takes_no_lead(database: Database) -> None:
    """The session is closed after the turn."""
    gateway = Gateway(database)
    waiting: list[Deferred[None]] = []

    def late(function: Any, *args: Any) -> Deferred[Any]:
        waiting.append(Deferred())
        return waiting[-1].addCallback(lambda _: function(*args))

    gateway.leadership._in_thread = late
    gateway.leadership.startService()
    ended = gateway.leadership.stopService()
    waiting[0].callback(None)
    waiting[1].callback(None)
    assert (ended.called, gateway.told, gateway.session.is_held) == (True, [], False)


@needs_postgresql
def test_a_gateway_that_ends_writes_nothing_more(database: Database) -> None:
    """The session is closed after the calls that wait for its thread."""
    gateway = Gateway(database)
    gateway.leadership.startService()
    waiting: Deferred[None] = Deferred()
    gateway.leadership._in_thread = lambda function, *args: waiting.addCallback(lambda _: function(*args))
    ended = gateway.leadership.stopService()
    with pytest.raises(LeadLost):
        gateway.write()
    waiting.callback(None)
    assert (ended.called, written(database)) == (True, set())


@needs_postgresql
@needs_pgbouncer
@pytest.mark.long  # only a real pool gives sessions to several connections, and needs a server with a port
def test_a_pool_in_transaction_mode_gives_nobody_the_lead(tmp_path: Path, caplog_twisted: list[str]) -> None:
    """Two gateways might share the session that holds the lock. In session mode, a gateway leads.

    Over a network, the server also ends the session of a leader whose machine does not answer for ten seconds.
    """
    with listening() as server:
        with pgbouncer(tmp_path / "transaction", server, "transaction", "options") as url:
            gateway = Gateway(database_at(url))
            gateway.leadership.startService()
            gateway.turn()
            result_of(gateway.leadership.stopService())
            assert (gateway.told, gateway.begun, len(caplog_twisted)) == ([], 0, 1)
            assert "gives several connections one session" in caplog_twisted[0]
        with pgbouncer(tmp_path / "session", server, "session", "options") as url:
            session = Gateway(database_at(url)).session
            assert (session.is_pooled(), session.try_lock()) == (False, True)
            names = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout")
            idle, interval, count, timeout = map(int, session.run(settings, *names))
            assert (idle + interval * count, timeout) == (10, 10_000)
            session.close()
