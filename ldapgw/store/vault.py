# SPDX-License-Identifier: MIT
"""Secrets at rest: sealed with Fernet under a key that lies in a file of its own, beside the database, mode 0600.

The file holds a key a line.  The first seals, all of them unseal, so a key can be replaced while the gateway runs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from ldapgw.errors import StoreError, UnfitKey


class Vault:
    """Seals and unseals texts.

    :param keys: Fernet keys, the one to seal with first.
    """

    def __init__(self, keys: list[bytes]) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    @classmethod
    def open(cls, path: Path, *, create: bool) -> Self:
        """Read the key file.

        :param create: make a new key where there is no file; not to be done once secrets are stored.
        :raises StoreError: when the file is missing, readable for others, or holds no key.
        """
        try:
            if create and not path.exists():
                _create(path)
            mode = path.stat().st_mode
            keys = path.read_bytes().split()
        except FileNotFoundError:
            raise StoreError(
                f"{path}: the key file is missing, so the stored consents cannot be read; put it back from a backup"
            ) from None
        except OSError as error:
            raise StoreError(f"{path}: the key file cannot be read: {error.strerror}") from None
        if mode & 0o077:
            raise StoreError(f"{path}: others may read the key file; run: chmod 600 {path}")
        try:
            return cls(keys)
        except ValueError:
            raise StoreError(f"{path}: is not a key file; put it back from a backup") from None

    def seal(self, secret: str) -> bytes:
        """A secret as it may be stored."""
        return self._fernet.encrypt(secret.encode())

    def unseal(self, sealed: bytes) -> str:
        """The secret that was sealed.

        :raises StoreError: when it was sealed under another key.
        """
        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken:
            raise UnfitKey("a stored secret does not fit the key file; put back the key that belongs to it") from None


def _create(path: Path) -> None:
    """A new key file; whole or not at all, whenever the machine stops."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(Fernet.generate_key() + b"\n")
        file.flush()
        os.fsync(descriptor)
    new.rename(path)
