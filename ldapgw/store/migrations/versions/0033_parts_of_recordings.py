# SPDX-License-Identifier: MIT
"""A part of a recording for each gateway that recorded the phone; recordings with the former pseudonyms are deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
# Older gateways write columns that are not there any more.
readable_from = "0034"


def upgrade() -> None:
    op.drop_table("recording_part")
    op.drop_table("recording")
    op.create_table(
        "recording",
        sa.Column("phone", sa.String(), sa.ForeignKey("phone.name", ondelete="CASCADE"), primary_key=True),
        sa.Column("begun_at", sa.Float(), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.Column("plain", sa.Boolean(), nullable=False),
    )
    op.create_table(
        "recording_part",
        sa.Column(
            "phone",
            sa.String(),
            sa.ForeignKey("recording.phone", ondelete="CASCADE", onupdate="CASCADE"),
            primary_key=True,
        ),
        sa.Column("gateway", sa.String(), primary_key=True),
        sa.Column("searches", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
    )
