# SPDX-License-Identifier: MIT
"""Key rotation: encrypts every stored secret with a new key, or with the first key of ``encryption_key``.

To seal a secret is to encrypt the secret with a key, and to unseal is to decrypt.  A rotation may stop at any time
without losing a secret: the key file gets the new key before a secret is sealed under the new key, and the old keys are
removed after the last secret was sealed anew.  The file is written under the database's write lock, so that neither the
gateway nor another rotation seals a secret meanwhile.  First, the old keys are written to a file beside the key file
with the date in its name, because backups from before the rotation need the old keys.

If several gateways share the database, each gateway has its own key file.  `prepare` adds the new key to one of these
files, and a person copies this file to the other gateways.  The gateways seal under the old key until all living
gateways have the new key (`SecretBox.limit_sealing`); `find_unready` finds the gateways that the rotation waits for.

The keys of the setting ``encryption_key`` are replaced by the administrator: the administrator puts a new key in front,
`rotate_configured` seals all secrets anew, and then the administrator removes the old key.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, Row, select, update

from ldapgw.store import gateways
from ldapgw.store.database import Database
from ldapgw.store.secrets import KeySource, SecretBox, fingerprint, kept_key_files, new_key, read_keys, write_keys
from ldapgw.store.tables import Sealed, metadata, schema_version

SEALED_COLUMNS: tuple[Column[bytes], ...] = tuple(
    column for table in metadata.sorted_tables for column in table.columns if isinstance(column.type, Sealed)
)


@dataclass(frozen=True, slots=True)
class UnreadyGateways:
    """The names of the living gateways that do not seal under the new key yet.

    :ivar lacking: the gateways that do not have the key.
    :ivar waiting: the gateways that have the key, but still seal under another key.
    """

    lacking: Sequence[str] = ()
    waiting: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.lacking or self.waiting)


def prepare(database: Database, key_file: Path) -> bytes:
    """Put a new key first in the key file, unless an unfinished rotation has done so; the old keys stay.

    :returns: the new key.
    :raises StoreError: if the database or the key file cannot be used, or the keys in the file cannot unseal a secret;
        nothing is changed then.
    """
    with database.begin() as connection:
        keys = read_keys(key_file)
        unseal_all(connection, SecretBox(keys))
        is_begun = len(keys) > 1 and fingerprint(keys[0]) != connection.execute(select(schema_version.c.key)).scalar()
        if not is_begun:
            keys = [new_key(), *keys]
            write_keys(key_file, keys)
    return keys[0]


def find_unready(connection: Connection, key: bytes) -> UnreadyGateways:
    """Find the gateways that a rotation to a key has to wait for."""
    living = [gateway.info for gateway in gateways.read_all(connection) if gateway.is_alive and gateway.info.keys]
    new = fingerprint(key)
    return UnreadyGateways(
        tuple(info.name for info in living if new not in info.keys),
        tuple(info.name for info in living if new in info.keys[1:]),
    )


def rotate(database: Database, key_file: Path, key: bytes, today: date) -> tuple[int, Path]:
    """Seal every secret under a new key, and move the old keys to a file beside the key file.

    :param key: the new key, which may be in the key file already.
    :param today: the date in the name of the file with the old keys.  After several rotations on a day, the file has
        the old keys of all these rotations.
    :returns: the number of secrets, and the file with the old keys.
    :raises StoreError: if the database or the key file cannot be used, or the keys cannot unseal a secret.  No secret
        is lost then, but the files may have changed.
    """
    with database.begin() as connection:
        unseal_all(connection, SecretBox(read_keys(key_file)))
        old_keys = [old for old in read_keys(key_file) if old != key]
        kept = _keep_keys(key_file, old_keys, today)
        write_keys(key_file, [key, *old_keys])
        count = reseal_all(connection, SecretBox(read_keys(key_file)))
    with database.begin() as connection:
        first, *_ = read_keys(key_file)
        unseal_all(connection, SecretBox([first]))
        connection.execute(update(schema_version).values(key=fingerprint(first)))
        write_keys(key_file, [first])
    return count, kept


def open_with_kept_keys(source: KeySource) -> SecretBox:
    """Open the present keys together with the old keys in files beside the key file, for the secrets in old backups.

    :raises StoreError: if one of the files is missing, readable for others, or has no key.
    """
    kept = [key for file in kept_key_files(source.file) for key in read_keys(file)]
    return SecretBox([*source.read(), *kept], source.name)


def _keep_keys(key_file: Path, old_keys: Sequence[bytes], today: date) -> Path:
    """Write old keys to the file of a day, in front of the keys that the file already has."""
    kept = key_file.with_name(f"{key_file.name}.{today.isoformat()}")
    keys = [*old_keys, *(read_keys(kept) if kept.exists() else [])]
    write_keys(kept, list(dict.fromkeys(keys)))
    return kept


def rotate_configured(database: Database, keys: Sequence[bytes]) -> int:
    """Seal every secret under the first key of the setting, which all living gateways must use already.

    :returns: the number of secrets.
    :raises StoreError: if the database cannot be used, or no key can unseal a secret; nothing is changed then.
    """
    secret_box = SecretBox(keys, "encryption_key")
    with database.begin() as connection:
        count = reseal_all(connection, secret_box)
        connection.execute(update(schema_version).values(key=fingerprint(keys[0])))
    return count


def unseal_all(connection: Connection, secret_box: SecretBox) -> None:
    """Check that every stored secret can be unsealed.

    :raises UnfitKey: if a secret was sealed under another key.
    """
    for _, row in _sealed(connection):
        secret_box.unseal(row[0])


def reseal_all(connection: Connection, secret_box: SecretBox) -> int:
    """Seal every stored secret anew, under the first key.

    :returns: the number of secrets.
    :raises UnfitKey: if a secret was sealed under another key.
    """
    count = 0
    for column, row in _sealed(connection):
        is_row = [key == value for key, value in zip(column.table.primary_key, row[1:], strict=True)]
        connection.execute(update(column.table).where(*is_row).values({column.name: secret_box.reseal(row[0])}))
        count += 1
    return count


def _sealed(connection: Connection) -> Iterator[tuple[Column[bytes], Row[*tuple[Any, ...]]]]:
    """Iterate over the stored secrets: yield the column, and a row with the secret and the primary key."""
    for column in SEALED_COLUMNS:
        query = select(column, *column.table.primary_key).where(column.is_not(None))
        yield from ((column, row) for row in connection.execute(query).all())
