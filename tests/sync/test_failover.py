# SPDX-License-Identifier: MIT
"""A PostgreSQL that comes back without its last commits: what was served counts no more, as after a restore."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from ldapgw.directory.catalog import Catalog, Snapshot
from ldapgw.directory.dit import Dit
from ldapgw.store import changes
from ldapgw.store.database import Database
from ldapgw.store.engines import database_at
from ldapgw.store.tables import change
from ldapgw.sync.book_cache import BookCache
from tests.support.postgresql import Server, needs_postgresql
from tests.support.results import result_of
from tests.support.site.running import free_ports, wait_until
from tests.support.stage.publishing import make_publisher
from tests.support.stage.sync import ALICE, BOB, CONTEXT, Stage, person

pytestmark = [needs_postgresql, pytest.mark.long]


class Gateway:
    """What serves the book, with a cache of books in a folder."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        features = stage.catalog.dit().features
        self.catalog = Catalog(Snapshot(Dit((), features)), {}, stage.clock.seconds)
        self.publisher = make_publisher(
            store=stage.store, catalog=self.catalog, contexts={"acme": CONTEXT}, cache=BookCache(folder)
        )

    def names(self) -> list[str]:
        """What phones find after a look."""
        result_of(self.publisher.refresh())
        result_of(self.publisher.refresh())  # saves the books that the first look after the start has built
        [directory] = self.catalog.dit().directories
        entries = [entry for book in directory.books for segment in book.segments.contacts for entry in segment]
        return sorted(entry.attribute("cn")[0].decode() for entry in entries)

    def books(self) -> list[object]:
        """The contacts of each account as they are served."""
        [directory] = self.catalog.dit().directories
        return [book.segments.contacts[0] for book in directory.books]


class Company(Stage):
    """Alice's book on a server of its own, and gateways that serve it."""

    def __init__(self, folder: Path) -> None:
        [port] = free_ports(1)
        self.folder = folder
        self.server = Server.create(port=port, listens=True, settings=("fsync=off",))
        self.server.start()
        self.server.execute("CREATE DATABASE company")
        super().__init__()
        self.connect()
        self.add("Ada Riese")
        self.database.run(changes.note_history)

    def new_database(self) -> Database:
        database = database_at(self.server.url("company"))
        database.open()
        return database

    def add(self, name: str) -> str:
        """Add somebody at Google, and sync.

        :returns: Google's name of the person.
        """
        added = self.world.add_person(ALICE, person(name))
        self.sync()
        return added

    def gateway(self, name: str) -> Gateway:
        return Gateway(self, self.folder / name)

    def end(self) -> None:
        self.database.close()
        self.server.delete()


@pytest.fixture(name="company")
def _company(tmp_path: Path) -> Iterator[Company]:
    company = Company(tmp_path)
    yield company
    company.end()


def copied_back(company: Company) -> Callable[[], None]:
    """Copy the server's files; returns what puts the copy in their place."""
    return company.server.copy()


def promoted(company: Company) -> Callable[[], None]:
    """Copy the server's files to a standby, which gets nothing more; returns what has the standby take over."""
    come_back = copied_back(company)
    signal = company.server.folder / "copy" / "standby.signal"
    signal.touch()
    shutil.chown(signal, company.server.folder.stat().st_uid)

    def take_over() -> None:
        come_back()
        company.server.execute("SELECT pg_promote()")
        # As long as the new primary has made no checkpoint, it still names the former timeline.
        named = "SELECT timeline_id FROM pg_control_checkpoint()"
        wait_until(lambda: company.server.execute(named) == [(2,)], "the standby has taken over")

    return take_over


def dumped(company: Company) -> Callable[[], None]:
    """Dump the database; returns what restores the dump on the same server, which runs on."""
    dump = company.folder / "dump"
    company.server.run_program("pg_dump", "--format=custom", f"--file={dump}", "company")

    def come_back() -> None:
        options = ("--clean", "--if-exists", "--exit-on-error", "--single-transaction")
        company.server.run_program("pg_restore", *options, "--dbname=company", str(dump))

    return come_back


