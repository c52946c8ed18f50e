# SPDX-License-Identifier: MIT
"""Backups: made while somebody writes, put back in one transaction; refused where they would do harm."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import select

from ldapgw.errors import StoreError
from ldapgw.store import accounts, phones, recordings, sign_ins, sync_state, tables
from ldapgw.store.backup import back_up, restore
from ldapgw.store.recordings import RecordingPart
from ldapgw.store.secrets import KeySource, SecretBox
from ldapgw.store.sign_ins import ConsentFlow, SignIn
from tests.support.kill import Kill, Killed
from tests.support.stage.databases import open_file
from tests.support.stage.sync import DESK, GRANT, NOW, connect, read_generation

RECORDED = "what was recorded"


class Site:
    """A database with an account and a phone, and its key file."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.path, self.backup = folder / "ldapgw.db", folder / "backups" / "monday.db"
        self.backup.parent.mkdir()
        self.secret_box = SecretBox.open(KeySource(folder / "ldapgw.key"), create=True)
        self.database = open_file(self.path)
        with self.database.begin() as connection:
            self.account = connect(connection, self.secret_box)
            sync_state.begin(connection, self.account)
            sync_state.increment_generation(connection, self.account)
            phones.add(connection, DESK)
            recordings.begin(connection, DESK.name, NOW, NOW + 60, is_plain=False)
            recorded = recordings.StoredRecording(DESK.name, NOW, NOW + 60, is_plain=False)
            recordings.store_part(connection, self.secret_box, recorded, "one", RecordingPart(1, RECORDED))
            sign_ins.begin_flow(connection, self.secret_box, "s", "b", ConsentFlow("acme", "connect", "n", "v"), NOW)
            sign_ins.create_sign_in(connection, "t", SignIn("acme", "sub", "a@x.example"), NOW)

    def add(self, name: str) -> None:
        self.database.run(phones.add, phones.PhoneLogin(name, "acme", None, DESK.numbers, DESK.password, NOW))

    def phones(self) -> list[str]:
        return [phone.name for phone in self.database.run(phones.read_all)]

    def restore(self) -> None:
        restore(self.backup, self.path, self.secret_box)

    def files(self) -> set[str]:
        """Return the folder's files, without SQLite's own files and the key."""
        names = {path.name for path in self.path.parent.iterdir() if path.is_file()}
        return {name for name in names if not name.endswith(("-wal", "-shm"))} - {"ldapgw.key"}


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    yield site
    site.database.close()


def test_a_backup_is_one_file_with_all_that_was_committed(site: Site) -> None:
    """While somebody is writing; for our eyes alone, and it replaces the one of last week."""
    site.backup.write_text("last week's")
    with site.database.begin() as connection:
        phones.remove(connection, DESK.name)
        back_up(site.path, site.backup)
    assert site.phones() == []
    assert [path.name for path in site.backup.parent.iterdir()] == ["monday.db"]
    assert site.backup.stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(f"file:{site.backup}?mode=ro&immutable=1", uri=True) as copy:
        assert copy.execute("SELECT name FROM phone").fetchall() == [(DESK.name,)]
        assert copy.execute("SELECT searches FROM recording_part").fetchall() == [(1,)]
    copy.close()
    assert RECORDED.encode() not in site.backup.read_bytes()
    site.restore()
    assert site.phones() == [DESK.name]


def test_what_was_true_at_the_time_alone_is_forgotten(site: Site) -> None:
    """Sign-ins, consents under way and running syncs; and the epoch, so that no book is taken for another one's."""
    back_up(site.path, site.backup)
    with site.database.begin() as connection:
        sync_state.increment_generation(connection, site.account)
        epoch, generation = read_generation(connection, site.account)
    site.restore()
    with site.database.begin() as connection:
        account = accounts.read(connection, site.account)
        assert (account.syncing, account.is_connected) == (False, True)
        assert read_generation(connection, site.account) != (epoch, generation - 1)
        assert account.generation == generation - 1
        assert accounts.read_tokens(connection, site.secret_box, site.account).refresh_token == GRANT.refresh_token
        assert connection.execute(select(tables.sign_in)).all() == []
        assert connection.execute(select(tables.consent_flow)).all() == []
        assert recordings.read_all(connection) == ()


def test_who_has_the_database_open_sees_what_was_restored(site: Site) -> None:
    """As any change of another's; what there was is kept."""
    watch = site.database.change_detector()
    back_up(site.path, site.backup)
    site.add("late")
    assert watch.has_changed()
    site.restore()
    assert watch.has_changed()
    assert site.phones() == [DESK.name]
    assert site.files() == {"ldapgw.db", "ldapgw.db.before-restore"}
    site.add("later")
    assert site.phones() == [DESK.name, "later"]
    restore(site.path.with_name("ldapgw.db.before-restore"), site.path, site.secret_box)
    assert site.phones() == [DESK.name, "late"]
    watch.close()


