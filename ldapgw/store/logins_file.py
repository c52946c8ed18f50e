# SPDX-License-Identifier: MIT
"""The snapshot of logins: a gateway can start from this file and the cached books while its database server is down.

The snapshot is a file in the state directory, encrypted and authenticated with the gateway's key.  The file contains
the data of the LDAP directory except the contacts: the connected accounts, and the logins of phones with hashed
passwords.  The file also contains the time at which the database had this content, so that a reader can reject an old
file.

The accounts and logins are encrypted in parts, and each part is a line of the file.  So a change costs the encryption
of one part, and no encryption keeps the interpreter's lock from the other threads for long.  The first line, the
header, names all parts by their digests, so that the parts of two snapshots are never mixed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from ldapgw.contact import Sharing
from ldapgw.errors import StoreError, UnfitKey
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.store.accounts import Account
from ldapgw.store.files import replace_file
from ldapgw.store.phones import NumberMode, PhoneLogin, ReplicaBooks
from ldapgw.store.secrets import SecretBox

T = TypeVar("T")

LOGINS_FILE: Final = "logins.sealed"
# The version of the file format; the gateway does not use a file of another version.
_FORMAT: Final = 2
# The average number of accounts or logins in a part is at most this number.  To encrypt so many takes about half a
# millisecond.
_ROWS_IN_PART: Final = 250
# A generation that is lower than any stored generation, so that each book is compared with the database as soon as the
# database answers.
_UNKNOWN_GENERATION: Final = -1
# The seconds by which the clock may be behind the file's time, because the clock can be slow after a power cut.
CLOCK_SECONDS: Final = 600.0

_DAMAGED = "is damaged, or was encrypted with another key"


class SavedAccount(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The data of a connected account that the directory needs."""

    id: int
    tenant: str
    sub: str
    address: str
    sharing: Sharing
    shared_label: str

    @classmethod
    def of(cls, account: Account) -> SavedAccount:
        return msgspec.convert(account, cls, from_attributes=True)

    def account(self) -> Account:
        """Return the account without the fields that only syncs and pages need."""
        return Account(**msgspec.structs.asdict(self), connected_at=0.0, generation=_UNKNOWN_GENERATION)


