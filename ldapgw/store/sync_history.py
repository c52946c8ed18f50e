# SPDX-License-Identifier: MIT
"""The history of syncs: each account's last attempts, and the numbers of successes and failures on each day (UTC).

The number of an attempt is the value of `ldapgw.store.accounts.Account.attempts` when the attempt began.  The figures
of an attempt (`SyncFigures`) are added in the transaction that changes the contacts, and the end is recorded in the
transaction that ends the sync.  If the gateway is killed in between, the figures stay: the next attempt has the same
number and continues the same row.

An attempt that was postponed because Google cannot be reached counts neither as a success nor as a failure.

Fifty attempts cover a working day; the table ``sync_day`` covers two weeks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, select, text

from ldapgw.store.tables import account, columns_of, sync_attempt, sync_day, value_of

# The number of stored attempts of an account.
KEPT_ATTEMPTS = 50
# The number of days in a summary, including the present day.  One more day is stored.
SUMMARY_DAYS = 14
_KEPT_DAYS = SUMMARY_DAYS + 1
_DAY = 86400
# The prefix of the stored error code of a postponed attempt.
_POSTPONED = "postponed/"


@dataclass(frozen=True, slots=True)
class SyncFigures:
    """The numbers of persons that became contacts, changed, ceased to be contacts, or were skipped in syncs."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    skipped: int = 0

    def __add__(self, other: SyncFigures) -> SyncFigures:
        return SyncFigures(
            self.added + other.added,
            self.changed + other.changed,
            self.removed + other.removed,
            self.skipped + other.skipped,
        )

    @property
    def changes(self) -> int:
        """Return the number of changes that phones can notice."""
        return self.added + self.changed + self.removed


NO_FIGURES = SyncFigures()


@dataclass(frozen=True, slots=True)
class SyncAttempt:
    """An attempt to sync an account, a row of the table ``sync_attempt``.

    :ivar error: the error code, or empty after a success.
    :ivar is_postponed: whether the sync was not tried, because the syncs of other accounts could not reach Google;
        `error` is the error of these other syncs.
    """

    number: int
    ended_at: float
    seconds: float
    is_full: bool
    figures: SyncFigures
    error: str = ""
    is_postponed: bool = False


@dataclass(frozen=True, slots=True)
class SyncDay:
    """A summary of the syncs of one account or of a tenant on a day, from rows of the table ``sync_day``.

    :ivar is_postponed: whether all attempts of the day were postponed.
    """

    day: int
    ok: int = 0
    failed: int = 0
    changes: int = 0
    is_postponed: bool = False


