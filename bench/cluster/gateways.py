# SPDX-License-Identifier: MIT
"""Gateways on one PostgreSQL: what they serve together, when a change is found at all of them, and who takes over."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from bench.asking import NUMBERS, SUBTREE, Asked, equality, one_of
from bench.directory.servers import BASE, Variant, gateway, knows
from bench.load import Load, Round, percentile
from bench.people import Person, person
from bench.phone import Phone, Target
from bench.process import Server, postgresql
from bench.report import Figure, say
from bench.seed import OWNER, alone, records, seed
from ldapgw.contact import Source
from ldapgw.store import accounts, contacts, gateways, sync_state
from ldapgw.store.database import Database
from ldapgw.store.engines import database_at
from tests.support import pdu

# A change is to be found everywhere, and a gateway that was killed to be replaced (seconds).
VISIBLE_GOAL = 2.0
FAILOVER_GOAL = 3.0
PATIENCE = 60.0
_PAUSE = 0.002
_CACHE = "images"
# Those of `alone`.
_BOOKS = 2


@dataclass
class Gateways:
    """Gateways that run, with a state directory each.

    :ivar homes: of all, those that do not run at the moment too.
    :ivar servers: by home.
    """

    url: str
    contacts: int
    homes: Sequence[Path]
    servers: dict[Path, Server]
    stacks: dict[Path, ExitStack]

    def start(self, home: Path) -> None:
        """Start one, and wait until it answers."""
        stack = self.stacks[home] = ExitStack()
        self.servers[home] = stack.enter_context(gateway(home, knows(self.contacts - 1), Variant(database=self.url)))

    def kill(self, home: Path) -> None:
        """Have one end as in a crash."""
        os.kill(self.servers.pop(home).pid, signal.SIGKILL)
        with suppress(AssertionError):  # it has not ended as it should
            self.stacks.pop(home).close()

    def syncing(self) -> Path:
        """The home of the one that syncs, as its log tells last."""
        taken, ended = "this gateway syncs from now on", "this gateway does not sync any more"
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            for home in self.servers:
                said = (home / "log").read_text()
                if said.rfind(taken) > said.rfind(ended):
                    return home
            time.sleep(0.05)
        raise TimeoutError("no gateway syncs")


@contextmanager
def running(folder: Path, count: int, contacts_: int) -> Iterator[Gateways]:
    """So many gateways; all but the first start with the book that the first has built."""
    homes = [folder / f"gateway{number}" for number in range(1, count + 1)]
    with postgresql() as (_, url):
        say(f"filling PostgreSQL with {contacts_:,} contacts")
        seed(homes[0] / "state", alone(contacts_), time.time(), url)  # noqa: TID251  the bench is an entry point
        ours = Gateways(url, contacts_, homes, {}, {})
        try:
            for home in homes:
                if home != homes[0]:
                    (home / "state").mkdir(parents=True, mode=0o700)
                    shutil.copy2(homes[0] / "state" / "ldapgw.key", home / "state")
                    shutil.copytree(_cached(homes[0]), home / "state" / _CACHE)
                ours.start(home)
            yield ours
        finally:
            for stack in ours.stacks.values():
                stack.close()


def _cached(home: Path) -> Path:
    """The folder of a gateway's cached books, which it writes soon after it serves them."""
    folder, until = home / "state" / _CACHE, time.monotonic() + PATIENCE
    while len([*folder.glob("*.image")]) < _BOOKS:
        if time.monotonic() > until:
            raise TimeoutError(f"{folder}: has no books")
        time.sleep(0.05)
    return folder


