# SPDX-License-Identifier: MIT
"""Odd listings are applied all the same: what came is served, nobody is lost, and a warning says what is odd."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from ldapgw.contact import Flaw, Source
from ldapgw.errors import BadResponse, SuspiciousShrink
from ldapgw.google.people import PAGE_SIZE, SMALL_PAGE_SIZE
from ldapgw.store import contacts, sync_state
from ldapgw.store.account_status import account_to_json
from ldapgw.store.accounts import SourceState
from ldapgw.store.contacts import FlawedPerson
from ldapgw.sync.fetch import SourceQuery
from tests.support import spoilt_persons
from tests.support.google_changes import delete_label
from tests.support.stage.paths import COLLEAGUES, CONNECTIONS, DAY, GROUPS, HOUR
from tests.support.stage.sync import ALICE, ALL_SOURCES, INTERVAL, Stage, connected_stage, member, person, synced_stage


def stage_with(count: int, source: str = "contacts") -> tuple[Stage, list[str]]:
    """A synced account with some persons in a source, and their resource names."""
    stage = connected_stage(sources=ALL_SOURCES)
    names = [stage.world.add_person(ALICE, person(f"Person {number:02}"), source) for number in range(count)]
    stage.sync()
    stage.calls()
    return stage, names


def warnings(stage: Stage) -> list[str]:
    """The warnings of ``status.json``."""
    status = account_to_json(stage.account(), ALL_SOURCES, "https://pages.example/", stage.clock.seconds())
    return [f"{one['code']}: {one['message']}" for one in status["warnings"]]


def test_one_person_of_six_who_is_not_listed() -> None:
    """Reported in practice: Google's total is off; what came is served, with both figures."""
    stage, _ = stage_with(5)
    stage.world.faults.inject("broken_few_missing", path=CONNECTIONS)
    stage.world.add_person(ALICE, person("Zoë Young"))
    assert stage.sync(full=True)
    assert stage.names() == [*(f"Person {number:02}" for number in range(5)), "Zoë Young"]
    assert stage.account().error is None
    assert warnings(stage) == [
        "incomplete: Google sent only 5 of the 6 contacts of alice@acme.example. The missing ones stay on "
        "the phones until the next full sync."
    ]
    stage.world.faults.clear()
    stage.sync()
    assert len(warnings(stage)) == 1
    stage.sync(full=True)
    assert warnings(stage) == []


def test_what_google_counts_is_kept_until_the_next_full_listing() -> None:
    """An incremental listing counts its changes at most."""
    stage, _ = stage_with(40)
    stage.sync(full=True)
    stage.world.add_person(ALICE, person("Ada Riese"))
    stage.sync()
    assert stage.sync_states()[Source.CONTACTS].total == 40
    stage.sync(full=True)
    assert stage.sync_states()[Source.CONTACTS].total == 41


def test_who_is_missing_in_two_full_listings_in_a_row_is_removed() -> None:
    """The first listing removes nobody, a delta in between neither; an appearance in between begins anew."""
    stage, _ = stage_with(40)
    everybody = stage.names()
    stage.world.faults.inject("broken_few_missing", path=CONNECTIONS, times=1)
    stage.sync(full=True)
    stage.sync()
    assert stage.names() == everybody
    stage.sync(full=True)
    stage.world.faults.inject("broken_few_missing", path=CONNECTIONS)
    stage.sync(full=True)
    assert stage.names() == everybody
    stage.sync(full=True)
    assert stage.names() == [name for number, name in enumerate(everybody) if number % 20]
    assert stage.account().warnings[Source.CONTACTS]["incomplete"] == {"listed": 38, "total": 40}


@pytest.mark.parametrize(("left", "told"), [(2, False), (3, True)])
def test_a_directory_that_lacks_more_than_a_tenth(left: int, told: bool) -> None:
    """A directory has no total to compare it with: it is applied, and how many left is said."""
    stage, names = stage_with(20, "directory")
    for name in names[:left]:
        stage.world.delete_person(ALICE, name)
    stage.sync(full=True)
    assert len(stage.served("directory") or stage.names("directory")) == 20 - left
    said = (
        f"directory_shrunk: The last full sync removed {left} of 20 entries of the company directory. If these "
        "entries should still be there, the Google Workspace administrator has to check the directory settings."
    )
    assert warnings(stage) == ([said] if told else [])


