# SPDX-License-Identifier: MIT
"""Trouble with the database is told once for everybody, and so is its end.

Only PostgreSQL lets a probe run beside a transaction that writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from sqlalchemy import Connection, select
from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from ldapgw.errors import DamagedStore, StoreError, UnfitKey, UnreachableStore, UnwritableStore
from ldapgw.store import phones
from ldapgw.store.database import HANG_SECONDS, Database, Mode
from ldapgw.store.engines import database_at
from ldapgw.store.worker import LOG_AFTER_SECONDS, LOG_PAUSE_SECONDS, MonitoredStore, Store, on_threads
from tests.support.postgresql import needs_postgresql, open_new
from tests.support.results import result_of
from tests.support.stage.databases import open_file, open_in_memory
from tests.support.stage.sync import DESK

NOW = 1_800_000_000.0
FULL, LOCKED = "db: disk is full", "db: is locked"
FROM_MEMORY = "; phones are served from memory"
BACK = "the database can be used again"
PATIENCE = 60.0


@pytest.fixture
def database() -> Iterator[Database]:
    """One engine is enough: what is told of trouble does not depend on it."""
    database = open_in_memory()
    yield database
    database.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(database: Database, clock: Clock) -> MonitoredStore:
    return MonitoredStore(database, clock.seconds, lambda: NOW + clock.seconds(), run=execute, read=execute)


def fail(store: MonitoredStore, error: Exception) -> None:
    def failing(_: Connection) -> None:
        raise error

    with pytest.raises(type(error)):
        result_of(store.run(failing))


def test_what_is_returned_and_what_is_raised_comes_back(store: MonitoredStore) -> None:
    """Other faults than the database's are no trouble of it."""
    assert result_of(store.run(lambda _, number, *, more: number + more, 1, more=2)) == 3
    fail(store, ZeroDivisionError())
    assert not store.is_failing


@needs_postgresql
def test_a_probe_does_not_wait_for_the_transactions_of_other_gateways() -> None:
    """Else a change would be found late at all gateways while one of them writes for long."""
    with open_new() as database, database.begin():
        store = Store(on_threads(database, execute, execute))
        assert (
            result_of(store.call(Mode.PROBE, lambda connection: connection.exec_driver_sql("SELECT 1").scalar_one()))
            == 1
        )


def test_a_read_does_not_wait_for_a_write(tmp_path: Path) -> None:
    """It finds what was committed before, and cannot write itself."""
    database = database_at(f"sqlite:///{tmp_path / 'ldapgw.db'}")
    database.open()
    written, read = Event(), Event()

    def write(connection: Connection) -> None:
        phones.add(connection, DESK)
        written.set()
        assert read.wait(30)

    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        store: Any = Store(on_threads(database, one.submit, other.submit))
        writing = store.run(write)
        assert written.wait(30)
        assert store.read(phones.read_all).result(30) == ()
        read.set()
        writing.result(30)
        assert store.read(phones.read_all).result(30) == (DESK,)
        with pytest.raises(StoreError, match="attempt to write a readonly database"):
            store.read(phones.remove, DESK.name).result(30)
        assert store.run(phones.remove, DESK.name).result(30)
    database.close()


def test_one_line_for_all_who_asked_and_one_for_its_end(
    store: MonitoredStore, clock: Clock, caplog_twisted: list[str]
) -> None:
    """Of two problems in one outage, a line each."""
    for problem in (FULL, FULL, LOCKED, FULL):
        fail(store, StoreError(problem))
        clock.advance(1)
    assert (store.failing_since, store.is_failing, store.is_damaged) == (NOW, True, False)
    store.mark_recovered()
    store.mark_recovered()
    assert (store.failing_since, store.is_failing) == (None, False)
    assert caplog_twisted == [FULL + FROM_MEMORY, LOCKED + FROM_MEMORY, BACK]


def test_what_is_written_beside_the_database_is_told_likewise(store: MonitoredStore, caplog_twisted: list[str]) -> None:
    """A listing may need room on its disk too."""
    call = store.monitor(execute)
    assert result_of(call(int, "7", base=8)) == 7

    def full() -> None:
        raise StoreError(FULL)

    for _ in range(2):
        with pytest.raises(StoreError):
            result_of(call(full))
    assert store.is_failing
    assert caplog_twisted == [FULL + FROM_MEMORY]


