# SPDX-License-Identifier: MIT
"""A PostgreSQL that comes back without its last commits: what was served counts no more, as after a restore.

Only a server can lose its last commits and come back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import URL
from twisted.internet.task import Clock

from ldapgw.errors import StoreError
from ldapgw.peers.change_feed import ChangeFeed
from ldapgw.store import changes
from ldapgw.store.database import Database
from ldapgw.store.engines import database_at
from ldapgw.store.worker import MonitoredStore
from ldapgw.sync.book_cache import BookCache
from tests.support.postgresql import Server, needs_postgresql
from tests.support.results import result_of
from tests.support.site.running import free_ports, wait_until
from tests.support.stage.publishing import empty_catalog, make_publisher
from tests.support.stage.sync import ALICE, CONTEXT, Stage, person

pytestmark = [needs_postgresql, pytest.mark.long]

# Phones find a standby's contacts within this time after the takeover.
TAKEOVER_SECONDS = 5.0


class Gateway:
    """Serves the book, with a cache of books in a folder."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        self.catalog = empty_catalog(stage.clock.seconds)
        self.publisher = make_publisher(
            store=stage.store, catalog=self.catalog, contexts={"acme": CONTEXT}, cache=BookCache(folder)
        )

    def names(self) -> list[str]:
        """Return the names that phones find after a look."""
        result_of(self.publisher.refresh())
        result_of(self.publisher.refresh())  # saves the books that the first look after the start has built
        return self.served()

    def served(self) -> list[str]:
        """What phones find."""
        [directory] = self.catalog.dit().directories
        entries = [entry for book in directory.books for segment in book.segments.contacts for entry in segment]
        return sorted(entry.attribute("cn")[0].decode() for entry in entries)


class RunningGateway(Gateway):
    """A gateway that follows the database by its feed, and that learns of changes from its listener alone.

    The clock of the feed follows the machine's clock, because the listener has a thread of its own.
    """

    def __init__(self, stage: Stage, folder: Path) -> None:
        # psycopg is optional, so the module is imported only where the test needs a server.
        from ldapgw.store.postgresql_connection import ChangeListener

        super().__init__(stage, folder)
        store: Any = stage.store
        self._clock, self._began = Clock(), monotonic()
        self._calls: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self.feed = ChangeFeed(
            clock=self._clock,
            store=store,
            change_detector=ChangeListener(stage.database.url, seconds=lambda: 0.0),
            call_from_thread=lambda function, *args: self._calls.put(partial(function, *args)),
            publisher=self.publisher,
            scheduler=stage.scheduler,
            take_binds=dict,
            read=(),
        )
        self.feed.startService()

    def wait_for_names(self, names: list[str]) -> float:
        """Wait until phones find these; how long that took, in seconds."""
        began = monotonic()

        def finds() -> bool:
            while not self._calls.empty():
                self._calls.get()()
            self._clock.advance(monotonic() - self._began - self._clock.seconds())
            return bool(self.catalog.dit().directories) and self.served() == names

        wait_until(finds, f"phones find {names}")
        return monotonic() - began


class Company(Stage):
    """Alice's book on a server of its own, and gateways that serve it."""

    def __init__(self, folder: Path) -> None:
        self.ports = free_ports(2)
        self.folder = folder
        self.server = Server.create(port=self.ports[0], listens=True, settings=("fsync=off",))
        self.server.start()
        self.server.execute("CREATE DATABASE company")
        self.servers = [self.server]
        self.feeds: list[ChangeFeed] = []
        super().__init__()
        self.database.run(changes.begin_epoch)
        self.connect()
        self.add("Ada Riese")

    def new_database(self) -> Database:
        """At whichever of the two servers is the primary."""
        query = {"host": "127.0.0.1,127.0.0.1", "port": ",".join(map(str, self.ports))}
        query["target_session_attrs"] = "read-write"
        database = database_at(URL.create("postgresql+psycopg", "ldapgw", database="company", query=query))
        database.open()
        return database

    def add(self, name: str) -> str:
        """Add somebody at Google, and sync.

        :returns: Google's name of the person.
        """
        added = self.world.add_person(ALICE, person(name))
        self.sync()
        return added

    def new_store(self, at_once: Any) -> MonitoredStore:
        return MonitoredStore(self.database, monotonic, self.clock.seconds, run=at_once, read=at_once)

    def gateway(self, name: str) -> Gateway:
        return Gateway(self, self.folder / name)

    def running_gateway(self) -> RunningGateway:
        gateway = RunningGateway(self, self.folder / "running")
        self.feeds.append(gateway.feed)
        return gateway

    def end(self) -> None:
        for feed in self.feeds:
            feed.stopService()
        self.database.close()
        for server in self.servers:
            server.delete()


