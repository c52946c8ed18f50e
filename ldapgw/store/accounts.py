# SPDX-License-Identifier: MIT
"""Accounts: a Google user's grant in a tenant, its tokens, its settings and the state of its sync."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    true,
    update,
)

from ldapgw.contact import Sharing, Source
from ldapgw.store import phones, recordings
from ldapgw.store.database import ascii_lower, chunks, database_of, mark_erased
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tables import (
    EPOCH,
    account,
    alarm,
    change,
    contact,
    label,
    photo,
    removed_contact,
    sign_in,
    source,
    sync_attempt,
    sync_day,
    value_of,
)

# The warnings about a listing: the figures of each warning, by the warning's code.  A listing with warnings is applied.
ListingWarnings = Mapping[str, Mapping[str, int]]

# Columns of an account that a successful sync sets to null.
ERROR_COLUMNS = ("error_code", "error_since", "error_facts")

# Errors that only the account's owner can solve.  An alarm about the tenant's OAuth client does not hide these errors.
OWN_ERRORS = frozenset(("consent_revoked", "scope_missing", "suspicious_shrink"))

# If the facts of an account's error name one of these causes (`ldapgw.store.leavers.LeaverReason`), the delegated
# account is no longer read.
_LEFT = frozenset(("suspended", "deleted", "moved"))


class SourceState(StrEnum):
    """The state of a source: whether an account's syncs fetch the source, and if not, the reason."""

    ON = "on"
    OFF = "off"
    NOT_GRANTED = "not granted"
    UNAVAILABLE = "unavailable"


class SyncRequest(StrEnum):
    """The kinds of syncs that a person can request, the weakest first.

    ``accept`` is a full sync that may shrink the book by the number of contacts that the person has confirmed.  If the
    person has confirmed no number, the book may shrink by any number of contacts, but in one attempt only.
    """

    INCREMENTAL = "incremental"
    FULL = "full"
    ACCEPT = "accept"


@dataclass(frozen=True, slots=True)
class ErrorStatus:
    """The reason why an account's last sync failed.

    :ivar code: an error code of ``status.json``.
    :ivar since: when the error first occurred, in seconds since the epoch.
    :ivar link: address at Google where the error can be fixed, or empty if Google named no address.
    :ivar facts: details for messages, such as the number of contacts that would vanish and the source that failed.
    """

    code: str
    since: float
    link: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def shrink_key(self) -> str:
        """Return the text by which a form identifies a loss of contacts that a person has to confirm.

        The text has the source, the number of lost contacts and the number of contacts before, as in ``book-30-40``.
        """
        return f"{self.facts.get('source', 'book')}-{self.facts.get('lost', 0)}-{self.facts.get('before', 0)}"