@pytest.mark.parametrize("loses", [copied_back, promoted, dumped])
def test_what_was_lost_is_served_no_more(company: Company, loses: Callable[[Company], Callable[[], None]]) -> None:
    """By nobody: neither by who has read it nor from a cached book, whatever has been synced since."""
    fails = loses(company)
    company.add("Bo Zeh")
    running, stopped = company.gateway("running"), company.gateway("stopped")
    assert running.names() == stopped.names() == ["Ada Riese", "Bo Zeh"]
    lost = company.account().generation
    fails()
    assert running.names() == ["Ada Riese"]
    assert company.account().generation > lost + 500
    company.calls()
    company.sync()
    assert company.calls()["/v1/people/me/connections"] == 1  # the stored token is as old as the stored contacts
    assert running.names() == ["Ada Riese", "Bo Zeh"]
    assert company.gateway("stopped").names() == ["Ada Riese", "Bo Zeh"]


@pytest.mark.parametrize("loses", [promoted, dumped])
def test_a_book_of_a_lost_generation(company: Company, loses: Callable[[Company], Callable[[], None]]) -> None:
    """The numbers of generations come again; a gateway that starts does not take its cached book for another one's."""
    fails = loses(company)
    gone = company.add("Bo Zeh")
    lost = company.account().generation
    assert company.gateway("stopped").names() == ["Ada Riese", "Bo Zeh"]
    fails()
    company.world.delete_person(ALICE, gone)
    company.add("Cy Tor")
    assert company.account().generation == lost
    assert company.gateway("stopped").names() == ["Ada Riese", "Cy Tor"]


def test_a_dump_that_is_restored_twice(company: Company) -> None:
    """A gateway that was down for the second time does not take its cached book for one of the present ones."""
    fails = dumped(company)
    running = company.gateway("running")
    running.names()
    fails()
    running.names()
    gone = company.add("Bo Zeh")
    assert company.gateway("stopped").names() == ["Ada Riese", "Bo Zeh"]
    fails()
    running.names()
    company.world.delete_person(ALICE, gone)
    company.add("Cy Tor")
    assert running.names() == company.gateway("stopped").names() == ["Ada Riese", "Cy Tor"]


def test_a_restart_is_no_failover(company: Company) -> None:
    """Nothing is built anew where nothing was lost."""
    gateway = company.gateway("running")
    gateway.names()
    before = company.account().generation, gateway.catalog.snapshot.dit.directories
    company.server.stop(immediately=True)
    company.server.start()
    assert gateway.names() == ["Ada Riese"]
    assert (company.account().generation, gateway.catalog.snapshot.dit.directories) == before


def test_two_gateways_find_it(company: Company) -> None:
    """The second one changes nothing more."""
    one, two = company.gateway("one"), company.gateway("two")
    one.names()
    two.names()
    fails = copied_back(company)
    company.add("Bo Zeh")
    one.names()
    two.names()
    fails()
    with company.database.begin_read() as connection:
        found = changes.read_since(connection, two.publisher._books.state.cursor)
    assert found.lost_since is not None
    one.names()
    generation = company.account().generation
    company.database.run(changes.begin_history, found.cursor, found.lost_since)
    assert two.names() == ["Ada Riese"]
    assert company.account().generation == generation


@pytest.mark.parametrize("loses", [copied_back, dumped])
def test_what_was_not_lost_stays(company: Company, loses: Callable[[Company], Callable[[], None]]) -> None:
    """A running gateway builds the books anew of the accounts that have changed, and no others."""
    company.connect(BOB)
    company.sync(BOB)
    pass_time(company)
    fails = loses(company)
    company.add("Bo Zeh")
    gateway = company.gateway("running")
    assert gateway.names() == ["Ada Riese", "Bo Zeh"]
    alice, bob = gateway.books()
    fails()
    assert gateway.names() == ["Ada Riese"]
    assert gateway.books()[0] is not alice
    assert gateway.books()[1] is bob
    generations = {one: company.account(one).generation for one in (ALICE, BOB)}
    assert gateway.names() == ["Ada Riese"]
    assert {one: company.account(one).generation for one in (ALICE, BOB)} == generations


def test_who_changed_just_before_is_built_anew(company: Company) -> None:
    """The server's clock may have been set back by who replaced its files."""
    company.connect(BOB)
    company.sync(BOB)
    fails = copied_back(company)
    gateway = company.gateway("running")
    gateway.names()
    _, bob = gateway.books()
    company.add("Bo Zeh")
    gateway.names()
    fails()
    gateway.names()
    assert gateway.books()[1] is not bob


def pass_time(company: Company) -> None:
    """Have the marks be older, by the server's clock, than it may be set back."""
    with company.database.begin() as connection:
        connection.execute(update(change).values(marked_at=change.c.marked_at - 2 * changes.CLOCK_MARGIN_SECONDS))
