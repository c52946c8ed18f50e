# SPDX-License-Identifier: MIT
"""How far running syncs are, for people who wait for their first sync, at whichever gateway they look."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from ldapgw.contact import Source
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
    columns = sync_progress.c
    if progress is None:
        connection.execute(delete(sync_progress).where(columns.account_id == account_id))
        return
    values = {
        "source": progress.source,
        "fetched": progress.fetched,
        "total": progress.total,
        "step": progress.step,
        "step_count": progress.step_count,
    }
    changed = connection.execute(update(sync_progress).where(columns.account_id == account_id).values(values))
    if not changed.rowcount:
        connection.execute(insert(sync_progress).values(account_id=account_id, **values))


def read(connection: Connection, account_id: int) -> SyncProgress | None:
    """Return how far an account's sync is; None: no sync runs, or the sync has just begun."""
    columns = sync_progress.c
    row = connection.execute(
        select(columns.source, columns.fetched, columns.total, columns.step, columns.step_count).where(
            columns.account_id == account_id
        )
    ).one_or_none()
    return None if row is None else SyncProgress(Source(row.source), row.fetched, row.total, row.step, row.step_count)


def forget_all(connection: Connection) -> None:
    """Delete what a gateway that has ended has left."""
    connection.execute(delete(sync_progress))
