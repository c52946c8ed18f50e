# SPDX-License-Identifier: MIT
"""When accounts sync, and what is noted of how it ended: a clock moved by hand, the sandbox behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher

from ldapgw.store import accounts
from ldapgw.store.accounts import Trouble, Wish
from tests.results import result_of
from tests.sync.stage import ALICE, BOB, INTERVAL, NOW, Stage, person

CONNECTIONS = "/v1/people/me/connections"


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    stage.scheduler.startService()
    yield stage
    if stage.scheduler.running:
        stage.scheduler.stopService()
    assert not stage.clock.getDelayedCalls()


@pytest.fixture
def log() -> Iterator[list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


def refresh(stage: Stage) -> None:
    result_of(stage.scheduler.refresh())


def synced(stage: Stage) -> int:
    """How often Google was asked for contacts since the last time."""
    return stage.calls().get(CONNECTIONS, 0)


def ask(stage: Stage, wish: Wish) -> None:
    account = stage.account()
    with stage.database.begin() as connection:
        accounts.ask(connection, account.id, wish)


def test_a_new_account_syncs_at_once_and_is_served(stage: Stage) -> None:
    """As soon as somebody looks; phones see it without more ado."""
    stage.world.add_person(ALICE, person("Ada Riese"))
    stage.connect()
    refresh(stage)
    assert stage.served() == ["Ada Riese"]
    account = stage.account()
    assert (account.last_sync, account.next_sync, account.syncing) == (NOW, NOW + INTERVAL, False)
    assert (account.attempts, account.trouble, account.wish) == (1, None, None)


def test_phones_find_what_came_before_anybody_is_told_that_it_did(stage: Stage) -> None:
    """Whoever waits for the end of a sync looks at a phone next."""
    seen: list[tuple[float | None, list[str]]] = []

    async def publish() -> None:
        await stage.publisher.refresh()
        seen.append((stage.account().last_sync, stage.served()))

    stage.world.add_person(ALICE, person("Ada Riese"))
    stage.connect()
    stage.scheduler._publish = publish
    refresh(stage)
    assert seen == [(None, ["Ada Riese"])]
    assert stage.account().last_sync == NOW


def test_a_sync_whose_end_could_not_be_noted_begins_anew(stage: Stage) -> None:
    """As soon as somebody looks; one that is under way goes on."""
    account = stage.connect()
    refresh(stage)
    synced(stage)
    with stage.database.begin() as connection:
        accounts.begin_sync(connection, account.id)
    refresh(stage)
    assert synced(stage) == 1
    assert not stage.account().syncing
    stage.world.faults.inject("broken_silence", path=CONNECTIONS)
    stage.clock.advance(INTERVAL)
    assert (stage.account().syncing, synced(stage)) == (True, 1)
    refresh(stage)
    assert synced(stage) == 0


def test_a_plan_that_another_clock_has_made_is_not_waited_for(stage: Stage) -> None:
    """The next sync comes after an interval at the latest."""
    account = stage.connect()
    with stage.database.begin() as connection:
        begun = accounts.begin_sync(connection, account.id)
        assert begun is not None
        accounts.end_sync(connection, begun, NOW, NOW + 10 * 86400)
    refresh(stage)
    stage.clock.advance(INTERVAL * 1.1)
    assert synced(stage) == 1


def test_then_at_each_interval(stage: Stage) -> None:
    """And not in between, however often somebody looks."""
    stage.connect()
    refresh(stage)
    synced(stage)
    for _ in range(3):
        stage.clock.advance(INTERVAL - 1)
        refresh(stage)
        assert synced(stage) == 0
        stage.clock.advance(1)
        assert synced(stage) == 1


def test_each_account_has_a_timer_of_its_own(stage: Stage) -> None:
    """One account's trouble does not delay another's."""
    stage.connect(ALICE)
    refresh(stage)
    stage.clock.advance(INTERVAL / 2)
    stage.connect(BOB)
    stage.world.faults.inject("error_internal_500", account=ALICE)
    refresh(stage)
    assert [stage.account(BOB).last_sync, stage.account(ALICE).last_sync] == [NOW + INTERVAL / 2, NOW]
    stage.clock.advance(INTERVAL / 2)
    stage.clock.advance(INTERVAL / 2)
    assert stage.account(BOB).last_sync == NOW + INTERVAL / 2 + INTERVAL
    assert stage.account(ALICE).trouble is not None


def test_a_wish_is_fulfilled_at_once(stage: Stage) -> None:
    """And the interval counts from there."""
    stage.connect()
    refresh(stage)
    stage.clock.advance(100)
    synced(stage)
    ask(stage, Wish.INCREMENTAL)
    refresh(stage)
    assert synced(stage) == 1
    stage.clock.advance(INTERVAL - 1)
    assert synced(stage) == 0
    stage.clock.advance(1)
    assert synced(stage) == 1


def test_a_shrunk_book_is_noted_and_accepted(stage: Stage) -> None:
    """The contacts stay until a person says that it is right."""
    names = [stage.world.add_person(ALICE, person(f"Person {number}")) for number in range(30)]
    stage.connect()
    refresh(stage)
    for name in names[:25]:
        stage.world.delete_person(ALICE, name)
    ask(stage, Wish.FULL)
    refresh(stage)
    assert stage.account().trouble == Trouble("suspicious_shrink", NOW)
    assert len(stage.served()) == 30
    ask(stage, Wish.ACCEPT)
    refresh(stage)
    assert stage.account().trouble is None
    assert len(stage.served()) == 5


def test_trouble_is_tried_again_sooner_than_the_interval(stage: Stage) -> None:
    """And noted: since when, how often."""
    stage.connect()
    stage.world.faults.inject("error_unavailable_503", times=2)
    refresh(stage)
    assert stage.account().trouble == Trouble("google_unavailable", NOW)
    stage.clock.advance(23)
    account = stage.account()
    assert (account.failures, account.trouble) == (2, Trouble("google_unavailable", NOW))
    stage.clock.advance(45)
    account = stage.account()
    assert (account.failures, account.trouble, account.last_sync) == (0, None, NOW + 68)


def test_google_is_obeyed_when_it_asks_to_wait(stage: Stage) -> None:
    """Looking does not shorten it; a person's wish does."""
    stage.connect()
    stage.world.faults.inject("error_resource_exhausted_429_retry_after", times=1)
    refresh(stage)
    assert stage.account().trouble == Trouble("quota", NOW)
    synced(stage)
    stage.clock.advance(29)
    refresh(stage)
    assert synced(stage) == 0
    ask(stage, Wish.INCREMENTAL)
    refresh(stage)
    assert synced(stage) == 1
    assert stage.account().trouble is None


