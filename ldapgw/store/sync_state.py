# SPDX-License-Identifier: MIT
"""The sync state of accounts: requests for syncs, their beginnings, ends and progress, states of sources, and labels.

A sync token is stored in the same transaction as the contacts of its listing.  The progress is in the database so that
the pages of all gateways can show the progress to people who wait for their first sync.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, case, delete, func, insert, literal, or_, select, update

from ldapgw.contact import Source
from ldapgw.store import sync_history
from ldapgw.store.accounts import (
    ERROR_COLUMNS,
    STORED_EPOCH,
    Account,
    AccountRows,
    ListingWarnings,
    SourceState,
    SyncRequest,
    Tokens,
    account_of,
    error_since,
    holds_grant,
    lock,
    read,
    read_rows,
    tokens_of,
)
from ldapgw.store.contacts import read_labels, set_labels
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tables import account, columns_of, source, sync_progress, value_of

# Warning codes of ``status.json``: a listing has fewer persons than Google counts, or has no sync token, or a listing
# of the directory lacks many persons.
INCOMPLETE, NO_SYNC_TOKEN, DIRECTORY_SHRUNK = "incomplete", "no_sync_token", "directory_shrunk"

_SHRINK = "suspicious_shrink"

# The fingerprint of labels that have to be fetched in full again (`LabelState.outdated`).  No request has this
# fingerprint, so the next sync fetches all labels.  An empty text would mean that labels were never fetched
# (`LabelState.is_known`), which is wrong for an account that was fetched and has no labels.
_OUTDATED = "outdated"

# If one of these columns of an account changes, the page of the account's owner changes too.
_STATUS_COLUMNS = (
    *("owner", "address", "sharing", "shared_label", "connected_at", "scopes", "refresh_expires_at", "syncing"),
    *("last_sync", "next_sync", "error_code", "requested_sync", "pending_sync", "generation"),
)


@dataclass(frozen=True, slots=True, repr=False)
class SyncState:
    """The state from which the next incremental sync of a source continues, a row of the table ``source``."""

    sync_token: str | None
    fingerprint: str
    full_sync_at: float | None
    asked_at: float | None = None
    next_try: float | None = None
    page_size: int | None = None
    warnings: ListingWarnings = field(default_factory=dict)
    total: int | None = None
    state: SourceState = SourceState.ON


@dataclass(frozen=True, slots=True, repr=False)
class LabelState:
    """All labels of an account.

    :ivar names: the labels' names by resource name.
    :ivar sync_token: Google's token for changes of labels, or None if all labels have to be fetched.
    :ivar fingerprint: fingerprint of the requests that the sync token is valid for, or empty before the first fetch.
    """

    names: Mapping[str, str]
    sync_token: str | None = None
    fingerprint: str = ""

    @property
    def is_known(self) -> bool:
        """Return whether the labels have been fetched before; an account may have no labels."""
        return bool(self.fingerprint or self.names)

    def outdated(self) -> LabelState:
        """Return these labels without their sync token, so that the next sync fetches all labels."""
        return LabelState(self.names, None, _OUTDATED if self.is_known else "")


@dataclass(frozen=True, slots=True)
class SyncProgress:
    """The progress of a running sync, a row of the table ``sync_progress``."""

    source: Source
    fetched: int
    total: int | None
    step: int = 1
    step_count: int = 1


# A sync reads the account with its sources in one statement; the account's values are then in each row.
_PRESENT = (
    select(account.c.generation, STORED_EPOCH, account.c.connected_at, source)
    .outerjoin(source)
    .where(account.c.id == bindparam("account_id"))
)


def read_start(
    connection: Connection, secret_box: SecretBox, rows: AccountRows
) -> tuple[tuple[str, int], dict[Source, SyncState], LabelState, Tokens]:
    """Read what a sync of an account starts from.

    :returns: the epoch and the account's generation, the states of its sources, its labels and its tokens.
    :raises StoreError: if the tokens were encrypted with an unknown key.
    """
    row, sources = rows
    names = read_labels(connection, row.id) if row.has_labels else {}
    labels = LabelState(names, row.labels_token, row.labels_fingerprint)
    return (row.epoch, row.generation), _sync_states(sources), labels, tokens_of(row, secret_box)


def read_present(connection: Connection, grant: Account) -> tuple[tuple[str, int], dict[Source, SyncState]] | None:
    """Read the epoch and the generation of an account's contacts, and the states of its sources.

    :returns: None if the account no longer has the same grant.
    """
    rows = connection.execute(_PRESENT, {"account_id": grant.id}).all()
    if not rows or rows[0].connected_at != grant.connected_at:
        return None
    return (rows[0].epoch, rows[0].generation), _sync_states(rows)


def write_label_state(connection: Connection, account_id: int, state: LabelState) -> bool:
    """Replace the account's labels and their sync token, and return whether any label has changed."""
    token = {"labels_token": state.sync_token, "labels_fingerprint": state.fingerprint}
    connection.execute(update(account).where(account.c.id == account_id).values(token))
    if read_labels(connection, account_id) == state.names:
        return False
    set_labels(connection, account_id, state.names)
    return True


