# SPDX-License-Identifier: MIT
"""Which older versions can use the tables, whether a copy into them has ended, and marks for several gateways."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
# The oldest revision whose gateways can read and write these tables.  A migration that takes away what they need names
# itself; one that only adds says nothing, and the last one that did counts (docs/decisions/0087).
readable_from = "0024"


def upgrade() -> None:
    op.create_table(
        "schema_version",
        sa.Column("revision", sa.String(), primary_key=True),
        sa.Column("readable_from", sa.String(), nullable=False),
        sa.Column("copied_from", sa.String()),
    )
    op.add_column("change", sa.Column("marked_at", sa.Float()))
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("change", "number", type_=sa.BigInteger(), existing_nullable=False)
