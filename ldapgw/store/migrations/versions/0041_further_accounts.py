# SPDX-License-Identifier: MIT
"""A table has the further accounts of phones; a column marks phones whose passwords former owners may know."""

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"
# An older gateway serves a phone only the contacts of its first account, and would delete the phone with this account.
readable_from = "0041"


def upgrade() -> None:
    op.add_column("phone", sa.Column("former_owner", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_table(
        "further_account",
        sa.Column("phone", sa.String(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["phone"], ["phone.name"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("phone", "account_id"),
    )
    op.create_index("further_account_account", "further_account", ["account_id"])