@dataclass(frozen=True, slots=True)
class Account:
    """A Google user's grant in a tenant, with the state of its sync: a row of the table ``account``.

    :ivar error: the error that somebody has to solve first, or None.  An error that `OWN_ERRORS` lists comes
        first, then the tenant's alarm, and then any other error of the account or of one of its sources.
    :ivar alarm: the tenant's alarm, if the account's syncs depend on the tenant's OAuth client.
    :ivar requested_sync: a sync that a person has requested and that has not begun.
    :ivar pending_sync: the kind of sync that persons have requested, until such a sync has succeeded; None if there is
        no such request.
    :ivar warnings: oddities of the last listings of each source; the listings were applied nevertheless.
    :ivar skipped: the numbers of skipped persons, of flawed persons and of unreadable telephone numbers, by reason.
    :ivar shared_label: the name of a label: only contacts with this label are shared; empty if all contacts are shared.
        For a private book, the label takes effect when the book is shared.
    :ivar revoked: whether Google no longer accepts the grant; the gateway then makes no calls with the grant.
    :ivar delegated: whether the tenant's service account may read the account's contacts.
    :ivar has_consent: whether a refresh token of the user's own consent is stored.
    :ivar accepted_loss: the number of contacts that may vanish from the book (``book``) and from the directory
        (``directory``) in the pending sync, or None if a person has accepted any number.
    """

    id: int
    tenant: str
    sub: str
    address: str
    sharing: Sharing
    connected_at: float | None
    scopes: frozenset[str] = frozenset()
    refresh_expires_at: float | None = None
    syncing: bool = False
    last_sync: float | None = None
    next_sync: float | None = None
    error: ErrorStatus | None = None
    alarm: ErrorStatus | None = None
    failures: int = 0
    attempts: int = 0
    requested_sync: SyncRequest | None = None
    pending_sync: SyncRequest | None = None
    generation: int = 0
    sources: Mapping[Source, SourceState] = field(default_factory=dict)
    contacts: int = 0
    numbers: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    owner: str | None = None
    revoked: bool = False
    accepted_loss: Mapping[str, int] | None = field(default=None, hash=False)
    warnings: Mapping[Source, ListingWarnings] = field(default_factory=dict, hash=False)
    client_id: str | None = None
    hd: str | None = None
    shared_label: str = ""
    delegated: bool = False
    has_consent: bool = False

    def max_loss(self, what: str) -> float:
        """Return the number of contacts that a sync may remove without another confirmation.

        :param what: ``book`` or ``directory``.
        """
        if self.pending_sync is not SyncRequest.ACCEPT:
            return 0
        return math.inf if self.accepted_loss is None else self.accepted_loss.get(what, 0)

    def label_to_share(self, tenant_label: str) -> str:
        """Return the label that limits sharing unless somebody chooses another label; empty if all contacts are shared.

        :param tenant_label: the tenant's ``shared_label``, which applies to a private book without a label of its own.
        """
        return self.shared_label or (tenant_label if self.sharing is Sharing.PRIVATE else "")

    @property
    def identity(self) -> tuple[str, str]:
        """Return the tenant and the `sub`.

        After the database was replaced, another account may have the same id, but not the same tenant and `sub`.
        """
        return self.tenant, self.sub

    @property
    def is_connected(self) -> bool:
        """Return whether a grant is stored."""
        return self.connected_at is not None

    @property
    def uses_delegation(self) -> bool:
        """Return whether the tenant's service account gets the access tokens, because the user has not consented."""
        return self.delegated and not self.has_consent

    @property
    def has_left(self) -> bool:
        """Return whether the user has not consented, and the service account may no longer read the contacts."""
        return self.uses_delegation and self.error is not None and self.error.facts.get("by") in _LEFT

    @property
    def switched_off(self) -> frozenset[Source]:
        """Return the sources that a person has switched off."""
        return frozenset(source for source, state in self.sources.items() if state is SourceState.OFF)

    def __repr__(self) -> str:
        """Omit address and sub, which a log must not contain."""
        return f"<Account {self.id} of {self.tenant}>"


@dataclass(frozen=True, slots=True, repr=False)
class Tokens:
    """The stored tokens of a grant.

    :ivar refresh_token: the refresh token of a consent; empty for a delegated account.
    :ivar access_token: the last access token; empty for a delegated account that has not got an access token yet.
    """

    refresh_token: str
    access_token: str
    access_expires_at: float


@dataclass(frozen=True, slots=True, repr=False)
class NewGrant:
    """The result of a consent.  If `refresh_token` is None, the stored refresh token stays valid."""

    sub: str
    address: str
    scopes: frozenset[str]
    access_token: str
    access_expires_at: float
    refresh_token: str | None
    refresh_expires_at: float | None
    client_id: str | None = None
    hd: str | None = None


def read(connection: Connection, account_id: int) -> Account | None:
    """Read an account; return None if there is no account with this id."""
    rows = read_rows(connection, account_id)
    return None if rows is None else account_of(*rows)


def read_by_ids(connection: Connection, account_ids: Iterable[int]) -> Iterator[Account]:
    """Read the accounts with some ids; ids without an account are left out."""
    for ids in chunks(account_ids):
        yield from read_some(connection, _BY_IDS, {"account_ids": ids})


STORED_EPOCH = func.coalesce(select(change.c.key).where(change.c.kind == EPOCH).scalar_subquery(), "").label("epoch")


def read_all(connection: Connection, tenant: str | None = None) -> tuple[Account, ...]:
    """Read all accounts of one tenant or of all tenants, ordered by tenant and address."""
    return read_some(connection, true() if tenant is None else account.c.tenant == tenant)


