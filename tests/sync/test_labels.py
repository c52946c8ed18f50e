# SPDX-License-Identifier: MIT
"""Labels: followed by a token of their own, with the fewest calls, and honoured where the configuration names them."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from ldapgw.google.sandbox.world import SYSTEM_GROUPS
from ldapgw.store import contacts
from ldapgw.store.tables import account
from ldapgw.sync import fetch
from tests.support.google_changes import delete_label
from tests.support.stage.paths import CONNECTIONS, GROUPS
from tests.support.stage.sync import ALICE, INTERVAL, Stage, connected_stage, member, person


def rename(stage: Stage, group: str, name: str) -> None:
    """As the user does at Google; no person changes by it."""
    groups = stage.world.account(ALICE).groups
    known = groups.get(group)
    assert known is not None
    groups.put({**known, "name": name, "formattedName": name})


@pytest.fixture
def stage() -> Stage:
    """An account with one label, synced."""
    stage = connected_stage()
    group = stage.world.add_label(ALICE, "Kunden")
    stage.world.add_person(ALICE, person("Ada Riese") | member(group))
    stage.sync()
    stage.calls()
    return stage


def test_a_name_that_changes_shows_at_the_next_round(stage: Stage) -> None:
    """An idle round is one call for each source, labels among them; it brings what has changed and no more."""
    (group,) = stage.labels_of()
    before = stage.account().generation
    assert not stage.sync()
    assert stage.calls() == {CONNECTIONS: 1, GROUPS: 1}
    assert stage.account().generation == before
    rename(stage, group, "Freunde")
    assert stage.sync()
    assert stage.labels_of() == {group: "Freunde"}
    assert stage.calls() == {CONNECTIONS: 1, GROUPS: 1}


def test_labels_that_come_and_go(stage: Stage) -> None:
    """One that is gone takes nobody along."""
    (group,) = stage.labels_of()
    new = stage.world.add_label(ALICE, "Neu")
    delete_label(stage.world, ALICE, group)
    assert stage.sync()
    assert stage.labels_of() == {new: "Neu"}
    assert stage.names() == ["Ada Riese"]


def test_without_labels_nobody_asks() -> None:
    """There is nothing to be renamed; a new one is heard of when a contact has it."""
    stage = connected_stage()
    name = stage.world.add_person(ALICE, person("Ada Riese"))
    stage.sync()
    stage.calls()
    stage.world.add_label(ALICE, "Empty")
    stage.sync()
    assert stage.calls() == {CONNECTIONS: 1}
    group = stage.world.add_label(ALICE, "Neu")
    stage.world.change_person(ALICE, name, person("Ada Riese") | member(group))
    stage.sync()
    assert stage.calls() == {CONNECTIONS: 1, GROUPS: 1}
    assert set(stage.labels_of().values()) == {"Empty", "Neu"}


@pytest.mark.parametrize("fault", ["error_expired_sync_token_400", "error_expired_sync_token_410"])
def test_an_expired_token_of_labels_is_one_full_list(stage: Stage, fault: str) -> None:
    """Of labels alone; the contacts go on with theirs."""
    (group,) = stage.labels_of()
    rename(stage, group, "Freunde")
    stage.world.faults.inject(fault, path=GROUPS, times=1)
    stage.sync()
    assert stage.labels_of() == {group: "Freunde"}
    assert stage.calls() == {CONNECTIONS: 1, GROUPS: 2}


@pytest.mark.parametrize("fault", ["error_internal_500", "broken_not_json"])
def test_labels_that_google_does_not_give_keep_no_contact_away(stage: Stage, fault: str) -> None:
    """Known labels stay; all labels are asked for once they can be had."""
    (known,) = stage.labels_of()
    new = stage.world.add_label(ALICE, "Neu")
    delete_label(stage.world, ALICE, known)
    stage.world.add_person(ALICE, person("Bo Neu"))
    stage.world.faults.inject(fault, path=GROUPS)
    assert stage.sync(full=True)
    assert (stage.labels_of(), stage.names()) == ({known: "Kunden"}, ["Ada Riese", "Bo Neu"])
    trouble = stage.trouble()
    assert trouble.facts == {"source": "labels"}
    assert stage.calls() == {CONNECTIONS: 1, GROUPS: 1}
    stage.world.faults.clear()
    stage.sync()
    assert (stage.labels_of(), stage.account().error) == ({new: "Neu"}, None)
    assert stage.calls() == {CONNECTIONS: 1, GROUPS: 1}


def test_a_grant_that_lacks_labels_keeps_what_is_known(stage: Stage) -> None:
    """The scope is that of the contacts, so Google should not say so; the contacts come all the same."""
    known = stage.labels_of()
    stage.world.add_person(ALICE, person("Bo Neu"))
    stage.world.faults.inject("error_scope_insufficient_403", path=GROUPS)
    assert stage.sync()
    assert (stage.labels_of(), stage.names()) == (known, ["Ada Riese", "Bo Neu"])


def test_a_planned_full_sync_asks_for_all(stage: Stage) -> None:
    """A label whose end no delta has told of goes with it; that takes no call more."""
    (group,) = stage.labels_of()
    with stage.database.begin() as connection:
        account_id = connection.execute(select(account.c.id)).scalar_one()
        contacts.set_labels(connection, account_id, {group: "Kunden", "contactGroups/gone": "Alte"})
    stage.sync()
    assert len(stage.labels_of()) == 2
    stage.calls()
    stage.clock.advance(6 * 86400)
    assert stage.sync()
    assert stage.labels_of() == {group: "Kunden"}
    assert stage.calls() == {CONNECTIONS: 1, GROUPS: 1, "/token": 1}


def test_a_wanted_label_that_is_renamed_reads_contacts_anew() -> None:
    """Contacts of the renamed label go, and contacts of the label that now has the name come."""
    stage = connected_stage(labels=("Kunden",))
    kunden, andere = (stage.world.add_label(ALICE, name) for name in ("Kunden", "Andere"))
    stage.world.add_person(ALICE, person("Ada Riese") | member(kunden))
    stage.world.add_person(ALICE, person("Bo Weg") | member(andere))
    stage.sync()
    assert stage.names() == ["Ada Riese"]
    rename(stage, kunden, "Alte")
    rename(stage, andere, "KUNDEN")
    assert stage.sync()
    assert stage.names() == ["Bo Weg"]


def test_googles_own_groups_are_no_labels(stage: Stage) -> None:
    """Groups of old programs are no labels either."""
    stage.world.add_person(ALICE, person("Bo Neu") | member(*(f"contactGroups/{name}" for name in SYSTEM_GROUPS)))
    stage.sync()
    assert list(stage.labels_of().values()) == ["Kunden"]


# --- excluded labels --------------------------------------------------------------------------------------------------


def excluding(*labels: str) -> Stage:
    """A connected account whose tenant excludes the label "Private"."""
    return connected_stage(labels=labels, excluded_labels=("Private",))


def test_an_excluded_label_keeps_a_contact_away() -> None:
    """Other labels do not matter; the contact comes when the label is taken off."""
    stage = excluding()
    private, friends = stage.world.add_label(ALICE, "PRIVATE"), stage.world.add_label(ALICE, "Friends")
    hidden = stage.world.add_person(ALICE, person("Ada Riese") | member(private, friends))
    stage.world.add_person(ALICE, person("Bo Weg") | member(friends))
    stage.world.add_person(ALICE, person("Cy Neu"))
    stage.sync()
    assert (stage.names(), stage.account().skipped) == (["Bo Weg", "Cy Neu"], {"excluded_label": 1})
    stage.world.change_person(ALICE, hidden, person("Ada Riese") | member(friends))
    stage.sync()
    assert (stage.names(), stage.account().skipped) == (["Ada Riese", "Bo Weg", "Cy Neu"], {})


def test_an_excluded_label_beats_an_included_one() -> None:
    stage = excluding("Friends")
    private, friends = stage.world.add_label(ALICE, "Private"), stage.world.add_label(ALICE, "Friends")
    stage.world.add_person(ALICE, person("Ada Riese") | member(private, friends))
    stage.world.add_person(ALICE, person("Bo Weg") | member(friends))
    stage.world.add_person(ALICE, person("Cy Neu"))
    stage.sync()
    assert (stage.names(), stage.account().skipped) == (["Bo Weg"], {"excluded_label": 1, "label": 1})


def test_a_starred_contact_can_be_excluded() -> None:
    """The groups that every account has are labels too."""
    stage = connected_stage(excluded_labels=("starred",))
    stage.world.add_person(ALICE, person("Ada Riese") | member("contactGroups/starred"))
    stage.world.add_person(ALICE, person("Bo Weg"))
    stage.sync()
    assert stage.names() == ["Bo Weg"]


def test_an_excluded_label_that_is_new_at_google_counts_at_once() -> None:
    """Contacts that get it never wait for the next full sync; without the label a sync costs no more calls."""
    stage = excluding()
    shown = stage.world.add_person(ALICE, person("Ada Riese"))
    stage.start()
    stage.calls()
    stage.clock.advance(INTERVAL)
    assert stage.calls() == {CONNECTIONS: 1}
    private = stage.world.add_label(ALICE, "Private")
    stage.world.change_person(ALICE, shown, person("Ada Riese") | member(private))
    stage.world.add_person(ALICE, person("Bo Neu") | member(private))
    stage.clock.advance(INTERVAL)
    assert (stage.names(), stage.account().skipped) == ([], {"excluded_label": 2})
    assert stage.calls() == {CONNECTIONS: 2, GROUPS: 1}


def test_an_excluded_label_that_is_made_during_a_full_sync_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of the listing that is fetched again is closed: Python warns of an open one."""
    monkeypatch.setattr(fetch, "MAX_IN_MEMORY", 1)
    stage = excluding()

    def label_and_person() -> None:
        private = stage.world.add_label(ALICE, "Private")
        stage.world.add_person(ALICE, person("Ada Riese") | member(private))

    stage.line.meanwhile[GROUPS] = label_and_person
    stage.world.add_person(ALICE, person("Bo Weg"))
    stage.sync()
    assert (stage.names(), stage.account().skipped) == (["Bo Weg"], {"excluded_label": 1})


