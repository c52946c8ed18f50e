# SPDX-License-Identifier: MIT
"""When accounts sync, and what is noted of how it ended: a clock moved by hand, the sandbox behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import update
from twisted.internet.defer import Deferred, fail
from twisted.logger import LogEvent, LogLevel
from twisted.python.failure import Failure

from ldapgw.contact import Sharing, Source
from ldapgw.errors import ConsentRevoked, LeadLost, StoreError, UnreachableStore
from ldapgw.peers.leadership import OnlyGateway
from ldapgw.store import accounts, changes, contacts, sync_state, tables
from ldapgw.store.accounts import ErrorStatus, SourceState, SyncRequest
from ldapgw.store.worker import MonitoredStore
from ldapgw.sync.job import Applied
from tests.support.results import result_of
from tests.support.stage.paths import COLLEAGUES, CONNECTIONS, DAY
from tests.support.stage.sync import ALICE, ALL_SOURCES, AT_ONCE, BOB, CAROL, INTERVAL, NOW, HeldStore, Stage, person


def refresh(stage: Stage) -> None:
    result_of(stage.scheduler.refresh())


def synced(stage: Stage) -> int:
    """Count the calls for contacts at Google since the last time."""
    return stage.calls().get(CONNECTIONS, 0)


def test_a_new_account_syncs_at_once_and_is_served(stage: Stage) -> None:
    """As soon as somebody looks; phones see it without more ado."""
    stage.world.add_person(ALICE, person("Ada Riese"))
    stage.connect()
    refresh(stage)
    assert stage.served() == ["Ada Riese"]
    account = stage.account()
    assert (account.last_sync, account.next_sync, account.syncing) == (NOW, NOW + INTERVAL, False)
    assert (account.attempts, account.error, account.requested_sync) == (1, None, None)


def test_an_account_of_a_tenant_that_was_taken_out_rests(stage: Stage) -> None:
    """The configuration may have the tenant again one day."""
    stage.connect()
    stage.job.tenants = {}
    refresh(stage)
    assert synced(stage) == 0


def test_phones_find_what_came_before_anybody_is_told_that_it_did(stage: Stage) -> None:
    """A person who waits for the end of a sync looks at a phone next."""
    seen: list[tuple[float | None, list[str]]] = []

    async def publish(account_id: int) -> None:
        await stage.publisher.refresh(account_id)
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
    stage.database.run(sync_state.begin, account.id)
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
        begun = sync_state.begin(connection, account.id)
        assert begun is not None
        sync_state.end(connection, begun, NOW, NOW + 10 * 86400)
    refresh(stage)
    stage.clock.advance(INTERVAL * 1.1)
    assert synced(stage) == 1


def test_thousands_of_accounts_get_their_timers_in_several_turns(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when this gateway becomes the leader; another look waits for its turn meanwhile."""
    monkeypatch.setattr("ldapgw.sync.scheduler._ACCOUNTS_AT_ONCE", 2)
    for name in (ALICE, BOB, CAROL):
        stage.connect(name)
    looks = [Deferred.fromCoroutine(stage.scheduler.refresh()) for _ in range(2)]
    assert [look.called for look in looks] == [False, False]
    assert synced(stage) == 1
    stage.clock.advance(0.0)
    assert [look.called for look in looks] == [True, True]
    assert synced(stage) == 2


