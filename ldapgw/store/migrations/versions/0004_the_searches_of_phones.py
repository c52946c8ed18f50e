# SPDX-License-Identifier: MIT
"""The searches of phones."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column(
        "phone", sa.Column("searched_at", sa.Float(), comment="its last search, to the minute; null: none yet")
    )
    op.add_column(
        "phone",
        sa.Column("search_hint", sa.String(), comment="what was off with that (ldapgw.phones.hints); empty: nothing"),
    )
    op.add_column(
        "phone",
        sa.Column(
            "worked_at",
            sa.Float(),
            comment="the first search with this password that found somebody; null: none yet",
        ),
    )
