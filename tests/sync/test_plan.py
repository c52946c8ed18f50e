# SPDX-License-Identifier: MIT
"""From the persons of a page to what a sync will change: mark and sweep, deltas, moves, and books that shrink."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ldapgw.contact import Contact, Source
from ldapgw.store.contact_record import ContactRecord
from ldapgw.store.contacts import RecordSummary
from ldapgw.sync.fetched_page import FetchedPage, FetchedPerson, decode_persons, encode_page
from ldapgw.sync.plan import SyncPlan, is_suspicious, make_plan, planned_records
from tests.support.examples import examples
from tests.support.stage.sync import LABEL
from tests.support.stage.sync import given as person

CONTACTS = Source.CONTACTS
NOW = 1_800_000_000.0


def record(uid: str, name: str = "N", source_id: str = "") -> ContactRecord:
    source_id = source_id or f"s-{uid}"
    return ContactRecord.from_contact(uid, source_id, Contact(uid, source_id=source_id, name=name))


def item(uid: str, name: str = "N", *, source_id: str = "", previous: tuple[str, ...] = ()) -> FetchedPerson:
    found = record(uid, name, source_id)
    return FetchedPerson(uid, found.source_id, found, previous)


def deleted(uid: str) -> FetchedPerson:
    return FetchedPerson(uid, "", None)


def mark(of: FetchedPerson | ContactRecord) -> RecordSummary:
    found = of if isinstance(of, ContactRecord) else of.record
    assert found is not None
    return RecordSummary(found.source_id, found.digest, is_served=found.content is not None)


def stored(*uids: str) -> dict[str, RecordSummary]:
    return {uid: mark(record(uid)) for uid in uids}


EMPTY = FetchedPerson("c9", "s-c9", ContactRecord.from_contact("c9", "s-c9", None, "empty"))
NOBODY = ContactRecord.from_contact("", "", None, "unidentified")
NAMELESS = FetchedPerson("", "", NOBODY)
UNLABELLED = FetchedPerson("c1", "s-c1", ContactRecord.from_contact("c1", "s-c1", None, "label"))

MISSED = RecordSummary("s-c1", record("c1").digest, is_served=True, missed_at=NOW)

CASES = {
    "first sync": ({}, [item("c1"), item("c2")], True, SyncPlan(CONTACTS, {0: "c1", 1: "c2"}, listed_count=2)),
    "nothing changed": (stored("c1"), [item("c1")], True, SyncPlan(CONTACTS, served_count=1, listed_count=1)),
    "a quiet delta": (stored("c1"), [], False, SyncPlan(CONTACTS)),
    "a changed contact": (stored("c1"), [item("c1", "New")], False, SyncPlan(CONTACTS, {0: "c1"})),
    "swept by a full sync": (
        stored("c1", "c2"), [item("c2")], True,
        SyncPlan(CONTACTS, deleted_uids=("c1",), served_count=2, lost_count=1, listed_count=1)),
    "not swept by a delta": (stored("c1", "c2"), [item("c2")], False, SyncPlan(CONTACTS)),
    "moved and deleted before anybody was told of the new name": (
        stored("c1", "c3"), [replace(deleted("c2"), source_id="s-c1")], False,
        SyncPlan(CONTACTS, deleted_uids=("c1",))),
    "deleted by a delta": (stored("c1"), [deleted("c1")], False, SyncPlan(CONTACTS, deleted_uids=("c1",))),
    "deleted and never known": ({}, [deleted("c1")], False, SyncPlan(CONTACTS)),
    "deleted, then there again": (
        stored("c1"), [deleted("c1"), item("c1", "New")], False, SyncPlan(CONTACTS, {1: "c1"})),
    "there, then deleted": (
        stored("c1"), [item("c1", "New"), deleted("c1")], False, SyncPlan(CONTACTS, deleted_uids=("c1",))),
    "twice in one listing": (
        {}, [item("c1", "A"), item("c2"), item("c1", "B")], True,
        SyncPlan(CONTACTS, {2: "c1", 1: "c2"}, listed_count=2)),
    "twice, then as it was": (
        stored("c1"), [item("c1", "A"), item("c1")], True, SyncPlan(CONTACTS, served_count=1, listed_count=1)),
    "left out with a reason": ({}, [EMPTY], True, SyncPlan(CONTACTS, {0: "c9"}, listed_count=1)),
    "left out from now on": (stored("c1"), [UNLABELLED], False, SyncPlan(CONTACTS, {0: "c1"})),
    "without an id": ({}, [NAMELESS, NAMELESS], True, SyncPlan(CONTACTS, {0: "?0", 1: "?1"}, listed_count=2)),
    "moved to another name": (
        stored("c1"), [item("c2", source_id="s-c1", previous=("c1",))], False,
        SyncPlan(CONTACTS, {0: "c2"}, deleted_uids=("c1",))),
    "moved without being told": (
        stored("c1"), [item("c2", source_id="s-c1")], False, SyncPlan(CONTACTS, {0: "c2"}, deleted_uids=("c1",))),
    "an empty answer": (stored("c1"), [], True, SyncPlan(CONTACTS, deleted_uids=("c1",), served_count=1, lost_count=1)),
    "of another version": (
        {"c1": RecordSummary("s-c1", None, is_served=True)}, [item("c1")], True,
        SyncPlan(CONTACTS, {0: "c1"}, served_count=1, listed_count=1)),
}  # fmt: skip


@pytest.mark.parametrize(("before", "items", "full", "expected"), CASES.values(), ids=CASES)
def test_what_changes(
    before: dict[str, RecordSummary], items: list[FetchedPerson], full: bool, expected: SyncPlan
) -> None:
    """The whole plan, for each way that Google tells a change."""
    plan = make_plan(CONTACTS, before, items, full=full)
    assert plan == expected
    assert plan.is_empty == (not expected.stored_uids and not expected.deleted_uids)


def test_a_plan_is_carried_out_with_the_listing_it_was_made_of() -> None:
    """It holds places; the persons are read again, each under the uid that it is stored under."""
    items = [item("c1"), NAMELESS, item("c2", "A"), deleted("c3"), item("c2", "B")]
    plan = make_plan(CONTACTS, stored("c1"), items, full=True)
    assert list(planned_records(plan, items)) == [replace(NOBODY, uid="?0"), record("c2", "B")]


TEN = [item(f"d{number}") for number in range(10)]
NEW = {at: f"d{at}" for at in range(10)}
NOT_WHOLE = {
    "who is not listed stays": (
        stored("c1"), TEN, SyncPlan(CONTACTS, NEW, missing_uids=("c1",), served_count=1, listed_count=10)),
    "who is not listed twice in a row goes": (
        {"c1": MISSED}, TEN,
        SyncPlan(CONTACTS, NEW, deleted_uids=("c1",), served_count=1, lost_count=1, listed_count=10)),
    "who is there again is missed no more": (
        {"c1": MISSED}, [item("c1"), *TEN[:9]],
        SyncPlan(CONTACTS, {0: "c1"} | {at + 1: f"d{at}" for at in range(9)}, served_count=1, listed_count=10)),
    "who has another name is not missed": (
        stored("c1"), [*TEN[:9], item("d9", source_id="s-c1")],
        SyncPlan(CONTACTS, NEW, deleted_uids=("c1",), served_count=1, listed_count=10)),
    "who is said to be gone is": (
        stored("c1"), [*TEN, deleted("c1")],
        SyncPlan(CONTACTS, NEW, deleted_uids=("c1",), served_count=1, lost_count=1, listed_count=10)),
}  # fmt: skip


@pytest.mark.parametrize(("before", "items", "expected"), NOT_WHOLE.values(), ids=NOT_WHOLE)
def test_a_listing_shorter_than_its_total(
    before: dict[str, RecordSummary], items: list[FetchedPerson], expected: SyncPlan
) -> None:
    """Google counts eleven and lists ten: what is new is taken, and nobody is swept who was not missed before."""
    assert make_plan(CONTACTS, before, items, full=True, total=11) == expected


def test_a_whole_listing_sweeps_who_was_spared() -> None:
    """As many as Google counts: then whoever is not among them is gone."""
    plan = make_plan(CONTACTS, stored("c1"), TEN, full=True, total=10)
    assert plan.deleted_uids == ("c1",)


def test_pages_that_repeat_each_other_are_incomplete() -> None:
    """Each person counts once, on whichever page they come."""
    before = stored(*(f"d{number}" for number in range(20)))
    plan = make_plan(CONTACTS, before, [*TEN, *TEN], full=True, total=20)
    assert (plan.listed_count, plan.deleted_uids, len(plan.missing_uids)) == (10, (), 10)


def test_who_is_missing_twice_is_held_to_the_shrink_rule() -> None:
    """Of twenty or more, not more than half may go, however often Google leaves them out."""
    before = {f"d{number}": replace(mark(record(f"d{number}")), missed_at=NOW) for number in range(21)}
    plan = make_plan(CONTACTS, before, TEN, full=True, total=21)
    assert (plan.served_count, plan.lost_count, plan.is_suspicious) == (21, 11, True)


@pytest.mark.parametrize(("size", "suspicious"), [(19, False), (20, True)])
def test_an_empty_listing_with_a_total_says_nothing_about_anybody(size: int, suspicious: bool) -> None:
    """However often it comes, a small book stays; of a large book a person may accept the loss."""
    before = {f"c{number}": replace(mark(record(f"c{number}")), missed_at=NOW) for number in range(size)}
    plan = make_plan(CONTACTS, before, [], full=True, total=size)
    assert (plan.is_suspicious, plan.is_empty) == (suspicious, not suspicious)
    assert make_plan(CONTACTS, before, [], full=True).lost_count == size


@pytest.mark.parametrize(("is_query_changed", "lost"), [(False, 75), (True, 0)])
def test_who_is_listed_is_not_lost_by_a_change_of_the_configuration(is_query_changed: bool, lost: int) -> None:
    """Of a hundred contacts 25 have the label that the configuration names now; a label may vanish by accident."""
    before = stored(*(f"c{number}" for number in range(100)))
    listed = [item(f"c{number}") for number in range(25)]
    for number in range(25, 100):
        excluded = ContactRecord.from_contact(f"c{number}", f"s-c{number}", None, "label")
        listed.append(FetchedPerson(f"c{number}", f"s-c{number}", excluded))
    plan = make_plan(CONTACTS, before, listed, full=True, total=100, is_query_changed=is_query_changed)
    assert (plan.served_count, plan.lost_count, len(plan.stored_uids)) == (100, lost, 75)


def fewer(size: int, lost: int) -> list[FetchedPerson]:
    return [item(f"c{number}") for number in range(lost, size)]


def emptied(uid: str) -> FetchedPerson:
    return FetchedPerson(uid, f"s-{uid}", ContactRecord.from_contact(uid, f"s-{uid}", None, "empty"))


# Each case has the size of the book, a listing, and the number of lost contacts.
SHRINKING: dict[str, tuple[int, list[FetchedPerson], bool, int, bool]] = {
    "a small book may vanish": (19, fewer(19, 19), True, 19, False),
    "half of a book may go": (20, fewer(20, 10), True, 10, False),
    "more than half may not": (20, fewer(20, 11), True, 11, True),
    "all of a large one may not": (500, fewer(500, 500), True, 500, True),
    "a few may go": (500, fewer(500, 20), True, 20, False),
    "contacts that become empty are lost": (30, [emptied(f"c{at}") for at in range(30)], True, 30, True),
    "contacts that move are not lost": (50, [item(f"d{at}", source_id=f"s-c{at}") for at in range(50)], True, 0, False),
    "a delta may delete as many as it says": (25, [deleted(f"c{at}") for at in range(25)], False, 0, False),
}


@pytest.mark.parametrize(("size", "listed", "full", "lost", "suspicious"), SHRINKING.values(), ids=SHRINKING)
def test_a_book_that_shrinks(size: int, listed: list[FetchedPerson], full: bool, lost: int, suspicious: bool) -> None:
    """More than half of twenty or more is likelier a fault, unless Google says itself who is deleted or renamed."""
    plan = make_plan(CONTACTS, stored(*(f"c{number}" for number in range(size))), listed, full=full)
    assert (plan.served_count, plan.lost_count, plan.is_suspicious) == (size if full else 0, lost, suspicious)
    assert is_suspicious(size, lost) == suspicious


names = st.dictionaries(st.sampled_from([f"c{number}" for number in range(8)]), st.sampled_from("ABC"))


@settings(max_examples=examples(200))
@given(old=names, new=names, again=names)
def test_a_full_plan_leads_from_any_state_to_what_google_said(
    old: dict[str, str], new: dict[str, str], again: dict[str, str]
) -> None:
    """Applying it gives the last that was said of each, and nothing is written that was there already."""
    before = {uid: mark(record(uid, name)) for uid, name in old.items()}
    items = [item(uid, name) for said in (new, again) for uid, name in said.items()]
    plan = make_plan(CONTACTS, before, items, full=True)
    written = {one.uid: mark(one) for one in planned_records(plan, items)}
    after = {uid: one for uid, one in before.items() if uid not in plan.deleted_uids} | written
    assert after == {uid: mark(record(uid, name)) for uid, name in (new | again).items()}
    assert not [uid for uid, one in written.items() if before.get(uid) == one]


# --- the persons of a page ---


def converted(*persons: dict[str, Any], labels: frozenset[str] | None = None) -> FetchedPage:
    return encode_page(persons, Source.CONTACTS, "DE", labels)


def test_a_page_becomes_records() -> None:
    """In Google's order: a contact, one that was deleted, one that replaces another, and one without anything."""
    moved = person("c3", metadata={**person("c3")["metadata"], "previousResourceNames": ["people/c2"]})
    batch = converted(
        person("c1"), {"resourceName": "people/c9", "metadata": {"deleted": True}}, moved, {"resourceName": "people/c4"}
    )
    first, gone, replacing, empty = decode_persons(batch.encoded_persons)
    assert (first.uid, first.source_id, first.previous_uids) == ("c1", "sc1", ())
    assert first.record is not None
    assert (first.record.numbers, first.record.skipped, first.record.unreadable) == (1, "", 0)
    assert gone == FetchedPerson("c9", "", None)
    assert (replacing.uid, replacing.previous_uids) == ("c3", ("c2",))
    assert empty.record == ContactRecord.from_contact("c4", "", None, "empty")
    assert (batch.person_count, batch.labels) == (4, {LABEL})


