# SPDX-License-Identifier: MIT
"""The vault and its key file."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from ldapgw.errors import StoreError
from ldapgw.store.vault import Vault


def test_a_new_key_file_is_ours_alone(tmp_path: Path) -> None:
    """Mode 0600 from the first octet on, and the same key at the next start."""
    path = tmp_path / "key"
    sealed = Vault.open(path, create=True).seal("hush")
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"hush" not in sealed
    assert Vault.open(path, create=True).unseal(sealed) == "hush"
    assert Vault.open(path, create=False).unseal(sealed) == "hush"


def test_a_key_in_front_seals_and_the_old_one_unseals(tmp_path: Path) -> None:
    """A key can be replaced while secrets are sealed under the old one."""
    path = tmp_path / "key"
    old = Vault.open(path, create=True)
    path.write_bytes(Fernet.generate_key() + b"\n" + path.read_bytes())
    both = Vault.open(path, create=False)
    assert both.unseal(old.seal("hush")) == "hush"
    with pytest.raises(StoreError, match="does not fit the key file"):
        old.unseal(both.seal("hush"))


def test_a_key_file_that_cannot_be_used(tmp_path: Path) -> None:
    """Missing, open to others, or no key: each says what to do."""
    path = tmp_path / "key"
    with pytest.raises(StoreError, match=r"key file is missing.*from a backup"):
        Vault.open(path, create=False)
    path.write_text("not a key")
    path.chmod(0o600)
    with pytest.raises(StoreError, match="is not a key file"):
        Vault.open(path, create=True)
    path.chmod(0o640)
    with pytest.raises(StoreError, match="chmod 600"):
        Vault.open(path, create=True)
    path.unlink()
    path.mkdir(mode=0o700)
    with pytest.raises(StoreError, match="cannot be read: Is a directory"):
        Vault.open(path, create=True)
