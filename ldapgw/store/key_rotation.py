# SPDX-License-Identifier: MIT
"""Every secret under a new key.

Whenever it stops, all keys that secrets are sealed under are in the file: the new key is in it before anything is
sealed under it, and the old ones leave it after the last secret did.  Both are done with the write lock held, so
neither a gateway nor another rotation seals anything in between.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Column, Connection, LargeBinary, select, update

from ldapgw.store.database import Database
from ldapgw.store.secrets import SecretBox, read_keys, write_keys
from ldapgw.store.tables import metadata

# Their comments say so.
SEALED_COLUMNS: tuple[Column[bytes], ...] = tuple(
    column
    for table in metadata.sorted_tables
    for column in table.columns
    if isinstance(column.type, LargeBinary) and (column.comment or "").startswith("sealed")
)


def rotate(database: Database, key_file: Path, key: bytes) -> int:
    """Seal every secret under a new key, and forget the old ones.

    :param key: the new one.
    :returns: how many secrets there are.
    :raises StoreError: when the database or the key file cannot be used, or does not fit: nothing has changed then.
    """
    with database.begin() as connection:
        unseal_all(connection, SecretBox(read_keys(key_file)))
        write_keys(key_file, [key, *read_keys(key_file)])
        count = _reseal(connection, SecretBox(read_keys(key_file)))
    with database.begin() as connection:
        first, *_ = read_keys(key_file)
        unseal_all(connection, SecretBox([first]))
        write_keys(key_file, [first])
    return count


def unseal_all(connection: Connection, secret_box: SecretBox) -> None:
    """Try all secrets.

    :raises UnfitKey: when one of them does not fit.
    """
    for column in SEALED_COLUMNS:
        for (sealed,) in connection.execute(select(column).where(column.is_not(None))):
            secret_box.unseal(sealed)


def _reseal(connection: Connection, secret_box: SecretBox) -> int:
    count = 0
    for column in SEALED_COLUMNS:
        keys = list(column.table.primary_key)
        for sealed, *row in connection.execute(select(column, *keys).where(column.is_not(None))).all():
            same = [key == value for key, value in zip(keys, row, strict=True)]
            connection.execute(update(column.table).where(*same).values({column.name: secret_box.reseal(sealed)}))
            count += 1
    return count
