# SPDX-License-Identifier: MIT
"""Recordings of phones: one each, until when, and whose file is written."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from ldapgw.store import phones, recordings
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.store.recordings import MAX_RUNNING, NotBegun, StoredRecording

NOW = 1_800_000_000.0
WEEK = 7 * 86400.0


@pytest.fixture
def desks(connection: Connection) -> Iterator[Connection]:
    """Phones from desk0 on."""
    for at in range(MAX_RUNNING + 2):
        assert phones.add(connection, PhoneLogin(f"desk{at}", "acme", None, NumberMode.VALUES, "", NOW))
    return connection


def begin(connection: Connection, phone: str = "desk1", now: float = NOW) -> NotBegun | None:
    return recordings.begin(connection, phone, now, now + 600, is_plain=False)


def test_a_phone_is_recorded_until_a_time(desks: Connection) -> None:
    """Or until somebody ends that, which counts once."""
    assert recordings.read(desks, "desk1") is None
    assert begin(desks) is None
    stored = StoredRecording("desk1", NOW, NOW + 600, is_plain=False)
    assert recordings.read(desks, "desk1") == stored
    assert (stored.is_running(NOW + 599), stored.is_running(NOW + 600)) == (True, False)
    recordings.end(desks, "desk1", NOW + 60)
    recordings.end(desks, "desk1", NOW + 70)
    assert recordings.read_all(desks) == (StoredRecording("desk1", NOW, NOW + 60, is_plain=False),)


def test_a_new_recording_takes_the_place_of_the_one_before(desks: Connection) -> None:
    """Unless that still runs."""
    begin(desks)
    assert begin(desks, now=NOW + 1) is NotBegun.RUNS
    assert begin(desks, now=NOW + 600) is None
    [stored] = recordings.read_all(desks)
    assert stored.begun_at == NOW + 600


def test_only_so_many_run_at_a_time(desks: Connection) -> None:
    """One that has ended makes room."""
    assert [begin(desks, f"desk{at}") for at in range(MAX_RUNNING)] == [None] * MAX_RUNNING
    assert begin(desks, f"desk{MAX_RUNNING}") is NotBegun.TOO_MANY
    recordings.end(desks, "desk0", NOW)
    assert begin(desks, f"desk{MAX_RUNNING}") is None


def test_a_written_file_belongs_to_its_recording(desks: Connection) -> None:
    """Not to one that has taken its place, nor to one that is gone."""
    begin(desks)
    first = recordings.read(desks, "desk1")
    assert first is not None
    assert recordings.set_written(desks, first, NOW + 601, 3)
    assert recordings.read(desks, "desk1") == StoredRecording("desk1", NOW, NOW + 600, False, NOW + 601, 3)
    begin(desks, now=NOW + 700)
    assert not recordings.set_written(desks, first, NOW + 701, 3)
    recordings.remove(desks, "desk1")
    assert not recordings.set_written(desks, first, NOW + 701, 3)
    assert recordings.read_all(desks) == ()


def test_old_files_are_forgotten(desks: Connection) -> None:
    """By the time at which they were written; what is not written stays."""
    for at in range(3):
        begin(desks, f"desk{at}", NOW + at)
    for at, written in ((0, NOW), (1, NOW + 1)):
        stored = recordings.read(desks, f"desk{at}")
        assert stored is not None
        recordings.set_written(desks, stored, written, 0)
    recordings.remove_older(desks, NOW + 1)
    assert [one.phone for one in recordings.read_all(desks)] == ["desk1", "desk2"]


def test_the_recording_goes_with_its_phone(desks: Connection) -> None:
    begin(desks)
    phones.remove(desks, "desk1")
    assert recordings.read_all(desks) == ()
