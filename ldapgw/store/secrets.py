# SPDX-License-Identifier: MIT
"""Secrets at rest: sealed with Fernet under a key that lies in a file of its own, beside the database, mode 0600.

The file holds a key a line.  The first seals, all of them unseal.  It is looked at before each use, so that a key can
be replaced while the gateway runs (`ldapgw.store.key_rotation`); secrets are sealed and unsealed in transactions alone.
Mutable: the keys, as the file had them last.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from ldapgw.errors import StoreError, UnfitKey
from ldapgw.store.database import replace_file

_Stamp = tuple[int, int, int]


class SecretBox:
    """Seals and unseals texts.

    :param keys: Fernet keys, the one to seal with first.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._use(keys)
        self._path: Path | None = None
        self._stamp: _Stamp | None = None

    @classmethod
    def open(cls, path: Path, *, create: bool) -> Self:
        """Read the key file.

        :param create: make a new key where there is no file; not to be done once secrets are stored.
        :raises StoreError: when the file is missing, readable for others, or holds no key.
        """
        if create and not path.exists():
            write_keys(path, [new_key()])
        stamp = _stamp(path)
        vault = cls(read_keys(path))
        vault._path, vault._stamp = path, stamp
        return vault

    def seal(self, secret: str) -> bytes:
        """A secret as it may be stored."""
        self._reload_keys()
        return self._fernet.encrypt(secret.encode())

    def unseal(self, sealed: bytes) -> str:
        """The secret that was sealed.

        :raises UnfitKey: when it was sealed under another key.
        """
        self._reload_keys()
        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken:
            raise _UNFIT from None

    def reseal(self, sealed: bytes) -> bytes:
        """A sealed secret under the key that seals now.

        :raises UnfitKey: when it was sealed under another key.
        """
        self._reload_keys()
        try:
            return self._fernet.rotate(sealed)
        except InvalidToken:
            raise _UNFIT from None

    def _reload_keys(self) -> None:
        """Use the keys that the file has now.

        Those that it had before still unseal; where it cannot be read they are all there is, and the next start tells.
        """
        if self._path is None or (stamp := _stamp(self._path)) == self._stamp:
            return
        with suppress(StoreError):
            keys = read_keys(self._path)
            self._use([*keys, *(key for key in self._keys if key not in keys)])
            self._stamp = stamp

    def _use(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys)
        self._fernet = MultiFernet([Fernet(key) for key in keys])


def new_key() -> bytes:
    """A key that nobody knows."""
    return Fernet.generate_key()


def read_keys(path: Path) -> list[bytes]:
    """The keys in a file, the one to seal with first.

    :raises StoreError: when the file is missing, readable for others, or holds no key.
    """
    try:
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
        MultiFernet([Fernet(key) for key in keys])
    except ValueError:
        raise StoreError(f"{path}: is not a key file; put it back from a backup") from None
    return keys


def write_keys(path: Path, keys: Sequence[bytes]) -> None:
    """Have a file hold keys; whole or not at all, whenever the machine stops.

    :raises StoreError: when it cannot be written.
    """
    try:
        with replace_file(path, like=path if path.exists() else path.parent) as new:
            new.write_bytes(b"".join(key + b"\n" for key in keys))
    except OSError as error:
        raise StoreError(f"{path}: the key file cannot be written: {error.strerror}") from None


_UNFIT = UnfitKey("a stored secret does not fit the key file; put back the key that belongs to it")


def _stamp(path: Path) -> _Stamp | None:
    """What changes when the file does; None where it cannot be looked at."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
