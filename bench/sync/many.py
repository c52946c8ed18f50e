# SPDX-License-Identifier: MIT
"""Thousands of accounts: what a look at the database, changes and the usual syncs cost, and what a phone notices."""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from sqlalchemy import update

from bench.directory.servers import BASE, COMPILED, LOGIN, knows
from bench.people import person, resource
from bench.phone import Target
from bench.process import Server, postgresql, running
from bench.report import Figure, say
from bench.seed import PHONE, REGION, SECRET, SYNC_TOKEN, TENANT
from bench.sync.runs import P99_GOAL, Scale, google, turn_figure
from bench.sync.watching import Watch, Watcher
from ldapgw.contact import Sharing, Source
from ldapgw.directory.passwords import hash_password
from ldapgw.google.oauth import SCOPE_OF
from ldapgw.google.people import fingerprint as label_fingerprint
from ldapgw.server.state_dir import DATABASE_FILE, OpenStateDir, StateDir
from ldapgw.store import accounts, contacts, phones, sync_state, tables
from ldapgw.store.accounts import NewGrant, SourceState
from ldapgw.store.contacts import ContactRecord
from ldapgw.store.database import Database
from ldapgw.store.engines import database_at
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.store.sync_state import LabelState, SyncState
from ldapgw.sync.account_state import read_changes
from ldapgw.sync.book_cache import FOLDER
from ldapgw.sync.fetch import SourceQuery
from ldapgw.sync.records import decode_persons, encode_page
from tests.support.checkout import ROOT
from tests.support.site.running import free_ports

LOOK_GOAL = 20.0
TURN_GOAL = 20.0
START_GOAL = 15.0
MEMORY_GOAL = 450.0
# Milliseconds of processor time for a sync with nothing new.
SYNC_GOAL = 4.0
SYNC_GOAL_POSTGRESQL = 12.0
INTERVAL = 600
_LATER = 365 * 86400.0
# Books are made of so many different groups of persons.
_GROUPS = 50
_STARTS = 3

_HEAD = """
state_dir = "state"
[ldap]
listen = ["tcp:{port}:interface=127.0.0.1"]
[web]
listen = ["tcp:{web}:interface=127.0.0.1"]
public_url = "http://127.0.0.1:{web}"
[sync]
interval = "{interval}s"
[google]
calls_per_minute = 600
authorization_endpoint = "http://127.0.0.1:{google}/auth"
token_endpoint = "http://127.0.0.1:{google}/token"
revocation_endpoint = "http://127.0.0.1:{google}/revoke"
people_api = "http://127.0.0.1:{google}"
issuer = "http://127.0.0.1:{google}"
"""
_TENANT = """
[[tenant]]
name = "{name}"
base_dn = "{base}"
client_id = "{number}-nobody.apps.googleusercontent.com"
client_secret = "nothing"
allowed_users = ["@{name}.example"]
"""


@dataclass(frozen=True)
class Many:
    """How many of everything.

    :ivar contacts: of each account.
    :ivar logins: phones of each account.
    :ivar seconds: of each part that is measured for a time.
    """

    accounts: int
    contacts: int
    tenants: int
    logins: int
    changes: int
    seconds: float


FULL = Many(accounts=10_000, contacts=20, tenants=50, logins=2, changes=100, seconds=60.0)
QUICK = Many(accounts=60, contacts=3, tenants=3, logins=2, changes=5, seconds=2.0)


@dataclass(frozen=True)
class Home:
    """Where a gateway has its files and its database.

    :ivar url: of the database; empty: SQLite in the folder ``state``.
    """

    folder: Path
    url: str = ""

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @contextmanager
    def database(self) -> Iterator[Database]:
        database = database_at(self.url or f"sqlite:///{self.state / DATABASE_FILE}")
        yield database
        database.close()


def many(folder: Path, scale: Scale, size: Many, *, on_postgresql: bool = False) -> Iterator[Figure]:
    """Start, look, changes, and an interval's syncs."""
    place = Path(tempfile.mkdtemp(dir=folder))
    with postgresql() if on_postgresql else nullcontext((None, "")) as (_, url):
        yield from _many(Home(place, url), scale, size)


