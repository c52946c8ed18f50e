# SPDX-License-Identifier: MIT
"""Several gateways on one PostgreSQL, and both engines: searches, changes, failures, transactions and starts."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from statistics import median

from msgspec import structs

from bench.asking import NUMBERS, WORKLOADS, Asked, any_of, search
from bench.load import Load, Round
from bench.people import Person, person
from bench.phone import PAUSE, Phone, Target
from bench.report import Figure, judged, percentile, say
from bench.seed import OWNER, Account, alone, records, seed
from bench.servers import BASE, Server, Variant, gateway, is_right, knows, postgresql
from bench.sync import database_of, starts_figure
from ldapgw.contact import Source
from ldapgw.server.state_dir import KEY_FILE
from ldapgw.store import accounts, contacts, sync_state
from ldapgw.store.contact_record import ContactRecord
from ldapgw.store.database import Database
from ldapgw.store.logins_file import LOGINS_FILE
from ldapgw.sync.book_cache import FOLDER
from tests.support.site.running import wait_until

# The multiple of SQLite's time that the transaction of a sync may take.
_COMMIT_GOAL = "≤ 1.5 × SQLite"
_PATIENCE = 600.0
# Connections that have one open search each.
_CONNECTIONS = 16
_LOADS = ("prefix", "reverse", "substring", "list", "bind")
# The part of the book from which the words of the searches come.
_SAMPLE = 20_000
_STARTS = 3


def measure(given: argparse.Namespace, folder: Path) -> Iterator[Figure]:
    return chain.from_iterable(PARTS[part](folder / part, given) for part in given.only)


def _copy_books(first: Path, home: Path, contacts_: int) -> None:
    """Give a new gateway the key and the cached books of the first one, which saves books soon after it serves them."""
    cache, count = first / "state" / FOLDER, len(alone(contacts_))
    wait_until(lambda: len([*cache.glob("*.image")]) == count, "all books are saved", _PATIENCE)
    (home / "state").mkdir(parents=True, mode=0o700)
    shutil.copy2(first / "state" / KEY_FILE, home / "state")
    shutil.copytree(cache, home / "state" / FOLDER)


# --- gateways ---


@dataclass
class _Gateways:
    """Gateways that run, with a state directory each.

    Mutable: gateways are killed and started.

    :ivar homes: the folders of all gateways, including those that do not run at the moment.
    :ivar servers: the running gateways, by their folders.
    """

    url: str
    contacts: int
    homes: Sequence[Path]
    servers: dict[Path, Server]
    stacks: dict[Path, ExitStack]

    def start(self, home: Path) -> None:
        """Start a gateway, and wait until it answers."""
        stack = self.stacks[home] = ExitStack()
        self.servers[home] = stack.enter_context(gateway(home, knows(self.contacts - 1), Variant(database=self.url)))

    def kill(self, home: Path) -> None:
        """End a gateway as a crash does."""
        os.kill(self.servers.pop(home).pid, signal.SIGKILL)
        with suppress(AssertionError):  # raised because the process has ended before its block
            self.stacks.pop(home).close()

    def leader(self) -> Path | None:
        """Return the folder of the gateway that syncs, by the last words of its log, or None."""
        taken, ended = "this gateway syncs from now on", "this gateway does not sync any more"
        logs = {home: (home / "log").read_text() for home in self.servers}
        return next((home for home, said in logs.items() if said.rfind(taken) > said.rfind(ended)), None)


@contextmanager
def _running(folder: Path, count: int, contacts_: int) -> Iterator[_Gateways]:
    """Run so many gateways; the first one builds the book, and the others start with it."""
    homes = [folder / f"gateway{number}" for number in range(1, count + 1)]
    with postgresql() as (_, url):
        say(f"filling PostgreSQL with {contacts_:,} contacts")
        seed(homes[0] / "state", alone(contacts_), database=url)
        ours = _Gateways(url, contacts_, homes, {}, {})
        try:
            for home in homes:
                if home != homes[0]:
                    _copy_books(homes[0], home, contacts_)
                ours.start(home)
            yield ours
        finally:
            for stack in ours.stacks.values():
                stack.close()


def _together(folder: Path, given: argparse.Namespace) -> Iterator[Figure]:
    """Measure rates of one, two and three gateways together, then changes, and failures of the gateway that syncs."""
    counts = [int(count) for count in given.gateways.split(",")]
    found: dict[tuple[str, int], list[Round]] = {(name, count): [] for name in _LOADS for count in counts}
    people = [person(number) for number in range(min(given.contacts, _SAMPLE))]
    with _running(folder, max(counts), given.contacts) as ours:
        engines = [Load(home) for home in ours.homes]
        servers = [ours.servers[home] for home in ours.homes]
        for number in range(given.rounds):
            say(f"gateways, round {number + 1} of {given.rounds}")
            for name in _LOADS:
                asked = WORKLOADS[name].asked(BASE, people)
                for count in [*counts[number % len(counts) :], *counts[: number % len(counts)]]:
                    found[name, count].append(_spread(engines, servers[:count], asked, given.seconds))
        for (name, count), rounds in found.items():
            rate, first = (_rate(name, one) for one in (rounds, found[name, counts[0]]))
            text = f"{rate:,.0f}, {rate / first:.2f} × {counts[0]}, p99 {median(one.p99 for one in rounds):.1f} ms"
            unit = "entries" if WORKLOADS[name].whole else "searches"
            yield Figure(WORKLOADS[name].title, f"{unit} a second, gateways: {count}", text)
        errors = sum(one.errors for rounds in found.values() for one in rounds)
        yield Figure("all of these", "searches that failed", f"{errors}", "0", met=not errors)
        yield from _changes(ours, given.changes)
        yield from _failovers(ours, given.kills)


def _rate(name: str, rounds: Sequence[Round]) -> float:
    return median(one.entries_s if WORKLOADS[name].whole else one.searches_s for one in rounds)


def _spread(engines: Sequence[Load], servers: Sequence[Server], asked: Asked, seconds: float) -> Round:
    """Put the load on all servers together; rates are sums, and times are those of the slowest server."""

    def load(engine: Load, server: Server) -> Round:
        return engine.round(server, asked, seconds, max(_CONNECTIONS // len(servers), 1))

    with ThreadPoolExecutor(len(servers)) as pool:
        found = list(pool.map(load, engines, servers))
    sums = {name: sum(getattr(each, name) for each in found) for name in ("searches_s", "entries_s", "errors")}
    return replace(found[0], **sums, p99=max(each.p99 for each in found))


def _changes(ours: _Gateways, count: int) -> Iterator[Figure]:
    """Measure from the end of a sync's transaction until all gateways find its change."""
    load, step = f"{count} changes, {len(ours.servers)} gateways", max(ours.contacts // count, 1)
    waits = []
    with database_of(ours.homes[0], ours.url) as database:
        with database.begin() as connection:
            [account] = accounts.find_by_address(connection, OWNER)
        for number in range(count):
            changed = replace(person(number * step % ours.contacts), given=f"Changed{number}")
            waits.append(_seen_everywhere(database, account.id, changed, [*ours.servers.values()]))
            time.sleep(0.05)
    for part in (50, 99):
        yield judged(load, f"found everywhere, p{part}", percentile(sorted(waits), part), "≤ 2 s", digits=2)


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
    """Return when a phone finds the person as changed."""
    request = search(BASE, any_of(NUMBERS, changed.phones[0][1]), attributes=("givenName",))
    until = time.monotonic() + _PATIENCE
    with Phone(target) as phone:
        while time.monotonic() < until:
            if any(("givenName", (changed.given.encode(),)) in one.attributes for one in phone.ask(request)):
                return time.monotonic()
            time.sleep(PAUSE)
    raise TimeoutError("a change is not found")


def _failovers(ours: _Gateways, count: int) -> Iterator[Figure]:
    """Measure from the kill of the gateway that syncs until another one does, and what phones at the others notice."""
    waits, answered, known = list[float](), list[bool](), knows(ours.contacts - 1)

    def is_replaced() -> bool:
        answered.extend(is_right(known, server.target) for server in ours.servers.values())
        return ours.leader() is not None

    for number in range(count):
        say(f"failover {number + 1} of {count}")
        home = wait_until(ours.leader, "a gateway syncs", _PATIENCE)
        ours.kill(home)
        killed = time.monotonic()
        wait_until(is_replaced, "another gateway syncs", _PATIENCE)
        waits.append(time.monotonic() - killed)
        ours.start(home)
    load = f"{count} × kill -9 of {len(ours.servers)}"
    for name, wait in (("median", median(waits)), ("longest", max(waits))):
        yield judged(load, f"another one syncs, {name}", wait, "≤ 3 s")
    text = f"{answered.count(False)} of {len(answered):,}"
    yield Figure(load, "failed logins or searches at the others", text, "0", met=all(answered))


# --- transactions ---


def _transactions(folder: Path, given: argparse.Namespace) -> Iterator[Figure]:
    """Measure a sync's transaction on both engines in turn: all contacts are new, then rewritten, then deleted."""
    stored = records(map(person, range(given.contacts)))
    kinds: Mapping[str, tuple[Sequence[ContactRecord], Sequence[str], str]] = {
        "new": (stored, (), _COMMIT_GOAL),
        # The same people with other digests, as after a change.
        "rewritten": ([structs.replace(one, digest=one.digest[::-1]) for one in stored], (), _COMMIT_GOAL),
        "deleted": ((), [one.uid for one in stored], ""),
    }
    found: dict[str, tuple[list[float], list[float]]] = {kind: ([], []) for kind in kinds}
    with postgresql() as (_, url), ExitStack() as stack:
        homes = {"sqlite": "", "postgresql": url}
        opened = [stack.enter_context(_account(folder / home / "state", at)) for home, at in homes.items()]
        for number in range(given.rounds):
            for kind, (written, gone, _) in kinds.items():
                say(f"transaction of {len(stored):,} contacts, {kind}, round {number + 1} of {given.rounds}")
                for (database, account_id), taken in zip(opened, found[kind], strict=True):
                    begun = time.monotonic()
                    with database.begin(exclusively=False) as connection:
                        accounts.lock(connection, account_id)
                        contacts.apply_changes(connection, account_id, Source.CONTACTS, iter(written), gone)
                        contacts.delete_duplicates(connection, account_id)
                        sync_state.increment_generation(connection, account_id)
                    taken.append(time.monotonic() - begun)
    for kind, (_, _, goal) in kinds.items():
        sqlite, server = map(median, found[kind])
        text = f"{server:,.2f} s, {server / sqlite:.2f} × SQLite ({sqlite:,.2f} s)"
        yield judged(f"transaction of {len(stored):,}, {kind}", "PostgreSQL", server / sqlite, goal, text=text)


@contextmanager
def _account(state: Path, url: str) -> Iterator[tuple[Database, int]]:
    """Open a new database with an account; the URL of SQLite's is empty."""
    seed(state, [Account(OWNER, range(0))], database=url)
    with database_of(state.parent, url) as database:
        database.open()
        with database.begin() as connection:
            [account] = accounts.find_by_address(connection, OWNER)
        yield database, account.id


# --- starts ---


def _starts(folder: Path, given: argparse.Namespace) -> Iterator[Figure]:
    """Measure starts on PostgreSQL: with nothing, with another gateway's cached books, and without PostgreSQL."""
    first, is_right = folder / "first", knows(given.contacts - 1)
    homes = [folder / f"other-{number}" for number in range(_STARTS)]

    def start_all(load: str, what: str) -> Figure:
        took, worked = [], []
        for home in homes:
            with gateway(home, is_right, Variant(database=url)) as ours:
                took.append(ours.started)
                worked.append(ours.worked)
                wait_until((home / "state" / LOGINS_FILE).exists, "the logins are saved", _PATIENCE)
        return starts_figure(load, what, took, "≤ 5 s", f", {median(worked):.1f} s of processor time")

    with postgresql() as (server, url):
        say(f"filling PostgreSQL with {given.contacts:,} contacts")
        seed(first / "state", alone(given.contacts), database=url)
        with gateway(first, is_right, Variant(database=url)) as ours:
            yield Figure("first start on PostgreSQL", "builds the books", f"{ours.started:.1f} s")
            for home in homes:
                _copy_books(first, home, given.contacts)
        yield start_all("start of another gateway", "with copied books")
        server.stop()
        yield start_all("start without PostgreSQL", "with a snapshot of logins")


PARTS: Mapping[str, Callable[[Path, argparse.Namespace], Iterator[Figure]]] = {
    "gateways": _together,
    "transactions": _transactions,
    "starts": _starts,
}
