# SPDX-License-Identifier: MIT
"""The time of each phone's present password, so that a phone with a new password keeps the times of its searches."""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"


def upgrade() -> None:
    op.add_column("phone", sa.Column("password_at", sa.Float()))
