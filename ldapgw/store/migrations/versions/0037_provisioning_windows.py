# SPDX-License-Identifier: MIT
"""MAC addresses and next passwords of phones, provisioning windows, reports on steps, and clients of wrong ports."""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"
# An older gateway does not know next passwords.  So the older gateway would refuse a phone that logs in with its next
# password, and would not clear the next password when the phone gets another password.
readable_from = "0037"

_MARK = """
CREATE TRIGGER change_phone_update AFTER UPDATE
OF name, tenant, account_id, numbers, model, password, next_password, book_secret, number_format, area_code ON phone
BEGIN
    INSERT INTO change (kind, key, number)
    VALUES ('phone', NEW.name, (SELECT coalesce(max(number), 0) + 1 FROM change))
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number;
END
"""


def upgrade() -> None:
    op.add_column("phone", sa.Column("next_password", sa.String()))
    op.add_column("phone", sa.Column("next_password_at", sa.Float()))
    op.add_column("phone", sa.Column("mac", sa.String()))
    op.create_index("phone_mac", "phone", ["tenant", "mac"], unique=True)
    op.create_table(
        "provisioning_window",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.Column("opened_at", sa.Float(), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.Column("plain_http", sa.Boolean(), nullable=False),
        sa.Column("chosen", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("tenant"),
    )
    op.create_table(
        "window_phone",
        sa.Column("phone", sa.String(), nullable=False),
        sa.Column("fetched_at", sa.Float()),
        sa.Column("address", sa.String(), server_default="", nullable=False),
        sa.Column("file", sa.String(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["phone"], ["phone.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("phone"),
    )
    op.create_table(
        "window_refusal",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("mac", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "reason", "mac"),
    )
    op.create_table(
        "step_report",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("vendor", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("menu", sa.String(), nullable=False),
        sa.Column("step_text", sa.String(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "vendor", "model", "version", "step", "menu"),
    )
    op.create_table(
        "wrong_port",
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("speaks_tls", sa.Boolean(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("address", "speaks_tls"),
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER change_phone_update")
        op.execute(_MARK)
