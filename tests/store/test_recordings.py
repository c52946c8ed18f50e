# SPDX-License-Identifier: MIT
"""Recordings of phones: one each, until when, and the parts of all gateways."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Connection, func, select

from ldapgw.errors import UnfitKey
from ldapgw.store import accounts, phones, recordings
from ldapgw.store.key_rotation import reseal_all
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.store.recordings import MAX_RUNNING, NotBegun, RecordingPart, StoredRecording
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tables import recording_part
from tests.support.stage.sync import connect

NOW = 1_800_000_000.0


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


def test_no_recording_of_an_unknown_phone_begins(desks: Connection) -> None:
    assert begin(desks, "gone") is NotBegun.NO_PHONE
    assert recordings.read_all(desks) == ()


def stored_recording(connection: Connection, phone: str = "desk1") -> StoredRecording:
    stored = recordings.read(connection, phone)
    assert stored is not None
    return stored


def count_parts(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(recording_part)).scalar_one()


def store(
    connection: Connection, secret_box: SecretBox, phone: str = "desk1", gateway: str = "one", content: str = "a part\n"
) -> bool:
    """Store a part with three searches, as a gateway does."""
    stored = stored_recording(connection, phone)
    return recordings.store_part(connection, secret_box, stored, gateway, RecordingPart(3, content))


def test_the_file_has_the_parts_of_all_gateways(desks: Connection, secret_box: SecretBox) -> None:
    """A gateway that stores again replaces its part."""
    begin(desks)
    begin(desks, "desk2")
    assert recordings.read_file(desks, secret_box, "desk1") is None
    for gateway, content in (("two", "b\n"), ("one", "x\n"), ("one", "a\n")):
        assert store(desks, secret_box, gateway=gateway, content=content)
    assert store(desks, secret_box, "desk2", content="another phone's\n")
    assert recordings.read_file(desks, secret_box, "desk1") == "a\nb\n"
    assert recordings.read_file(desks, secret_box, "desk1", is_plain=True) is None
    assert stored_recording(desks) == StoredRecording("desk1", NOW, NOW + 600, is_plain=False, searches=6)
    assert [one.searches for one in recordings.read_all(desks)] == [6, 3]


def test_a_part_belongs_to_its_recording(desks: Connection, secret_box: SecretBox) -> None:
    """Not to a recording that has taken its place, nor to one that is gone."""
    begin(desks)
    first = stored_recording(desks)
    assert store(desks, secret_box)
    begin(desks, now=NOW + 700)
    part = RecordingPart(1, "late")
    assert not recordings.store_part(desks, secret_box, first, "one", part)
    assert count_parts(desks) == 0
    assert stored_recording(desks).begun_at == NOW + 700
    recordings.remove(desks, "desk1")
    assert not recordings.store_part(desks, secret_box, first, "one", part)
    assert (recordings.read_all(desks), count_parts(desks)) == ((), 0)


def test_parts_are_sealed(desks: Connection) -> None:
    """A new key opens them once they are sealed anew."""
    old, new = Fernet.generate_key(), Fernet.generate_key()
    begin(desks)
    assert store(desks, SecretBox([old]))
    assert b"a part" not in bytes(desks.execute(select(recording_part.c.content)).scalar_one())
    with pytest.raises(UnfitKey):
        recordings.read_file(desks, SecretBox([new]), "desk1")
    assert reseal_all(desks, SecretBox([new, old])) == 1
    assert recordings.read_file(desks, SecretBox([new]), "desk1") == "a part\n"


# Each function ends the recording of desk1, a phone of an account; the parameters are a connection and the id.
ENDS: Mapping[str, Callable[[Connection, int], object]] = {
    "deleted": lambda connection, _: recordings.remove(connection, "desk1"),
    "another one begun": lambda connection, _: begin(connection, now=NOW + 600),
    "old": lambda connection, _: recordings.remove_older(connection, NOW + 601),
    "phone removed": lambda connection, _: phones.remove(connection, "desk1"),
    "phone given away": lambda connection, _: phones.set_accounts(connection, "desk1", ()),
    "owner disconnected": lambda connection, account_id: accounts.disconnect(connection, account_id),
    "owner removed": lambda connection, account_id: accounts.remove(connection, account_id, with_phones=False),
}


@pytest.mark.parametrize("end", ENDS)
def test_what_ends_a_recording_deletes_its_parts(desks: Connection, secret_box: SecretBox, end: str) -> None:
    """The recording of another phone, which ends a second later, stays; and so does the phone, unless it is removed."""
    account_id = connect(desks, secret_box)
    phones.set_accounts(desks, "desk1", [account_id])
    for at in (1, 2):
        begin(desks, f"desk{at}", NOW + at - 1)
        assert store(desks, secret_box, f"desk{at}")
    assert count_parts(desks) == 2
    ENDS[end](desks, account_id)
    assert [one.phone for one in recordings.read_all(desks) if one.searches is not None] == ["desk2"]
    assert count_parts(desks) == 1
    assert (phones.read_by_name(desks, "desk1") is None) == (end == "phone removed")
