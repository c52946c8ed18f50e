# SPDX-License-Identifier: MIT
"""A consent knows which account it is to mend."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column(
        "consent_flow",
        sa.Column(
            "expected",
            sa.String(),
            nullable=False,
            server_default="",
            comment="the sub to end with; empty: anybody's",
        ),
    )
