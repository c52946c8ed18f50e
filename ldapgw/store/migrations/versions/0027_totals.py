# SPDX-License-Identifier: MIT
"""How many persons Google counted in each source."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    op.add_column("source", sa.Column("total", sa.Integer()))
