# SPDX-License-Identifier: MIT
"""The refused logins of phones."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.add_column("phone", sa.Column("refused_at", sa.Float()))
    op.add_column("phone", sa.Column("refused_address", sa.String()))
    op.add_column("phone", sa.Column("refused_count", sa.Integer()))
