# SPDX-License-Identifier: MIT
"""Backups, their way back and new keys, beside a gateway that syncs all the time, and killed on their way.

Only processes work beside each other and can be killed on their way.
"""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from random import Random

import pytest
from twisted.internet import reactor  # noqa: TID251  tests are an entry point

from tests.support.postgresql import Server
from tests.support.site.office import Office
from tests.support.site.running import Process, find_program, wait_until

# Each starts gateways, and starves, kills or ends them.  The quick test of tests/journeys/test_provisioning kills one.
pytestmark = pytest.mark.long

# Every sync stores a new access token, sealed.
INTERVAL = "1s"
# A command needs no longer for its start, and less for its work.
LONGEST = 1.5
# tests/store ends a restore and a new key at each of their steps.
rounds = pytest.mark.parametrize("times", [2, pytest.param(6, marks=pytest.mark.soak)])


@pytest.fixture(scope="module", name="office")
def _office(tmp_path_factory: pytest.TempPathFactory, engine_server: Server | None) -> Iterator[Office]:
    find_program("ldapsearch", "ldap-utils")
    folder = tmp_path_factory.mktemp("office")
    with closing(Office(folder, Random(13), INTERVAL, people=100, server=engine_server)) as office:
        yield office


def kill_on_its_way(office: Office, *command: str) -> None:
    """Begin a command, and end it at some moment."""
    process = Process(office.site.command(*command), office.folder / "command.log", office.folder)
    until = reactor.seconds() + office.random.uniform(0.3, LONGEST)
    wait_until(lambda: reactor.seconds() > until, "the moment comes")
    process.end(signal.SIGKILL)


def is_well(office: Office) -> None:
    """The account has its consent, and syncs."""
    office.site.turn("expire-access-tokens")
    office.edit()
    office.sync()
    [account] = office.site.accounts()
    assert account["state"] in ("ok", "syncing")
    assert account["error"] is None


@rounds
def test_new_keys_while_tokens_are_renewed(office: Office, times: int) -> None:
    """Some of them killed on their way."""
    with office.running("rotating") as gateway:
        keys = set()
        for _ in range(times):
            office.site.turn("expire-access-tokens")
            kill_on_its_way(office, "rotate-key")
            office.site.turn("expire-access-tokens")
            done = office.site.ldapgw("rotate-key")
            assert done.returncode == 0, done.stderr
            keys.add((office.state / "ldapgw.key").read_bytes())
        assert len(keys) == times
        assert {len(key.split()) for key in keys} == {1}
        is_well(office)
        assert "does not fit" not in gateway.said
        assert "Traceback" not in gateway.said
    # Nothing is left that only the memory of the old process could read.
    with office.running("after"):
        is_well(office)


@rounds
def test_backups_and_their_way_back(office: Office, times: int) -> None:
    """Phones always find one of the book's states, and the syncs go on from there."""
    backup = office.folder / "backup.db"
    with office.running("restoring") as gateway:
        for _ in range(times):
            office.sync()
            done = office.site.ldapgw("backup", str(backup), "--yes")
            assert done.returncode == 0, done.stderr
            with sqlite3.connect(f"file:{backup}?mode=ro&immutable=1", uri=True) as copy:
                assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            copy.close()
            office.edit()
            office.edit()
            kill_on_its_way(office, "restore", str(backup), "--yes")
            office.which()
            done = office.site.ldapgw("restore", str(backup), "--yes")
            assert done.returncode == 0, done.stderr
            is_well(office)
        assert "Traceback" not in gateway.said
