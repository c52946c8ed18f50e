# SPDX-License-Identifier: MIT
"""The snapshot of logins: with it and the cached books, a gateway can start while its database server is down.

It is one file in the state directory, encrypted and authenticated with the gateway's key.  It holds whatever the served
directory is made from besides contacts: the connected accounts and the logins of phones, the passwords as hashes.  The
time in it says when a look at the database found exactly this; whoever reads the file decides whether it is too old.
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
# Raised when the content gets another form: a file of another format is not used.
_FORMAT: Final = 1
# Less than any generation that is stored: each book is compared with the database once that is there.
_UNKNOWN_GENERATION: Final = -1
# How far the clock may have gone back since the file was written: after a power cut it can be late.
CLOCK_SECONDS: Final = 600.0

_DAMAGED = "cannot be read: it is not as it was written, or was written with another key"


class SavedAccount(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the directory needs of a connected account.

    :ivar has_directory: whether contacts of the Workspace directory are stored with it.
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
        """The account, with nothing that only syncs and pages need."""
        saved = msgspec.structs.asdict(self)
        del saved["has_directory"]
        return Account(**saved, connected_at=0.0, generation=_UNKNOWN_GENERATION)


class SavedLogin(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the directory needs of the login of a phone or a replica."""

    name: str
    tenant: str
    account_id: int | None
    numbers: NumberMode
    password: str
    book_secret: str
    number_format: NumberFormat | None
    replica: ReplicaBooks | None
    area_code: str = ""

    @classmethod
    def of(cls, login: PhoneLogin) -> SavedLogin:
        return msgspec.convert(login, cls, from_attributes=True)

    def login(self) -> PhoneLogin:
        return PhoneLogin(**msgspec.structs.asdict(self), created_at=0.0)

    def __repr__(self) -> str:
        """Omit the hashes."""
        return f"<SavedLogin {self.name} of {self.tenant}>"


class SavedLogins(msgspec.Struct, frozen=True, array_like=True):
    """The content of a snapshot, but for its time."""

    accounts: tuple[SavedAccount, ...]
    logins: tuple[SavedLogin, ...]

    @classmethod
    def of(
        cls, accounts: Iterable[Account], with_directory: Collection[int], logins: Iterable[PhoneLogin]
    ) -> SavedLogins:
        """:param with_directory: the ids of the accounts that contacts of a Workspace directory are stored with."""
        return cls(
            tuple(SavedAccount.of(one, has_directory=one.id in with_directory) for one in accounts),
            tuple(map(SavedLogin.of, logins)),
        )


class LoginsSnapshot(msgspec.Struct, frozen=True, array_like=True):
    """A snapshot of logins.

    :ivar database: how messages call the database that the snapshot is of.
    :ivar taken_at: when the database held this, in seconds since the epoch.
    """

    format: int
    database: str
    taken_at: float
    saved: SavedLogins


class LoginsFile:
    """The file of the snapshot.  Its methods wait for the disk.

    :param database: how messages call the gateway's database.
    """

    def __init__(self, path: Path, secret_box: SecretBox, database: str) -> None:
        self.path = path
        self._secret_box = secret_box
        self._database = database

    def write(self, saved: SavedLogins, taken_at: float) -> None:
        """Replace the snapshot.

        :raises StoreError: when the file cannot be written; the former one stays.
        """
        snapshot = LoginsSnapshot(_FORMAT, self._database, taken_at, saved)
        sealed = self._secret_box.seal(msgspec.json.encode(snapshot).decode())
        try:
            with replace_file(self.path, like=self.path.parent) as new:
                new.write_bytes(sealed)
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be written: {error.strerror}") from None

    def read(self, now: float, max_age: float) -> LoginsSnapshot | None:
        """Read the snapshot; a file that is too old, or of another database, is deleted.

        :returns: None: there is no file.
        :raises StoreError: when the file cannot be used; the message says why.
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
            raise StoreError(f"{self.path}: was written later than now; set the clock")
        if age >= max_age:
            self.delete()
            raise StoreError(f"{self.path}: is too old: the database was read {age_in_words(age)} ago")
        return snapshot

    def delete(self) -> None:
        """Delete the snapshot, if there is one; an error is left to the next attempt."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def age_in_words(seconds: float) -> str:
    """A time span in the largest unit of which there are at least two, such as ``26 hours`` or ``1 minute``."""
    minutes = max(int(seconds // 60), 0)
    if minutes < 120:
        return f"{minutes} minute{'' if minutes == 1 else 's'}"
    return f"{minutes // 60} hours"
