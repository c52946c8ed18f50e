# SPDX-License-Identifier: MIT
"""A listing waits for its last page, and pages of any gateway read the progress of syncs."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from twisted.internet.defer import fail
from twisted.internet.task import Clock

from ldapgw.contact import Source
from ldapgw.errors import LeadLost, StoreError
from ldapgw.store import accounts, sync_state
from ldapgw.store.sync_state import SyncProgress
from ldapgw.sync import fetch
from ldapgw.sync.fetch import WRITE_SECONDS, PageBuffer, ProgressWriter
from ldapgw.sync.fetched_page import decode_persons, encode_page
from tests.support.stage.publishing import AT_ONCE
from tests.support.stage.sync import ALICE, Stage, given


def pages(count: int) -> list[bytes]:
    return [
        encode_page([given(f"c{page}"), given(f"d{page}")], Source.CONTACTS, "DE", None).encoded_persons
        for page in range(count)
    ]


@pytest.mark.parametrize("in_memory", [1, 1 << 20], ids=["in a file", "in memory"])
def test_what_was_kept_comes_back_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: int) -> None:
    """Again and again, and more can be added in between; no file has a name."""
    monkeypatch.setattr(fetch, "MAX_IN_MEMORY", in_memory)
    kept = PageBuffer(tmp_path, AT_ONCE)
    first, second = pages(2)
    kept.append_page(first)
    assert list(kept) == decode_persons(first)
    kept.append_page(second)
    for _ in range(2):
        assert list(kept) == decode_persons(first) + decode_persons(second)
    assert list(tmp_path.iterdir()) == []
    kept.close()


def test_an_empty_listing(tmp_path: Path) -> None:
    """It has nobody in it."""
    kept = PageBuffer(tmp_path, AT_ONCE)
    assert list(kept) == []
    kept.close()


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line says where."""
    monkeypatch.setattr(fetch, "MAX_IN_MEMORY", 1)
    kept = PageBuffer(tmp_path, AT_ONCE)
    kept.append_page(b"")
    with Path("/dev/full").open("wb", buffering=0) as full:
        os.dup2(full.fileno(), kept._file.fileno())
    with pytest.raises(StoreError) as caught:
        kept.append_page(b"x" * (1 << 20))
    assert caught.value.problems == (f"{tmp_path}: cannot be written to: No space left on device",)
    kept.close()


@pytest.mark.parametrize(("in_memory", "handed_over"), [(1, 1), (1 << 20, 0)], ids=["in a file", "in memory"])
def test_a_file_is_freed_on_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: int, handed_over: int
) -> None:
    """Phones are answered while the kernel frees a large file."""
    monkeypatch.setattr(fetch, "MAX_IN_MEMORY", in_memory)
    calls: list[Callable[[], None]] = []
    kept = PageBuffer(tmp_path, calls.append)  # type: ignore[arg-type]  nobody waits for the call
    kept.append_page(*pages(1))
    kept.close()
    assert (len(calls), kept._file.closed) == (handed_over, not handed_over)
    for call in calls:
        call()
    assert kept._file.closed


# --- progress ---------------------------------------------------------------------------------------------------------

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
    """The next gateway that syncs deletes the progress."""
    stage.connect(ALICE)
    account_id = stage.account(ALICE).id
    stage.database.run(sync_state.write_progress, account_id, HALF)
    stage.database.run(sync_state.clear_running)
    assert stage.database.run(sync_state.read_progress, account_id) is None


def test_the_progress_of_a_removed_account_is_not_stored(stage: Stage) -> None:
    """An account that is removed during its sync must not look like a database that cannot be used."""
    stage.connect(ALICE)
    account_id = stage.account(ALICE).id
    stage.database.run(accounts.remove, account_id, with_phones=True)
    stage.database.run(sync_state.write_progress, account_id, HALF)
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
