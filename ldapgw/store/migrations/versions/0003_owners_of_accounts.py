# SPDX-License-Identifier: MIT
"""A person may have several Google accounts."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column(
        "account",
        sa.Column(
            "owner",
            sa.String(),
            nullable=True,
            comment="the sub of another Google user whose page it is on as well; null: none",
        ),
    )
