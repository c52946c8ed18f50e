# SPDX-License-Identifier: MIT
"""A state_dir belongs to a single gateway, and its key fits the stored secrets."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from ldapgw.contact import Sharing
from ldapgw.errors import StoreError, UnreachableStore
from ldapgw.server.state_dir import (
    KEY_FILE,
    OpenStateDir,
    StateDir,
    StateDirLock,
    accept_lost_accounts,
    create_state_dir,
    lock_holder_pid,
)
from ldapgw.store import accounts, sync_state
from ldapgw.store.secrets import SecretBox, new_key, read_keys, write_keys
from tests.support.stage.sync import GRANT, NOW


def test_the_second_is_told_who_the_first_is(tmp_path: Path) -> None:
    """The lock names the process of the first gateway until the release; before it is named, its number is 0."""
    assert lock_holder_pid(tmp_path) is None
    first = StateDirLock(tmp_path)
    assert lock_holder_pid(tmp_path) == 0
    first.write_pid()
    assert lock_holder_pid(tmp_path) == os.getpid()
    with pytest.raises(StoreError) as caught:
        StateDirLock(tmp_path)
    assert caught.value.problems == (f"state_dir = {tmp_path}: is in use by another gateway (process {os.getpid()})",)
    first.release()
    assert lock_holder_pid(tmp_path) is None
    StateDirLock(tmp_path).release()


def test_a_file_that_a_killed_process_left_holds_nobody_up(tmp_path: Path) -> None:
    """Only the lock of the kernel counts, not the file."""
    (tmp_path / "ldapgw.pid").write_text("12345678901234\n")
    assert lock_holder_pid(tmp_path) is None
    lock = StateDirLock(tmp_path)
    lock.write_pid()
    assert (tmp_path / "ldapgw.pid").read_text() == f"{os.getpid()}\n"
    lock.release()


def connected(path: Path, encryption_key: str = "") -> OpenStateDir:
    state = OpenStateDir(StateDir(path, encryption_key=encryption_key))
    with state.database.begin() as connection:
        account_id = accounts.connect(
            connection, state.secret_box, "acme", GRANT, Sharing.PRIVATE, NOW, shared_label=""
        )
        assert account_id is not None
        sync_state.begin(connection, account_id)
    return state


def test_a_first_start_makes_all_of_it(tmp_path: Path) -> None:
    """The files are private, and the state_dir accepts one gateway at a time."""
    state = OpenStateDir(StateDir(tmp_path / "state"))
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (tmp_path / "state").iterdir()}
    assert {modes[name] for name in ("ldapgw.db", "ldapgw.key", "ldapgw.pid")} == {"0o600"}
    with pytest.raises(StoreError, match="is in use by another gateway"):
        OpenStateDir(StateDir(tmp_path / "state"))
    state.close()
    OpenStateDir(StateDir(tmp_path / "state")).close()


def test_a_restart_finds_the_grants_and_no_sync_running(tmp_path: Path) -> None:
    """A killed process leaves no account marked as syncing."""
    connected(tmp_path / "state").close()
    state = OpenStateDir(StateDir(tmp_path / "state"))
    with state.database.begin() as connection:
        (account,) = accounts.read_all(connection)
        assert not account.syncing
        held = accounts.read_tokens(connection, state.secret_box, account.id)
    assert held is not None
    assert held.refresh_token == "refresh-1"
    state.close()


def test_another_database_can_be_configured(tmp_path: Path) -> None:
    """The key stays in the state_dir."""
    OpenStateDir(StateDir(tmp_path / "state", f"sqlite:///{tmp_path / 'other.db'}")).close()
    assert (tmp_path / "other.db").exists()
    assert (tmp_path / "state" / KEY_FILE).exists()


@pytest.mark.parametrize("is_mounted", [True, False])
def test_no_new_store_is_made_where_there_has_to_be_one(tmp_path: Path, is_mounted: bool) -> None:
    """An unmounted disk looks like an empty or missing folder. The start makes no file and reports a single line."""
    state_dir = tmp_path / "state"
    if is_mounted:
        state_dir.mkdir(mode=0o700)
    with pytest.raises(StoreError, match=r"(is not there|there is no database), and new_store") as caught:
        OpenStateDir(StateDir(state_dir, new_store=False))
    assert len(caught.value.problems) == 1
    assert list(tmp_path.rglob("*")) == [state_dir] * is_mounted


def test_a_folder_that_has_nothing_to_lose_is_made(tmp_path: Path) -> None:
    """With a server's database and a key from the settings, the folder holds only copies."""
    state_dir = tmp_path / "state"
    server = f"postgresql+psycopg://ldapgw@localhost/ldapgw?host={tmp_path}"
    with pytest.raises(StoreError, match="is not there, and new_store is false"):
        OpenStateDir(StateDir(state_dir, server, new_store=False))
    with pytest.raises(StoreError, match="is not there, and new_store is false"):
        OpenStateDir(StateDir(state_dir, new_store=False, encryption_key=Fernet.generate_key().decode()))
    with pytest.raises(UnreachableStore):
        OpenStateDir(StateDir(state_dir, server, new_store=False, encryption_key=Fernet.generate_key().decode()))
    assert state_dir.stat().st_mode & 0o777 == 0o700


