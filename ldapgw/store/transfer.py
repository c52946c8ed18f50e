# SPDX-License-Identifier: MIT
"""Copies everything in a database to another database of any engine, for backups and ``database copy``.

The marks of changes are not copied, because the target's triggers make marks, and a new epoch lets gateways read
everything once.
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

# Tables about the running gateways of a database, which are not copied.
_OF_GATEWAYS = {gateway, sync_progress}
# The copied tables, in an order in which their rows can be inserted.
TABLES: tuple[Table, ...] = tuple(
    table for table in metadata.sorted_tables if table not in {change, schema_version} | _OF_GATEWAYS
)

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Digest:
    """The number of a table's rows, and a hash of all rows in the order of their keys."""

    rows: int
    sha256: str


def copy_all(source: Connection, target: Connection) -> None:
    """Replace the content of the target by the content of the source, in the target's transaction."""
    database_of(target).lift_time_limit(target)
    for table in reversed(TABLES):
        target.execute(delete(table))
    for table in TABLES:
        for rows in chunks(_read(source, table)):
            _insert(target, table, rows)
    _finish(source, target)


def resume_copy(source: Connection, target: Database, report: Callable[[str, int], object]) -> int:
    """Make the target equal to the source in many transactions that write only the rows which differ.

    After an interruption, another call continues the copy.  Until `mark_complete` no gateway uses the target.

    :param source: a transaction that reads one snapshot.
    :param target: a database that was opened with `Database.unfinished_copy_of`.
    :param report: called with each table's name and number of rows.
    :returns: the number of rows.
    :raises StoreError: if one of the databases cannot be used, or a table differs after the copy.
    """
    for table in reversed(TABLES):
        with target.begin_read() as present:
            gone = [found for expected, found in _differences(source, present, table) if expected is None]
        for rows in chunks(gone):
            with target.begin() as connection:
                for row in rows:
                    connection.execute(delete(table).where(_is(table, row)))
    total = 0
    for table in TABLES:
        with target.begin_read() as present:
            for changed in chunks(_differences(source, present, table)):
                with target.begin() as connection:
                    if new := [expected for expected, found in changed if found is None]:
                        _insert(connection, table, new)
                    for expected, found in changed:
                        if found is not None:
                            _update(connection, table, expected)
        source_digest = digest(source, table)
        with target.begin_read() as copied:
            if digest(copied, table) != source_digest:
                raise StoreError(f"{target.name}: the table {table.name} differs from the source; run the copy again")
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
    """Yield all rows in the order of their keys.  NUL is removed from texts, because PostgreSQL cannot store it."""
    query = select(table).order_by(*table.primary_key.columns)
    with connection.execute(query, execution_options={"yield_per": CHUNK}) as rows:
        for row in rows:
            yield tuple(value.replace("\0", "") if isinstance(value, str) else value for value in row)


def _key(table: Table, row: Row) -> Row:
    return tuple(value for column, value in zip(table.columns, row, strict=True) if column.primary_key)


def _differences(source: Connection, target: Connection, table: Table) -> Iterator[tuple[Any, Any]]:
    """Yield a pair for each key whose rows differ: the source's row and the target's row, or None for a missing row."""
    all_expected, all_found = _read(source, table), _read(target, table)
    expected, found = next(all_expected, None), next(all_found, None)
    while expected is not None or found is not None:
        if found is None or (expected is not None and _key(table, expected) < _key(table, found)):
            yield expected, None
            expected = next(all_expected, None)
        elif expected is None or _key(table, found) < _key(table, expected):
            yield None, found
            found = next(all_found, None)
        else:
            if expected != found:
                yield expected, found
            expected, found = next(all_expected, None), next(all_found, None)


def _is(table: Table, row: Row) -> Any:
    """Return the SQL condition that selects the row of `table` with the key of `row`."""
    return and_(*(column == value for column, value in zip(table.primary_key.columns, _key(table, row), strict=True)))


def _insert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    names = [column.name for column in table.columns]
    database_of(connection).insert_rows(connection, table, names, rows)


def _update(connection: Connection, table: Table, row: Row) -> None:
    values = {column.name: value for column, value in zip(table.columns, row, strict=True) if not column.primary_key}
    connection.execute(update(table).where(_is(table, row)).values(values))
