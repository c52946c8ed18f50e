# SPDX-License-Identifier: MIT
"""The tables, a comment on every column.  Changes come with a migration (``migrations/versions``).

Times are seconds since the epoch, UTC.  Columns that hold secrets hold them sealed (`ldapgw.store.secrets`) or hashed.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    false,
)

metadata = MetaData()


def _account_key(*, primary: bool = True) -> Column[int]:
    return Column(
        "account_id",
        Integer,
        ForeignKey("account.id", ondelete="CASCADE"),
        primary_key=primary,
        nullable=not primary,
        comment="the account that it belongs to",
    )


account = Table(
    "account",
    metadata,
    Column("id", Integer, primary_key=True, comment="ours; never shown"),
    Column("tenant", String, nullable=False, comment="the tenant's name in the configuration"),
    Column("sub", String, nullable=False, comment="Google's key of the user (id_token claim sub)"),
    Column("address", String, nullable=False, comment="the e-mail address, to show; may change"),
    Column("sharing", String, nullable=False, comment="private, callers or shared"),
    Column("connected_at", Float, comment="when consent was given; null: disconnected"),
    Column("scopes", String, nullable=False, server_default="", comment="granted scopes, space-separated"),
    Column("refresh_token", LargeBinary, comment="sealed"),
    Column("refresh_expires_at", Float, comment="when consent ends by itself; null: it does not"),
    Column("access_token", LargeBinary, comment="sealed"),
    Column("access_expires_at", Float, comment="when the access token ends"),
    Column("syncing", Boolean, nullable=False, server_default=false(), comment="a sync is running"),
    Column("last_sync", Float, comment="when the last good sync ended"),
    Column("next_sync", Float, comment="when the next one is planned; null: none is"),
    Column("error_code", String, comment="the error code of status.json; null: all is well"),
    Column("error_since", Float, comment="when that error came first"),
    Column("error_link", String, comment="where to mend it, if Google said so"),
    Column("error_facts", String, comment="more about it, as JSON"),
    Column("failures", Integer, nullable=False, server_default="0", comment="syncs that failed one after another"),
    Column("wish", String, comment="a sync that a person asks for now: incremental, full or accept; null: none"),
    Column("due", String, comment="what the next sync has to be for wishes that are not fulfilled yet; null: as usual"),
    Column("accepted", String, comment="how many contacts may vanish, as JSON; null: any number, at one try"),
    Column("attempts", Integer, nullable=False, server_default="0", comment="syncs that ended, well or not"),
    Column("generation", Integer, nullable=False, server_default="0", comment="grows with each change of contacts"),
    Column("owner", String, comment="the sub of another Google user whose page it is on as well; null: none"),
    Column(
        "known_since",
        Integer,
        nullable=False,
        server_default="0",
        comment="the generation since which changes of contacts are known",
    ),
    Column("labels_token", String, comment="Google's, for changes of labels"),
    Column("labels_fingerprint", String, nullable=False, server_default="", comment="of what that is bound to"),
    UniqueConstraint("tenant", "sub", name="account_tenant_sub"),
)

source = Table(
    "source",
    metadata,
    _account_key(),
    Column("source", String, primary_key=True, comment="contacts, other_contacts or directory"),
    Column("state", String, nullable=False, comment="on, off, not granted or unavailable"),
    Column("sync_token", String, comment="Google's, for the next incremental sync; null: a full one is due"),
    Column("fingerprint", String, nullable=False, server_default="", comment="of what the token is bound to"),
    Column("full_sync_at", Float, comment="when the last full sync ended"),
    Column("asked_at", Float, comment="when Google was last asked"),
    Column("error_code", String, comment="of this source alone: as the account's"),
    Column("error_since", Float, comment="when that error came first"),
    Column("error_facts", String, comment="more about it, as JSON"),
    Column("next_try", Float, comment="not to be asked before"),
)

contact = Table(
    "contact",
    metadata,
    _account_key(),
    Column("source", String, primary_key=True, comment="contacts, other_contacts or directory"),
    Column("uid", String, primary_key=True, comment="the id in the resourceName"),
    Column("source_id", String, nullable=False, comment="Google's stable key of the person"),
    Column("content", LargeBinary, comment="the contact as JSON; null: the person was left out"),
    Column("skipped", String, comment="why the person was left out; null: it was not"),
    Column("numbers", Integer, nullable=False, comment="telephone numbers of the contact"),
    Column("unreadable", Integer, nullable=False, comment="its numbers that cannot be dialled"),
    Column(
        "generation",
        Integer,
        nullable=False,
        server_default="0",
        comment="the account's generation that it was written in",
    ),
    Column("digest", LargeBinary, comment="of all but the time of its last change; null: not known"),
    Column("missed_at", Float, comment="since when full listings that were not whole lack the person; null: none does"),
    Index("contact_generation", "account_id", "generation"),
    Index("contact_source_id", "account_id", "source", "source_id"),
)

removed_contact = Table(
    "removed_contact",
    metadata,
    _account_key(),
    Column("source", String, primary_key=True, comment="contacts, other_contacts or directory"),
    Column("uid", String, primary_key=True, comment="the id in the resourceName"),
    Column("generation", Integer, nullable=False, comment="the account's generation that removed it"),
)

label = Table(
    "label",
    metadata,
    _account_key(),
    Column("resource_name", String, primary_key=True, comment="contactGroups/ID"),
    Column("name", String, nullable=False, comment="as the user named it"),
)

phone = Table(
    "phone",
    metadata,
    Column("name", String, primary_key=True, comment="the login; unique on the gateway"),
    Column("tenant", String, nullable=False, comment="the tenant's name in the configuration"),
    _account_key(primary=False),
    Column("numbers", String, nullable=False, comment="values or entries: how several numbers are shown"),
    Column("model", String, nullable=False, server_default="", comment="yealink, snom …; empty: not said"),
    Column("password", String, nullable=False, comment="hashed (ldapgw.directory.access)"),
    Column("created_at", Float, nullable=False, comment="when it was added"),
    Column("last_seen", Float, comment="its last good bind; null: none yet"),
    Column("last_address", String, comment="where that came from"),
    Column("searched_at", Float, comment="its last search, to the minute; null: none yet"),
    Column("search_hint", String, comment="what was off with that (ldapgw.phones.hints); empty: nothing"),
    Column("worked_at", Float, comment="the first search with this password that found somebody; null: none yet"),
)

oauth_client = Table(
    "oauth_client",
    metadata,
    Column("tenant", String, primary_key=True, comment="the tenant's name in the configuration"),
    Column("client_id", String, nullable=False, comment="as registered with Google"),
    Column("client_secret", LargeBinary, nullable=False, comment="sealed"),
    Column("entered_at", Float, nullable=False, comment="when an administrator has entered it"),
)

admin_link = Table(
    "admin_link",
    metadata,
    Column("token", String, primary_key=True, comment="SHA-256 of what is in the link, in hex; single use"),
    Column("tenant", String, nullable=False, comment="whose administration it opens"),
    Column("created_at", Float, nullable=False, comment="when; it ends after an hour"),
)

sign_in = Table(
    "sign_in",
    metadata,
    Column("token", String, primary_key=True, comment="SHA-256 of the cookie, in hex"),
    Column("tenant", String, nullable=False, comment="where the person signed in"),
    Column("sub", String, nullable=False, comment="who it is (id_token claim sub); empty: came by admin-link"),
    Column("address", String, nullable=False, comment="the e-mail address, to show"),
    Column("created_at", Float, nullable=False, comment="when; it ends after a fixed time"),
    Column("seen_at", Float, nullable=False, comment="the last request; it ends after a time of silence"),
    Column("hd", String, nullable=False, server_default="", comment="the Workspace domain (id_token claim hd)"),
)

consent_flow = Table(
    "consent_flow",
    metadata,
    Column("state", String, primary_key=True, comment="SHA-256 of the OAuth parameter, in hex; single use"),
    Column("browser", String, nullable=False, comment="SHA-256 of the cookie of the browser that began it"),
    Column("tenant", String, nullable=False, comment="the tenant that it is for"),
    Column(
        "purpose", String, nullable=False, comment="connect, add or signin; popup behind it: in a window of its own"
    ),
    Column("nonce", LargeBinary, nullable=False, comment="sealed; comes back in the id_token"),
    Column("verifier", LargeBinary, nullable=False, comment="sealed; the PKCE code verifier"),
    Column("created_at", Float, nullable=False, comment="when; it ends after ten minutes"),
    Column(
        "expected",
        String,
        nullable=False,
        server_default="",
        comment="the sub that it is to end with; empty: anybody's",
    ),
)

alarm = Table(
    "alarm",
    metadata,
    Column("tenant", String, primary_key=True, comment="the tenant's name in the configuration"),
    Column("code", String, nullable=False, comment="client_rejected or api_disabled"),
    Column("since", Float, nullable=False, comment="when it came first"),
    Column("link", String, nullable=False, server_default="", comment="where to mend it, if Google said so"),
)

revocation = Table(
    "revocation",
    metadata,
    Column("id", Integer, primary_key=True, comment="ours; never shown"),
    Column("tenant", String, nullable=False, comment="whose client the grant was given to"),
    Column("sub", String, nullable=False, comment="Google's key of the user (id_token claim sub)"),
    Column("token", LargeBinary, nullable=False, comment="sealed; the refresh token to revoke"),
    Column("since", Float, nullable=False, comment="when the account was disconnected"),
    Column("next_try", Float, nullable=False, comment="when it is tried again"),
    Column("tries", Integer, nullable=False, server_default="0", comment="how often it was tried in vain"),
)
