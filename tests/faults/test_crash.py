# SPDX-License-Identifier: MIT
"""SIGKILL at any moment of syncs: after each start the whole of one committed state, and no consent is asked for.

Only SIGKILL shows what a process leaves behind.
"""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from time import monotonic

import pytest

from ldapgw.directory.passwords import UNKNOWN_LOGIN_HASH
from ldapgw.google.sandbox.app import AUTHORIZATION
from ldapgw.store import phones, sync_state
from ldapgw.store.accounts import SyncRequest
from ldapgw.store.engines import database_at
from ldapgw.store.phones import NumberMode, PhoneLogin
from tests.support.postgresql import Server, needs_postgresql
from tests.support.site.office import ON_SERVER, Office
from tests.support.site.running import Process, fetch, wait_until

# Each starts gateways, and starves, kills or ends them.  The quick test of tests/journeys/test_provisioning kills one.
pytestmark = pytest.mark.long

# A sync a second, so that there is hardly a moment without one.
INTERVAL = "1s"
LONGEST_LIFE = 1.2
# Once a sync has begun, it may be over soon.
SOON = 0.3
FEW = 150
# A listing of several pages, which waits on a file, and a book that a process of its own builds.
MANY = 4000

ENTRIES = PhoneLogin("desk2", "acme", None, NumberMode.ENTRIES, UNKNOWN_LOGIN_HASH, 0.0)


@dataclass
class Hits:
    """The work that was going on when the gateway was killed, each with the number of times."""

    syncs: int = 0
    builds: int = 0


def is_sound(office: Office, copies: Path) -> bool:
    """The database as the killed process has left it, looked at in a copy so that the gateway finds it so too.

    A server goes on without the process, and checks what refers to what itself.

    :returns: whether a sync was running.
    """
    if office.server is not None:
        return is_syncing(office)
    shutil.rmtree(copies, ignore_errors=True)
    copies.mkdir()
    for file in office.state.glob("ldapgw.db*"):
        shutil.copy(file, copies)
    with sqlite3.connect(copies / "ldapgw.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
    return is_syncing(office, copies / "ldapgw.db")


def is_syncing(office: Office, copy: Path | None = None) -> bool:
    """Return True if a sync is running, or was.

    :param copy: of the database's file, to look at instead.
    """
    statement = "SELECT syncing FROM account"
    if office.server is not None:
        [[syncing]] = office.server.execute(statement, ON_SERVER)
    else:
        with closing(sqlite3.connect(copy or office.database)) as connection:
            [[syncing]] = connection.execute(statement).fetchall()
    return bool(syncing)


def is_building(office: Office, gateway: Process) -> bool:
    """Return True if another process is building a book, or the book's image is being written."""
    # Children are known by the thread that has begun them.
    threads = Path(f"/proc/{gateway.pid}/task").glob("*/children")
    children = [child for thread in threads for child in thread.read_text().split()]
    return any((office.state / "images").glob("*.new")) or any(map(_reads_database, children))


def _reads_database(pid: str) -> bool:
    """As the process that builds books does; the one that reads pages does not."""
    try:
        return any(file.readlink().name == "ldapgw.db" for file in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def consents(office: Office) -> int:
    """Count the visits to Google's page."""
    return int(json.loads(fetch(f"{office.site.google}/sandbox/state")[1])["calls"][AUTHORIZATION])


def has_news(time: int) -> bool:
    """Return True if the book changes in this life of the gateway, and not only between two lives.

    While all is listed it does not: pages that were read before a change and after it make a book that never was.
    """
    return time % 3 == 2


def disturb(office: Office, gateway: Process, time: int) -> None:
    """Something that takes the gateway long, another thing in each of its lives; it has begun then."""
    if time % 4 == 0:
        office.site.turn("expire-access-tokens")
    if not has_news(time):
        office.site.turn("expire-sync-tokens")
    if time % 9 == 3:
        transact(office, sync_state.request_sync, 1, SyncRequest.FULL)
    if not has_news(time):
        wait_until(lambda: is_syncing(office), "a sync begins")
    if time % 3 == 1:
        # For a phone that shows one number alone, all of the tenant's books are built anew.
        change = (phones.add, ENTRIES) if time % 2 else (phones.remove, ENTRIES.name)
        transact(office, *change)
        if office.people == MANY and office.server is None:
            wait_until(lambda: is_building(office, gateway), "a process builds the book")


def transact(office: Office, function: Callable[..., object], *args: object) -> None:
    """Do a command's work, without its start."""
    database = database_at(office.url)
    database.run(function, *args)
    database.close()


def _has_come(time: float) -> bool:
    return monotonic() >= time


def crash(office: Office, times: int, copies: Path) -> tuple[list[int], Hits]:
    """Let it be killed so often: which of the book's states was served after each start, and what the kills hit."""
    hits = Hits()
    with office.running() as gateway:
        before = consents(office)
        gateway.end(signal.SIGKILL)
    served = []
    for time in range(times):
        with office.running(f"gateway-{time}") as gateway:
            served.append(office.which())
            if has_news(time):
                # However slow the machine, a state is committed, and what follows are changes alone.
                office.sync()
            disturb(office, gateway, time)
            until = monotonic() + office.random.uniform(0, LONGEST_LIFE if has_news(time) else SOON)
            while has_news(time) and monotonic() < until:
                office.edit()
            wait_until(partial(_has_come, until), "its time has come")
            hits.builds += is_building(office, gateway)
            assert gateway.end(signal.SIGKILL) == -signal.SIGKILL
        hits.syncs += is_sound(office, copies)
        for _ in range(office.random.randrange(1, 8)):
            office.edit()
    with office.running("last"):
        office.which()
        office.sync()
        [account] = office.site.accounts()
        assert account["state"] in ("ok", "syncing")
        assert account["error"] is None
    assert consents(office) == before
    return served, hits


def kill(kills: tuple[int, int], folder: Path, server: Server | None) -> Hits:
    """Time does not go back, and many of the lives are long enough to bring something new.

    :param kills: of a gateway with few contacts, and of one with many.
    """
    hits = Hits()
    for people, times in zip((FEW, MANY), kills, strict=True):
        (folder / str(people)).mkdir()
        with closing(Office(folder / str(people) / "office", Random(5), INTERVAL, people, server=server)) as office:
            served, hit = crash(office, times, folder / "copies")
        assert served == sorted(served)
        assert len(set(served)) > times // 4
        hits = Hits(hits.syncs + hit.syncs, hits.builds + hit.builds)
    assert hits.syncs >= sum(kills) * 2 // 5, hits
    return hits


@pytest.mark.parametrize(
    "kills", [pytest.param((4, 2), id="6"), pytest.param((35, 15), id="50", marks=pytest.mark.soak)]
)
def test_killed_again_and_again(tmp_path: Path, kills: tuple[int, int]) -> None:
    """Many of the kills hit a sync, some a build.  Four lives are one each of those that `disturb` has."""
    assert kill(kills, tmp_path, None).builds >= sum(kills) // 15


@needs_postgresql
@pytest.mark.soak
def test_killed_with_the_database_on_a_server(tmp_path: Path, server: Server) -> None:
    """Many of the kills hit a sync."""
    kill((10, 5), tmp_path, server)
