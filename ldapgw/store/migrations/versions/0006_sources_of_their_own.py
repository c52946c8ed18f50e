# SPDX-License-Identifier: MIT
"""What is known of each source, of the labels, of a tenant's client, and of grants that are still to be given back."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column(
        "contact",
        sa.Column(
            "digest", sa.LargeBinary(), nullable=True, comment="of all but the time of its last change; null: not known"
        ),
    )
    op.add_column("source", sa.Column("asked_at", sa.Float(), nullable=True, comment="when Google was last asked"))
    op.add_column(
        "source", sa.Column("error_code", sa.String(), nullable=True, comment="of the directory: as the account's")
    )
    op.add_column("source", sa.Column("error_since", sa.Float(), nullable=True, comment="when that error came first"))
    op.add_column("source", sa.Column("error_facts", sa.String(), nullable=True, comment="more about it, as JSON"))
    op.add_column("source", sa.Column("next_try", sa.Float(), nullable=True, comment="not to be asked before"))
    op.add_column("account", sa.Column("error_facts", sa.String(), nullable=True, comment="more about it, as JSON"))
    op.add_column(
        "account", sa.Column("labels_token", sa.String(), nullable=True, comment="Google's, for changes of labels")
    )
    op.add_column(
        "account",
        sa.Column(
            "labels_fingerprint", sa.String(), server_default="", nullable=False, comment="of what that is bound to"
        ),
    )
    op.create_table(
        "alarm",
        sa.Column("tenant", sa.String(), nullable=False, comment="the tenant's name in the configuration"),
        sa.Column("code", sa.String(), nullable=False, comment="client_rejected or api_disabled"),
        sa.Column("since", sa.Float(), nullable=False, comment="when it came first"),
        sa.Column(
            "link", sa.String(), server_default="", nullable=False, comment="where to mend it, if Google said so"
        ),
        sa.PrimaryKeyConstraint("tenant"),
    )
    op.create_table(
        "revocation",
        sa.Column("id", sa.Integer(), nullable=False, comment="ours; never shown"),
        sa.Column("tenant", sa.String(), nullable=False, comment="whose client the grant was given to"),
        sa.Column("sub", sa.String(), nullable=False, comment="Google's key of the user (id_token claim sub)"),
        sa.Column("token", sa.LargeBinary(), nullable=False, comment="sealed; the refresh token to revoke"),
        sa.Column("since", sa.Float(), nullable=False, comment="when the account was disconnected"),
        sa.Column("next_try", sa.Float(), nullable=False, comment="when it is tried again"),
        sa.PrimaryKeyConstraint("id"),
    )
