# SPDX-License-Identifier: MIT
"""Which contacts have changed since a generation, so that a book need not be read whole for a change."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column(
        "contact",
        sa.Column(
            "generation",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="the account's generation that it was written in",
        ),
    )
    op.create_index("contact_generation", "contact", ["account_id", "generation"])
    op.create_index("contact_source_id", "contact", ["account_id", "source", "source_id"])
    op.add_column(
        "account",
        sa.Column(
            "known_since",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="the generation since which changes of contacts are known",
        ),
    )
    op.execute("UPDATE account SET known_since = generation")
    op.create_table(
        "removed_contact",
        sa.Column("account_id", sa.Integer(), nullable=False, comment="the account that it belongs to"),
        sa.Column("source", sa.String(), nullable=False, comment="contacts, other_contacts or directory"),
        sa.Column("uid", sa.String(), nullable=False, comment="the id in the resourceName"),
        sa.Column("generation", sa.Integer(), nullable=False, comment="the account's generation that removed it"),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("account_id", "source", "uid"),
    )
