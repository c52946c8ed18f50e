# SPDX-License-Identifier: MIT
"""A sync is noted in the history of syncs, with the sandbox behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, event

from ldapgw.contact import Source
from ldapgw.store import sync_history, sync_state
from ldapgw.store.accounts import SyncRequest
from ldapgw.store.contact_record import ContactRecord
from ldapgw.store.contacts import RecordSummary
from ldapgw.store.sync_history import NO_FIGURES, SyncAttempt, SyncDay, SyncFigures
from ldapgw.sync.fetched_page import FetchedPerson
from ldapgw.sync.plan import make_plan
from tests.support.results import result_of
from tests.support.stage.sync import ALICE, INTERVAL, NOW, Stage, person


class Broken(Exception):
    """A statement that fails."""


def history(stage: Stage) -> list[SyncAttempt]:
    """The attempts to sync Alice's account, the oldest first."""
    return [*reversed(stage.database.run(sync_history.read_attempts, stage.account().id))]


def today(stage: Stage) -> SyncDay:
    return stage.database.run(sync_history.summarize_account, stage.account().id, stage.clock.seconds())[-1]


def test_each_sync_says_what_it_did(stage: Stage, caplog_twisted: list[str]) -> None:
    """A full sync, a sync with many changes, one without a change, and one that fails; the log has the changes."""
    ada = stage.world.add_person(ALICE, person("Ada Riese"))
    bert = stage.world.add_person(ALICE, person("Bert Kurz"))
    stage.connect()
    result_of(stage.scheduler.refresh())
    stage.world.change_person(ALICE, ada, person("Ada Lang"))
    stage.world.delete_person(ALICE, bert)
    stage.world.add_person(ALICE, person("Carl Neu"))
    stage.world.add_person(ALICE, {})
    for _ in range(2):
        stage.clock.advance(1.1 * INTERVAL)
    stage.world.faults.inject("error_unavailable_503")
    stage.clock.advance(1.1 * INTERVAL)
    assert [(one.number, one.is_full, one.figures, one.error) for one in history(stage)] == [
        (0, True, SyncFigures(added=2), ""),
        (1, False, SyncFigures(added=1, changed=1, removed=1, skipped=1), ""),
        (2, False, NO_FIGURES, ""),
        (3, False, NO_FIGURES, "google_unavailable"),
    ]
    assert history(stage)[0].ended_at == NOW
    assert [line for line in caplog_twisted if "contacts added" in line] == [
        "sync of account 1: 2 contacts added, 0 changed, 0 removed",
        "sync of account 1: 1 contacts added, 1 changed, 1 removed",
    ]
    assert today(stage) == SyncDay(sync_history.day_of(NOW), 3, 1, 5)


def test_a_sync_that_a_person_asks_of_a_revoked_account_failed(stage: Stage) -> None:
    """The person is told why, although Google was not asked again."""
    stage.connect()
    result_of(stage.scheduler.refresh())
    account = stage.account()
    with stage.database.begin() as connection:
        sync_state.fail(connection, account, "consent_revoked", NOW, None)
        sync_state.request_sync(connection, account.id, SyncRequest.INCREMENTAL)
    result_of(stage.scheduler.refresh())
    assert [(one.number, one.error) for one in history(stage)] == [(0, ""), (2, "consent_revoked")]


def test_a_sync_that_breaks_leaves_contacts_and_figures_or_neither(
    stage: Stage, request: pytest.FixtureRequest
) -> None:
    """Before any statement; the sync after it has the same number, and goes on with its figures."""
    stage.connect()
    steps: Iterator[int] = iter(())

    def count(*_: object) -> None:
        if next(steps, None) == 0:
            raise Broken

    # Whichever connections the engine has for syncs.
    event.listen(Engine, "before_cursor_execute", count)
    request.addfinalizer(lambda: event.remove(Engine, "before_cursor_execute", count))
    left, is_broken = 0, True
    while is_broken:
        left += 1
        stage.world.add_person(ALICE, person(f"Person {left}"))
        steps = iter(range(left, -1, -1))
        is_broken = False
        try:
            stage.sync()
        except Broken:
            is_broken = True
        steps = iter(())
        added = sum(one.figures.added for one in history(stage))
        assert (added, today(stage).changes) == (len(stage.records()), len(stage.records()))
    assert left > 10
    assert [one.number for one in history(stage)] == [0]


def record(uid: str, *, is_served: bool = True) -> ContactRecord:
    return ContactRecord(uid, f"s-{uid}", b"{}" if is_served else None, "" if is_served else "empty", 0, 0, b"new")


def test_a_plan_counts_what_phones_notice() -> None:
    """A contact that is skipped from now on counts as gone; a skipped contact that is deleted does not count."""
    stored = {
        uid: RecordSummary(f"s-{uid}", digest, is_served=is_served)
        for uid, digest, is_served in (
            ("same", b"new", True),
            ("changed", b"old", True),
            ("emptied", b"old", True),
            ("filled", b"old", False),
            ("deleted", b"old", True),
            ("deleted and skipped", b"old", False),
        )
    }
    listed = [record("same"), record("changed"), record("emptied", is_served=False), record("filled"), record("new")]
    listed.append(record("new and skipped", is_served=False))
    plan = make_plan(Source.CONTACTS, stored, [FetchedPerson(one.uid, one.source_id, one) for one in listed], full=True)
    assert plan.figures == SyncFigures(added=2, changed=1, removed=2, skipped=2)
