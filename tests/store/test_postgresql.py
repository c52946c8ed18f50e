# SPDX-License-Identifier: MIT
"""PostgreSQL alone has several writers at once, notices, and a server that goes away and comes back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import URL, Connection, select, text, update

from ldapgw.contact import Sharing
from ldapgw.errors import StoreError, UnreachableStore, UnwritableStore
from ldapgw.store import accounts, changes, gateways, phones, recordings, tables
from ldapgw.store.database import Database, Mode, check_writable, mark_erased, revisions
from ldapgw.store.engines import database_at
from ldapgw.store.gateways import GatewayInfo
from ldapgw.store.recordings import RecordingPart
from ldapgw.store.secrets import SecretBox
from tests.support.postgresql import find_postgres, listening, needs_postgresql, new_url, open_new, shared
from tests.support.site.running import wait_until
from tests.support.stage.databases import one_more_migration
from tests.support.stage.sync import DESK, GRANT, NOW, connect

pytestmark = needs_postgresql

PATIENCE = 30.0


@pytest.fixture
def database() -> Iterator[Database]:
    with open_new() as database:
        yield database


def test_another_version_can_be_tested(tmp_path: Path) -> None:
    """By a folder that has both programs; the message for any other says what is missing."""
    for program in ("postgres", "initdb"):
        (tmp_path / program).touch(mode=0o755)
    environment = {"PATH": "/nowhere", "POSTGRES_BIN": str(tmp_path)}
    assert find_postgres(environment) == str(tmp_path / "postgres")
    (tmp_path / "initdb").unlink()
    with pytest.raises(pytest.UsageError, match=f"^POSTGRES_BIN: {tmp_path} has no program initdb; name a folder"):
        find_postgres(environment)


def another(database: Database) -> Database:
    """The same database, as another gateway opens it."""
    url: URL = database.engine.url
    return database_at(url)


def look(database: Database, cursor: changes.Cursor | None) -> changes.Changes:
    with database.begin_read() as connection:
        return changes.read_since(connection, cursor)


def test_a_disconnect_does_not_wait_for_the_vacuum(database: Database, secret_box: SecretBox) -> None:
    """Here the first vacuum waits for a lock; what more were begun meanwhile are one; a command waits for its own."""
    before = count_vacuums(database)
    with database.engine.connect() as other:
        other.exec_driver_sql("LOCK TABLE contact IN SHARE UPDATE EXCLUSIVE MODE")  # as a VACUUM does
        for _ in range(3):
            database.run(accounts.disconnect, database.run(connect, secret_box))
        assert count_vacuums(database) == before
        other.rollback()
    wait_until(lambda: count_vacuums(database) == before + 2, "the tables are vacuumed twice")
    with database.begin() as connection:
        mark_erased(connection)
    assert count_vacuums(database) == before + 3


def test_only_the_tables_of_recordings_are_vacuumed_for_one(database: Database, secret_box: SecretBox) -> None:
    """When it is deleted."""
    contacts, before = count_vacuums(database, "contact"), count_vacuums(database)
    database.run(phones.add, DESK)
    with database.begin() as connection:
        recordings.begin(connection, DESK.name, NOW, NOW + 600, is_plain=False)
        stored = recordings.read(connection, DESK.name)
        assert stored is not None
    database.run(recordings.store_part, secret_box, stored, "one", RecordingPart(0, "a part"))
    assert count_vacuums(database) == before
    database.run(recordings.remove, DESK.name)
    wait_until(lambda: count_vacuums(database) == before + 1, "the part is erased")
    database.run(recordings.remove, DESK.name)
    assert (count_vacuums(database), count_vacuums(database, "contact")) == (before + 1, contacts)


def count_vacuums(database: Database, table: str = "recording_part") -> int:
    """Count the vacuums of a table, by default of the table that is vacuumed last."""
    with database.begin_read() as connection:
        query = text("SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = :table")
        found: int = connection.execute(query, {"table": table}).scalar_one()
    return found


def test_what_is_read_when_the_database_closes_keeps_no_connection(database: Database) -> None:
    """A thread may read on for a moment."""
    other = another(database)
    with other.begin_read() as connection:
        session = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        other.close()
        assert connection.exec_driver_sql("SELECT 1").scalar_one() == 1
    query = text("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = :pid)")

    def is_gone() -> bool:
        with database.begin_read() as looking:
            return bool(looking.execute(query, {"pid": session}).scalar_one())

    wait_until(is_gone, "the session ends")


def test_what_commits_late_is_found(database: Database) -> None:
    """A transaction that began before others, and is committed after a look at what they wrote, is not skipped."""
    cursor = look(database, None).cursor
    with database.begin(exclusively=False) as late:
        phones.add(late, DESK)
        for number in range(2, 5):
            database.run(phones.add, replace(DESK, name=f"desk{number}"))
        found = look(database, cursor)
        assert found.phones.keys() == {"desk2", "desk3", "desk4"}
    again = look(database, found.cursor)
    assert again.phones.keys() == {"desk1", "desk2", "desk3", "desk4"}
    assert look(database, again.cursor).phones == {}


def test_a_change_is_told(database: Database) -> None:
    """To who listens, of any gateway; a phone's bind is not told."""
    told = Event()
    detector = database.change_detector()
    bulletins: list[str] = []
    detector.listen(told.set, bulletins.append)
    assert detector.has_changed()
    assert told.wait(PATIENCE)
    told.clear()
    assert detector.has_changed()
    with closing(another(database)) as other:
        other.run(phones.store_last_searches, {})
        other.run(phones.add, DESK)
    assert told.wait(PATIENCE)
    assert detector.has_changed()
    told.clear()
    with database.begin() as connection:
        connection.execute(text("SELECT pg_notify('ldapgw_bulletin', 'hello'), pg_notify('ldapgw', '')"))
    assert told.wait(PATIENCE)
    assert bulletins == ["hello"]
    told.clear()
    # A listener that loses the connection may have missed a notice.
    with database.begin() as connection:
        ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query = 'LISTEN ldapgw'"
        assert connection.execute(text(ended)).scalar_one() == 1
    assert told.wait(PATIENCE)
    assert detector.has_changed()
    detector.close()


