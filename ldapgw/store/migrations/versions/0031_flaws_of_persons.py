# SPDX-License-Identifier: MIT
"""What is wrong with a person at Google, so that its owner can correct it there."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    op.add_column("contact", sa.Column("flaws", sa.String()))
