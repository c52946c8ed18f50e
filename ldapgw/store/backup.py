# SPDX-License-Identifier: MIT
"""Copies of a database: backup and restore while the gateway runs, and ``database copy`` to a database of any engine.

SQLite's online backup can read from a database while another connection writes, and can write to a database while other
connections read.  So a restore is one transaction, and a running gateway notices the restore like any other change.
Only a missing or damaged database is replaced by another file; the damaged files are kept beside the new file.

All other copies are made table by table.  The marks of changes are not copied.  The triggers of the target database
make new marks, and the copy has a new epoch, so gateways read everything once.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, MetaData, String, Table, TypeDecorator, delete, select, update

from ldapgw.errors import DamagedStore, StoreError, UnfitKey
from ldapgw.store import changes, sync_state
from ldapgw.store.copies import SIDE_FILE_ENDINGS
from ldapgw.store.database import CHUNK, Database, check_writable, chunks, database_of, mark_erased
from ldapgw.store.engines import database_at
from ldapgw.store.files import copy_owner, flush_to_disk, replace_file
from ldapgw.store.key_rotation import reseal_all
from ldapgw.store.secrets import SecretBox
from ldapgw.store.sqlite import BUSY_SECONDS, copy_database
from ldapgw.store.tables import (
    change,
    consent_flow,
    gateway,
    metadata,
    recording,
    schema_version,
    sign_in,
    sync_progress,
)

# SQLite's result codes for a database that is damaged or lacks the tables of ldapgw.
_DAMAGED_CODES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)

# Tables about the running gateways of a database, which are not copied.
_OF_GATEWAYS = {gateway, sync_progress}
_PLAIN = MetaData()
# The copied tables, in an order in which their rows can be inserted.
TABLES: tuple[Table, ...] = tuple(
    table.to_metadata(_PLAIN)
    for table in metadata.sorted_tables
    if table not in {change, schema_version} | _OF_GATEWAYS
)
for _column in (column for table in TABLES for column in table.columns if isinstance(column.type, TypeDecorator)):
    _column.type = String()  # a copy does not decode the stored texts

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Digest:
    """The number of a table's rows, and a hash of all rows in the order of their keys."""

    rows: int
    sha256: str


def back_up(database: Path, file: Path) -> None:
    """Copy a database into a file; an existing file is replaced.

    :raises StoreError: when the copy fails or the database is damaged; `file` is unchanged then.
    """
    if database.parent.resolve() == file.parent.resolve() and file.name.startswith(database.name):
        raise StoreError(f"{file}: the gateway itself may use a file of this name; choose another name or folder")
    with _store_errors(file), replace_file(file) as new:
        copy_database(_opened(database, f"{database.absolute().as_uri()}?mode=rw"), new, database)
        with closing(sqlite3.connect(new)) as copy:
            # In WAL mode, the backup would need a second file.
            copy.execute("PRAGMA journal_mode = DELETE")
            if copy.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise DamagedStore(f"{database}: is damaged; nothing was backed up")


def back_up_server(database: Database, file: Path) -> None:
    """Copy a database on a server into an SQLite file, as `back_up` does; an existing file is replaced.

    :raises StoreError: when the copy fails; `file` is unchanged then.
    """
    with _store_errors(file), replace_file(file) as new, _database_in(new) as copy:
        copy.open()
        with database.begin_read() as source, copy.begin() as target:
            copy_all(source, target)


def restore_server(file: Path, database: Database, secret_box: SecretBox, kept: Path) -> None:
    """Restore a backup into a database on a server, in one transaction.

    :param secret_box: see `restore`.
    :param kept: a path; the prepared backup has this path with the ending ``.restoring``, and a copy of the present
        database has this path with the ending ``.before-restore``.
    :raises StoreError: when the restore fails; the database is unchanged then.
    """
    work = kept.with_name(kept.name + ".restoring")
    with _store_errors(work), _work_copy(file, work):
        last_ids = database.run(database.last_ids)
        _prepare(work, file, secret_box, last_ids)
        back_up_server(database, kept.with_name(kept.name + ".before-restore"))
        with _database_in(work) as prepared, prepared.begin_read() as source, database.begin() as target:
            mark_erased(target)
            copy_all(source, target)