def test_a_revoked_consent_stops_calls_until_the_next_one(stage: Stage) -> None:
    """The contacts stay; connecting again goes on with them."""
    stage.world.add_person(ALICE, person("Ada Riese"))
    stage.connect()
    refresh(stage)
    stage.world.revoke(ALICE)
    stage.clock.advance(INTERVAL)
    account = stage.account()
    assert (account.trouble, account.next_sync) == (Trouble("consent_revoked", NOW + INTERVAL), None)
    assert stage.names() == ["Ada Riese"]
    stage.calls()
    stage.clock.advance(INTERVAL * 100)
    refresh(stage)
    assert stage.calls() == {}
    stage.connect()
    refresh(stage)
    assert (stage.account().trouble, synced(stage)) == (None, 1)


def test_where_to_mend_it_is_kept(stage: Stage) -> None:
    """Google names the page where the API is enabled."""
    stage.connect()
    stage.world.faults.inject("error_service_disabled_403")
    refresh(stage)
    trouble = stage.account().trouble
    assert trouble is not None
    assert trouble.code == "api_disabled"
    assert trouble.link.startswith("https://console.developers.google.com/apis/api/people.googleapis.com/overview")


def test_a_fault_of_ours_is_noted_logged_and_tried_again(stage: Stage, log: list[dict[str, Any]]) -> None:
    """The account's timer goes on."""
    stage.connect()
    tenants = stage.job._tenants
    stage.job._tenants = {"acme": None}  # type: ignore[dict-item]
    refresh(stage)
    assert stage.account().trouble == Trouble("internal", NOW)
    assert [event["log_format"] for event in log if event.get("log_failure")] == ["sync of account {account} failed"]
    stage.job._tenants = tenants
    stage.clock.advance(23)
    assert stage.account().trouble is None