def test_who_comes_twice_counts_once() -> None:
    """A listing is complete when it has as many persons as Google says, not as many lines."""
    assert converted(person("c1"), person("c1"), {}, {}).person_count == 3


@pytest.mark.parametrize(
    ("labels", "skipped"),
    [(None, ""), (frozenset({LABEL}), ""), (frozenset({"contactGroups/2"}), "label"), (frozenset(), "label")],
    ids=["all are wanted", "its label is", "another is", "none is there"],
)
def test_contacts_without_a_wanted_label_are_left_out(labels: frozenset[str] | None, skipped: str) -> None:
    """They are stored with the reason, so that they come back when the label does."""
    (item,) = decode_persons(converted(person("c1"), labels=labels).encoded_persons)
    assert item.record is not None
    assert (item.record.skipped, item.record.content is None) == (skipped, bool(skipped))


def test_what_no_phone_is_told_of_is_no_change() -> None:
    """Google's time of the last change grows with a note or a picture too."""
    later = person("c1")
    later["metadata"]["sources"][0]["updateTime"] = "2026-02-28T09:30:00Z"
    (before,), (after,) = (decode_persons(converted(one).encoded_persons) for one in (person("c1"), later))
    assert before.record is not None
    assert after.record is not None
    assert before.record.digest == after.record.digest
    assert before.record.content != after.record.content


def test_a_batch_can_travel() -> None:
    """Between processes, and no person is in its repr."""
    batch = converted(person("c1"))
    assert pickle.loads(pickle.dumps(batch)) == batch
    assert repr(batch) == "FetchedPage(person_count=1)"


def test_a_digest_tells_every_difference() -> None:
    """Key, reason, numbers that cannot be read, and each field but the time."""
    ada = Contact("c1", name="Ada")
    records = [
        ContactRecord.from_contact("c1", "s1", ada),
        ContactRecord.from_contact("c1", "s2", ada),
        ContactRecord.from_contact("c1", "s1", ada, unreadable=1),
        ContactRecord.from_contact("c1", "s1", None, "empty"),
        ContactRecord.from_contact("c1", "s1", None, "label"),
        ContactRecord.from_contact("c1", "s1", Contact("c1", name="Bo")),
    ]
    assert len({record.digest for record in records}) == len(records)
