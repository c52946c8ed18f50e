# SPDX-License-Identifier: MIT
"""Writing the snapshot of logins while the database can be read, and serving from it for a limited time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, maybeDeferred

from ldapgw.contact import Sharing
from ldapgw.directory.access import ReplicaAccess
from ldapgw.directory.catalog import Catalog, EndedLogin, Freshness
from ldapgw.errors import DirectoryError, ResultCode, UnreachableStore
from ldapgw.ldap.replication.change_log import ChangeLogs
from ldapgw.store import accounts, phones
from ldapgw.store.logins_file import LoginsFile, LoginsSnapshot
from ldapgw.store.worker import Store
from ldapgw.sync.book_cache import BookCache
from ldapgw.sync.logins_keeper import CHECK_SECONDS, RENEW_SECONDS, LoginsKeeper, StaleLimit
from ldapgw.sync.publisher import Publisher
from tests.support.results import result_of
from tests.support.stage.paths import DAY
from tests.support.stage.publishing import empty_catalog, make_publisher
from tests.support.stage.sync import ALICE, BOB, CONTEXT, NOW, Stage, person


class AwayStore(Store):
    """A store whose server can be away."""

    is_away = False

    def call(self, *args: Any, **kw: Any) -> Deferred[Any]:
        return fail(UnreachableStore("away")) if self.is_away else super().call(*args, **kw)


class Scene(Stage):
    """Two accounts and a phone, a gateway that has served them, and another one that begins with its files."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.ended: list[EndedLogin] = []
        self.connect(ALICE)
        self.connect(BOB, sharing=Sharing.SHARED)
        self.add_phone("desk1", owner=ALICE)
        for address, name in ((ALICE, "Ada Riese"), (BOB, "Bo Zeh")):
            self.world.add_person(address, person(name))
            self.sync(address)
        self.away = AwayStore(self.store.call)
        self.file = LoginsFile(folder / "logins.sealed", self.secret_box, "postgresql://db/ldapgw")
        self.publisher = self.new_publisher(self.catalog)
        self.keeper = LoginsKeeper(
            clock=self.clock, file=self.file, max_age=DAY, publisher=self.publisher, run_off_thread=self.off_thread
        )
        self.keeper.startService()
        self.writes = 0

    def new_publisher(self, catalog: Catalog) -> Publisher:
        return make_publisher(
            store=self.away,
            catalog=catalog,
            contexts={"acme": CONTEXT},
            cache=BookCache(self.folder / "images"),
            on_publish=self.ended.extend,
        )

    def off_thread(self, function: Any, *args: Any) -> Deferred[Any]:
        self.writes += function == self.file.write
        return maybeDeferred(function, *args)

    def look(self) -> None:
        """What the change feed does each second."""
        result_of(self.publisher.refresh())
        self.keeper.looked(self.clock.seconds())

    def written(self) -> LoginsSnapshot:
        snapshot = self.file.read(self.clock.seconds(), DAY)
        assert snapshot is not None
        return snapshot

    def start_away(self) -> Publisher:
        """A gateway that starts without the database."""
        self.look()
        result_of(self.publisher.refresh())  # saves the books
        self.catalog = empty_catalog(self.clock.seconds)
        self.publisher = self.new_publisher(self.catalog)
        self.away.is_away = True
        result_of(self.publisher.load_saved(self.written().saved))
        return self.publisher


@pytest.fixture(name="scene")
def _scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    if scene.keeper.running:
        result_of(scene.keeper.stopService())
    assert not scene.clock.getDelayedCalls()


def test_a_start_without_the_database_shares_only_the_shared_label(scene: Scene) -> None:
    """A cached book has no shared label: the label is stored with the account."""
    bob = scene.account(BOB)
    scene.database.run(accounts.set_sharing, bob.id, Sharing.SHARED, "Team")
    scene.start_away()
    (directory,) = scene.catalog.dit().directories
    (book,) = [book for book in directory.books if book.name == BOB]
    assert (book.sharing, book.shared_label, book.shared_branch) == (Sharing.SHARED, "team", None)


