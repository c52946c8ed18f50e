# SPDX-License-Identifier: MIT
"""Marks of changed accounts and phones, so that a look at the database reads what has changed, and no more."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_MARK = """
CREATE TRIGGER {name} AFTER {event} BEGIN
    INSERT INTO change (kind, key, number)
    VALUES ('{kind}', {key}, (SELECT coalesce(max(number), 0) + 1 FROM change))
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number;
END
"""
# A phone's last bind and search are no change that anybody has to look at.
_PHONE_COLUMNS = "name, tenant, account_id, numbers, model, password"
_EVENTS = (
    ("account", "INSERT ON account", "NEW.id"),
    ("account", "UPDATE ON account", "NEW.id"),
    ("account", "DELETE ON account", "OLD.id"),
    ("account", "INSERT ON source", "NEW.account_id"),
    ("account", "UPDATE OF state ON source", "NEW.account_id"),
    ("account", "DELETE ON source", "OLD.account_id"),
    ("phone", "INSERT ON phone", "NEW.name"),
    ("phone", f"UPDATE OF {_PHONE_COLUMNS} ON phone", "NEW.name"),
    ("phone", "DELETE ON phone", "OLD.name"),
)
# Another OAuth client may end the trouble of all accounts of its tenant.
_MARK_TENANT = """
CREATE TRIGGER change_oauth_client_{verb} AFTER {verb} ON oauth_client BEGIN
    INSERT INTO change (kind, key, number)
    SELECT 'account', id, (SELECT coalesce(max(number), 0) + 1 FROM change) FROM account WHERE tenant = {row}.tenant
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number;
END
"""


def upgrade() -> None:
    op.create_table(
        "change",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "key"),
    )
    op.create_index("change_number", "change", ["number"])
    if op.get_bind().dialect.name != "sqlite":
        return  # another engine has triggers of its own (`ldapgw.store.postgresql`)
    for kind, event, key in _EVENTS:
        verb, table = event.split()[0].lower(), event.split()[-1]
        op.execute(_MARK.format(name=f"change_{table}_{verb}", event=event, kind=kind, key=key))
    for verb, row in (("insert", "NEW"), ("update", "NEW"), ("delete", "OLD")):
        op.execute(_MARK_TENANT.format(verb=verb, row=row))