def test_a_disk_that_cannot_be_written_is_one_problem(store: MonitoredStore, caplog_twisted: list[str]) -> None:
    """Each call fails, and one line says that nothing is lost, and what follows."""
    for problem in (FULL, "db: disk I/O error", FULL):
        fail(store, UnwritableStore(problem))
    assert caplog_twisted == [f"{FULL}; nothing is lost, and syncs wait until the database can be written{FROM_MEMORY}"]


def test_what_comes_and_goes_does_not_fill_the_log(
    store: MonitoredStore, clock: Clock, caplog_twisted: list[str]
) -> None:
    """A disk that is nearly full has room one moment and none the next."""
    for _ in range(int(LOG_PAUSE_SECONDS)):
        fail(store, StoreError(FULL))
        store.mark_recovered()
        clock.advance(1)
    assert caplog_twisted == [FULL + FROM_MEMORY, BACK]
    fail(store, StoreError(FULL))
    assert caplog_twisted[2:] == [FULL + FROM_MEMORY]


def test_trouble_that_begins_soon_after_the_last_is_told_when_it_lasts(
    store: MonitoredStore, clock: Clock, caplog_twisted: list[str]
) -> None:
    """Late, but told; once."""
    fail(store, StoreError(FULL))
    store.mark_recovered()
    said = []
    for _ in range(int(2 * LOG_PAUSE_SECONDS)):
        fail(store, StoreError(FULL))
        said.append(len(caplog_twisted))
        clock.advance(1)
    assert caplog_twisted == [FULL + FROM_MEMORY, BACK, FULL + FROM_MEMORY]
    assert said.index(3) == LOG_AFTER_SECONDS


class Threads:
    """Threads that run a call each, whose results are delivered when the test says so."""

    def __init__(self) -> None:
        self._running: list[tuple[Thread, Deferred[Any], list[Any]]] = []

    def __call__(self, function: Callable[..., Any], *args: Any, **kw: Any) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        results: list[Any] = []

        def work() -> None:
            try:
                results.append(function(*args, **kw))
            except Exception:  # noqa: BLE001  as a thread pool does
                results.append(Failure())

        thread = Thread(target=work)
        thread.start()
        self._running.append((thread, done, results))
        return done

    def deliver(self) -> None:
        """Wait for all calls, and call their Deferreds back."""
        running, self._running = self._running, []
        for thread, done, results in running:
            thread.join(PATIENCE)
            done.callback(results[0])


