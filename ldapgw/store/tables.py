# SPDX-License-Identifier: MIT
"""Definitions of the database tables, with a comment on every column; conversion of rows to frozen values and back.

Every change of a table needs a migration (``migrations/versions``).  Times are seconds since the epoch, UTC.
The database never gives an id of a row to another row, because gateways, pages and cached books may keep the id longer
than the row exists (`ldapgw.store.database.Database.raise_ids`).
Secrets are stored hashed, or sealed (`ldapgw.store.secrets`) in columns of the type `Sealed`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import MISSING, fields
from functools import cache, partial
from typing import Any, TypeVar

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    TypeDecorator,
    UniqueConstraint,
    false,
    text,
)

from ldapgw.errors import UnfitKey
from ldapgw.numbers import stored_numbers
from ldapgw.store.secrets import SecretBox

V = TypeVar("V")

metadata = MetaData()
_not_null = partial(Column, nullable=False)
_CHANGE_NUMBER = Integer().with_variant(BigInteger(), "postgresql")


class Sealed(LargeBinary):
    """The type of columns with secrets that are encrypted, and that `ldapgw.store.key_rotation` encrypts anew."""


class _Encoded(TypeDecorator[Any]):
    """The type of columns whose values are stored as texts; null stays None."""

    impl = String
    cache_ok = True

    def __init__(self, encode: Callable[[Any], str], decode: Callable[[str], Any]) -> None:
        super().__init__()
        self.encode, self.decode = encode, decode

    def process_bind_param(self, value: Any, _dialect: object) -> str | None:
        return None if value is None else self.encode(value)

    def process_result_value(self, value: str | None, _dialect: object) -> Any:
        return None if value is None else self.decode(value)


_JSON = _Encoded(partial(json.dumps, default=msgspec.to_builtins), json.loads)
_WORDS = _Encoded(" ".join, lambda text: tuple(text.split()))


def _tenant_key() -> Column[str]:
    return Column("tenant", String, primary_key=True, comment="the tenant's name in the configuration")


def _account_key(comment: str = "the account that the row belongs to", *, primary: bool = True) -> Column[int]:
    owner = ForeignKey("account.id", ondelete="CASCADE")
    return Column("account_id", Integer, owner, primary_key=primary, nullable=not primary, comment=comment)


def _phone_key(comment: str) -> Column[str]:
    return Column("phone", String, ForeignKey("phone.name", ondelete="CASCADE"), primary_key=True, comment=comment)


def _flag(name: str, comment: str) -> Column[bool]:
    """Return a column that is false unless a statement sets the column."""
    return _not_null(name, Boolean, server_default=false(), comment=comment)


def _person_key() -> tuple[Column[Any], ...]:
    return (
        _account_key(),
        Column("source", String, primary_key=True, comment="contacts, other_contacts or directory"),
        Column("uid", String, primary_key=True, comment="the id in the resourceName"),
    )


account = Table(
    "account",
    metadata,
    Column("id", Integer, primary_key=True, comment="internal key; never shown"),
    _not_null("tenant", String, comment="the tenant's name in the configuration"),
    _not_null("sub", String, comment="Google's key of the user (id_token claim sub)"),
    _not_null("address", String, comment="e-mail address for display; may change"),
    _not_null("sharing", String, comment="private, callers, group:NAME or shared"),
    Column("connected_at", Float, comment="when the user consented; null: the account is disconnected"),
    _not_null("scopes", _WORDS, server_default="", comment="granted scopes, separated by spaces"),
    Column("refresh_token", Sealed, comment="sealed; the OAuth refresh token"),
    Column("refresh_expires_at", Float, comment="when the refresh token expires; null: the token does not expire"),
    Column("access_token", Sealed, comment="sealed; the OAuth access token"),
    Column("access_expires_at", Float, comment="when the access token expires"),
    _flag("syncing", "whether a sync is running"),
    Column("last_sync", Float, comment="when the last successful sync ended"),
    Column("next_sync", Float, comment="when the next sync is planned; null: no sync is planned"),
    Column("error_code", String, comment="error code of status.json; null: no error"),
    Column("error_since", Float, comment="when this error first occurred"),
    Column("error_facts", _JSON, comment="details of the error, as JSON"),
    _not_null("failures", Integer, server_default="0", comment="failed syncs in a row"),
    # The columns "wish" and "due" keep the names that they have in existing databases.
    Column(
        "wish",
        String,
        key="requested_sync",
        comment="sync that a person has requested: incremental, full or accept; null: no request",
    ),
    Column(
        "due",
        String,
        key="pending_sync",
        comment="kind of sync that was requested and has not succeeded yet; null: the usual sync",
    ),
    Column(
        "accepted", _JSON, comment="how many contacts the sync may remove, as JSON; null: any number, in one attempt"
    ),
    _not_null("attempts", Integer, server_default="0", comment="ended syncs, successful or not"),
    _not_null("generation", Integer, server_default="0", comment="grows with each change of contacts"),
    Column("owner", String, comment="sub of another Google user whose page shows the account too; null: no other user"),
    _not_null(
        "known_since",
        Integer,
        server_default="0",
        comment="the generation since which all changes of contacts are recorded",
    ),
    Column("labels_token", String, comment="Google's sync token for changes of labels"),
    _not_null(
        "numbers_version",
        Integer,
        server_default="0",
        default=stored_numbers.VERSION,
        comment="version of the rules by which the telephone numbers of the contacts were read",
    ),
    _not_null(
        "labels_fingerprint",
        String,
        server_default="",
        comment="fingerprint of the requests that labels_token is valid for",
    ),
    Column("client_id", String, comment="OAuth client that the grant was given to; null: not known yet"),
    Column("hd", String, comment="Workspace domain (id_token claim hd); empty: none; null: not known"),
    # Each write of contacts updates the next three columns.  Otherwise a page would have to read all contacts to count.
    Column("contacts", Integer, comment="number of served contacts; null: no contact is served"),
    Column("numbers", Integer, comment="number of telephone numbers of the served contacts; null: nothing is served"),
    Column("skipped", _JSON, comment="skipped or flawed persons and unreadable numbers, as JSON; null: none"),
    Column("shared_label", String, comment="the label of the shared contacts; null: all contacts are shared"),
    _flag("delegated", "whether the tenant's service account may read the account's contacts"),
    UniqueConstraint("tenant", "sub", name="account_tenant_sub"),
    Index("account_owner", "owner"),
    Index("account_folded_address", text("lower(address)")),
    sqlite_autoincrement=True,
)

source = Table(
    "source",
    metadata,
    _account_key(),
    Column("source", String, primary_key=True, comment="contacts, other_contacts or directory"),
    _not_null("state", String, comment="on, off, not granted or unavailable"),
    Column("sync_token", String, comment="Google's token for the next incremental sync; null: the next sync is full"),
    _not_null(
        "fingerprint", String, server_default="", comment="fingerprint of the requests that sync_token is valid for"
    ),
    Column("full_sync_at", Float, comment="when the last full sync ended"),
    Column("asked_at", Float, comment="when the source was last requested from Google"),
    Column("error_code", String, comment="error code of status.json for only this source; null: no error"),
    Column("error_since", Float, comment="when this error first occurred"),
    Column("error_facts", _JSON, comment="details of the error, as JSON"),
    Column("next_try", Float, comment="earliest time of the next attempt after an error"),
    Column(
        "page_size", Integer, comment="page size that sync_token is valid for; null: the largest that Google allows"
    ),
    Column(
        "warnings", _JSON, comment="figures of warnings about the last listings, by warning code, as JSON; null: none"
    ),
    Column("total", Integer, comment="persons that Google counted at the last full sync; null: not reported"),
)

contact = Table(
    "contact",
    metadata,
    *_person_key(),
    _not_null("source_id", String, comment="Google's stable key of the person"),
    Column("content", LargeBinary, comment="the contact as JSON; null: the person is skipped"),
    Column("skipped", String, comment="why the person is skipped; null: the contact is served"),
    _not_null("numbers", Integer, comment="number of telephone numbers of the contact"),
    _not_null("unreadable", Integer, comment="number of the contact's texts for numbers that contain nothing to dial"),
    _not_null("generation", Integer, server_default="0", comment="generation of the account that wrote the row"),
    Column("digest", LargeBinary, comment="digest of the row without Google's time of change; null: unknown"),
    Column("flaws", String, comment="why phones lack values of the person (ldapgw.contact.Flaw); null: no flaws"),
    Column("missed_at", Float, comment="when an incomplete full listing first lacked the person; null: not missing"),
    Index("contact_generation", "account_id", "generation"),
    Index("contact_source_id", "account_id", "source", "source_id"),
)

photo = Table(
    "photo",
    metadata,
    *_person_key(),
    _not_null("url", String, comment="Google's address of the photo"),
    Column("due_at", Float, comment="earliest time to fetch the photo; null: it was fetched"),
    _not_null("failures", Integer, server_default="0", comment="failed attempts since the url was stored"),
    Column("jpeg", LargeBinary, comment="the photo, scaled for phones; null: not fetched yet, or there is none"),
    Index("photo_due_at", "due_at"),
)

removed_contact = Table(
    "removed_contact",
    metadata,
    *_person_key(),
    _not_null("generation", Integer, comment="generation of the account that removed the person"),
)

label = Table(
    "label",
    metadata,
    _account_key(),
    Column("resource_name", String, primary_key=True, comment="contactGroups/ID"),
    _not_null("name", String, comment="the user's name for the label"),
)

phone = Table(
    "phone",
    metadata,
    Column("name", String, primary_key=True, comment="login name; unique on the gateway"),
    _not_null("tenant", String, comment="the tenant's name in the configuration"),
    _account_key(primary=False),
    _not_null("numbers", String, comment="values: one entry for each contact; entries: one entry for each number"),
    _not_null("model", String, server_default="", comment="yealink, snom …; empty: unknown"),
    _not_null("password", String, comment="hashed (ldapgw.directory.passwords)"),
    _not_null("created_at", Float, comment="when the phone was added"),
    Column("last_seen", Float, comment="time of the last bind with the present password; null: no bind yet"),
    Column("last_address", String, comment="IP address of the last successful bind"),
    Column("last_over_tls", Boolean, comment="whether the last successful bind had TLS; null: not known"),
    Column("searched_at", Float, comment="time of the last search, to the minute; null: no search yet"),
    Column("search_hint", String, comment="problem of the last search (ldapgw.phones.hints); empty: no problem"),
    Column("worked_at", Float, comment="time of the first search that found a contact; null: no such search"),
    Column("book_secret", String, comment="hash of the secret in the address of the XML phone book; null: no address"),
    Column("number_format", String, comment="format of numbers for the phone: e164, dial …; null: the tenant's format"),
    _not_null(
        "area_code", String, server_default="", comment="area code of the phone's site; empty: the tenant's area code"
    ),
    Column("refused_at", Float, comment="time of the last refused login; null: none since the last good login"),
    Column("refused_address", String, comment="IP address of the last refused login"),
    Column("refused_count", Integer, comment="refused logins since the last good login"),
    Column(
        "placeholder", String, comment="placeholder in filters, if the model is not known: %*, # …; null: not known"
    ),
    Column("replica", String, comment="content of a replica: shared, private …; null: the row is a phone"),
    Column("password_at", Float, comment="when the phone got its present password; null: when it was added"),
    Column("next_password", String, comment="hash of the unused password from a provisioning window; null: none"),
    Column("next_password_at", Float, comment="when the phone fetched the next password; null: no next password"),
    Column("mac", String, comment="MAC address, 12 hexadecimal digits in lower case; null: not known"),
    _not_null("label", String, server_default="", comment="what people call the phone; empty: only its name"),
    _flag("former_owner", "whether somebody who no longer owns the phone may know its password"),
    Index("phone_account", "account_id"),
    Index("phone_mac", "tenant", "mac", unique=True),
    Index("phone_folded_name", text("lower(name)")),
)

further_account = Table(
    "further_account",
    metadata,
    _phone_key("a phone that has the books of several accounts"),
    _account_key("an account of the phone besides phone.account_id"),
    _not_null("position", Integer, comment="the account's place among the further accounts, from 1"),
    Index("further_account_account", "account_id"),
)

provisioning = Table(
    "provisioning",
    metadata,
    _phone_key("the phone that fetches its settings"),
    _not_null("secret", String, comment="hash of the secret in the address"),
    _not_null("password", Sealed, comment="sealed password of the phone"),
    _not_null("until", Float, comment="when the address ends"),
    _not_null("fetches", _JSON, comment="JSON: time, IP address and file of the last fetches"),
)

provisioning_window = Table(
    "provisioning_window",
    metadata,
    _tenant_key(),
    _not_null("token", Sealed, comment="sealed; the token in the address"),
    _not_null("opened_at", Float, comment="when the window was opened"),
    _not_null("until", Float, comment="when the window closes or closed"),
    _not_null("plain_http", Boolean, comment="whether phones may fetch their files by HTTP without TLS"),
    _not_null("chosen", Boolean, comment="whether the window is open for chosen phones only"),
)

window_phone = Table(
    "window_phone",
    metadata,
    _phone_key("a phone that was chosen for the tenant's window, or has fetched its file"),
    Column("fetched_at", Float, comment="when the phone fetched its file; null: not yet"),
    _not_null("address", String, server_default="", comment="IP address of the fetch"),
    _not_null("file", String, server_default="", comment="name of the fetched file"),
)

window_refusal = Table(
    "window_refusal",
    metadata,
    _tenant_key(),
    Column("reason", String, primary_key=True, comment="why requests were refused (ldapgw.store.provisioning.Reason)"),
    Column("mac", String, primary_key=True, comment="the MAC address in the name of the file"),
    _not_null("address", String, comment="IP address of the last such request"),
    _not_null("at", Float, comment="time of the last such request"),
    _not_null("count", Integer, comment="how many such requests came"),
)

step_report = Table(
    "step_report",
    metadata,
    _tenant_key(),
    Column("vendor", String, primary_key=True, comment="key of the vendor's settings (ldapgw/phones/vendors)"),
    Column("model", String, primary_key=True, comment="the phone's model, as typed; empty: not named"),
    Column("version", String, primary_key=True, comment="the phone's firmware, as typed; empty: not named"),
    Column("step", Integer, primary_key=True, comment="number of the step; 0: all steps worked"),
    Column("menu", String, primary_key=True, comment="what the menu is called on the phone; empty: all steps worked"),
    _not_null("step_text", String, comment="the step's text at the last such report; empty: all steps worked"),
    _not_null("count", Integer, comment="how many times this was reported"),
    _not_null("at", Float, comment="time of the last such report"),
)

unfit_client = Table(
    "unfit_client",
    metadata,
    Column("address", String, primary_key=True, comment="IP address of a client that could not connect"),
    Column("mistake", String, primary_key=True, comment="a value of Mistake (ldapgw/store/provisioning.py)"),
    _not_null("at", Float, comment="time of the client's last connection with this mistake"),
)

recording = Table(
    "recording",
    metadata,
    _phone_key("the phone whose searches are recorded"),
    _not_null("begun_at", Float, comment="when the recording began"),
    _not_null("until", Float, comment="when the recording ends"),
    _not_null("plain", Boolean, comment="whether the recording has the real names and numbers, not pseudonyms"),
)

recording_part = Table(
    "recording_part",
    metadata,
    Column(
        "phone",
        String,
        ForeignKey("recording.phone", ondelete="CASCADE", onupdate="CASCADE"),
        primary_key=True,
        comment="the phone that is recorded",
    ),
    Column("gateway", String, primary_key=True, comment="the id of the gateway that has recorded this part"),
    _not_null("searches", Integer, comment="how many searches the part has"),
    _not_null("content", Sealed, comment="sealed; the part of the recording's file"),
)

oauth_client = Table(
    "oauth_client",
    metadata,
    _tenant_key(),
    _not_null("client_id", String, comment="client id, as registered with Google"),
    _not_null("client_secret", Sealed, comment="sealed; the client secret"),
    _not_null("entered_at", Float, comment="when an administrator entered the client"),
)

delegation = Table(
    "delegation",
    metadata,
    _tenant_key(),
    _not_null("key_file", Sealed, comment="sealed; the service account's key file"),
    _not_null("settings", _JSON, comment="the keys of [[tenant.delegation]] except key_file, as JSON"),
    _not_null("entered_at", Float, comment="when an administrator entered the delegation"),
)

workspace = Table(
    "workspace",
    metadata,
    _tenant_key(),
    Column("read_at", Float, comment="when the users were last read in full; null: never"),
    _not_null("users", Integer, server_default="0", comment="how many users the service account reads for"),
    _not_null("scopes", _WORDS, server_default="", comment="scopes of the service account, separated by spaces"),
    Column("error_code", String, comment="why the last read failed (ldapgw.google.delegation); null: no failure"),
    Column("error_since", Float, comment="when this error first occurred"),
)

google_group = Table(
    "google_group",
    metadata,
    _tenant_key(),
    Column("address", String, primary_key=True, comment="the group's e-mail address in lower case"),
    _not_null("members", _JSON, comment="ids (sub) of the members who are users, as JSON"),
    Column("read_at", Float, comment="when the members were last read; null: never"),
    Column("error_code", String, comment="why the last read failed; null: no failure"),
    Column("error_since", Float, comment="when this error first occurred"),
)

leaver = Table(
    "leaver",
    metadata,
    _account_key(),
    _not_null("reason", String, comment="missing, suspended, deleted or moved"),
    _not_null("since", Float, comment="when the person was first seen to have left"),
    _flag("kept", "whether an administrator keeps the account"),
    _flag("approved", "whether an administrator has allowed the removal of the account"),
)

held_leavers = Table(
    "held_leavers",
    metadata,
    _tenant_key(),
    _not_null("count", Integer, comment="how many accounts were to be removed at once"),
    _not_null("since", Float, comment="when the removal was stopped"),
)

admin_link = Table(
    "admin_link",
    metadata,
    Column("token", String, primary_key=True, comment="SHA-256 of the token in the link, in hex; single use"),
    _not_null("tenant", String, comment="tenant whose administration page the link opens"),
    _not_null("created_at", Float, comment="when the link was made; a link expires after an hour"),
)

sign_in = Table(
    "sign_in",
    metadata,
    Column("token", String, primary_key=True, comment="SHA-256 of the cookie, in hex"),
    _not_null("tenant", String, comment="the tenant that the person signed in to"),
    _not_null("sub", String, comment="Google's key of the user (id_token claim sub); empty: admin-link"),
    _not_null("address", String, comment="e-mail address for display"),
    _not_null("created_at", Float, comment="when the person signed in; a sign-in lasts a week at most"),
    _not_null("seen_at", Float, comment="time of the last request; a sign-in expires when idle"),
    _not_null("hd", String, server_default="", comment="Workspace domain (id_token claim hd); empty: none"),
)

consent_flow = Table(
    "consent_flow",
    metadata,
    Column("state", String, primary_key=True, comment="SHA-256 of the OAuth parameter state, in hex; single use"),
    _not_null("browser", String, comment="SHA-256 of the cookie of the browser that began the consent"),
    _not_null("tenant", String, comment="the tenant that the consent is for"),
    _not_null(
        "purpose",
        String,
        comment="connect, add, signin, switch-on:SOURCE or switch-on-again:SOURCE; suffix popup: in its own window",
    ),
    _not_null("nonce", Sealed, comment="sealed; the nonce that the id_token has to repeat"),
    _not_null("verifier", Sealed, comment="sealed; the PKCE code verifier"),
    _not_null("created_at", Float, comment="when the consent began; a consent expires after ten minutes"),
    _not_null(
        "expected", String, server_default="", comment="sub of the Google user who has to consent; empty: any user"
    ),
)

alarm = Table(
    "alarm",
    metadata,
    _tenant_key(),
    _not_null("code", String, comment="client_rejected or api_disabled"),
    _not_null("since", Float, comment="when the error first occurred"),
    _not_null(
        "link",
        String,
        server_default="",
        comment="address at Google where the error can be fixed, if Google named the address",
    ),
)

revocation = Table(
    "revocation",
    metadata,
    Column("id", Integer, primary_key=True, comment="internal key; never shown"),
    _not_null("tenant", String, comment="the tenant of the account"),
    _not_null("sub", String, comment="Google's key of the user (id_token claim sub)"),
    Column("client_id", String, comment="OAuth client that the grant was given to; null: not known"),
    _not_null("token", Sealed, comment="sealed; the refresh token to revoke"),
    _not_null("since", Float, comment="when the account was disconnected, or its grant replaced"),
    _not_null("next_try", Float, comment="time of the next attempt"),
    _not_null("tries", Integer, server_default="0", comment="failed attempts"),
    sqlite_autoincrement=True,
)

sync_attempt = Table(
    "sync_attempt",
    metadata,
    _account_key(),
    Column("number", Integer, primary_key=True, comment="earlier attempts to sync the account"),
    _not_null("ended_at", Float, comment="when the sync ended, or last changed contacts"),
    _not_null("seconds", Float, comment="how long the sync took"),
    _not_null("is_full", Boolean, comment="whether a full listing was applied, not only changes"),
    _not_null("added", Integer, comment="persons that became contacts"),
    _not_null("changed", Integer, comment="contacts that changed"),
    _not_null("removed", Integer, comment="persons that ceased to be contacts"),
    _not_null("skipped", Integer, comment="new and changed persons that were skipped"),
    Column(
        "error",
        String,
        comment="error code of status.json, with the prefix postponed/ if nothing was tried; null: success",
    ),
)

sync_day = Table(
    "sync_day",
    metadata,
    _account_key(),
    Column("day", Integer, primary_key=True, comment="days since the epoch, UTC"),
    _not_null("ok", Integer, comment="syncs that succeeded"),
    _not_null("failed", Integer, comment="syncs that failed"),
    _not_null("changes", Integer, comment="contacts that were added, changed or removed"),
)

activity = Table(
    "activity",
    metadata,
    Column("id", Integer, primary_key=True, comment="internal key; never shown"),
    _not_null("at", Float, comment="time of the action"),
    _not_null("tenant", String, comment="the tenant's name in the configuration"),
    _not_null("actor", String, comment="the actor: an address, admin link, command line or gateway"),
    _not_null("act", String, comment="the action (ldapgw.store.activity.Act)"),
    _not_null("subject", String, comment="address of an account or name of a phone; empty: the tenant"),
    _not_null("detail", String, comment="the new value, such as a sharing or a name; empty: none"),
    _not_null("address", String, comment="IP address of the browser or phone; empty: none"),
    Index("activity_tenant_at", "tenant", "at"),
    sqlite_autoincrement=True,
)

# The kind of the row of the table ``change`` that has the epoch; all other rows mark changes.
EPOCH = "epoch"

change = Table(
    "change",
    metadata,
    Column("kind", String, primary_key=True, comment="account, phone, or epoch"),
    Column(
        "key", String, primary_key=True, comment="the account's id, the phone's name, or the random name of the epoch"
    ),
    _not_null("number", _CHANGE_NUMBER, comment="grows with each change; triggers set it"),
    Column("marked_at", Float, comment="when triggers set the number; null with SQLite"),
    Index("change_number", "number"),
)

schema_version = Table(
    "schema_version",
    metadata,
    Column("revision", String, primary_key=True, comment="the last migration that has run"),
    _not_null("readable_from", String, comment="the revision of the oldest gateways that can use these tables"),
    Column("copied_from", String, comment="source of an unfinished copy into this database; null: no unfinished copy"),
    Column("key", String, comment="fingerprint of the new key of the last complete rotation; null: no rotation"),
)

gateway = Table(
    "gateway",
    metadata,
    Column("id", String, primary_key=True, comment="a random id, which is new at each start"),
    _not_null("name", String, comment="the name of the gateway's machine, with a port"),
    _not_null("version", String, comment="the version of ldapgw"),
    _not_null("roles", _WORDS, comment="some of serve, sync and web, separated by spaces"),
    _not_null("keys", _WORDS, comment="fingerprints of the gateway's keys, separated by spaces; the first key seals"),
    _not_null("position", _CHANGE_NUMBER, comment="the number of the first change that the gateway may not serve yet"),
    _not_null("accounts", Integer, comment="connected accounts that the gateway serves"),
    _not_null("contacts", Integer, comment="contacts that the gateway serves"),
    _not_null("started_at", Float, comment="time of the start, by the clock of the database server"),
    _not_null("seen_at", Float, comment="time of the last heartbeat, by the clock of the database server"),
    _not_null("revision", String, comment="the last migration that the gateway knows"),
    _not_null("is_leader", Boolean, comment="whether the gateway syncs"),
)

sync_progress = Table(
    "sync_progress",
    metadata,
    _account_key(),
    _not_null("source", String, comment="the source that a running sync fetches"),
    _not_null("fetched", Integer, comment="persons fetched so far"),
    Column("total", Integer, comment="persons of the source, as counted by Google; null: not reported"),
    _not_null("step", Integer, comment="the position of the source, counted from 1"),
    _not_null("step_count", Integer, comment="the number of sources that the sync fetches"),
)


def value_of(kind: type[V], row: Row[*tuple[Any, ...]], **more: object) -> V:
    """Turn a row into a value.

    A text becomes a member of an enumeration if the field's type is an enumeration.  Null becomes the default of the
    field, if the field has a default.  Columns without a field are left out.

    :param kind: a dataclass.
    :param more: values of fields that the row does not have, or has in another form.
    :raises msgspec.ValidationError: if a column does not have the type of its field.
    """
    required = _required(kind)  # type: ignore[arg-type]  # mypy takes a class in a variable for unhashable
    found = {
        name: value
        for name, value in zip(_names(row._fields), row, strict=True)
        if value is not None or name in required
    }
    # With `from_attributes`, a value in `more` may be a dataclass instance; msgspec does not convert this instance
    # again.
    return msgspec.convert(found | more, kind, from_attributes=True)


def unsealed(
    kind: type[V], rows: Iterable[Row[*tuple[Any, ...]]], secret_box: SecretBox, sealed: str
) -> tuple[tuple[V, ...], list[Row[*tuple[Any, ...]]]]:
    """Turn rows with a sealed column into values, as `value_of` does.

    :param sealed: the name of the column and of the field for the secret.
    :returns: the values, and the rows whose secrets were sealed with another key.
    """
    values, unfit = [], []
    for row in rows:
        try:
            values.append(value_of(kind, row, **{sealed: secret_box.unseal(getattr(row, sealed))}))
        except UnfitKey:
            unfit.append(row)
    return tuple(values), unfit


def columns_of(value: Any, **more: object) -> dict[str, object]:
    """Return the columns of a row for a value.

    :param value: a dataclass without nested dataclasses.
    :param more: columns that the value does not have, or has in another form.
    """
    return {field.name: getattr(value, field.name) for field in fields(value)} | more


@cache
def _required(kind: Any) -> frozenset[str]:
    """Return the names of the fields without a default."""
    return frozenset(field.name for field in fields(kind) if field.default is field.default_factory is MISSING)


@cache
def _names(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of columns as plain texts, because msgspec rejects subclasses of ``str`` as names."""
    return tuple(map(str, columns))
