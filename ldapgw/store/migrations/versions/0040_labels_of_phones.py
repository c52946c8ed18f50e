# SPDX-License-Identifier: MIT
"""A column of the table of phones has the label that people give a phone."""

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"
readable_from = "0038"


def upgrade() -> None:
    op.add_column("phone", sa.Column("label", sa.String(), server_default="", nullable=False))