def test_a_store_that_was_made_beforehand_is_served(tmp_path: Path) -> None:
    """A second creation changes nothing."""
    create_state_dir(tmp_path / "state")
    before = {path.name: path.read_bytes() for path in (tmp_path / "state").iterdir()}
    assert before.keys() == {"ldapgw.db", "ldapgw.key"}
    create_state_dir(tmp_path / "state")
    assert {path.name: path.read_bytes() for path in (tmp_path / "state").iterdir()} == before
    state = OpenStateDir(StateDir(tmp_path / "state", new_store=False))
    assert state.is_unused
    state.close()
    connected(tmp_path / "state").close()
    state = OpenStateDir(StateDir(tmp_path / "state", new_store=False))
    assert not state.is_unused
    state.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_makes_a_store_for_the_owner_of_the_folder(tmp_path: Path) -> None:
    """The owner of the folder has to use the store."""
    (tmp_path / "state").mkdir(mode=0o700)
    os.chown(tmp_path / "state", 1234, 1235)
    create_state_dir(tmp_path / "state")
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in (tmp_path / "state").iterdir()}
    assert owners == {(1234, 1235)}


LOST_KEYS = {
    "missing": (lambda key: key.unlink(), "the key file is missing"),
    "another": (lambda key: key.write_bytes(Fernet.generate_key()), "secrets do not fit the key file"),
    "open to others": (lambda key: key.chmod(0o644), "other users can read the key file"),
}


@pytest.mark.parametrize(("lose", "message"), LOST_KEYS.values(), ids=LOST_KEYS)
def test_a_key_that_is_lost_is_told_at_the_start(tmp_path: Path, lose: object, message: str) -> None:
    """The start makes no new key, leaves the grants alone, and releases the lock."""
    connected(tmp_path / "state").close()
    key = tmp_path / "state" / KEY_FILE
    kept = key.read_bytes()
    lose(key)  # type: ignore[operator]
    for _ in range(2):
        with pytest.raises(StoreError, match=message):
            OpenStateDir(StateDir(tmp_path / "state"))
    key.write_bytes(kept)
    key.chmod(0o600)
    OpenStateDir(StateDir(tmp_path / "state")).close()


def test_a_start_names_the_accounts_whose_tokens_fit_no_key(tmp_path: Path) -> None:
    """Two accounts have different keys. The gateway starts only with both keys in the file."""
    state = connected(tmp_path)
    file, second = tmp_path / KEY_FILE, new_key()
    [first] = read_keys(file)
    with state.database.begin() as connection:
        grant = replace(GRANT, sub="sub-2")
        accounts.connect(connection, SecretBox([second]), "acme", grant, Sharing.PRIVATE, NOW, shared_label="")
    state.close()
    for key, named in ((first, "account 2 of acme"), (second, "account 1 of acme")):
        write_keys(file, [key])
        with pytest.raises(StoreError) as refused:
            OpenStateDir(StateDir(tmp_path))
        assert refused.value.problems == (
            f"stored secrets do not fit the key file ({named}), but the key fits other secrets: two keys have been "
            "in use, so write both keys into the key file, and run ldapgw rotate-key",
        )
    write_keys(file, [first, second])
    OpenStateDir(StateDir(tmp_path)).close()


def test_a_database_that_has_lost_accounts_is_told_at_the_start(tmp_path: Path) -> None:
    """Cached books reveal accounts that the database has never had. A removed account is not missing."""
    state = connected(tmp_path)
    images = tmp_path / "images"
    images.mkdir()
    for name in ("1.image", "2.image", "2-directory.image", "3.image.new"):
        (images / name).touch()
    state.close()
    with pytest.raises(StoreError) as refused:
        OpenStateDir(StateDir(tmp_path))
    assert refused.value.problems == (
        f"{tmp_path / 'ldapgw.db'}: 1 account is missing from the database, although the account has a cached "
        f"book in {tmp_path}; restore a backup, or start the gateway once with --accept to accept this loss",
    )
    accept_lost_accounts(tmp_path)
    state = OpenStateDir(StateDir(tmp_path))
    state.database.run(accounts.remove, 1, with_phones=True)
    state.close()
    (images / "1.image").touch()
    OpenStateDir(StateDir(tmp_path)).close()


def test_a_database_that_was_emptied_is_no_new_one(tmp_path: Path) -> None:
    """The key shows that the database was used. The start changes nothing, so a backup can be restored."""
    connected(tmp_path).close()
    file = tmp_path / "ldapgw.db"
    for one in tmp_path.glob("ldapgw.db*"):
        one.unlink()
    file.touch()
    with pytest.raises(StoreError, match=r"the database is empty, but its key .* exists; restore a backup"):
        OpenStateDir(StateDir(tmp_path))
    assert file.stat().st_size == 0
    (tmp_path / KEY_FILE).unlink()
    OpenStateDir(StateDir(tmp_path)).close()


def test_a_key_of_the_setting(tmp_path: Path) -> None:
    """The key from the settings seals the secrets without a key file. A key that does not fit is refused."""
    key, other = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    connected(tmp_path, key).close()
    OpenStateDir(StateDir(tmp_path, encryption_key=f"{other} {key}")).close()
    with pytest.raises(StoreError, match="secrets do not fit encryption_key"):
        OpenStateDir(StateDir(tmp_path, encryption_key=other))
    assert not (tmp_path / KEY_FILE).exists()
    with pytest.raises(StoreError, match="the key file is missing"):
        OpenStateDir(StateDir(tmp_path))
    create_state_dir(tmp_path / "new", key)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["ldapgw.db"]
