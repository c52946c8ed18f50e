# SPDX-License-Identifier: MIT
"""The first good answer after an outage ends the waits of all accounts of its Google project: a clock moved by hand."""

from __future__ import annotations

from random import Random

import pytest
from sqlalchemy import update

from ldapgw.google.endpoints import Client
from ldapgw.google.sandbox.world import RegisteredClient
from ldapgw.store import sync_history
from ldapgw.store.accounts import SyncRequest
from ldapgw.store.tables import account as account_table
from ldapgw.sync.fetch import SyncedTenant
from ldapgw.sync.retry import Grantor
from tests.support.results import result_of
from tests.support.stage.paths import CONNECTIONS, HOUR
from tests.support.stage.sync import ALICE, BOB, CAROL, CLIENT, INTERVAL, Stage, person


@pytest.fixture(autouse=True)
def _random(stage: Stage) -> None:
    stage.scheduler._random = Random(1).random


def pass_time(stage: Stage, seconds: float) -> None:
    stage.clock.pump([10] * int(seconds / 10))


def begin_outage(stage: Stage, *addresses: str) -> None:
    """Sync the accounts, and let Google fail until the first of them has just begun to wait for a long time."""
    for address in addresses:
        stage.connect(address)
    result_of(stage.scheduler.refresh())
    stage.world.faults.inject("error_unavailable_503")
    pass_time(stage, 5 * HOUR)
    pass_time_until_called(stage, addresses[0])
    assert (stage.account(addresses[0]).next_sync or 0.0) > stage.clock.seconds() + 2.5 * INTERVAL


def pass_time_until_called(stage: Stage, address: str) -> None:
    before = stage.account(address)
    while stage.account(address) == before:
        pass_time(stage, 10)


def code(stage: Stage, address: str) -> str:
    error = stage.account(address).error
    return "" if error is None else error.code


@pytest.mark.parametrize("restarts", [False, True], ids=["in one run", "after a restart"])
def test_the_first_good_answer_ends_the_wait_of_the_others(stage: Stage, restarts: bool) -> None:
    """Within two intervals, though two accounts are too few for a circuit; the stored state says why they wait."""
    begin_outage(stage, ALICE, BOB)
    stage.world.faults.clear()
    if restarts:
        stage.restart()
    assert (code(stage, ALICE), code(stage, BOB)) == ("google_unavailable", "google_unavailable")
    stage.request(BOB)
    assert (code(stage, ALICE), code(stage, BOB)) == ("google_unavailable", "")
    pass_time(stage, 2 * INTERVAL)
    assert (code(stage, ALICE), code(stage, BOB)) == ("", "")


def test_accounts_of_the_projects_other_tenants_come_back_too(stage: Stage) -> None:
    """Their circuit closes with it, so that none of them waits for a trial of its own; another project's stay."""
    acme, other = stage.job.tenants["acme"], Client("999999999999-other.apps.googleusercontent.com", "GOCSPX-OTHER")
    stage.world.register(RegisteredClient(other.client_id, other.client_secret, ()))
    stage.job.tenants = {"acme": acme, "same": acme, "other": SyncedTenant(other, acme.sources, (), "DE")}
    *same, strange = addresses = stage.add_users(5)
    for address in addresses:
        stage.connect(address, client=other if address == strange else CLIENT)
    stage.execute(update(account_table).values(tenant="same"))
    stage.execute(update(account_table).values(tenant="other").filter_by(address=strange))
    begin_outage(stage, ALICE)
    assert stage.scheduler._circuits.of(Grantor("same", uses_delegation=False)).is_open
    pass_time_until_called(stage, strange)
    before = stage.account(strange)
    stage.world.faults.clear()
    stage.request(ALICE)
    assert not stage.scheduler._circuits.of(Grantor("same", uses_delegation=False)).is_open
    pass_time(stage, 2 * INTERVAL)
    assert [code(stage, address) for address in (ALICE, *same)] == [""] * 5
    assert (code(stage, strange), stage.account(strange)) == ("google_unavailable", before)