def read_addresses(connection: Connection, tenant: str) -> tuple[tuple[int, str], ...]:
    """Read the id and the address of each account of a tenant, ordered by address."""
    query = select(account.c.id, account.c.address).where(account.c.tenant == tenant)
    return tuple((row.id, row.address) for row in connection.execute(query.order_by(func.lower(account.c.address))))


def read_addresses_of(connection: Connection, account_ids: Sequence[int]) -> list[str]:
    """Read the addresses of some accounts, in the order of the ids."""
    query = select(account.c.id, account.c.address).where(account.c.id.in_(account_ids))
    addresses = {row.id: row.address for row in connection.execute(query)} if account_ids else {}
    return [addresses[account_id] for account_id in account_ids if account_id in addresses]


def count_connected(connection: Connection) -> int:
    """Count the connected accounts of all tenants."""
    count = select(func.count()).select_from(account).where(account.c.connected_at.is_not(None))
    result: int = connection.execute(count).scalar_one()
    return result


def has_any(connection: Connection) -> bool:
    """Return whether there is any account, connected or disconnected."""
    return connection.execute(select(account.c.id).limit(1)).first() is not None


def read_sealed_tokens(connection: Connection) -> Iterator[tuple[str, bytes | None]]:
    """Read the encrypted tokens of all accounts, and yield each token with a name of its account that may be logged."""
    for token in (account.c.refresh_token, account.c.access_token):
        query = select(account.c.id, account.c.tenant, token).where(token.is_not(None)).order_by(account.c.id)
        for row in connection.execute(query):
            yield f"account {row.id} of {row.tenant}", row[2]


def find_by_address(connection: Connection, address: str, tenant: str | None = None) -> tuple[Account, ...]:
    """Read the accounts with an e-mail address, regardless of its case."""
    where = func.lower(account.c.address) == ascii_lower(address)
    return read_some(connection, where if tenant is None else and_(where, account.c.tenant == tenant))


def read_by_sub(connection: Connection, tenant: str, sub: str) -> Account | None:
    """Read the account of a Google user in a tenant."""
    return next(iter(read_some(connection, and_(account.c.tenant == tenant, account.c.sub == sub))), None)


def read_for_person(connection: Connection, tenant: str, sub: str) -> tuple[Account, ...]:
    """Read all accounts on a person's page: first the person's account, then the accounts that the person has added."""
    on_page = read_some(connection, and_(account.c.tenant == tenant, or_(account.c.sub == sub, account.c.owner == sub)))
    return tuple(sorted(on_page, key=lambda found: (found.sub != sub, found.id)))


def lock(connection: Connection, account_id: int) -> None:
    """Lock an account until the transaction ends: other transactions cannot write the account meanwhile.

    The function does nothing on SQLite, where transactions that write exclude each other anyway.
    """
    if database_of(connection).runs_beside:
        connection.execute(_LOCK, {"account_id": account_id})


_LOCK = select(account.c.id).where(account.c.id == bindparam("account_id")).with_for_update()


def connect(
    connection: Connection,
    secret_box: SecretBox,
    tenant: str,
    grant: NewGrant,
    sharing: Sharing,
    now: float,
    owner: str | None = None,
    *,
    shared_label: str,
) -> int | None:
    """Store a new grant, in the user's account if the tenant already has this account, and request a full sync.

    :param sharing: the sharing of a new account; a known account keeps its sharing.
    :param shared_label: a new account shares only the contacts with this label; empty for all contacts.
    :param owner: the sub of another person whose page shows the account too, or None to keep the stored owner.
    :returns: the account's id, or None if there is neither a new refresh token nor a stored refresh token of the same
        OAuth client; nothing is stored then.
    """
    known = read_by_sub(connection, tenant, grant.sub)
    is_kept = known is not None and known.has_consent and known.client_id in (None, grant.client_id)
    if grant.refresh_token is None and not is_kept:
        return None
    values: dict[str, object] = {
        "address": grant.address,
        "connected_at": now,
        "scopes": sorted(grant.scopes),
        "access_token": secret_box.seal(grant.access_token),
        "access_expires_at": grant.access_expires_at,
        "refresh_expires_at": grant.refresh_expires_at,
        "client_id": grant.client_id,
        "hd": grant.hd,
        "next_sync": now,
        **dict.fromkeys(ERROR_COLUMNS),
        "failures": 0,
        "labels_token": None,
        "requested_sync": SyncRequest.FULL,
        "pending_sync": None,
    }
    if grant.refresh_token is not None:
        values["refresh_token"] = secret_box.seal(grant.refresh_token)
    if owner is not None and owner != grant.sub:
        values["owner"] = owner
    if known is None:
        values |= {"tenant": tenant, "sub": grant.sub, "sharing": sharing, "shared_label": shared_label or None}
        new_id: int = connection.execute(insert(account).values(**values).returning(account.c.id)).scalar_one()
        return new_id
    lock(connection, known.id)
    connection.execute(update(account).where(account.c.id == known.id).values(**values))
    connection.execute(delete(source).where(source.c.account_id == known.id))
    return known.id


