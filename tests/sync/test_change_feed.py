# SPDX-License-Identifier: MIT
"""Carrying changes of the database into what is served, and saying what is wrong with it once."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event
from sqlalchemy.exc import OperationalError
from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher

from ldapgw.directory.passwords import UNKNOWN_LOGIN_HASH
from ldapgw.errors import DamagedStore, StoreError, UnwritableStore
from ldapgw.peers.change_feed import POLL_SECONDS, WRITE_BINDS_SECONDS, ChangeFeed
from ldapgw.server.workers import WorkerThread
from ldapgw.store import phones
from ldapgw.store.database import Database
from ldapgw.store.phones import LastBind, NumberMode, PhoneLogin
from ldapgw.store.worker import MonitoredStore
from ldapgw.sync.book_builder import revise_books
from tests.support.postgresql import TEMPLATE, shared
from tests.support.site.running import wait_until
from tests.support.stage.databases import change_detector, open_file
from tests.support.stage.sync import ALICE, BOB, NOW, HeldStore, Stage, person


class Scene(Stage):
    """The stage with a feed on a database in a file, as others see it too."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen: dict[str, tuple[str, str, float, bool]] = {}
        self.told = 0
        self.looks: list[float] = []  # that have found the database as it is served
        self.untold: Exception | None = None  # why pages cannot be told
        self.clients_read = 0
        self.recordings_read = 0
        self.logged: list[str] = []
        super().__init__()
        self.feed = self.new_feed(self.read_clients, self.tell_pages, self.read_recordings)

    def new_feed(self, *read: Callable[[], Awaitable[None]], store: Any = None) -> ChangeFeed:
        """A feed that calls these functions after a change."""
        return ChangeFeed(
            clock=self.clock,
            store=store or self.store,
            change_detector=change_detector(self.database),
            call_from_thread=lambda function, *args: function(*args),
            publisher=self.publisher,
            scheduler=self.scheduler,
            take_binds=self.take_seen,
            read=read,
            looked=self.looks.append,
        )

    def new_database(self) -> Database:
        return open_file(self.path)

    def go_away(self) -> str:
        """Have the database be gone; what messages say then."""
        self.database.close()
        if self.database.file is not None:
            self.path.rename(self.path.with_name("away.db"))
            return "cannot be used: No such file or directory; put it back"
        name = self.database.url.database
        shared().execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        shared().execute(f"ALTER DATABASE {name} RENAME TO away")
        return f'cannot be reached: database "{name}" does not exist; create the database, or correct its name'

    def come_back(self) -> None:
        """Undo `go_away` and `restore_nothing_yet`."""
        if self.database.file is not None:
            self.path.with_name("away.db").rename(self.path)
        else:
            shared().execute(f"DROP DATABASE IF EXISTS {self.database.url.database} WITH (FORCE)")
            shared().execute(f"ALTER DATABASE away RENAME TO {self.database.url.database}")

    def restore_nothing_yet(self) -> None:
        """Put a database with tables and without content in place of the one that is gone."""
        if self.database.file is not None:
            self.new_database().close()
        else:
            shared().execute(f"CREATE DATABASE {self.database.url.database} TEMPLATE {TEMPLATE}")

    def has_told_more(self) -> bool:
        """Return True if the log gets a line within a minute; the machine's own clock goes on too."""
        before = len(self.logged)
        self.clock.pump([POLL_SECONDS] * 60)
        return len(self.logged) > before

    def new_store(self, at_once: WorkerThread) -> MonitoredStore:
        return MonitoredStore(self.database, self.clock.seconds, self.clock.seconds, run=at_once, read=at_once)

    def take_seen(self) -> dict[str, tuple[str, str, float, bool]]:
        seen, self.seen = self.seen, {}
        return seen

    async def read_clients(self) -> None:
        self.clients_read += 1

    async def read_recordings(self) -> None:
        self.recordings_read += 1

    async def tell_pages(self) -> None:
        if self.untold is not None:
            raise self.untold
        self.told += 1

    def observe(self, event: dict[str, Any]) -> None:
        if event["log_namespace"].startswith("ldapgw"):
            self.logged.append(event["log_format"].format(**event))


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path / "ldapgw.db")
    globalLogPublisher.addObserver(scene.observe)
    scene.scheduler.startService()
    scene.feed.startService()
    yield scene
    if scene.feed.running:
        scene.feed.stopService()
    scene.scheduler.stopService()
    globalLogPublisher.removeObserver(scene.observe)
    assert not scene.clock.getDelayedCalls()


def add_phone(scene: Scene, numbers: NumberMode = NumberMode.VALUES) -> None:
    """As a command does: in a process, and so on a connection, of its own."""
    with closing(scene.new_database()) as other:
        other.run(phones.add, PhoneLogin("desk1", "acme", None, numbers, UNKNOWN_LOGIN_HASH, NOW))


def last_seen(scene: Scene) -> list[tuple[float | None, str | None]]:
    return [(phone.last_seen, phone.last_address) for phone in scene.database.run(phones.read_all)]