class Loads:
    """The load on several gateways at once, with a thread for each."""

    def __init__(self, folder: Path, count: int) -> None:
        self._loads = []
        for number in range(count):
            made = folder / f"load{number}"
            made.mkdir()
            self._loads.append(Load(made))

    def round(self, servers: Sequence[Server], asked: Asked, seconds: float, connections: int) -> Round:
        """Put so many connections on all of them together; rates are sums, and times are those of the slowest."""

        def one(load: Load, server: Server) -> Round:
            return load.round(server, asked, seconds, max(connections // len(servers), 1))

        with ThreadPoolExecutor(len(servers)) as pool:
            found = list(pool.map(one, self._loads, servers))
        return replace(
            found[0],
            searches_s=sum(each.searches_s for each in found),
            entries_s=sum(each.entries_s for each in found),
            p50=max(each.p50 for each in found),
            p99=max(each.p99 for each in found),
            longest=max(each.longest for each in found),
            errors=sum(each.errors for each in found),
        )


def changes(ours: Gateways, count: int) -> Iterator[Figure]:
    """From the end of a sync's transaction until all gateways find what it has written."""
    database = database_at(ours.url)
    waits, step = [], max(ours.contacts // count, 1)
    try:
        with database.begin() as connection:
            [account] = accounts.find_by_address(connection, OWNER)
        for number in range(count):
            changed = replace(person(number * step % ours.contacts), given=f"Changed{number}")
            waits.append(_seen_everywhere(database, account.id, changed, [*ours.servers.values()]))
            time.sleep(0.05)
    finally:
        database.close()
    waits.sort()
    load = f"{count} changes, {len(ours.servers)} gateways"
    for part in (50, 99):
        seconds = percentile(waits, part)
        goal = f"≤ {VISIBLE_GOAL:g} s"
        yield Figure(load, f"found everywhere, p{part}", f"{seconds:.2f} s", goal, met=seconds <= VISIBLE_GOAL)


def _seen_everywhere(database: Database, account_id: int, changed: Person, servers: Sequence[Server]) -> float:
    with ThreadPoolExecutor(len(servers)) as pool:
        seen = [pool.submit(_seen, server.target, changed) for server in servers]
        with database.begin() as connection:
            accounts.lock(connection, account_id)
            contacts.apply_changes(connection, account_id, Source.CONTACTS, records([changed]), ())
            sync_state.increment_generation(connection, account_id)
        committed = time.monotonic()
        return max(max(one.result() for one in seen) - committed, 0.0)


def _seen(target: Target, changed: Person) -> float:
    """When a phone finds the person as changed."""
    either = one_of(*(equality(name, changed.phones[0][1]) for name in NUMBERS))
    until = time.monotonic() + PATIENCE
    with Phone(target) as phone:
        phone.bind()
        request = pdu.message(2, pdu.search(BASE, SUBTREE, either, ("givenName",)))
        while time.monotonic() < until:
            for answer in phone.ask(request):
                if ("givenName", (changed.given.encode(),)) in answer.attributes:
                    return time.monotonic()
            time.sleep(_PAUSE)
    raise TimeoutError("a change is not found")


def failovers(ours: Gateways, count: int) -> Iterator[Figure]:
    """From the kill of the gateway that syncs until another one does, and what phones at the others notice."""
    database = database_at(ours.url)
    waits, failed, asked = [], 0, 0
    try:
        for number in range(count):
            say(f"failover {number + 1} of {count}")
            home = ours.syncing()
            before = _leaders(database)
            ours.kill(home)
            killed = time.monotonic()
            while _leaders(database) <= before:
                if time.monotonic() > killed + PATIENCE:
                    raise TimeoutError("no gateway takes over")
                for server in ours.servers.values():
                    asked += 1
                    failed += not _answers(server.target, ours.contacts)
                time.sleep(0.02)
            waits.append(time.monotonic() - killed)
            ours.start(home)
    finally:
        database.close()
    load, goal = f"{count} × kill -9 of {len(ours.servers)}", f"≤ {FAILOVER_GOAL:g} s"
    for name, wait in (("median", median(waits)), ("longest", max(waits))):
        yield Figure(load, f"another one syncs, {name}", f"{wait:.1f} s", goal, met=wait <= FAILOVER_GOAL)
    text = f"{failed} of {asked:,}"
    yield Figure(load, "failed logins or searches at the others", text, "0", met=not failed)


def _leaders(database: Database) -> set[str]:
    """The ids of the gateways that sync, or synced when they were last heard of."""
    with database.begin_read() as connection:
        return {one.info.id for one in gateways.read_all(connection) if one.info.is_leader}


def _answers(target: Target, count: int) -> bool:
    try:
        return knows(count - 1)(target)
    except OSError:
        return False
