# SPDX-License-Identifier: MIT
"""Copies of the database keep no data of people who have disconnected, and no data for more than 30 days."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from twisted.internet.defer import Deferred, execute, fail
from twisted.internet.task import Clock

from ldapgw.contact import Contact, Source
from ldapgw.errors import UnreachableStore
from ldapgw.store import accounts, contacts, phones, recordings
from ldapgw.store.accounts import NewGrant
from ldapgw.store.contact_record import ContactRecord
from ldapgw.store.copies import CLEAN_SECONDS, CopyCleaner, clean_copies
from ldapgw.store.database import Database
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.store.recordings import RecordingPart
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tables import recording_part
from tests.support.stage.databases import open_file
from tests.support.stage.sync import NOW, connect

DAY = 86400.0
GOES, STAYS = b"Zyxwvuts", b"Klmnopqr"
NAMES = ("before-upgrade-from-0012", "before-restore", "damaged-1")


@pytest.fixture
def database(tmp_path: Path, secret_box: SecretBox) -> Database:
    """Two connected accounts, each with a contact, and a phone that is recorded."""
    database = open_file(tmp_path / "ldapgw.db")
    with database.begin() as connection:
        for sub, name in (("goes", GOES), ("stays", STAYS)):
            grant = NewGrant(sub, f"{sub}@acme.example", frozenset(), f"at-{sub}", NOW, f"rt-{sub}", None)
            account_id = connect(connection, secret_box, grant)
            record = ContactRecord.from_contact("c1", "s1", Contact("c1", name=name.decode()))
            contacts.apply_changes(connection, account_id, Source.CONTACTS, [record], [])
            phone = f"phone-{sub}"
            phones.add(connection, PhoneLogin(phone, "acme", account_id, NumberMode.VALUES, "", NOW))
            recordings.begin(connection, phone, NOW, NOW + 60, is_plain=True)
            stored = recordings.read(connection, phone)
            assert stored is not None
            recordings.store_part(connection, secret_box, stored, "one", RecordingPart(1, "a part"))
    yield database
    database.close()


def copy(database: Database, name: str, age: float = 0.0) -> Path:
    assert database.file is not None
    path = database.file.with_name(f"{database.file.name}.{name}")
    path.touch(mode=0o600)
    with closing(sqlite3.connect(database.file)) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target)
    os.utime(path, (NOW - age, NOW - age))
    return path


def disconnect(database: Database) -> None:
    with database.begin() as connection:
        account = accounts.read_by_sub(connection, "acme", "goes")
        assert account is not None
        accounts.disconnect(connection, account.id)


def clean(database: Database) -> list[str]:
    assert database.file is not None
    return clean_copies(database.file, NOW)


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_has_nothing_of_who_has_disconnected(database: Database, name: str, secret_box: SecretBox) -> None:
    """In none of its octets, nor those of its log; the others' contacts, its mode and its age stay."""
    path = copy(database, name, 3 * DAY)
    assert clean(database) == []
    before = path.read_bytes()
    assert GOES in before
    disconnect(database)
    assert clean(database) == []
    files = sorted(file for file in path.parent.iterdir() if file.name.startswith(path.name))
    assert files == [path]
    octets = path.read_bytes()
    assert (GOES in octets, STAYS in octets) == (False, True)
    assert (path.stat().st_mode & 0o777, path.stat().st_mtime) == (0o600, NOW - 3 * DAY)
    with closing(open_file(path)) as cleaned, cleaned.begin() as connection:
        goes, stays = (accounts.read_by_sub(connection, "acme", sub) for sub in ("goes", "stays"))
        assert goes is not None
        assert stays is not None
        assert (goes.is_connected, stays.is_connected) == (False, True)
        assert accounts.read_tokens(connection, secret_box, stays.id) is not None
        refresh_token = connection.exec_driver_sql("SELECT refresh_token FROM account WHERE sub = 'goes'").scalar_one()
        assert refresh_token is None
        assert [one.phone for one in recordings.read_all(connection)] == ["phone-stays"]
        assert connection.execute(select(recording_part.c.phone)).scalars().all() == ["phone-stays"]


def test_what_was_deleted_earlier_is_not_left_in_a_copy_either(database: Database) -> None:
    """Without ``secure_delete`` SQLite leaves it in the file."""
    path = copy(database, "before-restore")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("CREATE TABLE gone (name TEXT)")
        connection.executemany("INSERT INTO gone VALUES (?)", [(f"Deleted {GOES.decode()}",)] * 500)
        connection.execute("DELETE FROM gone")
    os.utime(path, (NOW, NOW))
    assert path.read_bytes().count(GOES) > 100
    disconnect(database)
    assert clean(database) == []
    assert GOES not in path.read_bytes()


def test_a_copy_of_an_older_version_is_cleaned(database: Database) -> None:
    """The copy itself tells its tables and columns."""
    path = copy(database, "before-upgrade-from-0010")
    with closing(sqlite3.connect(path)) as old:
        for statement in ("DROP TABLE recording_part", "DROP TABLE photo", "ALTER TABLE contact DROP COLUMN flaws"):
            old.execute(statement)
    os.utime(path, (NOW, NOW))
    disconnect(database)
    assert clean(database) == []
    octets = path.read_bytes()
    assert (GOES in octets, STAYS in octets) == (False, True)
    with closing(sqlite3.connect(path)) as old:
        assert old.execute("SELECT name FROM phone").fetchall() == [("phone-goes",), ("phone-stays",)]
        assert old.execute("SELECT refresh_token, connected_at FROM account WHERE sub = 'goes'").fetchall() == [
            (None, None)
        ]


