# SPDX-License-Identifier: MIT
"""One account's sync against the sandbox Google: everything, deltas, sources, tokens; whole or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, event

from ldapgw.contact import Source
from ldapgw.errors import BadResponse, ConsentRevoked, GoogleUnavailable, ScopeMissing
from ldapgw.store import accounts, database
from ldapgw.store.accounts import SourceState
from ldapgw.store.sync_state import SyncProgress
from ldapgw.sync import fetch
from tests.support.google_changes import rename_account
from tests.support.results import result_of
from tests.support.stage.paths import COLLEAGUES, CONNECTIONS, DAY, GROUPS, OTHERS, TOKEN
from tests.support.stage.sync import (
    ALICE,
    ALL_SCOPES,
    ALL_SOURCES,
    SCOPE,
    Stage,
    connected_stage,
    member,
    person,
)


@pytest.fixture
def stage() -> Stage:
    return connected_stage()


def test_a_first_sync_brings_everything(stage: Stage) -> None:
    """One call a source and one for the labels; the book is there in the order of names."""
    for name in ("Zoë Young", "Ådne Berg", "Adam Riese"):
        stage.world.add_person(ALICE, person(name, "030 23125 100", "ask at reception"))
    stage.world.add_person(ALICE, {})
    assert stage.sync()
    assert stage.names() == ["Adam Riese", "Ådne Berg", "Zoë Young"]
    account = stage.account()
    assert (account.contacts, account.numbers, account.sources) == (3, 3, {Source.CONTACTS: SourceState.ON})
    assert account.skipped == {"empty": 1, "flawed": 3, "unreadable_number": 3}
    assert stage.calls() == {CONNECTIONS: 1, GROUPS: 1}


def test_a_delta_brings_what_changed(stage: Stage) -> None:
    """Added, changed, deleted, moved to another resource name."""
    kept, changed, moved, deleted = (stage.world.add_person(ALICE, person(f"Person {name}")) for name in "ABCD")
    stage.sync()
    stage.world.change_person(ALICE, changed, person("Person Bee"))
    stage.world.delete_person(ALICE, deleted)
    new_name = stage.world.move_person(ALICE, moved)
    stage.world.add_person(ALICE, person("Person E"))
    assert stage.sync()
    assert stage.names() == ["Person A", "Person Bee", "Person C", "Person E"]
    uids = stage.records().keys()
    assert {f"people/{uid}" for uid in uids} >= {kept, changed, new_name}
    assert f"{moved.removeprefix('people/')}" not in uids


def test_every_source_has_its_place() -> None:
    """Other contacts are in the account's book, colleagues in the directory's."""
    stage = connected_stage(sources=ALL_SOURCES)
    stage.world.add_person(ALICE, person("Ada Riese"))
    stage.world.add_person(ALICE, {"emailAddresses": [{"value": "x@y.example"}]}, "other_contacts")
    stage.world.add_person(ALICE, person("Dora Dienst"), "directory")
    stage.sync()
    assert stage.names() == ["Ada Riese", "x@y.example"]
    assert stage.served("directory") == ["Dora Dienst"]
    assert stage.account().sources == dict.fromkeys(ALL_SOURCES, SourceState.ON)
    stage.calls()
    stage.sync()
    assert stage.calls() == {CONNECTIONS: 1, OTHERS: 1, COLLEAGUES: 1}


def test_a_source_that_was_not_granted_is_not_asked_for() -> None:
    """And what it brought before is forgotten."""
    stage = connected_stage(sources=ALL_SOURCES)
    stage.world.add_person(ALICE, person("Ada Riese"))
    stage.world.add_person(ALICE, {"emailAddresses": [{"value": "x@y.example"}]}, "other_contacts")
    stage.sync()
    stage.connect(scopes=("openid", "email", SCOPE + "contacts.readonly"))
    stage.calls()
    stage.sync()
    assert stage.calls() == {CONNECTIONS: 1, GROUPS: 1}
    assert stage.names() == ["Ada Riese"]
    assert stage.account().sources[Source.OTHER_CONTACTS] is SourceState.NOT_GRANTED


@pytest.mark.parametrize(
    ("sources", "facts"),
    [
        ((Source.DIRECTORY, Source.CONTACTS), {}),
        ((Source.DIRECTORY,), {"source": "directory"}),
        ((Source.OTHER_CONTACTS, Source.DIRECTORY), {"source": "other_contacts"}),
    ],
    ids=["contacts and more", "the directory alone", "no contacts"],
)
def test_no_source_at_all_is_an_error(sources: tuple[Source, ...], facts: dict[str, str]) -> None:
    """The boxes were not ticked; which one it is about."""
    stage = Stage(sources=sources)
    stage.connect(scopes=("openid", "email"))
    with pytest.raises(ScopeMissing) as caught:
        stage.sync()
    assert (stage.calls(), caught.value.facts) == ({}, facts)


EXPIRED = ("error_expired_sync_token_400", "error_expired_sync_token_400_precondition", "error_expired_sync_token_410")


@pytest.mark.parametrize("fault", EXPIRED)
def test_an_expired_sync_token_is_one_full_sync(stage: Stage, fault: str) -> None:
    """Nothing is doubled, deletions that no delta told of are honoured."""
    stage.world.add_person(ALICE, person("Ada Riese"))
    gone = stage.world.add_person(ALICE, person("Bo Weg"))
    stage.sync()
    stage.world.delete_person(ALICE, gone)
    stage.calls()
    stage.world.faults.inject(fault, times=1, path=CONNECTIONS)
    assert stage.sync()
    assert stage.calls() == {CONNECTIONS: 2}
    assert stage.names() == ["Ada Riese"]


def test_the_transaction_of_a_large_listing_tells_that_it_goes_on(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is planned and written, the other read and planned; PostgreSQL ends what is idle for long."""
    monkeypatch.setattr(database, "_ALIVE_EVERY", 2)
    signs: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement == "SELECT 1":
            signs.append(statement)

    stage = connected_stage()
    for number in range(7):
        stage.world.add_person(ALICE, person(f"Ada {number}"))
    counts: list[int] = []
    event.listen(Engine, "before_cursor_execute", note)
    try:
        for _ in range(2):
            stage.world.expire_sync_tokens()
            stage.sync()
            counts.append(len(signs))
            signs.clear()
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    each = 3 if engine == "postgresql" else 0
    assert (counts, len(stage.names())) == ([each + each, each + each], 7)