# The pending sync after an attempt without success.  A person may have accepted the loss of any number of contacts.
# The acceptance is for one attempt only, so the next attempt is an ordinary full sync.
_STILL_PENDING = case(
    (and_(account.c.pending_sync == SyncRequest.ACCEPT, account.c.accepted.is_(None)), SyncRequest.FULL),
    else_=account.c.pending_sync,
)


def request_sync(connection: Connection, account_id: int, request: SyncRequest) -> bool:
    """Store a person's request for a sync, unless an earlier, stronger request is still waiting.

    ``accept`` is ignored while a sync is running for which a person has already accepted the loss of contacts.

    :returns: False if there is no such account.
    """
    lock(connection, account_id)
    current = read(connection, account_id)
    if current is None:
        return False
    if request is SyncRequest.ACCEPT and current.syncing and current.pending_sync is SyncRequest.ACCEPT:
        return True
    values: dict[str, object] = {"requested_sync": _stronger(request, current.requested_sync)}
    if request is SyncRequest.ACCEPT:
        losses = _reported_losses(connection, account_id)
        values["accepted"] = losses or None
    connection.execute(update(account).where(account.c.id == account_id).values(values))
    return True


def accept_shrink(connection: Connection, account_id: int, shrink_key: str) -> bool:
    """Accept the loss of contacts that a page has shown, and no greater loss.

    :param shrink_key: see `ldapgw.store.accounts.ErrorStatus`.
    :returns: False if the account no longer reports this loss; nothing is stored then.
    """
    lock(connection, account_id)
    current = read(connection, account_id)
    error = current.error if current else None
    if current is None or error is None or error.code != _SHRINK or error.shrink_key != shrink_key:
        return False
    if current.syncing and current.pending_sync is SyncRequest.ACCEPT:
        return True
    request_sync(connection, account_id, SyncRequest.ACCEPT)
    what, lost, _ = shrink_key.split("-")
    connection.execute(update(account).where(account.c.id == account_id).values(accepted={what: int(lost)}))
    return True


# These statements are built once, because each sync needs them, and SQLAlchemy needs longer to build a statement than
# to execute it.
_BEGIN = update(account).where(account.c.id == bindparam("account_id")).values(syncing=True, requested_sync=None)
_END = (
    update(account)
    .where(account.c.id == bindparam("account_id"), account.c.connected_at == bindparam("granted_at"))
    .values(
        {
            "syncing": False,
            "pending_sync": None,
            "attempts": account.c.attempts + 1,
            "failures": 0,
            **dict.fromkeys(ERROR_COLUMNS),
        }
    )
)


def begin(connection: Connection, account_id: int, rows: AccountRows | None = None) -> Account | None:
    """Record that a sync begins.

    The requested sync is stored as the pending sync until a sync succeeds, so that a failed sync is repeated.

    :param rows: the rows of the account if the caller has locked the account and then read the rows, or None.
    :returns: the account with its pending sync, or None if the account is not connected.
    """
    if rows is None:
        lock(connection, account_id)
        rows = read_rows(connection, account_id)
    current = None if rows is None else account_of(*rows)
    if current is None or not current.is_connected:
        return None
    pending_sync = _stronger(current.pending_sync, current.requested_sync)
    connection.execute(_BEGIN, {"account_id": account_id, "pending_sync": pending_sync})
    return replace(current, pending_sync=pending_sync)


