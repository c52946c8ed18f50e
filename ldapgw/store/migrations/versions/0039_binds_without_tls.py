# SPDX-License-Identifier: MIT
"""A column of the table of phones tells whether the last bind of the phone had TLS."""

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"
readable_from = "0038"


def upgrade() -> None:
    op.add_column("phone", sa.Column("last_over_tls", sa.Boolean()))
