# SPDX-License-Identifier: MIT
"""Calls are few and spread: labels once a day, full syncs not in a row, and a project's quota is not exceeded."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import DeferredSemaphore, succeed

from ldapgw.contact import Source
from ldapgw.google.endpoints import Client
from ldapgw.store.database import Mode
from ldapgw.store.sync_state import SyncState
from ldapgw.sync.fetch import UNLIMITED, DueSync, FullSyncLimits, SourceQuery, due_sync, has_passed
from ldapgw.sync.pacing import CallPacer
from tests.support.results import result_of
from tests.support.stage.paths import CONNECTIONS, DAY, GROUPS, HOUR
from tests.support.stage.sync import ALICE, ALL_SOURCES, INTERVAL, NOW, Stage, person

LIMITS = FullSyncLimits()


def started(count: int, **more: Any) -> tuple[Stage, list[str]]:
    """A stage whose accounts are synced by the scheduler, each once so far, and the addresses of the accounts."""
    stage = Stage(**more)
    addresses = stage.add_users(count)
    for address in addresses:
        stage.connect(address)
        stage.world.add_person(address, person("Ada"))
    stage.start()
    return stage, addresses


# --- labels ---------------------------------------------------------------------------------------------------------


def test_labels_are_listed_when_a_person_asks() -> None:
    """A person who has renamed a label wants to see the new name."""
    stage = Stage()
    group = stage.world.add_label(ALICE, "Kunden")
    stage.connect()
    stage.start()
    groups = stage.world.account(ALICE).groups
    groups.put({**(groups.get(group) or {}), "name": "Freunde", "formattedName": "Freunde"})
    stage.clock.advance(INTERVAL)
    assert stage.labels_of() == {group: "Kunden"}
    stage.request()
    assert stage.labels_of() == {group: "Freunde"}


def test_labels_that_failed_are_listed_again_in_the_next_round() -> None:
    """Not a day later; the first failure concerns all labels, and the second failure only the changes."""
    stage = Stage()
    group = stage.world.add_label(ALICE, "Kunden")
    stage.connect()
    stage.world.faults.inject("error_internal_500", times=1, path=GROUPS)
    stage.start()
    assert stage.labels_of() == {}
    stage.clock.advance(INTERVAL)
    assert stage.labels_of() == {group: "Kunden"}
    new = stage.world.add_label(ALICE, "Neu")
    stage.world.faults.inject("error_internal_500", times=1, path=GROUPS)
    stage.request()
    assert stage.labels_of() == {group: "Kunden"}
    stage.clock.advance(INTERVAL)
    assert stage.labels_of() == {group: "Kunden", new: "Neu"}


# --- full syncs -----------------------------------------------------------------------------------------------------

QUERY = SourceQuery(Source.CONTACTS, "DE")
OTHER_REGION = replace(QUERY, region="FR")
OTHER_LABELS = replace(QUERY, labels=frozenset({"contactGroups/1"}))
OTHER_PAGES = replace(QUERY, page_size=200)


def stored(full_sync_at: float, *, token: str | None = "T", asked_at: float = NOW) -> SyncState:
    return SyncState(token, QUERY.fingerprint, full_sync_at, asked_at)


@pytest.mark.parametrize(
    ("query", "age", "limits", "due"),
    [
        (QUERY, 60.0, LIMITS, DueSync.INCREMENTAL),
        (QUERY, 7 * DAY, LIMITS, DueSync.FULL),
        (OTHER_LABELS, HOUR - 1, LIMITS, DueSync.INCREMENTAL),
        (OTHER_LABELS, HOUR, LIMITS, DueSync.FULL),
        (OTHER_LABELS, 60.0, UNLIMITED, DueSync.FULL),
        # Google does not accept the token with another page size.
        (OTHER_PAGES, HOUR - 1, LIMITS, DueSync.NONE),
        (OTHER_PAGES, 60.0, UNLIMITED, DueSync.FULL),
        (OTHER_REGION, HOUR - 1, LIMITS, DueSync.INCREMENTAL),
        (OTHER_REGION, 60.0, UNLIMITED, DueSync.FULL),
        # The clock was ahead.
        (OTHER_LABELS, -DAY, LIMITS, DueSync.FULL),
        # Stored contacts are damaged: their token was removed, which asks for a full sync.
        (None, HOUR - 1, LIMITS, DueSync.NONE),
        (None, HOUR, LIMITS, DueSync.FULL),
    ],
)
def test_no_second_full_sync_within_an_hour(
    query: SourceQuery | None, age: float, limits: FullSyncLimits, due: DueSync
) -> None:
    """Not because of other parameters either; the old token serves meanwhile, if Google accepts it."""
    state = stored(NOW - age, token="T" if query else None)
    assert due_sync(query or QUERY, state, "sub-1", NOW, limits=limits) is due


def test_changed_parameters_of_a_thousand_accounts_are_spread_over_hours() -> None:
    """Each account has its turn once, and no ten minutes have many more than others."""
    turns: Counter[int] = Counter()
    asked = {f"sub-{number}": NOW for number in range(1000)}
    waiting = dict.fromkeys(asked)
    for round_ in range(1, int(4 * HOUR // INTERVAL) + 1):
        now = NOW + round_ * INTERVAL
        for sub in list(waiting):
            state = stored(NOW - DAY, asked_at=asked[sub])
            due = due_sync(OTHER_REGION, state, sub, now, limits=LIMITS, account_count=1000)
            assert due in (DueSync.INCREMENTAL, DueSync.FULL)
            asked[sub] = now
            if due is DueSync.FULL:
                turns[round_] += 1
                del waiting[sub]
    assert (len(waiting), sum(turns.values()), len(turns)) == (0, 1000, int(4 * HOUR // INTERVAL))
    assert max(turns.values()) < 2.5 * 1000 / len(turns)


def test_a_moment_passes_once_a_period() -> None:
    """The length of the steps does not matter."""
    moments = [at for at in range(1000) if has_passed(7, 100.0, float(at), at + 1.0)]
    assert moments == [6 + 100 * number for number in range(10)]
    assert has_passed(7, 0.0, 5.0, 5.0)
    assert has_passed(7, 100.0, None, 5.0)
    assert has_passed(7, 100.0, 9.0, 8.0)


def test_a_changed_region_comes_later_and_changes_come_meanwhile() -> None:
    """With the old token; who changes has the new region at once, and a person who asks has all of it."""
    stage, [address] = started(1, full_syncs=FullSyncLimits(HOUR, 4 * HOUR))
    stage.world.add_person(address, person("Old", "089 1234567"))
    stage.clock.advance(INTERVAL)
    stage.configure(region="AT")
    before = stage.sync_states(address)[Source.CONTACTS]
    stage.world.add_person(address, person("New", "01 5123456"))
    stage.clock.advance(INTERVAL)
    after = stage.sync_states(address)[Source.CONTACTS]
    assert (after.full_sync_at, after.fingerprint) == (before.full_sync_at, before.fingerprint)
    assert stage.names(address) == ["Ada", "New", "Old"]
    stage.request(address)
    renewed = stage.sync_states(address)[Source.CONTACTS]
    assert renewed.full_sync_at == NOW + 2 * INTERVAL
    assert renewed.fingerprint != before.fingerprint


# --- transactions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sources", [(Source.CONTACTS,), ALL_SOURCES])
def test_a_sync_without_news_writes_its_beginning_and_its_end(sources: tuple[Source, ...]) -> None:
    """In two transactions; also of a company with a directory, unless it is the account that reads the directory."""
    stage, addresses = started(2, sources=sources)
    written: list[str] = []
    call = stage.database.call

    def counted(mode: Mode, function: Any, *args: Any, **kw: Any) -> Any:
        if mode is not Mode.READ:
            written.append(function.__name__)
        return call(mode, function, *args, **kw)

    stage.database.call = counted  # type: ignore[method-assign]
    stage.clock.advance(1.2 * INTERVAL)
    short, whole = ["begin_sync", "apply_and_end"], ["begin_sync", "apply_and_end", "apply_and_end", "end"]
    assert written == (short if sources == (Source.CONTACTS,) else whole) + short
    assert {stage.account(address).attempts for address in addresses} == {2}
    assert {stage.account(address).last_sync for address in addresses} == {NOW + 1.2 * INTERVAL}


def test_a_sync_without_news_appends_nothing_to_its_listing() -> None:
    """The thread that waits for the disk is not called."""
    stage, [address] = started(1)
    called: list[object] = []
    stage.job._fetcher._run_off_thread = lambda *call: succeed(called.append(call))
    stage.clock.advance(1.2 * INTERVAL)
    assert called == []
    assert (stage.account(address).attempts, stage.account(address).error) == (2, None)


# --- quotas ---------------------------------------------------------------------------------------------------------


def test_a_person_does_not_wait_for_the_accounts_that_are_due() -> None:
    """Their call is the next one, 5.5 seconds after the one before."""
    stage, addresses = started(30)
    stage.job.pacer = CallPacer(clock=stage.clock, calls_per_minute=12)
    stage.clock.advance(1.2 * INTERVAL)
    waiting = [address for address in addresses if stage.account(address).last_sync == NOW]
    stage.request(waiting[-1])
    for _ in range(6):
        stage.clock.advance(1)
    assert stage.account(waiting[-1]).last_sync != NOW
    assert len([address for address in waiting if stage.account(address).last_sync == NOW]) > 25
    # Syncs still wait for slots.  Without this stop, the garbage collector would end the syncs in any order, and a sync
    # that ends would give its slot to a sync that has already ended.
    stage.scheduler.stopService()


def test_a_used_up_quota_of_the_project_stops_all_its_accounts() -> None:
    """One account finds out, the others wait for the next minute without asking; the limit is shown."""
    stage, addresses = started(10)
    stage.calls()
    stage.world.faults.inject("error_resource_exhausted_429_project", times=1)
    stage.clock.advance(1.2 * INTERVAL)
    assert stage.calls().get(CONNECTIONS) == 1
    errors = [error for address in addresses if (error := stage.account(address).error)]
    assert [(error.code, dict(error.facts)) for error in errors] == [
        ("quota", {"limit": "ReadsPerMinutePerProject", "metric": "people.googleapis.com/read_requests"})
    ]
    for _ in range(60):
        stage.clock.advance(1)
    assert stage.calls().get(CONNECTIONS) == 9


def test_a_project_whose_calls_wait_holds_no_slot() -> None:
    """Accounts of another project go on."""
    stage, _ = started(6)
    stage.scheduler._slots.limit = stage.scheduler._slots.tokens = 1
    stage.calls()
    stage.world.faults.inject("error_resource_exhausted_429_project", times=1)
    stage.clock.advance(1.2 * INTERVAL)
    assert stage.scheduler._slots.tokens == 1


def test_a_client_of_another_project_counts_for_syncs_that_wait_already() -> None:
    """They queue for the new project, which has calls of its own."""
    stage, addresses = started(2)
    stage.world.faults.inject("error_resource_exhausted_429_project", times=1)
    stage.clock.advance(1.2 * INTERVAL)
    [waiting] = [address for address in addresses if not stage.account(address).error]
    client = Client("999999999999-other.apps.googleusercontent.com", "GOCSPX-OTHER")
    slots = stage.scheduler._project_slots[client.project] = DeferredSemaphore(1)
    result_of(slots.acquire())
    stage.configure(client=client)
    stage.clock.advance(60.0)
    assert stage.account(waiting).attempts == 1
    slots.release()
    assert stage.account(waiting).attempts == 2
