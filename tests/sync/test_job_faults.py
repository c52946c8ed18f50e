# SPDX-License-Identifier: MIT
"""A sync gets lists from Google that cannot be had, are not whole, or shrink."""

from __future__ import annotations

from typing import Any

import pytest

from ldapgw.contact import Source
from ldapgw.errors import GoogleUnavailable, SuspiciousShrink
from ldapgw.store.accounts import ErrorStatus
from tests.support.stage.paths import CONNECTIONS, OTHERS
from tests.support.stage.sync import ALICE, ALL_SOURCES, INTERVAL, NOW, Stage, connected_stage, member, person

# Two pages.
PERSONS = 1010
# Fewer persons than Google counts.
TAKEN = ("broken_short_list", "broken_few_missing", "broken_no_list")


def test_a_last_page_that_is_cut_takes_nobody_away() -> None:
    """Less than a tenth is missing; the next listing that is whole brings what it lacked."""
    stage = connected_stage()
    for number in range(PERSONS):
        stage.world.add_person(ALICE, {"organizations": [{"name": f"Company {number:04}"}]})
    stage.sync()
    everybody = {one["resourceName"].removeprefix("people/") for one in stage.world.persons_of(ALICE)}
    for fault in TAKEN:
        stage.world.faults.inject(fault, path=CONNECTIONS, after=1)
        stage.sync(full=True)
        assert stage.records().keys() == everybody, fault
        stage.world.faults.clear()
        stage.sync(full=True)
        assert stage.records().keys() == everybody, fault


def become_a_contact(stage: Stage, other: str, contact: dict[str, Any]) -> str:
    """Save an "other contact" as a contact, which Google does not report as the end of the "other contact"."""
    (source,) = stage.world.person(ALICE, other)["metadata"]["sources"]
    name = stage.world.add_person(ALICE, contact)
    saved = stage.world.person(ALICE, name)
    twin = {**saved["metadata"], "sources": [{**source, "type": "CONTACT"}]}
    stage.world.persons_of(ALICE).put({**saved, "metadata": twin})
    return name


def test_who_becomes_a_contact_is_no_other_contact_any_more() -> None:
    """Google does not always tell that; and it does tell when somebody is one again."""
    stage = connected_stage(sources=(Source.CONTACTS, Source.OTHER_CONTACTS))
    _, moves = (
        stage.world.add_person(ALICE, {"emailAddresses": [{"value": f"{who}@x.example"}]}, "other_contacts")
        for who in ("stays", "moves")
    )
    stage.sync()
    assert stage.names() == ["moves@x.example", "stays@x.example"]
    name = become_a_contact(stage, moves, person("Mo Ves"))
    assert stage.sync()
    assert stage.names() == ["Mo Ves", "stays@x.example"]
    stage.sync(full=True)
    assert stage.names() == ["Mo Ves", "stays@x.example"]
    stage.world.delete_person(ALICE, name)
    stage.world.change_person(ALICE, moves, {"emailAddresses": [{"value": "again@x.example"}]})
    assert stage.sync()
    assert stage.names() == ["again@x.example", "stays@x.example"]


@pytest.mark.parametrize("filtered", [{"excluded_labels": ("Private",)}, {"labels": ("Customers",)}], ids=str)
def test_a_contact_that_labels_leave_out_is_no_other_contact_either(filtered: dict[str, Any]) -> None:
    """A contact without a name, a number or an address hides nobody."""
    stage = connected_stage(sources=(Source.CONTACTS, Source.OTHER_CONTACTS), **filtered)
    private, _ = (stage.world.add_label(ALICE, name) for name in ("Private", "Customers"))
    others = [
        stage.world.add_person(ALICE, {"emailAddresses": [{"value": f"{who}@x.example"}]}, "other_contacts")
        for who in ("empty", "private")
    ]
    stage.sync()
    assert stage.names() == ["empty@x.example", "private@x.example"]
    become_a_contact(stage, others[0], {"nicknames": []})
    become_a_contact(stage, others[1], person("Pri Vat") | member(private))
    assert stage.sync()
    assert stage.names() == ["empty@x.example"]
    stage.sync(full=True)
    assert stage.names() == ["empty@x.example"]


IMPOSSIBLE = [
    ("error_invalid_argument_400", "bad_response"),
    ("broken_wrong_shape", "bad_response"),
    ("broken_cut_off", "network"),
    ("error_internal_500", "google_unavailable"),
    ("error_resource_exhausted_429", "quota"),
]
LIMIT = {
    "quota": {
        "limit": "CriticalReadsPerMinutePerProjectPerUser",
        "metric": "people.googleapis.com/critical_read_requests",
    }
}


