# SPDX-License-Identifier: MIT
"""The format in which a phone gets numbers."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

# As in 0016, with one more column: the phone's next search is answered in the format.
_MARK = """
CREATE TRIGGER change_phone_update
AFTER UPDATE OF name, tenant, account_id, numbers, model, password, book_secret, number_format ON phone BEGIN
    INSERT INTO change (kind, key, number)
    VALUES ('phone', NEW.name, (SELECT coalesce(max(number), 0) + 1 FROM change))
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number;
END
"""


def upgrade() -> None:
    op.add_column("phone", sa.Column("number_format", sa.String()))
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER change_phone_update")
        op.execute(_MARK)
