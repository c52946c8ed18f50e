# SPDX-License-Identifier: MIT
"""The sync tokens of accounts' sources; a token is stored in the same transaction as the contacts of its listing."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, and_, bindparam, select, update

from ldapgw.contact import Source
from ldapgw.store.row_values import value_of
from ldapgw.store.tables import source

# Warning codes of ``status.json`` for a listing: with fewer persons than Google counts, without a sync token, and of a
# directory that lacks many persons.
INCOMPLETE, NO_SYNC_TOKEN, DIRECTORY_SHRUNK = "incomplete", "no_sync_token", "directory_shrunk"

# The figures of each warning, by warning code.
ListingWarnings = Mapping[str, Mapping[str, int]]

# To make a statement takes longer than to execute it, and each sync needs these.
_SET_SYNC_STATE = update(source).where(
    source.c.account_id == bindparam("of_account"), source.c.source == bindparam("of_source")
)
_SYNC_STATES = select(source).where(source.c.account_id == bindparam("account_id"))


@dataclass(frozen=True, slots=True, repr=False)
class SyncState:
    """The state from which the next incremental sync of a source continues.  Times are seconds since the epoch.

    :ivar fingerprint: fingerprint of the requests that the sync token is valid for.
    :ivar full_sync_at: when the last full sync ended.
    :ivar asked_at: when the source was last requested from Google, successfully or not.
    :ivar next_try: earliest time of the next attempt, after the source alone has failed.
    :ivar page_size: persons in a page, for which the sync token is valid; None: as many as Google allows.
    :ivar warnings: what was odd about the last listings, which were applied all the same.
    :ivar total: persons of the source, as counted by Google at the last full sync; None if Google did not say.
    """

    sync_token: str | None
    fingerprint: str
    full_sync_at: float | None
    asked_at: float | None = None
    next_try: float | None = None
    page_size: int | None = None
    warnings: ListingWarnings = field(default_factory=dict)
    total: int | None = None


def read_sync_states(connection: Connection, account_id: int) -> dict[Source, SyncState]:
    """Read the sync state of each source of an account that has a row."""
    return {
        Source(row.source): value_of(SyncState, row, warnings=decode_warnings(row.warnings))
        for row in connection.execute(_SYNC_STATES, {"account_id": account_id})
    }


def decode_warnings(warnings: str | None) -> ListingWarnings:
    """Decode the column ``warnings`` of a source."""
    decoded: ListingWarnings = json.loads(warnings or "{}")
    return decoded


def set_sync_state(connection: Connection, account_id: int, of: Source, state: SyncState) -> None:
    """Store a sync token, in the transaction that stores the contacts which came with the token.

    The source's row has to exist (`ldapgw.store.sync_state.write_source_states`).
    """
    values = {
        "of_account": account_id,
        "of_source": of,
        "sync_token": state.sync_token,
        "fingerprint": state.fingerprint,
        "full_sync_at": state.full_sync_at,
        "asked_at": state.asked_at,
        "page_size": state.page_size,
        "warnings": json.dumps(state.warnings) if state.warnings else None,
        "total": state.total,
    }
    connection.execute(_SET_SYNC_STATE, values)


def set_asked_at(connection: Connection, account_id: int, sources: Collection[Source], now: float) -> None:
    """Store when sources were requested from Google; their rows have to exist."""
    where = and_(source.c.account_id == account_id, source.c.source.in_(sources))
    connection.execute(update(source).where(where).values(asked_at=now))