@pytest.mark.parametrize(("fault", "code"), IMPOSSIBLE, ids=[fault for fault, _ in IMPOSSIBLE])
def test_other_contacts_that_cannot_be_had_keep_no_contact_away(fault: str, code: str) -> None:
    """It is said so, and since when; they are asked for less and less often, and at once when a person asks."""
    stage = connected_stage(sources=(Source.CONTACTS, Source.OTHER_CONTACTS))
    other = stage.world.add_person(ALICE, {"emailAddresses": [{"value": "other@x.example"}]}, "other_contacts")
    stage.world.add_person(ALICE, person("Ada Riese"))
    stage.sync()
    state = stage.sync_states()[Source.OTHER_CONTACTS]
    stage.world.add_person(ALICE, person("Bo Neu"))
    stage.world.delete_person(ALICE, other)
    stage.world.faults.inject(fault, path=OTHERS)
    assert stage.sync(full=True)
    assert stage.names() == ["Ada Riese", "Bo Neu", "other@x.example"]
    assert stage.account().error == ErrorStatus(code, NOW, facts={"source": "other_contacts", **LIMIT.get(code, {})})
    after = stage.sync_states()[Source.OTHER_CONTACTS]
    assert (after.sync_token, after.full_sync_at) == (state.sync_token, state.full_sync_at)
    stage.calls()
    asked = []
    for _ in range(24):
        stage.clock.advance(INTERVAL)
        stage.sync()
        asked.append(OTHERS in stage.calls())
    assert 3 <= sum(asked) <= 8
    stage.world.faults.clear()
    assert not stage.sync()
    assert stage.sync(full=True)
    assert (stage.account().error, stage.names()) == (None, ["Ada Riese", "Bo Neu"])


def test_other_contacts_alone_that_cannot_be_had_fail_the_sync() -> None:
    """Nothing else came, so nothing went well."""
    stage = connected_stage(sources=(Source.OTHER_CONTACTS,))
    stage.world.faults.inject("error_internal_500", path=OTHERS)
    with pytest.raises(GoogleUnavailable):
        stage.sync()


def test_other_contacts_that_are_wanted_no_more_are_no_trouble() -> None:
    """Neither without the scope nor without the source."""
    stage = connected_stage(sources=(Source.CONTACTS, Source.OTHER_CONTACTS))
    stage.world.faults.inject("error_internal_500", path=OTHERS)
    stage.sync()
    assert stage.account().error is not None
    stage.configure(sources=(Source.CONTACTS,))
    stage.sync()
    assert stage.account().error is None


@pytest.mark.parametrize(("count", "others", "lost"), [(19, 11, 19), (20, 60, 15)], ids=["too small alone", "alone"])
def test_a_source_is_guarded_alone_and_as_a_part_of_its_book(count: int, others: int, lost: int) -> None:
    """Full syncs are spread, so that mostly one source alone is listed in full; the directory is another book."""
    stage = connected_stage(sources=ALL_SOURCES)
    mail = "{}@x.example".format
    names = [stage.world.add_person(ALICE, {"emailAddresses": [{"value": mail(number)}]}) for number in range(count)]
    for number in range(others):
        stage.world.add_person(ALICE, {"emailAddresses": [{"value": mail(f"o{number}")}]}, "other_contacts")
        stage.world.add_person(ALICE, {"emailAddresses": [{"value": mail(f"d{number}")}]}, "directory")
    stage.sync()
    for name in names[:lost]:
        stage.world.delete_person(ALICE, name)
    stage.world.faults.inject("error_expired_sync_token_400", path=CONNECTIONS, times=1)
    with pytest.raises(SuspiciousShrink) as caught:
        stage.sync()
    assert dict(caught.value.facts) == {"before": count + others, "lost": lost}
    assert stage.account().contacts == count + 2 * others


def test_a_book_of_two_sources_is_guarded_as_one() -> None:
    """Each of them may be too small to be doubted alone."""
    stage = connected_stage(sources=(Source.CONTACTS, Source.OTHER_CONTACTS))
    kept: list[tuple[str, str]] = []
    for source in ("contacts", "other_contacts"):
        mail = "{}@x.example".format
        for number in range(15):
            added = stage.world.add_person(ALICE, {"emailAddresses": [{"value": mail(number)}]}, source)
            kept.append((source, added))
    stage.sync()
    for _, added in [*kept[:8], *kept[15:23]]:
        stage.world.delete_person(ALICE, added)
    with pytest.raises(SuspiciousShrink) as caught:
        stage.sync(full=True)
    assert dict(caught.value.facts) == {"before": 30, "lost": 16}
    assert stage.account().contacts == 30
    assert stage.sync(full=True, accept_shrink=True)
    assert stage.account().contacts == 14
