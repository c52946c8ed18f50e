# SPDX-License-Identifier: MIT
"""A database server that ends, breaks off or is silent under a running gateway.

As with a disk (`tests.faults.test_disk`): one line in the log, phones find what they found before, and once the server
is back everything goes on.  Only a server ends connections, hangs, and comes back.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from random import Random

import pytest

from ldapgw.google.sandbox.tenant import ALICE
from ldapgw.store.database import HANG_SECONDS
from tests.faults.test_disk import Running, running_office
from tests.support.postgresql import Server, needs_postgresql
from tests.support.site.office import ON_SERVER, Office
from tests.support.site.running import wait_until

# Seconds, on a machine that has other work.
PROMPT = 8.0

pytestmark = [needs_postgresql, pytest.mark.long]


@pytest.fixture(scope="module", name="running")
def _running(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Iterator[Running]:
    """One gateway for all of it, whose database is on the server; its folder has no database."""
    with running_office(Office(tmp_path_factory.mktemp("office"), Random(7), server=server)) as running:
        assert not (running.office.state / "ldapgw.db").exists()
        yield running


@pytest.mark.parametrize("immediately", [True, False], ids=["crash", "end"])
def test_away_and_back(running: Running, server: Server, immediately: bool) -> None:
    """Pages and commands say so; nothing is lost, and what comes afterwards is found."""
    with running.trouble("cannot be reached"):
        server.stop(immediately=immediately)
        running.is_told()
        assert "cannot be reached" in running.refused("accounts")
        server.start()


def test_a_server_that_hangs(running: Running, server: Server) -> None:
    """No connection is closed: after 15 seconds the gateway does it, and pages say so at once; nothing waits for it.

    Only real processes show that a thread which waits for a server is woken.
    """

    def timed(path: str) -> tuple[int, str]:
        began = time.monotonic()
        answer = running.page(path)
        assert time.monotonic() - began < PROMPT, path
        return answer

    def is_told() -> bool:
        for path in ("/healthz", "/readyz", "/metrics"):
            assert timed(path)[0] == 200
        return "phones are served from memory" in running.said()

    with running.trouble("cannot be reached: it has not answered for 15 seconds"):
        server.pause()
        try:
            hung_at = time.monotonic()
            wait_until(is_told, "the log says that it hangs")
            assert HANG_SECONDS - 1 < time.monotonic() - hung_at < 3 * HANG_SECONDS
            assert timed("/readyz") == (200, "degraded\n")
            assert "\nldapgw_database_ok 0.0\n" in timed("/metrics")[1]
            assert [timed(path)[0] for path in ("/acme/", "/acme/status.json")] == [503, 503]
            running.is_told()
        finally:
            server.go_on()


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
    """Reads go on; a command gives up after ten seconds with a line."""
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
    with running.trouble(
        '"office" does not exist', also=('relation "', "is empty, but was not empty before", "rebuilds all books")
    ):
        server.execute(f"DROP DATABASE {ON_SERVER} WITH (FORCE)")
        running.is_told()
        assert "does not exist" in running.refused("accounts")
        server.execute(f"CREATE DATABASE {ON_SERVER}")
        done = office.site.ldapgw("restore", str(backup), "--yes")
        assert done.returncode == 0, done.stderr
