# SPDX-License-Identifier: MIT
"""A gateway that starts while PostgreSQL is away: from its cached books and a sealed snapshot of logins.

Only a process begins without anything in its memory, and only a server can be away.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ldapgw.store.logins_file import LOGINS_FILE, LoginsFile
from ldapgw.store.secrets import KeySource, SecretBox
from tests.support.postgresql import needs_postgresql
from tests.support.site.cluster import ALICE, DATABASE, Cluster
from tests.support.site.line import Phone
from tests.support.site.running import Site, fetch, wait_until

pytestmark = [needs_postgresql, pytest.mark.long]

DAY = 86400.0


@pytest.fixture(name="own")
def _own(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster of one test, which stops parts of it."""
    with closing(Cluster(tmp_path, 2)) as cluster:
        yield cluster


def sealed(site: Site) -> Path:
    return site.folder / "state" / LOGINS_FILE


def readyz(site: Site) -> str:
    return fetch(f"http://127.0.0.1:{site.web_port}/readyz")[1].strip()


def has_written(site: Site, *phones: str) -> Any:
    """Return True if the snapshot has these phones and no others."""
    if not sealed(site).exists():
        return False
    box = SecretBox.open(KeySource(site.folder / "state" / "ldapgw.key"), create=False)
    file = LoginsFile(sealed(site), box, name_of_database(site))
    snapshot = file.read(sealed(site).stat().st_mtime, DAY)
    return snapshot is not None and sorted(login.name for login in snapshot.saved.logins) == sorted(phones)


def name_of_database(site: Site) -> str:
    [line] = [line for line in site.file.read_text().splitlines() if line.startswith("database = ")]
    return "postgresql://" + line.split("@")[1].rstrip('"')


def has_book(site: Site) -> bool:
    return any((site.folder / "state" / "images").glob("*.image"))


def status(site: Site) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(site.ldapgw("status", "--json").stdout)
    return found


def test_a_start_without_the_database(own: Cluster) -> None:
    """Phones bind and find their books; the gateway says that they are stale, and catches up with what came between.

    What came may be a change, or the end of an account.
    """
    late, other = own.sites[1], own.sites[0]
    with own.office.running():
        other.add_phone("hall")
        with own.start(late):
            wait_until(lambda: has_written(late, "desk1", "hall"), "the snapshot is written")
            wait_until(lambda: has_book(late), "the book is cached")
            assert sealed(late).stat().st_mode & 0o777 == 0o600
            assert readyz(late) == "ready"
        # While the gateway is down, a phone is removed and a contact is changed.
        assert other.ldapgw("phones", "remove", "hall", "--yes").returncode == 0
        before = own.office.now
        own.office.edit()
        assert other.ldapgw("sync", ALICE, "--wait").returncode == 0
        own.server.stop()
        late.phones["nobody"] = "nothing"
        with own.start(late) as gateway:
            assert own.found(late) == before
            assert late.ldapsearch("-s", "base", phone="hall")[0] == 0  # nobody can know better now
            assert late.ldapsearch("-s", "base", phone="nobody")[0] == 49
            assert readyz(late) == "stale"
            assert late.figure("ldapgw_stale") == 1
            assert status(late)["stale_since"] is not None
            assert "! Directory    stale: " in late.ldapgw("status").stdout
            code, page = fetch(late.page)
            assert code == 503
            assert "database" in page
            assert fetch(f"{late.page}status.json") == (503, SAID)
            phone = Phone(late.ldap_port, "desk1", late.phones["desk1"])
            own.server.start()
            wait_until(lambda: readyz(late) == "ready", "the gateway has read the database")
            assert own.found(late) == own.office.now
            assert late.ldapsearch("-s", "base", phone="hall")[0] == 49
            assert phone.read(f"ou={ALICE},dc=acme,dc=example") == own.office.now  # on the connection from before
            phone.close()
            wait_until(lambda: status(late)["stale_since"] is None, "a new snapshot")
            own.office.edit()
            wait_until(lambda: other.ldapgw("sync", ALICE, "--wait").returncode == 0, "a sync")
            wait_until(own.all_find, "every gateway finds the change")
            lines = gateway.said.splitlines()
            assert len([line for line in lines if "the directory is stale" in line]) == 1
            assert len([line for line in lines if "can be used again" in line]) == 1
            assert not [line for line in lines if "served from memory" in line]
            assert "Traceback" not in gateway.said
            wait_until(lambda: has_written(late, "desk1"), "the snapshot is written again")
        # The account is disconnected: its book and its phones are gone with the first look at the database.
        assert other.process("disconnect", ALICE, "--yes").returncode == 0
        own.server.stop()
        with own.start(late):
            assert own.found(late)  # as it was cached last, which may be before the last change
            own.server.start()
            wait_until(lambda: readyz(late) == "ready", "the gateway has read the database")
            assert own.found(late) == {}
            wait_until(lambda: not has_book(late), "the file is deleted")


