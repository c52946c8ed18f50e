# SPDX-License-Identifier: MIT
"""Sources that a person has switched off: no sync fetches them, and no sync turns them on again."""

from __future__ import annotations

import pytest

from ldapgw.contact import Source
from ldapgw.errors import SyncOutdated
from ldapgw.store import contacts, revocations
from ldapgw.store.accounts import SourceState, SyncRequest
from tests.support.results import result_of
from tests.support.stage.paths import COLLEAGUES, CONNECTIONS, DAY, GROUPS, OTHERS
from tests.support.stage.sync import ALICE, ALL_SOURCES, BOB, NOW, SCOPE, Stage, person

ON, OFF = SourceState.ON, SourceState.OFF
OTHER, DIRECTORY = Source.OTHER_CONTACTS, Source.DIRECTORY


@pytest.fixture
def stage() -> Stage:
    """Alice and Bob, who have everything on; the directory comes through Alice."""
    stage = Stage(sources=ALL_SOURCES)
    for address in (ALICE, BOB):
        stage.connect(address)
    stage.world.add_person(ALICE, person("Anna Berg"))
    stage.world.add_person(ALICE, person("Otto Ott"), "other_contacts")
    stage.world.add_person(ALICE, person("Dora Dienst"), "directory")
    for address in (ALICE, BOB):
        stage.sync(address)
    stage.calls()
    return stage


def switch(stage: Stage, source: Source, *, on: bool = False) -> None:
    change = revocations.switch_on if on else revocations.switch_off
    stage.database.run(change, stage.account(ALICE).id, source)


def test_a_source_that_is_off_is_not_fetched(stage: Stage) -> None:
    """Not by a requested or a full sync, nor after another consent; the scope is granted all the time."""
    switch(stage, OTHER)
    assert stage.names(ALICE) == ["Anna Berg"]
    stage.clock.advance(DAY)
    stage.sync(ALICE)
    stage.sync(ALICE, full=True)
    assert stage.calls().get(OTHERS, 0) == 0
    assert (stage.names(ALICE), stage.account(ALICE).sources[OTHER]) == (["Anna Berg"], OFF)
    switch(stage, OTHER, on=True)
    stage.sync(ALICE)
    assert (stage.names(ALICE), stage.account(ALICE).sources[OTHER]) == (["Anna Berg", "Otto Ott"], ON)


def test_a_source_that_is_off_needs_no_scope(stage: Stage) -> None:
    """It stays off, rather than not granted."""
    switch(stage, OTHER)
    account = stage.account(ALICE)
    stage.connect(ALICE, scopes=("openid", "email", SCOPE + "contacts.readonly"))
    stage.database.run(revocations.switch_off, account.id, OTHER)
    stage.sync(ALICE)
    assert stage.account(ALICE).sources == {
        Source.CONTACTS: ON,
        OTHER: OFF,
        DIRECTORY: SourceState.NOT_GRANTED,
    }


@pytest.mark.parametrize("is_on", [False, True], ids=["off", "on"])
def test_a_switch_during_a_sync_counts(stage: Stage, is_on: bool) -> None:
    """The sync that has begun before the switch writes nothing; the next sync follows the switch."""
    if is_on:
        switch(stage, OTHER)
    stage.world.add_person(ALICE, person("Ada Riese"))
    stage.line.meanwhile[CONNECTIONS] = lambda: switch(stage, OTHER, on=is_on)
    with pytest.raises(SyncOutdated):
        stage.sync(ALICE)
    assert (stage.names(ALICE), stage.account(ALICE).sources[OTHER]) == (["Anna Berg"], ON if is_on else OFF)
    stage.sync(ALICE)
    others = ["Otto Ott"] if is_on else []
    assert stage.names(ALICE) == ["Ada Riese", "Anna Berg", *others]


def test_a_switch_during_a_requested_sync_keeps_the_request(stage: Stage) -> None:
    """The sync begins anew at once, and is still the full sync that a person has requested."""
    stage.start()
    stage.world.add_person(ALICE, person("Ada Riese"))
    stage.line.meanwhile[CONNECTIONS] = lambda: switch(stage, OTHER)
    stage.request(ALICE, SyncRequest.FULL)
    account = stage.account(ALICE)
    assert (account.pending_sync, stage.names(ALICE)) == (SyncRequest.FULL, ["Anna Berg"])
    stage.calls()
    result_of(stage.scheduler.refresh())
    account = stage.account(ALICE)
    assert (account.pending_sync, account.syncing, account.error) == (None, False, None)
    assert (stage.names(ALICE), stage.sync_states()[Source.CONTACTS].full_sync_at) == (["Ada Riese", "Anna Berg"], NOW)
    assert stage.calls() == {GROUPS: 1, CONNECTIONS: 1, COLLEAGUES: 1}


def test_the_directory_comes_through_nobody_who_has_switched_it_off(stage: Stage) -> None:
    """Bob's copy is there at once; when Bob is off too, there is none, and nobody asks Google."""
    switch(stage, DIRECTORY)
    assert (stage.names("directory"), stage.account(ALICE).sources[DIRECTORY]) == (["Dora Dienst"], OFF)
    for address in (ALICE, BOB):
        stage.sync(address)
    assert stage.calls().get(COLLEAGUES, 0) == 1
    stage.database.run(revocations.switch_off, stage.account(BOB).id, DIRECTORY)
    assert stage.database.run(contacts.accounts_with_source, DIRECTORY) == set()
    for address in (ALICE, BOB):
        stage.sync(address)
    assert stage.calls().get(COLLEAGUES, 0) == 0
    assert [stage.account(address).sources[DIRECTORY] for address in (ALICE, BOB)] == [OFF, OFF]


def test_a_failure_of_the_directory_does_not_switch_it_on(stage: Stage) -> None:
    """Google's error arrives after the switch."""
    stage.world.faults.inject("error_internal_500", account=ALICE, path=COLLEAGUES)
    stage.line.meanwhile[COLLEAGUES] = lambda: switch(stage, DIRECTORY)
    stage.sync(ALICE)
    account = stage.account(ALICE)
    assert (account.sources[DIRECTORY], account.error) == (OFF, None)
