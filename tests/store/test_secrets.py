# SPDX-License-Identifier: MIT
"""The secret_box and its key file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from ldapgw.errors import StoreError, UnfitKey
from ldapgw.store.secrets import KeySource, SecretBox, fingerprint, new_key, read_keys, write_keys


def test_a_new_key_file_is_ours_alone(tmp_path: Path) -> None:
    """Mode 0600 from the first octet on, and the same key at the next start."""
    path = tmp_path / "key"
    sealed = SecretBox.open(KeySource(path), create=True).seal("hush")
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"hush" not in sealed
    assert SecretBox.open(KeySource(path), create=True).unseal(sealed) == "hush"
    assert SecretBox.open(KeySource(path), create=False).unseal(sealed) == "hush"


def test_a_key_in_front_seals_and_the_old_one_unseals(tmp_path: Path) -> None:
    """A key can be replaced while secrets are sealed under the old one."""
    first, second = Fernet.generate_key(), Fernet.generate_key()
    old, both = SecretBox([first]), SecretBox([second, first])
    assert both.unseal(old.seal("hush")) == "hush"
    assert SecretBox([second]).unseal(both.reseal(old.seal("hush"))) == "hush"
    for use in (old.unseal, old.reseal):
        with pytest.raises(UnfitKey, match="does not fit the key file"):
            use(both.seal("hush"))


def test_a_key_file_that_changes_is_read_anew(tmp_path: Path) -> None:
    """At the next use; what the file had before still unseals."""
    path, new = tmp_path / "key", new_key()
    secret_box = SecretBox.open(KeySource(path), create=True)
    before = secret_box.seal("before")
    write_keys(path, [new, *read_keys(path)])
    after = secret_box.seal("after")
    assert SecretBox([new]).unseal(after) == "after"
    write_keys(path, [new])
    assert (secret_box.unseal(before), secret_box.unseal(after)) == ("before", "after")
    assert secret_box.fingerprints() == (fingerprint(new),)
    write_keys(path, [new_key(), new])
    assert (secret_box.unseal(before), secret_box.unseal(after)) == ("before", "after")


LOSSES = {
    "another machine's": (
        lambda path: write_keys(path, [new_key()]),
        "the key with which the gateway encrypts at present is missing, so the file may belong to another gateway; "
        "put the former file back, or write the keys of both files into this file, one per line",
    ),
    "open to others": (lambda path: path.chmod(0o644), "other users can read the key file; run: chmod 600 KEY"),
    "no key": (lambda path: path.write_text("not a key"), "is not a key file; put it back from a backup"),
    "gone": (
        lambda path: path.unlink(),
        "the key file is missing, so the stored consents cannot be read; put it back from a backup",
    ),
}


@pytest.mark.parametrize(("lose", "problem"), LOSSES.values(), ids=LOSSES)
def test_a_key_file_that_lacks_the_key_in_use_is_not_taken(
    tmp_path: Path, lose: Callable[[Path], object], problem: str, caplog_twisted: list[str]
) -> None:
    """The former keys go on sealing, which is told once; until a file comes that has the key."""
    path = tmp_path / "key"
    secret_box = SecretBox.open(KeySource(path), create=True)
    [key] = read_keys(path)
    lose(path)
    for _ in range(2):
        assert SecretBox([key]).unseal(secret_box.seal("hush")) == "hush"
        assert secret_box.problem == f"{path}: {problem.replace('KEY', str(path))}"
    path.unlink(missing_ok=True)
    write_keys(path, [new_key(), key])
    secret_box.seal("hush")
    assert secret_box.problem == ""
    assert caplog_twisted == [
        f"{path}: {problem.replace('KEY', str(path))}; the gateway goes on with the former keys",
        f"{path}: the key file is used again",
    ]


def test_a_file_that_comes_back_is_used_again(tmp_path: Path) -> None:
    """Also when it is the very file that was there before."""
    path = tmp_path / "key"
    secret_box = SecretBox.open(KeySource(path), create=True)
    path.rename(tmp_path / "away")
    secret_box.seal("hush")
    assert secret_box.problem != ""
    (tmp_path / "away").rename(path)
    secret_box.seal("hush")
    assert secret_box.problem == ""


def test_whose_secrets_fit_no_key(tmp_path: Path) -> None:
    """Each is named once, and the message says whether two keys have been in use."""
    one, other = SecretBox([new_key()], "KEY"), SecretBox([new_key()])
    secrets = [("alice", other.seal("r")), ("alice", other.seal("a")), ("bob", None), ("carol", other.seal("r"))]
    assert str(one.find_unfit(secrets)) == (
        "stored secrets do not fit KEY (alice, carol); put back the key of these secrets"
    )
    assert str(one.find_unfit([*secrets, ("dave", one.seal("r"))])) == (
        "stored secrets do not fit KEY (alice, carol), but the key fits other secrets: two keys have been in use, so "
        "write both keys into KEY, and run ldapgw rotate-key"
    )
    many = [(f"p{number}", other.seal("r")) for number in range(7)]
    assert "(p0, p1, p2, p3, p4 and 2 more)" in str(one.find_unfit(many))
    assert other.find_unfit(secrets) is None


def test_a_key_file_that_cannot_be_used(tmp_path: Path) -> None:
    """A missing one is not made unless it may be; each problem is said as for a file that changes (`LOSSES`)."""
    path = tmp_path / "key"
    with pytest.raises(StoreError, match=r"key file is missing.*from a backup"):
        SecretBox.open(KeySource(path), create=False)
    path.mkdir(mode=0o700)
    with pytest.raises(StoreError, match="cannot be read: Is a directory"):
        SecretBox.open(KeySource(path), create=True)


def test_a_key_that_all_gateways_have_seals(tmp_path: Path) -> None:
    """The first one of them, as soon as there is one; where all have none of the file's keys, the first one does."""
    path, first, second = tmp_path / "key", new_key(), new_key()
    write_keys(path, [first])
    secret_box = SecretBox.open(KeySource(path), create=False)
    secret_box.limit_sealing(frozenset({fingerprint(first)}))
    write_keys(path, [second, first])
    assert SecretBox([first]).unseal(secret_box.seal("hush")) == "hush"
    assert secret_box.fingerprints() == (fingerprint(first), fingerprint(second))
    assert secret_box.derive("a purpose") == SecretBox([first]).derive("a purpose")
    secret_box.limit_sealing(frozenset({fingerprint(first), fingerprint(second)}))
    assert SecretBox([second]).unseal(secret_box.seal("hush")) == "hush"
    assert secret_box.fingerprints() == (fingerprint(second), fingerprint(first))
    write_keys(path, [second])
    assert secret_box.fingerprints() == (fingerprint(second),)
    assert secret_box.unseal(SecretBox([first]).seal("hush")) == "hush"
    secret_box.limit_sealing(frozenset({fingerprint(first)}))
    assert SecretBox([second]).unseal(secret_box.seal("hush")) == "hush"
    secret_box.limit_sealing(None)
    assert SecretBox([second]).unseal(secret_box.seal("hush")) == "hush"