_TOKENS = select(account.c.refresh_token, account.c.access_token, account.c.access_expires_at).where(
    account.c.id == bindparam("account_id"), account.c.connected_at.is_not(None)
)


def read_tokens(connection: Connection, secret_box: SecretBox, account_id: int) -> Tokens | None:
    """Read the tokens of an account; return None if the account is not connected.

    :raises StoreError: if the tokens were encrypted with an unknown key.
    """
    row = connection.execute(_TOKENS, {"account_id": account_id}).first()
    return None if row is None else tokens_of(row, secret_box)


def tokens_of(row: Row[*tuple[Any, ...]], secret_box: SecretBox) -> Tokens:
    """Return the tokens of a row of the table ``account``.

    :raises StoreError: if the tokens were encrypted with an unknown key.
    """
    refresh_token, access_token = (
        secret_box.unseal(sealed) if sealed is not None else "" for sealed in (row.refresh_token, row.access_token)
    )
    return Tokens(refresh_token, access_token, row.access_expires_at or 0.0)


def store_refreshed_tokens(
    connection: Connection,
    secret_box: SecretBox,
    grant: Account,
    access_token: str,
    expires_at: float,
    refresh_token: str | None,
    client_id: str | None,
) -> None:
    """Store a new access token, and a new refresh token if Google sent one.

    If a later consent has replaced the grant, nothing is stored.

    :param client_id: the OAuth client that has refreshed the token; this is the client to which the grant was given.
        None if the tenant's service account got the token.
    """
    values: dict[str, object] = {
        "access_token": secret_box.seal(access_token),
        "access_expires_at": expires_at,
        "client_id": client_id,
    }
    if refresh_token is not None:
        values["refresh_token"] = secret_box.seal(refresh_token)
    connection.execute(update(account).where(holds_grant(grant)).values(**values))


def disconnect(connection: Connection, account_id: int) -> None:
    """Delete tokens, contacts, sync history, and recordings of the account's phones.

    The account's row, phones and sharing stay for the next consent.
    """
    mark_erased(connection)
    lock(connection, account_id)
    recordings.remove_of_account(connection, account_id)
    for table in (contact, photo, removed_contact, label, source, sync_attempt, sync_day):
        connection.execute(delete(table).where(table.c.account_id == account_id))
    generation = account.c.generation + 1
    connection.execute(
        update(account)
        .where(account.c.id == account_id)
        .values(
            dict.fromkeys(CLEARED_COLUMNS)
            | {"scopes": (), "syncing": False, "failures": 0, "generation": generation, "known_since": generation}
        )
    )


def remove(connection: Connection, account_id: int, *, with_phones: bool) -> tuple[str, ...]:
    """Delete an account with all its data, and sign its user out of the tenant.

    The caller disconnects the account first, so that its grant is revoked
    (`ldapgw.store.revocations.disconnect_account`).

    A phone that also belongs to other accounts still belongs to these other accounts afterwards.

    :param with_phones: whether the phones that belong to no other account are deleted too; otherwise these phones
        belong to nobody from now on (`ldapgw.store.phones.set_accounts`).
    :returns: the names of the deleted phones.
    """
    lock(connection, account_id)
    row = connection.execute(select(account.c.tenant, account.c.sub).where(account.c.id == account_id)).first()
    if row is None:
        return ()
    mark_erased(connection)
    removed: list[str] = []
    for login in phones.read_by_accounts(connection, [account_id]):
        others = [other for other in login.account_ids if other != account_id]
        if others or not with_phones:
            # A phone whose first owner is the account would be deleted with the account, because of its foreign key.
            phones.set_accounts(connection, login.name, others)
        else:
            removed.append(login.name)
            phones.remove(connection, login.name)
    connection.execute(delete(sign_in).where(sign_in.c.tenant == row.tenant, sign_in.c.sub == row.sub))
    connection.execute(
        update(account).where(account.c.tenant == row.tenant, account.c.owner == row.sub).values(owner=None)
    )
    connection.execute(delete(account).where(account.c.id == account_id))
    return tuple(removed)


