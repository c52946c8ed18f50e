# SPDX-License-Identifier: MIT
"""The first tables.

Its number is that of the last of ten steps that were taken before the first release, so that databases made on the way
are of this version too.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.Integer(), nullable=False, comment="ours; never shown"),
        sa.Column("tenant", sa.String(), nullable=False, comment="the tenant's name in the configuration"),
        sa.Column("sub", sa.String(), nullable=False, comment="Google's key of the user (id_token claim sub)"),
        sa.Column("address", sa.String(), nullable=False, comment="the e-mail address, to show; may change"),
        sa.Column("sharing", sa.String(), nullable=False, comment="private, callers or shared"),
        sa.Column("connected_at", sa.Float(), nullable=True, comment="when consent was given; null: disconnected"),
        sa.Column("scopes", sa.String(), server_default="", nullable=False, comment="granted scopes, space-separated"),
        sa.Column("refresh_token", sa.LargeBinary(), nullable=True, comment="sealed"),
        sa.Column(
            "refresh_expires_at", sa.Float(), nullable=True, comment="when consent ends by itself; null: it does not"
        ),
        sa.Column("access_token", sa.LargeBinary(), nullable=True, comment="sealed"),
        sa.Column("access_expires_at", sa.Float(), nullable=True, comment="when the access token ends"),
        sa.Column("syncing", sa.Boolean(), server_default=sa.false(), nullable=False, comment="a sync is running"),
        sa.Column("last_sync", sa.Float(), nullable=True, comment="when the last good sync ended"),
        sa.Column("next_sync", sa.Float(), nullable=True, comment="when the next one is planned; null: none is"),
        sa.Column("error_code", sa.String(), nullable=True, comment="the error code of status.json; null: all is well"),
        sa.Column("error_since", sa.Float(), nullable=True, comment="when that error came first"),
        sa.Column("error_link", sa.String(), nullable=True, comment="where to mend it, if Google said so"),
        sa.Column("error_facts", sa.String(), nullable=True, comment="more about it, as JSON"),
        sa.Column(
            "failures", sa.Integer(), server_default="0", nullable=False, comment="syncs that failed one after another"
        ),
        sa.Column(
            "wish",
            sa.String(),
            nullable=True,
            comment="a sync that a person asks for now: incremental, full or accept; null: none",
        ),
        sa.Column(
            "due",
            sa.String(),
            nullable=True,
            comment="what the next sync has to be for wishes that are not fulfilled yet; null: as usual",
        ),
        sa.Column(
            "accepted",
            sa.String(),
            nullable=True,
            comment="how many contacts may vanish, as JSON; null: any number, at one try",
        ),
        sa.Column(
            "attempts", sa.Integer(), server_default="0", nullable=False, comment="syncs that ended, well or not"
        ),
        sa.Column(
            "generation", sa.Integer(), server_default="0", nullable=False, comment="grows with each change of contacts"
        ),
        sa.Column(
            "owner",
            sa.String(),
            nullable=True,
            comment="the sub of another Google user whose page it is on as well; null: none",
        ),
        sa.Column(
            "known_since",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="the generation since which changes of contacts are known",
        ),
        sa.Column("labels_token", sa.String(), nullable=True, comment="Google's, for changes of labels"),
        sa.Column(
            "labels_fingerprint", sa.String(), server_default="", nullable=False, comment="of what that is bound to"
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tenant", "sub", name="account_tenant_sub"),
    )
    op.create_table(
        "source",
        sa.Column("account_id", sa.Integer(), nullable=False, comment="the account that it belongs to"),
        sa.Column("source", sa.String(), nullable=False, comment="contacts, other_contacts or directory"),
        sa.Column("state", sa.String(), nullable=False, comment="on, off, not granted or unavailable"),
        sa.Column(
            "sync_token",
            sa.String(),
            nullable=True,
            comment="Google's, for the next incremental sync; null: a full one is due",
        ),
        sa.Column(
            "fingerprint", sa.String(), server_default="", nullable=False, comment="of what the token is bound to"
        ),
        sa.Column("full_sync_at", sa.Float(), nullable=True, comment="when the last full sync ended"),
        sa.Column("asked_at", sa.Float(), nullable=True, comment="when Google was last asked"),
        sa.Column("error_code", sa.String(), nullable=True, comment="of this source alone: as the account's"),
        sa.Column("error_since", sa.Float(), nullable=True, comment="when that error came first"),
        sa.Column("error_facts", sa.String(), nullable=True, comment="more about it, as JSON"),
        sa.Column("next_try", sa.Float(), nullable=True, comment="not to be asked before"),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("account_id", "source"),
    )
    op.create_table(
        "contact",
        sa.Column("account_id", sa.Integer(), nullable=False, comment="the account that it belongs to"),
        sa.Column("source", sa.String(), nullable=False, comment="contacts, other_contacts or directory"),
        sa.Column("uid", sa.String(), nullable=False, comment="the id in the resourceName"),
        sa.Column("source_id", sa.String(), nullable=False, comment="Google's stable key of the person"),
        sa.Column(
            "content", sa.LargeBinary(), nullable=True, comment="the contact as JSON; null: the person was left out"
        ),
        sa.Column("skipped", sa.String(), nullable=True, comment="why the person was left out; null: it was not"),
        sa.Column("numbers", sa.Integer(), nullable=False, comment="telephone numbers of the contact"),
        sa.Column("unreadable", sa.Integer(), nullable=False, comment="its numbers that cannot be dialled"),
        sa.Column(
            "generation",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="the account's generation that it was written in",
        ),
        sa.Column(
            "digest", sa.LargeBinary(), nullable=True, comment="of all but the time of its last change; null: not known"
        ),
        sa.Column(
            "missed_at",
            sa.Float(),
            nullable=True,
            comment="since when full listings that were not whole lack the person; null: none does",
        ),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("account_id", "source", "uid"),
    )
    op.create_index("contact_generation", "contact", ["account_id", "generation"], unique=False)
    op.create_index("contact_source_id", "contact", ["account_id", "source", "source_id"], unique=False)
    op.create_table(
        "removed_contact",
        sa.Column("account_id", sa.Integer(), nullable=False, comment="the account that it belongs to"),
        sa.Column("source", sa.String(), nullable=False, comment="contacts, other_contacts or directory"),
        sa.Column("uid", sa.String(), nullable=False, comment="the id in the resourceName"),
        sa.Column("generation", sa.Integer(), nullable=False, comment="the account's generation that removed it"),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("account_id", "source", "uid"),
    )
    op.create_table(
        "label",
        sa.Column("account_id", sa.Integer(), nullable=False, comment="the account that it belongs to"),
        sa.Column("resource_name", sa.String(), nullable=False, comment="contactGroups/ID"),
        sa.Column("name", sa.String(), nullable=False, comment="as the user named it"),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("account_id", "resource_name"),
    )
    op.create_table(
        "phone",
        sa.Column("name", sa.String(), nullable=False, comment="the login; unique on the gateway"),
        sa.Column("tenant", sa.String(), nullable=False, comment="the tenant's name in the configuration"),
        sa.Column("account_id", sa.Integer(), nullable=True, comment="the account that it belongs to"),
        sa.Column("numbers", sa.String(), nullable=False, comment="values or entries: how several numbers are shown"),
        sa.Column("model", sa.String(), server_default="", nullable=False, comment="yealink, snom …; empty: not said"),
        sa.Column("password", sa.String(), nullable=False, comment="hashed (ldapgw.directory.access)"),
        sa.Column("created_at", sa.Float(), nullable=False, comment="when it was added"),
        sa.Column("last_seen", sa.Float(), nullable=True, comment="its last good bind; null: none yet"),
        sa.Column("last_address", sa.String(), nullable=True, comment="where that came from"),
        sa.Column("searched_at", sa.Float(), nullable=True, comment="its last search, to the minute; null: none yet"),
        sa.Column(
            "search_hint",
            sa.String(),
            nullable=True,
            comment="what was off with that (ldapgw.phones.hints); empty: nothing",
        ),
        sa.Column(
            "worked_at",
            sa.Float(),
            nullable=True,
            comment="the first search with this password that found somebody; null: none yet",
        ),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "oauth_client",
        sa.Column("tenant", sa.String(), nullable=False, comment="the tenant's name in the configuration"),
        sa.Column("client_id", sa.String(), nullable=False, comment="as registered with Google"),
        sa.Column("client_secret", sa.LargeBinary(), nullable=False, comment="sealed"),
        sa.Column("entered_at", sa.Float(), nullable=False, comment="when an administrator has entered it"),
        sa.PrimaryKeyConstraint("tenant"),
    )
    op.create_table(
        "admin_link",
        sa.Column("token", sa.String(), nullable=False, comment="SHA-256 of what is in the link, in hex; single use"),
        sa.Column("tenant", sa.String(), nullable=False, comment="whose administration it opens"),
        sa.Column("created_at", sa.Float(), nullable=False, comment="when; it ends after an hour"),
        sa.PrimaryKeyConstraint("token"),
    )
    op.create_table(
        "sign_in",
        sa.Column("token", sa.String(), nullable=False, comment="SHA-256 of the cookie, in hex"),
        sa.Column("tenant", sa.String(), nullable=False, comment="where the person signed in"),
        sa.Column(
            "sub", sa.String(), nullable=False, comment="who it is (id_token claim sub); empty: came by admin-link"
        ),
        sa.Column("address", sa.String(), nullable=False, comment="the e-mail address, to show"),
        sa.Column("created_at", sa.Float(), nullable=False, comment="when; it ends after a fixed time"),
        sa.Column("seen_at", sa.Float(), nullable=False, comment="the last request; it ends after a time of silence"),
        sa.Column(
            "hd", sa.String(), server_default="", nullable=False, comment="the Workspace domain (id_token claim hd)"
        ),
        sa.PrimaryKeyConstraint("token"),
    )
    op.create_table(
        "consent_flow",
        sa.Column("state", sa.String(), nullable=False, comment="SHA-256 of the OAuth parameter, in hex; single use"),
        sa.Column("browser", sa.String(), nullable=False, comment="SHA-256 of the cookie of the browser that began it"),
        sa.Column("tenant", sa.String(), nullable=False, comment="the tenant that it is for"),
        sa.Column(
            "purpose",
            sa.String(),
            nullable=False,
            comment="connect, add or signin; popup behind it: in a window of its own",
        ),
        sa.Column("nonce", sa.LargeBinary(), nullable=False, comment="sealed; comes back in the id_token"),
        sa.Column("verifier", sa.LargeBinary(), nullable=False, comment="sealed; the PKCE code verifier"),
        sa.Column("created_at", sa.Float(), nullable=False, comment="when; it ends after ten minutes"),
        sa.Column(
            "expected",
            sa.String(),
            server_default="",
            nullable=False,
            comment="the sub that it is to end with; empty: anybody's",
        ),
        sa.PrimaryKeyConstraint("state"),
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
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False, comment="how often it was tried in vain"),
        sa.PrimaryKeyConstraint("id"),
    )
