# SPDX-License-Identifier: MIT
"""The labels of an account, with the token for what changes of them.

How the syncs of accounts go: what is wished for, and what is noted of their beginnings and ends.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, and_, case, func, insert, select, update

from ldapgw.contact import Source
from ldapgw.store.accounts import Account, SourceState, SyncRequest, holds_grant, read
from ldapgw.store.contacts import read_labels, set_labels
from ldapgw.store.tables import account, source


@dataclass(frozen=True, slots=True, repr=False)
class LabelState:
    """All labels of an account.

    :ivar names: by resource name.
    :ivar sync_token: for what changes of them; None: all have to be asked for.
    :ivar fingerprint: of the requests that the token is good for.
    """

    names: Mapping[str, str]
    sync_token: str | None = None
    fingerprint: str = ""


def read_label_state(connection: Connection, account_id: int) -> LabelState:
    """The account's labels."""
    query = select(account.c.labels_token, account.c.labels_fingerprint).where(account.c.id == account_id)
    held = connection.execute(query).one()
    return LabelState(read_labels(connection, account_id), held.labels_token, held.labels_fingerprint)


def write_label_state(connection: Connection, account_id: int, state: LabelState) -> bool:
    """Replace the account's labels; whether that changes any."""
    token = {"labels_token": state.sync_token, "labels_fingerprint": state.fingerprint}
    connection.execute(update(account).where(account.c.id == account_id).values(token))
    if read_labels(connection, account_id) == state.names:
        return False
    set_labels(connection, account_id, state.names)
    return True


# After a try: what was accepted untold was accepted for that one.
_STILL_PENDING = case(
    (and_(account.c.due == SyncRequest.ACCEPT, account.c.accepted.is_(None)), SyncRequest.FULL), else_=account.c.due
)


def request_sync(connection: Connection, account_id: int, request: SyncRequest) -> None:
    """Note that a person wants a sync now; a stronger wish that is not fulfilled yet stays.

    What is accepted while that is being carried out is accepted once.
    """
    found = read(connection, account_id, counted=False)
    if found is None or (request is SyncRequest.ACCEPT and found.syncing and found.pending_sync is SyncRequest.ACCEPT):
        return
    values: dict[str, object] = {"wish": _stronger(request, found.requested_sync)}
    if request is SyncRequest.ACCEPT:
        told = _reported_losses(connection, account_id)
        values["accepted"] = json.dumps(told) if told else None
    connection.execute(update(account).where(account.c.id == account_id).values(values))


def accept_shrink(connection: Connection, account_id: int, shrink_key: str) -> bool:
    """Note that a person accepts what a page has told them, and no more.

    :param loss: see `ldapgw.store.accounts.Trouble`.
    :returns: false where something else would vanish by now, or nothing: then nothing is noted.
    """
    found = read(connection, account_id, counted=False)
    trouble = found.error if found else None
    if found is None or trouble is None or trouble.code != _SHRINK or trouble.shrink_key != shrink_key:
        return False
    if found.syncing and found.pending_sync is SyncRequest.ACCEPT:
        return True
    request_sync(connection, account_id, SyncRequest.ACCEPT)
    what, lost, _ = shrink_key.split("-")
    accepted = json.dumps({what: int(lost)})
    connection.execute(update(account).where(account.c.id == account_id).values(accepted=accepted))
    return True


def begin(connection: Connection, account_id: int) -> Account | None:
    """Take note that a sync begins.  What was wished for is due until one has ended well.

    :returns: the account, with what is due; None when it is not connected.
    """
    found = read(connection, account_id, counted=False)
    if found is None or not found.is_connected:
        return None
    due = _stronger(found.pending_sync, found.requested_sync)
    values = {"syncing": True, "wish": None, "due": due}
    connection.execute(update(account).where(account.c.id == account_id).values(values))
    return replace(found, pending_sync=due)


