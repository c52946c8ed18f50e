# SPDX-License-Identifier: MIT
"""Several gateways on one database: their heartbeats, and which of them syncs which tenant."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    op.create_table(
        "gateway",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("roles", sa.String(), nullable=False),
        sa.Column("keys", sa.String(), nullable=False),
        sa.Column("position", sa.Integer().with_variant(sa.BigInteger(), "postgresql"), nullable=False),
        sa.Column("accounts", sa.Integer(), nullable=False),
        sa.Column("contacts", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=False),
    )
    op.create_table(
        "sync_lease",
        sa.Column("tenant", sa.String(), primary_key=True),
        sa.Column("gateway", sa.String()),
        sa.Column("fence", sa.Integer().with_variant(sa.BigInteger(), "postgresql"), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
    )
