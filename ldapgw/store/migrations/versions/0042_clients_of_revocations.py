# SPDX-License-Identifier: MIT
"""A column has the OAuth client of the grant that is to be revoked; the tenant may have another client by then."""

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0041"


def upgrade() -> None:
    op.add_column("revocation", sa.Column("client_id", sa.String()))
