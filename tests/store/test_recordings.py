# SPDX-License-Identifier: MIT
"""Recordings of phones: one each, until when, what gateways have recorded, and which one makes the file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Connection, func, select, update

from ldapgw.contact import Sharing
from ldapgw.errors import UnfitKey
from ldapgw.store import accounts, phones, recordings
from ldapgw.store.key_rotation import reseal_all
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.store.recordings import MAX_RUNNING, NotBegun, RecordingPart, StoredRecording
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tables import recording, recording_part
from tests.support.stage.sync import GRANT

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


def stored_recording(connection: Connection, phone: str = "desk1") -> StoredRecording:
    stored = recordings.read(connection, phone)
    assert stored is not None
    return stored


def count_parts(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(recording_part)).scalar_one()


def write(
    connection: Connection, secret_box: SecretBox, stored: StoredRecording, now: float = NOW + 601, gateway: str = "one"
) -> bool:
    """Make the file, as a gateway does."""
    assert recordings.claim(connection, secret_box, stored, gateway, ()) is not None
    return recordings.set_written(connection, secret_box, stored, gateway, now, "the file", 3)


def test_a_file_is_made_of_all_parts(desks: Connection, secret_box: SecretBox) -> None:
    """Those of a gateway come in their order; a number that comes again replaces the part; afterwards none is left."""
    begin(desks)
    begin(desks, "desk2")
    stored = stored_recording(desks)
    for gateway, number, content in (
        ("two", 1, "c"),
        ("one", 2, "b"),
        ("one", 10, "x"),
        ("one", 1, "a"),
        ("one", 10, "d"),
    ):
        recordings.store_part(desks, secret_box, stored, gateway, number, content)
    recordings.store_part(desks, secret_box, stored_recording(desks, "desk2"), "one", 1, "another phone's")
    assert recordings.claim(desks, secret_box, stored, "two", ["one"]) == [
        *(RecordingPart("one", "a"), RecordingPart("one", "b"), RecordingPart("one", "d"), RecordingPart("two", "c")),
    ]
    assert recordings.read_file(desks, secret_box, "desk1") is None
    assert recordings.set_written(desks, secret_box, stored, "two", NOW + 601, "the file", 3)
    assert stored_recording(desks) == StoredRecording("desk1", NOW, NOW + 600, False, True, 3, "two")
    assert recordings.read_file(desks, secret_box, "desk1") == "the file"
    assert recordings.read_file(desks, secret_box, "desk1", is_plain=True) is None
    recordings.store_part(desks, secret_box, stored, "one", 11, "too late")
    assert count_parts(desks) == 1


def test_one_gateway_makes_the_file(desks: Connection, secret_box: SecretBox) -> None:
    """Another one that lives does not; it does when the first one lives no more, whose file then comes too late."""
    begin(desks)
    stored = stored_recording(desks)
    assert recordings.claim(desks, secret_box, stored, "one", ["two"]) == []
    assert recordings.claim(desks, secret_box, stored, "two", ["one"]) is None
    assert recordings.claim(desks, secret_box, stored, "one", ["two"]) == []
    assert recordings.claim(desks, secret_box, stored, "two", ["three"]) == []
    assert not recordings.set_written(desks, secret_box, stored, "one", NOW + 601, "too late", 3)
    recordings.give_up(desks, stored, "one")
    assert recordings.set_written(desks, secret_box, stored, "two", NOW + 602, "the file", 3)
    assert recordings.claim(desks, secret_box, stored, "two", []) is None
    assert recordings.read_file(desks, secret_box, "desk1") == "the file"


def test_a_recording_that_an_earlier_version_calls_written_gets_its_file(
    desks: Connection, secret_box: SecretBox
) -> None:
    """Such a gateway, beside others during an upgrade, does not know that the file is in the database."""
    begin(desks)
    stored = stored_recording(desks)
    desks.execute(update(recording).values(written_at=NOW + 600, searches=1))
    assert not stored_recording(desks).has_file
    recordings.store_part(desks, secret_box, stored, "one", 1, "a")
    assert recordings.claim(desks, secret_box, stored, "one", ()) == [RecordingPart("one", "a")]
    assert recordings.set_written(desks, secret_box, stored, "one", NOW + 604, "the file", 3)
    assert stored_recording(desks) == StoredRecording("desk1", NOW, NOW + 600, False, True, 3, "one")
    assert recordings.read_file(desks, secret_box, "desk1") == "the file"


def test_a_written_file_belongs_to_its_recording(desks: Connection, secret_box: SecretBox) -> None:
    """Not to one that has taken its place, nor to one that is gone; the same holds for parts."""
    begin(desks)
    first = stored_recording(desks)
    recordings.store_part(desks, secret_box, first, "one", 1, "a")
    begin(desks, now=NOW + 700)
    recordings.store_part(desks, secret_box, first, "one", 2, "b")
    assert count_parts(desks) == 0
    assert recordings.claim(desks, secret_box, first, "one", ()) is None
    assert not recordings.set_written(desks, secret_box, first, "one", NOW + 701, "the file", 3)
    recordings.give_up(desks, first, "one")
    assert stored_recording(desks).begun_at == NOW + 700
    recordings.remove(desks, "desk1")
    recordings.store_part(desks, secret_box, first, "one", 3, "c")
    assert not recordings.set_written(desks, secret_box, first, "one", NOW + 701, "the file", 3)
    assert (recordings.read_all(desks), count_parts(desks)) == ((), 0)


def test_parts_and_files_are_sealed(desks: Connection) -> None:
    """A new key opens them once they are sealed anew."""
    old, new = Fernet.generate_key(), Fernet.generate_key()
    begin(desks)
    begin(desks, "desk2")
    recordings.store_part(desks, SecretBox([old]), stored_recording(desks), "one", 1, "a part")
    assert write(desks, SecretBox([old]), stored_recording(desks, "desk2"))
    octets = [
        bytes(desks.execute(select(table.c.content)).scalars().all()[-1]) for table in (recording_part, recording)
    ]
    assert not any(b"a part" in one or b"the file" in one for one in octets)
    with pytest.raises(UnfitKey):
        recordings.claim(desks, SecretBox([new]), stored_recording(desks), "one", ())
    assert reseal_all(desks, SecretBox([new, old])) == 2
    assert recordings.read_file(desks, SecretBox([new]), "desk2") == "the file"
    assert recordings.claim(desks, SecretBox([new]), stored_recording(desks), "one", ()) == [
        RecordingPart("one", "a part")
    ]


def test_old_files_are_forgotten(desks: Connection, secret_box: SecretBox) -> None:
    """By the time at which they were written; those that never were, by their end."""
    for at in range(3):
        begin(desks, f"desk{at}", NOW + at)
    for at, written in ((0, NOW), (1, NOW + 1)):
        assert write(desks, secret_box, stored_recording(desks, f"desk{at}"), written)
    recordings.remove_older(desks, NOW + 1)
    assert [one.phone for one in recordings.read_all(desks)] == ["desk1", "desk2"]
    recordings.store_part(desks, secret_box, stored_recording(desks, "desk2"), "one", 1, "a")
    recordings.remove_older(desks, NOW + 602)
    assert [one.phone for one in recordings.read_all(desks)] == ["desk2"]
    recordings.remove_older(desks, NOW + 603)
    assert (recordings.read_all(desks), count_parts(desks)) == ((), 0)


def test_the_recording_goes_with_its_phone(desks: Connection, secret_box: SecretBox) -> None:
    """With its parts; a new name takes it along."""
    begin(desks)
    recordings.store_part(desks, secret_box, stored_recording(desks), "one", 1, "a")
    assert phones.rename(desks, "desk1", "hall")
    recordings.store_part(desks, secret_box, stored_recording(desks, "hall"), "one", 2, "b")
    assert recordings.read(desks, "desk1") is None
    assert count_parts(desks) == 2
    phones.remove(desks, "hall")
    assert (recordings.read_all(desks), count_parts(desks)) == ((), 0)


@pytest.mark.parametrize("way", ["disconnected", "removed"])
def test_the_recordings_of_an_account_go_with_its_contacts(desks: Connection, secret_box: SecretBox, way: str) -> None:
    """Its phones stay, and the recordings of others."""
    account_id = accounts.connect(desks, secret_box, "acme", GRANT, Sharing.PRIVATE, NOW)
    phones.set_owner(desks, "desk1", account_id)
    for at in (1, 2):
        begin(desks, f"desk{at}")
        recordings.store_part(desks, secret_box, stored_recording(desks, f"desk{at}"), "one", 1, "a")
    if way == "disconnected":
        accounts.disconnect(desks, account_id)
    else:
        accounts.remove(desks, account_id, with_phones=False)
    assert [one.phone for one in recordings.read_all(desks)] == ["desk2"]
    assert count_parts(desks) == 1
    assert phones.read_by_name(desks, "desk1") is not None
