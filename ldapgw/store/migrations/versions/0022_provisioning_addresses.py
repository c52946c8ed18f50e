# SPDX-License-Identifier: MIT
"""The provisioning addresses of phones."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.create_table(
        "provisioning",
        sa.Column("phone", sa.String(), sa.ForeignKey("phone.name", ondelete="CASCADE"), primary_key=True),
        sa.Column("secret", sa.String(), nullable=False),
        sa.Column("password", sa.LargeBinary(), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.Column("fetches", sa.String(), nullable=False),
    )
