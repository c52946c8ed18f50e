# SPDX-License-Identifier: MIT
"""A spoilt person costs no other person, page or account anything."""

from __future__ import annotations

from collections.abc import Mapping

from ldapgw.contact import Flaw
from ldapgw.store import contacts
from ldapgw.store.contacts import FlawedPerson
from tests.support import spoilt_persons
from tests.support.stage.paths import CONNECTIONS, GROUPS
from tests.support.stage.sync import ALICE, Stage, connected_stage, person, synced_stage

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
