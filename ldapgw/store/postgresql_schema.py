# SPDX-License-Identifier: MIT
"""PostgreSQL's additions to the migrations: triggers that mark and notify changes, the order of text, unlogged tables.

`ldapgw.store.changes` reads the marks, and `ldapgw.store.postgresql_connection.ChangeListener` receives the
notifications.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection, text

# The channels of the triggers' notifications, and of the gateways' bulletins (`ldapgw.peers.bulletin`).
CHANGES_CHANNEL: Final = "ldapgw"
BULLETIN_CHANNEL: Final = "ldapgw_bulletin"

_PHONE_COLUMNS = (
    "name",
    "tenant",
    "account_id",
    "numbers",
    "model",
    "password",
    "next_password",
    "book_secret",
    "number_format",
    "area_code",
)
# Each item is a table, the kind of its marks, the column with the key of a mark, and the columns whose changes are
# marked (empty for all columns).
_MARKED = (
    ("account", "account", "id", ()),
    ("source", "account", "account_id", ("state",)),
    ("phone", "phone", "name", _PHONE_COLUMNS),
    ("further_account", "phone", "phone", ()),
)
# The tables of which each change marks all accounts of the tenant, with the event of an update.
_MARKING_TENANT = {"oauth_client": "UPDATE", "delegation": "UPDATE", "google_group": "UPDATE OF members"}
# The tables whose changes are notified.  A change of a table in `_MARKED` is notified because a trigger writes the mark
# into the table "change".
_TOLD = ("change", "recording", "recording_part", "alarm", *_MARKING_TENANT, "sync_progress")
# Tables whose rows are needed only for seconds.  A commit in an unlogged table does not wait for the disk, and a crash
# deletes the rows.
_UNLOGGED = ("sync_progress",)

_UPSERT = """
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number, marked_at = excluded.marked_at
    WHERE change.number <> excluded.number;
"""
_VALUES = "pg_current_xact_id()::text::bigint, extract(epoch FROM clock_timestamp())"
_MARK = """
CREATE OR REPLACE FUNCTION ldapgw_mark_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND (TG_OP = 'DELETE' OR OLD.{key} IS DISTINCT FROM NEW.{key}) THEN
        INSERT INTO change (kind, key, number, marked_at) VALUES ('{kind}', OLD.{key}::text, {values}) {upsert}
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO change (kind, key, number, marked_at) VALUES ('{kind}', NEW.{key}::text, {values}) {upsert}
    END IF;
    RETURN NULL;
END $$
"""
_MARK_TENANT = """
CREATE OR REPLACE FUNCTION ldapgw_mark_tenant() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO change (kind, key, number, marked_at)
    SELECT 'account', id::text, {values} FROM account
    WHERE tenant = CASE TG_OP WHEN 'DELETE' THEN OLD.tenant ELSE NEW.tenant END ORDER BY id {upsert}
    RETURN NULL;
END $$
"""
_TELL = f"""
CREATE OR REPLACE FUNCTION ldapgw_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('{CHANGES_CHANNEL}', '');
    RETURN NULL;
END $$
"""
_COLUMNS = text("""
SELECT table_name, column_name FROM information_schema.columns JOIN information_schema.tables USING (table_name)
WHERE columns.table_schema = current_schema() AND tables.table_schema = current_schema() AND table_type = 'BASE TABLE'
AND data_type = 'character varying' AND collation_name IS DISTINCT FROM 'C'
""")


def finishing_statements(connection: Connection) -> Iterator[str]:
    """Yield the statements that follow an upgrade: triggers, unlogged tables, and the order of text (code points)."""
    for table, column in connection.execute(_COLUMNS).all():
        yield f'ALTER TABLE "{table}" ALTER COLUMN "{column}" TYPE varchar COLLATE "C"'
    for table, kind, key, columns in _MARKED:
        yield _MARK.format(table=table, kind=kind, key=key, values=_VALUES, upsert=_UPSERT)
        yield from _trigger(f"ldapgw_mark_{table}", table, "AFTER INSERT OR DELETE", "ROW", f"ldapgw_mark_{table}")
        old, new = (
            ", ".join(f"{row}.{column}" for column in columns) if columns else f"{row}.*" for row in ("OLD", "NEW")
        )
        when = f"({old}) IS DISTINCT FROM ({new})" if len(columns) > 1 else f"{old} IS DISTINCT FROM {new}"
        yield from _trigger(
            f"ldapgw_mark_{table}_update", table, "AFTER UPDATE", "ROW", f"ldapgw_mark_{table}", f"WHEN ({when})"
        )
    yield _MARK_TENANT.format(values=_VALUES, upsert=_UPSERT)
    for table, event in _MARKING_TENANT.items():
        yield from _trigger(
            "ldapgw_mark_tenant", table, f"AFTER INSERT OR {event} OR DELETE", "ROW", "ldapgw_mark_tenant"
        )
    yield _TELL
    for table in _UNLOGGED:
        yield f"ALTER TABLE {table} SET UNLOGGED"
    for table in _TOLD:
        yield from _trigger("ldapgw_tell", table, "AFTER INSERT OR UPDATE OR DELETE", "STATEMENT", "ldapgw_tell")


def _trigger(name: str, table: str, event_: str, level: str, function: str, when: str = "") -> Iterator[str]:
    yield f"DROP TRIGGER IF EXISTS {name} ON {table}"
    yield f"CREATE TRIGGER {name} {event_} ON {table} FOR EACH {level} {when} EXECUTE FUNCTION {function}()"
