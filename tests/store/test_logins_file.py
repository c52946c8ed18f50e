# SPDX-License-Identifier: MIT
"""The sealed snapshot of logins: what is read was written with the same key, of the same database, not long ago."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Connection

from ldapgw.contact import Sharing
from ldapgw.errors import StoreError
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.store.accounts import Account
from ldapgw.store.logins_file import CLOCK_SECONDS, LoginsFile, Parts, age_in_words
from ldapgw.store.phones import NumberMode, PhoneLogin, ReplicaBooks
from ldapgw.store.secrets import KeySource, SecretBox, new_key, write_keys
from tests.support.stage.sync import DESK, GRANT, NOW, connect, read_account

DAY = 86400.0
DATABASE = "postgresql://db/ldapgw"
SALES = PhoneLogin("sales", "acme", None, NumberMode.ENTRIES, "sha256$11$11", NOW)
LOGINS = (DESK, replace(SALES, number_format=NumberFormat.NATIONAL), replace(SALES, replica=ReplicaBooks.SHARED))


@pytest.fixture(name="file")
def _file(tmp_path: Path, secret_box: SecretBox) -> LoginsFile:
    return LoginsFile(tmp_path / "logins.sealed", secret_box, DATABASE)


@pytest.fixture(name="account")
def _account(connection: Connection, secret_box: SecretBox) -> Account:
    return read_account(connection, connect(connection, secret_box, sharing=Sharing("group:sales")) or 0)


@pytest.fixture(name="parts")
def _parts(file: LoginsFile, account: Account) -> Parts:
    return file.seal([account], {account.id}, LOGINS, {})


def test_what_is_written_is_read(file: LoginsFile, parts: Parts, account: Account) -> None:
    """Accounts, with what their books are made from, and logins, with what phones are told apart by."""
    assert file.read(NOW, DAY) is None
    file.write(parts, NOW)
    assert file.read(NOW - CLOCK_SECONDS, DAY) is not None
    snapshot = file.read(NOW + DAY - 1, DAY)
    assert snapshot is not None
    assert (snapshot.taken_at, snapshot.saved.with_directory) == (NOW, (account.id,))
    [found] = [saved.account() for saved in snapshot.saved.accounts]
    assert (found.sub, found.address, found.sharing) == (GRANT.sub, GRANT.address, Sharing("group:sales"))
    assert found.is_connected
    assert [login.login() for login in snapshot.saved.logins] == [replace(login, created_at=0.0) for login in LOGINS]


def test_nobody_else_can_read_it(file: LoginsFile, parts: Parts) -> None:
    """Neither names nor hashes are in it as they are, and only its user may open it."""
    file.write(parts, NOW)
    assert file.path.stat().st_mode & 0o777 == 0o600
    octets = file.path.read_bytes()
    assert not [word for word in (b"sales", b"acme", GRANT.address.encode(), b"sha256") if word in octets]
    assert "sha256" not in repr(parts)


def test_a_changed_file_is_not_used(file: LoginsFile, parts: Parts) -> None:
    """Nor one that is cut off, or was written with another key."""
    file.write(parts, NOW)
    octets = file.path.read_bytes()
    other = LoginsFile(file.path, SecretBox([new_key()]), DATABASE)
    for content in (octets[:40] + bytes([octets[40] ^ 1]) + octets[41:], octets[:-1], b"", b"\xff", octets):
        file.path.write_bytes(content)
        with pytest.raises(StoreError, match=r"logins\.sealed: is damaged, or was encrypted with another key"):
            (other if content == octets else file).read(NOW, DAY)


def test_parts_of_another_snapshot_are_not_used(file: LoginsFile, parts: Parts) -> None:
    """A part that is missing, was moved, or belongs to an earlier snapshot could let a removed phone sign in."""
    file.write(parts, NOW)
    header, *former = file.path.read_bytes().split(b"\n")
    file.write(file.seal([], [], LOGINS, parts), NOW)
    present = file.path.read_bytes().split(b"\n")
    for lines in ([header, *former[:-1]], [header, *reversed(former)], [*present, former[0]], [present[0]]):
        file.path.write_bytes(b"\n".join(lines))
        with pytest.raises(StoreError, match=r"logins\.sealed: is damaged"):
            file.read(NOW, DAY)
    file.path.write_bytes(b"\n".join((header, *former)))
    snapshot = file.read(NOW, DAY)
    assert snapshot is not None
    assert (len(snapshot.saved.accounts), len(snapshot.saved.logins)) == (1, len(LOGINS))


def test_only_changed_parts_are_encrypted_again(file: LoginsFile, account: Account) -> None:
    """A part is changed if the directory needs other data; the times of searches and syncs are not among the data."""
    logins = [replace(DESK, name=f"desk{number}") for number in range(600)]
    accounts = [replace(account, id=number) for number in range(1, 601)]
    parts = file.seal(accounts, [1, 2], logins, {})
    assert Counter(name for name, _ in parts) == {"accounts": 4, "with_directory": 1, "logins": 4}

    def changed(accounts: list[Account], logins: list[PhoneLogin]) -> list[str]:
        """Return the names of the parts that are encrypted again, after all parts were written and read."""
        present = file.seal(accounts, [1, 2], logins, parts)
        file.write(present, NOW)
        snapshot = file.read(NOW, DAY)
        assert snapshot is not None
        assert {saved.id: saved.sharing for saved in snapshot.saved.accounts} == {
            each.id: each.sharing for each in accounts
        }
        assert {saved.name: saved.login() for saved in snapshot.saved.logins} == {
            login.name: replace(login, created_at=0.0) for login in logins
        }
        return [place[0] for place, part in present.items() if part != parts.get(place)]

    seen = [replace(login, created_at=NOW + 1) for login in logins]
    assert changed([replace(each, generation=each.generation + 1) for each in accounts], seen) == []
    assert changed([replace(accounts[0], sharing=Sharing.PRIVATE), *accounts[1:]], logins) == ["accounts"]
    other = replace(DESK, name="desk300", password="sha256$22$22")
    assert changed(accounts, [*logins[:300], other, *logins[301:]]) == ["logins"]
    assert changed(accounts[1:], logins[1:]) == ["accounts", "logins"]
    assert changed([*accounts, replace(account, id=601)], [*logins, replace(DESK, name="new")]) == [
        "accounts",
        "logins",
    ]


def test_a_new_key_encrypts_all_parts_again(tmp_path: Path, account: Account) -> None:
    """The former key may be deleted a minute after its rotation."""
    source, former, key = KeySource(tmp_path / "key"), new_key(), new_key()
    write_keys(source.file, [former])
    file = LoginsFile(tmp_path / "logins.sealed", SecretBox.open(source, create=False), DATABASE)
    parts = file.seal([account], [account.id], LOGINS, {})
    write_keys(source.file, [key, former])
    file.write(file.seal([account], [account.id], LOGINS, parts), NOW)
    late = LoginsFile(file.path, SecretBox([key]), DATABASE).read(NOW, DAY)
    assert late is not None
    assert len(late.saved.logins) == len(LOGINS)


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
    file: LoginsFile, parts: Parts, secret_box: SecretBox, named: str, later: float, problem: str, stays: bool
) -> None:
    """It is deleted, but for a clock that is late: by minutes it may be; by more, nobody knows how old the file is."""
    LoginsFile(file.path, secret_box, named).write(parts, NOW)
    with pytest.raises(StoreError, match=problem):
        file.read(NOW + later, DAY)
    assert file.path.exists() is stays


def test_a_file_of_an_earlier_version_does_not_count(file: LoginsFile, secret_box: SecretBox) -> None:
    """The first format had one line, with the accounts and the logins in place of the digests."""
    file.path.write_bytes(secret_box.seal_octets(msgspec.json.encode([1, DATABASE, NOW, [[], []]])))
    with pytest.raises(StoreError, match=r"logins\.sealed: is of another database, or of another version of ldapgw"):
        file.read(NOW, DAY)
    assert not file.path.exists()


def test_a_file_that_cannot_be_written(tmp_path: Path, secret_box: SecretBox) -> None:
    """The line names it."""
    file = LoginsFile(tmp_path / "gone" / "logins.sealed", secret_box, DATABASE)
    with pytest.raises(StoreError, match=r"gone/logins\.sealed: cannot be written: No such file or directory"):
        file.write({}, NOW)


@pytest.mark.parametrize(
    ("seconds", "words"), [(59, "0 minutes"), (60, "1 minute"), (7199, "119 minutes"), (7200, "2 hours")]
)
def test_an_age_in_words(seconds: float, words: str) -> None:
    assert age_in_words(seconds) == words