class SavedLogin(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The data of the login of a phone or a replica that the directory needs."""

    name: str
    tenant: str
    account_id: int | None
    numbers: NumberMode
    password: str
    book_secret: str
    number_format: NumberFormat | None
    replica: ReplicaBooks | None
    area_code: str = ""
    next_password: str = ""
    further_ids: tuple[int, ...] = ()

    @classmethod
    def of(cls, login: PhoneLogin) -> SavedLogin:
        return msgspec.convert(login, cls, from_attributes=True)

    def login(self) -> PhoneLogin:
        return PhoneLogin(**msgspec.structs.asdict(self), created_at=0.0)

    def __repr__(self) -> str:
        """Omit the hashes."""
        return f"<SavedLogin {self.name} of {self.tenant}>"


class SavedLogins(msgspec.Struct, frozen=True, array_like=True):
    """The accounts and logins of a snapshot, or of one of its parts.

    :ivar with_directory: the ids of the accounts to which contacts of a Workspace directory belong.
    """

    accounts: tuple[SavedAccount, ...] = ()
    with_directory: tuple[int, ...] = ()
    logins: tuple[SavedLogin, ...] = ()


class _Header(msgspec.Struct, frozen=True, array_like=True):
    """The first line of the file.

    :ivar database: the name, in messages, of the database from which the snapshot was taken.
    :ivar taken_at: the time at which the database had this content, in seconds since the epoch.
    :ivar digests: the digests of the parts in their order; a file of another version has something else here.
    """

    format: int
    database: str
    taken_at: float
    digests: msgspec.Raw


# By field of `SavedLogins`, the function that makes an item of the field from a row of the database.
_SAVED_AS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "accounts": SavedAccount.of,
    "with_directory": int,
    "logins": SavedLogin.of,
}


@dataclass(frozen=True, slots=True)
class LoginsSnapshot:
    """A snapshot of logins.

    :ivar taken_at: the time at which the database had this content, in seconds since the epoch.
    """

    taken_at: float
    saved: SavedLogins


@dataclass(frozen=True, slots=True)
class SealedPart:
    """An encrypted part of a snapshot; two parts are equal if they have the same content and the same encryption.

    :ivar sealed: the encrypted part, which is ASCII.
    :ivar digest: the digest of the part before the encryption.
    :ivar key: the fingerprint of the key.
    :ivar rows: the accounts, ids or logins from which the part was made.
    """

    sealed: bytes = field(repr=False)
    digest: str
    key: str
    rows: list[Any] = field(compare=False, repr=False)


# The parts of a snapshot by the name of the field of `SavedLogins` and the number of the part.
Parts = Mapping[tuple[str, int], SealedPart]


class LoginsFile:
    """The file of the snapshot.  The methods block until the disk answers.

    :param database: the name of the gateway's database in messages.
    """

    def __init__(self, path: Path, secret_box: SecretBox, database: str) -> None:
        self.path = path
        self._secret_box = secret_box
        self._database = database

    def seal(
        self,
        accounts: Iterable[Account],
        with_directory: Iterable[int],
        logins: Iterable[PhoneLogin],
        former: Parts,
    ) -> Parts:
        """Encrypt the content of a snapshot.

        :param with_directory: the ids of the accounts to which contacts of a Workspace directory belong.
        :param former: the result of an earlier call, whose unchanged parts are used again.
        """
        key = self._secret_box.fingerprints()[0]
        parts: dict[tuple[str, int], SealedPart] = {}
        contents = (
            ("accounts", _divided(accounts, attrgetter("id"))),
            ("with_directory", _divided(sorted(with_directory), int)),
            ("logins", _divided(logins, attrgetter("name"))),
        )
        for name, numbered in contents:
            for number, rows in numbered.items():
                parts[name, number] = self._seal_part(name, rows, key, former.get((name, number)))
        return parts

    def _seal_part(self, name: str, rows: list[Any], key: str, former: SealedPart | None) -> SealedPart:
        # A part is encrypted again after a rotation of the key, because the former key may be deleted then.
        if former is not None and (former.key, former.rows) == (key, rows):
            return former
        content = msgspec.json.encode(SavedLogins(**{name: tuple(map(_SAVED_AS[name], rows))}))
        digest = sha256(content).hexdigest()
        if former is not None and (former.key, former.digest) == (key, digest):
            return replace(former, rows=rows)
        return SealedPart(self._secret_box.seal_octets(content), digest, key, rows)

    def write(self, parts: Parts, taken_at: float) -> None:
        """Replace the snapshot.

        :raises StoreError: if the file cannot be written; the former file stays.
        """
        digests = msgspec.Raw(msgspec.json.encode([part.digest for part in parts.values()]))
        header = msgspec.json.encode(_Header(_FORMAT, self._database, taken_at, digests))
        try:
            with replace_file(self.path, like=self.path.parent) as new, new.open("wb") as file:
                file.write(self._secret_box.seal_octets(header))
                for part in parts.values():
                    file.write(b"\n" + part.sealed)
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be written: {error.strerror}") from None

    def read(self, now: float, max_age: float) -> LoginsSnapshot | None:
        """Read the snapshot; delete a file that is too old, or of another database or version of ldapgw.

        :returns: the snapshot, or None if there is no file.
        :raises StoreError: if the file cannot be used; the message says why.
        """
        try:
            sealed, *parts = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be read: {error.strerror}") from None
        try:
            header = msgspec.json.decode(self._secret_box.unseal_octets(sealed), type=_Header)
            is_of_this = (header.format, header.database) == (_FORMAT, self._database)
            saved = self._unseal_parts(header, parts) if is_of_this else SavedLogins()
        except (UnfitKey, msgspec.DecodeError, ValueError):
            raise StoreError(f"{self.path}: {_DAMAGED}") from None
        if not is_of_this:
            self.delete()
            raise StoreError(f"{self.path}: is of another database, or of another version of ldapgw")
        age = now - header.taken_at
        if age < -CLOCK_SECONDS:
            raise StoreError(f"{self.path}: the time in the file is in the future; set the clock")
        if age >= max_age:
            self.delete()
            raise StoreError(f"{self.path}: is too old: the database was read {age_in_words(age)} ago")
        return LoginsSnapshot(header.taken_at, saved)

    def _unseal_parts(self, header: _Header, sealed: Iterable[bytes]) -> SavedLogins:
        """Decrypt the parts.

        :raises UnfitKey: if a part is damaged, or was encrypted with another key.
        :raises ValueError: if the parts are not the parts that the header names.
        """
        contents = [self._secret_box.unseal_octets(each) for each in sealed]
        if [sha256(content).hexdigest() for content in contents] != msgspec.json.decode(header.digests):
            raise ValueError("the parts are of another snapshot")
        parts = [msgspec.json.decode(content, type=SavedLogins) for content in contents]
        return SavedLogins(
            tuple(chain.from_iterable(part.accounts for part in parts)),
            tuple(chain.from_iterable(part.with_directory for part in parts)),
            tuple(chain.from_iterable(part.logins for part in parts)),
        )

    def delete(self) -> None:
        """Delete the snapshot, if there is one.  Errors are ignored."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def _divided(rows: Iterable[T], key: Callable[[T], Hashable]) -> Mapping[int, list[T]]:
    """Divide rows into numbered parts.

    A row stays in its part when other rows come and go, unless the number of all rows has doubled or halved.  The
    number of a part depends on the process, because hashes of texts do.

    :param key: returns the key of a row, which never changes.
    """
    all_rows = tuple(rows)
    mask = (1 << (len(all_rows) // _ROWS_IN_PART).bit_length()) - 1
    parts: dict[int, list[T]] = {}
    for row in all_rows:
        parts.setdefault(hash(key(row)) & mask, []).append(row)
    return parts


def age_in_words(seconds: float) -> str:
    """Format a time span in minutes if it is shorter than two hours, otherwise in hours: ``1 minute``, ``26 hours``."""
    minutes = max(int(seconds // 60), 0)
    if minutes < 120:
        return f"{minutes} minute{'' if minutes == 1 else 's'}"
    return f"{minutes // 60} hours"