def test_a_page_does_not_wait_for_a_sync(database: Database, secret_box: SecretBox) -> None:
    """But what writes the same account does, and then sees what the sync has written."""
    account_id = database.run(connect, secret_box)
    with ThreadPoolExecutor(1) as thread:
        with database.begin(exclusively=False) as syncing:
            accounts.lock(syncing, account_id)
            database.run(phones.add, DESK)
            disconnecting = thread.submit(database.run, accounts.disconnect, account_id)
            syncing.execute(tables.label.insert().values(account_id=account_id, resource_name="x", name="y"))
            assert not disconnecting.done()
        disconnecting.result(PATIENCE)
    with database.begin() as connection:
        assert connection.execute(tables.label.select()).all() == []


def test_a_page_that_waits_for_a_sync_keeps_no_other_page_waiting(database: Database, secret_box: SecretBox) -> None:
    """It waits for the row of its account; pages of other accounts, at all gateways, write meanwhile."""
    account_id = database.run(connect, secret_box)
    with closing(another(database)) as other, ThreadPoolExecutor(1) as thread:
        with database.begin(exclusively=False) as sync:
            accounts.lock(sync, account_id)
            waiting = thread.submit(database.run, accounts.set_sharing, account_id, Sharing.SHARED, "")
            wait_until(lambda: count_waiting(other), "the page waits for the sync")
            assert other.run(phones.add, DESK)
            assert not waiting.done()
            accounts.set_sharing(sync, account_id, Sharing.CALLERS, "")
        waiting.result(PATIENCE)
    assert [one.sharing for one in database.run(accounts.read_all)] == [Sharing.SHARED]


def count_waiting(database: Database) -> int:
    """Count the transactions that wait for a lock, on the server of this test process."""
    with database.begin_read() as connection:
        found: int = connection.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE NOT granted").scalar_one()
    return found


def test_transactions_that_meet_are_tried_again(database: Database, secret_box: SecretBox) -> None:
    """A deadlock ends one of the two; its function is called once more."""
    first, second = (database.run(connect, secret_box, replace(GRANT, sub=sub)) for sub in ("sub-1", "sub-2"))
    locked = {first: Event(), second: Event()}
    calls = []

    def in_turn(connection: Connection, one: int, other: int) -> None:
        calls.append(one)
        accounts.lock(connection, one)
        locked[one].set()
        assert locked[other].wait(PATIENCE)
        accounts.lock(connection, other)

    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(database.call, Mode.BESIDE, in_turn, first, second)
        database.call(Mode.BESIDE, in_turn, second, first)
        running.result(PATIENCE)
    assert len(calls) > 2


