# SPDX-License-Identifier: MIT
"""Which tables each gateway knows, so that an upgrade does not take away what one of them needs."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    op.add_column("gateway", sa.Column("revision", sa.String()))
