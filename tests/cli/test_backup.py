# SPDX-License-Identifier: MIT
"""The tests back up and restore the database, rotate its key, and copy the database to another one.

Only a database server shows that a copy between SQLite and PostgreSQL keeps all data.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import pytest

from ldapgw.server.certificates import AuthorityFiles
from ldapgw.server.state_dir import BACKUP_NOTE
from ldapgw.store import accounts, activity, gateways, sync_history
from ldapgw.store.backup import mark_unfinished
from ldapgw.store.database import Mode
from ldapgw.store.engines import database_at
from ldapgw.store.files import backup_time
from ldapgw.store.gateways import GatewayInfo
from ldapgw.store.secrets import SecretBox, new_key, read_keys
from ldapgw.store.sync_history import SyncFigures
from tests.support.postgresql import needs_postgresql, new_url
from tests.support.site.command_line import ACME, HEAD, THEN, Gateway

ALICE = "alice@acme.example"
# The package has the command of this name.
backup = import_module("ldapgw.cli.backup")


def acts(gateway: Gateway) -> list[str]:
    """Return the acts of the activity log, the oldest first."""
    return [one.act for one in gateway.do(activity.read_since, "acme", 0.0)]


def refresh_token(gateway: Gateway, keys: Sequence[bytes], account_id: int) -> str | None:
    """Return the stored token of an account, read with the given keys."""
    held = gateway.do(accounts.read_tokens, SecretBox(keys), account_id)
    return held.refresh_token if held else None


def test_there_and_back(gateway: Gateway) -> None:
    """A restore brings a removed phone back; if a gateway runs, the command says when the gateway uses the data."""
    gateway.connect(ALICE)
    gateway.run("phones", "add", "desk1", "--account", ALICE)
    gateway.do(sync_history.add_figures, 1, 0, SyncFigures(added=3), THEN, is_full=True)
    gateway.do(sync_history.record_end, 1, 0, THEN, THEN + 2)
    backup = gateway.folder / "monday.db"
    said = gateway.run("backup", str(backup))
    assert said.exit_code == 0
    assert said.stdout.startswith(f"Saved the database to {backup} (")
    assert str(gateway.state_dir / "ldapgw.key") in said.stdout
    gateway.run("phones", "remove", "desk1", "--yes")
    (gateway.state_dir / "images").mkdir()
    (gateway.state_dir / "images" / "1.image").touch()
    said = gateway.run("restore", str(backup), "--yes")
    assert list((gateway.state_dir / "images").iterdir()) == []
    assert (said.exit_code, said.stdout) == (0, f"Restored {backup}. Now start the gateway.\n")
    assert [phone["name"] for phone in gateway.json("phones", "list")] == ["desk1"]
    assert acts(gateway) == ["phone_added", "backup_restored"]
    (attempt,) = gateway.do(sync_history.read_attempts, 1)
    (*_, day) = gateway.do(sync_history.summarize_account, 1, THEN)
    assert (attempt.figures, attempt.seconds, day.ok, day.changes) == (SyncFigures(added=3), 2.0, 1, 3)
    with gateway.running():
        said = gateway.run("restore", str(backup), "--yes")
        assert (
            said.stdout
            == f"Restored {backup}. The gateway uses this data within 2 seconds, and builds all books again.\n"
        )


def test_the_last_ones_are_kept(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command deletes only older backups and the file of a killed backup; a failed backup deletes nothing."""
    gateway.connect(ALICE)
    folder = gateway.folder / "backups"
    folder.mkdir(mode=0o700)
    killed, running = (folder / f"ldapgw-20260101T00000{number}Z.db.new" for number in (0, 1))
    for file, age in ((killed, 25), (running, 23)):
        file.touch()
        os.utime(file, (THEN - age * 3600, THEN - age * 3600))
    seconds = [THEN + 86400 * day for day in range(4)]
    for number, second in enumerate(seconds):
        monkeypatch.setattr(backup, "now", lambda second=second: second)
        said = gateway.run("backup", str(folder), "--keep", "2")
        assert said.exit_code == 0, said.output
        assert backup_time(gateway.state_dir / BACKUP_NOTE) == second
        (folder / "ldapgw.db").touch()
        if not number:
            assert [killed.exists(), running.exists()] == [False, True]
            running.unlink()
        kept, deleted = min(number + 1, 2), max(number - 1, 0) and 1
        assert said.stdout.splitlines()[-1] == (
            f"{folder} has {kept} backup{'' if kept == 1 else 's'}; deleted: {deleted}."
        )
    names = [datetime.fromtimestamp(second, UTC).strftime("ldapgw-%Y%m%dT%H%M%SZ.db") for second in seconds[2:]]
    assert sorted(path.name for path in folder.iterdir()) == [*names, "ldapgw.db"]
    assert gateway.run("restore", str(folder / names[-1]), "--yes").exit_code == 0
    (gateway.state_dir / "ldapgw.db").unlink()
    assert "there is no database yet" in gateway.refused("backup", str(folder), "--keep", "1")
    assert len(list(folder.iterdir())) == 3
    (gateway.folder / "file").touch()
    assert "cannot be a folder for backups: File exists" in gateway.refused(
        "backup", str(gateway.folder / "file"), "--keep", "1"
    )