def day_of(seconds: float) -> int:
    """Return the day of a time, in days since the epoch, UTC."""
    return int(seconds // _DAY)


# The statements are SQL texts because SQLAlchemy has no common form of ON CONFLICT for all databases.  SQL texts are
# also quick to build, and each sync needs these statements.
_ADD_FIGURES = text("""
    INSERT INTO sync_attempt (account_id, number, ended_at, seconds, is_full, added, changed, removed, skipped)
    VALUES (:account_id, :number, :now, 0, :is_full, :added, :changed, :removed, :skipped)
    ON CONFLICT (account_id, number) DO UPDATE SET
        ended_at = excluded.ended_at,
        is_full = sync_attempt.is_full OR excluded.is_full,
        added = sync_attempt.added + excluded.added,
        changed = sync_attempt.changed + excluded.changed,
        removed = sync_attempt.removed + excluded.removed,
        skipped = sync_attempt.skipped + excluded.skipped
""")
_END = text("""
    INSERT INTO sync_attempt (account_id, number, ended_at, seconds, is_full, added, changed, removed, skipped, error)
    VALUES (:account_id, :number, :now, :seconds, :is_full, 0, 0, 0, 0, :error)
    ON CONFLICT (account_id, number) DO UPDATE SET
        ended_at = excluded.ended_at, seconds = excluded.seconds, error = excluded.error
""")
_PRUNE = text("DELETE FROM sync_attempt WHERE account_id = :account_id AND number <= :number")
_COUNT = text("""
    INSERT INTO sync_day (account_id, day, ok, failed, changes) VALUES (:account_id, :day, :ok, :failed, :changes)
    ON CONFLICT (account_id, day) DO UPDATE SET
        ok = sync_day.ok + excluded.ok,
        failed = sync_day.failed + excluded.failed,
        changes = sync_day.changes + excluded.changes
""")


def add_figures(
    connection: Connection, account_id: int, number: int, figures: SyncFigures, now: float, *, is_full: bool
) -> None:
    """Add the figures of changes to an attempt, in the transaction that makes the changes."""
    values = {"account_id": account_id, "number": number, "now": now, "is_full": is_full}
    connection.execute(_ADD_FIGURES, columns_of(figures, **values))
    if figures.changes:
        _count(connection, account_id, now, changes=figures.changes)


def record_end(
    connection: Connection,
    account_id: int,
    number: int,
    begun_at: float,
    now: float,
    error: str = "",
    *,
    is_postponed: bool = False,
) -> None:
    """Record the end of an attempt, in the transaction that updates the account."""
    seconds = max(now - begun_at, 0.0)  # the clock may have been set back
    values = {"account_id": account_id, "number": number, "now": now, "seconds": seconds, "is_full": False}
    connection.execute(_END, values | {"error": f"{_POSTPONED}{error}" if is_postponed else error or None})
    connection.execute(_PRUNE, {"account_id": account_id, "number": number - KEPT_ATTEMPTS})
    # On a day with postponed attempts only, this call stores a row whose counts are zero.
    _count(connection, account_id, now, ok=int(not error), failed=int(bool(error) and not is_postponed))


def prune_days(connection: Connection, now: float) -> None:
    """Delete the days that are too old for a summary."""
    connection.execute(delete(sync_day).where(sync_day.c.day <= day_of(now) - _KEPT_DAYS))


def read_attempts(connection: Connection, account_id: int, limit: int = KEPT_ATTEMPTS) -> tuple[SyncAttempt, ...]:
    """Read the last attempts of an account, the newest first."""
    attempts = select(sync_attempt).where(sync_attempt.c.account_id == account_id)
    rows = connection.execute(attempts.order_by(sync_attempt.c.number.desc()).limit(limit))
    return tuple(_attempt(row) for row in rows)


def summarize_account(connection: Connection, account_id: int, now: float) -> tuple[SyncDay, ...]:
    """Return the last `SUMMARY_DAYS` days of an account, the oldest first and the present day last."""
    return _summarize(connection, account.c.id == account_id, now)


def summarize_tenant(connection: Connection, tenant: str, now: float) -> tuple[SyncDay, ...]:
    """Return the last `SUMMARY_DAYS` days of all accounts of a tenant, the oldest first and the present day last."""
    return _summarize(connection, account.c.tenant == tenant, now)


def _summarize(connection: Connection, of_accounts: ColumnElement[bool], now: float) -> tuple[SyncDay, ...]:
    first = day_of(now) - SUMMARY_DAYS + 1
    sums = (func.sum(sync_day.c.ok), func.sum(sync_day.c.failed), func.sum(sync_day.c.changes))
    query = (
        select(sync_day.c.day, *sums)
        .join_from(sync_day, account, sync_day.c.account_id == account.c.id)
        .where(of_accounts, sync_day.c.day >= first)
        .group_by(sync_day.c.day)
    )
    found = {
        day: SyncDay(day, ok, failed, changes, is_postponed=not (ok or failed or changes))
        for day, ok, failed, changes in connection.execute(query)
    }
    return tuple(found.get(day, SyncDay(day)) for day in range(first, first + SUMMARY_DAYS))


def _count(
    connection: Connection, account_id: int, now: float, *, ok: int = 0, failed: int = 0, changes: int = 0
) -> None:
    values = {"account_id": account_id, "day": day_of(now), "ok": ok, "failed": failed, "changes": changes}
    connection.execute(_COUNT, values)


def _attempt(row: Row[Any]) -> SyncAttempt:
    error = row.error or ""
    outcome = {"error": error.removeprefix(_POSTPONED), "is_postponed": error.startswith(_POSTPONED)}
    return value_of(SyncAttempt, row, figures=value_of(SyncFigures, row), **outcome)