def _many(home: Home, scale: Scale, size: Many) -> Iterator[Figure]:
    load = f"{size.accounts:,} accounts"
    say(f"{load}: preparing")
    _seed(home, size)
    started, most = [], 0.0
    for number in range(1 + _STARTS):
        say(f"{load}: start")
        with _gateway(home, size, port_of_google=1) as ours:
            started.append(ours.started)
            if not number:
                _until_saved(home, size)
            most = max(most, ours.most_resident if number else 0.0)
    first = started.pop(0)
    text = "first start, which builds the books"
    yield Figure(load, text, f"{first:.1f} s", f"≤ {START_GOAL:g} s", met=first <= START_GOAL)
    middle = sorted(started)[len(started) // 2]
    text = f"{middle:.1f} s ({', '.join(f'{one:.1f}' for one in started)})"
    yield Figure(load, "start", text, f"≤ {START_GOAL:g} s", met=middle <= START_GOAL)
    yield Figure(load, "memory, maximum", f"{most:,.0f} MiB", f"≤ {MEMORY_GOAL:g} MiB", met=most <= MEMORY_GOAL)
    turns = home.folder / "turns"
    with _gateway(home, size, port_of_google=1, program=("bench.programs.metered", str(turns))) as ours:
        yield from _changes(home, size, ours, turns)
    with google(scale) as port:
        _spread(home, size)
        with _gateway(home, size, port_of_google=port, program=("bench.programs.metered", str(turns))) as ours:
            goal = SYNC_GOAL_POSTGRESQL if home.url else SYNC_GOAL
            yield from _steady(load, size, ours, turns, goal)


def _until_saved(home: Home, size: Many) -> None:
    """Wait until all books are in the cache, as they are some minutes after a first start."""
    _change(home, size, 0, 1)
    until, cache = time.monotonic() + 600, home.state / FOLDER
    # The first book that is saved makes the folder.
    while not cache.exists() or len(list(cache.iterdir())) < size.accounts:
        assert time.monotonic() < until, "the books are not saved"
        time.sleep(0.5)


def _changes(home: Home, size: Many, ours: Server, turns: Path) -> Iterator[Figure]:
    load = "one change"
    watcher = Watcher(ours.target, [person(at) for at in range(1000)])
    time.sleep(size.seconds / 6)  # what a start has left to do is done
    say(load)
    before = worked(ours.pid)
    time.sleep(size.seconds / 3)
    idle = (worked(ours.pid) - before) / (size.seconds / 3)
    looks = max(3, int(size.seconds / 3))
    before, begun = worked(ours.pid), time.monotonic()
    for number in range(looks):
        _change(home, size, number, 1)
        time.sleep(1.5)
    each = (worked(ours.pid) - before - idle * (time.monotonic() - begun)) / looks * 1000
    yield Figure(load, "processor time for the change", f"{each:.1f} ms", f"≤ {LOOK_GOAL:g} ms", met=each <= LOOK_GOAL)
    reads = _reads(home, size, looks)
    text = f"{median(reads):.1f} ms, {max(reads):.1f} at most"
    yield Figure(load, "reading it from the database", text, f"≤ {LOOK_GOAL:g} ms", met=median(reads) <= LOOK_GOAL)
    yield turn_figure(load, turns, Watch(begun, time.monotonic()), TURN_GOAL)
    say("nothing happens")
    quiet = watcher.quiet(size.seconds / 6)
    load = f"{size.changes} changes"
    say(load)
    watch = watcher.until_done(lambda: _change(home, size, 1000, size.changes), size.seconds / 6)
    times = watch.milliseconds(99) / quiet.milliseconds(99)
    yield Figure("no change", "search, p99", f"{quiet.milliseconds(99):.1f} ms")
    text = f"{watch.milliseconds(99):.1f} ms, {times:.1f} × idle"
    yield Figure(load, "search, p99", text, f"≤ {P99_GOAL:g} × idle", met=times <= P99_GOAL)
    yield turn_figure(load, turns, watch, TURN_GOAL)


def _steady(load: str, size: Many, ours: Server, turns: Path, goal: float) -> Iterator[Figure]:
    load = f"{load} every {INTERVAL // 60} minutes"
    say(load)
    time.sleep(size.seconds / 6)
    before, begun = worked(ours.pid), time.monotonic()
    time.sleep(size.seconds)
    ended = time.monotonic()
    part = (worked(ours.pid) - before) / (ended - begun)
    each = part * INTERVAL / size.accounts * 1000
    yield Figure(load, "processor time, part of a core", f"{part * 100:.1f} %")
    yield Figure(load, "processor time for each sync", f"{each:.1f} ms", f"≤ {goal:g} ms", met=each <= goal)
    yield turn_figure(load, turns, Watch(begun, ended), TURN_GOAL)


def worked(pid: int) -> float:
    """Seconds of processor time that all threads of a process have had; those that have ended do not count."""
    tasks = Path(f"/proc/{pid}/task")
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9


@contextmanager
def _gateway(
    home: Home, size: Many, *, port_of_google: int, program: tuple[str, ...] = ("ldapgw",)
) -> Iterator[Server]:
    port, web = free_ports(2)
    file = home.folder / "ldapgw.toml"
    tenants = "".join(
        _TENANT.format(name=_tenant(number), base=_base(number), number=number) for number in range(size.tenants)
    )
    head = _HEAD.format(port=port, web=web, google=port_of_google, interval=INTERVAL)
    file.write_text((f'database = "{home.url}"\n' if home.url else "") + head + tenants)
    place = COMPILED if COMPILED.exists() else ROOT
    command = ["env", f"PYTHONPATH={place}", sys.executable, "-m", *program, "--config", str(file), "run"]
    target = Target(port, 0, BASE, LOGIN, SECRET)
    with running("ldapgw", command, home.folder, target, knows(size.contacts - 1), 300.0, place=place) as server:
        yield server


def _tenant(number: int) -> str:
    return f"t{number}" if number else TENANT


def _base(number: int) -> str:
    return f"dc=t{number},dc=example" if number else BASE


def _seed(home: Home, size: Many) -> None:
    groups = [_records(range(at * size.contacts, (at + 1) * size.contacts)) for at in range(_GROUPS)]
    now = time.time()  # noqa: TID251  the bench is an entry point
    password, later = hash_password(SECRET, os.urandom), now + _LATER
    fingerprint = SourceQuery(Source.CONTACTS, REGION).fingerprint
    labels = LabelState({}, SYNC_TOKEN, label_fingerprint(None))
    state = OpenStateDir(StateDir(home.state, home.url))
    try:
        with state.database.begin() as connection:
            for at in range(size.accounts):
                tenant = _tenant(at % size.tenants)
                address, scopes = f"user{at}@{tenant}.example", frozenset(SCOPE_OF.values())
                grant = NewGrant(str(at), address, scopes, "token", later, "token", None)
                account_id = accounts.connect(
                    connection, state.secret_box, tenant, grant, Sharing.PRIVATE, now, shared_label=""
                )
                assert account_id is not None
                begun = sync_state.begin(connection, account_id)
                assert begun is not None
                sync_state.write_source_states(connection, account_id, {Source.CONTACTS: SourceState.ON})
                sync_token = SyncState(SYNC_TOKEN, fingerprint, later)
                sync_state.set_sync_state(connection, account_id, Source.CONTACTS, sync_token)
                contacts.apply_changes(connection, account_id, Source.CONTACTS, groups[at % _GROUPS], ())
                sync_state.write_label_state(connection, account_id, labels)
                sync_state.increment_generation(connection, account_id)
                sync_state.end(connection, begun, now, later)
                for number in range(size.logins):
                    name = PHONE if at == number == 0 else f"phone{at}-{number}"
                    phones.add(connection, PhoneLogin(name, tenant, account_id, NumberMode.VALUES, password, now))
    finally:
        state.close()


def _records(numbers: range) -> tuple[ContactRecord, ...]:
    batch = encode_page((resource(person(number)) for number in numbers), Source.CONTACTS, REGION, None)
    return tuple(item.record for item in decode_persons(batch.encoded_persons) if item.record)


def _change(home: Home, size: Many, start: int, count: int) -> None:
    """Share some books or make them private again, as commands do: each in a transaction of its own."""
    with home.database() as database:
        for number in range(start, start + count):
            with database.begin() as connection:
                account = accounts.read(connection, 2 + number % (size.accounts - 1))
                assert account is not None
                is_shared = account.sharing is Sharing.SHARED
                accounts.set_sharing(connection, account.id, Sharing.PRIVATE if is_shared else Sharing.SHARED, "")


def _reads(home: Home, size: Many, count: int) -> list[float]:
    """Milliseconds in which what one change has changed is read from the database, as a gateway does."""
    taken = []
    with home.database() as database:
        with database.begin_read() as connection:
            cursor = read_changes(connection, None)[0].cursor
        for number in range(count):
            _change(home, size, number, 1)
            begun = time.perf_counter()
            with database.begin_read() as connection:
                news, _ = read_changes(connection, cursor)
            taken.append((time.perf_counter() - begun) * 1000)
            assert not news.is_whole
            cursor = news.cursor
    return taken


def _spread(home: Home, size: Many) -> None:
    """Let the accounts' syncs be due at all times of an interval."""
    draw, now = random.Random(1), time.time()  # noqa: TID251  the bench is an entry point
    with home.database() as database, database.begin() as connection:
        for account_id in range(1, size.accounts + 1):
            due = update(tables.account).where(tables.account.c.id == account_id)
            connection.execute(due.values(next_sync=now + draw.uniform(0, INTERVAL)))