def test_a_thread_that_waits_for_the_server_is_woken(database: Database) -> None:
    """By the end of its connection on this side; the server has not answered yet."""

    def is_waiting() -> bool:
        with database.begin_read() as connection:
            query = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'"
            return bool(connection.exec_driver_sql(query).scalar_one())

    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(
            database.call, Mode.BESIDE, lambda connection: connection.exec_driver_sql("SELECT pg_sleep(60)").one()
        )
        wait_until(is_waiting, "the thread waits")
        error = database.end_hanging()
        with pytest.raises(UnreachableStore) as told:
            waiting.result(PATIENCE)
    assert told.value.problems == error.problems
    wait_until(lambda: database._away[0] < time.monotonic(), "it may connect again")  # type: ignore[attr-defined]
    assert database.run(phones.read_all) == ()


def test_text_is_ordered_by_code_points_and_has_no_nul(database: Database) -> None:
    """As in SQLite, whatever the locale of the server."""
    for name in ("c", "B", "a_c", "a-d", "ab"):
        database.run(phones.add, replace(DESK, name=name, model="x\0y"))
    with database.begin() as connection:
        found = connection.execute(tables.phone.select().order_by(tables.phone.c.name)).all()
    assert [row.name for row in found] == ["B", "a-d", "a_c", "ab", "c"]
    assert {row.model for row in found} == {"xy"}


def test_a_reader_reads_one_snapshot_and_cannot_write(database: Database) -> None:
    """Also what is committed between two of its statements is not there."""
    with database.begin_read() as connection:
        assert phones.read_all(connection) == ()
        database.run(phones.add, DESK)
        assert phones.read_all(connection) == ()
    told = "cannot be used: cannot execute DELETE in a read-only transaction$"
    with pytest.raises(StoreError, match=told), database.begin_read() as connection:
        phones.remove(connection, DESK.name)


def test_a_replica_is_refused(database: Database) -> None:
    """Its tables cannot be written."""
    url = database.engine.url.update_query_dict({"options": "-c default_transaction_read_only=on"})
    with closing(database_at(url)) as replica:
        with pytest.raises(UnwritableStore) as told, replica.begin() as connection:
            check_writable(connection, thoroughly=True)
        assert told.value.problems[0].endswith("; name the primary server, not a replica")


def test_a_newer_version_is_used_if_it_lets_us() -> None:
    """During an upgrade gateways of both versions run."""
    with closing(database_at(new_url())) as database:
        with database.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
            newer = {"revision": "9999", "readable_from": revisions()[0]}
            connection.execute(update(tables.schema_version).values(newer))
        database.open()
        assert database.run(phones.add, DESK)


