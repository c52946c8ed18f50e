# SPDX-License-Identifier: MIT
"""The Workspace directory is one book of the tenant, fetched through one account at a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Engine, event

from ldapgw.contact import Source
from ldapgw.errors import GoogleUnavailable, SuspiciousShrink
from ldapgw.store import contacts, directory_accounts, revocations, sync_state
from ldapgw.store.accounts import SourceState, SyncRequest
from ldapgw.store.directory_accounts import DirectoryCandidate
from ldapgw.sync.fetch import (
    MAX_FAILING_ACCOUNTS,
    UNAVAILABLE_RETRY_SECONDS,
    choose_directory_account,
    is_directory_kept,
    is_resting,
)
from tests.support.results import result_of
from tests.support.stage.paths import COLLEAGUES, CONNECTIONS, HOUR
from tests.support.stage.sync import ALICE, ALL_SOURCES, BOB, CAROL, SCOPE, Stage, person, read_account, with_directory

NOW = 1_800_000_000.0
SCOPES = frozenset({"openid", "https://www.googleapis.com/auth/directory.readonly"})


HOLDS = {"is_directory_account": True}


def candidate(account_id: int, **more: object) -> DirectoryCandidate:
    known = {"scopes": SCOPES, "state": SourceState.ON, "asked_at": NOW - 600, "account_error": ""}
    return DirectoryCandidate(account_id=account_id, **(known | more))  # type: ignore[arg-type]


NEW = {"state": None, "asked_at": None}
GONE = {"account_error": "consent_revoked"}
UNGRANTED = {"scopes": frozenset({"openid"})}
CLOSED = {"state": SourceState.UNAVAILABLE}
FAILED = {"directory_error": "bad_response", "next_try": NOW + 20}
CASES = {
    "nobody": ([], None),
    "the first who may": ([candidate(1, **UNGRANTED), candidate(2, **NEW), candidate(3, **NEW)], 2),
    "who holds it goes on": ([candidate(1), candidate(2, **HOLDS)], 2),
    "who holds it has no consent any more": ([candidate(1, **HOLDS, **GONE), candidate(2)], 2),
    "who holds it may not any more": ([candidate(1, **HOLDS, **UNGRANTED), candidate(2)], 2),
    "closed to who holds it": ([candidate(1, **HOLDS, **CLOSED), candidate(2)], 2),
    "closed to everybody": ([candidate(1, **HOLDS, **CLOSED), candidate(2, **CLOSED)], None),
    "closed a day ago": ([candidate(1, **(CLOSED | {"asked_at": NOW - UNAVAILABLE_RETRY_SECONDS}))], 1),
    "who holds it has trouble of its own": (
        [candidate(1, account_error="suspicious_shrink", **HOLDS), candidate(2)], 2),
    "it just failed through who holds it": ([candidate(1, **HOLDS, **FAILED), candidate(2)], 2),
    "it failed, and there is no other": ([candidate(1, **HOLDS, **FAILED)], None),
    "it failed some time ago, and there is no other": ([candidate(1, **HOLDS, **(FAILED | {"next_try": NOW - 1}))], 1),
    "it failed through all, the longest ago": (
        [candidate(1, directory_error="quota", next_try=NOW - 1, **HOLDS),
        candidate(2, directory_error="quota", next_try=NOW - 1, asked_at=NOW - 900)], 2),
    "it fails through many": ([*(candidate(n, **FAILED) for n in range(MAX_FAILING_ACCOUNTS)), candidate(9)], None),
    "it fails through some": ([*(candidate(n, **FAILED) for n in range(MAX_FAILING_ACCOUNTS - 1)), candidate(9)], 9),
    "it would shrink": (
        [candidate(1, directory_error="suspicious_shrink", next_try=NOW + 3000, **HOLDS), candidate(2)], None),
    "it would shrink, an hour later": (
        [candidate(1, directory_error="suspicious_shrink", next_try=NOW, **HOLDS), candidate(2)], 1),
    "a clock that was wrong": ([candidate(1, **(FAILED | {"asked_at": NOW + 86400}))], 1),
}  # fmt: skip


@pytest.mark.parametrize(("candidates", "expected"), CASES.values(), ids=CASES)
def test_whose_turn_it_is(candidates: list[DirectoryCandidate], expected: int | None) -> None:
    """One at a time, and the next one when that one fails."""
    assert choose_directory_account(candidates, NOW) == expected


@pytest.mark.parametrize(("candidates", "expected"), CASES.values(), ids=CASES)
def test_no_other_account_is_chosen_beside_a_good_one(
    candidates: list[DirectoryCandidate], expected: int | None
) -> None:
    """A requested sync of the other account changes nothing; a directory account with an error is not good."""
    current = [candidate for candidate in candidates if candidate.is_directory_account]
    for account_id in range(10):
        if is_directory_kept(current, account_id, NOW):
            assert account_id not in (expected, choose_directory_account(candidates, NOW, account_id))
    is_good = any(not each.account_error and not each.directory_error for each in current)
    assert is_directory_kept(current, 99, NOW) == (is_good and expected == current[0].account_id)


def test_a_person_need_not_wait() -> None:
    """A requested account tries at once, in spite of earlier trouble."""
    shrinking = candidate(1, directory_error="suspicious_shrink", next_try=NOW + 3000, **HOLDS)
    assert choose_directory_account([shrinking, candidate(2)], NOW, requested_account_id=1) == 1
    assert choose_directory_account([shrinking, candidate(2)], NOW, requested_account_id=2) is None
    assert choose_directory_account([candidate(1, **HOLDS, **FAILED)], NOW, requested_account_id=1) == 1


@pytest.mark.parametrize(
    ("state", "ago", "expected"),
    [
        (SourceState.ON, 5, False),
        (None, 5, False),
        (SourceState.UNAVAILABLE, 5, True),
        (SourceState.NOT_GRANTED, 5, True),
        (SourceState.UNAVAILABLE, UNAVAILABLE_RETRY_SECONDS, False),
        (SourceState.UNAVAILABLE, -5, False),
        (SourceState.UNAVAILABLE, None, False),
    ],
)
def test_what_google_does_not_offer_rests(state: SourceState | None, ago: float | None, expected: bool) -> None:
    """For a day."""
    assert is_resting(state, None if ago is None else NOW - ago, NOW) == expected


@pytest.fixture
def stage() -> Stage:
    """Alice and Bob are connected; no calls are counted yet."""
    stage = with_directory("Dora Dienst", "Emil Erst")
    stage.calls()
    return stage


def round_of(stage: Stage, *addresses: str) -> None:
    for address in addresses or (ALICE, BOB):
        stage.sync(address)


def asked(stage: Stage) -> int:
    return stage.calls().get(COLLEAGUES, 0)


def holder(stage: Stage) -> str:
    """Return the address of the account that holds the stored directory."""
    (account_id,) = stage.database.run(contacts.accounts_with_source, Source.DIRECTORY)
    return stage.database.run(read_account, account_id).address


def request(stage: Stage, address: str, kind: SyncRequest = SyncRequest.INCREMENTAL) -> None:
    account = stage.account(address)
    with stage.database.begin() as connection:
        sync_state.request_sync(connection, account.id, kind)
        sync_state.begin(connection, account.id)


def test_it_is_fetched_once_for_all(stage: Stage) -> None:
    """An idle round is one call for the tenant; every account that could bring it says "on"."""
    round_of(stage)
    assert asked(stage) == 1
    assert holder(stage) == ALICE
    assert stage.names("directory") == ["Dora Dienst", "Emil Erst"]
    for address in (ALICE, BOB):
        assert stage.account(address).sources[Source.DIRECTORY] is SourceState.ON
    first = next(iter(stage.world.persons_of(ALICE, "directory")))["resourceName"]
    stage.world.delete_person(ALICE, first)
    stage.world.add_person(BOB, person("Fred Fort"), "directory")
    round_of(stage)
    assert stage.names("directory") == ["Emil Erst", "Fred Fort"]


def test_only_the_sync_of_the_directory_account_reads_the_other_accounts(stage: Stage) -> None:
    """Otherwise the syncs of a Workspace with thousands of accounts would read millions of rows in each round."""
    lists: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "WHERE account.tenant = " in statement and "source.asked_at IS NOT NULL" not in statement:
            lists.append(statement)

    stage.connect(CAROL, scopes=("openid", "email", SCOPE + "contacts.readonly"))
    round_of(stage, ALICE, BOB, CAROL)
    event.listen(Engine, "before_cursor_execute", note)
    try:
        round_of(stage, BOB, CAROL)
        assert lists == []
        round_of(stage, ALICE)
        assert lists != []
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def test_the_next_account_takes_over(stage: Stage) -> None:
    """Through it everything is read once; meanwhile the phones keep what there was, and no book shrinks."""
    stage.world.faults.inject("error_internal_500", account=ALICE, path=COLLEAGUES)
    stage.world.add_person(ALICE, person("Fred Fort"), "directory")
    round_of(stage, ALICE)
    assert stage.names("directory") == ["Dora Dienst", "Emil Erst"]
    trouble = stage.trouble(ALICE)
    assert (trouble.code, trouble.facts) == ("google_unavailable", {"source": "directory"})
    round_of(stage, BOB)
    assert (holder(stage), stage.names("directory")) == (BOB, ["Dora Dienst", "Emil Erst", "Fred Fort"])
    stage.calls()
    round_of(stage)
    assert asked(stage) == 1


def test_its_trouble_does_not_hurt_the_accounts_own_contacts(stage: Stage) -> None:
    """Nor the other way round."""
    stage.world.faults.inject("error_internal_500", path=COLLEAGUES)
    stage.world.add_person(ALICE, person("Ada Riese"))
    round_of(stage)
    assert stage.names(ALICE) == ["Ada Riese"]
    stage.world.faults.clear()
    stage.world.faults.inject("error_internal_500", path=CONNECTIONS)
    stage.world.add_person(ALICE, person("Fred Fort"), "directory")
    stage.clock.advance(HOUR)
    stage.sync_directory(ALICE)
    assert "Fred Fort" in stage.names("directory")


def test_an_error_of_the_sync_before_leaves_nobody_without_it() -> None:
    """The account that would bring it is well again, and the next one knows that: an empty directory is nobody's."""
    stage = Stage(sources=ALL_SOURCES)
    for address in (ALICE, BOB):
        stage.connect(address)
    round_of(stage)
    stage.database.run(sync_state.fail, stage.account(ALICE), "internal", NOW, NOW)
    stage.world.add_person(ALICE, person("Dora Dienst"), "directory")
    round_of(stage, ALICE)
    assert stage.names("directory") == ["Dora Dienst"]