def end(connection: Connection, grant: Account, now: float, next_sync: float, *, begun_at: float | None = None) -> bool:
    """Record that a sync succeeded, unless the account was removed, disconnected or connected anew meanwhile.

    :param begun_at: when the attempt began, or None to leave the attempt out of the history of syncs.
    :returns: whether the end is recorded.
    """
    of = {"account_id": grant.id, "granted_at": grant.connected_at}
    is_recorded = connection.execute(_END, {**of, "last_sync": now, "next_sync": next_sync}).rowcount > 0
    if is_recorded and begun_at is not None:
        sync_history.record_end(connection, grant.id, grant.attempts, begun_at, now)
    return is_recorded


def fail(
    connection: Connection,
    grant: Account,
    code: str,
    now: float,
    next_sync: float | None,
    facts: Mapping[str, Any] | None = None,
    *,
    begun_at: float | None = None,
) -> None:
    """Record that a sync failed, unless the account was disconnected or connected anew meanwhile.

    :param begun_at: see `end`.
    :param next_sync: when to try again, or None to wait until a person acts.
    :param facts: see `ldapgw.store.accounts.ErrorStatus`.
    """
    failed = connection.execute(
        update(account)
        .where(holds_grant(grant))
        .values(
            syncing=False,
            next_sync=next_sync,
            attempts=account.c.attempts + 1,
            failures=account.c.failures + 1,
            error_since=error_since(account, code, now),
            error_code=code,
            pending_sync=_STILL_PENDING,
            error_facts=facts or None,
        )
    )
    if failed.rowcount > 0 and begun_at is not None:
        sync_history.record_end(connection, grant.id, grant.attempts, begun_at, now, code)


def postpone(
    connection: Connection,
    grant: Account,
    now: float,
    next_sync: float | None,
    code: str = "",
    *,
    reason: str = "",
    begun_at: float | None = None,
    is_outage: bool = False,
) -> None:
    """Record that a sync did not take place; an earlier error of the account stays.

    :param code: error code for an account without an earlier error, or empty to record no error.
    :param reason: error code for the history of syncs.
    :param begun_at: see `end`.
    :param is_outage: whether the sync was not tried because other accounts could not sync; the attempt then does not
        count as a failure.
    """
    values: dict[str, object] = {
        "syncing": False,
        "pending_sync": _STILL_PENDING,
        "next_sync": next_sync,
        "attempts": account.c.attempts + 1,
    }
    if code:
        values["error_since"] = func.coalesce(account.c.error_since, now)
        values["error_code"] = func.coalesce(account.c.error_code, code)
    postponed = connection.execute(update(account).where(holds_grant(grant)).values(values))
    if postponed.rowcount > 0 and begun_at is not None:
        attempts = grant.attempts
        sync_history.record_end(connection, grant.id, attempts, begun_at, now, reason, is_postponed=is_outage)


def write_progress(connection: Connection, account_id: int, progress: SyncProgress | None) -> None:
    """Store the progress of an account's sync; None deletes the progress, at the end of the sync.

    An account may be removed during its sync; then nothing is stored.
    """
    is_of_account = sync_progress.c.account_id == account_id
    if progress is None:
        connection.execute(delete(sync_progress).where(is_of_account))
        return
    columns = columns_of(progress)
    if not connection.execute(update(sync_progress).where(is_of_account).values(columns)).rowcount:
        values = [literal(value, sync_progress.c[name].type) for name, value in columns.items()]
        present = select(account.c.id, *values).where(account.c.id == account_id)
        connection.execute(insert(sync_progress).from_select(["account_id", *columns], present))


def read_progress(connection: Connection, account_id: int) -> SyncProgress | None:
    """Return the progress of an account's sync, or None if no sync is running or the sync has just begun."""
    row = connection.execute(select(sync_progress).where(sync_progress.c.account_id == account_id)).one_or_none()
    return None if row is None else value_of(SyncProgress, row)