def test_it_is_written_when_logins_have_changed(scene: Scene) -> None:
    """At once, however new it is; contacts alone are no reason."""
    scene.look()
    assert [login.name for login in scene.written().saved.logins] == ["desk1"]
    scene.add_phone("hall")
    scene.look()
    assert sorted(login.name for login in scene.written().saved.logins) == ["desk1", "hall"]
    scene.database.run(accounts.disconnect, scene.account(BOB).id)
    scene.look()
    assert [account.address for account in scene.written().saved.accounts] == [ALICE]
    assert scene.writes == 3
    scene.world.add_person(ALICE, person("Cy Tor"))
    scene.sync()
    scene.look()
    assert scene.writes == 3


def test_its_time_says_when_the_database_was_read(scene: Scene) -> None:
    """An unchanged one is written again once a minute, and not while the database is away."""
    for _ in range(int(RENEW_SECONDS * 2)):
        scene.look()
        scene.clock.advance(1.0)
    assert scene.writes == 2
    assert scene.written().taken_at == NOW + RENEW_SECONDS
    scene.clock.advance(DAY - RENEW_SECONDS - CHECK_SECONDS)
    assert scene.file.path.exists()
    scene.clock.advance(CHECK_SECONDS)
    assert not scene.file.path.exists()
    scene.look()
    assert scene.written().taken_at == scene.clock.seconds()


def test_a_write_that_fails_is_told_once(scene: Scene, caplog_twisted: list[str]) -> None:
    """Each look tries again."""
    scene.file.path.mkdir()
    scene.look()
    scene.look()
    assert [line for line in caplog_twisted if "logins.sealed: cannot be written" in line] == [
        f"{scene.file.path}: cannot be written: Is a directory; a start without the database would use the "
        "previous snapshot of logins"
    ]
    scene.file.path.rmdir()
    scene.look()
    assert scene.written().taken_at == NOW


def test_nothing_is_written_after_the_end(scene: Scene) -> None:
    result_of(scene.keeper.stopService())
    scene.look()
    assert not scene.file.path.exists()


def test_a_start_without_the_database(scene: Scene) -> None:
    """Serves the cached books and the former logins, and says that they are stale, until the database was read."""
    publisher = scene.start_away()
    snapshot = scene.catalog.snapshot
    assert (snapshot.loaded, snapshot.freshness, list(snapshot.logins)) == (True, Freshness.STALE, ["desk1"])
    assert (scene.served(ALICE), scene.served(BOB)) == (["Ada Riese"], ["Bo Zeh"])
    before = snapshot.logins["desk1"]
    with pytest.raises(UnreachableStore):
        result_of(publisher.refresh())
    assert scene.catalog.snapshot.freshness is Freshness.STALE
    scene.world.add_person(ALICE, person("Cy Tor"))
    scene.sync()
    scene.database.run(accounts.disconnect, scene.account(BOB).id)
    scene.away.is_away = False
    result_of(publisher.refresh())
    assert (scene.served(ALICE), scene.served(BOB)) == (["Ada Riese", "Cy Tor"], [])
    assert scene.catalog.snapshot.freshness is Freshness.CURRENT
    assert (scene.catalog.snapshot.logins, scene.ended) == ({"desk1": before}, [])
    assert sorted(file.name for file in (scene.folder / "images").iterdir()) == [f"{scene.account(ALICE).id}.image"]


def test_a_cached_book_may_be_older(scene: Scene) -> None:
    """It is served as it is, and revised once the database can be read, although nothing has changed there."""
    scene.look()
    result_of(scene.publisher.refresh())  # saves the books
    scene.world.add_person(ALICE, person("Cy Tor"))
    scene.sync()
    publisher = scene.start_away()
    assert scene.served(ALICE) == ["Ada Riese"]
    scene.away.is_away = False
    result_of(publisher.refresh())
    assert scene.served(ALICE) == ["Ada Riese", "Cy Tor"]


