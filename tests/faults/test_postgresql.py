# SPDX-License-Identifier: MIT
"""A database server that ends, breaks off or is silent under a running gateway.

As with a disk (`tests.faults.test_disk`): one line in the log, phones find what they found before, and once the server
is back everything goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from ldapgw.google.sandbox.tenant import ALICE
from tests.faults.office import ON_SERVER, Office
from tests.faults.test_disk import Running
from tests.support.postgresql import Server, needs_postgresql

pytestmark = [needs_postgresql, pytest.mark.long]


@pytest.fixture(scope="module", name="running")
def _running(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Iterator[Running]:
    """One gateway for all of it, whose database is on the server; its folder has no database."""
    office = Office(tmp_path_factory.mktemp("office"), Random(7), server=server)
    try:
        with office.running() as gateway:
            running = Running(office, gateway)
            assert not (office.state / "ldapgw.db").exists()
            yield running
            running.phone.close()
    finally:
        office.end()


@pytest.mark.parametrize("immediately", [True, False], ids=["crash", "end"])
def test_away_and_back(running: Running, server: Server, immediately: bool) -> None:
    """Pages and commands say so; nothing is lost, and what comes afterwards is found."""
    with running.trouble("cannot be reached"):
        server.stop(immediately=immediately)
        running.is_told()
        assert "cannot be reached" in running.refused("accounts")
        server.start()


def test_connections_that_are_broken_off(running: Running, server: Server) -> None:
    """Each transaction is tried again on a new connection: nobody notices."""
    running.office.edit()
    said = len(running.gateway.said)
    server.execute("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = 'office'")
    running.office.sync()
    running.before = running.office.now
    running.serves()
    assert "Traceback" not in running.gateway.said[said:]
    assert "from memory" not in running.gateway.said[said:]


@pytest.mark.soak
def test_locked_by_another_session(running: Running) -> None:
    """What is only read can be read; a command gives up after ten seconds with a line."""
    office, said = running.office, len(running.gateway.said)
    with office.locked():
        assert "canceling statement due to lock timeout" in running.refused("sync", ALICE)
        assert office.site.ldapgw("accounts").returncode == 0
        running.serves()
    office.edit()
    office.sync()
    running.before = office.now
    running.serves()
    assert "Traceback" not in running.gateway.said[said:]


def test_dropped_and_restored(running: Running, server: Server) -> None:
    """A backup is put into a new database while the gateway runs: contacts, consent and phone are there."""
    office, backup = running.office, running.office.folder / "backup.db"
    assert office.site.ldapgw("backup", str(backup), "--yes").returncode == 0
    # While it is restored it has no tables yet, or not all of them, and then no rows.
    with running.trouble('"office" does not exist', also=('relation "', "is empty, and was not before")):
        server.execute(f"DROP DATABASE {ON_SERVER} WITH (FORCE)")
        running.is_told()
        assert "does not exist" in running.refused("accounts")
        server.execute(f"CREATE DATABASE {ON_SERVER}")
        done = office.site.ldapgw("restore", str(backup), "--yes")
        assert done.returncode == 0, done.stderr
