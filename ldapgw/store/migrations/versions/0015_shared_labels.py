# SPDX-License-Identifier: MIT
"""The label of an account whose contacts alone are shared."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("account", sa.Column("shared_label", sa.String()))
