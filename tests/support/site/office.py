# SPDX-License-Identifier: MIT
"""An office with a real gateway: processes, sockets and files, and a book whose every state is remembered."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from ldapgw.google.sandbox.tenant import ALICE
from tests.support.postgresql import Server
from tests.support.site.company import CONTACTS, Company, Entries, Person, present
from tests.support.site.line import Phone
from tests.support.site.running import PATIENCE, Process, Site, fetch, wait_until
from tests.support.site.visitor import connect

BOOK = f"ou={ALICE},dc=acme,dc=example"
TYPES = ("work", "mobile", "home")
# The name of the database, where a server has it.
ON_SERVER = "office"


@dataclass
class RemoteWorld:
    """The sandbox's world, in another process."""

    site: Site

    def add_person(self, account: str, person: Mapping[str, Any], source: str) -> str:
        added = self.site.turn("add-person", account=account, person=person, source=source)
        return str(added["resourceName"])

    def change_person(self, account: str, name: str, person: Mapping[str, Any]) -> None:
        self.site.turn("change-person", account=account, resourceName=name, person=person)

    def delete_person(self, account: str, name: str) -> None:
        self.site.turn("delete-person", account=account, resourceName=name)

    def move_person(self, account: str, name: str) -> str:
        return str(self.site.turn("move-person", account=account, resourceName=name)["resourceName"])


@dataclass
class Office:
    """Alice's book at the sandbox, her gateway and her phone.

    :ivar server: that has the gateway's database; None: the database is a file.
    :ivar states: all that the book ever was, in order, each as a digest of its entries.
    :ivar now: what it is now.
    :ivar cookie: what Alice is signed in to the page with.
    """

    folder: Path
    random: Random
    interval: str = "1h"
    people: int = 20
    server: Server | None = None
    states: list[int] = field(default_factory=list)
    now: Entries = field(default_factory=dict)
    cookie: str = ""

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        everybody = {person.family: person for person in map(self._person, range(self.people))}
        typed = [present(person.typed(CONTACTS)) for person in everybody.values()]
        if self.server is not None:
            self.server.execute(f"DROP DATABASE IF EXISTS {ON_SERVER} WITH (FORCE)")
            self.server.execute(f"CREATE DATABASE {ON_SERVER}")
        self.site = Site(
            self.folder,
            self.interval,
            people={ALICE: typed},
            size_limit=2 * self.people + 1000,
            database=self.url if self.server else "",
        )
        self.site.start_sandbox()
        self.site.empty_sandbox()
        self.company = Company(RemoteWorld(self.site))  # type: ignore[arg-type]
        for person in self.site.persons(CONTACTS):
            family = person["names"][0]["familyName"]
            self.company.know(ALICE, CONTACTS, person["resourceName"], everybody[family])
        self._note()

    @property
    def state(self) -> Path:
        """The gateway's folder."""
        return self.folder / "state"

    @property
    def database(self) -> Path:
        """The file of the database, where it is one."""
        return self.state / "ldapgw.db"

    @property
    def url(self) -> str:
        """The URL of the database."""
        if self.server is None:
            return f"sqlite:///{self.database}"
        return self.server.url(ON_SERVER).render_as_string(hide_password=False)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Another program keeps the database locked; what others only read can be read."""
        if self.server is None:
            with closing(sqlite3.connect(self.database, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                yield
                other.execute("ROLLBACK")
        else:
            with create_engine(self.url, poolclass=NullPool).begin() as other:
                other.exec_driver_sql("LOCK TABLE account, schema_version IN EXCLUSIVE MODE")
                yield

    @contextmanager
    def running(self, name: str = "gateway") -> Iterator[Process]:
        """The gateway, with Alice connected and her phone added when it is the first time."""
        with self.site.running(name=name) as gateway:
            if not self.site.phones:
                # A proxy before the gateway may not know yet that the gateway is ready.
                wait_until(lambda: fetch(self.site.page)[0] == 200, "the page is served")
                self.cookie = connect(self.site.page, ALICE)
                # In an office that syncs all the time there may be no moment without one.
                synced = partial(self.site.figure, "ldapgw_oldest_sync_timestamp_seconds", tenant="acme")
                wait_until(synced, "a good sync", PATIENCE + self.people / 40)
                self.site.add_phone()
            yield gateway

    def edit(self) -> None:
        """One change of the book."""
        names = self.company.names(ALICE, CONTACTS)
        what = self.random.random()
        if what < 0.15 or len(names) < 10:
            self.company.add(ALICE, CONTACTS, self._person(self.random.randrange(1000)))
        elif what < 0.25 and len(names) > self.people // 2:
            self.company.delete(ALICE, CONTACTS, self.random.choice(names))
        elif what < 0.3:
            self.company.move(ALICE, self.random.choice(names))
        else:
            self.company.change(ALICE, CONTACTS, self.random.choice(names), self._person(self.random.randrange(1000)))
        self._note()

    def phone(self) -> Phone:
        """A connection of Alice's phone."""
        return Phone(self.site.ldap_port, "desk1", self.site.phones["desk1"])

    def found(self) -> Entries:
        """Return the entries that her phone finds, on a new connection."""
        phone = self.phone()
        try:
            return phone.read(BOOK)
        finally:
            phone.close()

    def which(self) -> int:
        """Return the number of the book's state that her phone finds; of equal states, the last one counts."""
        found = self.found()
        same = [at for at, state in enumerate(self.states) if state == _digest(found)]
        assert same, f"a mixture: {len(found)} entries, {len(self.now)} at last"
        return same[-1]

    def sync(self) -> None:
        """``ldapgw sync --wait``, which has to go well; then the phone finds what the book holds."""
        done = self.site.ldapgw("sync", ALICE, "--wait")
        assert done.returncode == 0, done.stderr
        assert self.found() == self.now

    def close(self) -> None:
        self.site.end_sandbox()

    def _note(self) -> None:
        self.now = self.company.book(ALICE)[""]
        self.states.append(_digest(self.now))

    def _person(self, at: int) -> Person:
        lasts = self.random.sample(range(100, 1000), self.random.randrange(1, 4))
        numbers = tuple(zip(TYPES, lasts, strict=False))
        return Person(self.random.choice(["Jörg", "Ida", "Zoë"]), f"Person {at}", numbers=numbers)


def _digest(entries: Entries) -> int:
    """Return a digest of a book, because hundreds of books with thousands of entries cannot all be kept."""
    return hash(frozenset((uid, frozenset(entry.items())) for uid, entry in entries.items()))
