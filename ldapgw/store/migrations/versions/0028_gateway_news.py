# SPDX-License-Identifier: MIT
"""What gateways on one database tell each other, and which key the last rotation has ended with."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    op.create_table(
        "gateway_news",
        sa.Column("gateway", sa.String(), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
    )
    op.add_column("schema_version", sa.Column("key", sa.String()))
