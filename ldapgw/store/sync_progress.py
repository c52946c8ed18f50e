# SPDX-License-Identifier: MIT
"""How far running syncs are, for people who wait for their first sync, at whichever gateway they look."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from ldapgw.contact import Source
from ldapgw.store.rows import columns_of, value_of
from ldapgw.store.tables import sync_progress


@dataclass(frozen=True, slots=True)
class SyncProgress:
    """How far a sync is.

    :ivar source: the source that is being fetched.
    :ivar fetched: persons fetched so far.
    :ivar total: all persons of the source, as counted by Google; None when Google does not say.
    :ivar step: position of the source, counted from 1, among the `step_count` sources fetched in turn.
    """

    source: Source
    fetched: int
    total: int | None
    step: int = 1
    step_count: int = 1


def write(connection: Connection, account_id: int, progress: SyncProgress | None) -> None:
    """Store how far an account's sync is; None: the sync has ended."""
    is_of_account = sync_progress.c.account_id == account_id
    if progress is None:
        connection.execute(delete(sync_progress).where(is_of_account))
        return
    columns = columns_of(progress)
    if not connection.execute(update(sync_progress).where(is_of_account).values(columns)).rowcount:
        connection.execute(insert(sync_progress).values(account_id=account_id, **columns))


def read(connection: Connection, account_id: int) -> SyncProgress | None:
    """Return how far an account's sync is; None: no sync runs, or the sync has just begun."""
    row = connection.execute(select(sync_progress).where(sync_progress.c.account_id == account_id)).one_or_none()
    return None if row is None else value_of(SyncProgress, row)


def forget_all(connection: Connection) -> None:
    """Delete what a gateway that has ended has left."""
    connection.execute(delete(sync_progress))
