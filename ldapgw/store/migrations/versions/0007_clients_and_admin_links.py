# SPDX-License-Identifier: MIT
"""OAuth clients that an administrator has entered, and links that open the administration."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "oauth_client",
        sa.Column("tenant", sa.String(), nullable=False, comment="the tenant's name in the configuration"),
        sa.Column("client_id", sa.String(), nullable=False, comment="as registered with Google"),
        sa.Column("client_secret", sa.LargeBinary(), nullable=False, comment="sealed"),
        sa.Column("entered_at", sa.Float(), nullable=False, comment="when an administrator has entered it"),
        sa.PrimaryKeyConstraint("tenant"),
    )
    op.create_table(
        "admin_link",
        sa.Column("token", sa.String(), nullable=False, comment="SHA-256 of what is in the link, in hex; single use"),
        sa.Column("tenant", sa.String(), nullable=False, comment="whose administration it opens"),
        sa.Column("created_at", sa.Float(), nullable=False, comment="when; it ends after an hour"),
        sa.PrimaryKeyConstraint("token"),
    )