def end(connection: Connection, grant: Account, now: float, next_sync: float) -> None:
    """Take note that a sync ended well; of no account that was disconnected or connected anew meanwhile."""
    connection.execute(
        update(account)
        .where(holds_grant(grant))
        .values(
            syncing=False,
            due=None,
            last_sync=now,
            next_sync=next_sync,
            attempts=account.c.attempts + 1,
            failures=0,
            error_code=None,
            error_since=None,
            error_link=None,
            error_facts=None,
        )
    )


def fail(
    connection: Connection,
    grant: Account,
    code: str,
    now: float,
    next_sync: float | None,
    link: str = "",
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Take note that a sync failed; of no account that was disconnected or connected anew meanwhile.

    :param next_sync: None: none until a person acts.
    :param facts: see `Trouble`.
    """
    since = select(func.coalesce(account.c.error_since, now)).where(
        account.c.id == grant.id, account.c.error_code == code
    )
    connection.execute(
        update(account)
        .where(holds_grant(grant))
        .values(
            syncing=False,
            next_sync=next_sync,
            attempts=account.c.attempts + 1,
            failures=account.c.failures + 1,
            error_since=func.coalesce(since.scalar_subquery(), now),
            error_code=code,
            due=_STILL_PENDING,
            error_link=link or None,
            error_facts=json.dumps(facts) if facts else None,
        )
    )


def postpone(connection: Connection, grant: Account, now: float, next_sync: float | None, code: str = "") -> None:
    """Take note that a sync did not take place; whatever was the matter with the account before still is.

    :param code: an error code, for an account with which nothing was the matter; empty: nothing is.
    """
    values: dict[str, object] = {
        "syncing": False,
        "due": _STILL_PENDING,
        "next_sync": next_sync,
        "attempts": account.c.attempts + 1,
    }
    if code:
        values["error_since"] = func.coalesce(account.c.error_since, now)
        values["error_code"] = func.coalesce(account.c.error_code, code)
    connection.execute(update(account).where(holds_grant(grant)).values(values))


def is_grant_current(connection: Connection, grant: Account) -> bool:
    """Whether an account still holds the very grant that somebody began to work with."""
    return connection.execute(select(account.c.id).where(holds_grant(grant))).first() is not None


def clear_running(connection: Connection) -> None:
    """At a start: no sync is running; one that a killed process has left begins anew at once."""
    connection.execute(update(account).where(account.c.syncing).values(syncing=False, next_sync=0.0))


def increment_generation(connection: Connection, account_id: int) -> None:
    """Take note that the account's contacts have changed, so that its book is built anew."""
    connection.execute(update(account).where(account.c.id == account_id).values(generation=account.c.generation + 1))


def write_source_states(connection: Connection, account_id: int, states: Mapping[Source, SourceState]) -> None:
    """Store the states of the sources, those that are not on without a sync token."""
    known = set(connection.execute(select(source.c.source).where(source.c.account_id == account_id)).scalars())
    for name, state in states.items():
        where = and_(source.c.account_id == account_id, source.c.source == name)
        values: dict[str, object] = {"state": state}
        if state is not SourceState.ON:
            values |= {"sync_token": None, "fingerprint": ""}
        if name in known:
            connection.execute(update(source).where(where).values(values))
        else:
            connection.execute(insert(source).values(account_id=account_id, source=name, **values))


_SHRINK = "suspicious_shrink"


def _reported_losses(connection: Connection, account_id: int) -> dict[str, int]:
    """How many contacts a person was told would vanish, of the book or of the directory that comes through it."""
    told: dict[str, int] = {}
    of_book = select(account.c.error_facts).where(account.c.id == account_id, account.c.error_code == _SHRINK)
    its = source.c.account_id == account_id, source.c.error_code == _SHRINK
    for what, query in (("book", of_book), ("directory", select(source.c.error_facts).where(*its))):
        for facts in connection.execute(query).scalars():
            told[what] = int(json.loads(facts or "{}").get("lost", 0))
    return told


def _stronger(first: SyncRequest | None, second: SyncRequest | None) -> SyncRequest | None:
    order = [None, *SyncRequest]
    return max(first, second, key=order.index)
