# SPDX-License-Identifier: MIT
"""SIGKILL at any moment of syncs: after each start the whole of one committed state, and no consent is asked for."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from twisted.internet import reactor  # noqa: TID251  tests are an entry point

from ldapgw.sandbox.app import AUTHORIZATION
from tests.faults.office import Office
from tests.journeys.running import fetch

# A sync a second, so that there is hardly a moment without one.
INTERVAL = "1s"
LONGEST_LIFE = 1.5
PEOPLE = 150


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path / "office", Random(5), INTERVAL, PEOPLE)
    yield office
    office.end()


def is_sound(office: Office, copies: Path) -> None:
    """The database as the killed process has left it, looked at in a copy so that the gateway finds it so too."""
    shutil.rmtree(copies, ignore_errors=True)
    shutil.copytree(office.state, copies)
    with sqlite3.connect(copies / "ldapgw.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


def consents(office: Office) -> int:
    """How often anybody was sent to Google's page."""
    return int(json.loads(fetch(f"{office.site.google}/sandbox/state")[1])["calls"][AUTHORIZATION])


def crash(office: Office, times: int, copies: Path) -> list[int]:
    """Let it be killed so often; which of the book's states was served after each start."""
    with office.running() as gateway:
        before = consents(office)
        gateway.end(signal.SIGKILL)
    served = []
    for time in range(times):
        with office.running(f"gateway-{time}") as gateway:
            served.append(office.which())
            if time % 3 == 0:
                office.site.turn("expire-sync-tokens")
            if time % 4 == 0:
                office.site.turn("expire-access-tokens")
            until = reactor.seconds() + office.random.uniform(0, LONGEST_LIFE)
            while reactor.seconds() < until:
                office.edit()
            if time % 3 == 2:
                # However slow the machine, a state is committed: so many edits look like a book that shrinks.
                office.sync()
                office.edit()
            assert gateway.end(signal.SIGKILL) == -signal.SIGKILL
        is_sound(office, copies)
    with office.running("last"):
        office.which()
        office.sync()
        [account] = office.site.accounts()
        assert account["state"] in ("ok", "syncing")
        assert account["error"] is None
    assert consents(office) == before
    return served


def test_killed_five_times(office: Office, tmp_path: Path) -> None:
    """Time does not go back either."""
    served = crash(office, 5, tmp_path / "copies")
    assert served == sorted(served)


@pytest.mark.long
def test_killed_fifty_times(office: Office, tmp_path: Path) -> None:
    """Many of the lives were long enough to bring something new."""
    served = crash(office, 50, tmp_path / "copies")
    assert served == sorted(served)
    assert len(set(served)) > 16
