# SPDX-License-Identifier: MIT
"""The history of syncs: the last attempts of an account, and the days of accounts and tenants."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection, func, select

from ldapgw.store import revocations, sync_history, tables
from ldapgw.store.secrets import SecretBox
from ldapgw.store.sync_history import KEPT_ATTEMPTS, SUMMARY_DAYS, SyncAttempt, SyncDay, SyncFigures
from tests.support.stage.sync import GRANT, connect

DAY = 86400
MIDNIGHT = 20_000.0 * DAY
SECOND = replace(GRANT, sub="sub-2")


def test_an_attempt_has_its_figures_and_its_end(connection: Connection, account_id: int) -> None:
    """Figures add up: those of the contacts and of the directory, whose syncs have one end."""
    sync_history.add_figures(connection, account_id, 7, SyncFigures(3, 2, 1, 4), MIDNIGHT + 2, is_full=True)
    sync_history.add_figures(connection, account_id, 7, SyncFigures(1, 0, 0, 0), MIDNIGHT + 3, is_full=False)
    sync_history.record_end(connection, account_id, 7, MIDNIGHT, MIDNIGHT + 4.5)
    sync_history.record_end(connection, account_id, 8, MIDNIGHT + 10, MIDNIGHT + 11, "network")
    failed = SyncAttempt(8, MIDNIGHT + 11, 1.0, is_full=False, figures=SyncFigures(), error="network")
    done = SyncAttempt(7, MIDNIGHT + 4.5, 4.5, is_full=True, figures=SyncFigures(4, 2, 1, 4))
    assert sync_history.read_attempts(connection, account_id) == (failed, done)
    assert sync_history.read_attempts(connection, account_id, 1) == (failed,)
    assert sync_history.summarize_account(connection, account_id, MIDNIGHT)[-1] == SyncDay(20_000, 1, 1, 7)


def test_a_clock_that_was_set_back_gives_no_negative_time(connection: Connection, account_id: int) -> None:
    sync_history.record_end(connection, account_id, 0, MIDNIGHT + 100, MIDNIGHT)
    assert [one.seconds for one in sync_history.read_attempts(connection, account_id)] == [0.0]


def test_the_last_attempts_are_kept(connection: Connection, secret_box: SecretBox, account_id: int) -> None:
    """Of each account; one that syncs more often does not push out those of another one."""
    other_id = connect(connection, secret_box, SECOND)
    sync_history.record_end(connection, other_id, 0, MIDNIGHT, MIDNIGHT)
    for number in range(KEPT_ATTEMPTS + 10):
        sync_history.record_end(connection, account_id, number, MIDNIGHT, MIDNIGHT + number)
    kept = sync_history.read_attempts(connection, account_id)
    assert [one.number for one in kept] == [*reversed(range(10, KEPT_ATTEMPTS + 10))]
    assert len(sync_history.read_attempts(connection, other_id)) == 1
    assert sync_history.summarize_account(connection, account_id, MIDNIGHT)[-1].ok == KEPT_ATTEMPTS + 10


def test_days_begin_at_midnight_utc(connection: Connection, account_id: int) -> None:
    """The gateway's time zone does not matter; days without a sync are there too, the oldest first."""
    for number, when in enumerate((MIDNIGHT - 1, MIDNIGHT, MIDNIGHT + DAY - 1, MIDNIGHT + DAY)):
        sync_history.record_end(connection, account_id, number, when, when, "quota" if number == 2 else "")
    days = sync_history.summarize_account(connection, account_id, MIDNIGHT + DAY)
    assert [one.day for one in days] == [*range(20_001 - SUMMARY_DAYS + 1, 20_002)]
    assert days[-4:] == (SyncDay(19_998), SyncDay(19_999, 1), SyncDay(20_000, 1, 1), SyncDay(20_001, 1))


def test_postponed_attempts_are_no_failures(connection: Connection, account_id: int) -> None:
    """They have a state of their own, and so has a day that has no other attempts."""

    def postpone(number: int, when: float) -> None:
        sync_history.record_end(connection, account_id, number, when, when, "network", is_postponed=True)

    postpone(0, MIDNIGHT - DAY)
    postpone(1, MIDNIGHT)
    sync_history.record_end(connection, account_id, 2, MIDNIGHT, MIDNIGHT)
    second, first, _ = sync_history.read_attempts(connection, account_id)
    assert (first.error, first.is_postponed, second.error, second.is_postponed) == ("network", True, "", False)
    postponed = SyncDay(19_999, is_postponed=True)
    for days in (
        sync_history.summarize_account(connection, account_id, MIDNIGHT),
        sync_history.summarize_tenant(connection, "acme", MIDNIGHT),
    ):
        assert days[-3:] == (SyncDay(19_998), postponed, SyncDay(20_000, 1))


def test_a_tenant_has_the_sums_of_its_accounts(connection: Connection, secret_box: SecretBox, account_id: int) -> None:
    second_id, foreign_id = connect(connection, secret_box, SECOND), connect(connection, secret_box, tenant="other")
    for one in (account_id, second_id, foreign_id):
        sync_history.add_figures(connection, one, 0, SyncFigures(added=5), MIDNIGHT, is_full=True)
        sync_history.record_end(connection, one, 0, MIDNIGHT, MIDNIGHT)
    sync_history.record_end(connection, second_id, 1, MIDNIGHT, MIDNIGHT + DAY, "network")
    days = sync_history.summarize_tenant(connection, "acme", MIDNIGHT + DAY)
    assert len(days) == SUMMARY_DAYS
    assert days[-2:] == (SyncDay(20_000, 2, 0, 10), SyncDay(20_001, 0, 1))


def test_days_that_nobody_is_shown_are_deleted(connection: Connection, account_id: int) -> None:
    sync_history.record_end(connection, account_id, 0, MIDNIGHT, MIDNIGHT)
    for days, left in ((SUMMARY_DAYS, 1), (SUMMARY_DAYS + 1, 0)):
        sync_history.prune_days(connection, MIDNIGHT + days * DAY)
        assert connection.execute(select(func.count()).select_from(tables.sync_day)).scalar_one() == left


def test_who_disconnects_has_no_history(connection: Connection, account_id: int) -> None:
    sync_history.record_end(connection, account_id, 0, MIDNIGHT, MIDNIGHT)
    revocations.disconnect_account(connection, account_id, MIDNIGHT)
    assert sync_history.read_attempts(connection, account_id) == ()
    assert sync_history.summarize_account(connection, account_id, MIDNIGHT)[-1] == SyncDay(20_000)
