# SPDX-License-Identifier: MIT
"""Encrypts stored secrets with Fernet; the keys are in a file of mode 0600 beside the database, or in a setting.

To seal is to encrypt a secret with a key, and to unseal is to decrypt.  The key file has one key per line.  `SecretBox`
seals with the first key, and unseals with any of the keys.  `SecretBox` checks the file before each use, so that a key
can be replaced while the gateway runs (`ldapgw.store.key_rotation`).  `SecretBox` accepts a changed key file in two
cases: the key file still has the key that seals now, or a rotation has moved the key that seals now to another file.
Any other file may belong to another gateway.  If `SecretBox` sealed secrets with a key of such a file, nobody could
unseal these secrets after somebody has put the right file back and started the gateway again.  The keys of the setting
``encryption_key`` do not change until the gateway reads its configuration again.

Secrets are sealed and unsealed only inside transactions.  If several gateways share a database, secrets are sealed with
the first key that all gateways have, so that each gateway can unseal the secrets of the other gateways.

Mutable: the keys last read from the file, and the fingerprints of the keys that all gateways have.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ldapgw.errors import StoreError, UnfitKey
from ldapgw.store.files import replace_file, status_of

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

_Stamp = tuple[int, int, int]
_SETTING = "encryption_key"
# The ending of the name of a file with old keys, after the name of the key file and a dot.
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
# The largest number of names in the message about secrets that no key can unseal.
_MAX_NAMED = 5


@dataclass(frozen=True, slots=True)
class KeySource:
    """The source of the keys: the setting ``encryption_key`` or, without this setting, the key file.

    :ivar configured: the keys of the setting, with white space between them, or empty if the file has the keys.
    """

    file: Path
    configured: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """Return the name of the keys' source, for messages."""
        return _SETTING if self.configured else str(self.file)

    @property
    def is_there(self) -> bool:
        return bool(self.configured) or self.file.exists()

    def read(self) -> list[bytes]:
        """Read the keys; secrets are sealed with the first key.

        :raises StoreError: if the file is missing, readable for others, or has no key, or if the file has a key that
            the setting lacks.
        """
        if not self.configured:
            return read_keys(self.file)
        keys = self.configured.encode().split()
        if self.file.exists() and not set(read_keys(self.file)) <= set(keys):
            raise StoreError(
                f"{self.file}: has a key that {_SETTING} lacks; add this key to {_SETTING}, after the present keys, or "
                f"move {self.file} away if the database does not need this key"
            )
        return keys