def test_keys_of_a_setting(tmp_path: Path) -> None:
    """The first one seals, and all unseal; no file is made."""
    old, new = new_key(), new_key()
    source = KeySource(tmp_path / "key", f"{new.decode()}\n{old.decode()}")
    secret_box = SecretBox.open(source, create=True)
    assert secret_box.unseal(SecretBox([old]).seal("before")) == "before"
    assert SecretBox([new]).unseal(secret_box.seal("after")) == "after"
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UnfitKey, match="does not fit encryption_key; put back the key"):
        secret_box.unseal(SecretBox([new_key()]).seal("hush"))
    assert new.decode() not in repr(source)


def test_a_key_file_beside_a_setting(tmp_path: Path) -> None:
    """From before the setting: with the same keys it may stay, and with another one it has to be decided which fits."""
    path, key = tmp_path / "key", new_key()
    write_keys(path, [key])
    sealed = SecretBox.open(KeySource(path), create=False).seal("hush")
    assert (
        SecretBox.open(KeySource(path, f"{new_key().decode()} {key.decode()}"), create=False).unseal(sealed) == "hush"
    )
    with pytest.raises(StoreError, match="key: has a key that encryption_key lacks; add this key"):
        SecretBox.open(KeySource(path, new_key().decode()), create=True)
    assert SecretBox.open(KeySource(path), create=False).unseal(sealed) == "hush"