def test_trouble_is_forgotten_when_it_comes_again(stage: Stage) -> None:
    """Through whomever: nobody has to do anything any more."""
    stage.world.faults.inject("error_internal_500", path=COLLEAGUES, times=2)
    round_of(stage)
    assert [stage.account(one).error is None for one in (ALICE, BOB)] == [False, False]
    request(stage, ALICE)
    round_of(stage, ALICE)
    assert [stage.account(one).error for one in (ALICE, BOB)] == [None, None]
    assert holder(stage) == ALICE


def test_an_account_that_google_does_not_give_it_to_rests(stage: Stage) -> None:
    """Its state says so; the directory goes over to the next account at once, and is not asked for daily twice."""
    stage.world.faults.inject("error_permission_denied_directory_403", account=ALICE, path=COLLEAGUES)
    round_of(stage, ALICE)
    assert stage.account(ALICE).sources[Source.DIRECTORY] is SourceState.UNAVAILABLE
    assert stage.account(ALICE).error is None
    assert (holder(stage), stage.names("directory")) == (BOB, ["Dora Dienst", "Emil Erst"])
    stage.calls()
    round_of(stage)
    round_of(stage)
    assert asked(stage) == 2


def test_a_consumers_account_hurts_nobody() -> None:
    """It came first, is asked once a day, and the next one brings the directory."""
    stage = Stage(sources=ALL_SOURCES)
    stage.connect(CAROL)
    stage.connect(ALICE)
    stage.world.add_person(ALICE, person("Dora Dienst"), "directory")
    for _ in range(3):
        round_of(stage, CAROL, ALICE)
    assert stage.names("directory") == ["Dora Dienst"]
    assert [stage.account(one).sources[Source.DIRECTORY] for one in (CAROL, ALICE)] == [
        SourceState.UNAVAILABLE,
        SourceState.ON,
    ]
    assert asked(stage) == 4