def test_a_request_counts_that_comes_while_a_sync_is_queued(stage: Stage) -> None:
    """That sync calls Google, though the circuit is open: whoever asked is told of this account, not of the others."""
    addresses = [ALICE, *stage.add_users(4)]
    begin_outage(stage, *addresses)
    assert stage.scheduler._circuits.of(Grantor("acme", uses_delegation=False)).is_open
    slots = [result_of(stage.scheduler._slots.acquire()) for _ in range(stage.scheduler._slots.limit)]
    next_one = min(map(stage.account, addresses), key=lambda account: account.next_sync or 0.0)
    stage.clock.advance((next_one.next_sync or 0.0) - stage.clock.seconds() + 1)
    stage.request(next(address for address in addresses if address != next_one.address))
    stage.world.faults.clear()
    stage.world.revoke(next_one.address)
    stage.world.expire_access_tokens(next_one.address)
    assert stage.scheduler._circuits.of(Grantor("acme", uses_delegation=False)).wait(stage.clock.seconds())
    stage.request(next_one.address, looks=False)
    for slot in slots:
        slot.release()
    assert code(stage, next_one.address) == "consent_revoked"


@pytest.mark.parametrize("reason", ["consent_revoked", "suspicious_shrink", "bad_response", "google_unavailable"])
def test_who_waits_for_a_reason_of_its_own_goes_on_waiting(stage: Stage, reason: str) -> None:
    """A consent that was revoked, a book that shrinks, an answer that makes no sense, a time that Google named."""
    persons = [stage.world.add_person(ALICE, person(f"Person {number}")) for number in range(30)]
    begin_outage(stage, ALICE, BOB)
    stage.world.faults.clear()
    match reason:
        case "consent_revoked":
            stage.world.revoke(ALICE)
        case "suspicious_shrink":
            for name in persons:
                stage.world.delete_person(ALICE, name)
        case "bad_response":
            stage.world.faults.inject("broken_not_json", account=ALICE, path=CONNECTIONS)
        case _:
            stage.make_wait(ALICE, 503, "UNAVAILABLE")
    stage.request(ALICE, SyncRequest.FULL)
    waiting = stage.account(ALICE)
    assert code(stage, ALICE) == reason
    stage.request(BOB)
    assert code(stage, BOB) == ""
    pass_time(stage, 2 * INTERVAL)
    assert stage.account(ALICE) == waiting


def test_an_account_that_alone_fails_calls_no_more_often_than_a_healthy_one(stage: Stage) -> None:
    """Each good answer to the others is no reason to ask for it again at once."""
    stage.world.faults.inject("error_unavailable_503", account=ALICE, path=CONNECTIONS)
    for address in (ALICE, BOB, CAROL):
        stage.connect(address)
        result_of(stage.scheduler.refresh())
        pass_time(stage, 100)
    pass_time(stage, 10 * INTERVAL)
    assert code(stage, ALICE) == "google_unavailable"
    assert stage.account(ALICE).attempts <= stage.account(BOB).attempts


def test_they_do_not_come_back_at_the_same_moment(stage: Stage) -> None:
    """But spread over a minute."""
    addresses = stage.add_users(12)
    for address in addresses:
        stage.connect(address)
    result_of(stage.scheduler.refresh())
    stage.world.faults.inject("error_unavailable_503")
    pass_time(stage, 2 * INTERVAL)
    stage.world.faults.clear()
    stage.calls()
    stage.request(addresses[0])
    moments = []
    for _ in range(int(2 * INTERVAL)):
        stage.clock.advance(1)
        moments.append(stage.calls().get(CONNECTIONS, 0))
    assert max(moments) <= 3
    assert [code(stage, address) for address in addresses] == [""] * 12


def test_who_waits_for_the_end_of_an_outage_has_not_failed(stage: Stage) -> None:
    """In the history of syncs: what was only postponed is told apart from what was tried in vain."""
    for address in (ALICE, BOB, CAROL):
        stage.connect(address)
    result_of(stage.scheduler.refresh())
    stage.world.faults.inject("error_unavailable_503")
    pass_time(stage, 2 * HOUR)
    calls = failed = 0
    for account_id in [stage.account(address).id for address in (ALICE, BOB, CAROL)]:
        with stage.database.begin() as connection:
            attempts = sync_history.read_attempts(connection, account_id)
            days = sync_history.summarize_account(connection, account_id, stage.clock.seconds())
        tried = [one for one in attempts if one.error and not one.is_postponed]
        assert {one.error for one in attempts if one.error} == {"google_unavailable"}
        assert [one for one in attempts if one.is_postponed and one.seconds] == []
        assert sum(day.failed for day in days) == len(tried)
        calls, failed = calls + len(attempts), failed + len(tried)
    assert 3 <= failed < calls - 3
