# SPDX-License-Identifier: MIT
"""The flaws of a person at Google, which the owner of the contact can correct there."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    op.add_column("contact", sa.Column("flaws", sa.String()))