def test_another_version_reads_persons_anew(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older ldapgw may have read the persons' numbers otherwise."""
    stage.world.add_person(ALICE, person("Ada Riese"))
    monkeypatch.setattr(fetch, "PARSER_VERSION", fetch.PARSER_VERSION - 1)
    stage.sync()
    monkeypatch.undo()
    stage.clock.advance(100)
    stage.sync()
    assert stage.sync_states()[Source.CONTACTS].full_sync_at == stage.clock.seconds()


def test_an_access_token_is_renewed_a_minute_early(stage: Stage) -> None:
    """And the new one is stored."""
    stage.sync()
    stage.calls()
    stage.clock.advance(3599 - 61)
    stage.sync()
    assert TOKEN not in stage.calls()
    stage.clock.advance(1)
    stage.sync()
    assert stage.calls()[TOKEN] == 1
    stage.sync()
    assert TOKEN not in stage.calls()


def test_an_access_token_that_died_early_is_renewed_once(stage: Stage) -> None:
    """Google may end it at any time."""
    stage.world.add_person(ALICE, person("Ada Riese"))
    stage.world.expire_access_tokens()
    assert stage.sync()
    assert stage.names() == ["Ada Riese"]
    stage.calls()
    stage.world.faults.inject("error_unauthenticated_401")
    # Only the token endpoint says that a consent is gone, and Google answers.
    with pytest.raises(BadResponse):
        stage.sync()
    assert stage.calls() == {CONNECTIONS: 2, TOKEN: 1}


def test_a_listing_goes_on_when_its_access_token_ends(stage: Stage) -> None:
    """Pages that have come stay; each page may need a new token."""
    for number in range(3500):
        stage.world.add_person(ALICE, {"organizations": [{"name": f"Company {number}"}]})
    expire = stage.world.expire_access_tokens

    def expire_again() -> None:
        expire()
        stage.line.meanwhile[CONNECTIONS] = expire_again

    stage.line.meanwhile[CONNECTIONS] = expire_again
    assert stage.sync()
    assert stage.account().contacts == 3500
    assert stage.calls() == {GROUPS: 1, CONNECTIONS: 7, TOKEN: 3}


def test_a_new_refresh_token_is_used_at_once(stage: Stage) -> None:
    """Google may end the one before it as soon as it gives another."""
    used: list[str] = []
    refresh = stage.oauth.refresh

    async def rotate(client: Any, token: str) -> Any:
        used.append(token)
        return replace(await refresh(client, first), refresh_token="1//NEW")

    held = stage.database.run(accounts.read_tokens, stage.secret_box, stage.account().id)
    assert held is not None
    first = held.refresh_token
    stage.oauth.refresh = rotate  # type: ignore[method-assign]
    stage.clock.advance(3600)
    stage.world.faults.inject("error_unauthenticated_401", path=GROUPS, times=1)
    stage.sync()
    assert used == [first, "1//NEW"]


@pytest.mark.parametrize("call", [2, 3], ids=["first page", "last page"])
def test_a_failure_of_any_call_changes_nothing(stage: Stage, call: int) -> None:
    """Contacts, sync tokens and labels, which come first, stay what they were; the next sync brings all of it."""
    group = stage.world.add_label(ALICE, "Neu")
    names = [stage.world.add_person(ALICE, {"organizations": [{"name": f"N {number}"}]}) for number in range(2500)]
    stage.sync()
    before = stage.sync_states(), stage.records(), stage.labels_of()
    for name in names[:1100]:
        stage.world.delete_person(ALICE, name)
    for name in names[1100:]:
        stage.world.change_person(ALICE, name, {"organizations": [{"name": "Other"}]} | member(group))
    stage.world.add_label(ALICE, "Newer")
    stage.line.fail_in = call
    with pytest.raises(GoogleUnavailable):
        stage.sync(full=True, accept_shrink=True)
    assert (stage.sync_states(), stage.records(), stage.labels_of()) == before
    assert stage.sync(full=True, accept_shrink=True)
    assert stage.names() == ["Other"] * 1400


def test_an_account_that_is_disconnected_meanwhile_stays_so(stage: Stage) -> None:
    """A sync that was under way writes nothing."""
    stage.world.add_person(ALICE, person("Ada Riese"))
    account = stage.account()

    def disconnect() -> None:
        stage.database.run(accounts.disconnect, account.id)

    stage.line.meanwhile[CONNECTIONS] = disconnect
    assert not stage.sync()
    assert not stage.account().is_connected
    assert stage.account().contacts == 0


def test_a_disconnected_account_is_not_synced(stage: Stage) -> None:
    """There are no tokens to do it with."""
    begun = stage.begun(stage.account())
    stage.database.run(accounts.disconnect, begun.account.id)
    with pytest.raises(ConsentRevoked):
        result_of(stage.job.sync(begun, full=False))


def test_sources_that_google_does_not_offer_now_stop_nothing() -> None:
    """A directory that is closed is no box that was not ticked: the state says so, and it is asked for again daily."""
    stage = connected_stage(sources=(Source.DIRECTORY,))
    stage.world.add_person(ALICE, person("Dora Dienst"), "directory")
    stage.sync()
    stage.world.faults.inject("error_permission_denied_directory_403")
    stage.sync()
    assert stage.account().sources == {Source.DIRECTORY: SourceState.UNAVAILABLE}
    assert stage.names("directory") == []
    stage.world.faults.clear()
    stage.calls()
    stage.clock.advance(DAY - 1)
    stage.sync()
    assert COLLEAGUES not in stage.calls()
    stage.clock.advance(1)
    stage.sync()
    assert stage.names("directory") == ["Dora Dienst"]


def test_how_far_a_full_sync_is() -> None:
    """Page by page, with Google's own total and the place of the source; a delta is over before anybody asks."""
    stage = connected_stage(sources=(Source.CONTACTS, Source.OTHER_CONTACTS))
    for number in range(1200):
        stage.world.add_person(ALICE, {"organizations": [{"name": f"Company {number}"}]})
    account = stage.account()
    stage.sync()
    assert stage.progress == [
        (account.id, SyncProgress(Source.CONTACTS, 1000, 1200, 1, 2)),
        (account.id, SyncProgress(Source.CONTACTS, 1200, 1200, 1, 2)),
        (account.id, SyncProgress(Source.OTHER_CONTACTS, 0, None, 2, 2)),
        (account.id, None),
    ]
    stage.progress.clear()
    stage.sync()
    assert stage.progress == [(account.id, None)]


def test_an_address_that_changes_renames_the_account() -> None:
    """The user is the same; Google tells when the access token is renewed, and the address is the user's."""
    stage = Stage()
    stage.connect(scopes=(*ALL_SCOPES, SCOPE + "userinfo.email"))
    stage.world.add_person(ALICE, person("Ada Riese"))
    stage.sync()
    renamed = stage.world.account(ALICE)
    rename_account(stage.world, ALICE, "alice.new@acme.example")
    for renamed.email_verified in (False, True):
        account = stage.account()
        stage.clock.advance(3600)
        result_of(stage.job.sync(stage.begun(account), full=False))
    account = stage.account("alice.new@acme.example")
    assert stage.names("alice.new@acme.example") == ["Ada Riese"]
    assert account.contacts == 1


def test_what_google_does_not_offer_is_asked_for_once_a_day() -> None:
    """Or when a person asks."""
    stage = connected_stage(sources=(Source.CONTACTS, Source.OTHER_CONTACTS))
    stage.world.faults.inject("error_scope_insufficient_403", path=OTHERS)
    for _ in range(3):
        stage.sync()
    assert stage.calls()[OTHERS] == 1
    assert stage.account().sources[Source.OTHER_CONTACTS] is SourceState.NOT_GRANTED
    stage.sync(full=True)
    assert stage.calls()[OTHERS] == 1
    stage.clock.advance(DAY)
    stage.world.faults.clear()
    stage.sync()
    assert stage.calls()[OTHERS] == 1
    assert stage.account().sources[Source.OTHER_CONTACTS] is SourceState.ON


def test_a_full_sync_is_done_before_google_asks_for_one() -> None:
    """Once within the sixth day, at a time of the account's own, and of the source's."""
    stage = connected_stage(sources=(Source.CONTACTS, Source.OTHER_CONTACTS))
    stage.sync()
    hours: list[int] = []
    for hour in range(1, 7 * 24 + 1):
        stage.clock.advance(3600)
        stage.sync()
        synced_at = [state.full_sync_at for state in stage.sync_states().values()]
        hours += [hour] * synced_at.count(stage.clock.seconds())
    first, second = hours
    assert 5 * 24 <= first < second <= 6 * 24