def test_what_has_changed_meanwhile_is_found(scene: Scene) -> None:
    """At the first look, before books are built; from then on logins are not those of the snapshot."""
    publisher = scene.start_away()
    scene.database.run(phones.remove, "desk1")
    scene.away.is_away = False
    result_of(publisher.publish_accounts())
    assert scene.catalog.snapshot.logins == {}
    assert scene.ended == [("cn=desk1,ou=phones,dc=acme,dc=example", "")]
    assert scene.catalog.snapshot.freshness is Freshness.STALE  # its books were not compared yet
    assert not publisher.expire()
    assert scene.served(ALICE) == ["Ada Riese"]


def test_it_ends_when_the_snapshot_is_too_old(scene: Scene) -> None:
    """Sessions end, binds are refused without a word about the password, and a later look is as at a start."""
    publisher = scene.start_away()
    limit = StaleLimit(clock=scene.clock, seconds=60.0, file=scene.file, publisher=publisher)
    limit.startService()
    scene.clock.advance(59.0)
    assert scene.catalog.find_login("desk1") is not None
    scene.clock.advance(1.0)
    snapshot = scene.catalog.snapshot
    assert (snapshot.loaded, snapshot.freshness, snapshot.logins) == (False, Freshness.EXPIRED, {})
    assert scene.ended == [("cn=desk1,ou=phones,dc=acme,dc=example", "")]
    assert not scene.file.path.exists()
    for authenticate in (lambda: scene.catalog.authenticate("desk1", b"x", "192.0.2.1"), secret_of(scene)):
        with pytest.raises(DirectoryError) as caught:
            authenticate()
        assert caught.value.code is ResultCode.UNAVAILABLE
    scene.away.is_away = False
    result_of(publisher.refresh())
    snapshot = scene.catalog.snapshot
    assert (snapshot.loaded, snapshot.freshness, list(snapshot.logins)) == (True, Freshness.CURRENT, ["desk1"])
    assert scene.served(ALICE) == ["Ada Riese"]
    limit.stopService()


def test_an_account_that_is_gone_after_the_snapshot_is_no_obstacle(scene: Scene) -> None:
    """An account that another gateway has disconnected is in the snapshot, but not in the database that comes back."""
    publisher = scene.start_away()
    assert publisher.expire()
    scene.database.run(accounts.disconnect, scene.account(BOB).id)
    scene.away.is_away = False
    result_of(publisher.refresh())
    assert (scene.served(ALICE), scene.served(BOB), publisher.unserved) == (["Ada Riese"], [], 0)
    assert (scene.catalog.snapshot.loaded, scene.catalog.snapshot.freshness) == (True, Freshness.CURRENT)


def secret_of(scene: Scene) -> Any:
    return lambda: scene.catalog.authenticate_secret("desk1.x", "192.0.2.1")


def test_it_goes_on_when_the_database_was_read(scene: Scene) -> None:
    """The limit is that of the snapshot, not of what was read since; one that is over at the start acts at once."""
    publisher = scene.start_away()
    scene.away.is_away = False
    result_of(publisher.refresh())
    limit = StaleLimit(clock=scene.clock, seconds=0.0, file=scene.file, publisher=publisher)
    limit.startService()
    assert scene.served(ALICE) == ["Ada Riese"]
    limit.stopService()
    late = scene.start_away()
    limit = StaleLimit(clock=scene.clock, seconds=0.0, file=scene.file, publisher=late)
    limit.startService()
    assert scene.catalog.snapshot.freshness is Freshness.EXPIRED
    limit.stopService()


def test_a_replica_waits(scene: Scene) -> None:
    """Stale books are no reason for a replica to delete what it holds."""
    logs = ChangeLogs(lambda: scene.catalog.snapshot, scene.clock.seconds)
    publisher = scene.start_away()
    assert logs.open(ReplicaAccess("acme")) is None
    scene.away.is_away = False
    result_of(publisher.refresh())
    assert logs.open(ReplicaAccess("acme")) is not None
