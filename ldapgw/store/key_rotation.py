# SPDX-License-Identifier: MIT
"""Key rotation: encrypts every stored secret with a new key, or with the first key of ``encryption_key``.

A rotation may stop at any time without losing a secret: the new key is in the key file before a secret is sealed under
it, and the old keys are removed after the last secret was sealed anew.  The file is written while the write lock is
held, so that neither the gateway nor another rotation seals a secret in between.  Before that, the old keys are kept in
a file beside the key file that has the date in its name: backups from before the rotation are restored with them.

Where several gateways share the database, each has a key file of its own.  `prepare` adds the new key to one of them,
and a person copies that file to the others.  The gateways go on sealing under the old key until all that live have the
new one (`SecretBox.limit_sealing`); `find_unready` tells which of them hold up the rotation.

Keys of ``encryption_key`` are replaced by whoever sets them: a new key is put in front, `rotate_configured` seals all
secrets anew, and then the old key is removed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, LargeBinary, Row, select, update

from ldapgw.store import gateways
from ldapgw.store.database import Database
from ldapgw.store.secrets import KeySource, SecretBox, fingerprint, kept_key_files, new_key, read_keys, write_keys
from ldapgw.store.tables import metadata, schema_version

# The comment of a sealed column begins with "sealed".
SEALED_COLUMNS: tuple[Column[bytes], ...] = tuple(
    column
    for table in metadata.sorted_tables
    for column in table.columns
    if isinstance(column.type, LargeBinary) and (column.comment or "").startswith("sealed")
)


@dataclass(frozen=True, slots=True)
class UnreadyGateways:
    """The living gateways that do not seal under the new key yet, by name.

    :ivar lacking: those that do not have the key.
    :ivar waiting: those that have the key and will use it.
    """

    lacking: Sequence[str] = ()
    waiting: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.lacking or self.waiting)


def prepare(database: Database, key_file: Path) -> bytes:
    """Put a new key first in the key file, unless a rotation that has not ended did so; the old keys stay.

    :returns: the new key.
    :raises StoreError: when the database or the key file cannot be used, or a secret does not fit the key file; then
        nothing has changed.
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
    """The gateways that a rotation to a key has to wait for."""
    living = [one for one in gateways.read_all(connection) if one.is_alive and one.info.keys]
    new = fingerprint(key)
    return UnreadyGateways(
        tuple(one.info.name for one in living if new not in one.info.keys),
        tuple(one.info.name for one in living if new in one.info.keys[1:]),
    )


def rotate(database: Database, key_file: Path, key: bytes, today: date) -> tuple[int, Path]:
    """Seal every secret under a new key, and move the old keys to a file beside the key file.

    :param key: the new key; it may be in the key file already.
    :param today: the date in the name of that file; of several rotations on a day, the file has all old keys.
    :returns: the number of secrets, and the file with the old keys.
    :raises StoreError: when the database or the key file cannot be used, or a secret does not fit the key file; then
        nothing has changed, except that the file with the old keys may be there.
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
    """Open the keys to read what is sealed under them, or under old keys that are kept beside the key file.

    :raises StoreError: when one of the files is missing, readable for others, or has no key.
    """
    kept = [key for file in kept_key_files(source.file) for key in read_keys(file)]
    return SecretBox([*source.read(), *kept], source.name)


def _keep_keys(key_file: Path, old_keys: Sequence[bytes], today: date) -> Path:
    """Write old keys to the file of a day, before those that the file has."""
    kept = key_file.with_name(f"{key_file.name}.{today.isoformat()}")
    keys = [*old_keys, *(read_keys(kept) if kept.exists() else [])]
    write_keys(kept, list(dict.fromkeys(keys)))
    return kept


def rotate_configured(database: Database, keys: Sequence[bytes]) -> int:
    """Seal every secret under the first of several keys of the setting, which all living gateways use.

    :returns: the number of secrets.
    :raises StoreError: when the database cannot be used, or a secret fits none of the keys; then nothing has changed.
    """
    secret_box = SecretBox(keys, "encryption_key")
    with database.begin() as connection:
        count = reseal_all(connection, secret_box)
        connection.execute(update(schema_version).values(key=fingerprint(keys[0])))
    return count


def unseal_all(connection: Connection, secret_box: SecretBox) -> None:
    """Check that every stored secret can be unsealed.

    :raises UnfitKey: when a secret was sealed under another key.
    """
    for _, row in _sealed(connection):
        secret_box.unseal(row[0])


def reseal_all(connection: Connection, secret_box: SecretBox) -> int:
    """Seal every stored secret anew, under the first key.

    :returns: the number of secrets.
    :raises UnfitKey: when a secret was sealed under another key.
    """
    count = 0
    for column, row in _sealed(connection):
        is_row = [key == value for key, value in zip(column.table.primary_key, row[1:], strict=True)]
        connection.execute(update(column.table).where(*is_row).values({column.name: secret_box.reseal(row[0])}))
        count += 1
    return count


def _sealed(connection: Connection) -> Iterator[tuple[Column[bytes], Row[*tuple[Any, ...]]]]:
    """Iterate over the stored secrets: the column, and the secret with the key of its row."""
    for column in SEALED_COLUMNS:
        query = select(column, *column.table.primary_key).where(column.is_not(None))
        yield from ((column, row) for row in connection.execute(query).all())
