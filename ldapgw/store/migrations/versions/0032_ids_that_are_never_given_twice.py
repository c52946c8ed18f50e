# SPDX-License-Identifier: MIT
"""Ids that are never given twice: SQLite gave the id of the newest row again once that row was deleted."""

from alembic import op

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "sqlite":
        return  # a sequence of PostgreSQL only counts upwards
    # With the present way of ALTER TABLE, SQLite refuses to rename a table while a trigger of another table names it.
    op.execute("PRAGMA legacy_alter_table = ON")
    for table in ("account", "activity", "revocation"):
        query = "SELECT type, sql FROM sqlite_schema WHERE tbl_name = ? AND sql IS NOT NULL"
        created = [(row.type, row.sql) for row in connection.exec_driver_sql(query, (table,))]
        [definition] = [sql for kind, sql in created if kind == "table"]
        definition = definition.replace(f"CREATE TABLE {table}", "CREATE TABLE rebuilt")
        op.execute(definition.replace("PRIMARY KEY (id)", "PRIMARY KEY (id AUTOINCREMENT)"))
        op.execute(f"INSERT INTO rebuilt SELECT * FROM {table}")  # noqa: S608  our own names
        op.execute(f"DROP TABLE {table}")
        op.execute(f"ALTER TABLE rebuilt RENAME TO {table}")
        for kind, sql in created:
            if kind != "table":
                op.execute(sql)
    op.execute("PRAGMA legacy_alter_table = OFF")
