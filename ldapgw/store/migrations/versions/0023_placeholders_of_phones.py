# SPDX-License-Identifier: MIT
"""The placeholders of phones whose model is not known."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.add_column("phone", sa.Column("placeholder", sa.String()))