def test_a_sync_that_ends_before_its_turn_is_not_interrupted(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs only while the accounts are read; the next look reads the account again."""
    ids = [stage.connect(name).id for name in (ALICE, BOB, CAROL)]
    refresh(stage)
    stage.clock.advance(10.0)
    for account_id in ids[:2]:
        stage.database.run(sync_state.request_sync, account_id, SyncRequest.INCREMENTAL)
    refresh(stage)
    for account_id in ids[:2]:
        stage.database.run(accounts.set_sharing, account_id, Sharing.SHARED, "")
    syncs = stage.hold_syncs()
    read = stage.sync_store.read

    def read_after_a_timer(function: Any, *args: Any, **kw: Any) -> Deferred[Any]:
        if function is changes.read_since and not syncs:
            stage.clock.advance(INTERVAL - 10.0)
        return read(function, *args, **kw)

    monkeypatch.setattr("ldapgw.sync.scheduler._ACCOUNTS_AT_ONCE", 2)
    monkeypatch.setattr(stage.sync_store, "read", read_after_a_timer)
    looking = Deferred.fromCoroutine(stage.scheduler.refresh())
    assert (len(syncs), stage.account(CAROL).syncing, looking.called) == (1, True, False)
    syncs[0].callback(False)
    assert not stage.account(CAROL).syncing
    stage.clock.advance(0.0)
    result_of(looking)
    assert (len(syncs), stage.scheduler.is_outdated) == (1, True)
    refresh(stage)
    assert (len(syncs), stage.scheduler.is_outdated) == (1, False)


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
    assert stage.account(ALICE).error is not None


def test_a_wish_is_fulfilled_at_once(stage: Stage) -> None:
    """And the interval counts from there; in between nobody syncs, however often somebody looks."""
    stage.connect()
    refresh(stage)
    stage.clock.advance(100)
    synced(stage)
    stage.request()
    assert synced(stage) == 1
    for _ in range(3):
        stage.clock.advance(INTERVAL - 1)
        refresh(stage)
        assert synced(stage) == 0
        stage.clock.advance(1)
        assert synced(stage) == 1


def test_no_more_vanishes_than_was_accepted(stage: Stage) -> None:
    """Google was away when it was; what it lists later is another question.  The contacts stay until then."""
    names = [stage.world.add_person(ALICE, person(f"Person {number}")) for number in range(60)]
    stage.connect()
    refresh(stage)
    for name in names[:35]:
        stage.world.delete_person(ALICE, name)
    stage.request(kind=SyncRequest.FULL)
    assert stage.account().error == ErrorStatus("suspicious_shrink", NOW, facts={"before": 60, "lost": 35})
    stage.world.faults.inject("error_unavailable_503", times=1, path=CONNECTIONS)
    stage.request(kind=SyncRequest.ACCEPT)
    assert stage.account().error == ErrorStatus("google_unavailable", NOW)
    for name in names[35:]:
        stage.world.delete_person(ALICE, name)
    stage.clock.advance(2 * INTERVAL)
    trouble = stage.trouble()
    assert (trouble.code, trouble.facts) == ("suspicious_shrink", {"before": 60, "lost": 60})
    assert len(stage.served()) == 60
    stage.request(kind=SyncRequest.ACCEPT)
    assert (stage.account().error, stage.served()) == (None, [])


def test_trouble_is_tried_again_no_sooner_than_a_good_sync(stage: Stage) -> None:
    """And noted: since when, how often.  An account that fails does not call more often than a healthy one."""
    stage.connect()
    stage.world.faults.inject("error_unavailable_503", times=2, path=CONNECTIONS)
    refresh(stage)
    assert stage.account().error == ErrorStatus("google_unavailable", NOW)
    stage.clock.advance(INTERVAL - 1)
    assert stage.account().failures == 1
    stage.clock.advance(1)
    account = stage.account()
    assert (account.failures, account.error) == (2, ErrorStatus("google_unavailable", NOW))
    stage.clock.advance(1.5 * INTERVAL)
    account = stage.account()
    assert (account.failures, account.error, account.last_sync) == (0, None, NOW + 2.5 * INTERVAL)


def test_google_is_obeyed_when_it_asks_to_wait(stage: Stage) -> None:
    """Looking does not shorten it; a person's request does."""
    stage.connect()
    stage.world.faults.inject("error_resource_exhausted_429_retry_after", times=1)
    refresh(stage)
    assert stage.account().error == ErrorStatus("quota", NOW)
    synced(stage)
    stage.clock.advance(29)
    refresh(stage)
    assert synced(stage) == 0
    stage.request()
    assert synced(stage) == 1
    assert stage.account().error is None


def test_a_revoked_consent_stops_calls_until_the_next_one(stage: Stage) -> None:
    """The contacts stay; connecting again goes on with them."""
    stage.world.add_person(ALICE, person("Ada Riese"))
    stage.connect()
    refresh(stage)
    stage.world.revoke(ALICE)
    stage.clock.advance(INTERVAL)
    account = stage.account()
    assert (account.error, account.next_sync) == (ErrorStatus("consent_revoked", NOW + INTERVAL), None)
    assert stage.names() == ["Ada Riese"]
    stage.calls()
    stage.clock.advance(INTERVAL * 100)
    refresh(stage)
    # A person who asks is told what was the matter before.
    stage.request(kind=SyncRequest.FULL)
    after = stage.account()
    assert (stage.calls(), after.attempts, after.error) == ({}, account.attempts + 1, account.error)
    assert (after.requested_sync, after.syncing) == (None, False)
    stage.connect()
    refresh(stage)
    assert (stage.account().error, synced(stage)) == (None, 1)


def test_a_fault_of_ours_is_noted_logged_and_tried_again(stage: Stage, logged: list[LogEvent]) -> None:
    """The account's timer goes on."""
    stage.connect()
    fetcher = stage.job._fetcher
    stage.job._fetcher = None  # type: ignore[assignment]
    refresh(stage)
    assert stage.account().error == ErrorStatus("internal", NOW)
    assert [event["log_format"] for event in logged if event.get("log_failure")] == ["sync of account {account} failed"]
    stage.job._fetcher = fetcher
    stage.clock.advance(INTERVAL)
    assert stage.account().error is None


def test_a_database_in_trouble_is_waited_for(stage: Stage, logged: list[LogEvent]) -> None:
    """The next turn comes as planned; it is not told for each account."""
    stage.connect()
    refresh(stage)
    good = stage.database.call

    def fails(*_: object, **__: object) -> Any:
        raise StoreError("ldapgw.db: cannot be used: disk I/O error")

    stage.database.call = fails  # type: ignore[method-assign]
    stage.clock.advance(INTERVAL)
    stage.database.call = good  # type: ignore[method-assign]
    told = [(event["log_level"].name, event["problem"]) for event in logged if "problem" in event]
    assert told == [("debug", "ldapgw.db: cannot be used: disk I/O error")]
    synced(stage)
    stage.clock.advance(INTERVAL)
    assert synced(stage) == 1


@pytest.mark.parametrize("is_restored", [False, True], ids=["handed over", "restored"])
@pytest.mark.parametrize("path", [CONNECTIONS, COLLEAGUES])
def test_a_sync_begins_anew_if_its_contacts_were_replaced_meanwhile(
    stage: Stage, logged: list[LogEvent], path: str, is_restored: bool
) -> None:
    """The database is as usable as before, and the account has no error.

    The contacts change hands with the directory, or a backup is restored, in which no sync runs.
    """
    seconds = stage.clock.seconds
    monitored = MonitoredStore(stage.database, seconds, seconds, run=AT_ONCE, read=AT_ONCE)
    stage.leader.store = monitored
    stage.configure(sources=ALL_SOURCES)
    alice, bob = stage.connect(ALICE), stage.connect(BOB)
    stage.world.add_person(ALICE, person("Dora Dienst"), "directory")
    refresh(stage)

    def replace_contacts() -> None:
        stage.database.run(contacts.hand_over, alice.id, bob.id, Source.DIRECTORY)
        if is_restored:
            stage.database.run(sync_state.clear_running)
            stage.database.run(changes.begin_epoch)

    stage.world.add_person(ALICE, person("Ada Riese"))
    stage.line.meanwhile[path] = replace_contacts
    stage.clock.advance(INTERVAL)
    assert not monitored.is_failing
    assert stage.scheduler.is_outdated
    refresh(stage)
    account = stage.account(ALICE)
    assert (account.error, account.failures, account.syncing) == (None, 0, False)
    assert (stage.names(), stage.names("directory")) == (["Ada Riese"], ["Dora Dienst"])
    told = [event["event"] for event in logged if event["log_level"] >= LogLevel.info]
    assert told.count("sync_outdated") == 1
    assert {"database_unusable", "sync_fault"}.isdisjoint(told)


@pytest.mark.parametrize("step", [CONNECTIONS, "publish"])
def test_a_sync_of_an_account_that_is_removed_meanwhile_has_no_success(
    stage: Stage, logged: list[LogEvent], step: str
) -> None:
    """The log says that the account is gone, and no success is counted."""
    results: list[str] = []
    stage.scheduler._observe = lambda result, _seconds: results.append(result)
    stage.world.add_person(ALICE, person("Ada Riese"))
    account = stage.connect()

    def remove() -> None:
        stage.database.run(accounts.remove, account.id, with_phones=True)

    async def remove_and_publish(account_id: int) -> None:
        remove()
        await stage.publisher.refresh(account_id)

    if step == "publish":
        stage.scheduler._publish = remove_and_publish
    else:
        stage.line.meanwhile[step] = remove
    refresh(stage)
    assert [event["event"] for event in logged if event.get("account") == account.id][-1] == "sync_account_gone"
    assert (results, "sync_done" in [event["event"] for event in logged]) == ([], False)


def test_a_sync_whose_end_was_not_recorded_is_started_by_the_next_look(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in the database has changed since, and the account would be shown as syncing for an interval."""

    def broken(*_: object) -> None:
        raise StoreError("ldapgw.db: cannot be used: disk I/O error")

    async def look(_account_id: int) -> None:
        """After the record of the beginning, and before there is one of the end."""
        await stage.scheduler.refresh()

    stage.connect()
    stage.world.add_person(ALICE, person("Ada Riese"))
    with monkeypatch.context() as patch:
        patch.setattr(sync_state, "end", broken)
        patch.setattr(stage.scheduler, "_publish", look)
        refresh(stage)
    assert stage.account().syncing
    synced(stage)
    refresh(stage)
    assert (synced(stage), stage.account().syncing) == (1, False)
    refresh(stage)
    assert synced(stage) == 0


def test_a_disk_without_room_for_a_listing_is_not_told_for_each_account(stage: Stage, logged: list[LogEvent]) -> None:
    """The buffer of listings logs the trouble; the accounts are tried again as with other troubles."""

    def full(*_: object) -> Any:
        return fail(StoreError("state: cannot be written to: No space left on device"))

    stage.job._fetcher._run_off_thread = full
    stage.world.add_person(ALICE, person("Ann"))
    stage.connect()
    refresh(stage)
    assert stage.account().error == ErrorStatus("internal", NOW)
    assert {event["log_level"].name for event in logged if "problem" in event} == {"debug"}
    assert stage.account().next_sync is not None


def test_disconnecting_ends_the_timer(stage: Stage) -> None:
    """No more calls."""
    stage.connect()
    refresh(stage)
    stage.database.run(accounts.disconnect, stage.account().id)
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
    stage.restart()
    assert synced(stage) == 0
    stage.clock.advance(50)
    assert synced(stage) == 1
    stage.scheduler.stopService()
    stage.clock.advance(INTERVAL * 5)
    stage.restart()
    assert synced(stage) == 1


def test_a_wish_while_a_sync_runs_is_fulfilled_after_it(stage: Stage) -> None:
    """The same account never syncs twice at a time; stopping abandons what runs."""
    waiting = stage.hold_syncs()
    stage.connect()
    refresh(stage)
    assert stage.account().syncing
    stage.request()
    assert len(waiting) == 1
    waiting[0].callback(False)
    refresh(stage)
    assert len(waiting) == 2
    assert stage.account().requested_sync is None
    stopped: list[Any] = []
    stage.scheduler.stopService().addCallback(stopped.append)
    assert stopped
    assert stage.account().attempts == 1


def test_a_sync_ends_when_the_lead_is_lost(stage: Stage) -> None:
    """Another gateway may sync now."""
    stage.world.add_person(ALICE, person("Ada Riese"))
    stage.connect()
    stage.world.faults.inject("broken_silence", path=CONNECTIONS)
    refresh(stage)
    assert stage.account().syncing
    stage.scheduler.begin_anew()
    assert not stage.scheduler._loops
    assert stage.account().last_sync is None


def test_a_sync_ends_in_silence_when_its_own_write_ends_the_lead(stage: Stage, caplog_twisted: list[str]) -> None:
    """The leadership hears first that the session has ended, and stops the sync that the failure then reaches."""
    stage.world.add_person(ALICE, person("Ada Riese"))
    stage.connect()
    writing: list[Deferred[Any]] = []

    def end_lead(failure: Failure) -> Failure:
        stage.scheduler.begin_anew()
        return failure

    class EndedSession:
        """The store of a leader whose session ends during its first transaction."""

        read = stage.sync_store.read

        def run(self, *_arguments: Any, **_named: Any) -> Deferred[Any]:
            writing.append(Deferred().addErrback(end_lead))
            return writing[-1]

    stage.leader.store = EndedSession()  # type: ignore[assignment]
    refresh(stage)
    writing[0].errback(UnreachableStore("the session has ended"))
    assert (len(writing), stage.scheduler._loops, caplog_twisted) == (1, {}, [])


def test_a_sync_of_the_directory_ends_in_silence_when_the_lead_is_lost(
    monkeypatch: pytest.MonkeyPatch, caplog_twisted: list[str]
) -> None:
    """The gateway stops all syncs just before the refusal reaches the sync; the next leader finds out by itself."""
    stage = DirectoryOnly()
    refused: list[Deferred[Any]] = []

    def end_lead(failure: Failure) -> Failure:
        stage.scheduler.begin_anew()
        return failure

    async def sync_directory(*_arguments: Any, **_named: Any) -> None:
        refused.append(Deferred().addErrback(end_lead))
        await refused[-1]

    monkeypatch.setattr(stage.job, "sync_directory", sync_directory)
    stage.request(ALICE)
    caplog_twisted.clear()
    refused[0].errback(ConsentRevoked("invalid_grant"))
    assert (stage.account(ALICE).error, stage.scheduler._loops) == (None, {})
    assert caplog_twisted == ["sync of the directory through account 1 failed: consent_revoked invalid_grant"]


def test_a_call_that_waits_for_its_turn_is_not_made_once_the_lead_is_lost() -> None:
    """Another gateway may call by then."""
    stage = Stage(calls_per_minute=12)
    stage.world.add_person(ALICE, person("Ada Riese"))
    stage.connect()
    syncing = Deferred.fromCoroutine(stage.job.sync(stage.begun(stage.account()), full=True))
    assert (sum(stage.calls().values()), syncing.called) == (1, False)
    stage.leader.is_leader = False
    stage.clock.advance(60.0)
    with pytest.raises(LeadLost):
        result_of(syncing)
    assert stage.calls() == {}


def test_a_lead_that_is_taken_during_a_look_begins_with_the_next_one(stage: Stage) -> None:
    """A look at what has changed tells nothing of accounts that another gateway has synced so far."""
    leader = OnlyGateway(stage.sync_store)
    leader.is_leader = False
    store = HeldStore(stage.sync_store)
    scheduler = stage.new_scheduler(store=store, leader=leader)
    scheduler.startService()
    stage.world.add_person(ALICE, person("Ada Riese"))
    stage.connect()

    def look() -> None:
        looking = Deferred.fromCoroutine(scheduler.refresh())
        store.go_on()
        result_of(looking)

    look()
    look()
    running = Deferred.fromCoroutine(scheduler.refresh())
    leader.is_leader = True
    scheduler.begin_anew()
    store.go_on()
    result_of(running)
    assert synced(stage) == 0
    look()
    assert synced(stage) == 1
    scheduler.stopService()


def crowd(stage: Stage, count: int) -> list[str]:
    """Accounts of one tenant, synced, so that their turns come one second after the other."""
    addresses = stage.add_users(count)
    for address in addresses:
        stage.connect(address)
        refresh(stage)
        stage.clock.advance(1)
    stage.calls()
    return addresses


def test_a_client_that_google_rejects_is_one_alarm(stage: Stage, logged: list[LogEvent]) -> None:
    """One account finds out; the others are spared the call, keep their tokens, and show it too."""
    addresses = crowd(stage, 5)
    stage.world.set_client(state="deleted")
    stage.clock.advance(3600 + 5)
    assert stage.calls() == {"/token": 1}
    troubles = {stage.account(address).error for address in addresses}
    (trouble,) = troubles
    assert trouble is not None
    assert trouble.code == "client_rejected"
    assert [event["tenant"] for event in logged if event.get("code") == "client_rejected"] == ["acme"]
    stage.clock.advance(3600)
    assert stage.calls() == {"/token": 1}
    assert {stage.account(address).error for address in addresses} == troubles
    stage.world.set_client(state="ok")
    stage.clock.advance(3600)
    stage.clock.pump([1] * 120)
    assert [stage.account(address).error for address in addresses] == [None] * 5
    assert stage.calls()[CONNECTIONS] >= 5


def test_an_alarm_outlives_a_restart(stage: Stage) -> None:
    """One account asks at its next turn; a token from before does not hide that the client is still wrong."""
    addresses = crowd(stage, 3)
    stage.world.set_client(state="deleted")
    stage.clock.advance(3600)
    stage.calls()
    stage.restart()
    stage.connect(addresses[0])
    refresh(stage)
    assert stage.calls() == {"/token": 1}
    assert {stage.account(address).error.code for address in addresses} == {"client_rejected"}  # type: ignore[union-attr]


def test_a_client_is_accepted_again_although_the_directory_account_loses_its_consent(stage: Stage) -> None:
    """The account's own contacts are fetched, which ends the alarm; then the person ends the access."""
    stage.configure(sources=(Source.CONTACTS, Source.DIRECTORY))
    first, second, third = crowd(stage, 3)
    stage.world.set_client(state="deleted")
    stage.clock.advance(3600)
    assert {stage.trouble(address).code for address in (first, second, third)} == {"client_rejected"}
    stage.world.set_client(state="ok")
    stage.line.meanwhile[CONNECTIONS] = lambda: stage.world.revoke(first)
    stage.request(first)
    assert stage.trouble(first).code == "consent_revoked"
    assert [stage.account(address).error for address in (second, third)] == [None, None]
    stage.clock.pump([1] * 62)
    assert stage.calls()[CONNECTIONS] == 3


def test_an_alarm_stays_if_the_client_is_rejected_again_during_the_sync(stage: Stage, logged: list[LogEvent]) -> None:
    """The account's own contacts are fetched, and then the directory is refused."""

    def reject_again() -> None:
        stage.world.set_client(state="deleted")
        stage.world.expire_access_tokens()

    stage.configure(sources=(Source.CONTACTS, Source.DIRECTORY))
    addresses = crowd(stage, 3)
    stage.world.set_client(state="deleted")
    stage.clock.advance(3600)
    stage.world.set_client(state="ok")
    stage.line.meanwhile[CONNECTIONS] = reject_again
    stage.request(addresses[0])
    assert {stage.trouble(address).code for address in addresses} == {"client_rejected"}
    assert [event["event"] for event in logged if event["event"].startswith("client_")] == ["client_refused"]


def test_an_api_that_is_off_is_one_alarm(stage: Stage) -> None:
    """With the page where it is enabled; another tenant's accounts know nothing of it."""
    addresses = crowd(stage, 4)
    stage.world.faults.inject("error_service_disabled_403")
    stage.clock.advance(INTERVAL + 5)
    assert synced(stage) == 1
    links = {stage.account(address).error.link for address in addresses}  # type: ignore[union-attr]
    (link,) = links
    assert link.startswith("https://console.developers.google.com/")
    stage.world.faults.clear()
    stage.request(addresses[2])
    assert [stage.account(address).error for address in addresses] == [None] * 4


@dataclass
class DirectoryOnly(Stage):
    """Alice and Bob, whose contacts stay at Google: phones find the Workspace directory alone, through Alice."""

    sources: tuple[Source, ...] = (Source.DIRECTORY,)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.world.add_person(ALICE, person("Dora Dienst"), "directory")
        for address in (ALICE, BOB):
            self.connect(address)
        self.start()

    def pass_hours(self, count: int) -> None:
        """Let time pass in steps of half a minute, so that the syncs of the accounts alternate."""
        self.clock.pump([30] * 120 * count)


@pytest.mark.parametrize(
    ("code", "is_requested"), [("client_rejected", False), ("client_rejected", True), ("api_disabled", False)]
)
def test_an_alarm_needs_no_source_beside_the_directory(code: str, is_requested: bool, logged: list[LogEvent]) -> None:
    """A sync that has nothing to fetch makes no call, and ends no alarm; to renew the account's access is call enough.

    So a request through any account ends the alarm of a client that Google accepts again.
    """
    stage = DirectoryOnly()
    if code == "client_rejected":
        stage.world.set_client(state="deleted")
    else:
        stage.world.faults.inject("error_service_disabled_403")
    stage.pass_hours(2)
    since = stage.trouble(ALICE).since
    stage.request(BOB)
    stage.pass_hours(4)
    troubles = [(trouble.code, trouble.since) for trouble in map(stage.trouble, (ALICE, BOB))]
    assert troubles == [(code, since), (code, since)]
    stage.world.set_client(state="ok")
    stage.world.faults.clear()
    if is_requested:
        stage.request(BOB)
    else:
        stage.pass_hours(2)
    assert [stage.account(address).error for address in (ALICE, BOB)] == [None, None]
    told = [event["event"] for event in logged if event["log_level"] >= LogLevel.info]
    assert told == ["sync_changed", "client_refused", "client_accepted"]


def test_a_consent_that_has_ended_is_noticed_without_other_sources() -> None:
    """The account's owner has to connect again; the directory comes through the next account."""
    stage = DirectoryOnly()
    stage.world.revoke(ALICE)
    stage.world.add_person(ALICE, person("Emil Erst"), "directory")
    stage.pass_hours(2)
    account = stage.account(ALICE)
    assert (stage.trouble(ALICE).code, account.revoked, account.next_sync) == ("consent_revoked", True, None)
    assert (stage.account(BOB).error, stage.names("directory")) == (None, ["Dora Dienst", "Emil Erst"])


def test_a_consent_that_fetches_nothing_is_used_before_google_ends_it() -> None:
    """Google ends a consent that was not used for six months; the directory then has no second account."""
    stage = DirectoryOnly(interval=30 * DAY)
    stage.clock.pump([30 * DAY] * 8)
    stage.world.revoke(ALICE)
    stage.world.add_person(BOB, person("Emil Erst"), "directory")
    stage.clock.pump([30 * DAY] * 2)
    assert (stage.trouble(ALICE).code, stage.account(BOB).error) == ("consent_revoked", None)
    assert stage.names("directory") == ["Dora Dienst", "Emil Erst"]


def test_a_new_access_token_for_an_unused_consent_is_rare_and_ends_no_alarm() -> None:
    """The sync says that it has not called Google, because a new access token does not show that the API is enabled."""
    stage = DirectoryOnly(interval=DAY)
    stage.scheduler.stopService()
    stage.calls()
    calls, applied = [], set()
    for _ in range(30):
        stage.clock.advance(DAY)
        applied.add(result_of(stage.job.sync(stage.begun(stage.account(BOB)), full=False)))
        calls.append(stage.calls())
    assert [day for day, made in enumerate(calls, 1) if made] == [15, 30]
    assert [made for made in calls if made] == [{"/token": 1}] * 2
    assert applied == {Applied(changed=False, has_called=False)}


def test_a_lead_knows_nothing_of_an_outage_in_a_former_lead(stage: Stage) -> None:
    """Google answers again, and another gateway has synced all accounts meanwhile."""
    crowd(stage, 12)
    stage.world.faults.inject("error_unavailable_503")
    stage.clock.pump([1] * int(INTERVAL))
    stage.scheduler.begin_anew()
    stage.world.faults.clear()
    well = {"error_code": None, "failures": 0, "next_sync": stage.clock.seconds()}
    stage.execute(update(tables.account).values(well))
    stage.calls()
    refresh(stage)
    assert synced(stage) == 12


def test_the_directory_goes_on_with_the_next_account_soon(stage: Stage) -> None:
    """It need not wait for that one's interval."""
    stage.configure(sources=ALL_SOURCES)
    addresses = crowd(stage, 3)
    stage.world.faults.inject("error_permission_denied_directory_403", account=addresses[0], path=COLLEAGUES)
    stage.clock.advance(INTERVAL - 3)
    assert stage.calls().get(COLLEAGUES) == 1
    stage.clock.advance(2)
    assert stage.calls().get(COLLEAGUES) == 1
    (found,) = stage.database.run(accounts.find_by_address, addresses[1])
    assert found.sources[Source.DIRECTORY] is SourceState.ON


def test_the_next_account_is_not_hurried_when_google_told_it_to_wait(stage: Stage) -> None:
    """The directory comes with its own turn."""
    stage.configure(sources=ALL_SOURCES)
    first, second = crowd(stage, 2)
    stage.make_wait(second)
    stage.request(second)
    told = stage.account(second)
    stage.world.faults.inject("error_internal_500", account=first, path=COLLEAGUES)
    stage.clock.advance(INTERVAL)
    assert stage.account(first).error is not None
    stage.clock.advance(10)
    assert stage.account(second) == told


def test_a_fault_of_the_directory_is_logged_and_noted(stage: Stage, logged: list[LogEvent]) -> None:
    """The account's own contacts are not concerned."""
    stage.configure(sources=ALL_SOURCES)

    async def sync_directory(*_: Any, **__: Any) -> bool:
        raise ZeroDivisionError

    stage.job.sync_directory = sync_directory  # type: ignore[method-assign]
    stage.world.add_person(ALICE, person("Ada Riese"))
    stage.connect()
    refresh(stage)
    assert stage.served() == ["Ada Riese"]
    assert stage.account().error == ErrorStatus("internal", NOW, facts={"source": "directory"})
    assert [event["log_format"] for event in logged if event.get("log_failure")] == [
        "sync of the directory through account {account} failed"
    ]


def test_as_many_at_a_time_as_is_wanted(stage: Stage) -> None:
    """And a person does not stand behind those that the clock has called."""
    addresses = crowd(stage, 4)
    waiting = stage.hold_syncs()
    stage.scheduler.stopService()
    stage.clock.advance(INTERVAL)
    stage.restart(concurrency=1)
    assert len(waiting) == 1
    for wished, running in ((3, 2), (2, 2)):
        stage.request(addresses[wished])
        assert len(waiting) == running
    waiting[1].callback(False)
    assert len(waiting) == 3
    assert [stage.account(address).syncing for address in addresses] == [True, False, True, False]


def test_a_place_is_not_kept_while_a_book_is_built(stage: Stage) -> None:
    """The next one syncs meanwhile; the sync has ended when phones find what it has brought."""
    building: Deferred[None] = Deferred()

    async def publish(account_id: int) -> None:
        if account_id == stage.account(ALICE).id:
            await building

    stage.scheduler.stopService()
    for address in (ALICE, BOB):
        stage.world.add_person(address, person("Ada Riese"))
        stage.connect(address)
    narrow = stage.new_scheduler(concurrency=1)
    narrow._publish = publish
    narrow.startService()
    result_of(narrow.refresh())
    assert [stage.account(address).syncing for address in (ALICE, BOB)] == [True, False]
    assert stage.account(BOB).last_sync is not None
    building.callback(None)
    assert not stage.account(ALICE).syncing
    narrow.stopService()


def test_nothing_begins_once_it_has_stopped(stage: Stage) -> None:
    """A look that was under way comes too late."""
    stage.scheduler.stopService()
    stage.connect()
    refresh(stage)
    assert stage.calls() == {}


def test_syncs_are_observed(stage: Stage) -> None:
    """Good ones when phones find the contacts, failed ones with their codes."""
    seen: list[tuple[str, float]] = []
    stage.scheduler._observe = lambda *told: seen.append(told)
    stage.connect()
    refresh(stage)
    stage.world.faults.inject("error_unavailable_503", times=1, path=CONNECTIONS)
    stage.clock.advance(INTERVAL)
    assert seen == [("ok", 0.0), ("google_unavailable", 0.0)]
