# SPDX-License-Identifier: MIT
"""A sign-in keeps by what its person was admitted."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column(
        "sign_in",
        sa.Column(
            "hd", sa.String(), nullable=False, server_default="", comment="the Workspace domain (id_token claim hd)"
        ),
    )