@pytest.mark.parametrize(
    ("labels", "excluded"), [(("Kunden",), ()), ((), ("Private",))], ids=["included label", "excluded label"]
)
@pytest.mark.parametrize("fault", ["error_internal_500", "broken_not_json", "error_scope_insufficient_403"])
def test_nobody_is_served_before_the_labels_have_come_once(
    labels: tuple[str, ...], excluded: tuple[str, ...], fault: str
) -> None:
    """Anybody may have the excluded label; once labels have come, those known before decide, be there none."""
    stage = connected_stage(labels=labels, excluded_labels=excluded)
    groups = [stage.world.add_label(ALICE, label) for label in labels]
    stage.world.add_person(ALICE, person("Bo Weg") | member(*groups))
    stage.world.faults.inject(fault, path=GROUPS)
    stage.sync()
    error = stage.trouble()
    assert (stage.names(), error.facts["source"], stage.account().skipped) == ([], "labels", {"label": 1})
    stage.world.faults.clear()
    stage.sync()
    assert (stage.names(), stage.account().error) == (["Bo Weg"], None)
    stage.world.faults.inject(fault, path=GROUPS)
    stage.world.add_person(ALICE, person("Cy Neu") | member(*groups))
    stage.sync(full=True)
    stage.sync()
    assert stage.names() == ["Bo Weg", "Cy Neu"]