def damage(path: Path) -> None:
    """The second page is nonsense."""
    octets = bytearray(path.read_bytes())
    octets[4096:8192] = b"\xff" * 4096
    path.write_bytes(octets)


LOSSES = {
    "overwritten": damage,
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:10_000]),
    "empty": lambda path: path.write_bytes(b""),
    "no database": lambda path: path.write_bytes(b"this is no database, " * 1000),
    "gone": Path.unlink,
}


@pytest.mark.parametrize("lose", LOSSES.values(), ids=LOSSES)
def test_a_database_that_is_lost_is_replaced(site: Site, lose) -> None:
    """While somebody has it open, who goes on with the new one; the old one is kept beside it."""
    back_up(site.path, site.backup)
    site.add("late")
    with sqlite3.connect(site.path) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    lose(site.path)
    site.restore()
    assert site.phones() == [DESK.name]
    site.add("later")
    assert site.phones() == [DESK.name, "later"]
    site.database.close()
    site.database.open()
    assert site.phones() == [DESK.name, "later"]
    kept = {"ldapgw.db.damaged-1"} if lose is not Path.unlink else set()
    assert site.files() - {"ldapgw.db.damaged-1-wal"} == {"ldapgw.db"} | kept


def refused(site: Site) -> str:
    before = site.phones()
    with pytest.raises(StoreError) as caught:
        site.restore()
    assert site.phones() == before
    assert site.files() <= {"ldapgw.db"}
    [line] = caught.value.problems
    return line.replace(str(site.backup), "FILE")


def test_a_backup_that_cannot_be_used_changes_nothing(site: Site) -> None:
    """Each is a line that names it."""
    assert refused(site) == "FILE: is no file"
    site.backup.write_bytes(b"this is no database, " * 1000)
    assert "file is not a database" in refused(site)
    site.backup.write_bytes(b"")
    assert "is no database of ldapgw" in refused(site)
    back_up(site.path, site.backup)
    damage(site.backup)
    assert refused(site).startswith("FILE: ")
    back_up(site.path, site.backup)
    with sqlite3.connect(site.backup) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.execute("UPDATE schema_version SET readable_from = '9999'")
    connection.close()
    assert refused(site) == (
        "FILE: was made by a newer version of ldapgw; install that version, or restore a backup from before its "
        "upgrade; nothing was changed"
    )
    back_up(site.path, site.backup)
    site.secret_box = SecretBox([Fernet.generate_key()])
    assert refused(site) == (
        "FILE: was made under another key; put that key beside the key file, as ldapgw.key.YYYY-MM-DD, and restore "
        "again"
    )


def test_a_damaged_database_is_not_backed_up(site: Site) -> None:
    """The last good backup stays."""
    back_up(site.path, site.backup)
    before = site.backup.read_bytes()
    site.database.close()
    damage(site.path)
    with pytest.raises(StoreError, match=r"malformed|is damaged"):
        back_up(site.path, site.backup)
    assert site.backup.read_bytes() == before
    assert [path.name for path in site.backup.parent.iterdir()] == ["monday.db"]


@pytest.mark.parametrize("name", ["ldapgw.db", "ldapgw.db-wal", "ldapgw.db.before-restore", "none/x.db"])
def test_a_place_where_no_backup_can_be(site: Site, name: str) -> None:
    """A slip of the finger must not cost the database."""
    problem = "the gateway itself may use a file of this name" if "/" not in name else "cannot be written: No such file"
    with pytest.raises(StoreError, match=problem):
        back_up(site.path, site.path.parent / name)
    assert site.phones() == [DESK.name]


def test_a_lock_is_waited_for_and_not_for_ever(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is one line."""
    back_up(site.path, site.backup)
    site.add("late")
    monkeypatch.setattr("ldapgw.store.sqlite.BUSY_SECONDS", 0.02)
    other = sqlite3.connect(site.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="database is locked"):
        site.restore()
    other.execute("ROLLBACK")
    other.close()
    assert site.phones() == [DESK.name, "late"]


@pytest.mark.long  # killed many times
@pytest.mark.parametrize("lost", [False, True], ids=["whole", "damaged"])
def test_a_killed_restore_leaves_the_one_or_the_other(tmp_path: Path, lost: bool) -> None:
    """At whichever step; done again, it is done.  A damaged database may be gone in between: it is never begun anew."""
    step, dead = 0, True
    while dead:
        step += 1
        site = Site(tmp_path / str(step))
        back_up(site.path, site.backup)
        site.add("late")
        if lost:
            site.database.close()
            damage(site.path)
        kill = Kill(step)
        with pytest.MonkeyPatch.context() as patch:
            kill.watch_files(patch)
            with suppress(Killed):
                site.restore()
        dead = kill.dead
        if not lost:
            assert site.phones() in ([DESK.name], [DESK.name, "late"])
        site.restore()
        assert site.phones() == [DESK.name]
        site.database.close()
        with sqlite3.connect(site.path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()
    assert step > 5