def test_a_full_listing_without_a_sync_token_is_applied() -> None:
    """A warning says what is odd until a listing has a token again."""
    stage, _ = stage_with(3)
    stage.world.faults.inject("broken_no_sync_token", path=CONNECTIONS)
    stage.world.add_person(ALICE, person("Zoë Young"))
    assert stage.sync(full=True)
    assert stage.names() == ["Person 00", "Person 01", "Person 02", "Zoë Young"]
    assert stage.sync_states()[Source.CONTACTS].sync_token is None
    assert warnings(stage) == [
        "no_sync_token: Google can’t tell the gateway what has changed in the contacts of alice@acme.example, so "
        "changes only arrive every few hours."
    ]
    stage.world.faults.clear()
    stage.clock.advance(HOUR)
    stage.calls()
    stage.sync()
    assert stage.calls()[CONNECTIONS] == 1
    assert (warnings(stage), stage.sync_states()[Source.CONTACTS].sync_token is None) == ([], False)


def test_an_empty_full_listing_without_a_sync_token_removes_nobody() -> None:
    """Google sends a sync token to an account without contacts too, so the listing may come from another server."""
    stage, names = stage_with(3)
    for name in names:
        stage.world.delete_person(ALICE, name)
    stage.world.faults.inject("broken_no_sync_token", path=CONNECTIONS, times=1)
    with pytest.raises(BadResponse):
        stage.sync(full=True)
    assert stage.names() == ["Person 00", "Person 01", "Person 02"]
    assert stage.sync(full=True)
    assert stage.names() == []


@pytest.mark.parametrize(("interval", "seconds"), [(1.0, HOUR), (INTERVAL, HOUR), (900.0, 5400.0), (DAY, 6 * HOUR)])
def test_how_long_a_source_without_a_sync_token_waits(interval: float, seconds: float) -> None:
    """Six intervals, at least an hour and at most six."""
    stage, _ = stage_with(1)
    stage.job._interval = interval
    stage.world.faults.inject("broken_no_sync_token", path=CONNECTIONS)
    stage.sync(full=True)
    stage.calls()
    stage.clock.advance(seconds - 1)
    stage.sync()
    assert CONNECTIONS not in stage.calls()
    stage.clock.advance(1)
    stage.sync()
    assert stage.calls()[CONNECTIONS] == 1


def test_a_delta_without_a_sync_token_keeps_the_old_one_once() -> None:
    """Then a full sync is due, unless the next delta has a token, which also ends the warning."""
    stage, _ = stage_with(3)
    stage.world.faults.inject("broken_no_sync_token", path=CONNECTIONS, times=1)
    warned = []
    for _ in range(2):
        stage.sync()
        warned.append(list(stage.sync_states()[Source.CONTACTS].warnings))
    assert warned == [["no_sync_token"], []]
    token = stage.sync_states()[Source.CONTACTS].sync_token
    stage.world.faults.inject("broken_no_sync_token", path=CONNECTIONS, times=2)
    stage.world.add_person(ALICE, person("Zoë Young"))
    assert stage.sync()
    assert stage.sync_states()[Source.CONTACTS].sync_token == token
    assert list(stage.account().warnings[Source.CONTACTS]) == ["no_sync_token"]
    stage.sync()
    assert stage.sync_states()[Source.CONTACTS].sync_token is None
    stage.clock.advance(HOUR)
    stage.sync()
    state = stage.sync_states()[Source.CONTACTS]
    assert (state.full_sync_at, state.warnings) == (stage.clock.seconds(), {})
    assert len(stage.names()) == 4


def test_a_sync_token_that_is_removed_during_a_sync_stays_removed() -> None:
    """Stored contacts are damaged, which only a full sync mends."""
    stage = synced_stage()
    account_id = stage.account().id

    def remove() -> None:
        stage.database.run(contacts.fetch_anew, account_id, [Source.CONTACTS])

    stage.line.meanwhile["/v1/people/me/connections"] = remove
    stage.sync()
    [state] = stage.database.run(sync_state.read_sync_states, account_id).values()
    assert state.sync_token is None


def test_a_directory_without_a_sync_token_waits_too() -> None:
    """And does not hold up the contacts."""
    stage, _ = stage_with(3, "directory")
    stage.world.faults.inject("broken_no_sync_token", path=COLLEAGUES)
    stage.sync(full=True)
    stage.calls()
    stage.clock.advance(INTERVAL)
    stage.sync()
    calls = stage.calls()
    assert (CONNECTIONS in calls, COLLEAGUES in calls) == (True, False)
    assert list(stage.account().warnings) == [Source.DIRECTORY]


