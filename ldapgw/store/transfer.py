# SPDX-License-Identifier: MIT
"""Copies everything in a database to another database, whatever their engines, for backups and ``database copy``.

Marks of changes are not copied: the target's triggers make their own, and every look reads all once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, and_, delete, select, update

from ldapgw.errors import StoreError
from ldapgw.store import changes
from ldapgw.store.database import CHUNK, Database, chunks, database_of
from ldapgw.store.tables import change, gateway, metadata, schema_version, sync_progress

# What is true of the gateways that run on a database, and of no copy.
_OF_GATEWAYS = {gateway, sync_progress}
# In the order in which their rows can be inserted.
TABLES: tuple[Table, ...] = tuple(
    table for table in metadata.sorted_tables if table not in {change, schema_version} | _OF_GATEWAYS
)

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Digest:
    """Return the number of a table's rows and a hash of all rows, in the order of their keys."""

    rows: int
    sha256: str


def copy_all(source: Connection, target: Connection) -> None:
    """Replace all that the target holds by what the source holds, in the target's transaction."""
    database_of(target).lift_time_limit(target)
    for table in reversed(TABLES):
        target.execute(delete(table))
    for table in TABLES:
        for rows in chunks(_read(source, table)):
            _insert(target, table, rows)
    _finish(source, target)


def resume_copy(source: Connection, target: Database, report: Callable[[str, int], object]) -> int:
    """Make the target hold what the source holds, in many transactions; what is there already is not written again.

    It may be called again after it was killed.  Until `mark_complete` no gateway uses the target.

    :param source: a transaction that reads one snapshot.
    :param target: opened with `Database.unfinished_copy_of`.
    :param report: called with each table's name and number of rows.
    :returns: the number of rows.
    :raises StoreError: when one of the databases cannot be used, or a table is not the same afterwards.
    """
    for table in reversed(TABLES):
        with target.begin_read() as present:
            gone = [theirs for ours, theirs in _differences(source, present, table) if ours is None]
        for rows in chunks(gone):
            with target.begin() as connection:
                for row in rows:
                    connection.execute(delete(table).where(_is(table, row)))
    total = 0
    for table in TABLES:
        with target.begin_read() as present:
            for changed in chunks(_differences(source, present, table)):
                with target.begin() as connection:
                    if new := [ours for ours, theirs in changed if theirs is None]:
                        _insert(connection, table, new)
                    for ours, theirs in changed:
                        if theirs is not None:
                            _update(connection, table, ours)
        expected = digest(source, table)
        with target.begin_read() as copied:
            if digest(copied, table) != expected:
                raise StoreError(f"{target.name}: the table {table.name} is not the same; run the copy again")
        report(table.name, expected.rows)
        total += expected.rows
    return total


def is_unfinished(connection: Connection) -> bool:
    """Return whether a copy into the database has begun and not ended."""
    return connection.execute(select(schema_version.c.copied_from)).scalar_one() is not None


def mark_unfinished(connection: Connection) -> None:
    """Keep gateways from using the target of a copy until `mark_complete`."""
    connection.execute(update(schema_version).values(copied_from=database_of(connection).unfinished_copy_of))


def mark_complete(source: Connection, target: Connection) -> None:
    """Let gateways use the target of a copy."""
    _finish(source, target)
    target.execute(update(schema_version).values(copied_from=None))


def _finish(source: Connection, target: Connection) -> None:
    """Have new rows get ids that neither database has ever given, and every look at the target read all once."""
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
    """All rows in the order of their keys; text without NUL, which PostgreSQL cannot store."""
    query = select(table).order_by(*table.primary_key.columns)
    with connection.execute(query, execution_options={"yield_per": CHUNK}) as rows:
        for row in rows:
            yield tuple(value.replace("\0", "") if isinstance(value, str) else value for value in row)


def _key(table: Table, row: Row) -> Row:
    return tuple(value for column, value in zip(table.columns, row, strict=True) if column.primary_key)


def _differences(source: Connection, target: Connection, table: Table) -> Iterator[tuple[Any, Any]]:
    """Yield the rows that differ: the source's and the target's row of the same key; None: one of them has no row."""
    all_ours, all_theirs = _read(source, table), _read(target, table)
    ours, theirs = next(all_ours, None), next(all_theirs, None)
    while ours is not None or theirs is not None:
        if theirs is None or (ours is not None and _key(table, ours) < _key(table, theirs)):
            yield ours, None
            ours = next(all_ours, None)
        elif ours is None or _key(table, theirs) < _key(table, ours):
            yield None, theirs
            theirs = next(all_theirs, None)
        else:
            if ours != theirs:
                yield ours, theirs
            ours, theirs = next(all_ours, None), next(all_theirs, None)


def _is(table: Table, row: Row) -> Any:
    """Return the condition that selects the row of the same key."""
    return and_(*(column == value for column, value in zip(table.primary_key.columns, _key(table, row), strict=True)))


def _insert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    names = [column.name for column in table.columns]
    database_of(connection).insert_rows(connection, table, names, rows)


def _update(connection: Connection, table: Table, row: Row) -> None:
    values = {column.name: value for column, value in zip(table.columns, row, strict=True) if not column.primary_key}
    connection.execute(update(table).where(_is(table, row)).values(values))