def test_a_file_is_replaced_only_when_somebody_agrees(gateway: Gateway) -> None:
    """``--yes`` agrees; with ``--keep`` a folder gets a further file, which replaces nothing and asks nobody."""
    gateway.connect(ALICE)
    monday = gateway.folder / "monday.db"
    assert gateway.run("backup", str(monday)).exit_code == 0
    monday.write_text("last week's")
    assert gateway.refused("backup", str(monday)) == (
        f"This replaces the existing file {monday}. To go ahead without a terminal, add --yes.\n"
    )
    assert monday.read_text() == "last week's"
    link = gateway.folder / "latest.db"
    link.symlink_to(gateway.folder / "gone.db")
    assert "This replaces the existing file" in gateway.refused("backup", str(link))
    assert gateway.run("backup", str(monday), "--yes").exit_code == 0
    assert monday.read_bytes().startswith(b"SQLite format 3")
    for _ in range(2):
        assert gateway.run("backup", str(gateway.folder / "backups"), "--keep", "1").exit_code == 0
    pipe, link = gateway.folder / "pipe", gateway.folder / "link"
    os.mkfifo(pipe)
    link.symlink_to("/proc/self/fd/1")  # /dev/stdout is such a link
    for name in (pipe, link, gateway.folder / "backups"):
        refused = f"{name}: is no regular file; name a file, or a folder with --keep"
        assert refused in gateway.refused("backup", str(name), "--yes")
    assert (pipe.is_fifo(), link.is_symlink()) == (True, True)
    assert (gateway.folder / "backups").stat().st_mode & 0o777 == 0o700


def test_a_name_that_is_too_long_is_refused(gateway: Gateway) -> None:
    """A script may append the time to a name again and again."""
    gateway.connect(ALICE)
    file = gateway.folder / ("a" * 300)
    assert gateway.refused("backup", str(file)) == f"{file}: cannot be written: File name too long\n"


def test_a_new_machine(gateway: Gateway) -> None:
    """The key file has to be there first, because the consents in the backup cannot be read without the key."""
    gateway.connect(ALICE)
    backup, key = gateway.folder / "monday.db", gateway.state_dir / "ldapgw.key"
    gateway.run("backup", str(backup))
    kept = key.read_bytes()
    for path in gateway.state_dir.iterdir():
        path.unlink()
    gateway.state_dir.rmdir()
    assert "the key file is missing" in gateway.refused("restore", str(backup), "--yes")
    key.write_bytes(kept)
    key.chmod(0o600)
    assert gateway.run("restore", str(backup), "--yes").exit_code == 0
    assert [account["account"] for account in gateway.json("accounts")] == [ALICE]