@pytest.fixture(name="company")
def _company(tmp_path: Path) -> Iterator[Company]:
    company = Company(tmp_path)
    yield company
    company.end()


def copied_back(company: Company) -> Callable[[], None]:
    """Copy the server's files; returns what puts the copy in their place."""
    return company.server.copy()


def promoted(company: Company) -> Callable[[], None]:
    """Make a standby, which gets nothing more; returns what has the standby take over from a primary that is lost."""
    standby = company.server.standby(company.ports[1])
    company.servers.append(standby)
    standby.execute("ALTER SYSTEM SET primary_conninfo = ''")
    standby.execute("SELECT pg_reload_conf()")
    following = "SELECT pid FROM pg_stat_replication"
    wait_until(lambda: company.server.execute(following) == [], "the standby does not follow any more")

    def take_over() -> None:
        company.server.stop(immediately=True)
        standby.execute("SELECT pg_promote()")

    return take_over


def dumped(company: Company) -> Callable[[], None]:
    """Dump the database; returns what restores the dump on the same server, while no gateway runs."""
    dump = company.folder / "dump"
    company.server.run_program("pg_dump", "--format=custom", f"--file={dump}", "company")

    def come_back() -> None:
        options = ("--clean", "--if-exists", "--exit-on-error", "--single-transaction")
        company.server.run_program("pg_restore", *options, "--dbname=company", str(dump))

    return come_back


@pytest.mark.parametrize("loses", [copied_back, promoted])
def test_what_was_lost_is_served_no_more(company: Company, loses: Callable[[Company], Callable[[], None]]) -> None:
    """By nobody: neither by who has read it nor from a cached book, whatever has been synced since."""
    fails = loses(company)
    gone = company.add("Bo Zeh")
    running = company.running_gateway()
    running.wait_for_names(["Ada Riese", "Bo Zeh"])
    assert company.gateway("stopped").names() == ["Ada Riese", "Bo Zeh"]
    lost = company.account().generation
    fails()
    assert running.wait_for_names(["Ada Riese"]) <= TAKEOVER_SECONDS
    company.calls()
    company.world.delete_person(ALICE, gone)
    company.add("Cy Tor")
    assert company.calls()["/v1/people/me/connections"] == 1  # the stored token is as old as the stored contacts
    assert company.account().generation == lost
    running.wait_for_names(["Ada Riese", "Cy Tor"])
    assert company.gateway("stopped").names() == ["Ada Riese", "Cy Tor"]


@pytest.mark.parametrize("loses", [promoted, dumped])
def test_a_book_of_a_lost_generation(company: Company, loses: Callable[[Company], Callable[[], None]]) -> None:
    """The numbers of generations come again; a gateway that starts does not take its cached book for another one's."""
    fails = loses(company)
    gone = company.add("Bo Zeh")
    lost = company.account().generation
    assert company.gateway("stopped").names() == ["Ada Riese", "Bo Zeh"]
    company.database.close()
    fails()
    company.database.open()
    company.world.delete_person(ALICE, gone)
    company.add("Cy Tor")
    assert company.account().generation == lost
    assert company.gateway("stopped").names() == ["Ada Riese", "Cy Tor"]


def test_a_restart_is_no_failover(company: Company) -> None:
    """Nothing is built anew where nothing was lost."""
    gateway = company.gateway("running")
    gateway.names()
    before = gateway.catalog.snapshot.dit.directories
    company.server.stop(immediately=True)
    company.server.start()

    def is_back() -> bool:
        try:
            return gateway.names() == ["Ada Riese"]
        except StoreError:
            return False

    wait_until(is_back, "the server answers", TAKEOVER_SECONDS)
    assert gateway.catalog.snapshot.dit.directories == before