SAID = '{"error": "the database cannot be used; the gateway\'s log says more", "stale": true}'


@pytest.mark.soak
def test_what_it_refuses_to_start_from(own: Cluster) -> None:
    """No snapshot, one that is too old, one that was changed, one of another key: a line says which."""
    late = own.sites[1]
    state = late.folder / "state"
    with own.office.running(), own.start(late):
        wait_until(lambda: has_written(late, "desk1"), "the snapshot is written")
    octets, kept = sealed(late).read_bytes(), late.file.read_text()
    own.server.stop()

    def refused() -> str:
        done = late.process("run")
        assert done.returncode == 1
        assert "cannot be reached: " in done.stderr
        return done.stderr

    sealed(late).write_bytes(octets[:-20] + bytes([octets[-20] ^ 1]) + octets[-19:])
    assert "is damaged, or was encrypted with another key" in refused()
    sealed(late).write_bytes(octets)
    late.file.write_text(kept.replace("[sync]", '[serve]\nstale_start = "1s"\n[sync]'))
    assert "is too old: the database was read 0 minutes ago" in refused()
    assert not sealed(late).exists()
    assert len(refused().splitlines()) == 1
    sealed(late).write_bytes(octets)
    late.file.write_text(kept.replace("[sync]", '[serve]\nstale_start = "0s"\n[sync]'))
    assert len(refused().splitlines()) == 1
    # A server that answers and refuses is not away.
    late.file.write_text(kept.replace(f"/{DATABASE}", "/nothing"))
    own.server.start()
    done = late.process("run")
    assert done.returncode == 1
    assert 'database "nothing" does not exist' in done.stderr
    shutil.rmtree(state)


@pytest.mark.soak
def test_it_ends_when_the_snapshot_is_too_old(own: Cluster) -> None:
    """Phones get "unavailable" and lose their connections, until the database is back."""
    late = own.sites[1]
    with own.office.running():
        with own.start(late):
            wait_until(lambda: has_written(late, "desk1"), "the snapshot is written")
            wait_until(lambda: has_book(late), "the book is cached")
        own.server.stop()
        # Long enough for the start, whatever else the machine does.
        box = SecretBox.open(KeySource(late.folder / "state" / "ldapgw.key"), create=False)
        file = LoginsFile(sealed(late), box, name_of_database(late))
        snapshot = file.read(sealed(late).stat().st_mtime, DAY)
        assert snapshot is not None
        late.file.write_text(late.file.read_text().replace("[sync]", '[serve]\nstale_start = "1m"\n[sync]'))
        saved = snapshot.saved
        known, logins = [each.account() for each in saved.accounts], [each.login() for each in saved.logins]
        file.write(file.seal(known, saved.with_directory, logins, {}), datetime.now(UTC).timestamp())
        with own.start(late) as gateway:
            assert readyz(late) == "stale"
            wait_until(lambda: late.ldapsearch("-s", "base")[0] == 52, "the snapshot is too old")
            assert readyz(late) == "not ready"
            assert not sealed(late).exists()
            assert "the snapshot of logins is too old: phones cannot sign in" in gateway.said
            own.server.start()
            wait_until(lambda: readyz(late) == "ready", "the gateway has read the database")
            assert own.found(late) == own.office.now
            assert "Traceback" not in gateway.said
