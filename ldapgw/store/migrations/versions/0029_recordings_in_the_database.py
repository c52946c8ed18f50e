# SPDX-License-Identifier: MIT
"""Files of recordings, and what each gateway has recorded until then; former files are beside the database, and go."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    op.execute("DELETE FROM recording")
    op.add_column("recording", sa.Column("writer", sa.String()))
    op.add_column("recording", sa.Column("content", sa.LargeBinary()))
    op.create_table(
        "recording_part",
        sa.Column(
            "phone",
            sa.String(),
            sa.ForeignKey("recording.phone", ondelete="CASCADE", onupdate="CASCADE"),
            primary_key=True,
        ),
        sa.Column("gateway", sa.String(), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("content", sa.LargeBinary(), nullable=False),
    )
