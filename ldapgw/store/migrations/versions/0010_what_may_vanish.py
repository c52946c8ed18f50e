# SPDX-License-Identifier: MIT
"""Who was missed in listings that were not whole, how many contacts may vanish, and tries to give grants back."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column(
        "revocation",
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False, comment="how often it was tried in vain"),
    )
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
