# SPDX-License-Identifier: MIT
"""What was odd about listings that were applied, their page size, and the OAuth client and domain of accounts."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column(
        "source",
        sa.Column(
            "page_size",
            sa.Integer(),
            nullable=True,
            comment="persons in a page, for sync_token; null: as many as Google allows",
        ),
    )
    op.add_column(
        "source",
        sa.Column(
            "warnings",
            sa.String(),
            nullable=True,
            comment="what was odd about the last listings, by warning code, as JSON; null: nothing",
        ),
    )
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
