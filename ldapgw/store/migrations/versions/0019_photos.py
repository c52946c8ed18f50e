# SPDX-License-Identifier: MIT
"""Contacts' photos, and their addresses at Google."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.create_table(
        "photo",
        sa.Column("account_id", sa.Integer(), sa.ForeignKey("account.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("source", sa.String(), primary_key=True),
        sa.Column("uid", sa.String(), primary_key=True),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("due_at", sa.Float()),
        sa.Column("failures", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("jpeg", sa.LargeBinary()),
    )
    op.create_index("photo_due_at", "photo", ["due_at"])