def restore(file: Path, database: Path, secret_box: SecretBox) -> None:
    """Restore a backup.

    Sign-ins, pending consents and recordings in the backup are not restored, and no sync counts as running.

    :param secret_box: the keys, which must be able to decrypt the secrets in the backup; the first key encrypts the
        secrets anew.
    :raises StoreError: when the restore fails; the database is unchanged then.
    """
    work = database.with_name(database.name + ".restoring")
    with _store_errors(database), _work_copy(file, work):
        last_ids = _read_last_ids(database)
        _prepare(work, file, secret_box, last_ids or {})
        if last_ids is None:
            _move_damaged(database)
            copy_owner(work, database.parent)
            flush_to_disk(work)
            work.rename(database)
            flush_to_disk(database.parent)
        else:
            _keep_copy(database)
            copy_database(closing(sqlite3.connect(work)), database, database)


@contextmanager
def _work_copy(file: Path, work: Path) -> Iterator[None]:
    """Copy a backup for `_prepare`, which changes the copy; the copy is deleted at the end.

    :param work: the file that becomes the copy.
    :raises StoreError: when the backup is no database of ldapgw, or cannot be read.
    """
    try:
        _clear(work)
        work.touch(mode=0o600)
        with _store_errors(file):
            copy_database(_opened(file, f"{file.absolute().as_uri()}?mode=ro"), work, file)
            with closing(sqlite3.connect(work)) as copy:
                if copy.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
                    raise StoreError(f"{file}: is no database of ldapgw")
        yield
    finally:
        _clear(work)


def _prepare(work: Path, file: Path, secret_box: SecretBox, last_ids: Mapping[str, int]) -> None:
    """Upgrade a copy of a backup to the newest version, check the whole copy, and remove short-lived state.

    All secrets are encrypted with the present key.

    :param last_ids: the highest ids in the database that will be replaced (`Database.last_ids`).  New rows get higher
        ids, so that no new row has the id of a former row.
    """
    try:
        with _database_in(work) as copy:
            copy.open()
            with copy.begin() as connection:
                check_writable(connection, thoroughly=True)
                reseal_all(connection, secret_box)
                _forget(connection, last_ids)
    except UnfitKey:
        raise StoreError(
            f"{file}: was made under another key; put that key beside the key file, as ldapgw.key.YYYY-MM-DD, and "
            "restore again"
        ) from None
    except StoreError as error:
        raise type(error)(problem.replace(str(work), str(file)) for problem in error.problems) from None


@contextmanager
def _database_in(file: Path) -> Iterator[Database]:
    """Open the database in a file for the duration of the block; afterwards no write-ahead log is beside the file."""
    database = database_at(f"sqlite:///{file}", keeps_copies=False)
    try:
        yield database
    finally:
        database.close()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")


def _forget(connection: Connection, last_ids: Mapping[str, int]) -> None:
    for table in (sign_in, consent_flow, recording):
        connection.execute(delete(table))
    sync_state.clear_running(connection)
    database_of(connection).raise_ids(connection, last_ids)
    changes.begin_epoch(connection)


def _read_last_ids(database: Path) -> Mapping[str, int] | None:
    """Return the highest ids in a database, or None if the database is missing, damaged, or not made by ldapgw."""
    if not database.exists():
        return None
    try:
        with closing(sqlite3.connect(database, timeout=BUSY_SECONDS)) as connection:
            is_intact = connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
            ids = {"account": connection.execute("SELECT coalesce(max(id), 0) FROM account").fetchone()[0]}
            # A database of an older version does not have this table.
            if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'").fetchone():
                ids |= dict(connection.execute("SELECT name, seq FROM sqlite_sequence"))
            return ids if is_intact else None
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED_CODES:
            return None
        raise


def _keep_copy(database: Path) -> None:
    """Copy the present database, in case the operator restores the wrong backup."""
    copy_path = database.with_name(database.name + ".before-restore")
    with replace_file(copy_path, like=database) as copy:
        copy_database(closing(sqlite3.connect(database)), copy, database)


