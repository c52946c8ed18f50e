# SPDX-License-Identifier: MIT
"""Delegated and service accounts, users of Google Workspace, members of Google Groups, leavers, and unfit clients."""

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"
# An older gateway would ask the persons of delegated accounts for a new consent.
readable_from = "0038"

# If a tenant gets another service account, or a group gets other members, all accounts of the tenant may be affected.
_MARK_TENANT = """
CREATE TRIGGER change_{table}_{name} AFTER {event} ON {table} BEGIN
    INSERT INTO change (kind, key, number)
    SELECT 'account', id, (SELECT coalesce(max(number), 0) + 1 FROM change) FROM account WHERE tenant = {row}.tenant
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number;
END
"""


def upgrade() -> None:
    op.drop_table("wrong_port")
    op.create_table(
        "unfit_client",
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("mistake", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("address", "mistake"),
    )
    op.add_column("account", sa.Column("delegated", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_table(
        "delegation",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("key_file", sa.LargeBinary(), nullable=False),
        sa.Column("settings", sa.String(), nullable=False),
        sa.Column("entered_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("tenant"),
    )
    op.create_table(
        "workspace",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("read_at", sa.Float()),
        sa.Column("users", sa.Integer(), server_default="0", nullable=False),
        sa.Column("scopes", sa.String(), server_default="", nullable=False),
        sa.Column("error_code", sa.String()),
        sa.Column("error_since", sa.Float()),
        sa.PrimaryKeyConstraint("tenant"),
    )
    op.create_table(
        "google_group",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("members", sa.String(), nullable=False),
        sa.Column("read_at", sa.Float()),
        sa.Column("error_code", sa.String()),
        sa.Column("error_since", sa.Float()),
        sa.PrimaryKeyConstraint("tenant", "address"),
    )
    op.create_table(
        "leaver",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("kept", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("approved", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("account_id"),
    )
    op.create_table(
        "held_leavers",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("tenant"),
    )
    if op.get_bind().dialect.name == "sqlite":
        for table, update in (("delegation", "UPDATE"), ("google_group", "UPDATE OF members")):
            for event, row in (("INSERT", "NEW"), (update, "NEW"), ("DELETE", "OLD")):
                name = event.partition(" ")[0]
                op.execute(_MARK_TENANT.format(table=table, name=name, event=event, row=row))
