# SPDX-License-Identifier: MIT
"""A gateway with 100,000 contacts and cached books soon gives its first right answer after its start.

Times are those that the documentation promises; machines that are busy with something else may miss them.
Only a process shows the time of a whole start.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from ldapgw.contact import Sharing
from ldapgw.server.state_dir import LOGINS_FILE
from ldapgw.sync.book_cache import FOLDER
from tests.support.postgresql import Server, listening, needs_postgresql
from tests.support.site.caller import equal
from tests.support.site.cluster import ALICE, Pair
from tests.support.site.line import Phone
from tests.support.site.replicas import BASE, contact
from tests.support.site.running import Process, Site, fetch, wait_until

pytestmark = [needs_postgresql, pytest.mark.soak]

COUNT = 100_000
ANSWER_SECONDS = 5.0
STARTS = 3
PATIENCE = 600.0


class World(Pair):
    """A gateway that has built and cached a shared book of 100,000 contacts, and another one with a copy of that."""

    def __init__(self, folder: Path, server: Server) -> None:
        super().__init__(folder, server)
        self.office.add_account(ALICE, Sharing.SHARED, map(contact, range(COUNT)))
        self.password = self.add_login("hall")["password"]

    def copy_books(self) -> None:
        self.share_key()
        first, second = self.states
        shutil.copytree(first / FOLDER, second / FOLDER)

    def books(self, site: Site) -> dict[str, int]:
        """The cached books, each with the number of its file, which a book that is written again does not keep."""
        return {file.name: file.stat().st_ino for file in (site.folder / "state" / FOLDER).glob("*.image")}

    def is_right(self, site: Site) -> bool:
        """Return True if a phone that binds finds the last contact."""
        with suppress(OSError, AssertionError), closing(Phone(site.ldap_port, "hall", self.password)) as phone:
            [found] = phone.find(BASE, equal("telephoneNumber", f"+4930{1_000_000 + COUNT - 1}"))
            return dict(found.attributes) == {"cn": (f"Jörg Müller{COUNT - 1:05}".encode(),)}
        return False

    def start(self, site: Site) -> tuple[Process, float]:
        """Start a gateway; it, and seconds until its first right answer."""
        began = time.monotonic()
        gateway = Process(site.command("run"), site.folder / "gateway.log", site.folder)
        wait_until(lambda: self.is_right(site) or gateway.status is not None, "the first right answer", PATIENCE)
        took = time.monotonic() - began
        assert gateway.status is None, gateway.said
        return gateway, took


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> Iterator[World]:
    with listening() as server:
        yield World(tmp_path, server)


def readyz(site: Site) -> tuple[int, str]:
    return fetch(f"http://127.0.0.1:{site.web_port}/readyz")


def test_phones_are_answered_soon(world: World) -> None:
    """With books from another gateway; and without the database, from a snapshot of logins, which readiness tells.

    No book is built again, or written.
    """
    one, two = world.sites
    gateway, built = world.start(one)
    wait_until(lambda: world.books(one), "the book is cached", PATIENCE)
    world.copy_books()
    copied = world.books(two)
    took: list[float] = []
    for _ in range(STARTS):
        (two.folder / "state" / LOGINS_FILE).unlink(missing_ok=True)
        other, seconds = world.start(two)
        took.append(seconds)
        assert readyz(two) == (200, "ready\n")
        wait_until((two.folder / "state" / LOGINS_FILE).exists, "the snapshot of logins is written")
        assert other.end() == 0
    assert gateway.end() == 0
    world.server.stop()
    alone: list[float] = []
    for _ in range(STARTS):
        other, seconds = world.start(two)
        alone.append(seconds)
        assert readyz(two) == (200, "stale\n")
        other.end()
        assert "Traceback" not in other.said
    assert world.books(two) == copied
    told = [" ".join(f"{each:.1f}" for each in times) for times in ([built], took, alone)]
    sys.stdout.write(f"\nbuilds the book: {told[0]} s; copied books: {told[1]} s; without the database: {told[2]} s\n")
    assert max(took) <= ANSWER_SECONDS
    assert max(alone) <= ANSWER_SECONDS