@pytest.mark.parametrize("fault", ["broken_short_list", "broken_no_list"])
def test_labels_that_do_not_come_are_kept(fault: str) -> None:
    """Labels that come are joined with the stored labels."""
    stage, _ = stage_with(1)
    for number in range(4):
        stage.world.add_label(ALICE, f"Label {number}")
    stage.sync(full=True)
    stage.world.faults.inject(fault, path=GROUPS)
    stage.sync(full=True)
    assert (len(stage.labels_of()), stage.account().error) == (4, None)


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ({"labels": ("Kunden",)}, 125),
        ({"excluded_labels": ("Private",)}, 125),
        ({"sources": (Source.OTHER_CONTACTS,)}, 100),
        ({"region": "US"}, 200),
    ],
    ids=str,
)
def test_a_change_of_the_configuration_is_no_loss(change: dict[str, Any], left: int) -> None:
    """Of a hundred contacts 25 have the label that is wanted now: that is applied without a question."""
    stage = connected_stage(sources=(Source.CONTACTS, Source.OTHER_CONTACTS))
    kunden, private = (stage.world.add_label(ALICE, name) for name in ("Kunden", "Private"))
    for number in range(100):
        stage.world.add_person(ALICE, person(f"Person {number:02}") | member(kunden if number < 25 else private))
        mail = {"emailAddresses": [{"value": f"{number}@x.example"}]}
        stage.world.add_person(ALICE, mail, "other_contacts")
    stage.sync()
    stage.configure(**change)
    stage.sync()
    assert (len(stage.names()), stage.account().error) == (left, None)


def test_a_label_that_is_gone_at_google_is_guarded() -> None:
    """Nobody asked for an empty book: the configuration still names the label."""
    stage = connected_stage(labels=("Kunden",))
    group = stage.world.add_label(ALICE, "Kunden")
    for number in range(20):
        stage.world.add_person(ALICE, person(f"Person {number:02}") | member(group))
    stage.sync()
    delete_label(stage.world, ALICE, group)
    with pytest.raises(SuspiciousShrink):
        stage.sync()
    assert len(stage.names()) == 20


def test_pages_that_are_too_large_are_asked_for_in_a_smaller_size_from_then_on() -> None:
    """The listing begins again, because tokens are valid for one page size; the size is remembered."""
    stage, _ = stage_with(0)
    stage.world.faults.inject("broken_too_large_pages", path=CONNECTIONS)
    for number in range(250):
        stage.world.add_person(ALICE, person(f"Person {number:03}"))
    stage.sync()
    assert stage.calls()[CONNECTIONS] == 3
    assert stage.account().contacts == 250
    state = stage.sync_states()[Source.CONTACTS]
    assert state.page_size == SMALL_PAGE_SIZE
    assert state.fingerprint == SourceQuery(Source.CONTACTS, "DE", page_size=SMALL_PAGE_SIZE).fingerprint
    assert state.fingerprint != SourceQuery(Source.CONTACTS, "DE", page_size=PAGE_SIZE).fingerprint
    stage.sync()
    assert stage.calls()[CONNECTIONS] == 1
    stage.sync(full=True)
    assert stage.calls()[CONNECTIONS] == 2
    assert stage.account().sources[Source.CONTACTS] is SourceState.ON


# --- spoilt persons ---------------------------------------------------------------------------------------------------

CHARACTERS, VALUES, LENGTH, COUNT, ID = (
    (flaw,) for flaw in (Flaw.CHARACTERS, Flaw.VALUES, Flaw.LENGTH, Flaw.COUNT, Flaw.ID)
)