class SecretBox:
    """A cipher that seals and unseals secrets.

    Unsealing raises `UnfitKey` if a secret was sealed with none of the keys.

    :param keys: Fernet keys; secrets are sealed with the first key.
    :param source: the name of the keys' source in messages.
    :ivar problem: the reason why the present keys of the file are not used, or empty if these keys are used.
    """

    def __init__(self, keys: Sequence[bytes], source: str = "the key file") -> None:
        self._common: frozenset[str] | None = None
        self._former: tuple[bytes, ...] = ()
        self._use(keys)
        self.source = source
        self.problem = ""
        self._path: Path | None = None
        self._stamp: _Stamp | None = None

    @classmethod
    def open(cls, source: KeySource, *, create: bool) -> Self:
        """Read the keys.

        :param create: whether to create a missing file with a new key; must be False if the database has secrets.
        :raises StoreError: as `KeySource.read` does.
        """
        if source.configured:
            return cls(source.read(), source.name)
        if create and not source.file.exists():
            write_keys(source.file, [new_key()])
        stamp = _stamp(source.file)
        secret_box = cls(read_keys(source.file))
        secret_box._path, secret_box._stamp = source.file, stamp
        return secret_box

    def seal(self, secret: str) -> bytes:
        """Encrypt a secret for the database."""
        return self.seal_octets(secret.encode())

    def seal_octets(self, octets: bytes) -> bytes:
        """Encrypt octets.

        :returns: the encrypted octets, which are ASCII.
        """
        self._reload_keys()
        return self._fernet.encrypt(octets)

    def unseal(self, sealed: bytes) -> str:
        """Decrypt a sealed secret."""
        return self.unseal_octets(sealed).decode()

    def unseal_octets(self, sealed: bytes) -> bytes:
        """Decrypt octets that `seal_octets` has encrypted."""
        return self._apply_keys(lambda: self._fernet.decrypt(sealed))

    def reseal(self, sealed: bytes) -> bytes:
        """Encrypt a sealed secret anew with the first key."""
        return self._apply_keys(lambda: self._fernet.rotate(sealed))

    def fingerprints(self) -> tuple[str, ...]:
        """Return fingerprints of the keys of the source, first the fingerprint of the key that seals secrets."""
        self._reload_keys()
        return tuple(map(fingerprint, self._keys))

    def limit_sealing(self, common: frozenset[str] | None) -> None:
        """Seal secrets with the first key that all gateways have, if they have a common key.

        :param common: the fingerprints of these keys (`ldapgw.store.gateways.read_common_keys`), or None to use the
            first key of the source.
        """
        if common != self._common:
            self._common = common
            self._use(self._file_keys)

    def derive(self, purpose: str) -> bytes:
        """Derive a secret of 32 octets for a purpose from the key that seals."""
        self._reload_keys()
        return hmac.digest(self._keys[0], purpose.encode(), "sha256")

    def _apply_keys(self, cipher: Callable[[], bytes]) -> bytes:
        from cryptography.fernet import InvalidToken

        self._reload_keys()
        try:
            return cipher()
        except InvalidToken:
            todo = "put back the key with which the secret was sealed"
            raise UnfitKey(f"a stored secret does not fit {self.source}; {todo}") from None

    def _reload_keys(self) -> None:
        """Read the key file again after a change.

        Secrets can still be unsealed with the former keys.  If the file cannot be used, the problem is logged once, and
        the former keys stay in use.
        """
        if self._path is None:
            return
        problem = ""
        try:
            self._take_keys(self._path)
        except StoreError as error:
            [problem] = error.problems
        if problem == self.problem:
            return
        from twisted.logger import Logger  # imported here, because commands import this module too, but log nothing

        log = Logger()
        if problem:
            log.error("{problem}; the gateway goes on with the former keys", event="key_file_refused", problem=problem)
        else:
            log.info("{file}: the key file is used again", event="key_file_used", file=str(self._path))
        self.problem = problem

    def _take_keys(self, path: Path) -> None:
        """Use the keys of the file if the file has changed.

        :raises StoreError: if the file has changed and cannot be used.
        """
        stamp = _stamp(path)
        if stamp == self._stamp:
            return
        keys, sealing = read_keys(path), self._keys[0]
        if sealing not in keys and not any(sealing in read_keys(kept) for kept in kept_key_files(path)):
            raise StoreError(
                f"{path}: the key with which the gateway encrypts at present is missing, so the file may belong "
                "to another gateway; put the former file back, or write the keys of both files into this file, one per "
                "line"
            )
        self._former = tuple(key for key in (*self._file_keys, *self._former) if key not in keys)
        self._use(keys)
        self._stamp = stamp

    def find_unfit(self, secrets: Iterable[tuple[str, bytes | None]]) -> UnfitKey | None:
        """Find the sealed secrets that none of the keys can unseal.

        :param secrets: for each secret, the name of its owner for the message, and the sealed secret or None.
        :returns: an error that names the owners and says what to do, or None if the keys can unseal all secrets.
        """
        from cryptography.fernet import InvalidToken

        unfit: dict[str, None] = {}
        fitting = 0
        for name, sealed in secrets:
            try:
                fitting += sealed is not None and bool(self._fernet.decrypt(sealed))
            except InvalidToken:
                unfit[name] = None
        if not unfit:
            return None
        names = ", ".join(list(unfit)[:_MAX_NAMED])
        more = f" and {len(unfit) - _MAX_NAMED} more" if len(unfit) > _MAX_NAMED else ""
        advice = (
            f", but the key fits other secrets: two keys have been in use, so write both keys into {self.source}, and "
            "run ldapgw rotate-key"
            if fitting
            else "; put back the key of these secrets"
        )
        return UnfitKey(f"stored secrets do not fit {self.source} ({names}{more}){advice}")

    def _use(self, keys: Sequence[bytes]) -> None:
        common = self._common or ()
        first = next((key for key in keys if fingerprint(key) in common), keys[0])
        self._file_keys = tuple(keys)
        self._keys = (first, *(key for key in keys if key != first))
        self._fernet = _fernet((*self._keys, *self._former))


def fingerprint(key: bytes) -> str:
    """Return a digest that identifies a key without revealing it."""
    return hmac.digest(key, b"fingerprint", "sha256").hex()[:16]


def new_key() -> bytes:
    from cryptography.fernet import Fernet

    return Fernet.generate_key()


def _fernet(keys: Sequence[bytes]) -> MultiFernet:
    """Return a cipher that encrypts with the first key and decrypts with all keys.

    :raises ValueError: if there is no key, or one of the texts is no key.
    """
    # The import is inside the function, so that commands which read no secret do not load the library.
    from cryptography.fernet import Fernet, MultiFernet

    return MultiFernet([Fernet(key) for key in keys])


def kept_key_files(key_file: Path) -> list[Path]:
    """Return the files with the old keys that rotations have replaced, the latest file first."""
    beginning = f"{key_file.name}."
    beside = key_file.parent.iterdir() if key_file.parent.is_dir() else ()
    found = (path for path in beside if path.name.startswith(beginning))
    return sorted((path for path in found if _DAY.fullmatch(path.name.removeprefix(beginning))), reverse=True)


def read_keys(path: Path) -> list[bytes]:
    """Read the keys of a key file; secrets are sealed with the first key.

    :raises StoreError: if the file is missing, readable for others, or has no key.
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
        raise StoreError(f"{path}: other users can read the key file; run: chmod 600 {path}")
    try:
        _fernet(keys)
    except ValueError:
        raise StoreError(f"{path}: is not a key file; put it back from a backup") from None
    return keys


def write_keys(path: Path, keys: Sequence[bytes]) -> None:
    """Write a key file atomically.

    :raises StoreError: when the file cannot be written.
    """
    try:
        with replace_file(path, like=path if path.exists() else path.parent) as new:
            new.write_bytes(b"".join(key + b"\n" for key in keys))
    except OSError as error:
        raise StoreError(f"{path}: the key file cannot be written: {error.strerror}") from None


def _stamp(path: Path) -> _Stamp | None:
    """Return the inode, its ctime and the size of a file, or None if there is no access to the file."""
    status = status_of(path)
    return (status.st_ino, status.st_ctime_ns, status.st_size) if status else None
