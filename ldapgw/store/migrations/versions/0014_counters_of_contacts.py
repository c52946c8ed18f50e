# SPDX-License-Identifier: MIT
"""Counters of contacts in the account's row, so that a page of accounts need not read all contacts."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

_COUNTS = """
SELECT account_id, skipped, count(*), sum(numbers), sum(unreadable) FROM contact GROUP BY account_id, skipped
"""
_UPDATE = "UPDATE account SET contacts = :contacts, numbers = :numbers, skipped = :skipped WHERE id = :id"


def upgrade() -> None:
    op.add_column("account", sa.Column("contacts", sa.Integer()))
    op.add_column("account", sa.Column("numbers", sa.Integer()))
    op.add_column("account", sa.Column("skipped", sa.String()))
    connection = op.get_bind()
    counters: dict[int, dict[str, object]] = {}
    skipped: dict[int, dict[str, int]] = {}
    for account_id, reason, persons, numbers, unreadable in connection.execute(sa.text(_COUNTS)):
        row = counters.setdefault(account_id, {"id": account_id, "contacts": None, "numbers": None, "skipped": None})
        by_reason = skipped.setdefault(account_id, {})
        if reason is not None:
            by_reason[reason] = persons
            continue
        row |= {"contacts": persons, "numbers": numbers or None}
        if unreadable:
            by_reason["unreadable_number"] = unreadable
    for account_id, by_reason in skipped.items():
        counters[account_id]["skipped"] = json.dumps(by_reason, sort_keys=True) if by_reason else None
    if counters:
        connection.execute(sa.text(_UPDATE), list(counters.values()))