def remove_owner(connection: Connection, account_id: int) -> None:
    """Remove an account from the page of the person who has added the account, unless the account is connected."""
    is_disconnected = and_(account.c.id == account_id, account.c.connected_at.is_(None))
    connection.execute(update(account).where(is_disconnected).values(owner=None))


def set_sharing(connection: Connection, account_id: int, sharing: Sharing, shared_label: str) -> bool:
    """Store the sharing of the account's book.

    :param shared_label: the name of a label: only contacts with this label are shared; empty for all contacts.  The
        label of a private book takes effect when the book is shared again (`Account.label_to_share`).
    :returns: False if there is no such account.
    """
    values = {"sharing": sharing, "shared_label": shared_label or None}
    return connection.execute(update(account).where(account.c.id == account_id).values(values)).rowcount > 0


def read_disconnected(connection: Connection) -> tuple[tuple[str, str], ...]:
    """Read the tenant and the sub of each disconnected account."""
    rows = connection.execute(select(account.c.tenant, account.c.sub).where(account.c.connected_at.is_(None)))
    return tuple((row.tenant, row.sub) for row in rows)


def holds_grant(grant: Account) -> ColumnElement[bool]:
    """Return the SQL condition that the account still has the same grant, not the grant of a later consent."""
    return and_(account.c.id == grant.id, account.c.connected_at == grant.connected_at)


def error_since(table: Table, code: str, now: float) -> ColumnElement[float]:
    """Return an SQL expression for the column ``error_since``: the stored time if the code is the same, else `now`."""
    return func.coalesce(case((table.c.error_code == code, table.c.error_since)), now)


def set_address(connection: Connection, grant: Account, address: str) -> None:
    """Store a new e-mail address of the account.  The account's book is named after this address."""
    connection.execute(update(account).where(holds_grant(grant)).values(address=address))


# Columns of an account that a disconnection sets to null.
CLEARED_COLUMNS = (
    *("connected_at", "refresh_token", "refresh_expires_at", "access_token", "access_expires_at", "client_id", "hd"),
    *("last_sync", "next_sync", "labels_token", "requested_sync", "pending_sync", "contacts", "numbers", "skipped"),
    *ERROR_COLUMNS,
)


@dataclass(frozen=True, slots=True)
class _Queries:
    """The statements that read accounts, built once because building a statement takes longer than executing it."""

    rows: Select[Any]
    sources: Select[Any]

    @classmethod
    def where(cls, condition: ColumnElement[bool], *more: ColumnElement[Any]) -> _Queries:
        ids = select(account.c.id).where(condition).scalar_subquery()
        alarms = (column.label(f"alarm_{column.name}") for column in (alarm.c.code, alarm.c.since, alarm.c.link))
        rows = select(account, *alarms, *more).outerjoin(alarm, alarm.c.tenant == account.c.tenant).where(condition)
        rows = rows.order_by(account.c.tenant, account.c.address)
        return cls(rows, select(source).where(source.c.account_id.in_(ids)))


_HAS_LABELS = select(label.c.account_id).where(label.c.account_id == account.c.id).exists().label("has_labels")
_BY_ID = _Queries.where(account.c.id == bindparam("account_id"), STORED_EPOCH, _HAS_LABELS)
_BY_IDS = _Queries.where(account.c.id.in_(bindparam("account_ids", expanding=True)))


class AccountRows(NamedTuple):
    """The rows of an account: the row of the table ``account``, and the rows of the table ``source``.

    The first row also has the tenant's alarm, the epoch, and the column ``has_labels``.
    """

    account: Row[Any]
    sources: Sequence[Row[Any]]


