# SPDX-License-Identifier: MIT
"""The snapshot of logins: a gateway can start from this file and the cached books while its database server is down.

The snapshot is a file in the state directory, encrypted and authenticated with the gateway's key.  The file contains
the data of the LDAP directory except the contacts: the connected accounts, and the logins of phones with hashed
passwords.  The file also contains the time at which the database had this content, so that a reader can reject an old
file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from ldapgw.contact import Sharing
from ldapgw.errors import StoreError, UnfitKey
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.store.accounts import Account
from ldapgw.store.files import replace_file
from ldapgw.store.phones import NumberMode, PhoneLogin, ReplicaBooks
from ldapgw.store.secrets import SecretBox

LOGINS_FILE: Final = "logins.sealed"
# The version of the file format; the gateway does not use a file of another version.
_FORMAT: Final = 1
# A generation that is lower than any stored generation, so that each book is compared with the database as soon as the
# database answers.
_UNKNOWN_GENERATION: Final = -1
# The seconds by which the clock may be behind the file's time, because the clock can be slow after a power cut.
CLOCK_SECONDS: Final = 600.0

_DAMAGED = "is damaged, or was encrypted with another key"


class SavedAccount(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The data of a connected account that the directory needs.

    :ivar has_directory: whether contacts of the Workspace directory belong to the account.
    """

    id: int
    tenant: str
    sub: str
    address: str
    sharing: Sharing
    shared_label: str
    has_directory: bool

    @classmethod
    def of(cls, account: Account, *, has_directory: bool) -> SavedAccount:
        names = (name for name in cls.__struct_fields__ if name != "has_directory")
        return cls(**{name: getattr(account, name) for name in names}, has_directory=has_directory)

    def account(self) -> Account:
        """Return the account without the fields that only syncs and pages need."""
        saved = msgspec.structs.asdict(self)
        del saved["has_directory"]
        return Account(**saved, connected_at=0.0, generation=_UNKNOWN_GENERATION)


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
    """The accounts and logins of a snapshot."""

    accounts: tuple[SavedAccount, ...]
    logins: tuple[SavedLogin, ...]

    @classmethod
    def of(
        cls, accounts: Iterable[Account], with_directory: Collection[int], logins: Iterable[PhoneLogin]
    ) -> SavedLogins:
        """Make the content of a snapshot.

        :param with_directory: the ids of the accounts to which contacts of a Workspace directory belong.
        """
        return cls(
            tuple(SavedAccount.of(account, has_directory=account.id in with_directory) for account in accounts),
            tuple(map(SavedLogin.of, logins)),
        )


class LoginsSnapshot(msgspec.Struct, frozen=True, array_like=True):
    """A snapshot of logins.

    :ivar database: the name, in messages, of the database from which the snapshot was taken.
    :ivar taken_at: the time at which the database had this content, in seconds since the epoch.
    """

    format: int
    database: str
    taken_at: float
    saved: SavedLogins


class LoginsFile:
    """The file of the snapshot.  The methods block until the disk answers.

    :param database: the name of the gateway's database in messages.
    """

    def __init__(self, path: Path, secret_box: SecretBox, database: str) -> None:
        self.path = path
        self._secret_box = secret_box
        self._database = database

    def write(self, saved: SavedLogins, taken_at: float) -> None:
        """Replace the snapshot.

        :raises StoreError: if the file cannot be written; the former file stays.
        """
        snapshot = LoginsSnapshot(_FORMAT, self._database, taken_at, saved)
        sealed = self._secret_box.seal(msgspec.json.encode(snapshot).decode())
        try:
            with replace_file(self.path, like=self.path.parent) as new:
                new.write_bytes(sealed)
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be written: {error.strerror}") from None

    def read(self, now: float, max_age: float) -> LoginsSnapshot | None:
        """Read the snapshot; delete a file that is too old, or of another database or version of ldapgw.

        :returns: the snapshot, or None if there is no file.
        :raises StoreError: if the file cannot be used; the message says why.
        """
        try:
            sealed = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be read: {error.strerror}") from None
        try:
            snapshot = msgspec.json.decode(self._secret_box.unseal(sealed), type=LoginsSnapshot)
        except (UnfitKey, msgspec.DecodeError, ValueError):
            raise StoreError(f"{self.path}: {_DAMAGED}") from None
        if snapshot.format != _FORMAT or snapshot.database != self._database:
            self.delete()
            raise StoreError(f"{self.path}: is of another database, or of another version of ldapgw")
        age = now - snapshot.taken_at
        if age < -CLOCK_SECONDS:
            raise StoreError(f"{self.path}: the time in the file is in the future; set the clock")
        if age >= max_age:
            self.delete()
            raise StoreError(f"{self.path}: is too old: the database was read {age_in_words(age)} ago")
        return snapshot

    def delete(self) -> None:
        """Delete the snapshot, if there is one.  Errors are ignored."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def age_in_words(seconds: float) -> str:
    """Format a time span in minutes if it is shorter than two hours, otherwise in hours: ``1 minute``, ``26 hours``."""
    minutes = max(int(seconds // 60), 0)
    if minutes < 120:
        return f"{minutes} minute{'' if minutes == 1 else 's'}"
    return f"{minutes // 60} hours"
