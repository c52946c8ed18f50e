# SPDX-License-Identifier: MIT
"""The history of syncs, and the log of what people do."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.create_table(
        "sync_attempt",
        sa.Column("account_id", sa.Integer(), sa.ForeignKey("account.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("ended_at", sa.Float(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("is_full", sa.Boolean(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("added", "changed", "removed", "skipped")),
        sa.Column("error", sa.String()),
    )
    op.create_table(
        "sync_day",
        sa.Column("account_id", sa.Integer(), sa.ForeignKey("account.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("day", sa.Integer(), primary_key=True),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("ok", "failed", "changes")),
    )
    op.create_table(
        "activity",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("at", sa.Float(), nullable=False),
        *(
            sa.Column(name, sa.String(), nullable=False)
            for name in ("tenant", "actor", "act", "subject", "detail", "address")
        ),
    )
    op.create_index("activity_tenant_at", "activity", ["tenant", "at"])
