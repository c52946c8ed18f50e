# SPDX-License-Identifier: MIT
"""The models of phones."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column(
        "phone",
        sa.Column("model", sa.String(), server_default="", nullable=False, comment="yealink, snom …; empty: not said"),
    )
