# SPDX-License-Identifier: MIT
"""Indexes for what is looked up by itself where there are thousands of accounts and logins."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_index("phone_account", "phone", ["account_id"])
    op.create_index("phone_folded_name", "phone", [sa.text("lower(name)")])
    op.create_index("account_owner", "account", ["owner"])
    op.create_index("account_folded_address", "account", [sa.text("lower(address)")])