def _move_damaged(database: Path) -> None:
    """Rename a damaged database to an unused name.  A process that has the file open can still use the file."""
    number = 1
    while (new_name := database.with_name(f"{database.name}.damaged-{number}")).exists():
        number += 1
    for ending in ("", *SIDE_FILE_ENDINGS):
        file = database.with_name(database.name + ending)
        if file.exists():
            file.rename(new_name.with_name(new_name.name + ending))
    if new_name.exists():
        os.utime(new_name)  # `ldapgw.store.copies` deletes the file 30 days from now


def _opened(path: Path, uri: str) -> closing[sqlite3.Connection]:
    if not path.is_file():
        raise StoreError(f"{path}: is no file")
    return closing(sqlite3.connect(uri, uri=True))


def _clear(work: Path) -> None:
    for ending in ("", *SIDE_FILE_ENDINGS):
        work.with_name(work.name + ending).unlink(missing_ok=True)


@contextmanager
def _store_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"{path}: cannot be used: {error}") from None
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror or os.strerror(error.errno or 0)}") from None


def copy_all(source: Connection, target: Connection) -> None:
    """Replace the content of the target by the content of the source, in the target's transaction."""
    database_of(target).lift_time_limit(target)
    _copy_tables(source, target, TABLES)
    _finish(source, target)


def _copy_tables(source: Connection, target: Connection, tables: Sequence[Table]) -> None:
    """Replace the rows of tables; the rows of later tables that refer to the former rows are deleted too."""
    for table in reversed(tables):
        target.execute(delete(table))
    for table in tables:
        for rows in chunks(_read(source, table)):
            database_of(target).insert_rows(target, table, table.columns.keys(), rows)


def resume_copy(source: Connection, target: Database, report: Callable[[str, int], object]) -> int:
    """Make the target equal to the source in a transaction for each table that differs.

    After an interruption, another call continues the copy.  Until `mark_complete` no gateway uses the target.

    :param source: a transaction that reads one snapshot.
    :param target: a database that was opened with `Database.unfinished_copy_of`.
    :param report: called with each table's name and number of rows.
    :returns: the number of rows.
    :raises StoreError: if one of the databases cannot be used, or a table differs after the copy.
    """
    total = 0
    # The source waits while the target writes and compares a large table.
    database_of(source).lift_time_limit(source)
    for table in TABLES:
        source_digest = digest(source, table)
        with target.begin() as connection:
            target.lift_time_limit(connection)
            if digest(connection, table) != source_digest:
                _copy_tables(source, connection, [table])
                if digest(connection, table) != source_digest:
                    raise StoreError(
                        f"{target.name}: the table {table.name} differs from the source; run the copy again"
                    )
        report(table.name, source_digest.rows)
        total += source_digest.rows
    return total


def is_unfinished(connection: Connection) -> bool:
    """Return whether a copy into the database has begun but not ended."""
    return connection.execute(select(schema_version.c.copied_from)).scalar_one() is not None


def mark_unfinished(connection: Connection) -> None:
    """Keep gateways from using the target of a copy until `mark_complete`."""
    connection.execute(update(schema_version).values(copied_from=database_of(connection).unfinished_copy_of))


def mark_complete(source: Connection, target: Connection) -> None:
    """Let gateways use the target of a copy."""
    _finish(source, target)
    target.execute(update(schema_version).values(copied_from=None))


def _finish(source: Connection, target: Connection) -> None:
    """Let new rows get ids that neither database has ever given, and begin a new epoch in the target."""
    database_of(target).raise_ids(target, database_of(source).last_ids(source))
    changes.begin_epoch(target)


def holds_anything(connection: Connection) -> bool:
    return any(connection.execute(select(table).limit(1)).first() is not None for table in TABLES)


def digest(connection: Connection, table: Table) -> Digest:
    count, octets = 0, hashlib.sha256()
    for row in _read(connection, table):
        octets.update(repr(row).encode("utf-8", "surrogatepass"))
        count += 1
    return Digest(count, octets.hexdigest())


def _read(connection: Connection, table: Table) -> Iterator[Row]:
    """Yield all rows in the order of their keys.  NUL is removed from texts, because PostgreSQL cannot store NUL."""
    query = select(table).order_by(*table.primary_key.columns)
    with connection.execute(query, execution_options={"yield_per": CHUNK}) as rows:
        for row in rows:
            yield tuple(value.replace("\0", "") if isinstance(value, str) else value for value in row)
