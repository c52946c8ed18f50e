# SPDX-License-Identifier: MIT
"""The OAuth client that an account's grant was given to, and the account's Workspace domain."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column(
        "account",
        sa.Column(
            "client_id",
            sa.String(),
            nullable=True,
            comment="OAuth client that the grant was given to; null: not known yet",
        ),
    )
    op.add_column(
        "account",
        sa.Column(
            "hd",
            sa.String(),
            nullable=True,
            comment="Workspace domain (id_token claim hd); empty: none; null: not known",
        ),
    )