def test_what_depends_on_the_database_is_read_once_after_a_change(scene: Scene) -> None:
    """Clients that were entered, what open pages show, and recordings; without a change, nothing is read or built."""
    before = scene.catalog.snapshot
    read = scene.clients_read, scene.told, scene.recordings_read
    scene.clock.advance(POLL_SECONDS)
    assert (scene.catalog.snapshot, (scene.clients_read, scene.told, scene.recordings_read)) == (before, read)
    assert scene.looks[-1] == scene.clock.seconds()
    add_phone(scene)
    for _ in range(2):
        scene.clock.advance(POLL_SECONDS)
    assert (scene.clients_read, scene.told, scene.recordings_read) == tuple(count + 1 for count in read)


def test_phones_that_were_seen_are_written_down_from_time_to_time(scene: Scene) -> None:
    """And at the end; each bind only once, because another gateway may know a later bind."""
    add_phone(scene)
    scene.seen = {"desk1": ("192.0.2.1", UNKNOWN_LOGIN_HASH, NOW + 1.0, True)}
    scene.clock.advance(WRITE_BINDS_SECONDS)
    assert last_seen(scene) == [(NOW + 1.0, "192.0.2.1")]
    elsewhere = LastBind(NOW + 1.5, "192.0.2.9", UNKNOWN_LOGIN_HASH)
    scene.database.run(phones.store_last_binds, {"desk1": elsewhere})
    scene.clock.advance(WRITE_BINDS_SECONDS)
    assert last_seen(scene) == [(NOW + 1.5, "192.0.2.9")]
    scene.seen = {"desk1": ("192.0.2.2", UNKNOWN_LOGIN_HASH, NOW + 2.0, True)}
    scene.feed.stopService()
    assert last_seen(scene) == [(NOW + 2.0, "192.0.2.2")]


def test_a_database_that_is_gone_is_told_once_and_so_is_its_return(scene: Scene) -> None:
    """However long it lasts; what was seen meanwhile is not lost, and what was served stays."""
    add_phone(scene)
    scene.clock.advance(POLL_SECONDS)
    reason = scene.go_away()
    scene.seen = {"desk1": ("192.0.2.1", UNKNOWN_LOGIN_HASH, NOW + 1.0, True)}
    for _ in range(100):
        scene.clock.advance(POLL_SECONDS)
    trouble = f"{scene.database.name}: {reason}; phones are served from memory"
    assert scene.logged == [trouble]
    assert "desk1" in scene.catalog.snapshot.logins
    scene.come_back()
    wait_until(scene.has_told_more, "the log says that it is back")
    assert scene.logged == [trouble, "the database can be used again"]
    assert [address for _, address in last_seen(scene)] == ["192.0.2.1"]


@pytest.mark.parametrize(("error", "is_back"), [(UnwritableStore, True), (DamagedStore, False)])
def test_a_failure_after_which_the_database_is_unchanged(
    scene: Scene, error: type[StoreError], *, is_back: bool
) -> None:
    """A disk may have room again, and open pages are told; damage is checked again only after a change."""

    def fail(_connection: Connection) -> None:
        raise error("the disk fails")

    told = scene.told
    scene.store.run(fail).addErrback(lambda failure: failure.trap(error) and None)
    scene.clock.advance(POLL_SECONDS)
    assert (scene.store.is_failing, scene.told > told) == (not is_back, is_back)
    add_phone(scene)
    scene.clock.pump([POLL_SECONDS] * 2)
    assert (scene.store.is_failing, scene.told > told) == (False, True)


def test_a_database_that_is_being_restored_has_not_come_back(scene: Scene) -> None:
    """Its tables can be written already; what was served stays while they have no content."""
    add_phone(scene)
    scene.clock.advance(POLL_SECONDS)
    scene.go_away()
    scene.clock.advance(POLL_SECONDS)
    scene.restore_nothing_yet()
    wait_until(scene.has_told_more, "the log says that the database is empty")
    empty = (
        f"{scene.database.name}: is empty, but was not empty before; restore a backup; phones are served from memory"
    )
    assert scene.logged[1:] == [empty]
    assert "desk1" in scene.catalog.snapshot.logins
    scene.come_back()


