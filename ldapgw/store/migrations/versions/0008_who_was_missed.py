# SPDX-License-Identifier: MIT
"""Since when a person was missed in listings that were not whole."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column(
        "contact",
        sa.Column(
            "missed_at",
            sa.Float(),
            nullable=True,
            comment="since when full listings that were not whole lack the person; null: none does",
        ),
    )
