# SPDX-License-Identifier: MIT
"""Since when a person was missed in listings that were not whole, and how many contacts may vanish."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column(
        "account",
        sa.Column(
            "accepted",
            sa.String(),
            nullable=True,
            comment="how many contacts may vanish, as JSON; null: any number, at one try",
        ),
    )
    op.add_column(
        "contact",
        sa.Column(
            "missed_at",
            sa.Float(),
            nullable=True,
            comment="since when full listings that were not whole lack the person; null: none does",
        ),
    )
