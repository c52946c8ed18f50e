# SPDX-License-Identifier: MIT
"""The secret in the address of a phone's XML phone book."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

# As in 0013, with one more column: whether the address still works is for the gateway to know at once.
_MARK = """
CREATE TRIGGER change_phone_update
AFTER UPDATE OF name, tenant, account_id, numbers, model, password, book_secret ON phone BEGIN
    INSERT INTO change (kind, key, number)
    VALUES ('phone', NEW.name, (SELECT coalesce(max(number), 0) + 1 FROM change))
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number;
END
"""


def upgrade() -> None:
    op.add_column("phone", sa.Column("book_secret", sa.String()))
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER change_phone_update")
        op.execute(_MARK)
