# SPDX-License-Identifier: MIT
"""The sealed snapshot of logins: what is read was written with the same key, of the same database, not long ago."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection

from ldapgw.contact import Sharing
from ldapgw.errors import StoreError
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.store.logins_file import CLOCK_SECONDS, LoginsFile, SavedLogins, age_in_words
from ldapgw.store.phones import NumberMode, PhoneLogin, ReplicaBooks
from ldapgw.store.secrets import SecretBox, new_key
from tests.support.stage.sync import DESK, GRANT, NOW, connect, read_account

DAY = 86400.0
DATABASE = "postgresql://db/ldapgw"
SALES = PhoneLogin("sales", "acme", None, NumberMode.ENTRIES, "sha256$11$11", NOW)
LOGINS = (DESK, replace(SALES, number_format=NumberFormat.NATIONAL), replace(SALES, replica=ReplicaBooks.SHARED))


@pytest.fixture(name="file")
def _file(tmp_path: Path, secret_box: SecretBox) -> LoginsFile:
    return LoginsFile(tmp_path / "logins.sealed", secret_box, DATABASE)


@pytest.fixture(name="saved")
def _saved(connection: Connection, secret_box: SecretBox) -> SavedLogins:
    account_id = connect(connection, secret_box, sharing=Sharing("group:sales"))
    account = read_account(connection, account_id or 0)
    return SavedLogins.of([account], {account.id}, LOGINS)


def test_what_is_written_is_read(file: LoginsFile, saved: SavedLogins) -> None:
    """Accounts, with what their books are made from, and logins, with what phones are told apart by."""
    assert file.read(NOW, DAY) is None
    file.write(saved, NOW)
    assert file.read(NOW - CLOCK_SECONDS, DAY) is not None
    snapshot = file.read(NOW + DAY - 1, DAY)
    assert snapshot is not None
    assert (snapshot.taken_at, snapshot.saved) == (NOW, saved)
    [account] = snapshot.saved.accounts
    found = account.account()
    assert (found.sub, found.address, found.sharing) == (GRANT.sub, GRANT.address, Sharing("group:sales"))
    assert (found.is_connected, account.has_directory) == (True, True)
    assert [login.login() for login in snapshot.saved.logins] == [replace(login, created_at=0.0) for login in LOGINS]


def test_nobody_else_can_read_it(file: LoginsFile, saved: SavedLogins) -> None:
    """Neither names nor hashes are in it as they are, and only its user may open it."""
    file.write(saved, NOW)
    assert file.path.stat().st_mode & 0o777 == 0o600
    octets = file.path.read_bytes()
    assert not [word for word in (b"sales", b"acme", GRANT.address.encode(), b"sha256") if word in octets]
    assert "sha256" not in repr(saved)


def test_a_changed_file_is_not_used(file: LoginsFile, saved: SavedLogins) -> None:
    """Nor one that is cut off, or was written with another key."""
    file.write(saved, NOW)
    octets = file.path.read_bytes()
    other = LoginsFile(file.path, SecretBox([new_key()]), DATABASE)
    for content in (octets[:40] + bytes([octets[40] ^ 1]) + octets[41:], octets[:-1], b"", b"\xff", octets):
        file.path.write_bytes(content)
        with pytest.raises(StoreError, match=r"logins\.sealed: is damaged, or was encrypted with another key"):
            (other if content == octets else file).read(NOW, DAY)


@pytest.mark.parametrize(
    ("named", "later", "problem", "stays"),
    [
        (DATABASE, DAY, "is too old: the database was read 24 hours ago", False),
        (DATABASE, -CLOCK_SECONDS - 1, "the time in the file is in the future; set the clock", True),
        ("postgresql://db/other", 0.0, "is of another database", False),
    ],
    ids=["old", "late clock", "another database"],
)
def test_a_file_that_does_not_count(
    file: LoginsFile, saved: SavedLogins, secret_box: SecretBox, named: str, later: float, problem: str, stays: bool
) -> None:
    """It is deleted, but for a clock that is late: by minutes it may be; by more, nobody knows how old the file is."""
    LoginsFile(file.path, secret_box, named).write(saved, NOW)
    with pytest.raises(StoreError, match=problem):
        file.read(NOW + later, DAY)
    assert file.path.exists() is stays


def test_a_file_that_cannot_be_written(tmp_path: Path, secret_box: SecretBox) -> None:
    """The line names it."""
    file = LoginsFile(tmp_path / "gone" / "logins.sealed", secret_box, DATABASE)
    with pytest.raises(StoreError, match=r"gone/logins\.sealed: cannot be written: No such file or directory"):
        file.write(SavedLogins((), ()), NOW)


@pytest.mark.parametrize(
    ("seconds", "words"), [(59, "0 minutes"), (60, "1 minute"), (7199, "119 minutes"), (7200, "2 hours")]
)
def test_an_age_in_words(seconds: float, words: str) -> None:
    assert age_in_words(seconds) == words