# Each spoilt person is shown so on phones, and the owner of the account is told these flaws.
SERVED: Mapping[str, tuple[str, tuple[Flaw, ...]]] = {
    "half an emoji in a name": ("Smile \ufffd", CHARACTERS),
    "half an emoji in a company": ("Smile \ufffd GmbH", CHARACTERS),
    "half an emoji in a number": ("A", CHARACTERS),
    "half an emoji in a label": ("B", CHARACTERS),
    "half an emoji in a key": ("C", ()),
    "octets that are not UTF-8": ("Ma\ufffdana", CHARACTERS),
    "control characters": ("D[31m E", ()),
    "a number in place of a name": ("4711", VALUES),
    "a number in place of a phone number": ("E", VALUES),
    "a boolean in place of a name": ("F", VALUES),
    "a list in place of a name": ("G", VALUES),
    "a null in each list": ("H", VALUES),
    "a null in place of each list": ("I", ()),
    "a text in place of a list": ("J", VALUES),
    "an object in place of a list": ("K", VALUES),
    "an unknown field": ("M", ()),
    "100 kB in a name": ("N" + "n" * 255, LENGTH),
    "5,000 numbers": ("O", COUNT),
    "an integer of 5,000 digits": ("P", VALUES),
    "a number out of range": ("Q", VALUES),
    "no number": ("R", VALUES),
    "500 lists in each other": ("S", VALUES),
    "100,000 lists in each other": ("T", ()),
    "a key that comes twice": ("V", ()),
    "wrong metadata of a value": ("W", ()),
    "wrong memberships": ("Y", ()),
    "wrong photos": ("X", VALUES),
    "an id with a slash": ("No ID 0", ID),
    "an id with half an emoji": ("No ID 1", ID),
    "a number in place of the id": ("No ID 2", ID),
    "wrong metadata": ("Z", ()),
}
EMPTY = {"nothing but an object in place of a list": VALUES}
UNIDENTIFIED = {
    "an id with a slash, and no source",
    "no object, but null",
    "no object, but a text",
    "no object, but a list",
}
FLAWED = sum(bool(flaws) for _, flaws in SERVED.values()) + len(EMPTY)


def flawed(stage: Stage) -> list[FlawedPerson]:
    return stage.database.run(contacts.read_flawed, stage.account().id, 100)


def test_all_that_can_be_served_is_served() -> None:
    """The good contacts as they are, the spoilt ones without what is spoilt; the owner is told of each flaw.

    An unreadable id is derived from the key of the source: the contact can be opened at Google by this id.
    """
    stage = connected_stage()
    for name in ("Ada Riese", "Zoë Young"):
        stage.world.add_person(ALICE, person(name, "030 23125 100"))
    stage.world.faults.inject("broken_persons", times=1, path=CONNECTIONS)
    stage.sync()
    assert {*SERVED, *EMPTY, *UNIDENTIFIED} == {*spoilt_persons.PERSONS}
    assert sorted(stage.names()) == sorted(["Ada Riese", "Zoë Young", *(name for name, _ in SERVED.values())])
    account = stage.account()
    assert (account.error, account.warnings) == (None, {})
    assert account.contacts == 2 + len(SERVED)
    assert account.skipped == {"empty": 1, "flawed": FLAWED, "unidentified": len(UNIDENTIFIED)}
    assert sum(record[3] == "unidentified" for record in stage.records().values()) == len(UNIDENTIFIED)
    told = flawed(stage)
    assert {(found.name, found.flaws) for found in told} == {
        *(pair for pair in SERVED.values() if pair[1]),
        *(("", flaws) for flaws in EMPTY.values()),
    }
    derived = {f"c{8_000_000_000_000_000_100 + at}" for at in range(3)}
    assert {found.uid for found in told if found.flaws == ID} == derived


def test_a_contact_that_was_corrected_is_no_longer_named(stage: Stage) -> None:
    """Nor is a contact that has gone."""
    stage.connect()
    corrected, gone = (stage.world.add_person(ALICE, person(f"Smile \ud83d {letter}")) for letter in "AB")
    stage.sync()
    assert {found.name for found in flawed(stage)} == {"Smile \ufffd A", "Smile \ufffd B"}
    stage.world.change_person(ALICE, corrected, person("Smile A"))
    stage.world.delete_person(ALICE, gone)
    stage.sync()
    assert (flawed(stage), stage.account().skipped, stage.names()) == ([], {}, ["Smile A"])


def test_a_contact_that_is_left_out_on_purpose_is_not_named() -> None:
    """Its owner has nothing to correct for the phones."""
    stage = synced_stage("Smile \ud83d", labels=("Kunden",))
    assert (flawed(stage), stage.account().skipped) == ([], {"label": 1})


def test_spoilt_labels_are_left_out(stage: Stage) -> None:
    """The others are kept, and no sync fails."""
    stage.connect()
    kept = stage.world.add_label(ALICE, "Kunden")
    stage.world.faults.inject("broken_persons", times=1, path=GROUPS)
    stage.sync()
    assert stage.account().error is None
    assert stage.labels_of() == {kept: "Kunden", "contactGroups/8a": "\ufffd A"}
