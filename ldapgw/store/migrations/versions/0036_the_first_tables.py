# SPDX-License-Identifier: MIT
"""The first tables.  `ldapgw.store.tables` says what each column means."""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = None
# The revision of the oldest gateways that can read and write these tables.  If earlier gateways cannot use the tables
# of a later migration, `readable_from` in the later migration is the revision of that migration.  The `readable_from`
# of the newest migration counts.
readable_from = "0036"

_MARK = """
CREATE TRIGGER {name} AFTER {event} BEGIN
    INSERT INTO change (kind, key, number)
    VALUES ('{kind}', {key}, (SELECT coalesce(max(number), 0) + 1 FROM change))
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number;
END
"""
# The triggers do not mark changes of a phone's last bind and search, because no gateway has to read these changes.
_PHONE_COLUMNS = "name, tenant, account_id, numbers, model, password, book_secret, number_format, area_code"
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
# If a tenant gets another OAuth client, the errors of all accounts of the tenant may end, so all accounts are marked.
_MARK_TENANT = """
CREATE TRIGGER change_oauth_client_{verb} AFTER {verb} ON oauth_client BEGIN
    INSERT INTO change (kind, key, number)
    SELECT 'account', id, (SELECT coalesce(max(number), 0) + 1 FROM change) FROM account WHERE tenant = {row}.tenant
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number;
END
"""


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("sub", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("sharing", sa.String(), nullable=False),
        sa.Column("connected_at", sa.Float()),
        sa.Column("scopes", sa.String(), server_default="", nullable=False),
        sa.Column("refresh_token", sa.LargeBinary()),
        sa.Column("refresh_expires_at", sa.Float()),
        sa.Column("access_token", sa.LargeBinary()),
        sa.Column("access_expires_at", sa.Float()),
        sa.Column("syncing", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("last_sync", sa.Float()),
        sa.Column("next_sync", sa.Float()),
        sa.Column("error_code", sa.String()),
        sa.Column("error_since", sa.Float()),
        sa.Column("error_facts", sa.String()),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("wish", sa.String()),
        sa.Column("due", sa.String()),
        sa.Column("accepted", sa.String()),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("generation", sa.Integer(), server_default="0", nullable=False),
        sa.Column("owner", sa.String()),
        sa.Column("known_since", sa.Integer(), server_default="0", nullable=False),
        sa.Column("labels_token", sa.String()),
        sa.Column("numbers_version", sa.Integer(), server_default="0", nullable=False),
        sa.Column("labels_fingerprint", sa.String(), server_default="", nullable=False),
        sa.Column("client_id", sa.String()),
        sa.Column("hd", sa.String()),
        sa.Column("contacts", sa.Integer()),
        sa.Column("numbers", sa.Integer()),
        sa.Column("skipped", sa.String()),
        sa.Column("shared_label", sa.String()),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tenant", "sub", name="account_tenant_sub"),
        sqlite_autoincrement=True,
    )
    op.create_index("account_owner", "account", ["owner"])
    op.create_table(
        "activity",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("act", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("activity_tenant_at", "activity", ["tenant", "at"])
    op.create_table(
        "admin_link",
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("token"),
    )
    op.create_table(
        "alarm",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("link", sa.String(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("tenant"),
    )
    op.create_table(
        "change",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("number", sa.Integer().with_variant(sa.BigInteger(), "postgresql"), nullable=False),
        sa.Column("marked_at", sa.Float()),
        sa.PrimaryKeyConstraint("kind", "key"),
    )
    op.create_index("change_number", "change", ["number"])
    op.create_table(
        "consent_flow",
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("browser", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("nonce", sa.LargeBinary(), nullable=False),
        sa.Column("verifier", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("expected", sa.String(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("state"),
    )
    op.create_table(
        "gateway",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("roles", sa.String(), nullable=False),
        sa.Column("keys", sa.String(), nullable=False),
        sa.Column("position", sa.Integer().with_variant(sa.BigInteger(), "postgresql"), nullable=False),
        sa.Column("accounts", sa.Integer(), nullable=False),
        sa.Column("contacts", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=False),
        sa.Column("revision", sa.String(), nullable=False),
        sa.Column("is_leader", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "oauth_client",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("client_secret", sa.LargeBinary(), nullable=False),
        sa.Column("entered_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("tenant"),
    )
    op.create_table(
        "revocation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("sub", sa.String(), nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("next_try", sa.Float(), nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "schema_version",
        sa.Column("revision", sa.String(), nullable=False),
        sa.Column("readable_from", sa.String(), nullable=False),
        sa.Column("copied_from", sa.String()),
        sa.Column("key", sa.String()),
        sa.PrimaryKeyConstraint("revision"),
    )
    op.create_table(
        "sign_in",
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("sub", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=False),
        sa.Column("hd", sa.String(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("token"),
    )
    op.create_table(
        "contact",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("uid", sa.String(), nullable=False),
        sa.Column("source_id", sa.String(), nullable=False),
        sa.Column("content", sa.LargeBinary()),
        sa.Column("skipped", sa.String()),
        sa.Column("numbers", sa.Integer(), nullable=False),
        sa.Column("unreadable", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), server_default="0", nullable=False),
        sa.Column("digest", sa.LargeBinary()),
        sa.Column("flaws", sa.String()),
        sa.Column("missed_at", sa.Float()),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("account_id", "source", "uid"),
    )
    op.create_index("contact_generation", "contact", ["account_id", "generation"])
    op.create_index("contact_source_id", "contact", ["account_id", "source", "source_id"])
    op.create_table(
        "label",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("resource_name", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("account_id", "resource_name"),
    )
    op.create_table(
        "phone",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("account_id", sa.Integer()),
        sa.Column("numbers", sa.String(), nullable=False),
        sa.Column("model", sa.String(), server_default="", nullable=False),
        sa.Column("password", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("last_seen", sa.Float()),
        sa.Column("last_address", sa.String()),
        sa.Column("searched_at", sa.Float()),
        sa.Column("search_hint", sa.String()),
        sa.Column("worked_at", sa.Float()),
        sa.Column("book_secret", sa.String()),
        sa.Column("number_format", sa.String()),
        sa.Column("area_code", sa.String(), server_default="", nullable=False),
        sa.Column("refused_at", sa.Float()),
        sa.Column("refused_address", sa.String()),
        sa.Column("refused_count", sa.Integer()),
        sa.Column("placeholder", sa.String()),
        sa.Column("replica", sa.String()),
        sa.Column("password_at", sa.Float()),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_index("phone_account", "phone", ["account_id"])
    op.create_table(
        "photo",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("uid", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("due_at", sa.Float()),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("jpeg", sa.LargeBinary()),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("account_id", "source", "uid"),
    )
    op.create_index("photo_due_at", "photo", ["due_at"])
    op.create_table(
        "removed_contact",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("uid", sa.String(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("account_id", "source", "uid"),
    )
    op.create_table(
        "source",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("sync_token", sa.String()),
        sa.Column("fingerprint", sa.String(), server_default="", nullable=False),
        sa.Column("full_sync_at", sa.Float()),
        sa.Column("asked_at", sa.Float()),
        sa.Column("error_code", sa.String()),
        sa.Column("error_since", sa.Float()),
        sa.Column("error_facts", sa.String()),
        sa.Column("next_try", sa.Float()),
        sa.Column("page_size", sa.Integer()),
        sa.Column("warnings", sa.String()),
        sa.Column("total", sa.Integer()),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("account_id", "source"),
    )
    op.create_table(
        "sync_attempt",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("is_full", sa.Boolean(), nullable=False),
        sa.Column("added", sa.Integer(), nullable=False),
        sa.Column("changed", sa.Integer(), nullable=False),
        sa.Column("removed", sa.Integer(), nullable=False),
        sa.Column("skipped", sa.Integer(), nullable=False),
        sa.Column("error", sa.String()),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("account_id", "number"),
    )
    op.create_table(
        "sync_day",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("ok", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("account_id", "day"),
    )
    op.create_table(
        "provisioning",
        sa.Column("phone", sa.String(), nullable=False),
        sa.Column("secret", sa.String(), nullable=False),
        sa.Column("password", sa.LargeBinary(), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.Column("fetches", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["phone"], ["phone.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("phone"),
    )
    op.create_table(
        "recording",
        sa.Column("phone", sa.String(), nullable=False),
        sa.Column("begun_at", sa.Float(), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.Column("plain", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["phone"], ["phone.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("phone"),
    )
    op.create_table(
        "recording_part",
        sa.Column("phone", sa.String(), nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("searches", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["phone"], ["recording.phone"], onupdate="CASCADE", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("phone", "gateway"),
    )
    op.create_table(
        "sync_progress",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("fetched", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=True),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("step_count", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("account_id"),
    )
    op.create_index("account_folded_address", "account", [sa.text("lower(address)")])
    op.create_index("phone_folded_name", "phone", [sa.text("lower(name)")])
    if op.get_bind().dialect.name != "sqlite":
        return  # PostgreSQL has triggers of its own (`ldapgw.store.changes`)
    for kind, event, key in _EVENTS:
        verb, table = event.split()[0].lower(), event.split()[-1]
        op.execute(_MARK.format(name=f"change_{table}_{verb}", event=event, kind=kind, key=key))
    for verb, row in (("insert", "NEW"), ("update", "NEW"), ("delete", "OLD")):
        op.execute(_MARK_TENANT.format(verb=verb, row=row))