def test_a_new_key(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sealed token can be read with the new key alone; the former key is beside the new key, with the date."""
    account_id = gateway.connect(ALICE)
    before = read_keys(gateway.state_dir / "ldapgw.key")
    monkeypatch.setattr(backup, "now", lambda: THEN)
    said = gateway.run("rotate-key")
    kept = gateway.state_dir / "ldapgw.key.2026-01-31"
    assert said.stdout == (
        f"Encrypted 2 secrets with a new key in {gateway.state_dir / 'ldapgw.key'}. "
        "Keep a copy of this file elsewhere.\n"
        f"The old key is in {kept}. Delete that file after 2026-03-02, when the gateway has deleted its older copies "
        "of the database, and when you no longer have backups from before this rotation.\n"
    )
    assert acts(gateway) == ["key_rotated"]
    assert (read_keys(kept), kept.stat().st_mode & 0o777) == (before, 0o600)
    after = read_keys(gateway.state_dir / "ldapgw.key")
    assert (len(after), after == before) == (1, False)
    assert refresh_token(gateway, after, account_id) == f"rt-{ALICE}"


def test_a_backup_from_before_a_new_key(gateway: Gateway) -> None:
    """The restore needs the old key beside the new key, and then seals the secrets with the new key.

    A restore that is refused leaves the cached books to the next start.
    """
    account_id = gateway.connect(ALICE)
    monday = gateway.folder / "monday.db"
    gateway.run("backup", str(monday))
    gateway.run("rotate-key")
    [kept] = gateway.state_dir.glob("ldapgw.key.*")
    kept.rename(gateway.folder / kept.name)
    cached = gateway.state_dir / "images" / "1.image"
    cached.parent.mkdir()
    cached.touch()
    assert gateway.refused("restore", str(monday), "--yes") == (
        f"{monday}: was made under another key; put that key beside the key file, as ldapgw.key.YYYY-MM-DD, and "
        "restore again\n"
    )
    (gateway.folder / kept.name).rename(kept)
    assert cached.exists()
    assert gateway.run("restore", str(monday), "--yes").exit_code == 0
    assert not cached.exists()
    assert refresh_token(gateway, read_keys(gateway.state_dir / "ldapgw.key"), account_id) == f"rt-{ALICE}"
    kept.chmod(0o640)
    assert gateway.refused("restore", str(monday), "--yes") == (
        f"{kept}: other users can read the key file; run: chmod 600 {kept}\n"
    )


def test_where_nothing_is_there_nothing_is_made(gateway: Gateway, tree: Callable[[], dict[str, bytes]]) -> None:
    before = tree()
    assert "there is no database yet" in gateway.refused("backup", str(gateway.folder / "x.db"))
    assert "the key file is missing" in gateway.refused("rotate-key")
    assert tree() == before


def test_a_new_key_of_the_setting(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person puts the new key in front of the old key; after the rotation the new key alone is enough."""
    account_id = gateway.connect(ALICE)
    key_file, (old,), new = gateway.state_dir / "ldapgw.key", read_keys(gateway.state_dir / "ldapgw.key"), new_key()
    monkeypatch.setenv("LDAPGW__ENCRYPTION_KEY", old.decode())
    key_file.unlink()
    assert gateway.refused("rotate-key") == (
        f"{gateway.file}: encryption_key: ldapgw cannot replace a key in a setting; put a new key in front of "
        "the present one, with a blank between them, restart the gateway, and run rotate-key again\n"
    )
    told = gateway.run("backup", str(gateway.folder / "b.db")).stdout
    assert "without its key: keep a copy of encryption_key elsewhere." in told
    monkeypatch.setenv("LDAPGW__ENCRYPTION_KEY", f"{new.decode()} {old.decode()}")
    assert gateway.run("rotate-key").stdout == (
        "Encrypted 2 secrets with the first key of encryption_key. Now remove its other keys.\n"
        "Keep a copy of the other keys as long as you have backups from before this rotation.\n"
    )
    assert acts(gateway) == ["key_rotated"]
    assert refresh_token(gateway, [new], account_id) == f"rt-{ALICE}"
    assert not key_file.exists()
    monkeypatch.setenv("LDAPGW__ENCRYPTION_KEY", old.decode())
    told = gateway.run("check")
    assert (told.exit_code, "encryption_key: stored secrets do not fit encryption_key" in told.output) == (1, True)


@pytest.mark.long
@needs_postgresql
def test_a_new_key_of_the_setting_on_several_gateways(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """No secret is sealed with a key that a living gateway lacks."""
    old, new = new_key(), new_key()
    url, there = new_url(), GatewayInfo("1", "south.example", "1.0", keys=SecretBox([old]).fingerprints())
    gateway.write(f'database = "{url.render_as_string(hide_password=False)}"\n{HEAD}{ACME}')
    database = database_at(url)
    database.open()
    database.call(Mode.BESIDE, gateways.beat, there)
    monkeypatch.setattr(backup, "_TELL_SECONDS", 0.0)
    monkeypatch.setenv("LDAPGW__ENCRYPTION_KEY", f"{new.decode()} {old.decode()}")
    assert gateway.refused("rotate-key") == (
        "the gateway on south.example does not have the new key yet: set the same encryption_key there, restart it, "
        "and run ldapgw rotate-key again; until then all gateways use the old key\n"
    )
    database.call(Mode.BESIDE, gateways.beat, replace(there, keys=SecretBox([new, old]).fingerprints()))
    database.close()
    assert gateway.run("rotate-key").exit_code == 0


@pytest.fixture
def url() -> str:
    return new_url(template="template0").render_as_string()


def on_server(gateway: Gateway, url: str) -> None:
    gateway.write(f'database = "{url}"\n{HEAD}{ACME}')


@needs_postgresql
def test_a_copy_there_and_back(gateway: Gateway, url: str, tmp_path: Path) -> None:
    """All commands find the same data in the copy, and the copied database stays as it was."""
    gateway.connect(ALICE)
    gateway.run("phones", "add", "desk1", "--account", ALICE)
    before = gateway.json("accounts"), gateway.json("phones", "list")
    said = gateway.run("database", "copy", "--to", url)
    assert said.exit_code == 0, said.stderr
    assert "✓ phone: 1\n" in said.stdout
    assert said.stdout.splitlines()[-2].endswith(", and compared each of them.")
    assert (gateway.json("accounts"), gateway.json("phones", "list")) == before
    assert "is in use; name an empty database" in gateway.refused("database", "copy", "--to", url)
    on_server(gateway, url)
    assert (gateway.json("accounts"), gateway.json("phones", "list")) == before
    assert gateway.json("status")["database"]["server"].startswith("postgresql://")
    gateway.run("backup", str(tmp_path / "monday.db"))
    gateway.run("phones", "remove", "desk1", "--yes")
    assert gateway.json("phones", "list") == []
    assert gateway.run("restore", str(tmp_path / "monday.db"), "--yes").exit_code == 0
    assert [phone["name"] for phone in gateway.json("phones", "list")] == ["desk1"]
    back = f"sqlite:///{tmp_path / 'back.db'}"
    assert gateway.run("database", "copy", "--to", back).exit_code == 0
    gateway.write(f'database = "{back}"\n{HEAD}{ACME}')
    assert [phone["name"] for phone in gateway.json("phones", "list")] == ["desk1"]


@needs_postgresql
def test_what_is_not_copied(gateway: Gateway, url: str) -> None:
    """Nothing is copied while a gateway runs, without a database, or onto the same database."""
    assert "there is no database yet" in gateway.refused("database", "copy", "--to", url)
    gateway.connect(ALICE)
    itself = f"sqlite:///{gateway.state_dir / 'ldapgw.db'}"
    assert "is the configured database" in gateway.refused("database", "copy", "--to", itself)
    with gateway.running():
        assert "is in use by another gateway" in gateway.refused("database", "copy", "--to", url)
    on_server(gateway, url)
    assert gateway.json("accounts") == []
    told = gateway.refused("phones", "add", "desk1", "--account", ALICE)
    assert "copy the file with ldapgw database copy" in told or "there is no account" in told


@needs_postgresql
def test_a_copy_that_has_not_ended_is_not_used(gateway: Gateway, url: str) -> None:
    """One line tells to run the copy again, and the next copy finishes the work."""
    gateway.connect(ALICE)
    assert gateway.run("database", "copy", "--to", url).exit_code == 0
    database = database_at(url)
    database.unfinished_copy_of = "x"
    database.run(mark_unfinished)
    database.close()
    on_server(gateway, url)
    assert gateway.refused("accounts").endswith(
        "a copy into this database was not finished; run the same ldapgw database copy again\n"
    )
    gateway.write(HEAD + ACME)
    assert gateway.run("database", "copy", "--to", url).exit_code == 0
    on_server(gateway, url)
    assert [account["account"] for account in gateway.json("accounts")] == [ALICE]


def test_a_backup_names_the_folder_of_a_private_authority(gateway: Gateway) -> None:
    """Phones trust the authority, and no backup has its folder."""
    gateway.connect(ALICE)
    told = "Phones trust the authority in {}: keep a copy of this folder, too."
    folder = gateway.state_dir / "tls"
    assert told.format(folder) not in gateway.run("backup", str(gateway.folder / "a.db")).stdout
    assert gateway.run("certificate", "create").exit_code == 0
    files = AuthorityFiles.within(folder)
    tls = f'[tls]\ncertificate = "{files.certificate}"\nprivate_key = "{files.private_key}"\n'
    gateway.write(gateway.file.read_text().replace("[web]", f"{tls}[web]", 1))
    assert told.format(folder) in gateway.run("backup", str(gateway.folder / "b.db")).stdout