def test_a_book_that_takes_long_keeps_nobody_else_waiting(scene: Scene) -> None:
    """Another account's first sync, a new phone and a page that asks: all go on while it is being built."""
    scene.connect(ALICE)
    scene.world.add_person(ALICE, person("Ada Riese"))
    scene.clock.advance(POLL_SECONDS)
    assert scene.served(ALICE) == ["Ada Riese"]
    real, held, built = scene.on_books_thread, [ALICE], Deferred[None]()

    def run(function: Any, *args: Any, **kw: Any) -> Any:
        if function is revise_books and args[1][0].name in held:
            return built.addCallback(lambda _: function(*args, **kw))
        return real(function, *args, **kw)

    scene.on_books_thread = run
    scene.world.add_person(ALICE, person("Bo Weg"))
    scene.request(looks=False)
    scene.clock.pump([POLL_SECONDS] * 2)
    assert scene.account(ALICE).syncing
    scene.connect(BOB)
    scene.world.add_person(BOB, person("Cem Ak"))
    asked = scene.feed.refresh_now()
    scene.clock.advance(POLL_SECONDS)
    assert asked.called
    assert (scene.served(ALICE), scene.served(BOB)) == (["Ada Riese"], ["Cem Ak"])
    assert scene.account(BOB).last_sync is not None
    add_phone(scene, NumberMode.ENTRIES)
    scene.clock.advance(POLL_SECONDS)
    assert "desk1" in scene.catalog.snapshot.logins
    [directory] = scene.catalog.dit().directories
    assert {book.name: bool(book.segments.numbers) for book in directory.books} == {ALICE: False, BOB: True}
    built.callback(None)
    scene.clock.advance(POLL_SECONDS)
    assert scene.served(ALICE) == ["Ada Riese", "Bo Weg"]
    assert not scene.account(ALICE).syncing


@pytest.mark.parametrize("step", ["publish_accounts", "build"])
def test_a_fault_of_ours_is_logged_and_looking_goes_on(scene: Scene, step: str) -> None:
    """With its traceback, in the log alone, and once; what it kept from being done is tried again.

    A look that has published nothing does not count as a look.
    """
    real, looks = getattr(scene.publisher, step), len(scene.looks)

    async def broken() -> None:
        raise ZeroDivisionError

    setattr(scene.publisher, step, broken)
    add_phone(scene)
    scene.clock.pump([POLL_SECONDS] * 3)
    assert scene.logged == ["checking the database for changes failed"]
    assert len(scene.looks) - looks == (3 if step == "build" else 0)
    setattr(scene.publisher, step, real)
    if step == "build":
        tries: list[int] = []

        async def tried() -> None:
            tries.append(1)
            await real()

        setattr(scene.publisher, step, tried)
        scene.clock.advance(POLL_SECONDS)
        assert tries == [1]
    scene.database.close()
    with closing(scene.new_database()) as other:
        other.run(phones.set_password, "desk1", "sha256$00$11", NOW)
    scene.clock.advance(POLL_SECONDS)
    assert "desk1" in scene.catalog.snapshot.logins


def test_a_removed_login_is_refused_whatever_else_fails(scene: Scene) -> None:
    """Open pages, for example, cannot be told of the change."""
    add_phone(scene)
    scene.clock.advance(POLL_SECONDS)
    scene.untold = ZeroDivisionError()
    scene.database.run(phones.remove, "desk1")
    scene.clock.advance(POLL_SECONDS)
    assert "desk1" not in scene.catalog.snapshot.logins
    assert scene.logged == ["checking the database for changes failed"]


def test_who_asks_waits_until_it_is_served(scene: Scene) -> None:
    """Although the look of every second came first, found the same change, and is not done with it."""
    store = HeldStore(scene.store)
    told: Deferred[None] = Deferred()
    feed = scene.new_feed(lambda: told, store=store)
    add_phone(scene)
    feed.startService()
    asked = feed.refresh_now()
    store.go_on()
    assert not asked.called
    told.callback(None)
    store.go_on()
    assert asked.called
    assert "desk1" in scene.catalog.snapshot.logins
    feed.stopService()
    store.go_on()


def test_a_consent_during_a_sync_is_synced_by_the_next_look(scene: Scene) -> None:
    """The sync of the former grant records nothing, so that no change of the database tells of its end."""
    syncs = scene.hold_syncs()
    for _consent in range(2):
        scene.connect()
        scene.clock.advance(POLL_SECONDS)
    assert len(syncs) == 1
    syncs[0].callback(False)
    scene.clock.advance(POLL_SECONDS)
    assert len(syncs) == 2
    syncs[1].callback(False)
    assert scene.account().syncing is False
    assert scene.account().requested_sync is None


def disk_error(engine: str) -> Exception:
    """Return the error that the engine's driver raises if the disk cannot be read."""
    if engine == "sqlite":
        return sqlite3.OperationalError("disk I/O error")
    import psycopg

    return psycopg.errors.IoError("disk I/O error")


def test_what_could_not_be_carried_over_is_tried_again(scene: Scene, engine: str) -> None:
    """A change is not forgotten because the database was in trouble just then."""
    failed: list[int] = []
    error = disk_error(engine)

    def broken(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "FROM phone" in statement:
            failed.append(1)
            raise OperationalError(statement, {}, error)

    event.listen(scene.database.reading_engine, "before_cursor_execute", broken)
    add_phone(scene)
    scene.feed.refresh_now()
    scene.clock.advance(POLL_SECONDS)
    assert len(failed) == 2
    event.remove(scene.database.reading_engine, "before_cursor_execute", broken)
    scene.clock.advance(POLL_SECONDS)
    assert "desk1" in scene.catalog.snapshot.logins
    assert scene.logged == [
        f"{scene.database.name}: cannot be used: disk I/O error; phones are served from memory",
        "the database can be used again",
    ]