def read_status_keys(connection: Connection, subs: Collection[str]) -> dict[tuple[str, str], tuple[object, ...]]:
    """Return, by tenant and sub, values that change whenever the person's page has to change."""
    status_keys: dict[tuple[str, str], tuple[object, ...]] = {}
    columns = [*(account.c[name] for name in _STATUS_COLUMNS), *sync_progress.c]
    query = select(account.c.tenant, account.c.sub, *columns).outerjoin(sync_progress).order_by(account.c.id)
    for row in connection.execute(query.where(or_(account.c.sub.in_(subs), account.c.owner.in_(subs)))):
        for sub in {row.sub, row.owner} & set(subs):
            status_keys[row.tenant, sub] = (*status_keys.get((row.tenant, sub), ()), tuple(row))
    return status_keys


def clear_running(connection: Connection) -> None:
    """Mark all syncs as not running; the syncs that a killed process had begun are due at once."""
    connection.execute(delete(sync_progress))
    connection.execute(update(account).where(account.c.syncing).values(syncing=False, next_sync=0.0))


def increment_generation(connection: Connection, account_id: int) -> None:
    """Increment the generation of an account after a change of its contacts, so that its book is updated."""
    connection.execute(update(account).where(account.c.id == account_id).values(generation=account.c.generation + 1))


def write_source_states(
    connection: Connection,
    account_id: int,
    states: Mapping[Source, SourceState],
    stored: Mapping[Source, SyncState] | None = None,
) -> None:
    """Store the states of sources, and delete the sync token of each source whose state is not `SourceState.ON`.

    :param stored: the sync states if they were read in this transaction, or None to read them.
    """
    if stored is None:
        stored = read_sync_states(connection, account_id)
    for name, state in states.items():
        if name in stored and stored[name].state is state:
            continue
        where = and_(source.c.account_id == account_id, source.c.source == name)
        values: dict[str, object] = {"state": state}
        if state is not SourceState.ON:
            values |= {"sync_token": None, "fingerprint": "", "warnings": None}
        if name in stored:
            connection.execute(update(source).where(where).values(values))
        else:
            connection.execute(insert(source).values(account_id=account_id, source=name, **values))


# These statements are built once, like `_BEGIN`.
_SET_SYNC_STATE = update(source).where(
    source.c.account_id == bindparam("of_account"), source.c.source == bindparam("of_source")
)
_SYNC_STATES = select(source).where(source.c.account_id == bindparam("account_id"))


def read_sync_states(connection: Connection, account_id: int) -> dict[Source, SyncState]:
    """Read the sync states of an account's sources that have a row."""
    return _sync_states(connection.execute(_SYNC_STATES, {"account_id": account_id}))


def _sync_states(rows: Iterable[Row[*tuple[Any, ...]]]) -> dict[Source, SyncState]:
    return {
        Source(row.source): value_of(SyncState, row)
        for row in rows
        if row.source is not None  # the account has no sources
    }


def set_sync_state(connection: Connection, account_id: int, of: Source, state: SyncState) -> None:
    """Store a sync token, in the transaction that stores the contacts which came with the token.

    The source's row has to exist (`write_source_states`).
    """
    values = {
        "of_account": account_id,
        "of_source": of,
        "sync_token": state.sync_token,
        "fingerprint": state.fingerprint,
        "full_sync_at": state.full_sync_at,
        "asked_at": state.asked_at,
        "page_size": state.page_size,
        "warnings": state.warnings or None,
        "total": state.total,
    }
    connection.execute(_SET_SYNC_STATE, values)


def set_asked_at(connection: Connection, account_id: int, sources: Collection[Source], now: float) -> None:
    """Store the time at which sources were requested from Google; their rows have to exist."""
    where = and_(source.c.account_id == account_id, source.c.source.in_(sources))
    connection.execute(update(source).where(where).values(asked_at=now))


def _reported_losses(connection: Connection, account_id: int) -> dict[str, int]:
    """Return, for ``book`` and ``directory``, the number of lost contacts that an error of the account reports."""
    losses: dict[str, int] = {}
    in_book = select(account.c.error_facts).where(account.c.id == account_id, account.c.error_code == _SHRINK)
    in_source = select(source.c.error_facts).where(source.c.account_id == account_id, source.c.error_code == _SHRINK)
    for what, query in (("book", in_book), ("directory", in_source)):
        for facts in connection.execute(query).scalars():
            losses[what] = int((facts or {}).get("lost", 0))
    return losses


def _stronger(first: SyncRequest | None, second: SyncRequest | None) -> SyncRequest | None:
    order = [None, *SyncRequest]
    return max(first, second, key=order.index)
