# SPDX-License-Identifier: MIT
"""From a page's persons to what may be stored of them."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from ldapgw.contact import Contact, Source
from ldapgw.store.contacts import ContactRecord
from ldapgw.sync.records import FetchedPage, FetchedPerson, decode_persons, encode_page
from tests.support.stage.sync import LABEL, given


def read(*persons: dict[str, Any], labels: frozenset[str] | None = None) -> FetchedPage:
    return encode_page(persons, Source.CONTACTS, "DE", labels)


def test_a_page_becomes_records() -> None:
    """In Google's order: a contact, one that was deleted, one that replaces another, and one without anything."""
    moved = given("c3", metadata={**given("c3")["metadata"], "previousResourceNames": ["people/c2"]})
    batch = read(
        given("c1"), {"resourceName": "people/c9", "metadata": {"deleted": True}}, moved, {"resourceName": "people/c4"}
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
    assert read(given("c1"), given("c1"), {}, {}).person_count == 3


@pytest.mark.parametrize(
    ("labels", "skipped"),
    [(None, ""), (frozenset({LABEL}), ""), (frozenset({"contactGroups/2"}), "label"), (frozenset(), "label")],
    ids=["all are wanted", "its label is", "another is", "none is there"],
)
def test_contacts_without_a_wanted_label_are_left_out(labels: frozenset[str] | None, skipped: str) -> None:
    """They are stored with the reason, so that they come back when the label does."""
    (item,) = decode_persons(read(given("c1"), labels=labels).encoded_persons)
    assert item.record is not None
    assert (item.record.skipped, item.record.content is None) == (skipped, bool(skipped))


def test_what_no_phone_is_told_of_is_no_change() -> None:
    """Google's time of the last change grows with a note or a picture too."""
    later = given("c1")
    later["metadata"]["sources"][0]["updateTime"] = "2026-02-28T09:30:00Z"
    (before,), (after,) = (decode_persons(read(one).encoded_persons) for one in (given("c1"), later))
    assert before.record is not None
    assert after.record is not None
    assert before.record.digest == after.record.digest
    assert before.record.content != after.record.content


def test_a_batch_can_travel() -> None:
    """Between processes, and no person is in its repr."""
    batch = read(given("c1"))
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