def read_some(
    connection: Connection, where: ColumnElement[bool] | _Queries, parameters: Mapping[str, object] | None = None
) -> tuple[Account, ...]:
    """Read the accounts that meet a condition."""
    queries = where if isinstance(where, _Queries) else _Queries.where(where)
    rows = connection.execute(queries.rows, parameters).all()
    sources: dict[int, list[Row[Any]]] = {}
    for row in connection.execute(queries.sources, parameters):
        sources.setdefault(row.account_id, []).append(row)
    return tuple(account_of(row, sources.get(row.id, ())) for row in rows)


def read_rows(connection: Connection, account_id: int) -> AccountRows | None:
    """Read the rows of an account; return None if there is no account with this id."""
    parameters = {"account_id": account_id}
    row = connection.execute(_BY_ID.rows, parameters).first()
    return None if row is None else AccountRows(row, connection.execute(_BY_ID.sources, parameters).all())


def account_of(row: Row[Any], sources: Sequence[Row[Any]]) -> Account:
    """Return the account of a row of the table ``account``, with the rows of the account's sources."""
    error = next((_error_status(each) for each in (row, *reversed(sources)) if each.error_code), None)
    return value_of(
        Account,
        row,
        error=_first_to_solve(error, _alarm_of(row)),
        alarm=_alarm_of(row),
        requested_sync=row.requested_sync,
        pending_sync=row.pending_sync,
        sources={each.source: each.state for each in sources},
        has_consent=row.refresh_token is not None,
        revoked=row.error_code == "consent_revoked",
        accepted_loss=row.accepted,
        warnings={each.source: each.warnings for each in sources if each.warnings},
    )


class AlikeAccounts(NamedTuple):
    """Accounts of one tenant that have the same state and the same error code.

    :ivar account: one of the accounts.
    :ivar size: the number of the accounts.
    :ivar contacts: the number of contacts of the accounts.
    :ivar latest_sync: the latest `Account.last_sync` of the accounts.
    :ivar oldest_sync: the earliest `Account.last_sync` of the accounts.
    """

    account: Account
    size: int
    contacts: int
    latest_sync: float | None
    oldest_sync: float | None


def read_alike(connection: Connection, stale_before: float) -> tuple[AlikeAccounts, ...]:
    """Read all accounts as groups of accounts that have the same state.

    The database makes the groups, because reading 10,000 accounts one by one takes a third of a second.  A group has
    the accounts of one tenant that agree in everything from which an account's error and state
    (`ldapgw.store.account_status.state`) are derived.  An account with a failing source forms a group of its own.

    :param stale_before: a time in seconds since the epoch.  A last success, or the beginning of an error, counts as
        long ago if it was before this time.
    """
    column = account.c
    failing = select(source.c.account_id).where(source.c.error_code.is_not(None))
    alike = (
        *(column.tenant, column.syncing, column.delegated, column.failures, column.error_code, column.error_facts),
        *(each.is_(None) for each in (column.connected_at, column.last_sync, column.next_sync, column.refresh_token)),
        *(func.coalesce(column.last_sync, column.connected_at) < stale_before, column.error_since < stale_before),
        case((column.id.in_(failing), column.id)),
    )
    query = select(
        func.min(column.id).label("id"),
        func.count().label("size"),
        func.coalesce(func.sum(column.contacts), 0).label("contacts"),
        func.max(column.last_sync).label("latest_sync"),
        func.min(column.last_sync).label("oldest_sync"),
    )
    groups = {row.id: row for row in connection.execute(query.group_by(*alike))}
    return tuple(
        AlikeAccounts(found, group.size, group.contacts, group.latest_sync, group.oldest_sync)
        for found in read_by_ids(connection, groups)
        for group in (groups[found.id],)
    )


def _first_to_solve(error: ErrorStatus | None, alarm: ErrorStatus | None) -> ErrorStatus | None:
    return error if error is not None and error.code in OWN_ERRORS else alarm or error


def _alarm_of(row: Row[Any]) -> ErrorStatus | None:
    # An alarm is about the tenant's OAuth client, which delegated accounts do not use.
    is_concerned = row.connected_at is not None and (row.refresh_token or not row.delegated)
    return ErrorStatus(row.alarm_code, row.alarm_since, row.alarm_link) if is_concerned and row.alarm_code else None


def _error_status(row: Row[Any]) -> ErrorStatus:
    return ErrorStatus(row.error_code, row.error_since, facts=row.error_facts or {})