def overwritten(path: Path) -> None:
    octets = bytearray(path.read_bytes())
    at = octets.index(GOES)
    octets[at - at % 4096 : at - at % 4096 + 100] = b"\xff" * 100
    path.write_bytes(octets)


def of_another_program(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE other (number INTEGER)")


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "no database": lambda path: path.write_bytes(b"no database " * 1000),
    "empty": lambda path: path.write_bytes(b""),
    "a page overwritten": overwritten,
    "other tables": of_another_program,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_copy_that_cannot_be_cleaned_is_deleted(database: Database, damage: Callable[[Path], Any]) -> None:
    """And told; without a disconnected account there is nothing to clean."""
    path = copy(database, "damaged-1")
    damage(path)
    os.utime(path, (NOW, NOW))
    path.with_name(path.name + "-wal").write_bytes(b"")
    assert clean(database) == []
    disconnect(database)
    [line] = clean(database)
    assert line.startswith(f"{path}: is deleted, because it may have data of disconnected accounts: ")
    assert [file.name for file in path.parent.iterdir() if file.name.startswith(path.name)] == []


def test_a_copy_that_cannot_be_deleted_is_told_and_the_others_are_cleaned(database: Database) -> None:
    """As on a disk that is read-only."""
    copies = [copy(database, name) for name in ("before-restore", "damaged-2")]
    stuck = copies[0].with_name("ldapgw.db.damaged-1")
    stuck.mkdir()
    os.utime(stuck, (NOW, NOW))
    disconnect(database)
    [line] = clean(database)
    assert line.startswith(f"{stuck}: may have data of disconnected accounts: ")
    assert ", and cannot be deleted: " in line
    assert all(GOES not in path.read_bytes() for path in copies)


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_is_deleted_after_30_days(database: Database, name: str) -> None:
    """Other files beside the database stay, backups too."""
    old, new = copy(database, name, 30 * DAY + 1), copy(database, "before-upgrade-from-0011", 30 * DAY - 1)
    others = [copy(database, other, 300 * DAY) for other in ("monday", "before-restore.txt")]
    assert clean(database) == [f"{old}: is deleted, because it is older than 30 days"]
    assert (old.exists(), new.exists()) == (False, True)
    assert all(other.exists() for other in others)


@pytest.mark.parametrize("name", ["restoring", "before-restore.new"])
def test_what_a_killed_command_has_left_is_deleted_after_a_day(database: Database, name: str) -> None:
    """Before that the command may still write it."""
    path = copy(database, name, DAY - 1)
    assert clean(database) == []
    os.utime(path, (NOW - DAY - 1, NOW - DAY - 1))
    assert clean(database) == [f"{path}: is deleted, because it was left by a command that was killed"]
    assert not path.exists()


def test_a_database_that_cannot_be_read_keeps_its_copies(database: Database) -> None:
    """The gateway cannot know then who has disconnected."""
    path = copy(database, "before-restore")
    disconnect(database)
    database.close()
    assert database.file is not None
    database.file.write_bytes(b"no database " * 1000)
    assert clean(database) == []
    assert GOES in path.read_bytes()


def test_the_gateway_cleans_at_its_start_and_again_and_when_it_is_told(
    database: Database, caplog_twisted: list[str]
) -> None:
    """On a thread; an account that disconnects is removed at once."""
    clock, calls = Clock(), []
    clock.advance(NOW)

    def on_thread(function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        calls.append(arguments)
        return execute(function, *arguments)

    old = copy(database, "before-restore", 30 * DAY - 60)
    cleaner = CopyCleaner(clock=clock, database=database.file, run_off_thread=on_thread)
    cleaner.startService()
    assert (len(calls), caplog_twisted) == (1, [])
    clock.advance(CLEAN_SECONDS)
    assert caplog_twisted == [f"{old}: is deleted, because it is older than 30 days"]
    cleaner.clean()
    assert len(calls) == 3
    cleaner.stopService()
    clock.advance(2 * DAY)
    assert len(calls) == 3


def test_a_copy_has_nothing_of_an_account_that_was_removed(database: Database) -> None:
    """The database does not have the account any more, so the account is named; a later run does not name it."""
    path, calls = copy(database, "before-restore"), []

    def on_thread(function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        calls.append(arguments[3])
        return execute(function, *arguments)

    cleaner = CopyCleaner(clock=Clock(), database=database.file, run_off_thread=on_thread)
    goes = {("acme", "goes")}
    cleaner.clean_removed(goes)
    cleaner.clean()
    assert (calls, GOES in path.read_bytes(), STAYS in path.read_bytes()) == ([goes, set()], False, True)


def test_a_server_that_is_away_is_asked_again(database: Database, caplog_twisted: list[str]) -> None:
    """After ten minutes; the store says that it is away."""
    clock, calls = Clock(), []

    def away() -> Deferred[Any]:
        calls.append(clock.seconds())
        return fail(UnreachableStore("away"))

    cleaner = CopyCleaner(clock=clock, database=database.file, run_off_thread=execute, read_disconnected=away)
    cleaner.startService()
    cleaner.clean()
    clock.advance(CLEAN_SECONDS)
    clock.advance(CLEAN_SECONDS)
    assert (calls, caplog_twisted) == ([0.0, 0.0, CLEAN_SECONDS, 2 * CLEAN_SECONDS], [])
    cleaner.stopService()
    assert clock.getDelayedCalls() == []