def test_a_database_in_trouble_is_waited_for(stage: Stage, log: list[dict[str, Any]]) -> None:
    """The next turn comes as planned; it is not told for each account."""
    stage.connect()
    refresh(stage)
    good = stage.database.begin

    def begin() -> Any:
        from ldapgw.errors import StoreError

        raise StoreError("ldapgw.db: cannot be used: disk I/O error")

    stage.database.begin = begin  # type: ignore[method-assign]
    stage.clock.advance(INTERVAL)
    stage.database.begin = good  # type: ignore[method-assign]
    told = [(event["log_level"].name, event["problem"]) for event in log if "problem" in event]
    assert told == [("debug", "ldapgw.db: cannot be used: disk I/O error")]
    synced(stage)
    stage.clock.advance(INTERVAL)
    assert synced(stage) == 1


def test_disconnecting_ends_the_timer(stage: Stage) -> None:
    """No more calls."""
    stage.connect()
    refresh(stage)
    account = stage.account()
    with stage.database.begin() as connection:
        accounts.disconnect(connection, account.id)
    refresh(stage)
    stage.calls()
    stage.clock.advance(INTERVAL * 2)
    assert stage.calls() == {}


def test_a_start_goes_on_with_the_plan(stage: Stage) -> None:
    """A restart does not sync everybody at once, and what is overdue comes first."""
    stage.connect()
    refresh(stage)
    stage.scheduler.stopService()
    stage.clock.advance(INTERVAL - 50)
    stage.calls()
    again = stage.new_scheduler()
    again.startService()
    result_of(again.refresh())
    assert synced(stage) == 0
    stage.clock.advance(50)
    assert synced(stage) == 1
    again.stopService()
    stage.clock.advance(INTERVAL * 5)
    late = stage.new_scheduler()
    late.startService()
    result_of(late.refresh())
    assert synced(stage) == 1
    late.stopService()


def test_a_wish_while_a_sync_runs_is_fulfilled_after_it(stage: Stage) -> None:
    """The same account never syncs twice at a time; stopping abandons what runs."""
    waiting: list[Deferred[bool]] = []

    async def sync(*_: Any, **__: Any) -> bool:
        waiting.append(Deferred())
        return await waiting[-1]

    stage.job.sync = sync  # type: ignore[method-assign]
    stage.connect()
    refresh(stage)
    assert stage.account().syncing
    ask(stage, Wish.INCREMENTAL)
    refresh(stage)
    assert len(waiting) == 1
    waiting[0].callback(False)
    refresh(stage)
    assert len(waiting) == 2
    assert stage.account().wish is None
    stopped: list[Any] = []
    stage.scheduler.stopService().addCallback(stopped.append)
    assert stopped
    assert stage.account().attempts == 1


def test_a_few_at_a_time(stage: Stage) -> None:
    """The fifth account waits for a place."""
    waiting: list[Deferred[bool]] = []

    async def sync(*_: Any, **__: Any) -> bool:
        waiting.append(Deferred())
        return await waiting[-1]

    stage.job.sync = sync  # type: ignore[method-assign]
    for number in range(6):
        stage.world.add_account(f"user{number}@acme.example", "U", str(number), hd="acme.example")
        stage.connect(f"user{number}@acme.example")
    refresh(stage)
    assert len(waiting) == 4
    waiting[0].callback(False)
    assert len(waiting) == 5


def test_nothing_begins_once_it_has_stopped(stage: Stage) -> None:
    """A look that was under way comes too late."""
    stage.scheduler.stopService()
    stage.connect()
    refresh(stage)
    assert stage.calls() == {}
