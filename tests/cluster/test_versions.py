# SPDX-License-Identifier: MIT
"""Gateways of several versions on one PostgreSQL: an upgrade of one after the other, and what a newer version may do.

A newer version is a copy of this one with one more migration.  One process cannot import two versions of the package.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

import ldapgw
from ldapgw.store.database import revisions
from tests.support.postgresql import needs_postgresql
from tests.support.site.cluster import ALICE, Cluster, running_cluster
from tests.support.site.line import Phone
from tests.support.site.running import PATIENCE, Process, Site, wait_until

pytestmark = [needs_postgresql, pytest.mark.long]

PAUSE = 0.01
NEXT, LATER = "9001", "9002"
MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = {revision!r}, {before!r}
{more}

def upgrade():
    {statement}
"""
EXPANDS = {NEXT: ("", 'op.add_column("account", sa.Column("motto", sa.String()))')}
# Gateways of the version in between do not read what is dropped.
CONTRACTS = {**EXPANDS, LATER: (f"readable_from = {NEXT!r}", 'op.drop_column("account", "motto")')}


def newer(folder: Path, version: str, migrations: dict[str, tuple[str, str]]) -> Path:
    """A folder with another version of the package, to which some migrations were added."""
    [source] = ldapgw.__path__
    shutil.copytree(source, folder / "ldapgw", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    init = folder / "ldapgw" / "__init__.py"
    init.write_text(init.read_text().replace(f'"{ldapgw.__version__}"', f'"{version}"'))
    before = revisions()[0]
    for revision, (more, statement) in migrations.items():
        file = folder / "ldapgw" / "store" / "migrations" / "versions" / f"{revision}_more.py"
        file.write_text(MIGRATION.format(revision=revision, before=before, more=more, statement=statement))
        before = revision
    return folder


def command(site: Site, place: Path | None, *arguments: str) -> list[str]:
    """A command of the package in a folder; None: of this one."""
    return ["env", f"PYTHONPATH={place}", *site.command(*arguments)] if place else site.command(*arguments)


def run(site: Site, place: Path, *arguments: str) -> Process:
    """A command that was run to its end."""
    done = Process(command(site, place, *arguments), site.folder / "command.log", site.folder)
    done.wait()
    return done


class Upgrades:
    """A cluster whose gateways are stopped and started again in other versions."""

    def __init__(self, cluster: Cluster, gateways: Sequence[Process], stack: ExitStack) -> None:
        self.cluster = cluster
        self.gateways = list(gateways)
        self._stack = stack

    def replace(self, position: int, place: Path | None, name: str) -> None:
        """Restart a gateway in another version."""
        site = self.cluster.sites[position]
        assert self.gateways[position].end() == 0
        self.gateways[position] = self._stack.enter_context(site.running(command(site, place, "run"), name))
        wait_until(lambda: site.ldapsearch("-s", "base")[0] == 0, "the gateway knows the phone")

    def versions(self) -> list[str]:
        return sorted(one["version"] for one in self.cluster.known() if one["alive"])

    def changes_are_found(self) -> None:
        """One of the contacts, which a sync writes, and a phone that a command adds and removes, at all gateways."""
        cluster = self.cluster
        wait_until(lambda: len(cluster.syncing()) == 1, "one syncs")
        cluster.office.edit()
        assert cluster.office.site.ldapgw("sync", ALICE, "--wait").returncode == 0
        wait_until(cluster.all_find, "every gateway finds the change")
        cluster.office.site.add_phone("hall")
        self._all_answer("hall", 0)
        assert cluster.office.site.ldapgw("phones", "remove", "hall", "--yes").returncode == 0
        self._all_answer("hall", 49)

    def _all_answer(self, phone: str, code: int) -> None:
        """Wait until a phone gets the same result of its sign-in at all gateways."""
        sites = self.cluster.sites
        wait_until(lambda: {one.ldapsearch("-s", "base", phone=phone)[0] for one in sites} == {code}, f"{code} for all")


@contextmanager
def upgrades(folder: Path, count: int) -> Iterator[Upgrades]:
    with running_cluster(folder, count) as (cluster, gateways), ExitStack() as stack:
        yield Upgrades(cluster, gateways, stack)


class Caller:
    """A phone that searches all the time, on a connection of its own, at one gateway after the other.

    It goes to another one when the connection ends, as behind a proxy.

    :ivar searches: that found the book.
    :ivar failures: what went wrong otherwise.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._search)
        self.searches = 0
        self.failures: list[str] = []

    def __enter__(self) -> Caller:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(PATIENCE)

    def _search(self) -> None:
        sites, password = self._cluster.sites, self._cluster.office.site.phones["desk1"]
        at = 0
        while not self._stopped.is_set():
            at += 1
            refused = 0
            while refused < len(sites):
                try:
                    phone = Phone(sites[at % len(sites)].ldap_port, "desk1", password)
                    break
                except ConnectionRefusedError:
                    at, refused = at + 1, refused + 1
            else:
                self.failures.append("no gateway answers")
                return
            with suppress(OSError):
                self._use(phone)
            phone.close()

    def _use(self, phone: Phone) -> None:
        """Ten searches, or as many as the gateway answers that ends."""
        for _ in range(10):
            try:
                found = phone.read(f"ou={ALICE},dc=acme,dc=example")
            except AssertionError as error:
                if "closed the connection" not in str(error):
                    self.failures.append(str(error))
                return
            if not found:
                self.failures.append("an empty book")
            self.searches += 1
            if self._stopped.wait(PAUSE):
                return


@pytest.mark.soak
def test_gateways_are_upgraded_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Phones are served all the time, changes reach all gateways, and the old version starts again on the new tables.

    Tables lose what the old version needs once no gateway of the old version lives.
    """
    following = newer(tmp_path / "next", "9.1", EXPANDS)
    later = newer(tmp_path / "later", "9.2", CONTRACTS)
    with upgrades(tmp_path, 3) as world, Caller(world.cluster) as caller:
        own = ldapgw.__version__
        world.changes_are_found()
        world.replace(2, following, "next")
        assert world.versions() == [own, own, "9.1"]
        world.changes_are_found()
        refused = run(world.cluster.sites[2], later, "accounts")
        assert refused.status == 1
        assert "nothing was changed" in refused.said
        world.replace(1, None, "again")
        assert world.versions() == [own, own, "9.1"]
        world.changes_are_found()
        world.replace(1, following, "next")
        refused = run(world.cluster.sites[2], later, "accounts")
        assert refused.status == 1
        world.replace(0, following, "next")
        assert world.versions() == ["9.1"] * 3
        world.replace(0, later, "later")
        # Commands of this version are refused now: they are processes of the later version from here on.
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PYTHONPATH", str(later))
        monkeypatch.setattr(Site, "ldapgw", Site.process)
        assert world.versions() == ["9.1", "9.1", "9.2"]
        world.changes_are_found()
    assert caller.failures == []
    assert caller.searches > 100
    for gateway in world.gateways:
        assert "Traceback" not in gateway.said