def test_tables_keep_what_a_living_gateway_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer version that takes something away names the gateways to stop, and starts once none of them lives."""
    older = GatewayInfo("one", "one.example", "1.0", revision=revisions()[0])
    migrations = one_more_migration(tmp_path / "migrations")
    with (migrations / "versions" / "9999_next.py").open("a") as file:
        file.write('readable_from = "9999"\n')
    with closing(database_at(new_url())) as database, closing(another(database)) as newer:
        database.open()
        database.run(gateways.beat, older)
        before = database.run(read_version)
        monkeypatch.setattr("ldapgw.store.database._MIGRATIONS", migrations)
        with pytest.raises(StoreError) as told:
            newer.open()
        assert told.value.problems == (
            f"{database.name}: this version needs an upgrade of the database, after which the older gateways on "
            "one.example could not use the database; stop those gateways, or upgrade them to a version in between; "
            "nothing was changed",
        )
        assert database.run(read_version) == before
        database.run(gateways.leave, "one")
        newer.open()
        assert database.run(read_version) == ("9999", "9999")


def read_version(connection: Connection) -> tuple[str, str]:
    """The revision of the database, and the oldest revision whose gateways can use the database."""
    version = tables.schema_version.c
    revision, oldest = connection.execute(select(version.revision, version.readable_from)).one()
    return revision, oldest


def test_an_upgrade_waits_for_another_one() -> None:
    """Of two gateways that start at once, on a database that is empty."""
    with ThreadPoolExecutor(2) as threads:
        url = new_url(template="template0")
        databases = [database_at(url), database_at(url)]
        list(threads.map(lambda database: database.open(), databases))
    for database in databases:
        assert database.run(phones.read_all) == ()
        database.close()


def test_a_server_that_goes_and_comes_back() -> None:
    """Transactions fail with one line, quickly; once it is back all works again, and all is read anew."""
    # Committed data is in the system's hands when the server ends at once.
    with listening("fsync=off") as server:
        database = database_at(server.url("postgres").set(password="secret"))
        database.open()
        database.run(phones.add, DESK)
        cursor = look(database, None).cursor
        server.stop(immediately=True)
        for begin in (database.begin, database.begin, database.begin_read):
            with pytest.raises(UnreachableStore) as told, begin():
                pass
            prefix = f"postgresql://127.0.0.1:{server.port}/postgres: cannot be reached: "
            assert told.value.problems[0].startswith(prefix)
            assert "secret" not in str(told.value)
        with closing(database.change_detector()) as detector:
            assert detector.has_changed()
            heard = Event()
            detector.listen(heard.set, lambda _: None)
            server.start()
            assert heard.wait(PATIENCE)  # from then on, transactions try to connect
        assert database.run(phones.read_all) == (DESK,)
        assert look(database, cursor).is_whole
        database.close()


def test_a_server_that_answers_later() -> None:
    """The first transaction that reaches it opens the database, once; a fault of that is each transaction's."""
    calls: list[int] = []

    def first_write(connection: Connection) -> None:
        calls.append(len(phones.read_all(connection)))
        if len(calls) == 1:
            raise StoreError("the key is another one")

    with listening("fsync=off") as server:
        server.stop()
        database = database_at(server.url("postgres"))
        database.open_later(first_write)
        with pytest.raises(UnreachableStore):
            database.run(phones.add, DESK)
        assert not database.answers()
        server.start()
        database._away = (0.0, "")  # type: ignore[attr-defined]
        assert database.answers()
        with pytest.raises(StoreError, match="postgres: is empty, but was not empty before"):
            database.run(phones.add, DESK)
        with closing(another(database)) as other:
            other.open()
        with pytest.raises(StoreError, match="the key is another one"), database.begin_read():
            pass
        database.run(phones.add, DESK)
        assert database.run(phones.read_all) == (DESK,)
        assert calls == [0, 0]
        database.close()
        # Whom the server refuses it has answered.
        with closing(database_at(server.url("nothing"))) as refused:
            with pytest.raises(UnreachableStore, match="does not exist"):
                refused.open()
            assert refused.answers()


@pytest.mark.parametrize(
    ("setup", "changes", "said"),
    [
        (
            "CREATE ROLE crowded LOGIN CONNECTION LIMIT 0",
            {"username": "crowded"},
            'too many connections for role "crowded"; raise max_connections, or the limit of this user or database',
        ),
        (
            "CREATE ROLE barred NOLOGIN",
            {"username": "barred"},
            'role "barred" is not permitted to log in; let this user connect (pg_hba.conf)',
        ),
        (
            "SELECT 1",
            {"database": "nothing"},
            'database "nothing" does not exist; create the database, or correct its name',
        ),
    ],
    ids=["too many connections", "no login", "no database"],
)
def test_a_refused_connection_comes_with_advice(
    database: Database, setup: str, changes: dict[str, str], said: str
) -> None:
    """The library tells no SQLSTATE of it."""
    shared().execute(setup)
    try:
        with closing(database_at(database.url.set(**changes))) as refused, pytest.raises(UnreachableStore) as told:
            refused.open()
    finally:
        if "username" in changes:
            shared().execute(f"DROP ROLE {changes['username']}")
    assert told.value.problems == (f"{refused.name}: cannot be reached: {said}",)


def test_a_password_is_in_no_message() -> None:
    """Nor in what represents a database."""
    url = new_url().set(password="secret", host="127.0.0.1", port=1).set(query={})
    with closing(database_at(url)) as database:
        assert "secret" not in repr(database) + database.name + repr(database.engine)
        with pytest.raises(UnreachableStore) as told:
            database.open()
    assert told.value.problems == (f"{database.name}: cannot be reached: Connection refused",)
