# SPDX-License-Identifier: MIT
"""Key rotation: seals every stored secret under a new key.

A rotation may stop at any time without losing a secret: the new key is in the key file before a secret is sealed under
it, and the old keys are removed after the last secret was sealed anew.  The file is written while the write lock is
held, so that neither the gateway nor another rotation seals a secret in between.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Column, Connection, LargeBinary, select, update

from ldapgw.store.database import Database
from ldapgw.store.secrets import SecretBox, read_keys, write_keys
from ldapgw.store.tables import metadata

# The comment of a sealed column begins with "sealed".
SEALED_COLUMNS: tuple[Column[bytes], ...] = tuple(
    column
    for table in metadata.sorted_tables
    for column in table.columns
    if isinstance(column.type, LargeBinary) and (column.comment or "").startswith("sealed")
)


def rotate(database: Database, key_file: Path, key: bytes) -> int:
    """Seal every secret under a new key and remove the old keys.

    :param key: the new key.
    :returns: the number of secrets.
    :raises StoreError: when the database or the key file cannot be used, or a secret does not fit the key file; then
        nothing has changed.
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
    """Check that every stored secret can be unsealed.

    :raises UnfitKey: when a secret was sealed under another key.
    """
    for column in SEALED_COLUMNS:
        for (sealed,) in connection.execute(select(column).where(column.is_not(None))):
            secret_box.unseal(sealed)


def _reseal(connection: Connection, secret_box: SecretBox) -> int:
    count = 0
    for column in SEALED_COLUMNS:
        keys = list(column.table.primary_key)
        for sealed, *values in connection.execute(select(column, *keys).where(column.is_not(None))).all():
            is_row = [key == value for key, value in zip(keys, values, strict=True)]
            connection.execute(update(column.table).where(*is_row).values({column.name: secret_box.reseal(sealed)}))
            count += 1
    return count
