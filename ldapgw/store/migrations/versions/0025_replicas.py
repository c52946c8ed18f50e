# SPDX-License-Identifier: MIT
"""The logins of replicas."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
# Older versions would take a replica for a phone, and cannot check the hashes of passwords that are stored from now on.
readable_from = "0025"


def upgrade() -> None:
    op.add_column("phone", sa.Column("replica", sa.String()))
