# SPDX-License-Identifier: MIT
"""Several gateways on one PostgreSQL, each a process with a state directory of its own, beside one sandbox Google."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import URL

from ldapgw.google.sandbox.tenant import ALICE
from ldapgw.server.state_dir import KEY_FILE
from tests.support.postgresql import Server, listening
from tests.support.site.office import ON_SERVER as DATABASE
from tests.support.site.office import Office
from tests.support.site.replicas import Office as WrittenOffice
from tests.support.site.running import Process, Site, wait_until


class Cluster:
    """An office whose gateways share a database.

    :ivar office: with the first gateway, and the sandbox.
    :ivar sites: of all gateways.
    """

    def __init__(self, folder: Path, count: int, interval: str = "1h") -> None:
        self._stack = ExitStack()
        self.server = self._stack.enter_context(listening())
        self.office = Office(folder / "1", Random(7), interval, server=self.server)
        first = self.office.site
        self.sites = [first]
        for number in range(2, count + 1):
            (folder / str(number)).mkdir()
            others = {"google": first.google, "database": first.database, "phones": first.phones}
            self.sites.append(Site(folder / str(number), interval, **others))

    def reach_through(self, url: URL) -> None:
        """Have the gateways reach the database at another address."""
        shown = url.set(database=DATABASE).render_as_string(hide_password=False)
        for site in self.sites:
            site.file.write_text(site.file.read_text().replace(site.database, shown))

    @contextmanager
    def running(self) -> Iterator[list[Process]]:
        """All gateways, with Alice connected and a phone that each of them knows."""
        with ExitStack() as stack:
            first = stack.enter_context(self.office.running())
            yield [first, *(stack.enter_context(self.start(site)) for site in self.sites[1:])]

    @contextmanager
    def start(self, site: Site) -> Iterator[Process]:
        """One more gateway; it gets the key of the first."""
        state = site.folder / "state"
        state.mkdir(mode=0o700, exist_ok=True)
        if site is not self.office.site:
            shutil.copy2(self.office.state / "ldapgw.key", state / "ldapgw.key")
        with site.running() as gateway:
            if "desk1" in site.phones:
                wait_until(lambda: site.ldapsearch("-s", "base")[0] == 0, "the gateway knows the phone")
            yield gateway

    def known(self) -> list[dict[str, Any]]:
        """Return the output of ``ldapgw gateways``."""
        done = self.office.site.ldapgw("gateways", "--json")
        assert done.returncode == 0, done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found

    def syncing(self) -> list[str]:
        """The ids of the gateways that sync."""
        return [one["id"] for one in self.known() if one["syncs"]]

    def found(self, site: Site) -> Any:
        """Return the entries that Alice's phone finds at one gateway."""
        first, self.office.site = self.office.site, site
        try:
            return self.office.found()
        finally:
            self.office.site = first

    def all_find(self) -> bool:
        """Return True if all gateways serve the book as it is now."""
        return all(self.found(site) == self.office.now for site in self.sites)

    def close(self) -> None:
        self.office.close()
        self._stack.close()


class Pair:
    """Two sites that share a PostgreSQL, whose accounts have the contacts that a test writes.

    :ivar office: writes contacts, as syncs would.
    """

    def __init__(self, folder: Path, server: Server) -> None:
        server.execute(f"CREATE DATABASE {DATABASE}")
        url = server.url(DATABASE).render_as_string(hide_password=False)
        self.server = server
        self.sites: list[Site] = []
        for name in ("one", "two"):
            (folder / name).mkdir()
            self.sites.append(Site(folder / name, database=url))
        self.office = WrittenOffice(self.sites[0], url)
        self.states = [site.folder / "state" for site in self.sites]

    def add_login(self, name: str, *arguments: str) -> dict[str, str]:
        """Add a phone, or a replica, by the command at the first site."""
        return self.sites[0].add_login(name, *arguments)

    def share_key(self) -> None:
        """Give the second site the key of the first one, which has made it."""
        first, second = self.states
        second.mkdir(mode=0o700)
        shutil.copy2(first / KEY_FILE, second)


World = tuple[Cluster, list[Process]]


@contextmanager
def running_cluster(folder: Path, count: int) -> Iterator[World]:
    """A cluster, all of whose gateways run."""
    with closing(Cluster(folder, count)) as cluster, cluster.running() as gateways:
        yield cluster, gateways


__all__ = ["ALICE", "DATABASE", "Cluster", "Pair", "World", "running_cluster"]
