# SPDX-License-Identifier: MIT
"""The progress of syncs, as pages of any gateway read it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from twisted.internet.defer import fail
from twisted.internet.task import Clock

from ldapgw.contact import Source
from ldapgw.errors import LeadLost, StoreError
from ldapgw.store import sync_state
from ldapgw.store.sync_state import SyncProgress
from ldapgw.sync.fetch import WRITE_SECONDS, ProgressWriter
from tests.support.stage.sync import ALICE, Stage

HALF = SyncProgress(Source.CONTACTS, 500, None, 2, 3)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_long_sync_tells_how_far_it_is_once_a_second(stage: Stage) -> None:
    """A sync that ends within a second writes nothing, and the end of a sync deletes what was written."""
    stage.connect(ALICE)
    account_id, clock = stage.account(ALICE).id, Clock()
    writer = ProgressWriter(clock, stage.store)

    def read() -> SyncProgress | None:
        return stage.database.run(sync_state.read_progress, account_id)

    writer.update(account_id, HALF)
    clock.advance(WRITE_SECONDS / 2)
    writer.update(account_id, None)
    clock.advance(WRITE_SECONDS)
    assert read() is None
    writer.update(account_id, HALF)
    assert read() is None
    clock.advance(WRITE_SECONDS)
    assert read() == HALF
    for fetched in (700, 800):
        writer.update(account_id, replace(HALF, fetched=fetched, total=1000))
        assert read() == HALF
    clock.advance(WRITE_SECONDS)
    assert read() == replace(HALF, fetched=800, total=1000)
    writer.update(account_id, HALF)
    writer.update(account_id, None)
    assert (read(), clock.getDelayedCalls()) == (None, [])


def test_a_gateway_that_ended_leaves_no_progress(stage: Stage) -> None:
    """Whoever syncs next deletes what it has left."""
    stage.connect(ALICE)
    account_id = stage.account(ALICE).id
    stage.database.run(sync_state.write_progress, account_id, HALF)
    stage.database.run(sync_state.clear_running)
    assert stage.database.run(sync_state.read_progress, account_id) is None


@pytest.mark.parametrize("error", [StoreError("away"), LeadLost()])
def test_progress_that_cannot_be_stored_is_not_logged(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog_twisted: list[str], error: Exception
) -> None:
    """The sync fails in the same way, and says so."""
    clock = Clock()
    writer = ProgressWriter(clock, stage.store)
    monkeypatch.setattr(stage.store, "run", lambda *_: fail(error))
    writer.update(1, HALF)
    clock.advance(WRITE_SECONDS)
    assert caplog_twisted == []
