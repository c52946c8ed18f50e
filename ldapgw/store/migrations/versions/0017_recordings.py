# SPDX-License-Identifier: MIT
"""Recordings of what phones send and get; the files themselves are beside the database."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.create_table(
        "recording",
        sa.Column("phone", sa.String(), sa.ForeignKey("phone.name", ondelete="CASCADE"), primary_key=True),
        sa.Column("begun_at", sa.Float(), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.Column("plain", sa.Boolean(), nullable=False),
        sa.Column("written_at", sa.Float()),
        sa.Column("searches", sa.Integer()),
    )