class Hanging:
    """A file whose disk stalls, and a store on it that is watched."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.clock, self.threads = clock, Threads()
        self.database = open_file(path)
        self.store = MonitoredStore(
            self.database, clock.seconds, lambda: NOW + clock.seconds(), run=self.threads, read=self.threads
        )
        self.goes_on, self.begun = Event(), Event()

    def stall(self, _connection: Connection | None) -> None:
        """A call that gets no answer until the disk goes on."""
        self.begun.set()
        assert self.goes_on.wait(PATIENCE)


@pytest.fixture
def hanging(tmp_path: Path, clock: Clock) -> Iterator[Hanging]:
    hanging = Hanging(tmp_path / "ldapgw.db", clock)
    yield hanging
    hanging.goes_on.set()
    hanging.threads.deliver()
    hanging.database.close()


def errors_of(*calls: Deferred[Any]) -> list[str]:
    failures: list[str] = []
    for call in calls:
        call.addErrback(lambda failure: failures.append(str(failure.value)))
    return failures


def test_a_database_that_hangs_fails_all_calls_after_15_seconds(
    hanging: Hanging, clock: Clock, caplog_twisted: list[str]
) -> None:
    """One line says so; later calls fail at once and are not made, until the database answers again."""
    told = f"{hanging.database.name}: has not answered for 15 seconds; look at the disk"
    stalled = hanging.store.read(hanging.stall)
    assert hanging.begun.wait(PATIENCE)
    clock.advance(HANG_SECONDS - 1)
    hanging.store.watch()
    assert (errors_of(stalled), hanging.store.is_failing) == ([], False)
    clock.advance(1)
    hanging.store.watch()
    assert hanging.store.failing_since == NOW + HANG_SECONDS
    later = [hanging.store.run(phones.add, DESK), hanging.store.call(Mode.BESIDE, phones.add, DESK)]
    later.append(hanging.store.read(phones.read_all))
    assert errors_of(stalled, *later) == [told] * 3
    clock.advance(HANG_SECONDS)
    hanging.store.watch()
    probe = hanging.store.call(Mode.PROBE, phones.read_all)
    hanging.goes_on.set()
    hanging.threads.deliver()
    assert result_of(probe) == ()
    hanging.store.mark_recovered()
    again = hanging.store.run(phones.add, DESK)
    hanging.threads.deliver()
    assert result_of(again) is True
    assert caplog_twisted == [told + FROM_MEMORY, BACK]


def test_a_call_of_others_on_a_watched_thread_that_hangs_is_trouble_too(hanging: Hanging, clock: Clock) -> None:
    """As a turn of the leadership, which is no transaction of the store."""
    stalled = hanging.store.watched(hanging.threads)(hanging.stall, None)
    assert hanging.begun.wait(PATIENCE)
    clock.advance(HANG_SECONDS)
    hanging.store.watch()
    assert (len(errors_of(stalled)), hanging.store.failing_since) == (1, NOW + HANG_SECONDS)


def test_a_long_call_that_gets_answers_does_not_hang(hanging: Hanging, clock: Clock) -> None:
    """As the sync of a large account, whose transaction may take a minute."""
    steps, done = [Event() for _ in range(4)], [Event() for _ in range(4)]

    def long(connection: Connection) -> str:
        for step, answered in zip(steps, done, strict=True):
            assert step.wait(PATIENCE)
            connection.execute(select(1))
            answered.set()
        return "done"

    call = hanging.store.call(Mode.BESIDE, long)
    for step, answered in zip(steps, done, strict=True):
        clock.advance(HANG_SECONDS - 1)
        step.set()
        assert answered.wait(PATIENCE)
        hanging.store.watch()
    hanging.threads.deliver()
    assert result_of(call) == "done"


def test_a_call_that_waits_for_the_thread_is_not_made_once_it_was_given_up(tmp_path: Path, clock: Clock) -> None:
    """A caller that was told of a failure must not find the change later."""
    database = open_file(tmp_path / "ldapgw.db")
    goes_on, begun = Event(), Event()

    def stall(_connection: Connection) -> None:
        begun.set()
        assert goes_on.wait(PATIENCE)

    with ThreadPoolExecutor(1) as pool:
        futures: list[Any] = []

        def in_thread(function: Callable[..., Any], *args: Any) -> Deferred[Any]:
            futures.append(pool.submit(function, *args))
            return Deferred()

        store = MonitoredStore(database, clock.seconds, clock.seconds, run=in_thread, read=in_thread)
        calls = [store.run(stall), store.run(phones.add, DESK)]
        assert begun.wait(PATIENCE)
        clock.advance(HANG_SECONDS)
        store.watch()
        assert len(errors_of(*calls)) == 2
        goes_on.set()
    assert [future.exception() is None for future in futures] == [True, False]
    assert database.run(phones.read_all) == ()
    database.close()


def test_damage_is_remembered_until_all_is_well(store: MonitoredStore, caplog_twisted: list[str]) -> None:
    """Other failures meanwhile change nothing, and further signs of damage do not matter."""
    for error in (DamagedStore("db: is damaged"), StoreError(LOCKED), DamagedStore("db: is malformed")):
        fail(store, error)
    assert store.is_damaged
    store.mark_recovered()
    assert not store.is_damaged
    assert caplog_twisted == ["db: is damaged" + FROM_MEMORY, LOCKED + FROM_MEMORY, BACK]


def test_a_key_that_does_not_fit_is_no_trouble_of_the_database(
    store: MonitoredStore, caplog_twisted: list[str]
) -> None:
    """It is told, and there is nothing to wait for."""
    fail(store, UnfitKey("does not fit"))
    assert not store.is_failing
    assert caplog_twisted == ["does not fit" + FROM_MEMORY]


@pytest.mark.parametrize("line", ["db: away; the directory is stale", ""])
def test_an_outage_since_the_start(store: MonitoredStore, caplog_twisted: list[str], line: str) -> None:
    """Its own line is in place of those of each attempt; other problems are told as ever."""
    store.begin_outage(line)
    assert store.failing_since == NOW
    fail(store, UnreachableStore("db: away"))
    fail(store, StoreError(LOCKED))
    store.mark_recovered()
    fail(store, UnreachableStore("db: away"))
    lines = ([line] if line else []) + [LOCKED + FROM_MEMORY, BACK, "db: away" + FROM_MEMORY]
    assert caplog_twisted == lines