def leave(stage: Stage) -> None:
    stage.database.run(revocations.disconnect_account, stage.account(ALICE).id, stage.clock.seconds())


def grant_no_directory(stage: Stage) -> None:
    stage.connect(ALICE, scopes=("openid", "email", SCOPE + "contacts.readonly"))
    round_of(stage, ALICE)
    assert stage.account(ALICE).sources[Source.DIRECTORY] is SourceState.NOT_GRANTED


def revoke_consent(stage: Stage) -> None:
    stage.world.revoke(ALICE)
    stage.database.run(sync_state.fail, stage.account(ALICE), "consent_revoked", stage.clock.seconds(), None)


@pytest.mark.parametrize(("end", "next_holder"), [(leave, BOB), (grant_no_directory, BOB), (revoke_consent, ALICE)])
def test_who_can_fetch_it_no_more_hands_it_over(stage: Stage, end: Callable[[Stage], None], next_holder: str) -> None:
    """At once, or as soon as another account brings it; the phones do not notice, and everything is read once."""
    end(stage)
    assert (holder(stage), stage.names("directory")) == (next_holder, ["Dora Dienst", "Emil Erst"])
    stage.world.add_person(BOB, person("Fred Fort"), "directory")
    round_of(stage, BOB)
    assert (holder(stage), stage.names("directory")) == (BOB, ["Dora Dienst", "Emil Erst", "Fred Fort"])


