# SPDX-License-Identifier: MIT
"""What a sync will change: mark and sweep, deltas, moves, labels, and books that shrink."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.contact import Contact, Source
from ldapgw.google.person import Reading
from ldapgw.store.contacts import Record
from ldapgw.sync.plan import Plan, make_plan

CONTACTS = Source.CONTACTS


def reading(uid: str, name: str = "N", *, labels: tuple[str, ...] = (), source_id: str = "") -> Reading:
    source_id = source_id or f"s-{uid}"
    contact = Contact(uid, source_id=source_id, name=name, labels=labels)
    return Reading(contact, uid, source_id, deleted=False, previous_uids=(), skipped="", unreadable_numbers=0)


def deleted(uid: str) -> Reading:
    return Reading(None, uid, "", deleted=True, previous_uids=(), skipped="", unreadable_numbers=0)


def record(uid: str, name: str = "N", source_id: str = "") -> Record:
    found = reading(uid, name, source_id=source_id)
    return Record(uid, found.source_id, found.contact)


def stored(*records: Record) -> dict[str, Record]:
    return {one.uid: one for one in records}


EMPTY = replace(reading("c9"), contact=None, skipped="empty")
NAMELESS = replace(reading(""), contact=None, source_id="", skipped="unidentified")
MOVED = replace(reading("c2", source_id="s-c1"), previous_uids=("c1",))

CASES = {
    "first sync": ({}, [reading("c1"), reading("c2")], True, Plan(CONTACTS, (record("c1"), record("c2")))),
    "nothing changed": (stored(record("c1")), [reading("c1")], True, Plan(CONTACTS, before=1)),
    "a quiet delta": (stored(record("c1")), [], False, Plan(CONTACTS)),
    "a changed contact": (
        stored(record("c1")),
        [reading("c1", "New")],
        False,
        Plan(CONTACTS, (record("c1", "New"),)),
    ),
    "swept by a full sync": (
        stored(record("c1"), record("c2")),
        [reading("c2")],
        True,
        Plan(CONTACTS, gone=("c1",), before=2, lost=1),
    ),
    "not swept by a delta": (stored(record("c1"), record("c2")), [reading("c2")], False, Plan(CONTACTS)),
    "moved and deleted before anybody was told of the new name": (
        stored(record("c1"), record("c3")),
        [replace(deleted("c2"), source_id="s-c1")],
        False,
        Plan(CONTACTS, gone=("c1",)),
    ),
    "deleted by a delta": (
        stored(record("c1")),
        [deleted("c1")],
        False,
        Plan(CONTACTS, gone=("c1",)),
    ),
    "deleted and never known": ({}, [deleted("c1")], False, Plan(CONTACTS)),
    "deleted, then there again": (
        stored(record("c1")),
        [deleted("c1"), reading("c1", "New")],
        False,
        Plan(CONTACTS, (record("c1", "New"),)),
    ),
    "there, then deleted": (
        stored(record("c1")),
        [reading("c1", "New"), deleted("c1")],
        False,
        Plan(CONTACTS, gone=("c1",)),
    ),
    "twice in one answer": ({}, [reading("c1", "A"), reading("c1", "B")], True, Plan(CONTACTS, (record("c1", "B"),))),
    "left out with a reason": ({}, [EMPTY], True, Plan(CONTACTS, (Record("c9", "s-c9", None, "empty"),))),
    "without an id": (
        {},
        [NAMELESS, NAMELESS],
        True,
        Plan(CONTACTS, (Record("?0", "", None, "unidentified"), Record("?1", "", None, "unidentified"))),
    ),
    "moved to another name": (
        stored(record("c1")),
        [MOVED],
        False,
        Plan(CONTACTS, (record("c2", source_id="s-c1"),), gone=("c1",)),
    ),
    "moved without being told": (
        stored(record("c1")),
        [reading("c2", source_id="s-c1")],
        False,
        Plan(CONTACTS, (record("c2", source_id="s-c1"),), gone=("c1",)),
    ),
    "an empty answer": (stored(record("c1")), [], True, Plan(CONTACTS, gone=("c1",), before=1, lost=1)),
}


@pytest.mark.parametrize(("before", "readings", "full", "expected"), CASES.values(), ids=CASES)
def test_what_changes(before: dict[str, Record], readings: list[Reading], full: bool, expected: Plan) -> None:
    """The whole plan, for each way that Google tells a change."""
    plan = make_plan(CONTACTS, before, readings, full=full)
    assert plan == expected
    assert plan.is_empty == (not expected.stored and not expected.gone)


def test_contacts_without_a_wanted_label_are_left_out_and_counted() -> None:
    """They are stored with the reason, so that they come back when the label does."""
    with_label = reading("c1", labels=("contactGroups/1", "contactGroups/2"))
    plan = make_plan(CONTACTS, {}, [with_label, reading("c2")], full=True, labels={"contactGroups/2"})
    assert plan.stored == (
        Record("c1", "s-c1", with_label.contact),
        Record("c2", "s-c2", None, "label"),
    )
    assert make_plan(CONTACTS, {}, [with_label], full=True, labels=()).stored[0].skipped == "label"


SHRINKING = {
    "a small book may vanish": (19, 19, False),
    "half of a book may go": (20, 10, False),
    "more than half may not": (20, 11, True),
    "all of a large one may not": (500, 500, True),
    "a few may go": (500, 20, False),
}


@pytest.mark.parametrize(("size", "lost", "suspicious"), SHRINKING.values(), ids=SHRINKING)
def test_a_book_that_shrinks(size: int, lost: int, suspicious: bool) -> None:
    """More than half of twenty or more is likelier a fault."""
    before = stored(*(record(f"c{number}") for number in range(size)))
    plan = make_plan(CONTACTS, before, [reading(f"c{number}") for number in range(lost, size)], full=True)
    assert (plan.before, plan.lost, plan.is_suspicious) == (size, lost, suspicious)


def test_a_delta_may_delete_as_many_as_it_says() -> None:
    """What Google says is gone is gone: only what a full sync did not hear of is doubted."""
    before = stored(*(record(f"c{number}") for number in range(25)))
    plan = make_plan(CONTACTS, before, [deleted(uid) for uid in before], full=False)
    assert (len(plan.gone), plan.is_suspicious) == (25, False)


def test_contacts_that_become_empty_are_lost_too() -> None:
    """A Google that answers without names and numbers, or a label that vanished, empties the book as well."""
    before = stored(*(record(f"c{number}") for number in range(30)))
    empty = [replace(reading(uid), contact=None, skipped="empty") for uid in before]
    assert make_plan(CONTACTS, before, empty, full=True).is_suspicious
    unlabelled = [reading(uid) for uid in before]
    assert make_plan(CONTACTS, before, unlabelled, full=True, labels={"contactGroups/1"}).is_suspicious


def test_contacts_that_move_are_not_lost() -> None:
    """Google may rename all of a book in one go."""
    before = stored(*(record(f"c{number}") for number in range(50)))
    plan = make_plan(
        CONTACTS, before, [reading(f"d{number}", source_id=f"s-c{number}") for number in range(50)], full=True
    )
    assert (len(plan.stored), len(plan.gone), plan.lost, plan.is_suspicious) == (50, 50, 0, False)


names = st.dictionaries(st.sampled_from([f"c{number}" for number in range(8)]), st.sampled_from("ABC"))


@settings(max_examples=200)
@given(old=names, new=names)
def test_a_full_plan_leads_from_any_state_to_what_google_said(old: dict[str, str], new: dict[str, str]) -> None:
    """Applying it gives the new state, and nothing is written that was there already."""
    before = stored(*(record(uid, name) for uid, name in old.items()))
    plan = make_plan(CONTACTS, before, [reading(uid, name) for uid, name in new.items()], full=True)
    after = {uid: one for uid, one in before.items() if uid not in plan.gone} | stored(*plan.stored)
    assert after == stored(*(record(uid, name) for uid, name in new.items()))
    assert not [one for one in plan.stored if before.get(one.uid) == one]
