# SPDX-License-Identifier: MIT
"""By which rules an account's numbers were read, and the area code of a phone."""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"

# As in 0018, with one more column: the phone's next search is answered with the area code.
_MARK = """
CREATE TRIGGER change_phone_update
AFTER UPDATE OF name, tenant, account_id, numbers, model, password, book_secret, number_format, area_code ON phone BEGIN
    INSERT INTO change (kind, key, number)
    VALUES ('phone', NEW.name, (SELECT coalesce(max(number), 0) + 1 FROM change))
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number;
END
"""


def upgrade() -> None:
    op.add_column("account", sa.Column("numbers_version", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("phone", sa.Column("area_code", sa.String(), nullable=False, server_default=""))
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER change_phone_update")
        op.execute(_MARK)