def test_who_leaves_hands_it_to_nobody_who_could_not_fetch_it(stage: Stage) -> None:
    """The last request through that account failed, so its copy would grow old."""
    leaving, failing, now = stage.account(ALICE), stage.account(BOB), stage.clock.seconds()
    error = GoogleUnavailable("HTTP 500")
    record = directory_accounts.record_failure
    stage.database.run(sync_state.write_source_states, failing.id, {Source.DIRECTORY: SourceState.ON})
    stage.database.run(record, failing.id, Source.DIRECTORY, error, now, now + HOUR)
    stage.database.run(revocations.disconnect_account, leaving.id, now)
    assert stage.names("directory") == []


def test_the_last_who_leaves_takes_it_along(stage: Stage) -> None:
    """There is nobody whose it could be."""
    for address in (ALICE, BOB):
        stage.database.run(revocations.disconnect_account, stage.account(address).id, stage.clock.seconds())
    assert stage.names("directory") == []
    assert stage.database.run(contacts.accounts_with_source, Source.DIRECTORY) == set()


def test_a_directory_that_shrinks_waits_for_a_person() -> None:
    """No other account takes over then: through it just as much would vanish."""
    stage = with_directory(*(f"Person {number}" for number in range(30)))
    for one in list(stage.world.persons_of(ALICE, "directory"))[:20]:
        stage.world.delete_person(ALICE, one["resourceName"])
    stage.world.expire_sync_tokens()
    round_of(stage)
    trouble = stage.trouble(ALICE)
    assert (trouble.code, trouble.facts) == ("suspicious_shrink", {"before": 30, "lost": 20, "source": "directory"})
    assert (holder(stage), len(stage.names("directory"))) == (ALICE, 30)
    request(stage, BOB, SyncRequest.ACCEPT)
    stage.sync(BOB, full=True, accept_shrink=True)
    assert len(stage.names("directory")) == 30
    request(stage, ALICE, SyncRequest.ACCEPT)
    stage.sync(ALICE, full=True, accept_shrink=True)
    assert (stage.account(ALICE).error, len(stage.names("directory"))) == (None, 10)


def test_a_directory_that_shrinks_through_the_next_account_is_not_taken() -> None:
    """The next account may see fewer people: the directory stays with the former account."""
    stage = with_directory(*(f"Person {number}" for number in range(30)))
    stage.world.faults.inject("error_internal_500", account=ALICE, path=COLLEAGUES)
    round_of(stage, ALICE)
    stage.world.faults.inject("broken_short_list", account=BOB, path=COLLEAGUES)
    persons = stage.world.persons_of(ALICE, "directory")
    for one in list(persons)[1::2]:
        stage.world.delete_person(ALICE, one["resourceName"])
    account = stage.account(BOB)
    with pytest.raises(SuspiciousShrink):
        result_of(stage.job.sync_directory(account, full=False))
    assert (holder(stage), len(stage.names("directory"))) == (ALICE, 30)


def test_a_directory_that_is_no_source_any_more_is_forgotten(stage: Stage) -> None:
    """Nobody hands it over then."""
    stage.configure(sources=(Source.CONTACTS,))
    round_of(stage)
    assert stage.database.run(contacts.accounts_with_source, Source.DIRECTORY) == set()
