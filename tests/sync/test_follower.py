# SPDX-License-Identifier: MIT
"""The publisher of a process that another process of the gateway syncs and builds for."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from twisted.internet.defer import Deferred, fail

from ldapgw.directory.catalog import Catalog
from ldapgw.errors import StoreError
from ldapgw.store import phones
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.store.tables import account as account_table
from ldapgw.store.worker import StoreWorker
from ldapgw.sync.book_builder import build_cached_books
from ldapgw.sync.book_cache import BookCache
from ldapgw.sync.change_watcher import FOLLOW_SECONDS, DirectoryFollower
from ldapgw.sync.publisher import Publisher
from tests.support.results import result_of
from tests.support.stage.databases import open_file
from tests.support.stage.publishing import AT_ONCE, make_publisher
from tests.support.stage.sync import ALICE, BOB, CONTEXT, NOW, Stage, person


class Group:
    """A stage whose database is a file, and the directory of a second process, forked after the first has loaded."""

    def __init__(self, folder: Path) -> None:
        self.file, self.cache = folder / "gateway.db", folder / "books"
        group = self

        class FileStage(Stage):
            def new_database(self) -> Any:
                return open_file(group.file)

        self.stage = FileStage()
        self.url = self.stage.database.url.render_as_string(hide_password=False)
        for address in (ALICE, BOB):
            self.stage.connect(address)
            self.stage.world.add_person(address, person("Ada Riese"))
            self.stage.sync(address)
        self.leader = self.publisher(self.stage.catalog)
        result_of(self.leader.refresh())
        loaded = self.leader.loaded()
        self.catalog = Catalog(loaded.snapshot, {}, self.stage.clock.seconds)
        self.database = open_file(self.file)
        self.fails = False
        self.reads = 0
        self.follower = self.publisher(self.catalog, store=self, is_follower=True, loaded=loaded)
        # What the follower inherits must not be used by the leader any more, so that gets a publisher anew too.
        self.leader = self.publisher(self.stage.catalog)
        result_of(self.leader.refresh())

    def publisher(self, catalog: Catalog, store: Any = None, **more: Any) -> Publisher:
        return make_publisher(
            store=store or self.stage.store,
            catalog=catalog,
            contexts={"acme": CONTEXT},
            cache=BookCache(self.cache),
            build_in_process=partial(AT_ONCE, build_cached_books, self.url, self.cache),
            **more,
        )

    # --- the second process's store, which only reads -----------------------------------------------------------------

    def read(self, function: Any, *args: Any, **kw: Any) -> Deferred[Any]:
        self.reads += 1
        if self.fails:
            return fail(StoreError("away"))
        return StoreWorker(self.database, AT_ONCE, AT_ONCE).read(function, *args, **kw)

    run = read

    def names(self, book: str = ALICE) -> list[str]:
        """What the second process serves."""
        entries = [
            entry
            for directory in self.catalog.dit().directories
            for found in directory.books
            if found.name == book
            for segment in found.segments.contacts
            for entry in segment
        ]
        return sorted(entry.attribute("cn")[0].decode() for entry in entries)

    def add(self, *names: str, address: str = ALICE) -> None:
        for name in names:
            self.stage.world.add_person(address, person(name))
        self.stage.sync(address)


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    group = Group(tmp_path)
    yield group
    group.database.close()


def test_it_begins_with_what_it_inherits(group: Group) -> None:
    """Nothing is built anew, and the first look reads only what has changed."""
    assert group.names() == ["Ada Riese"]
    assert group.catalog.snapshot.loaded
    before = group.catalog.dit()
    result_of(group.follower.refresh())
    assert group.catalog.dit() is before
    assert not group.follower.is_outdated


def test_it_follows_changes(group: Group) -> None:
    """Of contacts, accounts and phones; the other books stay as they are."""
    other = group.catalog.dit().directories[0].books[1]
    group.add("Bo Klein")
    with group.stage.database.begin() as connection:
        phones.add(connection, PhoneLogin("desk1", "acme", None, NumberMode.VALUES, "sha256$00$00", NOW))
    result_of(group.follower.refresh())
    assert group.names() == ["Ada Riese", "Bo Klein"]
    assert group.catalog.dit().directories[0].books[1] is other
    assert group.catalog.snapshot.logins.keys() == {"desk1"}


def test_a_large_book_is_built_once(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the first process; until then the former one is served, and the cache is the first one's alone."""
    monkeypatch.setattr("ldapgw.sync.book_updater.MIN_PROCESS_CONTACTS", 0)
    group.add("Bo Klein")
    account = group.stage.account()
    with group.stage.database.begin() as connection:  # another address: the book has to be built anew
        connection.execute(update(account_table).values(address="alice@new.example").filter_by(id=account.id))
    files = {file: file.stat().st_mtime_ns for file in group.cache.iterdir()} if group.cache.exists() else {}
    result_of(group.follower.refresh())
    assert group.follower.is_outdated
    assert group.names() == ["Ada Riese"]
    after = {file: file.stat().st_mtime_ns for file in group.cache.iterdir()} if group.cache.exists() else {}
    assert after == files
    result_of(group.leader.refresh())
    result_of(group.follower.refresh())
    assert not group.follower.is_outdated
    assert group.names("alice@new.example") == ["Ada Riese", "Bo Klein"]


def test_it_looks_when_it_is_told_and_again_where_something_is_left(group: Group) -> None:
    """At the start too; never twice at a time, nor once it has ended."""
    clock = group.stage.clock
    follower = DirectoryFollower(clock=clock, publisher=group.follower)
    follower.changed()
    assert group.reads == 0
    follower.startService()
    first = group.reads
    assert first > 0
    clock.advance(FOLLOW_SECONDS)
    assert group.reads == first
    group.add("Bo Klein")
    group.fails = True
    follower.changed()
    assert group.names() == ["Ada Riese"]
    group.fails = False
    clock.advance(FOLLOW_SECONDS)
    assert group.names() == ["Ada Riese", "Bo Klein"]
    follower.stopService()
    group.add("Cy Groß")
    follower.changed()
    clock.advance(FOLLOW_SECONDS)
    assert group.names() == ["Ada Riese", "Bo Klein"]
